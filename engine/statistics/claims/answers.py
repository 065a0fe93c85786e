"""Claims about two sets of answers: whose are preferred, by how much, and whether cut or shorter answers explain it."""

from engine.statistics.claims.claim import Claim, Sentence, Side, Sureness, claim, phrase, side
from engine.statistics.claims.cuts import length_difference as longer_or_shorter
from engine.statistics.claims.cuts import unless_cut
from engine.statistics.claims.evidence import LEARNED_TOGETHER, Evidence, given, one
from engine.statistics.wording import Value

PAGE = "dpo_vs_base"
CANNOT = "The reward model cannot tell whose answers are better: {tuned}’s are preferred on {by:whole} of prompts."
NOT_PREFERRED = "{tuned}’s answer is preferred on only {by:whole} of prompts."
BY_THE_MODEL = "By the reward model {by:full}, n = {by:counted}; mean difference {difference:signed} {difference:interval}."
PREFERRED = {  # by what the untrained model does
    found: Sentence("{tuned}’s answer is preferred on {by:whole} of prompts" + untrained, NOT_PREFERRED, CANNOT, detail=BY_THE_MODEL)
    for found, untrained in {
        Side.ABOVE: "; by the untrained model on {untrained:whole}.",
        Side.BELOW: "; by the untrained model on {untrained:whole}.",
        Side.ACROSS: "; the untrained model cannot tell.",
        Side.UNKNOWN: ".",
    }.items()
}
UNTRAINED = Sentence(
    "The untrained model prefers {tuned}’s answer on {by:full} of {by:counted}.",
    "The untrained model prefers {tuned}’s answer on only {by:full} of {by:counted}.",
    "The untrained model cannot tell {tuned}’s answers from {base}’s: {by:full} of {by:counted}.",
    "Too little data to say what the untrained model prefers: {by:counted}.",
)
SAME_SPLIT = phrase(
    "The reward model and {tuned} learned from the same training split, so that its preference is not independent evidence: "
    "that of people, or of a reward model that learned from other data, would be."
)
DIFFERENCE = Sentence(
    "{tuned}’s answers gain reward: {by:signed} {by:interval} on average, in the reward model’s own unit.",
    "{tuned}’s answers lose reward: {by:signed} {by:interval} on average, in the reward model’s own unit.",
    "{by:counted} are too few to say whether {tuned}’s answers gain reward: {by:signed} {by:interval} on average.",
    "Too little data to say whether {tuned}’s answers gain reward: {by:counted}.",
)
CUT = "Cut at the token limit: {base_cut} of {base}’s {base_cut:counted}, {tuned_cut} of {tuned}’s {tuned_cut:counted}. "
COMPLETE = CUT + "Where both are complete {tuned} wins {by:full}, n = {by:n}: "
HOLDS, TURNS = COMPLETE + "the verdict holds.", COMPLETE + "the verdict turns."
NOT_TOLD = COMPLETE + "whether the verdict holds cannot be told."
ONLY_THERE = COMPLETE + "clear there, unlike on all prompts."
FEW_COMPLETE = CUT + "Too little data where both are complete to say whether the verdict holds: {by:counted}."
CHECKED = {  # by the verdict on all prompts
    Side.ABOVE: Sentence(HOLDS, TURNS, NOT_TOLD, FEW_COMPLETE),
    Side.BELOW: Sentence(TURNS, HOLDS, NOT_TOLD, FEW_COMPLETE),
    **dict.fromkeys((Side.ACROSS, Side.UNKNOWN), Sentence(ONLY_THERE, ONLY_THERE, NOT_TOLD, FEW_COMPLETE)),
}
WHERE = {
    place: Sentence(
        "Where {tuned}’s answer is " + place + " it wins {by:full} of {by:counted}.",
        "Where {tuned}’s answer is " + place + " it wins only {by:full} of {by:counted}.",
        "Where {tuned}’s answer is " + place + " the reward model cannot tell: {by:full} of {by:counted}.",
        unknown="Too little data where {tuned}’s answer is " + place + ": {by:counted}.",
    )
    for place in ("shorter", "about as long", "longer")
}
CORRELATES = Sentence(
    "The longer {tuned}’s answer beside {base}’s, the higher its reward: correlation {by:full}, n = {by:counted}.",
    "The longer {tuned}’s answer beside {base}’s, the lower its reward: correlation {by:full}, n = {by:counted}.",
    "{by:counted} are too few to say whether reward comes with length: correlation {by:full}.",
    "Too little data to say whether reward comes with length: {by:counted}.",
)


@claim("preferred", page=PAGE, of=("win_rate", "reward_difference"))
def preferred(evidence: Evidence) -> Claim | None:
    """Whose answers the trained scorer prefers, and whether the untrained one does any better than guessing."""
    won, difference = one(evidence.answers, "win_rate"), one(evidence.answers, "reward_difference")
    if won is None or difference is None:
        return None
    untrained = one(evidence.untrained_answers, "win_rate")
    values: dict[str, Value] = {"difference": difference, **given(untrained=untrained), **evidence.names}
    said = PREFERRED[side(untrained) if untrained else Side.UNKNOWN].claim(won, **values)
    return unless_cut(said, evidence.answers, "win_rate")


