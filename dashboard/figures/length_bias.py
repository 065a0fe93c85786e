"""Figures 18 to 20: what length has to do with who is right, with margins, and with what tuned answers gain."""

import plotly.graph_objects as go
import polars as pl

from dashboard import queries
from dashboard.figures.answers import JUDGE
from dashboard.figures.dots import SYMBOLS
from dashboard.figures.registry import JUDGED, SCORERS, figure, stands_for
from dashboard.figures.shapes import bars, by, filled, translucent, written
from dashboard.figures.theme import COLOURS, INK, caption, excerpt, whose
from dashboard.state.messages import _
from engine.statistics.wording import number, percent

SCORE = "Train a reward model to see what length does to its rewards."
APART = 0.22  # between dots of one group


@figure(
    number="18",
    name="accuracy_by_length",
    title="Is it right when the chosen one is shorter?",
    page="length_bias",
    query=queries.accuracy_by_length,
    empty=SCORE,
    size="large",
    outcome=True,
    models=SCORERS,
)
def accuracy_by_length(frame: pl.DataFrame) -> go.Figure:
    plot = go.Figure()
    bins = frame.unique("bin", maintain_order=True).sort("bin")
    plot.add_scatter(
        x=bins["bin"].to_list(), y=bins["rule"].to_list(), mode="markers", name=_("the longer one"), showlegend=True,
        marker={"symbol": "line-ew", "size": 10, "line": {"width": 3, "color": INK}},
        error_x={"type": "constant", "value": 0.3, "thickness": 3, "width": 0, "color": INK},
        customdata=[percent(share, 0) for share in bins["rule"]], hovertemplate=_("taking the longer one: %{customdata}"),
    )  # fmt: skip
    for who, place in (("trained", -APART / 2), ("untrained", APART / 2)):
        rows = frame.filter(pl.col("who") == who)
        if rows.is_empty():
            continue
        colour = COLOURS[who]
        plot.add_scatter(
            x=(rows["bin"] + place).to_list(),
            y=rows["accuracy"].struct.field("value").to_list(),
            error_y={**bars(rows["accuracy"]), "width": 4, "color": colour},
            mode="markers",
            marker={"color": colour, "size": 10, "symbol": SYMBOLS[who], "line": {"width": 2, "color": colour}},
            customdata=[(written(cell), number(cell["n"], 0)) for cell in rows["accuracy"]],
            hovertemplate=_("%{customdata[0]}, n = %{customdata[1]} pairs"),
            name=excerpt(whose(who, rows["scorer"][0])),
            showlegend=True,
        )
        stands_for(plot.data[-1], [{"longer_by": [low, high]} for low, high in rows.select("low", "high").iter_rows()])
    plot.add_hline(y=0.5, line={"color": INK, "dash": "dash", "width": 1.5})
    plot.update_xaxes(
        title_text=_("chosen longer by [words]"), tickvals=bins["bin"].to_list(), showgrid=False, range=[-0.6, len(bins) - 0.4],
        ticktext=[span(low, high - 1) for low, high in bins.select("low", "high").iter_rows()],
    )  # fmt: skip
    plot.update_yaxes(title_text=_("accuracy"), tickformat=".0%", range=[-0.04, 1.04])
    pairs = frame.filter(pl.col("who") == "trained")["accuracy"].struct.field("n").sum()
    return caption(
        plot, filled(_("n = {n:,} pairs"), n=pairs), _("bars: {interval}").format(interval=by(*frame["accuracy"])), _("dashed: guessing")
    )


def span(low: int, high: int) -> str:
    """A range of differences, over two lines so that six stand side by side on a telephone."""
    ends = [number(end, 0, signed=True) for end in (low, high)]
    return ends[0] if low == high else _("{low}<br>to {high}").format(low=ends[0], high=ends[1])


@figure(
    number="19",
    name="margin_by_length",
    title="Does the margin follow the length?",
    page="length_bias",
    query=queries.margin_by_length,
    empty=SCORE,
    outcome=True,
    models=("trained_scorer",),
    own_unit="differences",
)
def margin_by_length(frame: pl.DataFrame) -> go.Figure:
    plot = bubbles(frame, "trained", "pairs", {"x": "longer_by", "y": "margin"})
    plot.update_xaxes(title_text=_("chosen longer by [words]"))
    plot.update_yaxes(title_text=_("margin: chosen − rejected reward"))
    return plot


@figure(
    number="20",
    name="gain_by_length",
    title="Do longer answers gain more reward?",
    page="length_bias",
    query=queries.gain_by_length,
    empty=JUDGE,
    outcome=True,
    models=JUDGED,
    own_unit="differences",
)
def gain_by_length(frame: pl.DataFrame) -> go.Figure:
    plot = bubbles(frame, "tuned", "prompts", {"x": "tuned_longer_by", "y": "difference"})
    plot.update_xaxes(title_text=_("tuned longer by [{unit}]").format(unit=_(frame["unit"][0])))
    plot.update_yaxes(title_text=_("reward: tuned − base"))
    return plot


def bubbles(frame: pl.DataFrame, who: str, counted: str, fields: dict[str, str]) -> go.Figure:
    """A dot for each cell, its area the rows in it, and over them the line of least squares in the band of its interval."""
    first, cells, line = frame.row(0, named=True), frame.filter(pl.col("part") == "cell"), frame.filter(pl.col("part") == "line")
    plot = go.Figure()
    unit, widest = _(first["unit"]), 14 if first["n"] <= 1000 else 18
    size = (cells["count"] / cells["count"].max() * widest**2).sqrt().clip(5).to_list()
    plot.add_scatter(
        x=cells["x"].to_list(), y=cells["y"].to_list(), customdata=cells["count"].to_list(), mode="markers", name="", showlegend=False,
        marker={"size": size, "sizemode": "diameter", "color": COLOURS[who], "opacity": 0.75, "line": {"width": 0}},
        hovertemplate=_("%{customdata:,} {things} near %{x:.0f} {unit}, %{y:.2f}").replace("{things}", _(counted)).replace("{unit}", unit),
    )  # fmt: skip
    halves = cells.select("x", "y", pl.col("x_step") / 2, pl.col("y_step") / 2).iter_rows()
    stands_for(plot.data[0], [{fields["x"]: [x - dx, x + dx], fields["y"]: [y - dy, y + dy]} for x, y, dx, dy in halves])
    if line["low"].null_count() < len(line):
        x = line["x"].to_list()
        plot.add_scatter(
            x=[*x, *reversed(x)], y=[*line["low"].to_list(), *reversed(line["high"].to_list())], mode="lines", line={"width": 0},
            fill="toself", fillcolor=translucent(INK, 0.22), hoverinfo="skip", showlegend=False, name="",
        )  # fmt: skip
    plot.add_scatter(
        x=line["x"].to_list(), y=line["y"].to_list(), mode="lines", line={"width": 2, "color": INK}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    for add in (plot.add_vline, plot.add_hline):
        add(0, line={"color": INK, "width": 1.5, "dash": "dash"})
    per = _("line: {slope} per 100 {unit}").format(slope=written(first["slope"]), unit=unit)
    n, r = filled(_("n = {n:,} {things}"), n=first["n"], things=_(counted)), f"r = {written(first['correlation'])}"
    cut = "" if first["n"] <= 1000 else _("outermost 1 % not drawn")
    return caption(plot, excerpt(first["scorer"], 40), n, per, r, by(first["slope"], first["correlation"]), cut)
