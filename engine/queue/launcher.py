"""A run in several processes: torchrun is started, told to stop, and asked how it ended. Torch-free."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from engine import ROOT
from engine.store.rundir import RunDir, now
from engine.store.status import GOING_ON, Failure, Reason, State

LAUNCHED = "PREFSCOPE_LAUNCHED"  # set for the processes of a run whose launcher holds its lock


def run_in_processes(run: RunDir, count: int, locks: Sequence[int]) -> int:
    """Do a run in `count` processes under torchrun, which holds the locks too, and wait for them; the exit status.

    A stop signal goes on to them. What a process other than the first failed of is the run's sentence when it knows more.
    """
    run.forget_failures()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [*torchrun, "-m", "engine", "run", run.id]
    started: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        asked.append(number)
        for workers in started:
            workers.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    started.append(subprocess.Popen(command, cwd=ROOT, env={**os.environ, LAUNCHED: run.id}, pass_fds=tuple(locks)))
    if asked:
        started[0].terminate()
    status = started[0].wait()
    written = run.written_status
    if written.state in GOING_ON and asked:
        run.update(state=State.CANCELLED, finished_at=now())
    elif written.state in (*GOING_ON, State.FAILED):
        own = [Failure(error=written.error, reason=written.reason)] if written.error else []
        unknown = Failure(error=f"one of its {count} processes ended with status {status}: see log.txt")
        run.update(state=State.FAILED, finished_at=now(), **telling([*own, *run.failures(), unknown]).model_dump())
    return status


def telling(failures: Sequence[Failure]) -> Failure:
    """The failure of several processes that says most: want of memory, of which the others only see the end, or the first."""
    return next((failure for failure in failures if failure.reason is Reason.DID_NOT_FIT), failures[0])
