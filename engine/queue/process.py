"""The process of one run: whose locks it works under, how many processes share the work, what comes after it. Torch is loaded last."""

import logging
import os
import sys
from pathlib import Path

from engine.errors import PrefscopeError
from engine.machine.device_plan import expected_processes
from engine.queue import jobs
from engine.queue.launcher import LAUNCHED, run_in_processes
from engine.store.progress import Progress
from engine.store.rundir import RunDir, find_run, take_lock
from engine.store.status import State


def execute_run(cache: Path, run_id: str) -> int:
    """Run under the locks the queue handed over; started by hand, the run takes its own, and the first of several processes for all.

    Returns the exit status. Raises PrefscopeError when the run is running already.
    """
    run = find_run(cache, run_id)
    locks = jobs.inherited_locks()
    several, first = "LOCAL_RANK" in os.environ, os.environ.get("RANK", "0") == "0"
    if first and locks is None and LAUNCHED not in os.environ and take_lock(run.path / "lock") is None:
        raise PrefscopeError(f"run {run.id} is running already")
    if several:
        return work(cache, RunDir(run.path, writes=first))
    count = expected_processes(run.config)
    status = work(cache, run) if count == 1 else run_in_processes(run, count, locks or ())
    if locks is not None:
        for lock in locks:
            os.close(lock)
        jobs.start_next(cache)
    return status


def work(cache: Path, run: RunDir) -> int:
    """Do a run, or this process's share of it; the exit status."""
    logging.basicConfig(level=logging.INFO if run.writes else logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    progress = Progress(cache, run)
    progress.listen()  # before the seconds that torch takes to load
    from transformers.utils import logging as transformers_logging

    from engine.queue.run import execute

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    state = execute(progress)
    return 0 if state is State.DONE or (state is State.CANCELLED and "LOCAL_RANK" in os.environ) else 1
