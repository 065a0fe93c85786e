"""Claims about what length has to do with a reward model's ranking."""

from engine.statistics.claims.claim import Claim, Sentence, claim
from engine.statistics.claims.evidence import Evidence, one

PAGE = "length_bias"
BEATS = Sentence(
    "The reward model beats “the longer response is better” by {by:whole unsigned} points.",
    "“The longer response is better” beats the reward model by {by:whole unsigned} points.",
    "{by:counted} are too few to say whether the reward model beats “the longer response is better”.",
    detail="Reward model {right:full}, longer response {rule:full}; difference {by} points {by:interval}, n = {by:n} {pairs}.",
)
OF_PAIRS = "{by:full} of {by:counted}, ties half."
RULE = Sentence(
    "Taking the longer response gets {by:whole} of pairs right.",
    "Taking the longer response gets only {by:whole} of pairs right.",
    "{by:counted} are too few to say whether the longer response is chosen more often.",
    "Too little data to say whether the longer response is chosen more often: {by:counted}.",
    detail=OF_PAIRS,
    detail_unknown=OF_PAIRS,
)
ADVANTAGE = Sentence(
    "The reward model is right more often when the chosen response is longer: {longer:whole} against {shorter:whole}.",
    "The reward model is right more often when the chosen response is shorter: {shorter:whole} against {longer:whole}.",
    "{by:counted} are too few to say whether the reward model is right more often when the chosen response is longer.",
    unknown="Too little data to say whether length sways the reward model.",
    detail="Chosen longer {longer:full}, n = {longer:n}; chosen shorter {shorter:full}, n = {shorter:n}; "
    "difference {by} points {by:interval}.",
    detail_unknown="n = {longer:n} with the longer response chosen, {shorter:n} with the shorter one.",
)
MATCHED = Sentence(
    "Where lengths differ by at most 10\u00a0% the reward model ranks {by:full} of {by:counted} right.",
    "Where lengths differ by at most 10\u00a0% the reward model ranks only {by:full} of {by:counted} right: worse than guessing.",
    "Where lengths differ by at most 10\u00a0% the reward model cannot tell: {by:full} of {by:counted} right.",
    unknown="Too little data where lengths differ by at most 10\u00a0%: {by:counted}.",
)
CORRELATES = Sentence(
    "The longer the chosen response beside the rejected one, the larger the margin: correlation {by:full}, n = {by:counted}.",
    "The longer the chosen response beside the rejected one, the smaller the margin: correlation {by:full}, n = {by:counted}.",
    "{by:counted} are too few to say whether margins rise with length: correlation {by:full}.",
    "Too little data to say whether margins rise with length: {by:counted}.",
)


@claim("gain_over_length_rule", page=PAGE, of=("gain_over_length_rule", "accuracy", "length_rule"), finding=True)
def gain_over_length_rule(evidence: Evidence) -> Claim | None:
    """The reward model against the rule that the longer response is the better one, on the same pairs."""
    gain, right, rule = (one(evidence.pairs, name) for name in ("gain_over_length_rule", "accuracy", "length_rule"))
    return BEATS.claim(gain, right=right, rule=rule, pairs=evidence.what_pairs) if gain and right and rule else None


@claim("length_advantage", page=PAGE, of=("length_advantage", "accuracy_chosen_longer", "accuracy_chosen_shorter"), finding=True)
def length_advantage(evidence: Evidence) -> Claim | None:
    """Accuracy where length speaks for the chosen response, and where it speaks against it."""
    names = "length_advantage", "accuracy_chosen_longer", "accuracy_chosen_shorter"
    advantage, longer, shorter = (one(evidence.pairs, name) for name in names)
    return ADVANTAGE.claim(advantage, longer, shorter, longer=longer, shorter=shorter) if advantage and longer and shorter else None


@claim("length_rule", page=PAGE, of=("length_rule",), outcome=False)
def length_rule(evidence: Evidence) -> Claim | None:
    """How far one comes with length alone."""
    rule = one(evidence.lengths, "length_rule")
    return RULE.claim(rule) if rule else None


@claim("accuracy_length_matched", page=PAGE, of=("accuracy_length_matched",))
def accuracy_length_matched(evidence: Evidence) -> Claim | None:
    """Accuracy where length cannot decide."""
    right = one(evidence.pairs, "accuracy_length_matched")
    return MATCHED.claim(right) if right else None


@claim("length_correlation", page=PAGE, of=("length_correlation",))
def length_correlation(evidence: Evidence) -> Claim | None:
    """Whether margins go with length."""
    r = one(evidence.pairs, "length_correlation")
    return CORRELATES.claim(r) if r else None
