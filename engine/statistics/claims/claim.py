"""A claim: one sentence about numbers, chosen by what their 95 % intervals say, so that it never says more than they do.

The rule: an interval wholly on one side of the reference (one half for a share, 0 for a difference or a correlation) is clear; one that
holds the reference is uncertain, and the sentence says "cannot tell" or "too few", never "equal"; fewer than 20 rows, or a share's
interval wider than 40 points, are too little data, and no direction is said.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf, isfinite, isnan
from typing import Any

from engine.settings.slices import Slice
from engine.statistics.claims.evidence import Evidence
from engine.statistics.estimate import Estimate
from engine.statistics.intervals import Z95
from engine.statistics.wording import ENGLISH, Value, Wording

FEWEST = 20  # rows
WIDEST = 0.4  # of a share's interval
TEMPLATES: set[str] = set()  # of all sentences: what a catalogue translates
TOO_LITTLE = "Too little data to say: {by:counted}."


class Sureness(StrEnum):
    """How sure one may be of a claim, the surest first."""

    CLEAR = "clear"
    UNCERTAIN = "uncertain"
    TOO_LITTLE = "too little data"


def phrase(template: str) -> str:
    """A template that stands alone, entered in the list of what is translated."""
    TEMPLATES.add(template)
    return template


class Side(StrEnum):
    """Where an interval lies."""

    ABOVE = "above"
    BELOW = "below"
    ACROSS = "across"
    UNKNOWN = "unknown"


SURENESS = {Side.ABOVE: Sureness.CLEAR, Side.BELOW: Sureness.CLEAR, Side.ACROSS: Sureness.UNCERTAIN, Side.UNKNOWN: Sureness.TOO_LITTLE}


def side(estimate: Estimate) -> Side:
    """Where the 95 % interval lies beside its reference."""
    wide = estimate.unit == "share" and estimate.high - estimate.low > WIDEST
    if isnan(estimate.value) or estimate.n < FEWEST or wide:
        return Side.UNKNOWN
    reference = estimate.reference
    return Side.ABOVE if estimate.low > reference else Side.BELOW if estimate.high < reference else Side.ACROSS


def sureness(*estimates: Estimate) -> Sureness:
    """Of a sentence that rests on all of these: that of the least sure one."""
    order = list(Sureness)
    return max((SURENESS[side(e)] for e in estimates), key=order.index)


def distance(estimate: Estimate) -> float:
    """How many standard errors the value is from its reference, by the end of the interval that lies towards it."""
    half = estimate.value - estimate.low if estimate.value > estimate.reference else estimate.high - estimate.value
    if isnan(estimate.value) or not isfinite(half):
        return 0.0
    return Z95 * abs(estimate.value - estimate.reference) / half if half else inf


@dataclass(frozen=True)
class Claim:
    """A sentence and its second line, both as templates (English, translated by whoever shows them) with the values that go in."""

    template: str
    values: Mapping[str, Value]
    sureness: Sureness
    detail: str = ""  # template of the line below: intervals, n, what it is compared with
    distance: float = 0.0  # of what decides, from its reference, in standard errors
    name: str = ""
    page: str = ""
    finding: bool = False  # whether it may be one of the Overview's three
    slice: Slice | None = None  # whose rows it speaks of; None: of all
    caveat: str = ""  # template that follows the detail: what the numbers above do not know of

    def __str__(self) -> str:
        return self.text()

    def text(self, wording: Wording = ENGLISH) -> str:
        return wording.fill(wording.translate(self.template), self.values)

    def detail_text(self, wording: Wording = ENGLISH) -> str:
        """The second line, the caveat at its end."""
        return " ".join(wording.fill(wording.translate(part), self.values) for part in (self.detail, self.caveat) if part)

    def with_caveat(self, caveat: str, *, doubtful: bool = True, **values: Value) -> "Claim":
        """The same claim with something said against it; a doubtful one is no longer clear."""
        sure = Sureness.UNCERTAIN if doubtful and self.sureness is Sureness.CLEAR else self.sureness
        return replace(self, sureness=sure, caveat=caveat, values={**self.values, **values})

    @property
    def estimates(self) -> dict[str, Estimate]:
        """What it rests on, by the names in the templates."""
        return {name: value for name, value in self.values.items() if isinstance(value, Estimate)}

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "page": self.page,
            "slice": self.slice.as_values() if self.slice else None,
            "sureness": self.sureness,
            "text": self.text(),
            "detail": self.detail_text(),
            "template": self.template,
            "detail_template": self.detail,
            "caveat_template": self.caveat,
            "values": {name: value for name, value in self.values.items() if name not in self.estimates},
            "estimates": {name: estimate.as_json() for name, estimate in self.estimates.items()},
        }


@dataclass(frozen=True)
class Sentence:
    """What is said of the estimate `by` in each of the four cases; {by} stands for it in the templates."""

    above: str
    below: str
    across: str
    unknown: str = TOO_LITTLE
    detail: str = ""
    detail_unknown: str = ""

    def __post_init__(self) -> None:
        TEMPLATES.update(filter(None, (self.above, self.below, self.across, self.unknown, self.detail, self.detail_unknown)))

    def claim(self, by: Estimate, /, *parts: Estimate, **values: Value) -> Claim:
        """The sentence that the interval of `by` allows. parts: estimates that `by` is made of, each of which needs data enough."""
        found = side(by)
        if any(side(part) is Side.UNKNOWN for part in parts):
            found = Side.UNKNOWN
        unknown = found is Side.UNKNOWN
        return Claim(
            getattr(self, found),
            {"by": by, **values},
            SURENESS[found],
            detail=self.detail_unknown if unknown else self.detail,
            distance=0.0 if unknown else distance(by),
        )


Stated = Callable[[Evidence], Claim | None]


@dataclass(frozen=True)
class Stating:
    """A function that makes one claim, and what it is about."""

    name: str
    page: str
    of: tuple[str, ...]  # statistics it rests on
    finding: bool
    outcome: bool  # whether it says who is right or preferred, which conditions on rewards would decide: it is made without them
    state: Stated = field(repr=False)


CLAIMS: dict[str, Stating] = {}  # in the order in which a page shows them


def claim(name: str, *, page: str, of: Iterable[str] = (), finding: bool = False, outcome: bool = True) -> Callable[[Stated], Stated]:
    """Register the function below it: from evidence to a claim, or None when there is nothing to speak of."""

    def registered(state: Stated) -> Stated:
        CLAIMS[name] = Stating(name, page, tuple(of), finding, outcome, state)
        return state

    return registered


def stated(stating: Stating, evidence: Evidence) -> Claim | None:
    """The claim under its registered name, with the slice that it speaks of."""
    found = stating.state(evidence)
    slice = evidence.comparison.slice
    return found and replace(found, name=stating.name, page=stating.page, finding=stating.finding, slice=slice)
