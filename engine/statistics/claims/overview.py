"""The headline: what training changed, in one sentence, and in lines what a rule and the untrained network get."""

from dataclasses import replace

from engine.statistics.claims import answers, length_bias
from engine.statistics.claims.claim import Claim, Sentence, Side, Sureness, claim, phrase, side
from engine.statistics.claims.cuts import unless_cut
from engine.statistics.claims.evidence import Evidence, one
from engine.statistics.wording import Value

PAGE = "overview"
RANKS = Sentence(
    "The reward model ranks {by:whole} of {pairs} right.",
    "The reward model ranks only {by:whole} of {pairs} right: worse than guessing.",
    "The reward model cannot tell chosen from rejected: {by:whole} right.",
    detail="{by:full} of {by:counted}, where taking the longer response gets {rule:full}.",
)
PREFERS = Sentence(
    "The reward model prefers {tuned}’s answer on {by:whole} of prompts.",
    "The reward model prefers {tuned}’s answer on only {by:whole} of prompts.",
    answers.CANNOT,
    detail=answers.BY_THE_MODEL,
)
BOTH = {  # by whose answers are surely preferred
    found: Sentence(
        "The reward model ranks {by:whole} of {pairs} right and prefers {tuned}’s answer on " + won + " of prompts.",
        RANKS.below,
        RANKS.across,
        detail="{by:full} of {by:counted}, where taking the longer response gets {rule:full}. {won:full} of {won:counted}.",
    )
    for found, won in ((Side.ABOVE, "{won:whole}"), (Side.BELOW, "only {won:whole}"))
}
UNTRAINED = Sentence(
    "The untrained model ranks {by:full} of {by:counted} right.",
    "The untrained model ranks only {by:full} of {by:counted} right.",
    "The untrained model cannot tell chosen from rejected: {by:full} of {by:counted} right.",
    "Too little data to say what the untrained model ranks right: {by:counted}.",
)

SAME_SPLIT = phrase("Its preference is not independent evidence: {tuned} learned from the same training split.")


@claim("headline", page=PAGE, of=("accuracy", "length_rule", "win_rate", "reward_difference"))
def headline(evidence: Evidence) -> Claim | None:
    """How well the reward model ranks and, where both are clear, whose answers it prefers; the latter alone without scored pairs."""
    right, rule, won = one(evidence.pairs, "accuracy"), one(evidence.pairs, "length_rule"), one(evidence.answers, "win_rate")
    if not (right and rule):
        return preferred(evidence)
    values: dict[str, Value] = {"rule": rule, "pairs": evidence.what_pairs}
    liked = preferred(evidence)
    if won and side(right) is Side.ABOVE and liked and liked.sureness is Sureness.CLEAR:
        return BOTH[side(won)].claim(right, won=won, **values, **evidence.names)
    return RANKS.claim(right, **values)


@claim("preference", page=PAGE, of=("win_rate", "reward_difference"))
def preference(evidence: Evidence) -> Claim | None:
    """Whose answers the reward model prefers, where the headline does not say it."""
    above = headline(evidence)
    return preferred(evidence) if above and "rule" in above.values and "won" not in above.values else None


def preferred(evidence: Evidence) -> Claim | None:
    won, difference = one(evidence.answers, "win_rate"), one(evidence.answers, "reward_difference")
    if won is None or difference is None:
        return None
    return unless_cut(PREFERS.claim(won, difference=difference, **evidence.names), evidence.answers, "win_rate")


@claim("preference_same_pairs", page=PAGE, outcome=False)
def preference_same_pairs(evidence: Evidence) -> Claim | None:
    """What the reward model’s preference is worth where it and the policy learned from the same pairs."""
    same = answers.same_pairs(evidence)
    return replace(same, template=SAME_SPLIT) if same else None


@claim("longer_alone", page=PAGE, of=("length_rule",))
def longer_alone(evidence: Evidence) -> Claim | None:
    """What the longer response alone gets, where the headline does not say it."""
    above = headline(evidence)
    return None if above and "rule" in above.values else length_bias.length_rule(evidence)


@claim("untrained_accuracy", page=PAGE, of=("accuracy",))
def untrained_accuracy(evidence: Evidence) -> Claim | None:
    """How many pairs the same network ranks right before training."""
    right = one(evidence.untrained_pairs, "accuracy")
    return UNTRAINED.claim(right) if right else None


@claim("untrained_answers", page=PAGE, of=("win_rate",))
def untrained_answers(evidence: Evidence) -> Claim | None:
    """Whose answers the untrained network prefers."""
    return answers.untrained_preference(evidence)
