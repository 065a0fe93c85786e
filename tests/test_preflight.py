"""What a run will need is said before it is accepted, and a run that would fail is refused before it has a folder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import executed, pairs, policy_config, prepared, reward_config, save_tiny, tiny_chat, trl_record

from engine.__main__ import main
from engine.data.datasets_io import import_dataset, load_pairs
from engine.errors import ModelError, RunError
from engine.kinds.pairs import training_pairs
from engine.model import folders
from engine.model.batches import encode_pairs
from engine.planning.estimates import seconds_each, wall_seconds
from engine.planning.held import held_by_runs
from engine.planning.preflight import Preflight, as_text, preflight
from engine.planning.workload import items_of
from engine.queue import jobs, removal
from engine.settings.config import EMBEDDED_MODEL, EmbedConfig, GenerateConfig, PolicyConfig, RewardConfig, RunConfig, ScoreConfig
from engine.settings.hyperparameters import GuidedDPO
from engine.store.progress import Progress
from engine.store.rundir import run_dirs, take_lock

ROOT = Path(__file__).parents[1]


def looked_at(cache: Path, config: RunConfig, **options: Any) -> Preflight:
    return preflight(cache, config, **options)


# Steps and pairs


def test_steps_are_whole_batches_times_epochs(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """12 pairs, batch 5: floor(12 / 5) = 2 steps an epoch, 6 in three; accumulation 2 or two processes: floor(12 / 10) = 1, and 3."""
    config = reward_config(dataset, tiny_llama, batch_size=5, epochs=3)
    found = {}
    for name, changes in {"plain": {}, "accumulation": {"accumulation": 2}, "processes": {"processes": 2}}.items():
        made = looked_at(cache, config.model_copy(update=changes), tokens=False)
        found[name] = (made.items, made.steps)
    assert found == {"plain": (12, 6), "accumulation": (12, 3), "processes": (12, 3)}


def test_too_few_pairs_for_one_step_is_a_problem(cache: Path, dataset: str, tiny_llama: Path) -> None:
    made = looked_at(cache, reward_config(dataset, tiny_llama, batch_size=13), tokens=False)
    assert len(made.problems) == 1
    assert made.problems[0].startswith("split 'train' has 12 training pair(s), and one optimiser step takes 13 (batch 13 × accumulation 1)")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pairs": 7},
        {"balance_length": True},
        {"balance_length": True, "pairs": 25, "seed": 3},
        {"group_by": "source", "group": "b"},
        {"group_by": "source", "group": "a", "pairs": 9, "balance_length": True},
    ],
)
def test_pairs_are_counted_as_the_run_chooses_them(cache: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    source = tmp_path / "grouped.jsonl"
    source.write_text("".join(json.dumps({**trl_record(p), "source": "ab"[i % 2]}) + "\n" for i, p in enumerate(pairs(40))))
    config = reward_config(import_dataset(cache, "grouped", {"train": str(source)}).dataset_id, "m", **changes)
    assert items_of(cache, config) == (len(training_pairs(Progress(cache, prepared(cache, config)), config)), "pairs")


@pytest.mark.slow
def test_prompts_responses_and_texts_are_counted(toy_cache: Path) -> None:
    """6 validation pairs: 6 prompts, 12 responses; the base model's 6 answers are scored and mapped too."""
    runs = {run.config.name: run.id for run in run_dirs(toy_cache)}
    common = {"dataset": run_dirs(toy_cache)[0].config.dataset}
    answers = {"generations": (runs["base answers"],)}
    assert items_of(toy_cache, GenerateConfig(**common, policy="m", prompts=4)) == (4, "prompts")
    assert items_of(toy_cache, ScoreConfig(**common, reward_models=(runs["toy"],), splits=("validation",), **answers)) == (18, "responses")
    assert items_of(toy_cache, EmbedConfig(**common, **answers, texts=15)) == (15, "responses")
    with pytest.raises(RunError, match="7 are asked for, but the prompts of split 'validation'"):
        items_of(toy_cache, GenerateConfig(**common, policy="m", prompts=7))


# Tokens


