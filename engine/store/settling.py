"""What the database lacks, or cannot give any more, is set right at the start and whenever the queue is looked at."""

import logging
from pathlib import Path

from engine.errors import StoreError
from engine.store import database
from engine.store.rundir import is_locked, run_dirs
from engine.store.status import State

log = logging.getLogger("engine")


def settle_waiting(cache: Path) -> None:
    """Ingest the runs that wait for nothing but the database, when it is free now."""
    waiting = [r for r in run_dirs(cache) if r.written_status.state is State.FINALISING and r.outcome is State.DONE]
    if any(not is_locked(run.path / "lock") for run in waiting):
        try:
            with database.writing(cache, deadline_seconds=1):
                pass
        except StoreError as error:
            log.warning("not ingested yet: %s", error)


def renew(cache: Path) -> None:
    """Make the database anew when another version of Prefscope made it, as any writer does. What cannot be opened is left as it is."""
    try:
        with database.reading(cache):
            return
    except StoreError:
        try:
            with database.writing(cache):
                log.warning("%s is of this version of Prefscope now", database.database_path(cache))
        except StoreError as error:
            log.warning("%s", error)
