"""An ensemble run: several reward models as one scorer, how far they agree on every response, and whether that tells right from wrong."""

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.data.datasets_io import load_pairs
from engine.data.records import digest
from engine.errors import RunError
from engine.kinds.score import Answer, answers_of, answers_to_score, score_under
from engine.settings.config import EnsembleConfig, RewardConfig, ScoreConfig
from engine.statistics.ensembles import agreement, combined, standardised, unlike_shares, win_shares
from engine.statistics.intervals import share_above_zero
from engine.statistics.rewards import reward_numbers
from engine.store.progress import Progress
from engine.store.rundir import find_run

Matrix = NDArray[np.float64]
Key = tuple[str, str]  # prompt_id, text_id


@dataclass(frozen=True)
class Member:
    """One reward model of the ensemble and what it gave each response."""

    run_id: str
    rewards: pl.DataFrame  # scorer_id, prompt_id, text_id, reward, tokens, truncated

    @property
    def scorer_id(self) -> str:
        return str(self.rewards["scorer_id"][0])


def run(progress: Progress, config: EnsembleConfig) -> None:
    """Score what a member has not scored yet, join the rewards, and measure ensemble and members on the splits."""
    given = {name: getattr(config, name) for name in ("name", "dataset", "reward_models", "splits", "generations")}
    answers = answers_to_score(progress, ScoreConfig(**given))
    for run_id in config.reward_models:
        score_missing(progress, run_id, answers)
    if not progress.run.writes:
        return
    progress.stage("joining the rewards")
    members = [Member(run_id, known_rewards(progress, run_id)) for run_id in config.reward_models]
    keys = sorted({a.key for a in answers})
    rewards = np.array([in_order(member, keys) for member in members]).T
    values = entering(config, rewards, [prompt for prompt, _ in keys], members)
    weights = np.array(weights_of(progress, config))
    joined = combined(values, weights)
    scorer_id = write_scorer(progress, config, members, weights, rewards, keys)
    write_rewards(progress, scorer_id, members[0], keys, values, joined)
    for split in config.splits:
        measure(progress, config, split, {key: index for index, key in enumerate(keys)}, values, joined)


def score_missing(progress: Progress, run_id: str, answers: list[Answer]) -> None:
    """Score those of the answers with a reward run's model that no run has scored with it.

    Raises RunError when it is no reward run, or when something is left to score and its weights are gone.
    """
    reward_run = find_run(progress.cache, run_id)
    settings = reward_run.config
    if not isinstance(settings, RewardConfig):
        raise RunError(f"{run_id} is a run of kind {reward_run.outline.kind}, expected a reward run")
    known = set(known_rewards(progress, run_id).select("prompt_id", "text_id").iter_rows())
    missing = [a for a in answers if a.key not in known]
    if missing and not (reward_run.path / "model").is_dir():
        raise RunError(f"{run_id} has not scored {len(missing)} of {len(answers)} responses, and its weights were freed: train it again")
    if missing:
        score_under(progress, settings, run_id, True, missing)


def known_rewards(progress: Progress, run_id: str) -> pl.DataFrame:
    """Every reward that a reward run's trained model gave, in whichever run; one row for each response."""
    scorers = [t for t in (progress.run.table("scorers"), find_run(progress.cache, run_id).table("scorers")) if t is not None]
    heads = [t.filter((pl.col("kind") == "head") & (pl.col("model_id") == run_id))["scorer_id"] for t in scorers if "model_id" in t.columns]
    own = [scorer_id for ids in heads for scorer_id in ids][-1:]
    if not own:
        return pl.DataFrame(schema=dict.fromkeys(("scorer_id", "prompt_id", "text_id"), pl.String))
    tables = [pl.scan_parquet(path) for path in sorted((progress.cache / "runs").glob("[!.]*/rewards.parquet"))]
    found = pl.concat([t.filter(pl.col("scorer_id").is_in(own)) for t in tables], how="diagonal_relaxed")
    return found.unique(["prompt_id", "text_id"], maintain_order=True).collect()


def in_order(member: Member, keys: list[Key]) -> list[float]:
    rewards = {(p, t): r for p, t, r in member.rewards.select("prompt_id", "text_id", "reward").iter_rows()}
    return [rewards[key] for key in keys]


