"""What align-anything reports of a reward model, and the same with intervals and per side."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.statistics.proportions import Z95, Estimate, accuracy


@dataclass(frozen=True)
class RewardSummary:
    """A scorer on n pairs; rewards in the scorer's own unit."""

    accuracy: Estimate
    reward_mean: float  # chosen and rejected pooled
    reward_std: float  # the same, n − 1 in the denominator
    chosen_mean: float
    chosen_std: float
    rejected_mean: float
    rejected_std: float
    margin_mean: Estimate
    margin_std: float

    @property
    def n(self) -> int:
        return self.accuracy.n


def reward_summary(chosen: ArrayLike, rejected: ArrayLike) -> RewardSummary:
    """Accuracy, then mean and standard deviation of rewards pooled over both sides, per side, and of their margin.

    reward_mean = mean(r_chosen ∪ r_rejected), reward_std with n − 1, as torch.std in align-anything's
    text_to_text/rm.py: eval; margin = r_chosen − r_rejected.
    """
    c, r = np.asarray(chosen, dtype=float), np.asarray(rejected, dtype=float)
    (pooled_mean, pooled_std), sides = mean_and_std(np.concatenate([c, r])), (*mean_and_std(c), *mean_and_std(r))
    return RewardSummary(accuracy(c, r), pooled_mean, pooled_std, *sides, mean_difference(c, r), mean_and_std(c - r)[1])


def plain(summary: object) -> dict[str, float]:
    """A summary's numbers by name, its estimates without their intervals, and without what could not be measured."""
    found = {name: value.value if isinstance(value, Estimate) else value for name, value in vars(summary).items()}
    return {name: value for name, value in found.items() if value == value}


@dataclass(frozen=True)
class LengthMatched:
    """Accuracy on the pairs whose responses are about equally long: what is left when length cannot decide."""

    accuracy_length_matched: Estimate

    @property
    def n(self) -> int:
        return self.accuracy_length_matched.n


def length_matched(chosen: ArrayLike, rejected: ArrayLike, lengths: Sequence[tuple[int, int]], within: float = 0.1) -> LengthMatched:
    """Accuracy on pairs with | |y_c| − |y_r| | ≤ within · max(|y_c|, |y_r|); lengths in tokens, (N, 2)."""
    near = np.array([abs(c - r) <= within * max(c, r) for c, r in lengths], dtype=bool)
    return LengthMatched(accuracy(np.asarray(chosen, dtype=float)[near], np.asarray(rejected, dtype=float)[near]))


def mean_and_std(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and sample standard deviation; nan where there are too few values."""
    return (float(values.mean()) if values.size else nan, float(values.std(ddof=1)) if values.size > 1 else nan)


def mean_difference(left: ArrayLike, right: ArrayLike) -> Estimate:
    """The mean of paired differences with the normal interval d̄ ± 1.96 s/√n (central limit theorem; fine from about 30 pairs)."""
    d = np.asarray(left, dtype=float) - np.asarray(right, dtype=float)
    mean, std = mean_and_std(d)
    return normal_interval(mean, std, d.size)


def normal_interval(mean: float, std: float, n: int) -> Estimate:
    """A mean with mean ± 1.96 std/√n; an infinite interval when one value says nothing of the spread."""
    half = Z95 * std / sqrt(n) if n > 1 else float("inf")
    return Estimate(mean, mean - half, mean + half, n)


def bootstrap_difference(left: ArrayLike, right: ArrayLike, resamples: int = 2000, seed: int = 0) -> Estimate:
    """The mean of paired differences with the percentile interval of resampled pairs: no normality assumed.

    Efron 1979; pairs are drawn with replacement, left and right of a pair staying together.
    """
    d = np.asarray(left, dtype=float) - np.asarray(right, dtype=float)
    if d.size == 0:
        return Estimate(nan, nan, nan, 0)
    rng = np.random.default_rng(seed)
    means = np.array([d[rng.integers(0, d.size, d.size)].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(d.mean()), float(low), float(high), d.size)


def correlation(x: ArrayLike, y: ArrayLike) -> Estimate:
    """Pearson's correlation with Fisher's interval tanh(artanh r ± 1.96/√(n − 3)). Fisher 1921."""
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    return correlation_interval(float(np.corrcoef(a, b)[0, 1]) if a.size > 1 else nan, a.size)


def correlation_interval(r: float, n: int) -> Estimate:
    if n < 4 or not -1 < r < 1:
        return Estimate(r, -1.0, 1.0, n)
    half = Z95 / sqrt(n - 3)
    return Estimate(r, float(np.tanh(np.arctanh(r) - half)), float(np.tanh(np.arctanh(r) + half)), n)
