"""95 % intervals of shares, means, medians, spreads and correlations, also where several observations share a prompt.

Answers to one prompt are alike, so that what is drawn again is the prompt and not the pair (a cluster bootstrap: Davison and Hinkley
1997, section 3.8). A unit is a prompt, or an observation where no two share one. More than MOST_UNITS of them are not drawn again: there
the central limit theorem over units serves as well. Every interval names its method.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import fsum, inf, sqrt
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from engine.statistics.estimate import NO_INTERVAL, Estimate, nothing

ALPHA = 0.05  # how often an interval may miss; divided by k where k intervals must hold together (Bonferroni)
Z95 = NormalDist().inv_cdf(1 - ALPHA / 2)
ENDS = (ALPHA / 2, 1 - ALPHA / 2)
RESAMPLES = 2000
AT_ONCE = 25  # resamples: few enough for BLAS to sum them in one thread, since several spend more time waiting for each other
MOST_UNITS = 2000
MOST_TIES = 0.2  # share of ties beyond which a share is no longer a count of successes

Array = NDArray[np.float64]
Prompts = pl.Series | None


def units_of(columns: Array, prompts: Prompts) -> Array:
    """The sums of each prompt, (units, columns), in an order that does not depend on the rows'; the rows themselves without prompts."""
    if prompts is not None:
        rows = pl.DataFrame(columns, schema=[f"c{i}" for i in range(columns.shape[1])], orient="row").with_columns(prompt=prompts)
        columns = rows.group_by("prompt").agg(pl.exclude("prompt").sum()).drop("prompt").to_numpy()
    return columns[np.lexsort(columns.T)]


def drawn_again(units: Array) -> Array:
    """The sums over RESAMPLES samples of units, drawn with replacement and a fixed seed: (RESAMPLES, columns). Efron 1979.

    What was drawn of the same units is kept: claims, figures and tables ask for the same statistics.
    """
    return drawn_of(np.ascontiguousarray(units).tobytes(), units.shape)


@lru_cache(maxsize=64)
def drawn_of(sums: bytes, shape: tuple[int, int]) -> Array:
    units = np.frombuffer(sums).reshape(shape)
    drawn = np.concatenate([times @ units for times in times_drawn(shape[0])])
    drawn.flags.writeable = False
    return drawn


