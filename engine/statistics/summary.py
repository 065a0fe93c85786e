"""The numbers of the experiment: every reward model on every scored split, every policy under every reward model."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from engine.plain import on_one_line
from engine.settings.slices import Slice
from engine.statistics.coverage import Scoring, incomplete, scoring_now
from engine.statistics.estimate import Estimate
from engine.statistics.registry import measured
from engine.statistics.twins import pairs_with_twin
from engine.store.database import Connection, frame, reading
from engine.store.slices import counts, described, show_slice

REWARD_MODELS = """
    select s.scorer_id, s.name, s.kind, s.beta, s.reduction, d.name as dataset, p.*
    from scored_pairs p join datasets d using (dataset_id) join named_scorers s using (scorer_id)
    order by s.kind = 'untrained_head' desc, s.scorer_id, p.dataset_id, p.split
"""
POLICIES = """
    select a.*, c.differs, tuned.name, run.config ->> '$.loss.name' as loss, base.name as base, s.name as scorer, s.kind as scorer_kind
    from compared_answers a join comparable c using (base_id, tuned_id)
    join named_generators tuned on tuned.generator_id = tuned_id join named_generators base on base.generator_id = base_id
    join named_scorers s using (scorer_id) left join runs run on run.run_id = tuned.model_id
    where c.paired and ($all_settings or c.differs is null)
    order by tuned_id, base_id, s.kind = 'untrained_head', scorer_id
"""
OTHER_SETTINGS = """
    select t.name, b.name as base, differs, tuned_id, base_id
    from comparable join named_generators t on t.generator_id = tuned_id join named_generators b on b.generator_id = base_id
    where paired and differs is not null
          and (base_id, tuned_id) in (select (base_id, tuned_id) from compared_answers) order by all
"""

REWARD_STATISTICS = (
    "accuracy", "reward_mean", "reward_std", "chosen_mean", "chosen_std", "rejected_mean", "rejected_std", "margin_mean", "margin_std",
)  # fmt: skip
OF_ANSWERS = ("tokens_mean", "words_mean", "share_cut")
OF_COMPARISONS = ("win_rate", "reward_difference")


def summary(cache: Path, all_settings: bool = False, wanted: Slice | None = None) -> dict[str, list[dict[str, Any]]]:
    """{"slice", "reward_models", "policies", "other_settings", "incomplete", "scoring"}; every number is an Estimate; accuracies and win
    rates count ties half.

    slice: of one that is wanted, its words and how many pairs of each split it has; the numbers are then of its rows alone.
    other_settings: generators that answered under differing decoding settings, and what differs; they stand under policies only when
    `all_settings` asks for them. incomplete: what is scored in part and has no number yet. scoring: runs that are at it.
    """
    with reading(cache) as con:
        sliced = [] if wanted is None else slice_rows(con, wanted)
        show_slice(con, wanted)
        pairs, answers = frame(con, REWARD_MODELS), frame(con, POLICIES, {"all_settings": all_settings})
        unlike, missing = frame(con, OTHER_SETTINGS).to_dicts(), incomplete(con).to_dicts()
        scored = pairs.partition_by("scorer_id", "dataset_id", "split", maintain_order=True)
        reward_models = [{**reward_model(f), **gain(con, f)} for f in scored]
    compared = answers.partition_by("tuned_id", "base_id", "scorer_id", maintain_order=True)
    return {
        "slice": sliced,
        "reward_models": reward_models,
        "policies": [policy(f) for f in compared],
        "other_settings": unlike,
        "incomplete": missing,
        "scoring": [asdict(run) for run in scoring_now(cache)],
    }


def slice_rows(con: Connection, wanted: Slice) -> list[dict[str, Any]]:
    """slice (in words), split, pairs (of the slice), of (all), a row for each split. Raises DataError when what it asks for is gone."""
    words = described(con, wanted)
    return [{"slice": words, "split": split, "pairs": pairs, "of": of} for split, (pairs, of) in counts(con, wanted).items()]


def reward_model(rows: pl.DataFrame) -> dict[str, Any]:
    named = {name: rows[name][0] for name in ("name", "kind", "beta", "reduction", "dataset", "split", "scorer_id", "dataset_id")}
    return {**named, "n": len(rows), **measured(rows, REWARD_STATISTICS)}


def gain(con: Connection, rows: pl.DataFrame) -> dict[str, Any]:
    """What training changed: the accuracy gained over the untrained scorer, pair by pair; nothing of a scorer that was not trained."""
    trained, dataset, split = rows.select("scorer_id", "dataset_id", "split").row(0)
    both = pairs_with_twin(con, trained, dataset, split)
    return {} if both.is_empty() else measured(both, ["accuracy_gain"])


def unit(row: dict[str, Any]) -> str:
    """What a mean reward counts: an implicit reward β times a sum or a mean of nats, any other its scorer's own unit."""
    return "own" if row["beta"] is None else f"{row['beta']:g} × {row['reduction']} of nats"


