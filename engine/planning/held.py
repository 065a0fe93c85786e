"""Memory that others hold now and give back before a run has its turn. Torch-free."""

from contextlib import suppress
from pathlib import Path

import psutil

from engine.store.rundir import is_locked, run_dirs
from engine.store.server import server_of
from engine.store.status import State


def held_by_runs(cache: Path) -> int:
    """Resident bytes of the runs that are going on, which are given back before the next one starts."""
    held = 0
    for run in run_dirs(cache):
        status = run.written_status
        if status.state is State.RUNNING and status.pid and is_locked(run.path / "lock"):
            held += held_by(status.pid)
    return held


def held_by_server(cache: Path) -> int:
    """Resident bytes of the playground's process, which ends when a run begins."""
    server = server_of(cache)
    return held_by(server.pid) if server else 0


def held_by(pid: int) -> int:
    """Resident bytes of a process and its children; 0 when it has ended."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return sum(int(p.memory_info().rss) for p in (process, *process.children(recursive=True)))
    return 0
