"""What a training run can be asked for besides its loss: adapters, length control, groups, a guide, added losses."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from tiny import executed, metrics, pairs, policy_config, reward_config, table, tiny_chat, trl_record
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from engine.data.datasets_io import import_dataset, load_pairs
from engine.settings.config import GenerateConfig, PolicyConfig, RewardConfig, ScoreConfig
from engine.settings.hyperparameters import DPO, ORPO, GuidedDPO, LengthControl, LoRA, SimPO, Weighted
from engine.statistics.rewards import length_matched
from engine.store.rundir import RunDir, write_text

pytestmark = pytest.mark.slow


def last(run: RunDir, split: str = "validation") -> dict[str, float]:
    lines: dict[str, dict[str, float]] = {line["split"]: line["values"] for line in metrics(run)}
    return lines[split]


# LoRA


def test_adapters_load_in_plain_peft_and_equal_the_merged_model(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = executed(cache, policy_config(dataset, tiny_llama, lora=LoRA(rank=4), epochs=2))
    ids = torch.arange(20)[None]
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with torch.no_grad():
        before = base(ids).logits
        adapted = PeftModel.from_pretrained(base, run.path / "adapter")(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(run.path / "model")(ids).logits
    assert torch.allclose(adapted, merged, atol=1e-4)
    assert not torch.allclose(before, merged, atol=1e-3)


def test_a_reward_model_s_head_is_trained_whole_beside_its_adapters(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = executed(cache, reward_config(dataset, tiny_llama, lora=LoRA(rank=2, targets=("q_proj", "v_proj")), epochs=2))
    base, merged = (AutoModelForSequenceClassification.from_pretrained(p, num_labels=1) for p in (tiny_llama, run.path / "model"))
    moved = {n for n, p in merged.named_parameters() if not torch.equal(p, base.get_parameter(n))}
    assert "score.weight" in moved
    assert {n.split(".")[-2] for n in moved} == {"q_proj", "v_proj", "score"}
    scored = executed(cache, ScoreConfig(dataset=dataset, device="cpu", reward_models=(run.id,), splits=("train",)))
    assert scored.status.error is None
    ids = torch.arange(20)[None]
    with torch.no_grad():
        adapted = PeftModel.from_pretrained(base, run.path / "adapter")(ids).logits
        assert torch.allclose(adapted, merged(ids).logits, atol=1e-4)


def test_a_target_that_names_no_layer_is_refused(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = executed(cache, reward_config(dataset, tiny_llama, lora=LoRA(targets=("attention_of_gpt",))))
    assert run.status.state == "failed"
    assert str(run.status.error).startswith("lora.targets attention_of_gpt: ")


# A model that is told the group


def test_a_response_that_stands_in_two_groups_is_refused_by_a_model_that_is_told_them(cache: Path, tiny_llama: Path) -> None:
    """One question, the same two answers, and two groups that prefer another one: the table has room for one reward of each answer."""
    said = {"question": "Tea or coffee?", "good": "Tea, of course.", "bad": "Coffee, always.", "group": "one"}
    train = [{**said, "question": f"{said['question']} {i}", "group": "one" if i % 2 else "two"} for i in range(8)]
    other = {**said, "good": said["bad"], "bad": said["good"], "group": "two"}
    files = {"train": train, "validation": [said, other]}
    for split, records in files.items():
        write_text(cache.parent / f"{split}.jsonl", "".join(json.dumps(r) + "\n" for r in records))
    columns = {"question": "question", "chosen": "good", "rejected": "bad", "prompt_type": "group"}
    paths = {split: str(cache.parent / f"{split}.jsonl") for split in files}
    dataset = import_dataset(cache, "preferences", paths, format="mapped", options=columns).dataset_id
    told = executed(cache, reward_config(dataset, tiny_llama, group_by="prompt_type", conditional=True))
    assert "stands in two groups" in str(told.status.error)
    assert executed(cache, reward_config(dataset, tiny_llama)).status.state == "done"


# Losses


def test_a_loss_without_a_reference_never_scores_one(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = executed(cache, policy_config(dataset, tiny_llama, loss=SimPO()))
    scorer = table(run, "scorers").row(0, named=True)
    assert run.status.error is None
    assert not (cache / "references").exists()
    assert (scorer["reference_model_id"], scorer["reduction"], scorer["beta"]) == (None, "mean", 2.0)


def test_added_losses_change_the_training_and_not_the_rewards_at_the_start(cache: Path, dataset: str, tiny_llama: Path) -> None:
    alone = executed(cache, policy_config(dataset, tiny_llama))
    both = executed(cache, policy_config(dataset, tiny_llama, added=(Weighted(weight=0.5, loss=ORPO()),)))
    first, second = (metrics(run)[1]["values"] for run in (alone, both))
    assert second["loss"] > first["loss"] + 0.5
    assert second["rewards/chosen"] == pytest.approx(first["rewards/chosen"], abs=1e-6)


def test_guided_dpo_takes_its_margins_from_a_reward_model(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """At the reference L = −log σ(−s (r_c − r_r)) for each pair."""
    reward = executed(cache, reward_config(dataset, tiny_llama, epochs=3))
    run = executed(cache, policy_config(dataset, tiny_llama, loss=GuidedDPO(scale=2.0), guide=reward.id, score_precision="fp32"))
    assert run.status.error is None
    scorer = table(reward, "scorers").filter(pl.col("kind") == "head")["scorer_id"][0]
    rewards = dict(table(reward, "rewards").filter(pl.col("scorer_id") == scorer).select("text_id", "reward").iter_rows())
    stored = pl.read_parquet(cache / "datasets" / dataset / "pairs.parquet").filter(pl.col("split") == "validation")
    margins = torch.tensor([rewards[c] - rewards[r] for c, r in stored.select("chosen_id", "rejected_id").iter_rows()])
    start = next(line["values"] for line in metrics(run) if line["step"] == 0)
    assert start["loss"] == pytest.approx(torch.nn.functional.softplus(2.0 * margins).mean().item(), abs=1e-4)


def test_guided_dpo_and_its_guide_go_together() -> None:
    with pytest.raises(ValidationError, match="name the reward run that gives the margins"):
        PolicyConfig(dataset="d", loss=GuidedDPO())
    with pytest.raises(ValidationError, match="or leave both out"):
        PolicyConfig(dataset="d", loss=DPO(), guide="run")


def test_a_guide_that_is_no_reward_run_is_refused(cache: Path, dataset: str, tiny_llama: Path) -> None:
    other = executed(cache, policy_config(dataset, tiny_llama))
    run = executed(cache, policy_config(dataset, tiny_llama, loss=GuidedDPO(), guide=other.id))
    assert run.status.error == f"guide {other.id} is a policy run, expected a reward run"


# Length


def test_length_control_at_scoring_changes_rewards_and_makes_another_scorer(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """Same training, so r' = r − 0.5 · |tokens − 3| for every response."""
    control = LengthControl(penalty=0.5, target=3, when="scoring")
    plain, controlled = (executed(cache, reward_config(dataset, tiny_llama, length=c)) for c in (LengthControl(), control))
    rows = [
        table(run, "rewards").join(table(run, "scorers").filter(pl.col("kind") == "head"), on="scorer_id") for run in (plain, controlled)
    ]
    both = rows[0].join(rows[1], on=("prompt_id", "text_id"), suffix="_c")
    assert both["reward_c"].to_list() == pytest.approx((both["reward"] - 0.5 * (both["tokens"] - 3).abs()).to_list(), abs=1e-5)
    assert set(rows[0]["scorer_id"]).isdisjoint(rows[1]["scorer_id"])
    assert rows[0]["length_control"].unique().to_list() == [None]


