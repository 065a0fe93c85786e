"""What the token limit does to claims about answers: what only holds with cut answers is doubtful, and a cut length is a bound."""

from collections.abc import Callable

import polars as pl

from engine.statistics.claims.claim import Claim, Sentence, Side, Sureness, phrase, side
from engine.statistics.estimate import Estimate
from engine.statistics.registry import measured
from engine.statistics.wording import POINTS

WHOLE = phrase("But on the {whole:counted} with no answer cut at the token limit: {whole:full}.")
WHOLE_POINTS = phrase("But on the {whole:counted} with no answer cut at the token limit: {whole} points {whole:interval}.")
NONE_WHOLE = phrase("But on each of these prompts an answer is cut at the token limit.")
BOUND = phrase("Only the longer answers are cut at the token limit, so that the true difference is at least as large.")
LONGER_MORE = phrase("The longer answers are cut at the token limit more often: {cut_longer:percent} against {cut_shorter:percent}.")
OPEN = phrase(
    "The shorter answers are cut at the token limit as often or more often, {cut_shorter:percent} against {cut_longer:percent}: "
    "the difference without the limit cannot be told."
)
LENGTH = {  # by unit, and by what is said of a limit
    (unit, at): Sentence(
        f"{before}{{tuned}}’s answers are {least}{{by:whole unsigned}} {unit} longer.",
        f"{before}{{tuned}}’s answers are {least}{{by:whole unsigned}} {unit} shorter.",
        "{by:counted} are too few to say whether {tuned}’s answers are longer or shorter.",
        "Too little data to say whether {tuned}’s answers are longer: {by:counted}.",
        detail=f"Difference {{by:signed}} {{by:interval}} {unit} on the same {{by:counted}}.",
    )
    for unit in ("tokens", "words")
    for at, before, least in (("no limit", "", ""), ("bound", "", "at least "), ("limit", "Up to the token limit ", ""))
}


def unless_cut(said: Claim, answers: pl.DataFrame, what: str | Callable[[pl.DataFrame], Estimate]) -> Claim:
    """A claim about a statistic of these answers (its name, or what measures it): doubtful where those without cuts do not say it."""
    whole = answers.filter(*(pl.col(f"{who}_finish_reason").ne_missing("length") for who in ("base", "tuned")))
    if said.sureness is not Sureness.CLEAR or len(whole) == len(answers):
        return said
    if whole.is_empty():
        return said.with_caveat(NONE_WHOLE)
    found = measured(whole, [what])[what] if isinstance(what, str) else what(whole)
    if side(found) is side(said.estimates["by"]):
        return said
    return said.with_caveat(WHOLE_POINTS if found.unit == POINTS else WHOLE, whole=found)


def length_difference(difference: Estimate, answers: pl.DataFrame, names: dict[str, str]) -> Claim:
    """The claim that tuned answers are longer or shorter: of cut answers it is known only that they are longer than counted."""
    cut = {who: float(answers[f"{who}_finish_reason"].eq_missing("length").sum()) / len(answers) for who in ("base", "tuned")}
    shorter, longer = sorted(cut, key=lambda who: (who == "tuned") == (difference.value > 0))
    known = answers[f"{shorter}_finish_reason"].eq_missing("stop").all()
    shares = {"cut_longer": cut[longer], "cut_shorter": cut[shorter]}
    if not any(cut.values()) or side(difference) not in (Side.ABOVE, Side.BELOW):
        return LENGTH[difference.unit, "no limit"].claim(difference, **names)
    if known:
        return LENGTH[difference.unit, "bound"].claim(difference, **names).with_caveat(BOUND, doubtful=False)
    said = LENGTH[difference.unit, "limit"].claim(difference, **names)
    doubtful = cut[longer] <= cut[shorter]
    return said.with_caveat(OPEN if doubtful else LONGER_MORE, doubtful=doubtful, **shares)
