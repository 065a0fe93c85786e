"""Whole runs on a two-layer model: what they measure and leave behind, and that parts and accumulation change nothing."""

import math
from pathlib import Path

import polars as pl
import pytest
import torch
from tiny import executed, listening, metrics, prepared, reward_config, table, tiny_chat, toy_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from engine.data.datasets_io import load_pairs
from engine.kinds.checkpoints import checkpoints
from engine.kinds.loop import Task, fit, rate_at
from engine.kinds.score import answers_of
from engine.model.batches import encode_pairs
from engine.model.networks import RewardModel, load_reward_model, load_tokenizer, untrain_head
from engine.model.scoring import values_of
from engine.queue.run import execute
from engine.settings.config import GenerateConfig, PolicyConfig, ScoreConfig
from engine.settings.hyperparameters import DPO
from engine.store.rundir import RunDir, run_dirs

pytestmark = pytest.mark.slow


def of_split(run: RunDir, split: str) -> dict[int, dict[str, float]]:
    return {line["step"]: line["values"] for line in metrics(run) if line["split"] == split}


def toy_run(cache: Path, name: str) -> RunDir:
    return next(run for run in run_dirs(cache) if run.config.name == name)


# Reward runs


def test_reward_run_is_measured_at_the_start_at_intervals_and_at_the_end(toy_cache: Path) -> None:
    run = toy_run(toy_cache, "toy")
    assert list(of_split(run, "validation")) == [0, 2, 3]
    assert list(of_split(run, "train")) == [1, 2, 3]
    train, validation = of_split(run, "train")[1], of_split(run, "validation")[0]
    assert set(train) == {"loss", "accuracy", "margin", "learning_rate", "grad_norm", "epoch"}
    sides = {f"{side}_{number}" for side in ("reward", "chosen", "rejected", "margin") for number in ("mean", "std")}
    assert set(validation) - {"accuracy_length_matched"} == {"accuracy", "n", "n_length_matched"} | sides
    assert validation["n"] == 6


def test_reward_run_leaves_its_tables_and_no_checkpoint(toy_cache: Path) -> None:
    run = toy_run(toy_cache, "toy")
    assert run.status.state == "done"
    assert table(run, "trained_on").height == 12
    assert sorted(table(run, "scorers")["kind"]) == ["head", "untrained_head"]
    assert table(run, "rewards").height == 24
    assert table(run, "models")["path"].to_list() == [None, f"runs/{run.id}/model"]
    assert not checkpoints(run)
    assert not (run.path / "checkpoints").exists()


def test_metrics_are_those_of_the_stored_rewards(toy_cache: Path) -> None:
    run = toy_run(toy_cache, "toy")
    scorer = dict(zip(table(run, "scorers")["kind"], table(run, "scorers")["scorer_id"], strict=True))["head"]
    rewards = {row["text_id"]: row["reward"] for row in table(run, "rewards").filter(pl.col("scorer_id") == scorer).iter_rows(named=True)}
    validation = pl.read_parquet(toy_cache / "datasets" / run.config.dataset / "pairs.parquet").filter(pl.col("split") == "validation")
    margins = [rewards[c] - rewards[r] for c, r in zip(validation["chosen_id"], validation["rejected_id"], strict=True)]
    last = of_split(run, "validation")[3]
    assert last["accuracy"] == sum(m > 0 for m in margins) / 6
    assert last["margin_mean"] == pytest.approx(sum(margins) / 6)
    assert last["reward_mean"] == pytest.approx(sum(rewards.values()) / 12)


def test_base_reward_model_is_the_same_network_with_an_untrained_head(toy_cache: Path, tiny_llama: Path) -> None:
    run = toy_run(toy_cache, "toy")
    tokenizer = load_tokenizer(toy_cache, str(tiny_llama))
    network = load_reward_model(toy_cache, str(tiny_llama), tokenizer)
    untrain_head(network, seed=0)
    held_out = load_pairs(toy_cache, run.config.dataset, "validation")
    sides = [side for pair in encode_pairs(tiny_chat(256), held_out) for side in pair]
    rewards = values_of(RewardModel(network).eval(), sides, "cpu", "fp32").tolist()
    assert of_split(run, "validation")[0]["reward_mean"] == pytest.approx(sum(rewards) / 12, abs=1e-5)


