"""The playground's process from outside: started when it is needed, asked, left to itself. Torch-free."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from engine import ROOT
from engine.errors import ServeError, TooLargeError
from engine.machine import memory
from engine.machine.device_plan import WAITING
from engine.planning.estimates import PROCESS
from engine.planning.preflight import gb
from engine.serve.requests import Asked
from engine.store.opening import let_go
from engine.store.rundir import is_locked
from engine.store.server import Server, lock_of_server, run_going_on, server_of

STARTING = 120.0  # seconds in which the process must listen: torch takes 5 to 20 of them to load
SILENT = 600.0  # seconds without a line after which it is given up
STARTING_ONE = threading.Lock()
STARTED: dict[Path, subprocess.Popen[bytes]] = {}  # by this process, whose end theirs follows


def ask(cache: Path, asked: Asked) -> Iterator[dict[str, Any]]:
    """The lines of a reply as they come (engine/serve/replies.py); closing the iterator ends the work on it.

    Raises ServeError with a sentence: while a run is going on, when memory does not suffice, when the process cannot be started.
    """
    let_go()
    refuse_beside_run(cache)
    with STARTING_ONE:
        server = server_of(cache) or started(cache)
    connection = HTTPConnection("127.0.0.1", server.port, timeout=SILENT)
    try:
        connection.request("POST", "/", asked.model_dump_json().encode(), {"Authorization": f"Bearer {server.token}"})
        with connection.getresponse() as response:
            for raw in response:
                line = json.loads(raw)
                if "error" in line:
                    raise ServeError(line["error"])
                if "done" in line:
                    return
                yield line
        raise ServeError(ended(cache))
    except (OSError, HTTPException, ValueError) as error:
        raise ServeError(f"{ended(cache)} ({error})") from None
    finally:
        connection.close()


def ended(cache: Path) -> str:
    return f"the playground's process ended on its way: {lock_of_server(cache).with_suffix('.log')} says more; ask again"


def refuse_beside_run(cache: Path) -> None:
    """Raises ServeError while a run is going on: it has the device and needs the memory."""
    if run := run_going_on(cache):
        raise ServeError(f"run {run.outline.name!r} is going on and needs processor and memory: ask again when it is done")


def started(cache: Path) -> Server:
    """Start the process and wait until it listens. Raises ServeError when it cannot be, TooLargeError when memory does not suffice."""
    free = memory.free()
    if free is not None and free < PROCESS:
        raise TooLargeError(f"the playground takes about {gb(PROCESS)} of memory before any model, {gb(free)} are free")
    forget(cache)
    path = lock_of_server(cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **WAITING, "PREFSCOPE_CACHE": str(cache.resolve()), "TOKENIZERS_PARALLELISM": "false"}
    with path.with_suffix(".log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.serve"],
            cwd=ROOT, env=environment, start_new_session=True, stdin=subprocess.PIPE, stdout=output, stderr=output,
        )  # fmt: skip
    STARTED[cache.resolve()] = process
    deadline = time.monotonic() + STARTING
    while (server := server_of(cache)) is None:
        if process.poll() is not None and not is_locked(path):
            raise ServeError(f"the playground's process could not be started: {path.with_suffix('.log')} says why")
        if time.monotonic() > deadline:
            raise ServeError(f"the playground's process has not answered within {STARTING:.0f} s")
        time.sleep(0.1)
    return server


def forget(cache: Path) -> None:
    """End the process that this one started, if there is one, by closing its input."""
    process = STARTED.pop(cache.resolve(), None)
    if process is not None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)
