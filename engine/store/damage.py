"""Which folders under cache/ are damaged. One damaged folder is named and left out; everything else works, and it can be deleted."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import polars as pl

from engine.errors import DataError
from engine.store.database import declared_columns
from engine.store.metrics import damage_of_metrics
from engine.store.rundir import KINDS_OF_FOLDER, RunDir

NEEDED = {"datasets": ("datasets", "prompts", "texts", "pairs"), "studies": ("studies",)}  # {kind of folder: its tables}


def damaged(cache: Path, *kinds: str) -> dict[Path, str]:
    """{folder: what is wrong with it}, of datasets, results, studies and runs, or of some of these kinds."""
    found = {}
    for kind in kinds or KINDS_OF_FOLDER:
        for folder in sorted((cache / kind).glob("[!.]*/")):
            if why := damage_of(folder):
                found[folder] = why
    return found


def damage_of(folder: Path) -> str | None:
    """What is wrong with a folder's files, as far as their beginnings and ends tell; None when nothing is."""
    missing = [table for table in NEEDED.get(folder.parent.name, ()) if not (folder / f"{table}.parquet").is_file()]
    if missing:
        return f"{folder} has no {missing[0]}.parquet"
    broken = (why for path in sorted(folder.glob("[!.]*.parquet")) if (why := damage_of_table(path)))
    own = RunDir(folder).damage if folder.parent.name == "runs" else None
    return own or next(broken, None) or damage_of_metrics(folder / "metrics.jsonl")


def damage_of_table(path: Path) -> str | None:
    stat = path.stat()
    return footer_of(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=10_000)
def footer_of(path: Path, changed_ns: int, size: int) -> str | None:
    """Why a table's description of itself cannot be read or is of another table, found once for each state of the file."""
    try:
        names = pl.read_parquet_schema(path).keys()
    except (OSError, pl.exceptions.PolarsError) as error:
        return f"{path} cannot be read: {error}"
    declared = declared_columns().get(path.stem)
    if declared is None:  # no table of the database
        return None
    wrong = [f"it has no column {name}" for name, may_be_empty in declared.items() if not may_be_empty and name not in names]
    wrong += [f"it has a column {name!r:.80} more" for name in names if name not in declared]
    return f"{path} does not fit the table {path.stem}: {wrong[0]}" if wrong else None


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """What goes wrong with the contents of a folder's tables becomes a DataError that names it."""
    try:
        yield
    except (pl.exceptions.PolarsError, LookupError, ValueError, TypeError) as error:
        raise DataError(f"{folder} is damaged ({type(error).__name__}: {error}): delete it and import it again") from None
