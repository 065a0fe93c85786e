"""Drawings that several figures share: histograms, boxes and curves from counted or thinned data."""

import math
from collections.abc import Mapping
from typing import Any, SupportsInt

import numpy as np
import plotly.graph_objects as go
import polars as pl

from dashboard.figures.registry import stands_for
from dashboard.figures.theme import BETWEEN, COLOURS, INK, PATTERNS, called, excerpt, fill
from dashboard.state.messages import _, estimated, listed, marked, plural, wording
from engine.statistics.estimate import Estimate
from engine.statistics.wording import number, percent


def filled(sentence: str, **values: SupportsInt | str) -> str:
    """A sentence with its whole numbers written as everywhere: 30 000."""
    return wording().fill(sentence, {name: value if isinstance(value, str) else int(value) for name, value in values.items()})


def written(cell: dict[str, Any]) -> str:
    """An estimate of a table's cell and its 95 % interval: 71.2 % [65.0, 77.0]."""
    return estimated(Estimate(**cell))


def by(*cells: dict[str, Any]) -> str:
    """How the intervals of a figure were made, each method once."""
    return _("95\u00a0%: {methods}").format(methods=listed(dict.fromkeys(_(cell["method"]) for cell in cells)))


def cut(row: dict[str, Any]) -> str:
    """How many answers the token limit cut; nothing of imported ones, of which nobody knows."""
    known = [f"{called(who)} {percent(row[f'{who}_cut']['value'])}" for who in ("base", "tuned") if row[f"{who}_cut"]["n"]]
    return _("answers cut by the token limit: {sides}").format(sides=listed(known)) if known else ""


def ties(count: int) -> str:
    return plural("{n} tie", "{n} ties", count).format(n=number(count, 0)) if count else _("no ties")


def bars(estimates: pl.Series) -> dict[str, Any]:
    """Error bars of a column of estimates; where there is none, or an end is not known, there is no bar."""
    ends = {end: estimates.struct.field(end) for end in ("value", "low", "high")}
    above, below = ends["high"] - ends["value"], ends["value"] - ends["low"]
    lengths = {
        name: [x if x is not None and math.isfinite(x) else 0 for x in side] for name, side in (("array", above), ("arrayminus", below))
    }
    return {"type": "data", "symmetric": False, "thickness": 1.5, **lengths}


def histogram(
    bins: pl.DataFrame,
    x_title: str,
    names: dict[str, str] | None = None,
    medians: bool = True,
    fields: dict[str, str] | None = None,
    counted: str = "",
) -> go.Figure:
    """Overlaid bars of the share of each series, with its median as a dashed line. bins: queries.histogram of one facet.

    counted: what a bar's height counts; without it bars are shares.
    fields: what the values of a series are, as a slice calls them, so that bars can be selected.
    """
    plot = go.Figure()
    alone = bins["series"].n_unique() == 1
    for (series,), rows in bins.group_by("series", maintain_order=True):
        who = str(series)
        plot.add_bar(
            x=((rows["low"] + rows["high"]) / 2).to_list(),
            y=rows["count" if counted else "share"].to_list(),
            width=((rows["high"] - rows["low"]) * (0.96 if alone else 1)).to_list(),
            customdata=[(*bin, percent(share)) for *bin, share in rows.select("low", "high", "count", "share").iter_rows()],
            hovertemplate=_("%{customdata[0]:.4~g} to %{customdata[1]:.4~g}: %{customdata[2]:,}")
            + f" {_(counted) or '(%{customdata[3]})'}",
            name=excerpt((names or {}).get(who, called(who))),
            marker={**fill(who), "opacity": 1, "line": {"width": 0}} if alone else fill(who),
            showlegend=not alone,
        )
        if field := (fields or {}).get(who):
            stands_for(plot.data[-1], [{field: [low, high]} for low, high in rows.select("low", "high").iter_rows()])
        if medians:
            across(plot, rows["median"][0], {"color": COLOURS[who], "width": 2, "dash": "dash" if who in PATTERNS else "solid"})
    plot.update_layout(barmode="overlay", bargap=0)
    plot.update_xaxes(title_text=x_title, showgrid=False)
    plot.update_yaxes(title_text=_(counted) or _("share"), tickformat=",d" if counted else ".0%", rangemode="tozero")
    return plot


def across(plot: go.Figure, x: float, line: dict[str, Any]) -> None:
    """A line across the whole height of a figure of one panel, as `add_vline` draws it in five times the time."""
    plot.add_shape(type="line", x0=x, x1=x, xref="x", y0=0, y1=1, yref="y domain", line=line)


def signed_histogram(bins: pl.DataFrame, field: str, above: str, below: str, sides: Mapping[str, int]) -> go.Figure:
    """Counts of a difference, below 0 in the colour of one side and above in that of the other, with the line of no difference.

    sides: how many there are on each side. The first bin from 0 on holds those without a difference too, which are on neither.
    """
    plot = go.Figure()
    for who, rows in ((below, bins.filter(pl.col("high") <= 0)), (above, bins.filter(pl.col("high") > 0))):
        plot.add_bar(
            x=((rows["low"] + rows["high"]) / 2).to_list(),
            y=rows["count"].to_list(),
            width=(rows["high"] - rows["low"]).to_list(),
            customdata=rows.select("low", "high", "count").rows(),
            hovertemplate=_("%{customdata[0]:.4~g} to %{customdata[1]:.4~g}: %{customdata[2]:,}"),
            name=_("{who} better").format(who=called(who)),
            marker=fill(who),
            showlegend=False,
        )
        stands_for(plot.data[-1], [{field: [low, high]} for low, high in rows.select("low", "high").iter_rows()])
        side = "right" if who == below else "left"
        plot.add_annotation(
            text=filled(_("{who} better: {n:,}"), who=called(who), n=sides[who]),
            x=0, y=1, yref="y domain", xanchor=side, yanchor="bottom",
            xshift=-6 if side == "right" else 6, showarrow=False,
        )  # fmt: skip
    across(plot, 0, {"color": INK, "width": 2})
    plot.update_layout(barmode="overlay", bargap=0, margin={"t": 30})
    plot.update_xaxes(showgrid=False)
    plot.update_yaxes(rangemode="tozero")
    return plot


