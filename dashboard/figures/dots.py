"""Shares with their intervals as dots on one axis, a row each, beside the line of guessing: the question is "more than half?"."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import plotly.graph_objects as go
import polars as pl

from dashboard.figures.registry import Mark, stands_for
from dashboard.figures.shapes import bars
from dashboard.figures.theme import COLOURS, INK, called, excerpt
from dashboard.state.messages import counted, estimated
from engine.statistics.estimate import Estimate
from engine.statistics.wording import percent

SYMBOLS = {"trained": "square", "untrained": "circle-open", "rule": "diamond", "tuned": "circle", "base": "circle-open"}
ROW_PIXELS, DOT_PIXELS = 34, 50  # of a row with one dot, and with several
SHORT_CHARS = 16  # of a row's name where there is little room


@dataclass(frozen=True)
class Dot:
    """One share: the row it stands in, whose it is (a key of SYMBOLS), and the rows of data that it stands for."""

    row: str
    who: str
    share: dict[str, Any]  # an Estimate's fields
    mark: Mark = field(default_factory=dict)
    heading: str = ""  # of a group of rows, above its first


def dots(found: Sequence[Dot], names: dict[str, str], axis: str, low: float = 0.0) -> go.Figure:
    """A row for each label, in their order, with the n below it and the value at the right end. low: where the axis begins."""
    places, ticks, labels = arranged(found)
    plot = go.Figure()
    several = len({dot.who for dot in found}) > 1
    for who in dict.fromkeys(dot.who for dot in found):
        mine = [dot for dot in found if dot.who == who]
        shares = pl.Series([dot.share for dot in mine])
        colour = COLOURS.get(who, INK)
        plot.add_scatter(
            x=shares.struct.field("value").to_list(),
            y=[places[dot.heading, dot.row] + offset(dot, found) for dot in mine],
            error_x={**bars(shares), "width": 5, "color": colour},
            mode="markers",
            marker={"color": colour, "size": 10, "symbol": SYMBOLS[who], "line": {"width": 2, "color": colour}},
            customdata=[(excerpt(dot.row, 60), estimated(Estimate(**dot.share)), counted_of(dot)) for dot in mine],
            hovertemplate="%{customdata[0]}: %{customdata[1]}, n = %{customdata[2]}",
            name=excerpt(names.get(who, called(who))),
            showlegend=several,
        )
        if any(dot.mark for dot in mine):
            stands_for(plot.data[-1], [dot.mark for dot in mine])
    for dot in found:
        place = places[dot.heading, dot.row] + offset(dot, found)
        at_the_end = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 8}
        plot.add_annotation(text=percent(dot.share["value"]), y=place, showarrow=False, **at_the_end)
    for heading, place in headings(found, places):
        plot.add_annotation(text=excerpt(heading, 60), x=0, xref="paper", xanchor="left", y=place, font={"weight": 700}, showarrow=False)
    half = {"type": "line", "x0": 0.5, "x1": 0.5, "line": {"color": INK, "dash": "dash", "width": 1.5}}
    for heading in dict.fromkeys(dot.heading for dot in found):  # not through the headings
        rows = [place for (above, _row), place in places.items() if above == heading]
        plot.add_shape(half, y0=min(rows) - 0.6, y1=max(rows) + 0.6)
    high = max(1.0, *(end for dot in found if isfinite(end := dot.share["high"])))
    plot.update_xaxes(title_text=axis, tickformat=".0%", range=[low, high + 0.01], showgrid=True)
    lowest = max(places.values(), default=0)
    plot.update_yaxes(
        tickvals=ticks,
        ticktext=labels,
        range=[lowest + 0.6, -0.6 - bool(found and found[0].heading)],
        showgrid=False,
        showline=False,
        ticks="",
    )
    row = DOT_PIXELS if len(found) > len(places) else ROW_PIXELS
    plot.update_layout(height=int(row * (lowest + 2.2) + 50), margin={"r": 64}, meta={"rows": [name for _heading, name in places]})
    return plot


def small(plot: go.Figure) -> go.Figure:
    """The same with little room: rows by their name alone, headings that end at the right edge; what is no plot of dots stays as it is."""
    if plot.layout.meta is None:
        return plot
    plot.update_yaxes(ticktext=[excerpt(row, SHORT_CHARS) for row in plot.layout.meta["rows"]])
    plot.update_xaxes(nticks=3)
    plot.update_annotations({"x": 1, "xanchor": "right", "xshift": plot.layout.margin.r}, selector={"x": 0, "xref": "paper"})
    return plot


def arranged(found: Sequence[Dot]) -> tuple[dict[tuple[str, str], float], list[float], list[str]]:
    """Where each row stands from above, and what is written at its left end; a heading takes a row of its own."""
    places: dict[tuple[str, str], float] = {}
    place, heading = -1.0, None
    for dot in found:
        if (dot.heading, dot.row) in places:
            continue
        place += 2.0 if dot.heading != heading and places and dot.heading else 1.0
        places[dot.heading, dot.row], heading = place, dot.heading
    sizes = {(dot.heading, dot.row): counted_of(dot) for dot in found}
    return (
        places,
        list(places.values()),
        [f"{excerpt(row, 28)}<br>n = {sizes[key, row]}" for key, row in places],
    )


def offset(dot: Dot, found: Sequence[Dot]) -> float:
    """Several dots of one row stand below each other."""
    whose = list(dict.fromkeys(other.who for other in found if (other.heading, other.row) == (dot.heading, dot.row)))
    return (whose.index(dot.who) - (len(whose) - 1) / 2) * 0.36


def headings(found: Sequence[Dot], places: dict[tuple[str, str], float]) -> list[tuple[str, float]]:
    first: dict[str, float] = {}
    for dot in found:
        if dot.heading:
            first.setdefault(dot.heading, places[dot.heading, dot.row] - 1)
    return list(first.items())


def counted_of(dot: Dot) -> str:
    return counted(dot.share["n"], dot.share["counted"])
