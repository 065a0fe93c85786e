"""What runs say together that differ in their seed alone."""

from collections.abc import Sequence
from math import inf, sqrt
from statistics import mean, stdev

from engine.statistics.estimate import NO_INTERVAL, Estimate
from engine.statistics.intervals import ALPHA

METHOD, ONE_RUN, ALL_EQUAL = "Student's t over seeds", f"{NO_INTERVAL}: one run", f"{NO_INTERVAL}: all values are equal"


def mean_over_seeds(values: Sequence[float]) -> Estimate:
    """The mean share of R runs, one at least, with Student's t interval, cut at 0 and 1.

    m ± t s / √R with t the 0.975 quantile of Student's distribution with R − 1 degrees of freedom and s the standard deviation of the
    runs, R − 1 in the denominator (Student 1908). t is 12.7 for two runs, 4.3 for three, 2.8 for five: what so few seeds leave open is
    in it, while m ± s or the range of three runs would look as sure as of thirty. It is about further seeds on the same pairs, not about
    further pairs.
    """
    from scipy.special import stdtrit  # the quantile of Student's t; loaded where there is a study only

    runs = len(values)
    middle, low, high, method = mean(values), -inf, inf, ONE_RUN if runs == 1 else ALL_EQUAL
    if runs > 1 and (spread := stdev(values)) > 1e-12:
        half, method = float(stdtrit(runs - 1, 1 - ALPHA / 2)) * spread / sqrt(runs), METHOD
        low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Estimate(middle, low, high, runs, "runs", method=method)
