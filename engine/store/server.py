"""The playground's process as other processes see it: the file it holds a lock on while it lives, which says where it listens."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.store.rundir import RunDir, is_locked, run_dirs
from engine.store.status import GOING_ON


@dataclass(frozen=True)
class Server:
    """Where the process listens on 127.0.0.1, and the word it asks for."""

    pid: int
    port: int
    token: str


def lock_of_server(cache: Path) -> Path:
    return cache / "locks" / "serve.lock"


def server_of(cache: Path) -> Server | None:
    """The process that serves this cache; None when there is none or it does not listen yet."""
    path = lock_of_server(cache)
    if not is_locked(path):
        return None
    try:
        return Server(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def announce(lock: int, server: Server | None) -> None:
    """Write into the lock's file, which only its owner may read, where the process listens; None: not yet."""
    os.fchmod(lock, 0o600)
    os.ftruncate(lock, 0)
    if server:
        os.pwrite(lock, json.dumps(asdict(server)).encode(), 0)


def run_going_on(cache: Path) -> RunDir | None:
    """A run that has the device now."""
    return next((run for run in run_dirs(cache) if run.written_status.state in GOING_ON and is_locked(run.path / "lock")), None)