def test_tokens_are_those_of_the_runs_own_template(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """All 12 pairs are in the sample. A pair has its prompt once and both responses; what is longer than 120 tokens is cut."""
    made = looked_at(cache, reward_config(dataset, tiny_llama, max_tokens=120, system_prompt="Be brief."))
    encoded = encode_pairs(tiny_chat(120), load_pairs(cache, dataset, "train"))
    sizes = [
        len(c.prompt) + len(c.response) + len(r.response) if c.prompt == r.prompt else len(c) + len(r)
        for c, r in encoded
    ]  # fmt: skip
    cut = sum(c.truncated or r.truncated for c, r in encoded)
    assert made.sample is not None
    assert (made.sample.sampled, made.sample.cut, made.sample.longest_tokens) == (12, cut, max(sizes))
    assert made.sample.mean_tokens == pytest.approx(sum(sizes) / 12)
    assert 0 < cut < 12
    assert f"{cut / 12 * 100:.0f}\u00a0% of the sampled pairs are cut: raise max_tokens to keep them" in made.warnings


def test_prompts_to_answer_are_measured_whole(cache: Path, dataset: str, tiny_llama: Path) -> None:
    chat = tiny_chat(10_000)
    lengths = [len(chat.prompt(p.turns)) for p in load_pairs(cache, dataset, "validation")]
    config = GenerateConfig(dataset=dataset, policy=str(tiny_llama), max_tokens=sorted(lengths)[2], system_prompt="Be brief.", device="cpu")
    sample = looked_at(cache, config).sample
    assert sample is not None
    assert (sample.longest_tokens, sample.cut) == (max(lengths), sum(n > config.max_tokens for n in lengths))


# Memory and time


@pytest.mark.parametrize(
    ("on_oom", "gigabytes", "said"),
    [
        ("fail", 0.64, "problem: needs about 0.7 GB of memory, 0.6 GB are free"),
        ("split", 0.64, "problem: needs about 0.7 GB of memory, 0.6 GB are free"),
        ("fail", 0.655, "problem: needs about 0.7 GB of memory, 0.7 GB are free"),
        ("split", 0.655, "batches will be computed in smaller parts, which changes no result"),
        ("fail", 0.67, "warning: memory is tight: needs about 0.7 GB of memory, 0.7 GB are free"),
        ("fail", 2, None),
    ],
)
def test_too_little_memory_is_a_problem_or_a_warning(
    cache: Path, dataset: str, tiny_llama: Path, on_oom: str, gigabytes: float, said: str | None
) -> None:
    """The toy model needs 0.66 GB: 0.65 for the process, 0.002 for weights and optimiser, 0.017 for 1,024 tokens.

    Where not even weights and optimiser fit, smaller parts cannot help.
    """
    config = reward_config(dataset, tiny_llama, on_oom=on_oom, memory_gb=gigabytes, batch_size=8)
    text = as_text(looked_at(cache, config, tokens=False))
    assert said in text if said else "warning" not in text and "problem" not in text


def test_what_the_run_before_holds_counts_as_free(cache: Path, dataset: str, tiny_llama: Path) -> None:
    program = "import sys; held = b'x' * 200_000_000; print('ready', flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    run = prepared(cache, reward_config(dataset, tiny_llama))
    run.update(state="running", pid=child.pid)
    assert held_by_runs(cache) == 0  # nobody holds its lock, so the number may be another process's by now
    lock = take_lock(run.path / "lock")
    assert 200_000_000 < held_by_runs(cache) < 300_000_000
    child.communicate()
    assert held_by_runs(cache) == 0
    os.close(lock or 0)


def test_time_is_the_median_speed_of_finished_runs_like_it(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """100, 200 and 900 tokens/s: the median is 200; failed runs and those in another precision do not count."""
    config = reward_config(dataset, tiny_llama, epochs=2)
    assert looked_at(cache, config).unknown == ("no finished run like this one to estimate the time from",)
    others = [(config, "failed", 5), (config.model_copy(update={"precision": "bf16"}), "done", 7), (config, "done", 900)]
    for made, state, rate in [(config, "done", 100), (config, "done", 200), *others]:
        run = prepared(cache, made)
        run.append_metrics(1, "train", {"loss": 1.0}, 10 * rate, 10.0)
        run.append_metrics(1, "validation", {"accuracy": 1.0}, 0, 10.0)
        run.update(state=state, device="x86_64 CPU, 2 threads")
    found = looked_at(cache, config)
    assert found.sample is not None
    assert found.seconds == pytest.approx(2 * 12 * found.sample.mean_tokens / 200)


def test_time_of_answers_is_that_of_earlier_answers(toy_cache: Path) -> None:
    """Answers of the same network, tuned or not, with the same longest answer: 6 prompts take what the quicker of the two runs took."""
    base, tuned = (r for r in run_dirs(toy_cache) if r.outline.kind == "generate")
    seconds = looked_at(toy_cache, base.config, tokens=False).seconds
    assert seconds == pytest.approx(min(wall_seconds(run) or 0 for run in (base, tuned)))


def test_time_of_scores_is_that_of_scores_in_the_same_precision(toy_cache: Path) -> None:
    """Those of the toy experiment are fp32: they tell nothing of what a reward model to come takes to score in bf16."""
    reward, scores = (next(r.config for r in run_dirs(toy_cache) if r.outline.kind == kind) for kind in ("reward", "score"))
    again = scores.model_copy(update={"reward_models": ("to come",)})
    fp32, bf16 = (reward.model_copy(update={"score_precision": precision}) for precision in ("fp32", "bf16"))
    known = seconds_each(toy_cache, scores)
    assert len(known) >= 2
    assert seconds_each(toy_cache, again, {"to come": fp32}) == known
    assert seconds_each(toy_cache, again, {"to come": bf16}) == []


def test_memory_of_scores_is_that_of_the_precision_of_the_rewards(own_toy_cache: Path) -> None:
    """In bf16 copies of 2 bytes stand beside the weights, and each number of the pass over 4,096 tokens takes 2 bytes less."""
    reward, scores = (next(r for r in run_dirs(own_toy_cache) if r.outline.kind == kind) for kind in ("reward", "score"))
    network = folders.network_of(reward.path / "model")
    assert network
    fp32 = looked_at(own_toy_cache, scores.config, tokens=False).memory_bytes
    assert isinstance(reward.config, RewardConfig)
    reward.write_config(reward.config.model_copy(update={"score_precision": "bf16"}))
    bf16 = looked_at(own_toy_cache, scores.config, tokens=False).memory_bytes
    assert fp32
    assert bf16
    assert bf16 - fp32 == 2 * network.parameters - 2 * 4096 * (10 * network.width + 3 * network.inner)


# What a configuration names


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dataset": "absent"}, "dataset 'absent' not found in "),
        ({"train_split": "test"}, "train_split: dataset {dataset} has no split 'test', expected one of train, validation"),
        ({"validation_splits": ("validation", "test")}, "validation_splits: dataset {dataset} has no split 'test'"),
        ({"validation_splits": ("train",)}, "validation split 'train' is the training split"),
        ({"model": "/no/such/folder"}, "model: model '/no/such/folder' not found: expected the embedded model, a local folder or"),
        ({"model": EMBEDDED_MODEL}, "model: the embedded model is not in "),
        ({"model": "20260101-000000-000000-gone-abcd"}, "model: run '20260101-000000-000000-gone-abcd' not found in "),
        ({"pairs": 13}, "13 are asked for, but split 'train' of {dataset} has 12"),
        ({"group_by": "source", "group": "x"}, "split 'train' of {dataset} has no pair with source 'x'"),
    ],
)
def test_wrong_reference_is_a_problem(cache: Path, dataset: str, tiny_llama: Path, changes: dict[str, Any], problem: str) -> None:
    made = looked_at(cache, RewardConfig(**{**reward_config(dataset, tiny_llama).model_dump(), **changes}))
    assert len(made.problems) == 1
    assert made.problems[0].startswith(problem.format(dataset=dataset))


