"""What runs say together that differ in their seed alone."""

from collections.abc import Sequence
from math import cos, inf, pi, sin, sqrt, tan
from statistics import mean, stdev

from engine.statistics.estimate import NO_INTERVAL, Estimate
from engine.statistics.intervals import ALPHA

METHOD, ONE_RUN, ALL_EQUAL = "Student's t over seeds", f"{NO_INTERVAL}: one run", f"{NO_INTERVAL}: all values are equal"
HALVINGS = 60  # of a right angle, which leaves no error that a float could hold


def mean_over_seeds(values: Sequence[float]) -> Estimate:
    """The mean share of R runs, one at least, with Student's t interval, cut at 0 and 1.

    m ± t s / √R with t the 0.975 quantile of Student's distribution with R − 1 degrees of freedom and s the standard deviation of the
    runs, R − 1 in the denominator (Student 1908). t is 12.7 for two runs, 4.3 for three, 2.8 for five: what so few seeds leave open is
    in it, while m ± s or the range of three runs would look as sure as of thirty. It is about further seeds on the same pairs, not about
    further pairs.
    """
    runs = len(values)
    middle, low, high, method = mean(values), -inf, inf, ONE_RUN if runs == 1 else ALL_EQUAL
    if runs > 1 and (spread := stdev(values)) > 1e-12:
        half, method = t_quantile(1 - ALPHA / 2, runs - 1) * spread / sqrt(runs), METHOD
        low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Estimate(middle, low, high, runs, "runs", method=method)


def t_quantile(share: float, degrees: int) -> float:
    """The t below which a share of at least one half of Student's distribution lies, for whole degrees of freedom ν.

    Halves the interval of θ = atan(t / √ν), in which the share within ±t is a finite sum.
    """
    low, high = 0.0, pi / 2
    for _step in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 + within(middle, degrees)) / 2 < share else (low, middle)
    return sqrt(degrees) * tan(low)


def within(angle: float, degrees: int) -> float:
    """The share of Student's distribution within ±√ν tan θ. Abramowitz and Stegun 1964, 26.7.3 and 26.7.4."""
    odd = degrees % 2
    term, total = cos(angle) if odd else 1.0, 0.0
    for power in range(odd, degrees - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * cos(angle) ** 2
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
