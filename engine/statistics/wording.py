"""How numbers are written, in one place: minus signs, blanks at which no line breaks, rounding, units, intervals.

A sentence is a template with named places, `ranks {accuracy:whole} of {accuracy:counted} right`, and `Wording.fill` writes the values into
it: a translated template may put the same values in another order. Numbers are rounded half away from zero: 151.5 of 200 is 75.8 %.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from math import isfinite
from string import Formatter

from engine.statistics.estimate import NO_INTERVAL, Estimate

BLANK, THIN = "\u00a0", "\u202f"  # no line breaks at them
UNKNOWN = "–"
SHARE, POINTS = "share", "difference of shares"  # units that are written times 100
DIGITS = {SHARE: 1, POINTS: 1, "tokens": 1, "words": 1}  # after the point; of all other units two
MEANT_DIGITS = 9  # of a float; those after them are the error of its arithmetic
ONE = {
    "pairs": "pair",
    "prompts": "prompt",
    "answers": "answer",
    "rewards": "reward",
    "records": "record",
    "rows": "row",
    "runs": "run",
    "tokens": "token",
    "words": "word",
    "responses": "response",
    "different responses": "different response",
    "steps": "step",
}


class Term(str):
    """A word of ours that stands in a sentence as a value, and is translated with it; a plain str is a name."""


Value = Estimate | Term | str | int | float


def number(value: float | None, digits: int = 2, *, signed: bool = False, thousands: str = THIN) -> str:
    """−1.35; +0.71; 30 000; – where there is none. A signed one is 0.00 only where there is no difference: −0.003, and not 0.00."""
    if value is None or not isfinite(value):
        return UNKNOWN
    meant = Decimal(repr(round(float(value), MEANT_DIGITS)))
    places = max(digits, -meant.adjusted()) if signed and meant else digits
    near = meant.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    sign = "−" if near < 0 else "+" if signed and near > 0 else ""
    return sign + f"{abs(near):,f}".replace(",", thousands)


def adds_up(first: str, second: str, difference: str) -> bool:
    """Whether second − first, as they are written, is the difference as it is: taken before rounding, it may be 1 off in its last digit."""
    written = [text.replace("−", "-").replace(THIN, "") for text in (first, second, difference)]
    if UNKNOWN in written:
        return True
    low, high, between = map(Decimal, written)
    return high - low == between


def percent(share: float | None, digits: int = 1) -> str:
    """81.0 %; with no digits 81 %."""
    return UNKNOWN if share is None or not isfinite(share) else f"{number(100 * share, digits)}{BLANK}%"


def in_unit(value: float, unit: str, digits: int | None = None, *, signed: bool | None = None) -> str:
    """A share 81.0 %, a difference of shares in points +19.3, a reward 0.71, tokens 125.3. signed: by default only points have a plus."""
    places = DIGITS.get(unit, 2) if digits is None else digits
    if unit == SHARE:
        return percent(value, places)
    return number(100 * value if unit == POINTS else value, places, signed=unit == POINTS if signed is None else signed)


def scale_of(unit: str) -> int:
    return 100 if unit in (SHARE, POINTS) else 1


def telling(estimate: Estimate, value: float, digits: int) -> int:
    """The digits with which one of its numbers does not become what the whole interval lies beside: 49.6 %, surely not half, not 50 %."""
    scale, reference = scale_of(estimate.unit), estimate.reference
    if not isfinite(value) or estimate.low <= reference <= estimate.high:
        return digits
    away = Decimal(repr(round(float(scale * (value - reference)), MEANT_DIGITS)))
    same = number(scale * value, digits) == number(scale * reference, digits)
    return -away.adjusted() if same and away else digits


def interval(estimate: Estimate, digits: int | None = None, translate: Callable[[str], str] = str) -> str:
    """[75.0, 85.8], shares and points times 100; where an end is not known [above 0.13], [below 1.20] or [no interval]."""
    places = DIGITS.get(estimate.unit, 2) if digits is None else digits
    low, high = (number(scale_of(estimate.unit) * end, telling(estimate, end, places)) for end in (estimate.low, estimate.high))
    if isfinite(estimate.low) and isfinite(estimate.high):
        found = f"{low},{BLANK}{high}"
    elif isfinite(estimate.low):
        found = translate("above {low}").format(low=low)
    else:
        found = translate("below {high}").format(high=high) if isfinite(estimate.high) else translate(NO_INTERVAL)
    return f"[{found}]"


def estimated(estimate: Estimate, translate: Callable[[str], str] = str) -> str:
    """81.0 % [75.0, 85.8]."""
    digits = telling(estimate, estimate.value, DIGITS.get(estimate.unit, 2))
    return f"{in_unit(estimate.value, estimate.unit, digits)}{BLANK}{interval(estimate, translate=translate)}"


def one_or_many(one: str, many: str, n: int) -> str:
    """English's two forms; gettext's ngettext has the same signature."""
    return one if n == 1 else many


def counted(n: int, things: str, thousands: str = THIN, plural: Callable[[str, str, int], str] = one_or_many) -> str:
    """1 pair; 2 pairs; 0 pairs. things: a key of ONE."""
    return f"{number(n, 0, thousands=thousands)}{BLANK}{plural(ONE[things], things, n)}"


def duration(seconds: float) -> str:
    """43 s; 3 min 49 s; 1 h 05 min."""
    whole = int(number(max(seconds, 0), 0, thousands=""))
    if whole < 60:
        return f"{whole}{BLANK}s"
    if whole < 3600:
        return f"{whole // 60}{BLANK}min {whole % 60:02d}{BLANK}s"
    minutes = int(number(whole / 60, 0, thousands=""))
    return f"{minutes // 60}{BLANK}h {minutes % 60:02d}{BLANK}min"


def size(size_bytes: float) -> str:
    """1.4 GB; 98 MB, in powers of ten."""
    megabytes = number(size_bytes / 1e6, 0, thousands="")
    return f"{number(size_bytes / 1e9, 1)}{BLANK}GB" if int(megabytes) >= 1000 else f"{megabytes}{BLANK}MB"


FORMS: dict[str, Callable[[float], str]] = {"percent": percent, "size": size, "duration": duration}


@dataclass(frozen=True)
class Wording(Formatter):
    """Templates filled as one language writes them. The words after a colon say what of a value is written:

    {e} its value, also {e:whole}, {e:signed}, {e:unsigned} where words say the direction, {e:whole unsigned};
    {e:full} value and interval, {e:interval}, {e:n}, {e:counted} 200 pairs; of a whole number {n} 30 000, {n:pairs} 30 000 pairs;
    of a share that is no estimate {x:percent}, of bytes {x:size}, of seconds {x:duration}.
    """

    thousands: str = THIN
    translate: Callable[[str], str] = str
    plural: Callable[[str, str, int], str] = one_or_many
    named: Callable[[str], str] = str  # what a name is called

    def fill(self, template: str, values: Mapping[str, Value]) -> str:
        """The sentence. Raises KeyError when the template names a value that is not there."""
        return self.vformat(template, (), values)

    def format_field(self, value: Value, format_spec: str) -> str:
        if isinstance(value, Estimate):
            return self.part_of(value, format_spec)
        if isinstance(value, Term):
            return self.translate(value)
        if isinstance(value, int | float):
            return self.written(value, format_spec)
        return self.named(value)

    def part_of(self, estimate: Estimate, spec: str) -> str:
        match spec:
            case "full":
                return estimated(estimate, self.translate)
            case "interval":
                return interval(estimate, translate=self.translate)
            case "n":
                return number(estimate.n, 0, thousands=self.thousands)
            case "counted":
                return counted(estimate.n, estimate.counted, self.thousands, self.plural)
        words = spec.split()
        shown = abs(estimate.value) if "unsigned" in words else estimate.value
        signed = True if "signed" in words else False if "unsigned" in words else None
        digits = telling(estimate, estimate.value, 0 if "whole" in words else DIGITS.get(estimate.unit, 2))
        return in_unit(shown, estimate.unit, digits, signed=signed)

    def written(self, value: float, spec: str) -> str:
        if spec in ONE:
            return counted(int(value), spec, self.thousands, self.plural)
        if spec in FORMS:
            return FORMS[spec](value)
        return number(value, 0 if isinstance(value, int) else 2, thousands=self.thousands)


ENGLISH = Wording()
