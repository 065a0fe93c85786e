"""Claims about a reward model on pairs: how many it ranks right, what training gained, and which group lags."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import polars as pl

from engine.statistics.claims.claim import FEWEST, Claim, Sentence, Side, claim, side
from engine.statistics.claims.evidence import Evidence, given, one, shortened
from engine.statistics.estimate import Estimate
from engine.statistics.intervals import ALPHA, difference_of_shares
from engine.statistics.rewards import accuracy

PAGE = "reward_model"
GROUP_FIELDS = ("prompt_type", "source")
WRONG = pl.col("margin") < 0
NOT_SURE = "The reward model cannot tell chosen from rejected: {by:whole} of {by:counted} right."
WORSE = "The reward model ranks only {by:whole} right: worse than guessing."
RANKS = {  # by what the untrained model does
    found: Sentence("The reward model ranks {by:whole} right" + untrained, WORSE, NOT_SURE, detail=beside)
    for found, untrained, beside in (
        (Side.ABOVE, "; the untrained model {untrained:whole}.", "Reward model {by:full}, untrained {untrained:full}; n = {by:n} {pairs}."),
        (Side.BELOW, "; the untrained model {untrained:whole}.", "Reward model {by:full}, untrained {untrained:full}; n = {by:n} {pairs}."),
        (Side.ACROSS, "; the untrained model cannot tell.", "Reward model {by:full}, untrained {untrained:full}; n = {by:n} {pairs}."),
        (Side.UNKNOWN, ".", "{by:full}, n = {by:n} {pairs}."),
    )
}
GAIN = Sentence(
    "Training gained {by:unsigned} points {by:interval} of accuracy, pair by pair.",
    "Training lost {by:unsigned} points of accuracy, pair by pair: {by} {by:interval}.",
    "{by:counted} are too few to say whether training changed the accuracy: {by} points {by:interval}.",
    "Too little data to say whether training changed the accuracy: {by:counted}.",
)
LAGS = Sentence(
    "The reward model is ahead on {group}: {part:whole} right, {rest:whole} elsewhere.",
    "The reward model lags on {group}: {part:whole} right, {rest:whole} elsewhere.",
    "{by:counted} are too few to say whether the reward model lags on any group: "
    "lowest is {group} with {part:whole}, {rest:whole} elsewhere.",
    detail="{part:full} against {rest:full} elsewhere, difference {by} points {by:interval} with Bonferroni’s correction "
    "for {groups} groups; {wrong} of all {all_wrong} wrong pairs.",
)


@claim("ranks", page=PAGE, of=("accuracy",))
def ranks(evidence: Evidence) -> Claim | None:
    """How many pairs the trained scorer ranks right, and whether the untrained one ranks any better than guessing."""
    right, untrained = one(evidence.pairs, "accuracy"), one(evidence.untrained_pairs, "accuracy")
    if right is None:
        return None
    return RANKS[side(untrained) if untrained else Side.UNKNOWN].claim(right, pairs=evidence.what_pairs, **given(untrained=untrained))


@claim("accuracy_gain", page=PAGE, of=("accuracy_gain",))
def accuracy_gain(evidence: Evidence) -> Claim | None:
    """What training changed, pair by pair."""
    gain = one(evidence.pairs_of_both, "accuracy_gain")
    return GAIN.claim(gain) if gain else None


Measure = Callable[[pl.DataFrame, float], Estimate]  # of rows, with an interval that misses as often as said


@dataclass(frozen=True)
class Group:
    """A group of pairs beside all others."""

    name: str
    part: Estimate
    rest: Estimate
    difference: Estimate
    wrong: int


def groups(pairs: pl.DataFrame, field: str, measure: Measure = accuracy) -> list[Group]:
    """Each group of FEWEST pairs and more beside the rest, with intervals that hold together (Bonferroni: each misses with α/k)."""
    sizes = pairs[field].drop_nulls().value_counts().filter(pl.col("count").is_between(FEWEST, len(pairs) - FEWEST)).sort(field)
    return [group(pairs, field, name, len(sizes), measure) for name in sizes[field]]


def group(pairs: pl.DataFrame, field: str, name: str, k: int, measure: Measure = accuracy) -> Group:
    inside = pl.col(field).eq_missing(pl.lit(name))
    sides = [pairs.filter(inside), pairs.filter(~inside)]
    part, rest = (measure(rows, ALPHA) for rows in sides)
    careful = difference_of_shares(*(measure(rows, ALPHA / k) for rows in sides))
    return Group(name, part, rest, replace(careful, method=f"{careful.method}, Bonferroni for {k} groups"), sides[0].filter(WRONG).height)


def weakest(found: list[Group]) -> Group:
    """The group that is below the others by most: of those that surely are, if any is."""
    return min([g for g in found if side(g.difference) is Side.BELOW] or found, key=lambda g: g.difference.value)


@claim("weakest_group", page=PAGE, of=("accuracy",), finding=True)
def weakest_group(evidence: Evidence) -> Claim | None:
    """The group that lags behind the others by most: of those that surely do, if any does."""
    found = next((made for field in GROUP_FIELDS if len(made := groups(evidence.pairs, field)) > 1), [])
    if not found:
        return None
    worst = weakest(found)
    wrong = {"wrong": worst.wrong, "all_wrong": evidence.pairs.filter(WRONG).height}
    parts = {"part": worst.part, "rest": worst.rest}
    return LAGS.claim(worst.difference, worst.part, worst.rest, **parts, **wrong, group=shortened(worst.name), groups=len(found))