@claim("untrained_preference", page=PAGE, of=("win_rate",))
def untrained_preference(evidence: Evidence) -> Claim | None:
    """What the same network prefers before training."""
    won = one(evidence.untrained_answers, "win_rate")
    return unless_cut(UNTRAINED.claim(won, **evidence.names), evidence.untrained_answers, "win_rate") if won else None


@claim("same_pairs", page=PAGE, outcome=False)
def same_pairs(evidence: Evidence) -> Claim | None:
    """Whether who judges and who is judged learned from the same pairs; None where they did not, or nobody knows."""
    shared = evidence.read(LEARNED_TOGETHER).item() if not evidence.answers.is_empty() else False
    return Claim(SAME_SPLIT, {**evidence.names}, Sureness.CLEAR) if shared else None


@claim("reward_difference", page=PAGE, of=("reward_difference",))
def reward_difference(evidence: Evidence) -> Claim | None:
    """By how much, on average."""
    difference = one(evidence.answers, "reward_difference")
    return unless_cut(DIFFERENCE.claim(difference, **evidence.names), evidence.answers, "reward_difference") if difference else None


@claim("cut_answers", page=PAGE, of=("share_cut", "win_rate_complete", "win_rate"))
def cut_answers(evidence: Evidence) -> Claim | None:
    """What cut answers could overturn, checked on the prompts where both are complete; None where none was cut, or nobody knows."""
    if evidence.answers.is_empty():
        return None
    base, tuned = (one(evidence.given_answers.filter(who=who), "share_cut") for who in ("base", "tuned"))
    won, complete = one(evidence.answers, "win_rate"), one(evidence.answers, "win_rate_complete")
    if not (base and tuned and won and complete and base.n and tuned.n and base.value + tuned.value):
        return None
    return CHECKED[side(won)].claim(complete, base_cut=base, tuned_cut=tuned, **evidence.names)


def where_length_is(evidence: Evidence, name: str, place: str) -> Claim | None:
    won = one(evidence.answers, name)
    return unless_cut(WHERE[place].claim(won, **evidence.names), evidence.answers, name) if won else None


@claim("win_rate_shorter", page=PAGE, of=("win_rate_shorter",))
def win_rate_shorter(evidence: Evidence) -> Claim | None:
    """Whether the tuned answer wins where length speaks against it."""
    return where_length_is(evidence, "win_rate_shorter", "shorter")


@claim("win_rate_like_length", page=PAGE, of=("win_rate_like_length",))
def win_rate_like_length(evidence: Evidence) -> Claim | None:
    """Whether it wins where length cannot decide: within 10 % of the longer answer."""
    return where_length_is(evidence, "win_rate_like_length", "about as long")


@claim("win_rate_longer", page=PAGE, of=("win_rate_longer",))
def win_rate_longer(evidence: Evidence) -> Claim | None:
    """Whether it wins where length speaks for it."""
    return where_length_is(evidence, "win_rate_longer", "longer")


@claim("length_difference", page=PAGE, of=("length_difference",), finding=True, outcome=False)
def length_difference(evidence: Evidence) -> Claim | None:
    """Whether tuning changed the length of answers, prompt by prompt."""
    difference = one(evidence.answers, "length_difference")
    return longer_or_shorter(difference, evidence.answers, evidence.names) if difference else None


@claim("gain_length_correlation", page=PAGE, of=("gain_length_correlation",))
def gain_length_correlation(evidence: Evidence) -> Claim | None:
    """Whether reward is gained by length."""
    r = one(evidence.answers, "gain_length_correlation")
    return unless_cut(CORRELATES.claim(r, **evidence.names), evidence.answers, "gain_length_correlation") if r else None


COUNTS = "{tuned}’s answer is preferred on {won} of {by:counted}, {base}’s on {lost}"
PROMPTS = {  # by the number of ties
    ties: Sentence(said, said, said, detail="{by:full} by the reward model.", detail_unknown=said)
    for ties, said in ((0, COUNTS + "."), (1, COUNTS + "; one is a tie."), (2, COUNTS + "; {ties} are ties."))
}


@claim("preferred_prompts", page="prompts", of=("win_rate",))
def preferred_prompts(evidence: Evidence) -> Claim | None:
    """A count of the prompts here, which is true of them whatever the interval; its sureness says how far it carries."""
    won = one(evidence.answers, "win_rate")
    if won is None:
        return None
    signs = evidence.answers["difference"].sign()
    more, less, ties = (int((signs == sign).sum()) for sign in (1, -1, 0))
    said = PROMPTS[min(ties, 2)].claim(won, won=more, lost=less, ties=ties, **evidence.names)
    return unless_cut(said, evidence.answers, "win_rate")
