"""What a running run tells the world while it works, and how it hears that it should stop."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import StoreError
from engine.machine import memory
from engine.store.rundir import RunDir, add_rows, write_table

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger("engine")


class Cancelled(BaseException):
    """The run was asked to stop; not an error, so that no `except Exception` swallows it."""


@dataclass
class Progress:
    """A run's status file, its notes and its stop signal."""

    cache: Path
    run: RunDir
    stopping: bool = False
    agreed: Callable[[bool], bool] = bool  # whether any of the run's processes says so
    _written: float = 0.0
    _began: float = 0.0
    _first: int = 0
    _stage: str = ""

    def listen(self) -> None:
        """From now on SIGTERM and SIGINT stop the run at its next step."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: object) -> None:
        self.stopping = True

    def stage(self, name: str, steps: int = 0, unit: str = "steps", first: int = 0) -> None:
        """A new stage begins with `first` of `steps` done."""
        log.info("%s%s", name, f" ({steps} {unit})" if steps else "")
        self._began, self._first = time.monotonic(), first
        peaks = self.stage_peaks()
        self._stage = name
        self.run.update(stage=name, step=first, steps=steps, unit=unit, rate=None, eta_seconds=None, stage_peaks=peaks)
        memory.mark()
        self.check()

    def stage_peaks(self) -> dict[str, int]:
        """Peak bytes by stage, with that of the stage so far. One that comes again after other steps counts as the same, at its highest."""
        peaks, name = self.run.written_status.stage_peaks, self._stage.partition(" after step ")[0]
        return {**peaks, name: max(memory.peak(), peaks.get(name, 0))} if name else peaks

    def advance(self, step: int, steps: int) -> None:
        """`step` of `steps` are done; written at most once a second, and where the run stops. Raises Cancelled as `check` does."""
        moment, stops = time.monotonic(), self.agreed(self.stopping)
        if stops or step >= steps or moment - self._written >= 1:
            self._written = moment
            rate = (step - self._first) / max(moment - self._began, 1e-9)
            self.run.update(step=step, steps=steps, rate=rate, eta_seconds=(steps - step) / rate if rate else None)
        if stops:
            raise Cancelled

    def check(self) -> None:
        """Raises Cancelled when the run was asked to stop, in all of its processes together."""
        if self.agreed(self.stopping):
            raise Cancelled

    def note(self, sentence: str) -> None:
        """A sentence for the user that stays with the run."""
        log.info("%s", sentence)
        notes = self.run.written_status.notes
        if sentence not in notes:
            self.run.update(notes=(*notes, sentence))

    def add(self, table: str, rows: pl.DataFrame | list[dict[str, Any]]) -> None:
        """Add rows to one of the run's tables, in place of earlier ones with the same key."""
        if self.run.writes:
            add_rows(self.run.path, table, rows)

    def write_table(self, table: str, rows: list[dict[str, Any]]) -> None:
        """A file of the run's own that is not a table of the database."""
        if self.run.writes:
            write_table(self.run.path, table, rows)

    def milestone(self) -> str | None:
        """Bring what the run's files hold into the database. A busy one never fails a run: the next that writes takes them; why."""
        if not self.run.writes:
            return None
        from engine.store import database  # here, so that training itself needs no DuckDB

        try:
            database.ingest(self.cache, self.run.path)
        except StoreError as error:
            log.warning("not ingested yet: %s", error)
            return str(error)
        return None
