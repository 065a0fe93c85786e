"""Submit, start, cancel and resume runs: a run is a folder and at most one process. Torch-free.

One lock per device: who holds it may run. The process that ends starts the next queued run, and so does any command or page that
finds a free device with a queue. A run's own lock says that it is alive; the kernel releases both when the process dies.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from engine import ROOT
from engine.data.datasets_io import import_dataset
from engine.errors import ConfigError, PrefscopeError, RunError
from engine.machine import memory
from engine.machine.device_plan import WAITING, expected_device
from engine.planning.preflight import require
from engine.queue.preset import DataSource, Preset, plan
from engine.settings.config import AnyRun, RunConfig
from engine.settings.ref import parents_of, references
from engine.store.opening import let_go
from engine.store.rundir import STOP, RunDir, find_run, is_locked, now, placing, run_dirs, take_lock, wait_for_lock
from engine.store.settling import settle_waiting
from engine.store.status import ENDED, GOING_ON, STOPPED, Reason, State, Status

LOCKS = "PREFSCOPE_LOCKS"
AnyConfig = TypeVar("AnyConfig", bound=RunConfig)


def new_run_id(kind: str, name: str) -> str:
    """Time first, so that ids sort by age; then what it is."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24] or kind
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{slug}-{secrets.token_hex(2)}"


def submit(cache: Path, configs: Mapping[str, RunConfig]) -> None:
    """Queue runs under their ids and start what can start. Parents must exist or come earlier; raises RunError otherwise."""
    known = {run.id for run in run_dirs(cache)}
    for run_id, config in configs.items():
        missing = [p for p in config.parents if p not in known]
        if missing:
            raise RunError(f"run {config.name!r} waits for {missing[0]}, which does not exist")
        known.add(run_id)
    for run_id, config in configs.items():
        with placing(cache / "runs" / run_id) as folder:
            run = RunDir(folder)
            run.write_config(config)
            run.write_status(Status(submitted_at=now(), submitted_with=next(iter(configs))))
    start_next(cache)


def submit_one(cache: Path, config: RunConfig) -> str:
    """Queue one run after those its configuration names. Its id. Raises RunError when the run would fail."""
    run_id = new_run_id(config.kind, config.name)
    planned = {run_id: with_parents(cache, config)}
    require(cache, planned)
    submit(cache, planned)
    return run_id


def with_parents(cache: Path, config: AnyConfig) -> AnyConfig:
    """The configuration with every run that it names as a parent."""
    known = {run.id for run in run_dirs(cache)}
    return config.model_copy(update={"parents": parents_of(config, known)})


def submit_preset(cache: Path, preset: Preset) -> list[str]:
    """Import the preset's pairs and queue its runs; their ids in order. Raises RunError when one of them would fail."""
    require(cache, planned_runs(preset, preset.data.name), imported=False)
    with importing(cache, preset.data) as dataset_id:
        planned = planned_runs(preset, dataset_id)
        require(cache, planned)
    submit(cache, planned)
    return list(planned)


@contextmanager
def importing(cache: Path, data: DataSource) -> Iterator[str]:
    """Import a preset's or study's pairs, unless they are there; the dataset's id. What is refused inside imports nothing."""
    given = data.model_dump(include={"format", "licence", "validation_share", "seed"})
    made = import_dataset(cache, data.name, data.source, **given)
    try:
        yield made.dataset_id
    except PrefscopeError:
        if not made.existed:
            shutil.rmtree(made.path)
            engine_call(["rebuild"], cache)
        raise


def planned_runs(preset: Preset, dataset_id: str) -> dict[str, AnyRun]:
    """A preset's runs under fresh ids."""
    return plan(preset, dataset_id, {label: new_run_id(values.get("kind", ""), label) for label, values in preset.runs.items()})


def device_of(run: RunDir) -> str:
    return expected_device(run.outline.device)


def start_next(cache: Path) -> None:
    """Start the oldest queued run of every free device whose parents are done; a run whose parent stopped is not started."""
    settle_waiting(cache)
    leave_out(cache)
    for device in {device_of(run) for run in run_dirs(cache) if run.written_status.state is State.QUEUED}:
        lock = take_lock(cache / "locks" / f"{device}.lock")
        if lock is None:
            continue
        try:
            leave_out(cache)  # a parent may have stopped before this process had the device
            run = next_ready(cache, device)
            if run is not None:
                launch(cache, run, lock)
        finally:
            os.close(lock)


def leave_out(cache: Path) -> None:
    """Take the runs out of the queue that wait for one that has stopped."""
    states = {run.id: run.status.state for run in run_dirs(cache)}
    for run in run_dirs(cache):
        stopped = [p for p in run.outline.parents if states.get(p, State.CANCELLED) in STOPPED]
        if states.get(run.id) is State.QUEUED and stopped:
            states[run.id] = State.CANCELLED
            why = why_not_started(cache, stopped[0])
            run.update(state=State.CANCELLED, reason=Reason.NOT_STARTED, error=why, finished_at=now())


