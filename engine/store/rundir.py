"""What lies in a folder under cache/, and how it is written: whole or not at all.

A dataset, an import of results and a run are each a folder, and each holds its part of the database as <table>.parquet:

    datasets/<id>/   datasets · prompts · texts · pairs (.parquet), rejects.jsonl
    results/<id>/    the same, and generators · generations · scorers · rewards, raw/
    studies/<name>/  studies (.parquet): the definition; its members are runs
    runs/<id>/       config.json, status.json, metrics.jsonl, log.txt, lock, stop, checkpoints/, model/, and its tables
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from engine import ROOT
from engine.errors import DataError, RunError
from engine.settings.config import AnyRun, RunConfig, explained, shortened
from engine.settings.files import FORMAT, Outline, parse_written, upgraded
from engine.store.metrics import Measured, complete_lines, measured, read_line
from engine.store.status import GOING_ON, Failure, State, Status

if TYPE_CHECKING:
    import polars as pl  # at run time where a table is read or written: training needs none on a bare machine

STOP = "stop"  # the file in a run's folder that says that it was asked to stop; it names the run with which it was cancelled, or itself
UNFINISHED = ".unfinished"  # ends the name of what is being written
DELETED = ".deleted-"  # begins the name of a folder that is being removed
KINDS_OF_FOLDER = ("datasets", "results", "studies", "runs")
KEYS = {
    "models": ["model_id"],
    "scorers": ["scorer_id"],
    "generators": ["generator_id"],
    "generations": ["generation_id"],
    "texts": ["text_id"],
    "rewards": ["scorer_id", "prompt_id", "text_id", "record"],
    "disagreement": ["scorer_id", "prompt_id", "text_id"],
    "map_points": ["map_id", "text_id"],
}  # what a run's rows are told apart by, as in schema.sql


def cache_path() -> Path:
    """The folder everything is produced in: PREFSCOPE_CACHE, or cache/ beside the code."""
    return Path(os.environ.get("PREFSCOPE_CACHE") or ROOT / "cache")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write to a temporary neighbour and rename it over `path` once it is whole and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
    try:
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def placing(folder: Path) -> Iterator[Path]:
    """A temporary neighbour to write in, renamed to `folder` at the end: the folder is there whole or not at all.

    When another process has put the same folder there meanwhile, its is kept. Raises DataError when it cannot be written.
    """
    unfinished, lock = None, None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=UNFINISHED))
        lock = os.open(unfinished, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield unfinished
        unfinished.chmod(0o755)
        os.rename(unfinished, folder)
    except write_errors() as error:
        if not folder.is_dir():
            raise DataError(f"{folder} cannot be written: {error}") from None
    finally:
        if unfinished:
            shutil.rmtree(unfinished, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def sweep(folder: Path) -> None:
    """Remove what killed processes left half written or half deleted: whoever is at it holds a lock, which ends with its process.

    What is younger than a minute stays, because between its making and its lock it looks like that.
    """
    for path in (*folder.glob(f".*{UNFINISHED}"), *folder.glob(f"{DELETED}*")):
        try:
            abandoned = time.time() - path.stat().st_mtime > 60 and not is_locked(path)
        except OSError:  # it was renamed or removed meanwhile
            continue
        if abandoned:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Out of sight at once, then file by file."""
    gone = folder.with_name(f"{DELETED}{folder.name}")
    shutil.rmtree(gone, ignore_errors=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.rename(gone)
        shutil.rmtree(gone)
    finally:
        os.close(lock)


def write_errors() -> tuple[type[Exception], ...]:
    """What is raised when the disk refuses: the system's errors, and those of Polars where it is loaded."""
    polars = sys.modules.get("polars")
    return (OSError, polars.exceptions.PolarsError) if polars else (OSError,)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n")


def write_table(folder: Path, table: str, rows: pl.DataFrame | list[dict[str, Any]]) -> None:
    """The folder's rows of a table of schema.sql; columns by name, missing ones are null."""
    import polars as pl

    frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, infer_schema_length=None)
    with replacing(folder / f"{table}.parquet") as file:
        frame.write_parquet(file)


def add_rows(folder: Path, table: str, rows: pl.DataFrame | list[dict[str, Any]]) -> None:
    """Add rows to a folder's table; a row with the key of an earlier one takes its place."""
    import polars as pl

    new = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, infer_schema_length=None)
    old = read_table(folder, table)
    if new.height:
        both = new if old is None else pl.concat([old, new], how="diagonal_relaxed")
        write_table(folder, table, both.unique(KEYS[table], keep="last", maintain_order=True))


def read_table(folder: Path, table: str) -> pl.DataFrame | None:
    """The folder's rows of a table; None when it has none. Raises DataError when they cannot be read."""
    import polars as pl

    path = folder / f"{table}.parquet"
    try:
        return pl.read_parquet(path) if path.is_file() else None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises RunError naming the file and what is wrong with it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise RunError(f"{path} is {shortened(values)}: expected a JSON object")
    return values


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "")


