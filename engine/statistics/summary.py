"""The numbers of the experiment: every reward model on every scored split, every policy under every reward model."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from engine.statistics.proportions import win_rate
from engine.statistics.rewards import mean_difference, reward_summary
from engine.store.database import frame, reading

REWARD_MODELS = """
    select s.scorer_id, s.name, s.kind, s.beta, s.reduction, d.name as dataset, p.dataset_id, p.split, p.chosen_reward, p.rejected_reward
    from scored_pairs p join datasets d using (dataset_id) join scorers s using (scorer_id)
    order by s.kind = 'untrained_head' desc, s.scorer_id, p.dataset_id, p.split
"""
POLICIES = """
    select a.*, tuned.name, run.config ->> '$.loss.name' as loss, base.name as base, s.name as scorer, s.kind as scorer_kind
    from compared_answers a join comparable c using (base_id, tuned_id)
    join generators tuned on tuned.generator_id = tuned_id join generators base on base.generator_id = base_id
    join scorers s using (scorer_id) left join runs run on run.run_id = tuned.model_id
    where c.paired
    order by tuned_id, base_id, s.kind = 'untrained_head', scorer_id
"""


def summary(cache: Path) -> dict[str, list[dict[str, Any]]]:
    """{"reward_models": […], "policies": […]}; accuracies and win rates count ties half and carry a 95 % interval."""
    with reading(cache) as con:
        pairs, answers = frame(con, REWARD_MODELS), frame(con, POLICIES)
    scored = pairs.partition_by("scorer_id", "dataset_id", "split", maintain_order=True)
    compared = answers.partition_by("tuned_id", "base_id", "scorer_id", maintain_order=True)
    return {"reward_models": [reward_model(f) for f in scored], "policies": [policy(f) for f in compared]}


def reward_model(rows: pl.DataFrame) -> dict[str, Any]:
    found = reward_summary(rows["chosen_reward"], rows["rejected_reward"])
    named = {name: rows[name][0] for name in ("name", "kind", "beta", "reduction", "dataset", "split", "scorer_id", "dataset_id")}
    plain = ("reward_mean", "reward_std", "chosen_mean", "chosen_std", "rejected_mean", "rejected_std")
    return {
        **named,
        "n": found.n,
        "accuracy": found.accuracy.value,
        "accuracy_low": found.accuracy.low,
        "accuracy_high": found.accuracy.high,
        **{name: getattr(found, name) for name in plain},
        "margin_mean": found.margin_mean.value,
        "margin_std": found.margin_std,
    }


def unit(row: dict[str, Any]) -> str:
    """What a mean reward counts: an implicit reward β times a sum or a mean of nats, any other its scorer's own unit."""
    return "own" if row["beta"] is None else f"{row['beta']:g} × {row['reduction']} of nats"


def policy(rows: pl.DataFrame) -> dict[str, Any]:
    wins, difference = win_rate(rows["tuned_reward"], rows["base_reward"]), mean_difference(rows["tuned_reward"], rows["base_reward"])
    return {
        **{name: rows[name][0] for name in ("name", "loss", "base", "scorer", "scorer_kind", "tuned_id", "base_id", "scorer_id")},
        "n": wins.n,
        "win_rate": wins.value,
        "win_rate_low": wins.low,
        "win_rate_high": wins.high,
        "reward_difference": difference.value,
        "reward_difference_low": difference.low,
        "reward_difference_high": difference.high,
        "mean_tokens_base": rows["base_tokens"].mean(),
        "mean_tokens_tuned": rows["tuned_tokens"].mean(),
        "mean_words_base": rows["base_words"].mean(),
        "mean_words_tuned": rows["tuned_words"].mean(),
    }


def as_text(found: dict[str, list[dict[str, Any]]]) -> str:
    """Two tables for a terminal."""
    lines = ["Reward models (accuracy: share of pairs with chosen above rejected, ties half, 95 % interval; rewards compare within a unit)"]
    lines.append(f"{'model':32}{'dataset / split':34}{'n':>6}  {'accuracy':24}{'mean':>9}{'std':>9}  unit")
    for r in found["reward_models"]:
        interval = f"{r['accuracy']:.3f} ({r['accuracy_low']:.3f} to {r['accuracy_high']:.3f})"
        place = f"{r['dataset']} / {r['split']}"
        lines.append(
            f"{r['name'][:31]:32}{place[:33]:34}{r['n']:>6}  {interval:24}{r['reward_mean']:>9.3f}{r['reward_std']:>9.3f}  {unit(r)}"
        )
    lines += ["", "Policies (win rate: share of prompts on which the scorer prefers the tuned answer to the base one)"]
    lines.append(f"{'tuned':24}{'against':20}{'scorer':26}{'n':>6}  {'win rate':24}{'tokens base → tuned':>20}")
    for p in found["policies"]:
        interval = f"{p['win_rate']:.3f} ({p['win_rate_low']:.3f} to {p['win_rate_high']:.3f})"
        tokens = f"{p['mean_tokens_base']:.1f} → {p['mean_tokens_tuned']:.1f}" if p["mean_tokens_base"] is not None else "unknown"
        lines.append(f"{p['name'][:23]:24}{p['base'][:19]:20}{p['scorer'][:25]:26}{p['n']:>6}  {interval:24}{tokens:>20}")
    return "\n".join(lines) if found["reward_models"] or found["policies"] else json.dumps("nothing has been scored yet")
