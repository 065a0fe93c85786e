"""A straight line through points, and how uncertain it is where rows share prompts."""

from dataclasses import dataclass
from math import inf, nan

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from engine.statistics.estimate import NO_INTERVAL, Estimate
from engine.statistics.intervals import Z95, Prompts, by_prompt, checked, prompt_count, shared, units_of

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """y = intercept + slope · x, with the covariance (2, 2) of both."""

    intercept: float
    slope: float
    covariance: Array
    n: int
    method: str
    prompts: int | None

    def at(self, x: ArrayLike) -> tuple[Array, Array, Array]:
        """The line at x, and the ends of its 95 % interval there: y(x) ± 1.96 √((1, x) V (1, x)ᵀ)."""
        places = np.column_stack([np.ones_like(np.asarray(x, dtype=float)), np.asarray(x, dtype=float)])
        middle = places @ np.array([self.intercept, self.slope])
        half = Z95 * np.sqrt(np.maximum(((places @ self.covariance) * places).sum(axis=1), 0))
        return middle, middle - half, middle + half

    def rise(self, by: float, unit: str, counted: str) -> Estimate:
        """By how much y rises while x rises by `by`."""
        half = by * Z95 * float(np.sqrt(self.covariance[1, 1])) if self.n > 2 else inf
        rise = by * self.slope
        return Estimate(rise, rise - half, rise + half, self.n, counted, unit, self.method, self.prompts)


def line(x: ArrayLike, y: ArrayLike, prompts: Prompts = None) -> Line | None:
    """The line of least squares; None where x does not vary.

    V = (XᵀX)⁻¹ (Σ_u s_u s_uᵀ) (XᵀX)⁻¹ · u/(u − 1) · (n − 1)/(n − 2),  s_u = Σ_{i in u} (1, x_i) e_i
    with the prompts u as units, so that rows of one prompt may go together (Liang and Zeger 1986; rows alone: White 1980), and
    residuals may be wider on one side. Raises ValueError when a value is nan.
    """
    a, b = checked(x), checked(y)
    if a.size < 2 or np.ptp(a) == 0:
        return None
    design = np.column_stack([np.ones_like(a), a - a.mean()])
    inverse = np.linalg.inv(design.T @ design)
    level, slope = inverse @ design.T @ b
    known = prompt_count(prompts)
    scores = units_of(design * (b - level - slope * design[:, 1])[:, None], shared(prompts, known))
    units, shift = len(scores), np.array([[1.0, -a.mean()], [0.0, 1.0]])
    if units < 2 or a.size < 3:
        return Line(float(level - slope * a.mean()), float(slope), np.full((2, 2), nan), a.size, NO_INTERVAL, known)
    few = units / (units - 1) * (a.size - 1) / (a.size - 2)
    covariance: Array = shift @ (inverse @ (scores.T @ scores) @ inverse * few) @ shift.T
    return Line(float(level - slope * a.mean()), float(slope), covariance, a.size, by_prompt("robust standard error", units, a.size), known)


def risen(x: pl.Series, y: pl.Series, prompts: pl.Series, *, by: float, unit: str, counted: str) -> Estimate:
    """`Line.rise` of the line through these rows; nan where there is none."""
    found = line(x, y, prompts)
    return found.rise(by, unit, counted) if found else Estimate(nan, -inf, inf, len(x), counted, unit, prompts=prompts.n_unique())
