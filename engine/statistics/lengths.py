"""Statistics of what length has to do with rewards: on pairs, and on two sets of answers.

Rows of `scored_pairs`: prompt_id, margin, chosen_words, rejected_words. Rows of `compared_answers`: prompt_id, difference, and of base and
tuned the reward, tokens, words and finish_reason. Two lengths are alike when | |a| − |b| | ≤ 10 % of the longer one.
"""

import numpy as np
import polars as pl

from engine.statistics.estimate import Estimate
from engine.statistics.intervals import correlation, difference_of_shares, mean, share_above_zero
from engine.statistics.lines import risen
from engine.statistics.registry import statistic
from engine.statistics.rewards import accuracy

ALIKE = 0.1  # of the longer one
LONGER_BY = pl.col("chosen_words") - pl.col("rejected_words")


def alike(first: str, second: str) -> pl.Expr:
    """Whether two lengths differ by no more than ALIKE of the longer one."""
    return (pl.col(first) - pl.col(second)).abs() <= ALIKE * pl.max_horizontal(first, second)


@statistic(
    "accuracy_length_matched",
    "Accuracy on like lengths",
    "Accuracy on the pairs whose responses differ by at most 10 % in words, where length cannot decide.",
    of="scored_pairs",
)
def accuracy_length_matched(pairs: pl.DataFrame) -> Estimate:
    return accuracy(pairs.filter(alike("chosen_words", "rejected_words")))


@statistic("accuracy_chosen_longer", "Accuracy where chosen is longer", "On pairs whose chosen response has more words.", of="scored_pairs")
def accuracy_chosen_longer(pairs: pl.DataFrame) -> Estimate:
    return accuracy(pairs.filter(LONGER_BY > 0))


@statistic(
    "accuracy_chosen_shorter", "Accuracy where chosen is shorter", "On pairs whose chosen response has fewer words.", of="scored_pairs"
)
def accuracy_chosen_shorter(pairs: pl.DataFrame) -> Estimate:
    return accuracy(pairs.filter(LONGER_BY < 0))


@statistic(
    "length_advantage",
    "Longer less shorter",
    "Accuracy where the chosen response is longer minus accuracy where it is shorter. 0: length does not sway the reward model.",
    of="scored_pairs",
)
def length_advantage(pairs: pl.DataFrame) -> Estimate:
    return difference_of_shares(accuracy_chosen_longer(pairs), accuracy_chosen_shorter(pairs))


@statistic(
    "gain_over_length_rule",
    "Gain over the length rule",
    "Accuracy minus how often the longer response is the chosen one, pair by pair on the same pairs. 0: no better than counting words.",
    of="scored_pairs",
)
def gain_over_length_rule(pairs: pl.DataFrame) -> Estimate:
    """Mean over pairs of ½ (sgn margin − sgn longer_by)."""
    points = (np.sign(pairs["margin"].to_numpy()) - np.sign(pairs.select(LONGER_BY).to_series().to_numpy())) / 2
    return mean(points, pairs["prompt_id"], unit="difference of shares")


PER = 100  # words or tokens


@statistic(
    "length_slope",
    "Margin per 100 words",
    "By how much the margin rises, on the straight line through all pairs, while the chosen response gets 100 words longer.",
    of="scored_pairs",
)
def length_slope(pairs: pl.DataFrame) -> Estimate:
    longer_by = pairs["chosen_words"] - pairs["rejected_words"]
    return risen(longer_by, pairs["margin"], pairs["prompt_id"], by=PER, unit="reward", counted="pairs")


def with_lengths(answers: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The rows with base_length and tuned_length, and their unit: tokens, or words when some answer's tokens were not counted."""
    unit = "words" if answers["base_tokens"].has_nulls() or answers["tuned_tokens"].has_nulls() else "tokens"
    return answers.with_columns(
        base_length=pl.col(f"base_{unit}").cast(pl.Float64), tuned_length=pl.col(f"tuned_{unit}").cast(pl.Float64)
    ), unit


def preferred(answers: pl.DataFrame) -> Estimate:
    return share_above_zero(answers["difference"], answers["prompt_id"], counted="prompts")


@statistic(
    "win_rate_shorter",
    "Win rate where tuned is shorter",
    "On prompts whose tuned answer is more than 10 % shorter than the base one.",
    of="compared_answers",
)
def win_rate_shorter(answers: pl.DataFrame) -> Estimate:
    shorter = ~alike("base_length", "tuned_length") & (pl.col("tuned_length") < pl.col("base_length"))
    return preferred(with_lengths(answers)[0].filter(shorter))


@statistic(
    "win_rate_like_length", "Win rate at like lengths", "On prompts whose answers differ by at most 10 % in length.", of="compared_answers"
)
def win_rate_like_length(answers: pl.DataFrame) -> Estimate:
    return preferred(with_lengths(answers)[0].filter(alike("base_length", "tuned_length")))


@statistic(
    "win_rate_longer",
    "Win rate where tuned is longer",
    "On prompts whose tuned answer is more than 10 % longer than the base one.",
    of="compared_answers",
)
def win_rate_longer(answers: pl.DataFrame) -> Estimate:
    longer = ~alike("base_length", "tuned_length") & (pl.col("tuned_length") > pl.col("base_length"))
    return preferred(with_lengths(answers)[0].filter(longer))


@statistic(
    "win_rate_complete",
    "Win rate where both are complete",
    "On prompts where neither answer was cut by the token limit.",
    of="compared_answers",
)
def win_rate_complete(answers: pl.DataFrame) -> Estimate:
    return preferred(answers.filter(pl.col("base_finish_reason") == "stop", pl.col("tuned_finish_reason") == "stop"))


@statistic(
    "length_difference",
    "Length difference",
    "Mean over prompts of the tuned answer's length minus the base answer's, in tokens, or in words where tokens were not counted.",
    of="compared_answers",
)
def length_difference(answers: pl.DataFrame) -> Estimate:
    rows, unit = with_lengths(answers)
    return mean(rows["tuned_length"] - rows["base_length"], rows["prompt_id"], unit=unit, counted="prompts")


@statistic(
    "gain_length_correlation",
    "Correlation of reward and length gained",
    "Pearson's correlation over prompts of the reward difference with the length difference; 0 means no linear relation.",
    of="compared_answers",
)
def gain_length_correlation(answers: pl.DataFrame) -> Estimate:
    rows, _ = with_lengths(answers)
    return correlation(rows["difference"], rows["tuned_length"] - rows["base_length"], rows["prompt_id"], counted="prompts")


@statistic(
    "gain_length_slope",
    "Reward gained per 100 tokens",
    "By how much the reward difference rises, on the straight line through all prompts, while the tuned answer gets 100 tokens longer "
    "(words where tokens were not counted).",
    of="compared_answers",
)
def gain_length_slope(answers: pl.DataFrame) -> Estimate:
    rows, _ = with_lengths(answers)
    longer_by = rows["tuned_length"] - rows["base_length"]
    return risen(longer_by, rows["difference"], rows["prompt_id"], by=PER, unit="reward", counted="prompts")
