"""How long every page takes over a large cache of seeded numbers: `python -m tests.benchmarks.pages` (--pairs 30000).

Each visit is the page's own script without a browser, with nothing remembered of the database; then one control of the page is used. The
middle one of several counts. CPU seconds are the process's own, all threads together, and hold on a busy machine too.
"""

import argparse
import logging
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.figures import registry
from engine.data.records import digest
from engine.statistics import intervals
from engine.store import database, rundir, slices
from engine.store.rundir import RunDir

from .measure import Task
from .table_sides import fill_tables

ROOT = Path(__file__).parents[2]
APP = ROOT / "dashboard" / "app.py"


def other(key: str) -> Callable[[AppTest], Any]:
    """Choose the second option of a list."""
    return lambda app: app.selectbox(key=key).select_index(1)


CONTROLS: dict[str, Callable[[AppTest], Any]] = {
    "overview": other("pick_trained"),
    "data": lambda app: app.text_input(key="pair_search").set_value("sensitive"),
    "training": other("pick_trained"),
    "reward_model": lambda app: app.button(key="pair_down").click(),
    "length_bias": lambda app: app.button(key="pair_down").click(),
    "dpo_vs_base": lambda app: app.button(key="only_complete").click(),
    "prompts": other("prompt_flag"),
    "playground": lambda app: app.segmented_control(key="play_mode").set_value("paste"),
    "runs": other("new_kind"),
    "report": lambda app: app.segmented_control(key="report_width").set_value("column"),
}


def filled(folder: Path, pairs: int, copies: int) -> Path:
    """A cache of so many pairs, four scorers and two generators, made as a finished experiment's runs leave it."""
    fill_tables(Task("", str(folder), "", {"pairs": pairs}))
    cache = folder / "cache"
    add_scorers(cache)
    if copies > 1:
        multiplied(cache, copies)
    return cache


def add_scorers(cache: Path) -> None:
    """Two more scorers, of a second reward model: every reward of the first two, moved by noise."""
    [first] = [run for run in rundir.run_dirs(cache) if run.id.endswith("-score")]
    second = RunDir(first.path.with_name("20260102-000650-score"))
    shutil.copytree(first.path, second.path)
    scorers, rewards = (rundir.read_table(first.path, name) for name in ("scorers", "rewards"))
    assert scorers is not None
    assert rewards is not None
    ids = {i: digest(i, "second") for i in scorers["scorer_id"]}
    noise = pl.Series(np.random.default_rng(1).normal(0, 0.5, len(rewards)))
    renamed = pl.col("scorer_id").replace_strict(ids)
    rundir.write_table(second.path, "scorers", scorers.with_columns(renamed, pl.col("name") + " 2"))
    rundir.write_table(second.path, "rewards", rewards.with_columns(renamed, pl.col("reward") + noise))
    database.ingest(cache, second.path)


def multiplied(cache: Path, copies: int) -> None:
    """Every pair, response, answer and reward so many times, under ids of their own."""
    ids = ("pair_id", "prompt_id", "text_id", "chosen_id", "rejected_id", "generation_id")
    for path in sorted(path for folder in database.folders(cache) for path in folder.glob("*.parquet")):
        rows = pl.read_parquet(path)
        if own := [name for name in ids if name in rows.columns]:
            rundir.write_table(path.parent, path.stem, pl.concat([rows.with_columns(pl.col(own) + f"-{i}") for i in range(copies)]))
    database.rebuild(cache)


def timed(work: Callable[[], AppTest]) -> tuple[float, float, AppTest]:
    """Wall and CPU seconds of a run of the script. Raises RuntimeError for a page that fails."""
    wall, cpu = time.perf_counter(), time.process_time()
    app = work()
    found = time.perf_counter() - wall, time.process_time() - cpu, app
    if app.exception:
        raise RuntimeError(app.exception[0].message)
    return found


def forget() -> None:
    """Everything that is kept of the database and of what was drawn."""
    st.cache_data.clear()
    slices.kept.clear()
    registry.drawn_once.cache_clear()
    intervals.times_drawn.cache_clear()
    intervals.drawn_of.cache_clear()


def visit(page: str) -> tuple[float, float, float, float]:
    """Wall and CPU seconds of a first visit, and of one control."""
    forget()
    app = AppTest.from_file(str(APP), default_timeout=300)
    app.switch_page(f"views/{page}.py")
    wall, cpu, app = timed(app.run)
    CONTROLS[page](app)
    return wall, cpu, *timed(app.run)[:2]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=30_000, help="in the dataset (default: %(default)s)")
    parser.add_argument("--copies", type=int, default=1, help="of each pair and all that belongs to it; 9 of 30,000: a million responses")
    parser.add_argument("--repetitions", type=int, default=3, help="of every page (default: %(default)s)")
    parser.add_argument("--pages", nargs="+", choices=CONTROLS, default=list(CONTROLS))
    parser.add_argument("--cache", type=Path, help="a folder to keep the cache in, used again when it is there (default: a temporary one)")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # streamlit's own, outside a server
    sys.path.insert(0, str(ROOT / "tests"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.cache or Path(temporary)
        cache = folder / "cache" if (folder / "cache").is_dir() else filled(folder, options.pairs, options.copies)
        os.environ["PREFSCOPE_CACHE"] = str(cache)
        visit(options.pages[0])  # what is imported once
        print(f"{'page':14}{'first visit':>14}{'CPU':>8}{'a control':>14}{'CPU':>8}   seconds, medians of {options.repetitions}")
        for page in options.pages:
            rows = zip(*(visit(page) for _ in range(options.repetitions)), strict=True)
            wall, cpu, again, again_cpu = (statistics.median(row) for row in rows)
            print(f"{page:14}{wall:14.2f}{cpu:8.2f}{again:14.2f}{again_cpu:8.2f}", flush=True)


if __name__ == "__main__":
    main()
