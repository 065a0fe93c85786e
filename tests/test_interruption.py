"""Runs that are stopped go on as if nothing had happened; runs that cannot go on say why in one sentence."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tiny import executed, listening, metrics, pairs, prepared, reward_config, table, tiny_chat, toy_dataset

from engine.kinds.checkpoints import checkpoints, step_of
from engine.model.batches import encode_pairs
from engine.queue.run import execute
from engine.settings.config import GenerateConfig, PolicyConfig, RunConfig
from engine.settings.hyperparameters import LoRA
from engine.store import database
from engine.store.metrics import complete_lines
from engine.store.rundir import RunDir

pytestmark = pytest.mark.slow


def interrupted(cache: Path, config: RunConfig, file: str, lines: int) -> RunDir:
    """A run that got a stop signal once `file` had so many lines (or, being no text, was there)."""

    def far_enough(run: RunDir) -> bool:
        path = run.path / file
        return path.is_file() and (not file.endswith("jsonl") or len(complete_lines(path)) >= lines)

    return stopped_when(cache, config, far_enough)


def stopped_when(cache: Path, config: RunConfig, far_enough: Callable[[RunDir], bool]) -> RunDir:
    run = prepared(cache, config)

    def stop() -> None:
        while not far_enough(run):
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=stop)
    watcher.start()
    assert execute(listening(cache, run)) == "cancelled"
    watcher.join()
    return run


# A database that somebody else holds


def test_a_run_that_ends_while_the_database_is_held_waits_for_the_next_that_writes(
    cache: Path, dataset: str, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For half a second here and not for half a minute. It says who holds it, and is done once the next import has taken its tables in."""
    monkeypatch.setattr(database, "writing", partial(database.writing, deadline_seconds=0.5))
    config = GenerateConfig(dataset=dataset, policy=str(tiny_llama), max_new_tokens=2, precision="fp32", device="cpu")
    program = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(database.database_path(cache))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        run = prepared(cache, config)
        execute(listening(cache, run))
        assert run.status.state == "finalising"
        assert "waiting for the database" in run.status.stage
        assert str(holder.pid) in run.status.stage
        holder.communicate()
    assert answers_of(cache, run) == 0
    toy_dataset(cache, train=3, validation=2)
    assert (run.status.state, answers_of(cache, run)) == ("done", table(run, "generations").height)


def answers_of(cache: Path, run: RunDir) -> int:
    """How many of its answers the database has."""
    with database.reading(cache) as con:
        ids = table(run, "generations")["generation_id"].to_list()
        return len(con.execute("select 1 from generations where list_contains($ids, generation_id)", {"ids": ids}).fetchall())


# Interruption


@pytest.mark.parametrize("lines", [1, 4, 8, 11])
def test_resumed_run_equals_an_uninterrupted_one(cache: Path, dataset: str, tiny_llama: Path, lines: int) -> None:
    config = reward_config(dataset, tiny_llama, batch_size=2, epochs=2, evaluate_every=3, checkpoint_every=4)
    whole, run = executed(cache, config), interrupted(cache, config, "metrics.jsonl", lines)
    reached = metrics(run)[-1]["step"]
    assert reached < 12
    assert reached == 0 or step_of(checkpoints(run)[-1]) == reached
    assert execute(listening(cache, run)) == "done"
    assert metrics(run) == metrics(whole)
    assert [line["step"] for line in metrics(run) if line["split"] == "train"] == list(range(1, 13))
    assert (run.path / "model" / "model.safetensors").read_bytes() == (whole.path / "model" / "model.safetensors").read_bytes()


def test_resumed_adapters_draw_the_same_dropout(cache: Path, dataset: str, tiny_llama: Path) -> None:
    lora = LoRA(rank=2, dropout=0.3)
    config = reward_config(dataset, tiny_llama, batch_size=2, epochs=2, checkpoint_every=4, lora=lora)
    whole, run = executed(cache, config), interrupted(cache, config, "metrics.jsonl", 6)
    assert execute(listening(cache, run)) == "done"
    assert metrics(run) == metrics(whole)


def test_resumed_policy_keeps_its_reference(cache: Path, dataset: str, tiny_llama: Path) -> None:
    values = {"batch_size": 2, "precision": "fp32", "device": "cpu", "learning_rate": 1e-3, "epochs": 2}
    config = PolicyConfig(dataset=dataset, model=str(tiny_llama), **values)
    whole, run = executed(cache, config), interrupted(cache, config, "metrics.jsonl", 5)
    assert execute(listening(cache, run)) == "done"
    assert metrics(run) == metrics(whole)


