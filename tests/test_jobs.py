"""The queue, with real processes: one per device, outliving whoever started them, stopped and resumed without losing a step."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny import executed, listening, metrics, prepared, reward_config, toy_dataset

from engine.errors import RunError
from engine.kinds.checkpoints import checkpoints, step_of
from engine.machine import memory
from engine.queue import jobs, removal
from engine.queue.run import execute
from engine.settings.config import GenerateConfig, RewardConfig
from engine.store import database
from engine.store.metrics import complete_lines
from engine.store.rundir import RunDir, find_run, run_dirs, wait_for_lock

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def quiet_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """An empty cache; engine processes still at work in it are killed at the end."""
    yield tmp_path / "cache"
    for process in engine_processes(tmp_path / "cache"):
        process.kill()


@pytest.fixture
def configure(cache: Path, tiny_llama: Path) -> Callable[..., RewardConfig]:
    """A reward run of 6 steps an epoch on a toy dataset, with changes."""
    dataset = toy_dataset(cache)
    return lambda **changes: reward_config(dataset, **{"model": tiny_llama, "batch_size": 2, "checkpoint_every": 5, **changes})


@pytest.fixture
def busy(cache: Path) -> Iterator[None]:
    """The device is taken: what is submitted stays in the queue."""
    lock = wait_for_lock(cache / "locks" / "cpu.lock", 5)
    yield
    os.close(lock)


def engine_processes(cache: Path) -> list[psutil.Process]:
    ids = {run.id for run in run_dirs(cache)}
    return [
        p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] and "engine" in p.info["cmdline"] and ids & {*p.info["cmdline"]}
    ]


def submitted(cache: Path, *configs: Any) -> list[RunDir]:
    ids = {jobs.new_run_id("reward", config.name): config for config in configs}
    jobs.submit(cache, ids)
    return [find_run(cache, run_id) for run_id in ids]


def until(happened: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def steps_seen(run: RunDir) -> list[int]:
    lines = [json.loads(line) for line in complete_lines(run.metrics_path)] if run.metrics_path.exists() else []
    return [line["step"] for line in lines if line["split"] == "train"]


# The queue


def test_queue_starts_one_process_and_goes_on_by_itself(cache: Path, configure: Callable[..., RewardConfig]) -> None:
    """Four callers at once; the first run is cancelled in the middle, the second follows, and the first is resumed to its end."""
    lock = wait_for_lock(cache / "locks" / "cpu.lock", 5)
    long, short = submitted(cache, configure(name="long", epochs=20), configure(name="short", evaluate_every=2))
    os.close(lock)
    call = [
        sys.executable,
        "-c",
        "import sys, pathlib, engine.queue.jobs; engine.queue.jobs.start_next(pathlib.Path(sys.argv[1]))",
        str(cache),
    ]
    callers = [subprocess.Popen(call, cwd=ROOT) for _ in range(4)]
    until(lambda: len(steps_seen(long)) >= 7)
    assert [c.wait() for c in callers] == [0] * 4
    assert len(engine_processes(cache)) == 1
    assert (long.status.state, short.status.state) == ("running", "queued")

    process = psutil.Process(int(long.written_status.pid or 0))
    jobs.cancel(cache, long.id)
    assert jobs.wait_for_end(long, 60).state == "cancelled"
    assert not long.stopping
    until(lambda: not process.is_running())  # and its memory with it
    reached = steps_seen(long)[-1]
    assert step_of(checkpoints(long)[-1]) == reached < 120
    assert jobs.wait_for_end(short, 60).state == "done"
    assert str(long.status.finished_at) <= str(short.status.started_at)

    lock = wait_for_lock(cache / "locks" / "cpu.lock", 30)
    jobs.resume(cache, long.id)
    assert execute(listening(cache, long)) == "done"
    os.close(lock)
    assert steps_seen(long) == list(range(1, 121))
    assert long.status.resumed == 1


def test_run_outlives_its_launcher_and_a_killed_one_is_lost_and_resumed_with_its_followers(
    cache: Path, configure: Callable[..., RewardConfig]
) -> None:
    """And has, step by step, the losses of a run that nobody killed."""
    config = configure(epochs=20, evaluate_every=7)
    options = [f"--{k.replace('_', '-')}={v}" for k, v in config.model_dump().items() if isinstance(v, str | int | float) and k != "kind"]
    command = [sys.executable, "-m", "engine", "reward", "--wait", *options]
    launcher = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PREFSCOPE_CACHE": str(cache)}, start_new_session=True, stderr=subprocess.DEVNULL
    )
    until(lambda: [run for run in run_dirs(cache) if len(steps_seen(run)) >= 3])
    os.killpg(launcher.pid, signal.SIGKILL)
    launcher.wait()
    run, seen = run_dirs(cache)[0], len(steps_seen(run_dirs(cache)[0]))
    until(lambda: len(steps_seen(run)) > seen + 10)
    assert run.status.state == "running"
    (follower,) = submitted(cache, configure(name="follower", epochs=1, parents=(run.id,)))

    os.kill(int(run.written_status.pid or 0), signal.SIGKILL)
    until(lambda: run.status.state == "lost")
    assert step_of(checkpoints(run)[-1]) <= steps_seen(run)[-1] < 120
    assert jobs.actions(run) == ["resume", "delete"]
    jobs.start_next(cache)
    assert follower.status.error == f"it needs {run.outline.name}, which is lost"

    jobs.resume(cache, run.id)
    assert jobs.wait_for_end(run, 90).state == "done"
    assert steps_seen(run) == list(range(1, 121))
    assert run.status.forward_tokens is None or memory.oom_kills() != 0, "nothing was short of memory, so the parts stay as they are"
    with database.reading(cache) as con:
        database.show_live(con, cache)
        counted = con.execute("select count(*), count(distinct step), max(step) from curves where name = 'loss'").fetchone()
    assert counted == (120, 120, 120)
    assert metrics(run) == metrics(executed(cache, config))
    assert jobs.wait_for_end(follower, 90).state == "done"


def test_failed_parent_takes_its_followers_out_of_the_queue(cache: Path, configure: Callable[..., RewardConfig], tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    parent, child = (jobs.new_run_id("reward", name) for name in ("parent", "child"))
    grandchild = jobs.new_run_id("reward", "grandchild")
    plan = {parent: (), child: (parent,), grandchild: (child,)}
    jobs.submit(cache, {i: configure(model=str(tmp_path / "bare"), parents=parents) for i, parents in plan.items()})
    runs = [find_run(cache, i) for i in plan]
    until(lambda: all(run.status.state in ("failed", "cancelled") for run in runs))
    assert [run.status.state for run in runs] == ["failed", "cancelled", "cancelled"]
    assert "has no config.json" in str(runs[0].status.error)
    why = f"it needs {runs[0].outline.name}, which is failed: {runs[0].status.error}"
    assert runs[1].status.sentence == f"not started: {why}"

    lock = wait_for_lock(cache / "locks" / "cpu.lock", 30)
    jobs.resume(cache, parent)
    assert [run.status.state for run in runs] == ["queued"] * 3
    assert [run.status.error for run in runs] == [None] * 3
    os.close(lock)


@pytest.mark.usefixtures("busy")
def test_queue_keeps_its_order_and_waits_for_parents(cache: Path, configure: Callable[..., RewardConfig]) -> None:
    first, second = submitted(cache, configure(name="z"), configure(name="a"))
    (third,) = submitted(cache, configure(name="b", parents=(second.id,)))
    assert [run.id for run in run_dirs(cache)] == [first.id, second.id, third.id]
    assert jobs.next_ready(cache, "cpu") == first
    first.update(state="done")
    assert jobs.next_ready(cache, "cpu") == second
    second.update(state="done")
    assert jobs.next_ready(cache, "cpu") == third
    assert jobs.next_ready(cache, "cuda") is None


@pytest.mark.usefixtures("busy")
def test_queued_run_is_cancelled_at_once(cache: Path, configure: Callable[..., RewardConfig]) -> None:
    (run,) = submitted(cache, configure())
    jobs.cancel(cache, run.id)
    assert run.status.state == "cancelled"
    assert not (run.path / "log.txt").exists()
    with pytest.raises(RunError, match="is cancelled: only a queued or running run can be cancelled"):
        jobs.cancel(cache, run.id)


@pytest.mark.usefixtures("busy")
def test_retry_is_a_new_run_with_the_same_configuration(cache: Path, configure: Callable[..., RewardConfig]) -> None:
    (run,) = submitted(cache, configure())
    jobs.cancel(cache, run.id)
    again = find_run(cache, jobs.retry(cache, run.id))
    assert again.id != run.id
    assert (again.config, again.status.state, run.status.state) == (run.config, "queued", "cancelled")


def test_run_that_waits_for_nothing_known_is_refused(cache: Path, configure: Callable[..., RewardConfig]) -> None:
    with pytest.raises(RunError, match="run 'toy' waits for nowhere, which does not exist"):
        jobs.submit(cache, {"x": configure(parents=("nowhere",))})
    assert run_dirs(cache) == []


def test_run_is_not_done_twice_at_once(cache: Path, configure: Callable[..., RewardConfig]) -> None:
    run = prepared(cache, configure())
    lock = wait_for_lock(run.path / "lock", 5)
    with pytest.raises(RunError, match=f"run {run.id} is running already"):
        jobs.engine_call(["run", run.id], cache)
    os.close(lock)


# Faults


def test_full_disk_stops_the_run_and_keeps_the_last_good_checkpoint(cache: Path, configure: Callable[..., RewardConfig]) -> None:
    """Once there is a checkpoint, the engine's process may write no file above 200 kB: less than any weights."""
    (run,) = submitted(cache, configure(epochs=200))
    until(lambda: checkpoints(run))
    resource.prlimit(int(run.written_status.pid or 0), resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    status = jobs.wait_for_end(run, 60)
    assert status.state == "failed"
    assert "could not be saved" in str(status.error)
    assert "GB are free for" in str(status.error)
    kept = checkpoints(run)[-1]
    assert {p.name for p in kept.iterdir()} == {"weights.safetensors", "optimizer.pt", "state.json"}
    assert not list((run.path / "checkpoints").glob(".*"))
    assert run.table("scorers") is not None


def test_full_disk_while_saving_the_model_is_a_sentence(cache: Path, configure: Callable[..., RewardConfig]) -> None:
    run = prepared(cache, configure(checkpoint_every=100))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        assert execute(listening(cache, run)) == "failed"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "the disk is full (File too large)" in str(run.status.error)
    assert not list(run.path.glob("*model"))
    assert not list(run.path.glob(".*.part"))


def test_run_folder_that_cannot_be_written_is_a_sentence(cache: Path, configure: Callable[..., RewardConfig]) -> None:
    run = prepared(cache, configure(checkpoint_every=1))
    (run.path / "checkpoints").touch()
    assert execute(listening(cache, run)) == "failed"
    assert "checkpoints" in str(run.status.error)


# Deleting


def named(cache: Path, name: str) -> RunDir:
    return next(run for run in run_dirs(cache) if run.config.name == name)


def test_run_in_use_is_not_deleted(own_toy_cache: Path) -> None:
    policy, answers = named(own_toy_cache, "tuned policy"), named(own_toy_cache, "tuned answers")
    with pytest.raises(RunError, match=rf"is used by {answers.id} \(tuned answers\): delete those first"):
        removal.delete(own_toy_cache, policy.id)
    lock = wait_for_lock(answers.path / "lock", 5)
    with pytest.raises(RunError, match="is running: cancel it first"):
        removal.delete(own_toy_cache, answers.id)
    os.close(lock)


def test_deleted_run_leaves_no_rows(own_toy_cache: Path) -> None:
    scores = named(own_toy_cache, "scores")
    removal.delete(own_toy_cache, scores.id)
    assert not scores.path.exists()
    with database.reading(own_toy_cache) as con:
        assert con.execute("select count(*) from runs where run_id = ?", [scores.id]).fetchone() == (0,)
        assert con.execute("select count(*) from runs").fetchone() == (4,)


def test_freed_weights_leave_the_tables(own_toy_cache: Path) -> None:
    policy = named(own_toy_cache, "tuned policy")
    removal.free_weights(own_toy_cache, policy.id)
    assert not (policy.path / "model").exists()
    assert policy.table("rewards") is not None
    assert jobs.actions(policy) == ["retry", "delete"]
    config = GenerateConfig(dataset=policy.config.dataset, policy=policy.id, device="cpu")
    assert "its weights were freed" in str(executed(own_toy_cache, config).status.error)


def test_weights_a_waiting_run_needs_are_not_freed(own_toy_cache: Path) -> None:
    policy = named(own_toy_cache, "tuned policy")
    waiting = prepared(own_toy_cache, GenerateConfig(dataset=policy.config.dataset, policy=policy.id, parents=(policy.id,)))
    with pytest.raises(RunError, match=f"is needed by {waiting.id}, not finished yet"):
        removal.free_weights(own_toy_cache, policy.id)
