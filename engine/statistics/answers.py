"""Statistics of generated answers: who is preferred by a scorer, by how much, and how long answers are.

A row of `compared_answers` is a prompt that both generators answered: prompt_id, base_reward, tuned_reward, difference.
A row of `answers` is one answer of one generator: prompt_id, tokens, words, finish_reason.
"""

import polars as pl

from engine.statistics.estimate import Estimate
from engine.statistics.intervals import mean, share, share_above_zero
from engine.statistics.registry import statistic


@statistic(
    "win_rate",
    "Win rate",
    "Share of prompts on which this reward model gives the tuned answer the higher reward, ties half. One half: no preference.",
    of="compared_answers",
)
def win_rate(answers: pl.DataFrame) -> Estimate:
    return share_above_zero(answers["difference"], answers["prompt_id"], counted="prompts")


@statistic(
    "reward_difference",
    "Reward difference",
    "Mean over prompts of the tuned answer's reward minus the base answer's, in this reward model's own unit; not comparable between two.",
    of="compared_answers",
)
def reward_difference(answers: pl.DataFrame) -> Estimate:
    return mean(answers["difference"], answers["prompt_id"], counted="prompts")


@statistic("tokens_mean", "Mean length in tokens", "New tokens of an answer, as its model counts them.", of="answers")
def tokens_mean(answers: pl.DataFrame) -> Estimate:
    known = answers.filter(pl.col("tokens").is_not_null())  # imported answers were not counted in tokens
    return mean(known["tokens"], known["prompt_id"], unit="tokens", counted="answers")


@statistic("words_mean", "Mean length in words", "Words of an answer: runs without blanks; each Han character counts as one.", of="answers")
def words_mean(answers: pl.DataFrame) -> Estimate:
    return mean(answers["words"], answers["prompt_id"], unit="words", counted="answers")


@statistic(
    "share_cut",
    "Cut by the token limit",
    "Share of answers that reached the limit of new tokens and end in the middle. Their lengths are at least what is counted.",
    of="answers",
)
def share_cut(answers: pl.DataFrame) -> Estimate:
    known = answers.filter(pl.col("finish_reason").is_in(["stop", "length"]))  # of imported answers nobody knows
    return share(known["finish_reason"] == "length", known["prompt_id"], counted="answers")
