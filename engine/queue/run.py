"""From a run's config.json to its result files: what one engine process does. The only place that catches every error."""

import errno
import logging
import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

import torch

from engine import ROOT
from engine.errors import PrefscopeError, TooLargeError
from engine.kinds.table import KINDS
from engine.machine import memory, processes
from engine.model import networks
from engine.queue.jobs import dependants
from engine.store.progress import Cancelled, Progress
from engine.store.rundir import RunDir, now
from engine.store.status import Failure, Reason, State

log = logging.getLogger("engine")


def execute(progress: Progress) -> State:
    """Do the run's work and write how it ended: done, failed or cancelled."""
    run = progress.run
    run.update(
        state=State.RUNNING, stage="starting", pid=os.getpid(), started_at=now(), finished_at=None, error=None, reason=None,
        versions=versions(), oom_kills=memory.oom_kills(),
    )  # fmt: skip
    progress.milestone()
    state, failure = State.FAILED, None
    try:
        config = run.config
        processes.joined(networks.best_device(config.device))
        progress.agreed = processes.any_of
        run.update(device=described_device(config.device))
        KINDS[config.kind](progress, config)
        state = State.DONE
    except Cancelled:
        state = State.CANCELLED
    except PrefscopeError as problem:
        log.error("%s", problem)
        failure = Failure(error=str(problem), reason=Reason.DID_NOT_FIT if isinstance(problem, TooLargeError) else None)
    except Exception as problem:  # whatever else goes wrong becomes the run's sentence; the traceback is in its log
        log.exception("failed")
        failure = unforeseen(problem, run)
    finish(progress, state, failure)
    processes.leave()
    return state


def finish(progress: Progress, state: State, failure: Failure | None) -> None:
    run = progress.run
    if failure and not run.writes:
        run.write_failure(processes.index(), failure)
    peaks = progress.stage_peaks()
    peak = max(peaks.values(), default=memory.peak())
    why = failure.model_dump() if failure else {}
    run.update(state=State.FINALISING, stage="writing the tables", stage_peaks=peaks, peak_bytes=peak, **why)
    if state is State.DONE and run.writes:
        shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
        wanted = any(r.status.state is State.QUEUED for r in dependants(progress.cache, run.id))
        if not (run.outline.keep_weights or wanted):
            shutil.rmtree(run.path / "model", ignore_errors=True)
    ended = {"finished_at": now(), "eta_seconds": None}
    if state is not State.DONE:
        run.update(state=state, stage="", **ended)
        progress.milestone()
        return
    run.update(**ended)
    if waits := progress.milestone():
        run.update(stage=f"waiting for the database: {waits}")
    elif run.writes:
        run.settle()


def unforeseen(problem: Exception, run: RunDir) -> Failure:
    """What an error that nobody foresaw means to the user."""
    if not memory.is_out_of_memory(problem):
        return Failure(error=sentence(problem, run))
    doing = run.written_status.stage or "working"
    answers = "the batch size of answers, " if run.outline.kind == "generate" else ""
    advice = f"lower {answers}the maximum of tokens, or take a smaller model"
    return Failure(error=f"{memory.needs()} while {doing}: {advice}", reason=Reason.DID_NOT_FIT)


def sentence(problem: Exception, run: RunDir) -> str:
    """What went wrong, in one sentence."""
    # safetensors and torch raise their own errors when a write fails, with the system's words in them
    full = [text for text in map(os.strerror, (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)) if text in str(problem)]
    if full:
        return f"the disk is full ({full[0]}): {shutil.disk_usage(run.path).free / 1e9:.1f} GB are free for the cache"
    if isinstance(problem, PermissionError):
        return f"no right to write {problem.filename}: {problem.strerror}"
    first = str(problem).strip().splitlines()[0] if str(problem).strip() else "no message"
    return f"{type(problem).__name__}: {first} (the traceback is in log.txt)"


def described_device(wanted: str) -> str:
    if wanted != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """Python, the libraries that change numbers, and the code's own commit."""
    found = {"python": platform.python_version()}
    for name in ("torch", "transformers", "tokenizers", "accelerate", "peft", "datasets", "polars", "duckdb"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    answer = subprocess.run(git, capture_output=True, text=True, check=False) if shutil.which("git") else None
    return {**found, "prefscope": answer.stdout.strip() if answer and answer.returncode == 0 else "unknown"}
