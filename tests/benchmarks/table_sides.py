"""Files into the cache, folders into the database, and the questions that the pages ask of it."""

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from engine.data.datasets_io import import_dataset
from engine.data.records import PreferencePair, Turn
from engine.store import database
from engine.store.rundir import read_table

from .machine import peak_bytes
from .measure import Measured, Task
from .prepare import NOTHING

REPEATS = 3  # of each query


def timed(work: Callable[[], float]) -> Measured:
    """`work` returns how many units it did."""
    began = time.perf_counter()
    units = work()
    seconds = time.perf_counter() - began
    return Measured(units, 0, seconds, peak_bytes=peak_bytes())


def importing(task: Task) -> Measured:
    """Read, check, deduplicate, split, hash, write and ingest one file."""
    cache = Path(tempfile.mkdtemp())

    def work() -> float:
        made = import_dataset(cache, "bench", task.settings["file"])
        return made.kept + made.dropped

    return timed(work)


def importing_with_datasets(task: Task) -> Measured:
    """Hugging Face datasets: the same file to Parquet, with no check at all."""
    import datasets

    datasets.disable_progress_bars()
    kind = "parquet" if ".parquet" in task.settings["file"] else "json"
    folder = tempfile.mkdtemp()

    def work() -> float:
        found = datasets.load_dataset(kind, data_files=task.settings["file"], split="train", cache_dir=folder)
        found.to_parquet(f"{folder}/found.parquet")
        return len(found)

    return timed(work)


def fill_tables(task: Task) -> Measured:
    """A cache with so many pairs, two scorers, answers of two generators, curves and maps: seeded numbers instead of training."""
    from filled import fill  # of tests/, which is on the path of every child

    rng = random.Random(task.seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(3000)]

    def text(most: int) -> str:
        return " ".join(rng.choices(words, k=rng.randint(5, most)))

    kinds = ("general", "advice", "sensitive")
    pairs = [
        PreferencePair((Turn("user", f"{text(40)} {i}"),), text(120), text(120), kinds[i % 3], "seeded", i + 1)
        for i in range(task.settings["pairs"])
    ]
    fill(Path(task.work) / "cache", steps=min(7000, task.settings["pairs"]), given=pairs)
    return NOTHING


def folders(task: Task) -> list[Path]:
    return database.folders(Path(task.work) / "cache")


def ingesting(task: Task) -> Measured:
    """Every folder's tables into a database that is not there yet."""
    cache = Path(tempfile.mkdtemp())

    def work() -> float:
        for folder in folders(task):
            database.ingest(cache, folder)
        return 0

    found = timed(work)
    with database.reading(cache) as con:
        rows = sum(con.execute(f"select count(*) from {table}").fetchall()[0][0] for table in database.tables(con))
    return Measured(rows, 0, found.seconds, peak_bytes=found.peak_bytes)


def ingesting_without_keys(task: Task) -> Measured:
    """DuckDB reads the same Parquet files into tables with no keys, no types of ours and no runs."""
    path = f"{tempfile.mkdtemp()}/plain.duckdb"
    files = [p for folder in folders(task) for p in sorted(folder.glob("*.parquet"))]

    def work() -> float:
        con = duckdb.connect(path)
        for i, file in enumerate(files):
            con.execute(f"create table t{i} as select * from read_parquet(?)", [str(file)])
        rows = sum(con.execute(f"select count(*) from t{i}").fetchall()[0][0] for i in range(len(files)))
        con.close()
        return float(rows)

    return timed(work)


def queries(task: Task) -> Measured:
    """Every figure's and table's question once, by its median; `about` names the slowest."""
    from dashboard.figures import FIGURES, TABLES
    from dashboard.queries import default_selection

    seconds: dict[str, float] = {}
    with database.reading(Path(task.work) / "cache") as con:
        database.show_live(con, Path(task.work) / "cache")
        chosen = default_selection(con)
        for name, query in [(f.name, f.query) for f in FIGURES] + [(t.name, t.query) for t in TABLES]:
            seconds[name] = statistics.median(lasted(partial(query, con, chosen)) for _ in range(REPEATS))
    slowest = dict(sorted(seconds.items(), key=lambda item: -item[1])[:5])
    return Measured(len(seconds), 0, sum(seconds.values()), peak_bytes=peak_bytes(), about={"slowest": slowest})


def lasted(question: Callable[[], Any]) -> float:
    began = time.perf_counter()
    question()
    return time.perf_counter() - began


def joins_in_polars(task: Task) -> Measured:
    """As many plain joins of pairs with both rewards, read from Parquet by Polars, as `queries` asks questions."""
    from dashboard.figures import FIGURES, TABLES

    tables: dict[str, list[pl.DataFrame]] = {"pairs": [], "rewards": []}
    for folder in folders(task):
        for name, found in tables.items():
            if (rows := read_table(folder, name)) is not None:
                found.append(rows)
    pairs, rewards = (pl.concat(found) for found in tables.values())
    sides = [rewards.rename({"text_id": f"{side}_id", "reward": side}) for side in ("chosen", "rejected")]
    one = lasted(lambda: pairs.join(sides[0], on=["prompt_id", "chosen_id"]).join(sides[1], on=["prompt_id", "rejected_id", "scorer_id"]))
    asked = len(FIGURES) + len(TABLES)
    return Measured(asked, 0, one * asked, peak_bytes=peak_bytes(), about={"note": "one join, times the questions"})
