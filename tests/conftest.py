"""Fixtures shared by several test files."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from filled import fill
from hypothesis import HealthCheck, settings

from dashboard import queries
from dashboard.queries import Selection
from engine.store import database
from engine.store.database import Connection

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start: threads of a tiny model wait longer than they compute
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # time limits fail on a busy machine
settings.load_profile("busy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that two processes that take file after file end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("browser")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="session")
def _loaded_modules_are_not_collected() -> None:
    """A collection looks through 400,000 objects of torch and transformers for half a second, and every toy run makes several."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def empty_cache(tmp_path: Path) -> Path:
    """A cache nothing has been done in."""
    return tmp_path / "cache"


@pytest.fixture
def cache(empty_cache: Path) -> Path:
    return empty_cache


@pytest.fixture
def dataset(cache: Path) -> str:
    """Twelve seeded pairs to train on and six to validate, imported."""
    from tiny import toy_dataset  # here, because it imports torch

    return toy_dataset(cache)


@pytest.fixture(scope="session")
def filled_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache after the whole experiment (tests/filled.py). Shared by all tests: read it, never write to it."""
    return fill(tmp_path_factory.mktemp("filled") / "cache")


@pytest.fixture
def own_cache(filled_cache: Path, tmp_path: Path) -> Path:
    """A copy of that cache, to be changed."""
    return Path(shutil.copytree(filled_cache, tmp_path / "copy"))


@pytest.fixture
def con(filled_cache: Path) -> Iterator[Connection]:
    with database.reading(filled_cache) as con:
        database.show_live(con, filled_cache)
        yield con


@pytest.fixture
def chosen(con: Connection) -> Selection:
    """What a page opens on."""
    return queries.default_selection(con)


@pytest.fixture
def pairs(con: Connection, chosen: Selection) -> pl.DataFrame:
    """The validation pairs under the trained scorer, the most wrongly ranked first."""
    query = "from scored_pairs where scorer_id = $s and split = 'validation' order by margin, pair_id"
    return database.frame(con, query, {"s": chosen.trained_scorer})


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a two-layer random Llama chat model."""
    from tiny import save_tiny  # here, because it imports torch

    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a two-layer random Qwen2 chat model."""
    from tiny import save_tiny

    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-qwen2", "qwen2")


@pytest.fixture(scope="session")
def toy_cache(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A cache in which the engine has really done a small experiment (tests/tiny.py). Read it, never write to it."""
    from tiny import toy_experiment

    cache = tmp_path_factory.mktemp("toy") / "cache"
    runs = toy_experiment(cache, tiny_llama)
    assert [run.status.error for run in runs.values()] == [None] * 5
    return cache


@pytest.fixture
def own_toy_cache(toy_cache: Path, tmp_path: Path) -> Path:
    """A copy of that cache, to be changed."""
    return Path(shutil.copytree(toy_cache, tmp_path / "toy copy"))
