"""What runs to come will take, told while somebody still changes their settings: nothing here waits for a tokenizer."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.state import data
from engine.errors import PrefscopeError
from engine.planning.cost import Cost, cost
from engine.planning.references import awaited, existing
from engine.planning.workload import Sample, items_of
from engine.settings.config import RunConfig, ScoreConfig, TrainConfig
from engine.store.rundir import cache_path
from engine.store.slices import counts

COUNTED_BY = {"kind", "dataset", "train_split", "model", "system_prompt", "max_tokens", "seed", "group_by", "conditional", "slice"}
"""The settings on which the tokens of a run's pairs depend."""


@dataclass
class Counting:
    """Tokens that were counted, or are being counted in a process of the engine, by the settings they depend on."""

    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    asked: dict[str, Future[dict[str, Any]]] = field(default_factory=dict)


@st.cache_resource(show_spinner=False)
def counting(cache: Path) -> Counting:
    return Counting()


@dataclass(frozen=True)
class Tokens:
    """What the tokenizer says of a run's pairs."""

    sample: Sample | None = None
    sentences: tuple[str, ...] = ()  # what it refuses
    pending: bool = False


def tokens_of(config: TrainConfig) -> Tokens:
    """The tokens of the training pairs; pending at first, while they are counted in the background."""
    here, key = counting(cache_path()), config.model_dump_json(include=COUNTED_BY)
    if key not in here.asked:
        here.asked[key] = here.pool.submit(data.preflight, config)
    if not here.asked[key].done():
        return Tokens(pending=True)
    try:
        found = here.asked[key].result()
    except PrefscopeError as error:
        return Tokens(sentences=tuple(str(error).splitlines()))
    return said_by(found)


def said_by(found: Mapping[str, Any]) -> Tokens:
    """The same of a pre-flight that is at hand."""
    return Tokens(Sample(**found["sample"]) if found["sample"] else None, tuple(found["refusals"]))


def cost_of(planned: Mapping[str, RunConfig], sample: Sample | None) -> Cost:
    """What planned runs will take, without asking a tokenizer."""
    return cost(cache_path(), planned, sample)


@dataclass(frozen=True)
class Expected:
    """About how many training pairs are in a slice that is known once they are scored: by its share in a split where it is known."""

    split: str
    here: int  # of its pairs in the slice
    of: int  # its pairs
    total: int  # training pairs
    fewer: bool  # the slice is of wrong pairs, and a model that ranks them has learned from the training pairs

    @property
    def pairs(self) -> int:
        return max(1, round(self.total * self.here / self.of))


def expected_of(planned: Mapping[str, RunConfig], split: str | None) -> Expected | None:
    """The same of the training that is planned; None where its slice is known already, or has no pair in this split."""
    trains = next((config for config in planned.values() if isinstance(config, TrainConfig)), None)
    if trains is None or trains.slice is None or not awaited(cache_path(), trains, planned):
        return None
    here, of = data.read(counts, trains.slice).get(split or "", (0, 0))
    try:
        total = items_of(cache_path(), trains.model_copy(update={"slice": None}))[0]
    except PrefscopeError:  # said beside the settings
        return None
    if not (here and total):
        return None
    return Expected(str(split), here, of, total, trains.slice.of_wrong_pairs and learned_from(trains, planned, cache_path()))


def learned_from(config: TrainConfig, planned: Mapping[str, RunConfig], cache: Path) -> bool:
    """Whether a model that scores the training pairs first was trained on pairs of their split."""
    before = [planned.get(name) or (run.config if (run := existing(cache, name)) else None) for name in config.parents]
    judges = [existing(cache, name) for scoring in before if isinstance(scoring, ScoreConfig) for name in scoring.reward_models]
    return any(
        (run.outline.dataset, run.config_values.get("train_split", "train")) == (config.dataset, config.train_split)
        for run in judges
        if run
    )


def expected_cost(planned: Mapping[str, RunConfig], sample: Sample | None, expected: Expected) -> Cost:
    """What planned runs will take where training is on as many pairs as are expected."""
    there = {"slice": None, "pairs": expected.pairs}
    return cost_of({name: run.model_copy(update=there) if isinstance(run, TrainConfig) else run for name, run in planned.items()}, sample)
