"""A number with its uncertainty: what every statistic returns, and how it stands in a table and in JSON."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import inf, isfinite, nan

import polars as pl

NO_INTERVAL = "no interval"


@dataclass(frozen=True)
class Estimate:
    """A number, its 95 % interval, what it rests on, and how the interval was made. An end that is not known is infinite."""

    value: float
    low: float
    high: float
    n: int
    counted: str = "pairs"  # what n counts: pairs, prompts, answers, rewards
    unit: str = "share"  # of value, low and high: share, difference of shares, reward, words, tokens, correlation
    method: str = NO_INTERVAL  # of the interval, in words
    prompts: int | None = None  # different prompts behind the n; None where they are not known

    @property
    def reference(self) -> float:
        """What it is compared with: guessing for a share, nothing for anything else."""
        return 0.5 if self.unit == "share" else 0.0

    def __format__(self, spec: str) -> str:
        """`f"{estimate:.3f}"`: 0.712 (0.650 to 0.770)."""
        return f"{self.value:{spec or '.3f'}} ({self.interval('{:' + (spec or '.3f') + '}')})"

    def interval(self, form: str = "{:.3f}") -> str:
        """0.650 to 0.770; above 0.650; below 0.770; no interval."""
        low, high = form.format(self.low), form.format(self.high)
        if isfinite(self.low) and isfinite(self.high):
            return f"{low} to {high}"
        return f"above {low}" if isfinite(self.low) else f"below {high}" if isfinite(self.high) else NO_INTERVAL

    def as_json(self) -> dict[str, object]:
        """Its fields; null where a number is not finite, because JSON has no infinity."""
        return {name: None if isinstance(v, float) and not isfinite(v) else v for name, v in asdict(self).items()}


ESTIMATE = pl.Struct(
    {
        **dict.fromkeys(("value", "low", "high"), pl.Float64()), "n": pl.Int64(),
        **dict.fromkeys(("counted", "unit", "method"), pl.String()), "prompts": pl.Int64(),
    }
)  # fmt: skip


def nothing(counted: str, unit: str) -> Estimate:
    """What no observation says."""
    return Estimate(nan, -inf, inf, 0, counted, unit, prompts=0)


def column(name: str, estimates: Iterable[Estimate | None]) -> pl.Series:
    """Estimates as a column of a table, each cell a struct of an Estimate's fields; `Estimate(**cell)` is the way back."""
    return pl.Series(name, [None if e is None else asdict(e) for e in estimates], dtype=ESTIMATE)