@lru_cache(maxsize=8)
def times_drawn(size: int) -> tuple[NDArray[np.int16], ...]:
    """How often each of so many units is in each resample, parts of (AT_ONCE, size): the same for all statistics of so many units."""
    rng, found = np.random.default_rng(0), []
    offsets = np.arange(AT_ONCE)[:, None] * size
    for _ in range(RESAMPLES // AT_ONCE):
        places = rng.integers(0, size, (AT_ONCE, size)) + offsets
        times = np.bincount(places.ravel(), minlength=AT_ONCE * size).reshape(AT_ONCE, size)
        found.append(times.astype(np.int16))  # of at most MOST_UNITS: 8 MB
    return tuple(found)


def prompt_count(prompts: Prompts) -> int | None:
    return None if prompts is None else prompts.n_unique()


def shared(prompts: Prompts, known: int | None) -> Prompts:
    """The prompts where some of these are of several rows; None where every row is its own unit. known: how many there are."""
    return prompts if prompts is not None and known != len(prompts) else None


def by_prompt(method: str, units: int, n: int) -> str:
    return f"{method} by prompt" if units < n else method


def checked(values: ArrayLike) -> Array:
    """The values as floats. Raises ValueError when one is nan."""
    found = np.asarray(values, dtype=float)
    if np.isnan(found).any():
        raise ValueError(f"{int(np.isnan(found).sum())} of {found.size} values are nan")
    return found


def mean(values: ArrayLike, prompts: Prompts = None, *, unit: str = "reward", counted: str = "pairs", alpha: float = ALPHA) -> Estimate:
    """The mean with a bootstrap-t interval, which also holds for skewed values and few of them.

    m = Σ_u s_u / Σ_u c_u over units with sum s and count c;  se² = U/(U − 1) Σ_u (s_u − m c_u)² / (Σ_u c_u)²,
    interval m − t_0.975 se to m − t_0.025 se with the quantiles of t = (m* − m)/se* over resamples (Efron 1981, Hall 1988);
    with more than MOST_UNITS units m ± 1.96 se. Values that are all equal say nothing of their spread, and a resample
    of equal values has t infinite: an end is then infinite. Values with the other sign have the same interval with the other sign.
    Raises ValueError when a value is nan.
    """
    v = checked(values)
    if not v.size:
        return nothing(counted, unit)
    if upside_down(v):
        e = mean(-v, prompts, unit=unit, counted=counted, alpha=alpha)
        return replace(e, value=0 - e.value, low=-e.high, high=-e.low)
    known = prompt_count(prompts)
    units = units_of(np.column_stack([v, np.ones_like(v)]), shared(prompts, known))
    middle, error = (float(x) for x in ratio(moments(units).sum(axis=0), len(units)))
    low, high = -inf, inf
    method = f"{NO_INTERVAL}: all values are equal"
    if len(units) > MOST_UNITS:
        half, method = NormalDist().inv_cdf(1 - alpha / 2) * error, by_prompt("normal interval", len(units), v.size)
        low, high = middle - half, middle + half
    elif error > 1e-12 * np.abs(v).max():
        method = by_prompt("bootstrap-t", len(units), v.size)
        below, above = np.quantile(studentised(units, middle, error), (alpha / 2, 1 - alpha / 2), method="inverted_cdf")
        low, high = middle - above * error, middle - below * error
    return Estimate(middle, float(low), float(high), v.size, counted, unit, method, known)


def upside_down(v: Array) -> bool:
    """Of values and their negatives one, whatever their order; neither where both are the same values."""
    total, ordered = fsum(v), np.sort(v)
    unlike = np.flatnonzero(ordered != -ordered[::-1])
    return total < 0 if total else bool(unlike.size and ordered[unlike[0]] > -ordered[::-1][unlike[0]])


def moments(units: Array) -> Array:
    """s, c, s², sc, c² of each unit."""
    s, c = units.T
    return np.column_stack([s, c, s * s, s * c, c * c])


def ratio(sums: Array, size: int) -> tuple[Array, Array]:
    """Σs / Σc and its standard error from sums of `moments`, (…, 5), over `size` units."""
    s, c, ss, sc, cc = np.moveaxis(sums, -1, 0)
    middle: Array = s / c
    squares = np.maximum(ss - 2 * middle * sc + middle**2 * cc, 0)
    return middle, np.sqrt(squares * size / max(size - 1, 1)) / c


def studentised(units: Array, middle: float, error: float) -> Array:
    """t = (m* − m) / se* of each resample; infinite where the resampled units are all equal and not as the sample."""
    middles, errors = ratio(drawn_again(moments(units)), len(units))
    away = middles - middle
    flat = errors <= 1e-9 * error
    t: Array = away / np.where(flat, 1.0, errors)
    t[flat & (np.abs(away) > 1e-9 * error)] = inf
    return np.copysign(t, away)


def wilson(successes: float, n: int, *, counted: str = "pairs", prompts: int | None = None, alpha: float = ALPHA) -> Estimate:
    """The share successes / n with Wilson's score interval, which stays inside 0 to 1 and is sound for small n.

    centre = (p + z²/2n) / (1 + z²/n),  half width = z √(p(1−p)/n + z²/4n²) / (1 + z²/n)
    Wilson 1927. Half successes (ties) are allowed, which makes the interval a little too wide. n = 0 gives nan and 0 to 1.
    """
    if n == 0:
        return Estimate(float("nan"), 0.0, 1.0, 0, counted, prompts=prompts)
    z = NormalDist().inv_cdf(1 - alpha / 2)
    p, shrink = successes / n, 1 + z**2 / n
    centre = (p + z**2 / (2 * n)) / shrink
    half = z * sqrt(p * (1 - p) / n + z**2 / (4 * n * n)) / shrink
    low, high = max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))
    return Estimate(p, low, high, n, counted, "share", "Wilson's interval", prompts)


def share(points: ArrayLike, prompts: Prompts = None, *, counted: str = "pairs", alpha: float = ALPHA) -> Estimate:
    """The mean of points 0, ½ (a tie) and 1: Wilson's interval where observations are independent and few are ties, else bootstrap-t.

    Where all units agree nothing can be learned from drawing them again: Wilson's interval with units in the place of observations.
    Raises ValueError when a point is nan.
    """
    p = checked(points)
    known = prompt_count(prompts)
    units = p.size if known is None else known
    if not p.size or (units == p.size and (p == 0.5).mean() <= MOST_TIES):
        return wilson(float(p.sum()), p.size, counted=counted, prompts=known, alpha=alpha)
    found = mean(p, prompts, unit="share", counted=counted, alpha=alpha)
    if found.low == -inf and found.high == inf:
        alike = wilson(found.value * units, units, alpha=alpha)
        low, high, method = alike.low, alike.high, by_prompt(alike.method, units, p.size)
    else:
        low, high, method = max(0.0, found.low), min(1.0, found.high), found.method
    return Estimate(found.value, low, high, p.size, counted, "share", method, known)


def share_above_zero(differences: ArrayLike, prompts: Prompts = None, *, counted: str = "pairs", alpha: float = ALPHA) -> Estimate:
    """The share of positive differences, ties counted half: accuracy of margins, win rate of reward differences.

    (#{d > 0} + ½ #{d = 0}) / n. Raises ValueError when a difference is nan.
    """
    return share((np.sign(checked(differences)) + 1) / 2, prompts, counted=counted, alpha=alpha)


def difference_of_shares(first: Estimate, second: Estimate) -> Estimate:
    """first − second of two shares of different rows, from the intervals of both.

    d = p₁ − p₂,  low = d − √((p₁ − l₁)² + (u₂ − p₂)²),  high = d + √((u₁ − p₁)² + (p₂ − l₂)²)
    Newcombe 1998, method 10, of Wilson's intervals; of others it is Zou and Donner's (2008). n: the rows of both together.
    """
    d, n = first.value - second.value, first.n + second.n
    if not (first.n and second.n):
        return Estimate(d, -1.0, 1.0, n, first.counted, "difference of shares")
    low = d - sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    high = d + sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    wilsons = {first.method, second.method} == {"Wilson's interval"}
    method = "Newcombe's interval" if wilsons else "interval of a difference, from those of both"
    return Estimate(d, low, high, n, first.counted, "difference of shares", method)


