"""What length has to do with the rewards."""

import plotly.graph_objects as go
import polars as pl

from dashboard import queries
from dashboard.figures.registry import figure
from dashboard.figures.shapes import bars, by, translucent, written
from dashboard.figures.theme import COLOURS, caption, excerpt

SCORE = "Train a reward model, then start a score run on the Runs page, to see what length does to its rewards."


@figure(
    name="accuracy_by_length",
    title="Is it right when the chosen one is shorter?",
    page="length_bias",
    query=queries.accuracy_by_length,
    empty=SCORE,
)
def accuracy_by_length(frame: pl.DataFrame) -> go.Figure:
    labels = [span(row["from"], row["to"]) for row in frame.iter_rows(named=True)]
    plot = go.Figure()
    plot.add_scatter(
        x=frame["bin"].to_list(),
        y=frame["accuracy"].struct.field("value").to_list(),
        error_y=bars(frame["accuracy"]),
        mode="markers",
        marker={"color": COLOURS["trained"], "size": 10},
        customdata=[(a["n"], m["value"]) for a, m in frame.select("accuracy", "margin_mean").iter_rows()],
        hovertemplate="%{y:.1%} of %{customdata[0]:,} pairs, mean margin %{customdata[1]:.2f}",
        name="accuracy",
        showlegend=False,
    )
    plot.add_hline(y=0.5, line={"color": COLOURS["untrained"], "dash": "dot", "width": 1})
    plot.update_xaxes(title_text="chosen longer by [words]", tickvals=frame["bin"].to_list(), ticktext=labels, showgrid=False)
    plot.update_yaxes(title_text="accuracy", tickformat=".0%", range=[0, 1.02])
    pairs = f"n = {frame['accuracy'].struct.field('n').sum():,} pairs in equal groups"
    return caption(plot, excerpt(frame["scorer"][0], 40), pairs, f"bars: {by(*frame['accuracy'])}", "dotted: guessing")


def span(low: int, high: int) -> str:
    """A range of differences, over two lines so that six stand side by side on a telephone."""
    return f"{low:+,}<br>to {high:+,}".replace("-", "−").replace("+0", "0")


@figure(
    name="margin_by_length", title="Does the margin follow the length?", page="length_bias", query=queries.margin_by_length, empty=SCORE
)
def margin_by_length(frame: pl.DataFrame) -> go.Figure:
    first = frame.row(0, named=True)
    plot = go.Figure([heat(frame) if first["n"] > 1000 else bubbles(frame)])
    for add in (plot.add_vline, plot.add_hline):
        add(0, line={"color": COLOURS["untrained"], "width": 1, "dash": "dot"})
    plot.update_xaxes(title_text="chosen longer by [words]")
    plot.update_yaxes(title_text="margin: chosen − rejected reward")
    r = first["length_correlation"]
    parts = f"n = {first['n']:,} pairs", f"r = {written(r)}", by(r), "outermost 1 % not drawn"
    return caption(plot, excerpt(first["scorer"], 40), *parts)


HOVER = "pairs near %{x:.0f} words, margin %{y:.2f}"


def bubbles(cells: pl.DataFrame) -> go.Scatter:
    """A dot per cell, its area the number of pairs."""
    size = (cells["count"] / cells["count"].max() * 14**2).sqrt().clip(5).to_list()
    marker = {"size": size, "sizemode": "diameter", "color": COLOURS["trained"], "opacity": 0.6}
    points = {"x": cells["longer_by"].to_list(), "y": cells["margin"].to_list(), "customdata": cells["count"].to_list()}
    return go.Scatter(**points, mode="markers", marker=marker, name="", showlegend=False, hovertemplate="%{customdata:,} " + HOVER)


def heat(cells: pl.DataFrame) -> go.Heatmap:
    """A shaded cell for each, for more pairs than dots can show."""
    values = {"x": cells["longer_by"].to_list(), "y": cells["margin"].to_list(), "z": cells["count"].to_list()}
    scale = [[0, translucent(COLOURS["trained"], 0.08)], [1, COLOURS["trained"]]]
    bar = {"title": {"text": "pairs", "side": "right"}, "thickness": 10, "outlinewidth": 0}
    return go.Heatmap(**values, colorscale=scale, zmin=0, name="", colorbar=bar, hovertemplate="%{z:,} " + HOVER)