def test_run_stopped_before_its_first_checkpoint_begins_again(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """As after kill -9: lines are in metrics.jsonl, and nothing to resume from."""
    config = reward_config(dataset, tiny_llama)
    whole, run = executed(cache, config), prepared(cache, config)
    run.metrics_path.write_text("".join(line + "\n" for line in complete_lines(whole.metrics_path)[:3]) + '{"step": 3, "spl')
    assert execute(listening(cache, run)) == "done"
    assert metrics(run) == metrics(whole)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_interrupted_generation_goes_on_where_it_stopped(cache: Path, dataset: str, tiny_llama: Path, temperature: float) -> None:
    values = {"policy": str(tiny_llama), "batch_size": 1, "max_new_tokens": 12, "precision": "fp32", "temperature": temperature}
    config = GenerateConfig(dataset=dataset, device="cpu", **values)
    whole, run = executed(cache, config), interrupted(cache, config, "generations.parquet", 1)
    before = table(run, "generations")
    assert 0 < before.height < 6
    assert (run.status.step, run.status.steps) == (before.height, 6)
    assert execute(listening(cache, run)) == "done"
    columns = "prompt_id", "text_id", "tokens", "finish_reason"
    assert table(run, "generations").select(columns).rows() == table(whole, "generations").select(columns).rows()
    assert table(run, "generations")[: before.height].equals(before)


def test_generation_stops_within_a_batch(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """All six prompts are one batch of 4,000 steps, which take 15 s; what is asked to stop while it answers them keeps none."""
    config = GenerateConfig(dataset=dataset, policy=str(tiny_llama), max_new_tokens=4000, precision="fp32", device="cpu")
    asked = list[float]()

    def answering(run: RunDir) -> bool:
        answers_now = run.written_status.stage == "answering"
        time.sleep(0.2 if answers_now else 0)
        asked.append(time.monotonic())
        return answers_now

    run = stopped_when(cache, config, answering)
    assert time.monotonic() - asked[-1] < 2
    assert (run.status.step, run.status.steps) == (0, 6)
    assert run.table("generations") is None


# What goes wrong is one sentence


def test_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """Decay of 1e8 times a rate of 0.9 multiplies every weight by −9e7 a step, until fp32 overflows."""
    run = executed(cache, reward_config(dataset, tiny_llama, batch_size=1, learning_rate=0.9, weight_decay=1e8, checkpoint_every=1))
    step = metrics(run)[-1]["step"]
    assert 1 <= step < 12
    assert run.status.state == "failed"
    assert run.status.error == (
        f"the loss or its gradient is not a finite number at step {step + 1}: the last good checkpoint is step {step}. "
        "Lower the learning rate or use fp32"
    )
    assert step_of(checkpoints(run)[-1]) == step


def test_model_broken_by_its_last_step_is_not_reported_as_done(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = executed(cache, reward_config(dataset, tiny_llama, batch_size=12, warmup=0, learning_rate=0.9, weight_decay=1e39))
    assert run.status.state == "failed"
    assert "not finite" in str(run.status.error)
    assert not (run.path / "model").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_size": 8, "accumulation": 2}, "has 12 training pair(s), and one optimiser step takes 16 (batch 8 × accumulation 2)"),
        ({"pairs": 13}, "13 are asked for, but split 'train'"),
        ({"validation_splits": ("train",)}, "validation split 'train' is the training split"),
        ({"validation_splits": ("test",)}, "has no split 'test', expected one of train, validation"),
        ({"dataset": "nope"}, "dataset 'nope' not found"),
        ({"model": "no/such-model-here"}, "no/such-model-here"),
    ],
)
def test_run_that_cannot_start_says_why(
    cache: Path, dataset: str, tiny_llama: Path, changes: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    run = executed(cache, reward_config(**{"dataset": dataset, "model": tiny_llama, **changes}))
    assert run.status.state == "failed"
    assert sentence in str(run.status.error)


def test_dataset_with_one_pair_is_refused_with_a_sentence(cache: Path, tiny_llama: Path) -> None:
    dataset = toy_dataset(cache, train=1, validation=1)
    run = executed(cache, reward_config(dataset, tiny_llama))
    assert run.status.error == (
        "split 'train' has 1 training pair(s), and one optimiser step takes 4 (batch 4 × accumulation 1): lower the batch size or add pairs"
    )


def test_one_pair_can_be_trained_on_with_batch_1(cache: Path, tiny_llama: Path) -> None:
    dataset = toy_dataset(cache, train=1, validation=1)
    run = executed(cache, reward_config(dataset, tiny_llama, batch_size=1))
    assert run.status.state == "done"
    assert "margin_std" not in metrics(run)[-1]["values"]


def test_pairs_cut_to_the_context_are_counted(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = executed(cache, reward_config(dataset, tiny_llama, max_tokens=64))
    cut = sum(c.truncated or r.truncated for c, r in encode_pairs(tiny_chat(64, "You are a helpful assistant."), pairs(12)))
    assert cut > 0
    assert run.status.notes == (f"{cut} of 12 pairs of train were cut to the maximum of tokens: the prompt's beginning went first",)
    assert table(run, "rewards")["truncated"].any()


def test_model_folder_without_weights_is_named(cache: Path, dataset: str, tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_bytes((tiny_llama / "config.json").read_bytes())
    run = executed(cache, reward_config(dataset, tmp_path / "bare"))
    assert run.status.error == f"{tmp_path / 'bare'} has no weights: expected at least one .safetensors file"