def median(values: ArrayLike, prompts: Prompts = None, *, unit: str = "reward", counted: str = "rewards") -> Estimate:
    """The median and the two order statistics that hold it with 95 %.

    The share of values below the median is ½ ± 1.96 se, with se = ½/√n, or over prompts as in `mean`; the values at these two
    shares, rounded outwards, are the ends (Woodruff 1952). Too few values give an infinite end. Raises ValueError when one is nan.
    """
    v = np.sort(checked(values))
    if not v.size:
        return nothing(counted, unit)
    middle, error = float(np.median(v)), 0.5 / sqrt(v.size)
    known = prompt_count(prompts)
    units = v.size if known is None else known
    if units < v.size:
        below = (np.sign(middle - checked(values)) + 1) / 2
        error = float(ratio(moments(units_of(np.column_stack([below, np.ones(v.size)]), prompts)).sum(axis=0), units)[1])
    place = int(np.floor(v.size * (0.5 - Z95 * error)))  # of the lower end, from 1
    low, high = (float(v[place - 1]), float(v[v.size - place])) if place >= 1 else (-inf, inf)
    return Estimate(middle, low, high, v.size, counted, unit, by_prompt("order statistics", units, v.size), known)


def spread(values: ArrayLike, prompts: Prompts = None, *, unit: str = "reward", counted: str = "pairs") -> Estimate:
    """The standard deviation, n − 1 in the denominator, with a bootstrap interval. Raises ValueError when a value is nan."""
    v = checked(values)
    if v.size < 2:
        return nothing(counted, unit)
    away, std = v - v.mean(), float(v.std(ddof=1))
    columns = np.column_stack([np.ones_like(v), away, away**2])

    influence = (away**2 - std**2) / (2 * std) if std else np.zeros_like(v)
    return resampled(std, columns, spreads, influence, prompts, unit, counted)


def spreads(sums: Array) -> Array:
    """Standard deviations from Σ1, Σx, Σx², each (B,)."""
    n, first, second = sums.T
    found: Array = np.sqrt(np.maximum(second - first**2 / n, 0) / np.maximum(n - 1, 1))
    return found


def correlation(x: ArrayLike, y: ArrayLike, prompts: Prompts = None, *, counted: str = "pairs") -> Estimate:
    """Pearson's correlation with Fisher's interval tanh(artanh r ± 1.96/√(n − 3)), or a bootstrap one where observations share prompts.

    Fisher 1921. nan where one of the two does not vary. Raises ValueError when a value is nan.
    """
    a, b = checked(x), checked(y)
    known = prompt_count(prompts)
    if a.size < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        r = float(np.corrcoef(a, b)[0, 1]) if a.size > 1 and np.ptp(a) and np.ptp(b) else float("nan")
        return Estimate(r, -1.0, 1.0, a.size, counted, "correlation", NO_INTERVAL, known)
    a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    r = float(np.clip((a * b).mean(), -1, 1))
    if known is None or known == a.size:
        half = Z95 / sqrt(a.size - 3)
        low, high = (r, r) if abs(r) == 1 else (float(np.tanh(np.arctanh(r) - half)), float(np.tanh(np.arctanh(r) + half)))
        return Estimate(r, low, high, a.size, counted, "correlation", "Fisher's interval", known)
    columns = np.column_stack([np.ones_like(a), a, b, a * a, b * b, a * b])
    return resampled(r, columns, correlations, a * b - r / 2 * (a**2 + b**2), prompts, "correlation", counted)


def correlations(sums: Array) -> Array:
    """Pearson's correlation from Σ1, Σx, Σy, Σx², Σy², Σxy, each (B,)."""
    n, x, y, xx, yy, xy = sums.T
    squares = np.maximum(xx - x * x / n, 0) * np.maximum(yy - y * y / n, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.clip((xy - x * y / n) / np.sqrt(squares), -1, 1)
    return found[np.isfinite(found)]


def resampled(
    value: float, columns: Array, of: Callable[[Array], Array], influence: Array, prompts: Prompts, unit: str, counted: str
) -> Estimate:
    """A function `of` sums of columns: percentiles over resamples; for many units value ± 1.96 √Σ_u ψ_u² / n with its influence ψ."""
    n, known = len(columns), prompt_count(prompts)
    prompts = shared(prompts, known)
    units = units_of(columns, prompts)
    if len(units) <= MOST_UNITS:
        low, high = np.quantile(of(drawn_again(units)), ENDS)
        method = by_prompt("percentile bootstrap", len(units), n)
    else:
        half = Z95 * float(np.sqrt((units_of(influence[:, None], prompts) ** 2).sum())) / n
        low, high, method = value - half, value + half, by_prompt("normal interval", len(units), n)
    return Estimate(value, float(low), float(high), n, counted, unit, method, known)