def test_plain_transformers_gives_the_same_rewards(toy_cache: Path) -> None:
    """No code of ours: the model folder, the tokenizer's own template, one padded batch."""
    run = toy_run(toy_cache, "toy")
    model = AutoModelForSequenceClassification.from_pretrained(run.path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(run.path / "model")
    answers = answers_of(load_pairs(toy_cache, run.config.dataset, "validation"))
    said = [
        [
            {"role": "system", "content": "Be brief."},
            *({"role": t.role, "content": t.content} for t in a.turns),
            {"role": "assistant", "content": a.response},
        ]
        for a in answers
    ]
    batch = tokenizer(tokenizer.apply_chat_template(said, tokenize=False), padding=True, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        plain = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0].tolist()
    scorers = dict(zip(table(run, "scorers")["kind"], table(run, "scorers")["scorer_id"], strict=True))
    ours = table(run, "rewards").filter(pl.col("scorer_id") == scorers["head"])
    stored = {(p, t): r for p, t, r in ours.select("prompt_id", "text_id", "reward").iter_rows()}
    assert plain == pytest.approx([stored[a.key] for a in answers], abs=1e-4)


@pytest.mark.parametrize("changes", [{"batch_size": 2, "accumulation": 2}, {"batch_size": 1, "accumulation": 4}, {"forward_tokens": 150}])
def test_accumulation_and_parts_train_like_one_batch(cache: Path, tiny_llama: Path, changes: dict[str, int]) -> None:
    dataset = toy_dataset(cache, train=4, validation=2)
    whole = executed(cache, reward_config(dataset, tiny_llama, epochs=3))
    other = executed(cache, reward_config(dataset, tiny_llama, epochs=3, **changes))
    for one, two in zip(metrics(whole), metrics(other), strict=True):
        assert two["values"] == pytest.approx(one["values"], abs=2e-4)
        assert two["tokens"] == one["tokens"]


def test_learning_rate_rises_then_falls_along_a_cosine() -> None:
    """10 steps, 20 % warm-up: 1/2, 2/2, then (1 + cos(πk/8)) / 2 for k = 0 … 7; half way (k = 4) it is 1/2."""
    rates = [rate_at(step, 10, 0.2) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)
    assert rates[2:] == pytest.approx([(1 + math.cos(math.pi * k / 8)) / 2 for k in range(8)])
    assert rate_at(0, 1, 0) == 1.0


def test_head_learns_at_its_own_rate(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = executed(cache, reward_config(dataset, tiny_llama, learning_rate=1e-9, head_learning_rate=1e-2, epochs=3))
    before, after = (AutoModelForSequenceClassification.from_pretrained(p, num_labels=1) for p in (tiny_llama, run.path / "model"))
    untrain_head(before, 0)
    moved = {name: (p - after.get_parameter(name)).abs().max().item() for name, p in before.named_parameters()}
    assert moved.pop("score.weight") > 1e-3
    assert max(moved.values()) < 1e-6


def test_everything_that_is_trained_decays(cache: Path) -> None:
    """Without a gradient AdamW only decays: by 1 − rate · 0.5 at rates 0.1, 0.1 and 0.05 (one step of warm-up, then a cosine)."""
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2), torch.nn.Embedding(3, 2))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    config = reward_config("d", "m", weight_decay=0.5)

    def loss(net: torch.nn.Module, part: list[int], of_batch: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return torch.stack([0 * p.sum() for p in net.parameters()]).sum().repeat(len(part)), {}

    task = Task(net, [{"params": [*net.parameters()], "lr": 0.1}], [1] * 12, loss, lambda step, seconds: None)
    fit(listening(cache, prepared(cache, config)), config, task, "cpu")
    for name, weight in net.named_parameters():
        assert torch.allclose(weight, 0.95 * 0.95 * 0.975 * before[name]), name


def test_each_pair_is_used_once_an_epoch_and_a_choice_is_seeded(cache: Path, dataset: str, tiny_llama: Path) -> None:
    chosen = [
        table(executed(cache, reward_config(dataset, tiny_llama, pairs=5, seed=s)), "trained_on")["pair_id"].to_list() for s in (1, 1, 2)
    ]
    assert len(set(chosen[0])) == 5
    assert chosen[0] == chosen[1] != chosen[2]


# Policy runs


def test_untrained_policy_has_loss_log_2_and_no_rewards(toy_cache: Path) -> None:
    run = toy_run(toy_cache, "tuned policy")
    first, start = of_split(run, "train")[1], of_split(run, "validation")[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert (first["rewards/margins"], first["rewards/sum"]) == pytest.approx((0, 0), abs=1e-4)
    assert (start["rewards/chosen"], start["rewards/rejected"], start["rewards/accuracies"]) == (0, 0, 0.5)
    assert {"logps/chosen", "logps/rejected", "rewards/accuracies", "learning_rate", "grad_norm"} <= set(first)


def test_trained_policy_has_moved_and_its_implicit_rewards_are_stored(toy_cache: Path) -> None:
    run = toy_run(toy_cache, "tuned policy")
    last = of_split(run, "validation")[3]
    assert last["rewards/margins"] > 0.01
    assert last["rewards/sum"] == pytest.approx(last["rewards/chosen"] + last["rewards/rejected"], abs=1e-5)
    scorer = table(run, "scorers").row(0, named=True)
    assert (scorer["kind"], scorer["beta"], scorer["reduction"], scorer["model_id"]) == ("implicit", 0.1, "sum", run.id)
    assert table(run, "rewards").height == 12
    assert table(run, "rewards")["reward"].mean() == pytest.approx(last["rewards/sum"] / 2, abs=1e-5)


def test_a_stronger_beta_scales_the_same_policy_s_rewards(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """At the first step every β sees the same policy: L = log 2, and the gradient's norm is proportional to β."""
    values = {"batch_size": 4, "precision": "fp32", "pairs": 4, "device": "cpu", "learning_rate": 1e-5}
    runs = [executed(cache, PolicyConfig(dataset=dataset, model=str(tiny_llama), loss=DPO(beta=b), **values)) for b in (0.1, 0.2)]
    norms = [of_split(run, "train")[1]["grad_norm"] for run in runs]
    assert norms[1] == pytest.approx(2 * norms[0], rel=1e-3)


# Answers and scores


def test_answers_have_a_finish_reason_and_a_length(toy_cache: Path) -> None:
    base, tuned = (table(toy_run(toy_cache, f"{side} answers"), "generations") for side in ("base", "tuned"))
    assert base.height == tuned.height == 6
    assert set(base["prompt_id"]) == set(tuned["prompt_id"])
    assert set(base["finish_reason"]) <= {"stop", "length"}
    assert set(base.filter(pl.col("finish_reason") == "length")["tokens"]) <= {8}


def test_a_model_folder_answers_as_base_and_a_run_as_tuned(toy_cache: Path) -> None:
    kinds = {side: table(toy_run(toy_cache, f"{side} answers"), "generators")["kind"].to_list() for side in ("base", "tuned")}
    assert kinds == {"base": ["base"], "tuned": ["tuned"]}


def test_sampling_follows_its_seed(cache: Path, dataset: str, tiny_llama: Path) -> None:
    values = {"policy": str(tiny_llama), "max_new_tokens": 12, "precision": "fp32", "temperature": 1.0, "top_p": 0.9, "device": "cpu"}
    runs = [executed(cache, GenerateConfig(dataset=dataset, seed=s, **values)) for s in (1, 1, 2)]
    texts = [table(run, "generations")["text_id"].to_list() for run in runs]
    assert texts[0] == texts[1] != texts[2]


def test_score_run_leaves_out_what_the_reward_run_has_scored(toy_cache: Path) -> None:
    run, reward = toy_run(toy_cache, "scores"), toy_run(toy_cache, "toy")
    answers = {
        (p, t)
        for side in ("base", "tuned")
        for p, t in table(toy_run(toy_cache, f"{side} answers"), "generations").select("prompt_id", "text_id").iter_rows()
    }
    scored = table(run, "rewards").group_by("scorer_id").len()
    assert set(scored["scorer_id"]) == set(table(reward, "scorers")["scorer_id"])
    assert scored["len"].to_list() == [len(answers)] * 2


def test_score_run_done_twice_adds_nothing(cache: Path, dataset: str, tiny_llama: Path) -> None:
    reward = executed(cache, reward_config(dataset, tiny_llama))
    run = executed(cache, ScoreConfig(dataset=dataset, device="cpu", reward_models=(reward.id,), splits=("train", "validation")))
    first = table(run, "rewards")
    assert first.height == 48
    execute(listening(cache, run))
    assert table(run, "rewards").equals(first)