def entering(config: EnsembleConfig, rewards: Matrix, prompts: list[str], members: list[Member]) -> Matrix:
    """Members' rewards as they enter the ensemble, (texts, members): won comparisons, standard scores, or as they are."""
    if config.method == "vote":
        return win_shares(rewards, prompts)
    flat = [m.run_id for m, spread in zip(members, np.ptp(rewards, axis=0), strict=True) if spread == 0]
    if config.standardise and flat:
        raise RunError(f"{flat[0]} gives every response the same reward: it cannot be standardised")
    return standardised(rewards) if config.standardise else rewards


def weights_of(progress: Progress, config: EnsembleConfig) -> list[float]:
    """Equal ones, those configured, or each member's last accuracy on its first validation split. Raises RunError when it has none."""
    if config.method != "weighted_mean" or config.weights:
        return list(config.weights) or [1.0] * len(config.reward_models)
    progress.note("The weights are the members' validation accuracies: on the same pairs the ensemble's accuracy is slightly too good.")
    return [validation_accuracy(progress, run_id) for run_id in config.reward_models]


def validation_accuracy(progress: Progress, run_id: str) -> float:
    member = find_run(progress.cache, run_id)
    settings = member.config
    assert isinstance(settings, RewardConfig)
    found = [x.values["accuracy"] for x in member.measured if x.split in settings.validation_splits[:1] and x.step > 0]
    if not found:
        raise RunError(f"{run_id} has no validation accuracy to weigh it by: give the weights")
    return float(found[-1])


def write_scorer(
    progress: Progress, config: EnsembleConfig, members: list[Member], weights: Matrix, rewards: Matrix, keys: list[Key]
) -> str:
    """The ensemble's row of `scorers`; its id is a hash of all that changes a score: for a vote, the rivals too."""
    scaled = config.standardise and config.method != "vote"
    of_member = zip(members, weights.tolist(), rewards.mean(axis=0).tolist(), rewards.std(axis=0, ddof=1).tolist(), strict=True)
    described = json.dumps(
        [
            {"run_id": m.run_id, "scorer_id": m.scorer_id, "weight": w, "mean": mean if scaled else None, "std": std if scaled else None}
            for m, w, mean, std in of_member
        ]
    )
    stood = [part for key in keys for part in key] if config.method == "vote" else []
    scorer_id = digest("ensemble", config.method, described, *stood)
    progress.add("scorers", [{"scorer_id": scorer_id, "name": config.name, "kind": "ensemble", "members": described}])
    return scorer_id


def write_rewards(progress: Progress, scorer_id: str, first: Member, keys: list[Key], values: Matrix, joined: Matrix) -> None:
    """Rows of `rewards` and `disagreement`; tokens and cuts are the first member's."""
    own = pl.DataFrame(keys, schema=["prompt_id", "text_id"], orient="row").with_columns(scorer_id=pl.lit(scorer_id))
    counted = first.rewards.select("prompt_id", "text_id", "tokens", "truncated")
    rewards = own.with_columns(reward=pl.Series(joined), record=pl.lit(0))
    progress.add("rewards", rewards.join(counted, on=["prompt_id", "text_id"], how="left", maintain_order="left"))
    unlike = pl.Series(unlike_shares(values, joined, [prompt for prompt, _ in keys])).fill_nan(None)
    spread = own.with_columns(std=pl.Series(values.std(axis=1, ddof=1)), disagreement=unlike, members=pl.lit(values.shape[1]))
    progress.add("disagreement", spread)


def measure(progress: Progress, config: EnsembleConfig, split: str, places: dict[Key, int], values: Matrix, joined: Matrix) -> None:
    """A split's metrics: the ensemble as any reward model, each member, and right or wrong where members agree and where they do not."""
    keys = [answer.key for answer in answers_of(load_pairs(progress.cache, config.dataset, split))]
    chosen, rejected = ([places[key] for key in keys[side::2]] for side in (0, 1))
    margins, margin = values[chosen] - values[rejected], joined[chosen] - joined[rejected]
    found = agreement(margins, margin)
    measured = {
        **reward_numbers(joined[chosen], joined[rejected]),
        **{f"accuracy/{run}": share_above_zero(margins[:, m]).value for m, run in enumerate(config.reward_models)},
        "n": len(margin),
        "std_mean": values[[*chosen, *rejected]].std(axis=1, ddof=1).mean(),
        "disagreement": found.disagreement.mean(),
    }
    for name, pairs in (("agree", found.alike), ("disagree", ~found.alike)):
        measured |= {f"n_{name}": pairs.sum(), f"accuracy_{name}": share_above_zero(margin[pairs]).value}
    progress.run.append_metrics(0, split, {name: float(v) for name, v in measured.items() if v == v}, 0, 0.0)
