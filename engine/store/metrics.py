"""metrics.jsonl: one line for each measurement of a run, appended while it goes on. A damaged line is left out and counted."""

from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError


class Measured(BaseModel):
    """What was measured at one step."""

    model_config = ConfigDict(frozen=True)
    step: int  # optimiser steps done
    split: str  # train, or the evaluated split
    values: dict[str, float]  # by name
    tokens: int | None = None  # packed tokens trained on so far
    seconds: float | None = None  # of training so far


def complete_lines(path: Path) -> list[str]:
    """The lines of a file that is being appended to, without a torn last one."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return text[: text.rfind("\n") + 1].splitlines()


def measured(path: Path) -> list[Measured]:
    """What a run measured, in the order it was written; without damaged lines."""
    return [found for line in complete_lines(path) if (found := read_line(line))] if path.is_file() else []


def read_line(line: str) -> Measured | None:
    """A line's measurement; None when it holds none."""
    try:
        return Measured.model_validate_json(line)
    except ValidationError:
        return None


def damage_of_metrics(path: Path) -> str | None:
    """Which lines hold no measurement; None when all do, or when there is no file."""
    if not path.is_file():
        return None
    stat = path.stat()
    return looked_through(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1000)
def looked_through(path: Path, changed_ns: int, size: int) -> str | None:
    """The answer of `damage_of_metrics`, found once for each state of the file."""
    damaged = [number for number, line in enumerate(complete_lines(path), 1) if read_line(line) is None]
    if not damaged:
        return None
    more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
    return f"{path} line {damaged[0]}{more}: no measurement, left out"
