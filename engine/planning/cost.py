"""What runs that are queued together will take: time in parts, memory, disk, optimiser steps. Torch-free.

What finished runs on this machine took comes first; where there are none like a part, it is guessed from others and says so.
"""

import statistics
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from engine.errors import DataError
from engine.machine.device_plan import expected_device, expected_processes
from engine.planning.estimates import base_model, finished_on, like, training_rate
from engine.planning.preflight import Preflight, gb, preflight
from engine.planning.workload import Sample
from engine.settings.config import EmbedConfig, EnsembleConfig, GenerateConfig, RunConfig, ScoreConfig, TrainConfig
from engine.store.damage import naming
from engine.store.rundir import RunDir, run_dirs
from engine.store.status import ENDED

What = Literal["before and after", "training", "answering", "scoring", "mapping"]


@dataclass(frozen=True)
class Phase:
    """A part of the time of a run."""

    run: str  # its name
    what: What  # before and after training: loading, tokenising, validation, saving
    items: int | None
    unit: str
    seconds: float | None  # None: nothing has been measured that tells
    measured: bool = True  # from finished runs like it; else a guess from others


@dataclass(frozen=True)
class Cost:
    """What runs will take together, one after the other."""

    runs: tuple[Preflight, ...]
    phases: tuple[Phase, ...]
    memory_bytes: int | None  # at the peak
    memory_measured: bool
    waiting: int  # runs that are queued or going on before them

    @property
    def seconds(self) -> float | None:
        """Of all parts that are known; None when none is."""
        known = [phase.seconds for phase in self.phases if phase.seconds is not None]
        return sum(known) if known else None

    @property
    def unknown(self) -> tuple[Phase, ...]:
        return tuple(phase for phase in self.phases if phase.seconds is None)

    @property
    def guesses(self) -> tuple[Phase, ...]:
        return tuple(phase for phase in self.phases if phase.seconds is not None and not phase.measured)

    @property
    def steps(self) -> int:
        return sum(made.steps or 0 for made in self.runs)

    @property
    def disk_bytes(self) -> int | None:
        """All folders at their largest."""
        known = [made.disk_bytes for made in self.runs if made.disk_bytes is not None]
        return sum(known) if known else None

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why the runs are not accepted, each sentence once."""
        return tuple(dict.fromkeys(sentence for made in self.runs for sentence in made.refusals))

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sentence for made in self.runs for sentence in made.warnings))


def cost(cache: Path, planned: Mapping[str, RunConfig], sample: Sample | None = None, tokens: bool = False) -> Cost:
    """What planned runs, {run id: configuration}, will take.

    sample: tokens of the training pairs, where they were counted before. tokens: count them now, which takes seconds.
    """
    looked = [preflight(cache, config, planned, tokens=tokens) for config in planned.values()]
    if sample:
        looked = [replace(made, sample=made.sample or sample) if made.steps else made for made in looked]
    phases = [phase for made, config in zip(looked, planned.values(), strict=True) for phase in phases_of(cache, made, config, planned)]
    peaks = [memory_of(cache, made, config, planned) for made, config in zip(looked, planned.values(), strict=True)]
    highest, measured = max((peak for peak in peaks if peak[0]), default=(None, False), key=lambda peak: peak[0] or 0)
    return Cost(tuple(looked), tuple(phases), highest, measured, sum(run.written_status.state not in ENDED for run in run_dirs(cache)))


def phases_of(cache: Path, made: Preflight, config: RunConfig, planned: Mapping[str, RunConfig]) -> Iterator[Phase]:
    if isinstance(config, TrainConfig):
        yield from of_training(cache, made, config, planned)
    elif isinstance(config, GenerateConfig):
        yield by_item(cache, Phase(made.name, "answering", made.items, made.unit, None), config, planned, "generations")
    elif isinstance(config, ScoreConfig | EnsembleConfig):
        each = made.items and made.items * (2 if isinstance(config, ScoreConfig) else 1) * len(config.reward_models)
        phase = Phase(made.name, "scoring", made.items, made.unit, None)
        scored = by_item(cache, phase, config, planned, "rewards", each)
        yield scored if scored.seconds is not None or not each else replace(phase, **guessed_scoring(cache, config, planned, each))
    elif isinstance(config, EmbedConfig):
        yield Phase(made.name, "mapping", made.items, made.unit, None)


def of_training(cache: Path, made: Preflight, config: TrainConfig, planned: Mapping[str, RunConfig]) -> Iterator[Phase]:
    """Training by its tokens, at the median speed; and what stands before and after it as it was."""
    same = list(like(cache, config, planned))
    found = same or [run for run in finished_on(cache, expected_device(config.device)) if trained_from(cache, run, config, planned)]
    rates = [rate for run in found if (rate := training_rate(run))]
    here = [run for run in found if run.config_values.get("dataset") == config.dataset]
    tokens = made.sample.mean_tokens if made.sample else median([each for run in here or found if (each := tokens_of_a_pair(run))])
    pairs = made.steps and made.steps * config.batch_size * config.accumulation * expected_processes(config)
    known = bool(same) and (made.sample is not None or bool(here))
    around = median([wall - trained for run in found if (wall := wall_seconds(run)) and (trained := trained_seconds(run))])
    seconds = pairs * tokens / statistics.median(rates) if pairs and tokens and rates else None
    yield Phase(made.name, "before and after", None, "", around, bool(same))
    yield Phase(made.name, "training", made.steps, "steps", seconds, known)


def trained_from(cache: Path, run: RunDir, config: TrainConfig, planned: Mapping[str, RunConfig]) -> bool:
    """Whether a run has trained the same network, in whichever way."""
    base = base_model(cache, config.model_dump(mode="json"), planned)
    return run.outline.kind in ("reward", "policy") and base_model(cache, run.config_values) == base


def guessed_scoring(cache: Path, config: RunConfig, planned: Mapping[str, RunConfig], items: int) -> dict[str, Any]:
    """Seconds of scoring so many responses, from reward runs on the same network: what is not training there is mostly that."""
    network = base_model(cache, config.model_dump(mode="json"), planned)
    each = []
    for run in finished_on(cache, expected_device(config.device)):
        if run.outline.kind == "reward" and base_model(cache, run.config_values) == network:
            responses = sum(2 * x.values.get("n", 0) for x in run.measured if x.split != "train")
            wall, trained = wall_seconds(run), trained_seconds(run)
            each += [(wall - trained) / responses] if responses and wall and trained else []
    return {"seconds": items * statistics.median(each) if each else None, "measured": False}


def by_item(cache: Path, phase: Phase, config: RunConfig, planned: Mapping[str, RunConfig], table: str, items: int | None = None) -> Phase:
    """The phase with the time that finished runs like it took for each row of a table, loading included."""
    number = phase.items if items is None else items
    each = []
    for run in like(cache, config, planned):
        with suppress(DataError), naming(run.path):  # a damaged run is no reason not to start another
            rows, wall = run.table(table), wall_seconds(run)
            each += [wall / rows.height] if wall and rows is not None and rows.height else []
    return replace(phase, seconds=number * statistics.median(each) if number and each else None)


def memory_of(cache: Path, made: Preflight, config: RunConfig, planned: Mapping[str, RunConfig]) -> tuple[int | None, bool]:
    """(bytes at the peak, whether they were measured): the highest of finished runs with the same batches, or what was estimated."""
    sizes = ("batch_size", "max_tokens", "forward_tokens")
    wanted = config.model_dump(mode="json")
    same = (run for run in like(cache, config, planned) if all(run.config_values.get(n) == wanted[n] for n in sizes if n in wanted))
    peaks = [peak for run in same if (peak := run.written_status.peak_bytes)]
    return (max(peaks), True) if peaks else (made.memory_bytes, False)


def wall_seconds(run: RunDir) -> float | None:
    """From the start of a run to its end; None when it did not go through in one go."""
    status = run.written_status
    if status.resumed or not (status.started_at and status.finished_at):
        return None
    return (datetime.fromisoformat(status.finished_at) - datetime.fromisoformat(status.started_at)).total_seconds()


def trained_seconds(run: RunDir) -> float | None:
    last = next((x for x in reversed(run.measured) if x.split == "train"), None)
    return last.seconds if last else None


def tokens_of_a_pair(run: RunDir) -> float | None:
    """Mean packed tokens of the pairs a run has trained on."""
    last = next((x for x in reversed(run.measured) if x.split == "train"), None)
    values = run.config_values
    pairs = last.step * values.get("batch_size", 1) * values.get("accumulation", 1) * max(values.get("processes", 1), 1) if last else 0
    return last.tokens / pairs if last and last.tokens and pairs else None


def median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def as_text(found: Cost) -> str:
    """The sum of a dry run, a line for each part."""
    lines = [f"in all: {duration(found.seconds)}" if found.seconds is not None else "in all: no finished run tells how long"]
    for phase in found.phases:
        work = f", {phase.items:,} {phase.unit}" if phase.items else ""
        time = "unknown" if phase.seconds is None else duration(phase.seconds) + ("" if phase.measured else " (a guess)")
        lines.append(f"  {phase.run}: {phase.what}{work}: {time}")
    if found.memory_bytes:
        lines.append(f"  memory: {gb(found.memory_bytes)} at most ({'measured' if found.memory_measured else 'estimated'})")
    if found.disk_bytes:
        lines.append(f"  disk: {gb(found.disk_bytes)}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"
