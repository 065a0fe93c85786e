"""A run in two processes under torchrun (gloo) gives what one process gives, and counts everything once."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
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


def in_two(cache: Path, config: RunConfig) -> RunDir:
    """Submitted like any run; the queue starts it in two processes."""
    run = find_run(cache, jobs.submit_one(cache, config.model_copy(update={"processes": 2})))
    status = jobs.wait_for_end(run, 300)
    assert status.state == "done", f"{status.error}\n{(run.path / 'log.txt').read_text()[-2000:]}"
    return run


def test_reward_training_equals_one_process_with_twice_the_accumulation(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """Two processes of batch 2 take the pairs that one takes in two batches of 2; gradients are averaged, metrics gathered."""
    one = executed(cache, reward_config(dataset, tiny_llama, batch_size=2, accumulation=2, epochs=2))
    two = in_two(cache, reward_config(dataset, tiny_llama, batch_size=2, epochs=2))
    assert len(metrics(two)) == len(metrics(one)) == 8  # 2 · 3 steps, 2 validations
    for left, right in zip(metrics(one), metrics(two), strict=True):
        assert (left["step"], left["tokens"]) == (right["step"], right["tokens"])
        assert right["values"] == pytest.approx(left["values"], abs=1e-4)


def test_a_model_divided_among_processes_trains_and_is_saved_as_a_whole_one(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """Parts of 64 tokens: the processes' batches fall into different numbers of them, and must not wait for each other for ever."""
    sizes = {"epochs": 2, "forward_tokens": 64}
    one = executed(cache, reward_config(dataset, tiny_llama, batch_size=2, accumulation=2, **sizes))
    two = in_two(cache, reward_config(dataset, tiny_llama, batch_size=2, shard=True, **sizes))
    for left, right in zip(metrics(one), metrics(two), strict=True):
        assert right["values"] == pytest.approx(left["values"], abs=1e-4)
    left, right = (load_file(run.path / "model" / "model.safetensors") for run in (one, two))
    assert left.keys() == right.keys()
    for name, weight in left.items():
        assert torch.allclose(right[name], weight, atol=1e-5), name


def test_a_divided_policy_equals_a_whole_one(cache: Path, dataset: str, tiny_llama: Path) -> None:
    one = executed(cache, policy_config(dataset, tiny_llama, batch_size=2, accumulation=2, loss=KTO()))
    two = in_two(cache, policy_config(dataset, tiny_llama, batch_size=2, loss=KTO(), shard=True))
    for left, right in zip(metrics(one), metrics(two), strict=True):
        assert right["values"] == pytest.approx(left["values"], abs=5e-4)


def test_every_validation_pair_is_scored_exactly_once(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """Five pairs do not divide by two processes: ten responses under two scorers, no more."""
    run = in_two(cache, reward_config(dataset, tiny_llama))
    assert table(run, "rewards").height == 20
    assert {line["values"]["n"] for line in metrics(run) if line["split"] == "validation"} == {5}


def test_policy_training_and_kto_s_batch_equal_one_process(cache: Path, dataset: str, tiny_llama: Path) -> None:
    one = executed(cache, policy_config(dataset, tiny_llama, batch_size=2, accumulation=2, loss=KTO()))
    two = in_two(cache, policy_config(dataset, tiny_llama, batch_size=2, loss=KTO()))
    for left, right in zip(metrics(one), metrics(two), strict=True):
        assert right["values"] == pytest.approx(left["values"], abs=5e-4)


def test_answers_are_those_of_one_process(cache: Path, dataset: str, tiny_llama: Path) -> None:
    config = GenerateConfig(dataset=dataset, policy=str(tiny_llama), max_new_tokens=6, batch_size=2, precision="fp32", device="cpu")
    columns = "prompt_id", "text_id", "tokens", "finish_reason"
    one, two = (table(run, "generations").select(columns).sort("prompt_id") for run in (executed(cache, config), in_two(cache, config)))
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
    for left, right in zip(metrics(one), metrics(run), strict=True):
        assert right["values"] == pytest.approx(left["values"], abs=1e-4)


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


@pytest.mark.parametrize("shard", [False, True], ids=["whole", "divided"])
def test_cancelled_together_they_resume_together(cache: Path, dataset: str, tiny_llama: Path, shard: bool) -> None:
    config = reward_config(dataset, tiny_llama, batch_size=1, epochs=20, processes=2, checkpoint_every=1000, shard=shard)
    whole = in_two(cache, config)
    run = find_run(cache, jobs.submit_one(cache, config))
    deadline = time.monotonic() + 120
    while not (run.metrics_path.is_file() and len(run.metrics_path.read_text().splitlines()) > 5) and time.monotonic() < deadline:
        time.sleep(0.02)
    jobs.cancel(cache, run.id)
    assert jobs.wait_for_end(run, 120).state == "cancelled"
    reached = metrics(run)[-1]["step"]
    assert 0 < reached < 120
    jobs.resume(cache, run.id)
    assert jobs.wait_for_end(run, 300).state == "done"
    assert metrics(run) == metrics(whole)
    assert pl.Series([line["step"] for line in metrics(run) if line["split"] == "train"]).to_list() == list(range(1, 121))