def next_ready(cache: Path, device: str) -> RunDir | None:
    """The oldest queued run of a device whose parents are done."""
    states = {run.id: run.status.state for run in run_dirs(cache)}
    ready = (run for run in run_dirs(cache) if states.get(run.id) is State.QUEUED and device_of(run) == device)
    return next((run for run in ready if all(states.get(p) is State.DONE for p in run.outline.parents)), None)


def why_not_started(cache: Path, run_id: str) -> str:
    """Which run it is that will not have its results, and what became of it."""
    try:
        run = find_run(cache, run_id)
    except RunError:
        gone = "damaged" if (cache / "runs" / run_id).is_dir() else "deleted"
        return f"it needs {run_id}, which is {gone}"
    name, status = run.outline.name, run.status
    if status.error:
        return f"it needs {name}, which is {status.state}: {status.error}"
    return f"it needs {name}, which is {status.state}"


def launch(cache: Path, run: RunDir, device_lock: int) -> None:
    """Start the run's process, which inherits both locks and outlives this one."""
    run_lock = take_lock(run.path / "lock")
    if run_lock is None:
        return
    run.update(state=State.RUNNING, stage="starting", started_at=now())
    locks = (device_lock, run_lock)
    environment = {
        **os.environ,
        **WAITING,
        LOCKS: f"{device_lock},{run_lock}",
        "PREFSCOPE_CACHE": str(cache.resolve()),
        "TOKENIZERS_PARALLELISM": "false",
        "TORCHINDUCTOR_CACHE_DIR": str(cache.resolve() / "compiled"),
        "TORCH_WARM_POOL": "0",  # no compiling processes that outlive a killed run
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",  # the steps' lengths differ: fixed segments fit no second time
    }
    try:
        with (run.path / "log.txt").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "engine", "run", run.id],
                cwd=ROOT, env=environment, pass_fds=locks, start_new_session=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        run.update(pid=process.pid)
    except OSError as error:
        run.update(state=State.FAILED, error=f"its process could not be started: {error}", finished_at=now())
    finally:
        os.close(run_lock)


def inherited_locks() -> tuple[int, int] | None:
    """(device lock, run lock) from the launcher, no longer handed on to children."""
    handed = os.environ.pop(LOCKS, "")
    if not handed:
        return None
    device, run = (int(part) for part in handed.split(","))
    for descriptor in (device, run):
        os.set_inheritable(descriptor, False)
    return device, run


def cancel(cache: Path, run_id: str, together: bool = False) -> None:
    """A queued run is taken out of the queue, a running one asked to stop at its next step, after a checkpoint; what waits for it is not
    started. together: what was queued only for it is cancelled too. Raises RunError when it has ended.
    """
    run = find_run(cache, run_id)
    if (state := run.status.state) in ENDED:
        raise RunError(f"run {run_id} is {state}: only a queued or running run can be cancelled")
    for one in (run, *(queued_only_for(cache, run_id) if together else ())):
        stop(one, run_id)
    start_next(cache)


def stop(run: RunDir, asked: str) -> None:
    """asked: the run that somebody cancelled, which is this one or took this one with it."""
    (run.path / STOP).touch()
    with suppress(OSError):  # on a full disk it stops all the same
        (run.path / STOP).write_text(asked)
    if run.status.state is State.QUEUED:
        run.update(state=State.CANCELLED, finished_at=now())
        return
    deadline = time.monotonic() + 5
    while (pid := run.written_status.pid) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if pid is not None and is_locked(run.path / "lock"):
        os.kill(pid, signal.SIGTERM)


def waiting_for(cache: Path, run_id: str) -> list[RunDir]:
    """The queued runs that are not started when this one is cancelled."""
    return [run for run in descendants(cache, run_id) if run.status.state is State.QUEUED]


def queued_only_for(cache: Path, run_id: str) -> list[RunDir]:
    """The runs beside it, queued or going on, for which nothing waits but this run and those that wait for it."""
    going = {run_id, *(run.id for run in waiting_for(cache, run_id))}
    unfinished = [run for run in beside(cache, run_id) if run.status.state not in ENDED]
    return [run for run in unfinished if {d.id for d in dependants(cache, run.id) if d.status.state not in ENDED} <= going]


def beside(cache: Path, run_id: str) -> list[RunDir]:
    """The runs that only help this one: the scoring that it waits for, and the answers of its base model."""
    return [*awaited_by(cache, run_id), *base_answers_of(cache, run_id)]


