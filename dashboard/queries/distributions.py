"""Histograms and box statistics, counted inside the database.

`values` is a SELECT with the columns series (what is compared), facet (the panel it stands in) and value, or a frame of these that is kept.
"""

from math import ceil, floor, log10, sqrt
from typing import Any

import polars as pl

from engine.statistics.estimate import column
from engine.statistics.intervals import Z95, median
from engine.store.database import Connection, frame

EXTREMES = 60  # outliers drawn for each box; the fences say where the rest is


def bin_width(low: float, high: float, bins: int) -> float:
    """A round number (1, 2, 2.5 or 5 times a power of ten) that cuts low to high into at most `bins` intervals."""
    raw = (high - low) / bins
    if raw <= 0:
        return 1.0
    power = 10.0 ** floor(log10(raw))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * 0.999999)


def histogram(
    con: Connection,
    values: str | pl.DataFrame,
    params: dict[str, Any] | None = None,
    whole: bool = False,
    open_end: bool = False,
    fine: int = 1,
    width: float | None = None,
) -> pl.DataFrame:
    """Counts and shares per bin: facet, series, low, high, count, share, n, median, mean, last (the bin holds all that is above it).

    whole: bins are at least 1 wide. open_end: what lies above the 99th percentile goes into the last bin. fine: so many times as many bins,
    for a figure as wide as the page. width: of the bins, instead of one that suits the values.
    """
    upper = "quantile_cont(value, 0.99)" if open_end else "max(value)"
    looked_at(con, values, params)
    low, high, n = frame(con, f"select min(value) as low, {upper} as high, count(value) as n from looked_at").row(0)
    if width is None:
        width = 1.0 if low is None else bin_width(low, high, fine * min(40, max(10, round(sqrt(n)))))
        width = max(1.0, ceil(width)) if whole else width
    last = floor((high or 0) / width)
    return frame(con, BINNED, {"width": width, "last": last})


def looked_at(con: Connection, values: str | pl.DataFrame, params: dict[str, Any] | None) -> None:
    """Temporary view `looked_at`: the values, which are asked for more than one thing."""
    if isinstance(values, pl.DataFrame):
        con.register("kept_values", values.to_arrow())
        source = "kept_values"
    else:
        con.execute(f"create or replace temp table read_once as {values}", params or {})
        source = "read_once"
    con.execute(f"create or replace temp view looked_at as from {source} where value is not null")


BINNED = """
    with whole as (
        select series, facet, count(*) as n, median(value) as median, avg(value) as mean from looked_at group by series, facet
    ), bins as (
        select series, facet, least(floor(value / $width), $last) as bin, count(*) as count, max(value) as highest
        from looked_at group by series, facet, bin
    )
    select facet, series, bin * $width as low, (bin + 1) * $width as high, count, count / n as share, n, median, mean,
           bin = $last and highest >= ($last + 1) * $width as last
    from bins join whole using (series, facet) order by facet, series, bin
"""

BOXES = f"""
    with q as (select facet, series, count(*) as n, avg(value) as mean, stddev_samp(value) as std,
                      quantile_cont(value, 0.25) as q1, quantile_cont(value, 0.75) as q3 from looked_at group by all)
    select facet, series, any_value(n) as n, any_value(mean) as mean, any_value(std) as std,
           any_value(q1) as q1, any_value(q3) as q3,
           min(value) filter (value >= q1 - 1.5 * (q3 - q1)) as low, max(value) filter (value <= q3 + 1.5 * (q3 - q1)) as high,
           coalesce(min(value, {EXTREMES}) filter (value < q1 - 1.5 * (q3 - q1)), [])
               || coalesce(max(value, {EXTREMES}) filter (value > q3 + 1.5 * (q3 - q1)), []) as outliers
    from looked_at join q using (series, facet) group by facet, series order by facet, series
"""


def boxes(con: Connection, values: str | pl.DataFrame, params: dict[str, Any] | None = None) -> pl.DataFrame:
    """Box statistics: facet, series, n, mean, std, q1, q3, low, high, outliers, median (an Estimate), notch.

    values: as above, and the prompt_id of each. low, high: the whiskers, the outermost values within 1.5 interquartile ranges of the box.
    notch: two medians differ at 5 % where median ± notch do not overlap; 1.7 standard errors of a median (McGill, Tukey and Larsen 1978),
    here of its interval, so that answers to one prompt are not taken for independent.
    """
    looked_at(con, values, params)
    drawn = frame(con, BOXES)
    parts = frame(con, "select facet, series, value, prompt_id from looked_at").partition_by("facet", "series", as_dict=True)
    boxed = [parts[of] for of in drawn.select("facet", "series").iter_rows()]
    medians = [median(part["value"], part["prompt_id"]) for part in boxed]
    notches = pl.Series("notch", [1.7 * (m.high - m.low) / (2 * Z95) for m in medians], dtype=pl.Float64)
    return drawn.with_columns(column("median", medians), notches)