def test_run_of_another_kind_or_state_is_a_problem(cache: Path, dataset: str, tiny_llama: Path) -> None:
    answers = prepared(cache, GenerateConfig(name="answers", dataset=dataset, policy=str(tiny_llama)))
    broken = prepared(cache, reward_config(dataset, tiny_llama, name="broken"))
    broken.update(state="failed")
    made = looked_at(cache, ScoreConfig(dataset=dataset, reward_models=(answers.id, broken.id), generations=("nowhere",)))
    assert f"reward_models: {answers.id} is a generate run, expected a reward run" in made.problems
    assert f"reward_models: run {broken.id} (broken) is failed: resume it first" in made.problems
    assert "generations: run 'nowhere' not found in the cache" in made.problems


def test_freed_model_is_a_problem(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = executed(cache, reward_config(dataset, tiny_llama))
    config = ScoreConfig(dataset=dataset, reward_models=(run.id,), splits=("validation",), device="cpu")
    guided = policy_config(dataset, tiny_llama, loss=GuidedDPO(), guide=run.id)
    assert looked_at(cache, config).problems == looked_at(cache, guided).problems == ()
    removal.free_weights(cache, run.id)
    assert "its weights were freed" in looked_at(cache, config).problems[0]
    assert "guide" in looked_at(cache, guided).problems[0]


def test_model_that_is_not_made_or_fetched_yet_is_unknown(cache: Path, dataset: str, tiny_llama: Path) -> None:
    queued = prepared(cache, PolicyConfig(name="tuned", dataset=dataset, model=str(tiny_llama)))
    planned = {"id": PolicyConfig(name="planned", dataset=dataset, model=str(tiny_llama))}
    common: dict[str, Any] = {"dataset": dataset, "device": "cpu"}
    waiting = looked_at(cache, GenerateConfig(policy=queued.id, **common))
    assert "policy: run 'tuned' has not made its model yet, so its size and memory are unknown" in waiting.unknown
    behind = looked_at(cache, GenerateConfig(policy="id", **common), planned=planned)
    assert "policy: run 'planned' has not made its model yet, so its size and memory are unknown" in behind.unknown
    hub = looked_at(cache, RewardConfig(model="nobody/has-this-model", **common))
    assert "model: nobody/has-this-model is not on this machine and is fetched when the run starts: its memory is unknown" in hub.unknown
    for made in (waiting, behind, hub):
        assert (made.problems, made.memory_bytes, made.disk_bytes) == ((), None, None)


def test_broken_weights_are_named(cache: Path, tmp_path: Path, dataset: str) -> None:
    folder = save_tiny(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"not at all")
    with pytest.raises(ModelError, match=r"model.safetensors is not a safetensors file"):
        folders.network_of(folder)
    assert "is not a safetensors file" in looked_at(cache, reward_config(dataset, folder), tokens=False).problems[0]


# Refused, or said


def test_run_that_would_fail_is_refused_before_it_has_a_folder(cache: Path, dataset: str, tiny_llama: Path) -> None:
    with pytest.raises(RunError) as refused:
        jobs.submit_one(cache, reward_config(dataset, tiny_llama, validation_splits=("test",), pairs=99))
    first, second = str(refused.value).splitlines()
    assert first.startswith("validation_splits: ")
    assert second == f"99 are asked for, but split 'train' of {dataset} has 12"
    assert run_dirs(cache) == []


def test_command_line_says_each_problem_and_queues_nothing(
    cache: Path, dataset: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
    assert main(["policy", "--dataset", dataset, "--model", "/no/such", "--batch-size", "50"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("error: model: model '/no/such' not found")
    assert run_dirs(cache) == []


def test_dry_run_reports_and_queues_nothing(
    cache: Path, dataset: str, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
    asked = ["reward", "--dataset", dataset, "--model", str(tiny_llama), "--device", "cpu", "--dry-run"]
    assert main([*asked, "--batch-size", "4"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["run (reward)", "  work    12 pairs, 3 optimiser steps"]
    assert [line.split()[0] for line in said[2:6]] == ["tokens", "memory", "disk", "unknown:"]
    assert main([*asked, "--batch-size", "13"]) == 1
    assert "  problem: split 'train' has 12 training pair(s)" in capsys.readouterr().out
    assert run_dirs(cache) == []


@pytest.mark.slow
def test_dry_run_of_an_experiment_looks_at_every_run(
    cache: Path, tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
    source = tmp_path / "pairs.jsonl"
    source.write_text("".join(json.dumps(trl_record(p)) + "\n" for p in pairs(30)))
    runs = {"RM": {"kind": "reward"}, "Scores": {"kind": "score", "reward_models": ["@RM"], "splits": ["nope"]}}
    preset = {"name": "p", "title": "P", "data": {"name": "d", "source": str(source)}, "common": {"model": str(tiny_llama)}, "runs": runs}
    (tmp_path / "p.json").write_text(json.dumps(preset))
    assert main(["experiment", str(tmp_path / "p.json"), "--dry-run"]) == 1
    said = capsys.readouterr().out
    assert "RM (reward)" in said
    assert "Scores (score)" in said
    assert "unknown: reward_models: run 'RM' has not made its model yet" in said
    assert main(["experiment", str(tmp_path / "p.json")]) == 1
    assert "error: run 'Scores': splits: dataset" in capsys.readouterr().err
    assert run_dirs(cache) == []


@pytest.mark.slow
def test_preflight_comes_as_json_for_the_page(cache: Path, dataset: str, tiny_llama: Path) -> None:
    config = reward_config(dataset, tiny_llama)
    found = json.loads(jobs.engine_call(["preflight", config.model_dump_json()], cache))
    assert found["facts"]["work"] == "12 pairs, 3 optimiser steps"
    assert (found["items"], found["steps"], found["problems"]) == (12, 3, [])
    assert found["sample"]["sampled"] == 12
    with pytest.raises(RunError, match="the configuration is not JSON"):
        jobs.engine_call(["preflight", "{"], cache)
