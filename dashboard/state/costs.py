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
from engine.planning.workload import Sample
from engine.settings.config import RunConfig, TrainConfig
from engine.store.rundir import cache_path

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