def policy(rows: pl.DataFrame) -> dict[str, Any]:
    named = {
        name: rows[name][0] for name in ("name", "loss", "base", "scorer", "scorer_kind", "tuned_id", "base_id", "scorer_id", "differs")
    }
    return {
        **named,
        "n": len(rows),
        **measured(rows, OF_COMPARISONS),
        "answers": {who: measured(answers_of(rows, who), OF_ANSWERS) for who in ("base", "tuned")},
    }


def answers_of(rows: pl.DataFrame, who: str) -> pl.DataFrame:
    """The answers of one of two compared generators."""
    return rows.select("prompt_id", *(pl.col(f"{who}_{name}").alias(name) for name in ("tokens", "words", "finish_reason")))


def as_json(found: object) -> str:
    """The summary as JSON; each estimate is an object of its fields."""
    return json.dumps(found, indent=1, ensure_ascii=False, default=Estimate.as_json)


def place_of(row: dict[str, Any]) -> str:
    """A reward model and what it was measured on, in two columns."""
    return f"{row['name'][:31]:32}{row['dataset'] + ' / ' + row['split']:.33}".ljust(66)


def length(answers: dict[str, Estimate]) -> str:
    """Mean tokens, of which is known only that it is at least this where answers were cut."""
    mean, cut_share = answers["tokens_mean"], answers["share_cut"].value
    return f"{'≥' if cut_share > 0 else ''}{mean.value:.1f}" if mean.n else "unknown"


def cut(answers: dict[str, Estimate]) -> str:
    return f"{answers['share_cut'].value:.1%}" if answers["share_cut"].n else "unknown"


def as_text(found: dict[str, list[dict[str, Any]]]) -> str:
    """Two tables for a terminal."""
    if not any(found.values()):
        return "nothing has been scored yet"
    found = {part: list(map(on_one_line, rows)) for part, rows in found.items()}
    lines = [
        *slice_said(found["slice"]),
        "Reward models (accuracy: share of pairs with chosen above rejected, ties half, 95 % interval; rewards compare within a unit)",
    ]
    lines.append(f"{'model':32}{'dataset / split':34}{'pairs':>6}  {'accuracy':24}{'interval by':32}{'mean':>9}{'std':>9}  unit")
    for r in found["reward_models"]:
        right, mean, std = r["accuracy"], r["reward_mean"], r["reward_std"]
        lines.append(
            f"{place_of(r)}{right.n:>6}  {right:.3f}".ljust(98) + f"{right.method:32}{mean.value:>9.3f}{std.value:>9.3f}  {unit(r)}"
        )
    gained = [r for r in found["reward_models"] if "accuracy_gain" in r]
    if gained:
        lines += ["", "Training (accuracy gained over the untrained model, pair by pair on the same pairs)"]
        lines.append(f"{'model':32}{'dataset / split':34}{'pairs':>6}  {'accuracy gained':27}{'interval by':32}")
        for r in gained:
            more = r["accuracy_gain"]
            lines.append(f"{place_of(r)}{more.n:>6}  {more:+.3f}".ljust(101) + more.method)
    lines += ["", "Policies (win rate: share of prompts on which the scorer prefers the tuned answer to the base one)"]
    head = f"{'tuned':24}{'against':20}{'scorer':26}{'prompts':>8}  {'win rate':24}{'interval by':32}"
    lines.append(f"{head}{'tokens base → tuned':>22}{'cut base → tuned':>18}")
    for p in found["policies"]:
        won, sides = p["win_rate"], [p["answers"][who] for who in ("base", "tuned")]
        tokens, shares = " → ".join(map(length, sides)), " → ".join(map(cut, sides))
        place = f"{p['name'][:23]:24}{p['base'][:19]:20}{p['scorer'][:25]:26}"
        lines.append(f"{place}{won.n:>8}  {won:.3f}".ljust(104) + f"{won.method:32}{tokens:>22}{shares:>18}")
    if found["policies"]:
        lines.append("cut: share of answers that reached the limit of new tokens, so that their lengths are at least (≥) what is counted")
    return "\n".join([*lines, *remarks(found)])


def slice_said(rows: list[dict[str, Any]]) -> list[str]:
    """Which slice the numbers are of, and how much of each split that is."""
    parts = ", ".join(f"{r['pairs']:,} of {r['of']:,} pairs of {r['split']}" for r in rows)
    return [f"Slice {rows[0]['slice']}: {parts}", ""] if rows else []


def remarks(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What is not a number: comparisons under differing settings, and what is scored in part."""
    shown = {(p["tuned_id"], p["base_id"]) for p in found["policies"]}
    lines = [""] if found["other_settings"] or found["incomplete"] or found["scoring"] else []
    for other in found["other_settings"]:
        how = "compared" if (other["tuned_id"], other["base_id"]) in shown else "not compared (--all-settings compares them)"
        lines.append(f"{other['name']} and {other['base']} answered under other settings, {how}: {other['differs']}")
    lines += [str(Scoring(**run)) for run in found["scoring"]]
    lines += [f"not shown: {x['scored']:,} of {x['expected']:,} scored by {x['scorer']} ({x['of']})" for x in found["incomplete"]]
    return lines
