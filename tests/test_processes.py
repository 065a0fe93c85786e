"""A run in two processes under torchrun (gloo) gives what one process gives, and counts everything once."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from tiny import executed, listening, metrics, policy_config, prepared, reward_config, table, toy_dataset

from engine.queue import jobs
from engine.queue.run import execute
from engine.settings.config import GenerateConfig, RunConfig
from engine.settings.hyperparameters import KTO
from engine.store.rundir import RunDir, find_run

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes") / "cache"


@pytest.fixture(scope="module")
def dataset(cache: Path) -> str:
    return toy_dataset(cache, train=12, validation=5)


PROGRAM = """
import os, signal, sys
from pathlib import Path
from engine.kinds.checkpoints import checkpoints
from engine.kinds.table import KINDS
from engine.machine import processes
from engine.queue.run import finish
from engine.store.progress import Cancelled, Progress
from engine.store.rundir import RunDir
from engine.store.status import State

class Stopped(Progress):
    def advance(self, step, steps):
        if step == 7 and not self.run.writes:
            os.kill(os.getpid(), signal.SIGTERM)
        super().advance(step, steps)

def begun(kind):
    progress = kind(folder.parents[1], run)
    progress.listen()
    progress.agreed = processes.any_of
    return progress

processes.joined("cpu")
for folder in map(Path, sys.argv[1:]):
    run = RunDir(folder, writes=processes.index() == 0)
    progress = begun(Stopped if run.outline.name == "stopped" else Progress)
    try:
        KINDS[run.outline.kind](progress, run.config)
    except Cancelled:
        finish(progress, State.CANCELLED, None)
        run.update(notes=(checkpoints(run)[-1].name,) if run.writes else ())
        processes.any_of(True)
        progress = begun(Progress)
        KINDS[run.outline.kind](progress, run.config)
    finish(progress, State.DONE, None)
processes.leave()
"""
LONG = 8  # epochs of 6 steps, long enough to be stopped in the middle


@pytest.fixture(scope="module")
def together(cache: Path, dataset: str, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDir]:
    """Several runs, one after another, in one pair of processes, since loading torch takes longer than all of them.

    A run named "stopped" is resumed after the second process alone was told to stop, at step 7.
    """
    reward = {"batch_size": 2, "epochs": 2}
    long = {"batch_size": 1, "epochs": LONG, "checkpoint_every": 1000}
    configs: dict[str, RunConfig] = {
        "whole": reward_config(dataset, tiny_llama, **reward),
        "divided": reward_config(dataset, tiny_llama, **reward, forward_tokens=64, shard=True),
        "KTO": policy_config(dataset, tiny_llama, batch_size=2, loss=KTO()),
        "KTO, divided": policy_config(dataset, tiny_llama, batch_size=2, loss=KTO(), shard=True),
        "answers": answering(dataset, tiny_llama),
        "long": reward_config(dataset, tiny_llama, **long),
        "long, stopped": reward_config(dataset, tiny_llama, **long, name="stopped"),
        "long, divided": reward_config(dataset, tiny_llama, **long, shard=True),
        "long, divided, stopped": reward_config(dataset, tiny_llama, **long, shard=True, name="stopped"),
    }
    runs = {name: prepared(cache, config.model_copy(update={"processes": 2})) for name, config in configs.items()}
    program = tmp_path_factory.mktemp("program") / "runs.py"
    program.write_text(PROGRAM)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, str(program), *(str(run.path) for run in runs.values())]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return runs


def answering(dataset: str, model: Path) -> GenerateConfig:
    return GenerateConfig(dataset=dataset, policy=str(model), max_new_tokens=6, batch_size=2, precision="fp32", device="cpu")


def assert_alike(one: RunDir, two: RunDir, within: float = 1e-4) -> None:
    """The same lines of metrics, up to the order in which numbers were added."""
    for left, right in zip(metrics(one), metrics(two), strict=True):
        assert (left["step"], left["tokens"]) == (right["step"], right["tokens"])
        assert right["values"] == pytest.approx(left["values"], abs=within)


def test_reward_training_equals_one_process_with_twice_the_accumulation(
    cache: Path, dataset: str, tiny_llama: Path, together: dict[str, RunDir]
) -> None:
    """Two processes of batch 2 take the pairs that one takes in two batches of 2; gradients are averaged, metrics gathered."""
    one = executed(cache, reward_config(dataset, tiny_llama, batch_size=2, accumulation=2, epochs=2))
    assert len(metrics(together["whole"])) == 8  # 2 · 3 steps, 2 validations
    assert_alike(one, together["whole"])


def test_a_model_divided_among_processes_trains_and_is_saved_as_a_whole_one(
    cache: Path, dataset: str, tiny_llama: Path, together: dict[str, RunDir]
) -> None:
    """Parts of 64 tokens: the processes' batches fall into different numbers of them, and must not wait for each other for ever."""
    one = executed(cache, reward_config(dataset, tiny_llama, batch_size=2, accumulation=2, epochs=2, forward_tokens=64))
    assert_alike(one, together["divided"])
    left, right = (load_file(run.path / "model" / "model.safetensors") for run in (one, together["divided"]))
    assert left.keys() == right.keys()
    for name, weight in left.items():
        assert torch.allclose(right[name], weight, atol=1e-5), name


