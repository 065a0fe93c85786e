"""What a run's configuration names (dataset, splits, runs, models), and whether it is there. Torch-free."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import ModelError, RunError
from engine.model.folders import SENTENCE_MODEL, folder_of
from engine.settings.config import EmbedConfig, EnsembleConfig, RunConfig, SlicedConfig, TrainConfig
from engine.settings.ref import references
from engine.store.rundir import RunDir, folder_of_run
from engine.store.status import ENDED, STOPPED

RUN_ID = re.compile(r"\d{8}-\d{6}-\d{6}-")


@dataclass
class Findings:
    """Sentences about a run that has not begun."""

    problems: list[str] = field(default_factory=list)  # the run would fail
    too_large: list[str] = field(default_factory=list)  # of memory
    warnings: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # what cannot be said yet, and why


def check_splits(config: RunConfig, splits: Mapping[str, int], found: Findings) -> set[str]:
    """Every split the configuration names exists, and none is both trained on and measured on. The fields that name an absent one."""
    absent = [(place, split) for place, ref, split in references(config) if "split" in ref.targets and split not in splits]
    there = ", ".join(splits) or "(none)"
    for place, split in absent:
        found.problems.append(f"{place}: dataset {config.dataset} has no split {split!r}, expected one of {there}")
    if isinstance(config, TrainConfig) and config.train_split in config.validation_splits:
        found.problems.append(f"validation split {config.train_split!r} is the training split")
    return {place for place, _ in absent}


def check_runs(cache: Path, config: RunConfig, planned: Mapping[str, RunConfig], found: Findings) -> None:
    """Every run the configuration names exists, is of the right kind, and has not stopped on its way."""
    for place, ref, name in references(config):
        is_run = existing(cache, name) is not None or name in planned
        if ref.kinds and (is_run or "model" not in ref.targets):
            wrong = wrong_run(cache, name, ref.kinds, planned)
            if wrong:
                found.problems.append(f"{place}: {wrong}")


def wrong_run(cache: Path, run_id: str, kinds: tuple[str, ...], planned: Mapping[str, RunConfig]) -> str | None:
    """Why a run cannot be what a field of these kinds names; None when it can."""
    run = existing(cache, run_id)
    if run is None and run_id not in planned:
        return f"run {run_id!r} not found in the cache"
    if run and run.damage:
        return f"run {run_id} is damaged: {run.damage}"
    kind = planned[run_id].kind if run is None else run.outline.kind
    if kind not in kinds:
        return f"{run_id} is a {kind} run, expected a {' or '.join(kinds)} run"
    return stopped(run) if run else None


def check_models(cache: Path, config: RunConfig, planned: Mapping[str, RunConfig], found: Findings) -> list[Path]:
    """Every model the configuration needs is there or can be fetched; the folders of those that are on this machine."""
    folders = []
    for name, model in models_named(config):
        run = existing(cache, model)
        if run and run.damage:
            continue  # told by check_runs
        if model in planned or (run and run.status.state not in ENDED):
            whose = planned[model].name if model in planned else run.outline.name if run else model
            found.unknown.append(f"{name}: run {whose!r} has not made its model yet, so its size and memory are unknown")
            continue
        try:
            if run and (why := stopped(run)):
                raise ModelError(why)
            folder = local(cache, model)
        except ModelError as error:
            found.problems.append(f"{name}: {error}")
            continue
        if folder is None:
            found.unknown.append(f"{name}: {model} is not on this machine and is fetched when the run starts: its memory is unknown")
        else:
            folders.append(folder)
    return folders


def models_named(config: RunConfig) -> Iterator[tuple[str, str]]:
    """(field, model) of every model the run loads. An ensemble may live on its members' stored rewards."""
    for place, ref, name in references(config):
        if "model" in ref.targets or ("reward" in ref.kinds and not isinstance(config, EnsembleConfig)):
            yield place, name
    if isinstance(config, EmbedConfig):
        yield "sentence model", SENTENCE_MODEL


def local(cache: Path, model: str) -> Path | None:
    """A model's folder; None for a hub name that was not fetched yet. Raises ModelError when it can be neither."""
    folder = folder_of(cache, model)
    if folder is None and model == SENTENCE_MODEL:
        raise ModelError(f"{model} is not in the cache: run `./run.sh setup` once to fetch it")
    if folder is None and RUN_ID.match(model):
        raise ModelError(f"run {model!r} not found in the cache")
    return folder


def awaited(cache: Path, config: RunConfig, planned: Mapping[str, RunConfig]) -> str | None:
    """The name of the score run, to come or not done yet, that tells which rows are in a run's slice; None when that is known."""
    if not (isinstance(config, SlicedConfig) and config.slice):
        return None
    for run_id in config.parents:
        run = existing(cache, run_id)
        if run is None and run_id in planned and planned[run_id].kind == "score":
            return planned[run_id].name
        if run and not run.damage and run.outline.kind == "score" and run.status.state not in ENDED:
            return run.outline.name
    return None


def existing(cache: Path, run_id: str) -> RunDir | None:
    """The run of this id, which may be damaged; None when there is none."""
    try:
        return folder_of_run(cache, run_id)
    except RunError:
        return None


def stopped(run: RunDir) -> str | None:
    """Why a run will not have its results, as far as its state says; None when it has them or can still get them."""
    state = run.status.state
    return f"run {run.id} ({run.outline.name}) is {state}: resume it first" if state in STOPPED else None
