"""What runs that are queued together will take: time in parts, memory, disk, optimiser steps. Torch-free.

What finished runs on this machine took comes first; where there are none like a part, it is guessed from others and says so. The same
work takes many times as long beside other work, so the usual pace is said, and the slowest beside it where that is far.
"""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from engine.machine.device_plan import expected_device, expected_processes
from engine.planning.estimates import (
    answers_guessed,
    base_model,
    finished_on,
    like,
    seconds_each,
    trained_seconds,
    training_rate,
    usual,
    wall_seconds,
    work_of,
)
from engine.planning.preflight import Preflight, gb, preflight
from engine.planning.workload import Sample
from engine.settings.config import GenerateConfig, RunConfig, TrainConfig
from engine.store.rundir import RunDir, run_dirs
from engine.store.status import ENDED

What = Literal["before and after", "training", "answering", "scoring", "mapping"]
DOING: dict[str, What] = {"generations": "answering", "rewards": "scoring", "map_points": "mapping"}  # by the table it fills
FAR = 2  # times the usual pace, from which the slowest run's is said beside it


@dataclass(frozen=True)
class Phase:
    """A part of the time of a run."""

    run: str  # its name
    what: What  # before and after training: loading, tokenising, validation, saving
    items: int | None
    unit: str
    seconds: float | None  # None: nothing has been measured that tells
    measured: bool = True  # from finished runs like it; else a guess from others
    slowest: float | None = None  # seconds at the pace of the slowest of those runs, where it took far longer


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
        return
    number, table = work_of(config, made.items or 0)
    phase = Phase(made.name, DOING[table], made.items, made.unit, None)
    each = seconds_each(cache, config, planned)
    if not each and isinstance(config, GenerateConfig):
        phase, each = replace(phase, measured=False), answers_guessed(cache, config, planned)
    yield paced(phase, number, each)


def paced(phase: Phase, number: float | None, each: list[float]) -> Phase:
    """The phase with the time of so many pieces of work, each of which took finished runs so long."""
    pace = usual(each)
    if not number or pace is None:
        return phase
    return replace(phase, seconds=number * pace, slowest=number * max(each) if max(each) > FAR * pace else None)


def of_training(cache: Path, made: Preflight, config: TrainConfig, planned: Mapping[str, RunConfig]) -> Iterator[Phase]:
    """Training by its tokens, at the median speed; and what stands before and after it as it was."""
    same = list(like(cache, config, planned))
    found = same or [run for run in finished_on(cache, expected_device(config.device)) if trained_from(cache, run, config, planned)]
    each = [1 / rate for run in found if (rate := training_rate(run))]
    here = [run for run in found if run.config_values.get("dataset") == config.dataset]
    tokens = made.sample.mean_tokens if made.sample else median([n for run in here or found if (n := tokens_of_a_pair(run))])
    pairs = made.steps and made.steps * config.batch_size * config.accumulation * expected_processes(config)
    known = bool(same) and (made.sample is not None or bool(here))
    around = [wall - trained for run in found if (wall := wall_seconds(run)) and (trained := trained_seconds(run))]
    yield paced(Phase(made.name, "before and after", None, "", None, bool(same)), 1, around)
    yield paced(Phase(made.name, "training", made.steps, "steps", None, known), pairs and tokens and pairs * tokens, each)


def trained_from(cache: Path, run: RunDir, config: TrainConfig, planned: Mapping[str, RunConfig]) -> bool:
    """Whether a run has trained the same network, in whichever way."""
    base = base_model(cache, config.model_dump(mode="json"), planned)
    return run.outline.kind in ("reward", "policy") and base_model(cache, run.config_values) == base


def memory_of(cache: Path, made: Preflight, config: RunConfig, planned: Mapping[str, RunConfig]) -> tuple[int | None, bool]:
    """(bytes at the peak, whether they were measured): the highest of finished runs with the same batches, or what was estimated."""
    sizes = ("batch_size", "max_tokens", "forward_tokens")
    wanted = config.model_dump(mode="json")
    same = (run for run in like(cache, config, planned) if all(run.config_values.get(n) == wanted[n] for n in sizes if n in wanted))
    peaks = [peak for run in same if (peak := run.written_status.peak_bytes)]
    return (max(peaks), True) if peaks else (made.memory_bytes, False)


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
        time += f" ({duration(phase.slowest)} on a busy machine)" if phase.slowest else ""
        lines.append(f"  {phase.run}: {phase.what}{work}: {time}")
    if found.memory_bytes:
        lines.append(f"  memory: {gb(found.memory_bytes)} at most ({'measured' if found.memory_measured else 'estimated'})")
    if found.disk_bytes:
        lines.append(f"  disk: {gb(found.disk_bytes)}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"
