"""A filled cache in which every name and text tries to be more than text."""

import json
from pathlib import Path

import polars as pl
from filled import fill, pairs

from engine.data.records import PreferencePair, Turn
from engine.store import database, rundir
from engine.store.rundir import run_dirs

NAMES = {  # the columns of each table that hold what somebody else wrote
    "datasets": ("name", "source", "licence"),
    "pairs": ("prompt_type", "source"),
    "generators": ("name",),
    "scorers": ("name",),
    "studies": ("title",),
}


def attack(address: str) -> str:
    """A formula, a terminal's colour, two links, two images, a bare address, a tab, and a turn of the direction of writing."""
    return (
        f"=1+1\t\x1b[31m![x]({address}/a.png) [link]({address}/b) <img src='{address}/c.png'> <a href='{address}/d'>go</a> "
        f"{address}/e $x^2$ :red[hot] `code` \u202e"
    )


def fill_hostile(cache: Path, address: str) -> Path:
    """What tests/filled.py fills, every name and text with an attack before it that points to `address`."""
    said = attack(address)
    fill(cache, given=[hostile_pair(pair, said) for pair in pairs()])
    for table, columns in NAMES.items():
        for path in cache.glob(f"*/*/{table}.parquet"):
            rows = pl.read_parquet(path).with_columns(pl.concat_str(pl.lit(said), pl.col(c)).alias(c) for c in columns)
            rows.write_parquet(path)
    for run in run_dirs(cache):
        config = json.loads((run.path / "config.json").read_text())
        named = {key: said + config[key] for key in ("name", "configuration") if config.get(key)}
        rundir.write_json(run.path / "config.json", {**config, **named})
        run.update(notes=(f"{said}note",), error=f"{said}error" if run.status.error or run.id.endswith("map") else None)
    run_dirs(cache)[-2].update(state="failed", error=f"{said}error\nsecond line", stage=f"{said}stage", step=3)
    database.rebuild(cache)
    return cache


def hostile_pair(pair: PreferencePair, said: str) -> PreferencePair:
    """The pair with an attack at the beginning of its prompt, after a tab, and of both its responses."""
    turns = tuple(Turn(turn.role, f"\t{said}{turn.content}") for turn in pair.turns)
    return PreferencePair(turns, said + pair.chosen, f"{said}{pair.rejected}", pair.prompt_type, pair.source, pair.line)
