"""Statistics of a scorer on pairs: what align-anything reports of a reward model, with intervals, and what length has to do with it.

A row is a scored pair: pair_id, prompt_id, chosen_reward, rejected_reward, margin, chosen_words, rejected_words.
"""

from collections.abc import Sequence
from math import nan

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from engine.statistics.estimate import Estimate
from engine.statistics.intervals import ALPHA, correlation, mean, share_above_zero, spread
from engine.statistics.registry import statistic

REWARD_UNIT = "A reward has no zero and only its reward model's own unit: only differences under the same reward model mean something."


@statistic(
    "accuracy",
    "Accuracy",
    "Share of pairs whose chosen response gets the higher reward, ties half. One half: no better than guessing.",
    of="scored_pairs",
)
def accuracy(pairs: pl.DataFrame, alpha: float = ALPHA) -> Estimate:
    return share_above_zero(pairs["margin"], pairs["prompt_id"], alpha=alpha)


@statistic(
    "margin_mean",
    "Mean margin",
    "Mean of the chosen response's reward minus the rejected one's, in the reward model's own unit. Positive is right.",
    of="scored_pairs",
)
def margin_mean(pairs: pl.DataFrame) -> Estimate:
    return mean(pairs["margin"], pairs["prompt_id"])


@statistic("margin_std", "Standard deviation of margins", "Over pairs, n − 1 in the denominator.", of="scored_pairs")
def margin_std(pairs: pl.DataFrame) -> Estimate:
    return spread(pairs["margin"], pairs["prompt_id"])


@statistic("reward_mean", "Mean reward", "Of chosen and rejected responses together. " + REWARD_UNIT, of="scored_pairs")
def reward_mean(pairs: pl.DataFrame) -> Estimate:
    return mean(*pooled(pairs), counted="rewards")


@statistic("reward_std", "Standard deviation of rewards", "Of chosen and rejected responses together. " + REWARD_UNIT, of="scored_pairs")
def reward_std(pairs: pl.DataFrame) -> Estimate:
    return spread(*pooled(pairs), counted="rewards")


@statistic("chosen_mean", "Mean reward of chosen responses", REWARD_UNIT, of="scored_pairs")
def chosen_mean(pairs: pl.DataFrame) -> Estimate:
    return mean(pairs["chosen_reward"], pairs["prompt_id"], counted="rewards")


@statistic("rejected_mean", "Mean reward of rejected responses", REWARD_UNIT, of="scored_pairs")
def rejected_mean(pairs: pl.DataFrame) -> Estimate:
    return mean(pairs["rejected_reward"], pairs["prompt_id"], counted="rewards")


@statistic("chosen_std", "Standard deviation of chosen rewards", REWARD_UNIT, of="scored_pairs")
def chosen_std(pairs: pl.DataFrame) -> Estimate:
    return spread(pairs["chosen_reward"], pairs["prompt_id"], counted="rewards")


@statistic("rejected_std", "Standard deviation of rejected rewards", REWARD_UNIT, of="scored_pairs")
def rejected_std(pairs: pl.DataFrame) -> Estimate:
    return spread(pairs["rejected_reward"], pairs["prompt_id"], counted="rewards")


@statistic(
    "length_correlation",
    "Length correlation",
    "Pearson's correlation of the margin with how many words longer the chosen response is; 0 means no linear relation.",
    of="scored_pairs",
)
def length_correlation(pairs: pl.DataFrame) -> Estimate:
    return correlation(pairs["margin"], pairs["chosen_words"] - pairs["rejected_words"], pairs["prompt_id"])


@statistic(
    "length_rule",
    "Longer is better",
    "How often the longer response is the chosen one, in words, ties half. A reward model has to beat this without reading.",
    of="pairs",
)
def length_rule(pairs: pl.DataFrame) -> Estimate:
    return share_above_zero(pairs["chosen_words"] - pairs["rejected_words"], pairs["prompt_id"])


@statistic(
    "accuracy_gain",
    "Accuracy gained",
    "Accuracy of the reward model minus that of the untrained one, pair by pair on the same pairs. 0: nothing was learned.",
    of="pairs_of_two_scorers",
)
def accuracy_gain(pairs: pl.DataFrame, alpha: float = ALPHA) -> Estimate:
    """Mean over pairs of ½ (sgn margin − sgn untrained_margin): two models on the same pairs differ by what each pair says of both."""
    points = (np.sign(pairs["margin"].to_numpy()) - np.sign(pairs["untrained_margin"].to_numpy())) / 2
    return mean(points, pairs["prompt_id"], unit="difference of shares", alpha=alpha)


def pooled(pairs: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Rewards of both sides, and their prompts."""
    return pl.concat([pairs["chosen_reward"], pairs["rejected_reward"]]), pl.concat([pairs["prompt_id"], pairs["prompt_id"]])


# Numbers without intervals, for the metrics of a run


def reward_numbers(chosen: ArrayLike, rejected: ArrayLike) -> dict[str, float]:
    """Accuracy, then mean and standard deviation of rewards pooled over both sides, per side, and of their margin, by name.

    reward_mean = mean(r_chosen ∪ r_rejected), reward_std with n − 1, as torch.std in align-anything's
    text_to_text/rm.py: eval; margin = r_chosen − r_rejected. What could not be measured is left out.
    """
    c, r = np.asarray(chosen, dtype=float), np.asarray(rejected, dtype=float)
    found = {"accuracy": share_above_zero(c - r).value}
    for name, values in (("reward", np.concatenate([c, r])), ("chosen", c), ("rejected", r), ("margin", c - r)):
        found[f"{name}_mean"], found[f"{name}_std"] = mean_and_std(values)
    return {name: value for name, value in found.items() if value == value}


def length_matched(chosen: ArrayLike, rejected: ArrayLike, lengths: Sequence[tuple[int, int]], within: float = 0.1) -> Estimate:
    """Accuracy on pairs with | |y_c| − |y_r| | ≤ within · max(|y_c|, |y_r|), where length cannot decide. lengths: in tokens, (N, 2)."""
    near = np.array([abs(c - r) <= within * max(c, r) for c, r in lengths], dtype=bool)
    return share_above_zero((np.asarray(chosen, dtype=float) - np.asarray(rejected, dtype=float))[near])


def mean_and_std(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and sample standard deviation; nan where there are too few values."""
    return (float(values.mean()) if values.size else nan, float(values.std(ddof=1)) if values.size > 1 else nan)