@dataclass(frozen=True)
class RunDir:
    """One run's folder."""

    path: Path
    writes: bool = True  # of several processes that do one run, the first

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def config_values(self) -> dict[str, Any]:
        """What config.json holds, unknown keys included; it never changes once the run is there. Raises RunError."""
        return upgraded(read_object(self.path / "config.json"))

    @property
    def outline(self) -> Outline:
        """What lists show of the run. Raises RunError when its configuration is damaged."""
        try:
            return Outline.model_validate(self.config_values)
        except ValidationError as error:
            raise RunError(f"{self.path / 'config.json'}: {explained(error)}") from None

    @property
    def config(self) -> AnyRun:
        """All that the run was asked to do; keys of a later version are left out. Raises RunError or ConfigError."""
        return parse_written(self.config_values, str(self.path / "config.json"))

    @property
    def damage(self) -> str | None:
        """Why the run cannot be listed; None when it can."""
        try:
            _ = self.outline, self.written_status
        except RunError as error:
            return str(error)
        return None

    def write_config(self, config: RunConfig) -> None:
        write_json(self.path / "config.json", {"format": FORMAT, **config.model_dump(mode="json")})

    def write_failure(self, process: int, failure: Failure) -> None:
        """What another process than the first failed of; the first writes the status."""
        write_text(self.path / f"failure-{process}.json", failure.model_dump_json())

    def failures(self) -> list[Failure]:
        return [Failure.model_validate_json(p.read_text(encoding="utf-8")) for p in sorted(self.path.glob("failure-*.json"))]

    def forget_failures(self) -> None:
        for old in self.path.glob("failure-*.json"):
            old.unlink()

    @property
    def status(self) -> Status:
        """The last status written, except that a run which says it is running while nobody holds its lock is lost. Raises RunError."""
        written = self.written_status
        if written.state in GOING_ON and not is_locked(self.path / "lock"):
            again = self.written_status  # it may have ended between the two looks
            return again.changed(state=State.LOST) if again.state in GOING_ON and not again.finished_at else again
        return written

    @property
    def outcome(self) -> State:
        """The state its tables are ingested with: a run that has finished its work is done by that."""
        status = self.status
        return State.DONE if status.state is State.FINALISING and status.finished_at else status.state

    @property
    def stopping(self) -> bool:
        """Whether it is going on and was asked to stop: it ends at its next step."""
        return (self.path / STOP).exists() and self.written_status.state in GOING_ON

    def settle(self) -> None:
        """Its tables are in the database: a run that waited for that alone is done."""
        if self.written_status.state is State.FINALISING and self.outcome is State.DONE:
            self.update(state=State.DONE, stage="", eta_seconds=None)

    @property
    def written_status(self) -> Status:
        path = self.path / "status.json"
        try:
            return Status.of(read_object(path))
        except ValidationError as error:
            raise RunError(f"{path}: {explained(error)}") from None

    def write_status(self, status: Status) -> None:
        if self.writes:
            write_json(self.path / "status.json", status.changed(updated_at=now()).model_dump(mode="json"))

    def update(self, **changes: Any) -> Status:
        status = self.written_status.changed(**changes)
        self.write_status(status)
        return status

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def append_metrics(self, step: int, split: str, values: dict[str, float], tokens: int, seconds: float) -> None:
        """One line: the optimiser steps done, the split, and the values by name."""
        if not self.writes:
            return
        line = {"step": step, "split": split, "tokens": tokens, "seconds": round(seconds, 3), "values": values}
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    @property
    def measured(self) -> list[Measured]:
        return measured(self.metrics_path)

    def cut_metrics(self, last_step: int) -> None:
        """Forget what a run resumed from `last_step` does anew: later training steps, and the validation at that step."""
        if self.writes and self.metrics_path.is_file():
            lines = [(found, line) for line in complete_lines(self.metrics_path) if (found := read_line(line))]
            kept = [line for x, line in lines if x.step < last_step or (x.step == last_step and x.split == "train")]
            write_text(self.metrics_path, "".join(line + "\n" for line in kept))

    def table(self, name: str) -> pl.DataFrame | None:
        return read_table(self.path, name)


def run_dirs(cache: Path) -> list[RunDir]:
    """Every run that can be read, oldest first (an id begins with its time). The others: engine.store.damage."""
    return [run for folder in sorted((cache / "runs").glob("[!.]*/")) if (run := RunDir(folder)).damage is None]


def folder_of_run(cache: Path, run_id: str) -> RunDir:
    """A run that may be damaged. Raises RunError when there is none of this id."""
    run = RunDir(cache / "runs" / run_id)
    if not run_id or Path(run_id).name != run_id or run_id.startswith(".") or not run.path.is_dir():
        raise RunError(f"run {run_id!r} not found in the cache")
    return run


def find_run(cache: Path, run_id: str) -> RunDir:
    """A run that can be read. Raises RunError, for a damaged one with what is wrong with it."""
    run = folder_of_run(cache, run_id)
    if run.damage:
        raise RunError(f"run {run_id} is damaged: {run.damage}")
    return run


def take_lock(path: Path) -> int | None:
    """An exclusive lock on `path` as a file descriptor, or None when somebody holds it. It lives as long as the descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock on a file or folder."""
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def wait_for_lock(path: Path, seconds: float) -> int:
    """Take the lock, waiting for its holder. Raises RunError after `seconds`."""
    deadline = time.monotonic() + seconds
    while (descriptor := take_lock(path)) is None:
        if time.monotonic() > deadline:
            raise RunError(f"{path} is held by another process for more than {seconds:.0f} s")
        time.sleep(0.05)
    return descriptor