def boxes(rows: pl.DataFrame, across: bool = False) -> list[go.Box | go.Scatter]:
    """A box for each row from its quartiles, and on it the median with its 95 % interval. across: they lie on their side."""
    return [trace for row in rows.iter_rows(named=True) for trace in (box(row, across), middle(row, across))]


def box(row: dict[str, Any], across: bool = False) -> go.Box:
    """One box from its quartiles; a notch that is wider than the box is left out."""
    q1, median, q3, notch, who = row["q1"], row["median"]["value"], row["q3"], row["notch"], row["series"]
    fits = median - notch > q1 and median + notch < q3
    names, values = ("y", "x") if across else ("x", "y")
    return go.Box(
        **{names: [called(who)], values: [row["outliers"]] if row["outliers"] else None},
        orientation="h" if across else "v",
        q1=[q1],
        median=[median],
        q3=[q3],
        lowerfence=[row["low"]],
        upperfence=[row["high"]],
        mean=[row["mean"]],
        notchspan=[notch] if fits else None,
        notched=fits,
        boxpoints="outliers" if row["outliers"] else False,
        marker={"color": COLOURS[who], "size": 4, "opacity": 0.6},
        line={"color": COLOURS[who], "width": 2},
        fillcolor=translucent(COLOURS[who], 0.12 if who in PATTERNS else 0.45),
        width=0.5,
        name=called(who),
        showlegend=False,
    )


def middle(row: dict[str, Any], across: bool = False) -> go.Scatter:
    """The median of a box with its 95 % interval as an error bar."""
    who, cell = row["series"], row["median"]
    ends = {**bars(pl.Series([cell])), "width": 9, "thickness": 2.5, "color": COLOURS[who]}
    marker = {"color": COLOURS[who], "size": 7, "symbol": "diamond"}
    hover = _("median {value}").format(value=written(cell)) + f"<br>{_(cell['method'])}"
    names, values = ("y", "x") if across else ("x", "y")
    return go.Scatter(
        **{names: [called(who)], values: [cell["value"]], f"error_{values}": ends}, mode="markers", marker=marker, name=called(who),
        showlegend=False, hovertemplate=hover,
    )  # fmt: skip


def medians(rows: pl.DataFrame) -> str:
    """What is drawn on boxes: medians with their intervals, and what a notch is for."""
    notched = any(trace.notched for trace in map(box, rows.iter_rows(named=True)))
    notch = BETWEEN + _("medians differ where notches do not overlap") if notched else ""
    return _("diamond: median, {interval}").format(interval=by(*rows["median"])) + notch


def translucent(colour: str, alpha: float) -> str:
    """A colour thinned until only a share of it is left; what lies below shows through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


METRICS = {  # of curves
    "loss": marked("loss"),
    "learning_rate": marked("learning rate"),
    "rewards/chosen": marked("chosen reward"),
    "rewards/rejected": marked("rejected reward"),
    "rewards/sum": marked("reward: chosen + rejected"),
}


def curve(plot: go.Figure, rows: pl.DataFrame, x: str, line: dict[str, str], name: str, row: int = 1, showlegend: bool = False) -> None:
    """A thin raw line, and a thicker smoothed one over it where it was smoothed; of several seeds a band and the mean line."""
    seeds = rows["seeds"][0] > 1
    many = bool((rows["smooth"] != rows["value"]).any()) and rows["metric"][0] != "learning_rate"  # a schedule has no noise to smooth
    if seeds:
        band(plot, rows, x, line["color"], name, row=row, col=1)
    elif many:
        plot.add_scatter(
            x=rows[x].to_numpy(), y=rows["value"].to_numpy(), mode="lines", line={"color": line["color"], "width": 1}, opacity=0.3,
            hoverinfo="skip", showlegend=False, legendgroup=name, row=row, col=1,
        )  # fmt: skip
    plot.add_scatter(
        x=rows[x].to_numpy(),  # numbers in one piece: Plotly checks lists one by one
        y=rows["smooth" if many else "value"].to_numpy(),
        mode="lines" if len(rows) > 1 else "markers",
        line={**line, "width": 2.5 if many or seeds else 1.5},
        name=name,
        legendgroup=name,
        showlegend=showlegend,
        hovertemplate=f"{_(METRICS[rows['metric'][0]])} %{{y:.4~g}}",
        row=row,
        col=1,
    )


def band(plot: go.Figure, rows: pl.DataFrame, x: str, colour: str, name: str, **place: int) -> None:
    """From the lowest to the highest of several seeds, without a line of its own."""
    ends = np.concatenate([rows[x], rows[x].reverse()])
    values = np.concatenate([rows["high"], rows["low"].reverse()])
    plot.add_scatter(
        x=ends, y=values, mode="lines", line={"width": 0}, fill="toself", fillcolor=translucent(colour, 0.22), hoverinfo="skip",
        showlegend=False, legendgroup=name, **place,
    )  # fmt: skip