def test_length_control_in_training_leaves_the_scores_plain(cache: Path, dataset: str, tiny_llama: Path) -> None:
    plain, controlled = (
        executed(cache, reward_config(dataset, tiny_llama, length=c)) for c in (LengthControl(), LengthControl(divide=4.0, when="training"))
    )
    assert metrics(controlled)[0]["values"] == metrics(plain)[0]["values"]  # the untrained head
    assert metrics(controlled)[1]["values"]["loss"] != metrics(plain)[1]["values"]["loss"]


def test_balanced_pairs_have_the_longer_response_on_either_side_equally_often(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = executed(cache, reward_config(dataset, tiny_llama, balance_length=True, batch_size=2))
    kept = set(table(run, "trained_on")["pair_id"])
    sides = [len(p.chosen) - len(p.rejected) for p in load_pairs(cache, dataset, "train") if p.pair_id in kept]
    assert sum(d > 0 for d in sides) == sum(d < 0 for d in sides) > 0
    assert f"{12 - len(kept)} of 12 pairs were left out" in run.status.notes[0]


def test_accuracy_on_length_matched_pairs_by_hand() -> None:
    """Within 10 %: (10, 11) right, (10, 9) wrong, (20, 10) too different: 1 of 2."""
    found = length_matched([1.0, 0.0, 5.0], [0.0, 1.0, 0.0], [(10, 11), (10, 9), (20, 10)])
    assert found.value == 0.5
    assert found.n == 2


# Groups


def grouped_dataset(cache: Path) -> str:
    """Twelve training pairs of two sources by turns, six to validate."""
    import json

    files = {}
    for split, part in (("train", pairs(18)[:12]), ("validation", pairs(18)[12:])):
        files[split] = str(cache.parent / f"grouped-{split}.jsonl")
        records = [{**trl_record(p), "source": ("terse", "chatty")[i % 2]} for i, p in enumerate(part)]
        write_text(Path(files[split]), "".join(json.dumps(r) + "\n" for r in records))
    return import_dataset(cache, "grouped", files).dataset_id


def test_a_group_s_reward_model_trains_on_its_pairs_and_is_scored_on_all(cache: Path, tiny_llama: Path) -> None:
    run = executed(cache, reward_config(grouped_dataset(cache), tiny_llama, group_by="source", group="terse"))
    assert run.status.error is None
    assert table(run, "trained_on").height == 6
    assert last(run)["n"] == 6


def test_an_unknown_group_is_refused(cache: Path, tiny_llama: Path) -> None:
    dataset = grouped_dataset(cache)
    run = executed(cache, reward_config(dataset, tiny_llama, group_by="source", group="shy"))
    assert run.status.error == f"split 'train' of {dataset} has no pair with source 'shy': expected one of chatty, terse"


def test_a_conditional_model_is_told_the_group_in_the_system_prompt(cache: Path, tiny_llama: Path) -> None:
    dataset = grouped_dataset(cache)
    run = executed(cache, reward_config(dataset, tiny_llama, group_by="source", conditional=True))
    plain = executed(cache, reward_config(dataset, tiny_llama))
    assert run.status.error is None
    assert "Group: {source}" in table(run, "scorers")["system_prompt"][0]
    assert metrics(run)[0]["values"]["reward_mean"] != metrics(plain)[0]["values"]["reward_mean"]
    turns = pairs(1)[0].turns
    assert "<|im_start|>system\nBe brief.\nGroup: terse<|im_end|>" in tiny_chat().prompt_text(turns, "terse")


def test_answers_are_scored_in_the_group_of_their_prompt(cache: Path, tiny_llama: Path) -> None:
    dataset = grouped_dataset(cache)
    reward = executed(cache, reward_config(dataset, tiny_llama, group_by="source", conditional=True))
    answers = executed(cache, GenerateConfig(dataset=dataset, policy=str(tiny_llama), max_new_tokens=4, precision="fp32", device="cpu"))
    run = executed(
        cache, ScoreConfig(dataset=dataset, device="cpu", reward_models=(reward.id,), generations=(answers.id,), splits=("validation",))
    )
    assert run.status.error is None
    again = table(reward, "rewards").join(table(run, "rewards"), on=("scorer_id", "prompt_id", "text_id"))
    assert again.height == 0  # what the reward run scored was recognised as the same


def test_group_and_conditional_need_the_field_that_names_it() -> None:
    for values in ({"group": "terse"}, {"conditional": True}):
        with pytest.raises(ValidationError, match="need group_by"):
            RewardConfig(dataset="d", **values)