def test_every_validation_pair_is_scored_exactly_once(together: dict[str, RunDir]) -> None:
    """Five pairs do not divide by two processes: ten responses under two scorers, no more."""
    assert table(together["whole"], "rewards").height == 20
    assert {line["values"]["n"] for line in metrics(together["whole"]) if line["split"] == "validation"} == {5}


def test_policy_training_and_kto_s_batch_equal_one_process_divided_or_whole(
    cache: Path, dataset: str, tiny_llama: Path, together: dict[str, RunDir]
) -> None:
    one = executed(cache, policy_config(dataset, tiny_llama, batch_size=2, accumulation=2, loss=KTO()))
    assert_alike(one, together["KTO"], within=5e-4)
    assert_alike(one, together["KTO, divided"], within=5e-4)


def test_answers_are_those_of_one_process(cache: Path, dataset: str, tiny_llama: Path, together: dict[str, RunDir]) -> None:
    columns = "prompt_id", "text_id", "tokens", "finish_reason"
    alone = executed(cache, answering(dataset, tiny_llama))
    one, two = (table(run, "generations").select(columns).sort("prompt_id") for run in (alone, together["answers"]))
    assert one.equals(two)
    assert one["prompt_id"].is_unique().all()


def test_started_by_accelerate_it_holds_its_lock_and_gives_what_one_process_gives(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """In the run's own precision, whatever the launcher says."""
    one = executed(cache, reward_config(dataset, tiny_llama, batch_size=2, accumulation=2))
    run, seen = prepared(cache, reward_config(dataset, tiny_llama, batch_size=2, processes=2)), set()
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--mixed_precision", "bf16"]
    command = [*launcher, "-m", "engine", "run", run.id]
    launched = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PREFSCOPE_CACHE": str(cache)})
    while launched.poll() is None:
        seen.add(run.status.state)
        time.sleep(0.05)
    assert run.status.state == "done"
    assert "running" in seen
    assert "lost" not in seen
    assert_alike(one, run)


def test_cancelled_before_its_processes_are_there_no_process_is_left(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = find_run(cache, jobs.submit_one(cache, reward_config(dataset, tiny_llama, batch_size=2, processes=2)))
    while not list(children(run)):
        time.sleep(0.02)
    jobs.cancel(cache, run.id)
    assert jobs.wait_for_end(run, 60).state == "cancelled"
    deadline = time.monotonic() + 20
    while left := [p for p in psutil.process_iter(["cmdline"]) if run.id in (p.info["cmdline"] or ())]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def children(run: RunDir) -> list[psutil.Process]:
    """What the launcher of a run has started."""
    pid = run.written_status.pid
    return psutil.Process(pid).children() if pid and psutil.pid_exists(pid) else []


def test_what_another_process_than_the_first_fails_of_is_not_lost(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = prepared(cache, reward_config(dataset, tiny_llama, batch_size=64))
    execute(listening(cache, replace(run, writes=False)))
    assert "one optimiser step takes 64" in run.failures()[0].error


def test_a_failure_in_several_processes_is_one_sentence(cache: Path, dataset: str, tiny_llama: Path) -> None:
    config = reward_config(dataset, tiny_llama, batch_size=64, processes=2)
    run = prepared(cache, config)
    jobs.start_next(cache)
    status = jobs.wait_for_end(run, 300)
    assert status.state == "failed"
    assert "one optimiser step takes 128" in str(status.error)


@pytest.mark.parametrize("name", ["long", "long, divided"])
def test_told_to_one_process_all_stop_at_the_same_step_and_go_on_as_if_nothing_was(together: dict[str, RunDir], name: str) -> None:
    stopped, whole = together[f"{name}, stopped"], together[name]
    assert stopped.status.notes == ("step-0000007",)
    assert len(metrics(whole)) == 6 * LONG + 2
    assert metrics(stopped) == metrics(whole)


def test_the_queue_starts_cancels_and_resumes_it(cache: Path, together: dict[str, RunDir]) -> None:
    whole = together["long, divided"]
    run = find_run(cache, jobs.submit_one(cache, whole.config))
    deadline = time.monotonic() + 120
    while not (run.metrics_path.is_file() and len(run.metrics_path.read_text().splitlines()) > 5) and time.monotonic() < deadline:
        time.sleep(0.02)
    jobs.cancel(cache, run.id)
    assert jobs.wait_for_end(run, 120).state == "cancelled"
    reached = metrics(run)[-1]["step"]
    assert 0 < reached < 6 * LONG
    jobs.resume(cache, run.id)
    assert jobs.wait_for_end(run, 300).state == "done"
    assert metrics(run) == metrics(whole)
    assert [line["step"] for line in metrics(run) if line["split"] == "train"] == list(range(1, 6 * LONG + 1))