def base_answers_of(cache: Path, run_id: str) -> list[RunDir]:
    """Where a policy is the only one that was queued at one press: the runs queued with it in which its base model answers."""
    run = find_run(cache, run_id)
    first, model = run.written_status.submitted_with, run.config_values.get("model")
    if run.outline.kind != "policy" or first is None:
        return []
    together = [other for other in run_dirs(cache) if other.written_status.submitted_with == first]
    if [other.id for other in together if other.outline.kind == "policy"] != [run_id]:
        return []
    return [other for other in together if other.outline.kind == "generate" and other.config_values.get("policy") == model]


def awaited_by(cache: Path, run_id: str) -> list[RunDir]:
    """The runs that one waits for though its settings do not name them: they score what its slice asks for."""
    run, unnamed = find_run(cache, run_id), set[str]()
    with suppress(ConfigError):  # one of another version keeps all that it waits for
        unnamed = {*run.outline.parents} - {name for _, _, name in references(run.config)}
    return [other for other in run_dirs(cache) if other.id in unnamed]


def resume(cache: Path, run_id: str) -> None:
    """Queue a stopped run again; it goes on from its last checkpoint. What stopped beside it, and what waited for it, wait again.

    What was cancelled by itself stays so, unless this run cannot go on without it.
    """
    run = find_run(cache, run_id)
    status = run.status
    if status.state not in STOPPED:
        raise RunError(f"run {run_id} is {status.state}: only a failed, cancelled or lost run can be resumed")
    for other in beside(cache, run_id):
        if other.status.state in STOPPED and (other.id in run.outline.parents or not cancelled_by_itself(other)):
            requeue(other)
    requeue(run)
    for other in descendants(cache, run_id):
        if other.written_status.reason is Reason.NOT_STARTED:
            requeue(other)
    start_next(cache)


def cancelled_by_itself(run: RunDir) -> bool:
    asked = run.path / STOP
    return run.status.state is State.CANCELLED and asked.is_file() and asked.read_text() == run.id


def requeue(run: RunDir) -> None:
    (run.path / STOP).unlink(missing_ok=True)
    old = run.written_status
    vanished = old.state is State.RUNNING and old.stage == "training"
    run.update(
        state=State.QUEUED, stage="", error=None, reason=None, pid=None, finished_at=None, rate=None, eta_seconds=None,
        resumed=old.resumed + 1, killed=vanished and memory.may_have_killed(old.oom_kills),
    )  # fmt: skip


def retry(cache: Path, run_id: str) -> str:
    """The same configuration as a new run, which its study does not count a second time; its id."""
    return submit_one(cache, find_run(cache, run_id).config.model_copy(update={"study": None, "configuration": None}))


def dependants(cache: Path, run_id: str) -> list[RunDir]:
    """Runs that name this one as a parent."""
    return [run for run in run_dirs(cache) if run_id in run.outline.parents]


def descendants(cache: Path, run_id: str) -> list[RunDir]:
    """Runs that name it as a parent, and those that name these, oldest first."""
    parents = {run: run.outline.parents for run in run_dirs(cache)}
    found, more = set[str](), {run_id}
    while more:
        found |= more
        more = {run.id for run, named in parents.items() if more.intersection(named)} - found
    return [run for run in parents if run.id in found - {run_id}]


def actions(run: RunDir) -> list[str]:
    """What can be done with a run now."""
    state = run.status.state
    if state is State.QUEUED or (state is State.RUNNING and not run.stopping):
        return ["cancel"]
    if state in GOING_ON:
        return []
    can = ["resume", "delete"] if state in STOPPED else ["retry", "delete"]
    return [*can, "free_weights"] if (run.path / "model").is_dir() else can


def engine_call(arguments: list[str], cache: Path, seconds: float = 600) -> str:
    """Run a command of the engine in a process of its own and wait; what it printed. Raises RunError with its message."""
    let_go()
    environment = {**os.environ, "PREFSCOPE_CACHE": str(cache.resolve())}
    command = [sys.executable, "-m", "engine", *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise RunError(f"the engine has not answered within {seconds:.0f} s") from None
    except (OSError, ValueError) as error:  # an argument that is too long, or holds a NUL
        raise RunError(f"the engine cannot be called: {getattr(error, 'strerror', None) or error}") from None
    if done.returncode:
        raise RunError(done.stderr.strip().removeprefix("error: ") or f"the engine ended with status {done.returncode}")
    return done.stdout


def wait_for_end(run: RunDir, seconds: float) -> Status:
    """Wait until a run has ended and released its lock. Raises RunError when it takes longer."""
    deadline = time.monotonic() + seconds
    while run.status.state not in ENDED:
        if time.monotonic() > deadline:
            raise RunError(f"run {run.id} has not ended after {seconds:.0f} s")
        time.sleep(0.1)
    os.close(wait_for_lock(run.path / "lock", max(deadline - time.monotonic(), 1)))
    return run.status
