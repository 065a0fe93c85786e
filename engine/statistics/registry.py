"""The one list of statistics: command line, pages, report and tables show these and no others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from engine.statistics.estimate import Estimate

Measure = Callable[[pl.DataFrame], Estimate]
AnyMeasure = TypeVar("AnyMeasure", bound=Measure)


@dataclass(frozen=True)
class Statistic:
    """A function of the rows of a view, and what it is called."""

    name: str
    label: str
    help: str  # what it means, in a sentence or two
    of: str  # the view whose rows it takes: scored_pairs | scorers_on_pairs | compared_answers | answers
    measure: Measure


STATISTICS: dict[str, Statistic] = {}


def statistic(name: str, label: str, help: str, *, of: str) -> Callable[[AnyMeasure], AnyMeasure]:
    """Register the function below it. A measured view has the columns that its statistics read, and no nulls in them."""

    def registered(measure: AnyMeasure) -> AnyMeasure:
        STATISTICS[name] = Statistic(name, label, help, of, measure)
        return measure

    return registered


def measured(rows: pl.DataFrame, names: Iterable[str]) -> dict[str, Estimate]:
    """The named statistics of these rows. Raises KeyError for a name that is not registered."""
    return {name: STATISTICS[name].measure(rows) for name in names}
