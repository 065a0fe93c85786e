"""Shares of pairs or prompts with their uncertainty: accuracy, win rate."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


@dataclass(frozen=True)
class Estimate:
    """A number, its 95 % interval and how many observations it rests on."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}, n = {self.n:,})"


def wilson(successes: float, n: int, z: float = Z95) -> Estimate:
    """The share successes / n with Wilson's score interval, which stays inside 0 to 1 and is sound for small n.

    centre = (p + z²/2n) / (1 + z²/n),  half width = z √(p(1−p)/n + z²/4n²) / (1 + z²/n)
    Wilson 1927. Half successes (ties) are allowed, which makes the interval a little too wide. n = 0 gives nan and 0 to 1.
    """
    if n == 0:
        return Estimate(float("nan"), 0.0, 1.0, 0)
    p, shrink = successes / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / shrink
    return Estimate(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)), n)


def share_above_zero(differences: ArrayLike) -> Estimate:
    """The share of positive differences, ties counted half: accuracy of margins, win rate of reward differences.

    (#{d > 0} + ½ #{d = 0}) / n, with Wilson's interval. nan differences are refused: ValueError.
    """
    d = np.asarray(differences, dtype=float)
    if np.isnan(d).any():
        raise ValueError(f"{int(np.isnan(d).sum())} of {d.size} differences are nan")
    return wilson(float((d > 0).sum() + 0.5 * (d == 0).sum()), d.size)


def accuracy(chosen: ArrayLike, rejected: ArrayLike) -> Estimate:
    """The share of pairs whose chosen response has the higher reward, ties half."""
    return share_above_zero(np.asarray(chosen, dtype=float) - np.asarray(rejected, dtype=float))


def win_rate(tuned: ArrayLike, base: ArrayLike) -> Estimate:
    """The share of prompts on which the tuned answer has the higher reward, ties half."""
    return share_above_zero(np.asarray(tuned, dtype=float) - np.asarray(base, dtype=float))


def length_rule(chosen_words: ArrayLike, rejected_words: ArrayLike) -> Estimate:
    """The accuracy of "the longer response is the better one", ties half: what a reward model has to beat."""
    return accuracy(chosen_words, rejected_words)
