"""Figures 3a and 3b: the responses of the dataset."""

import plotly.graph_objects as go
import polars as pl

from dashboard import queries
from dashboard.figures.registry import FADED, figure, stands_for
from dashboard.figures.shapes import filled, histogram
from dashboard.figures.theme import BETWEEN, COLOURS, called, caption, paragraph
from dashboard.state.messages import _, listed
from engine.statistics.wording import number

IMPORT = "Import preference pairs on the Data page to see them here."


def length_said(bins: pl.DataFrame, unit: str) -> str:
    """n, medians and means per series."""
    rows = bins.unique("series", maintain_order=True)
    sides = listed(f"{called(r['series'])} {number(r['median'], 0)} ({number(r['mean'], 0)})" for r in rows.iter_rows(named=True))
    n = filled(_("n = {n:,} each"), n=rows["n"].to_numpy().max())
    return n + BETWEEN + _("median (mean) {unit}: {sides}").format(unit=_(unit), sides=sides)


def longest_said(bins: pl.DataFrame) -> str:
    return _("last bin: all longer ones") if bins["last"].any() else ""


@figure(number="3a", name="lengths", title="Are chosen responses longer?", page="data", query=queries.response_lengths, empty=IMPORT)
def lengths(frame: pl.DataFrame) -> go.Figure:
    fields = {"chosen": "chosen_words", "rejected": "rejected_words"}
    return caption(histogram(frame, _("words per response"), fields=fields), length_said(frame, "words"), longest_said(frame))


@figure(
    number="3b",
    name="response_map",
    title="Do chosen and rejected lie apart?",
    page="data",
    query=queries.response_map,
    empty="Map the responses on the page Runs to see them here.",
)
def response_map(frame: pl.DataFrame) -> go.Figure:
    plot = go.Figure()
    shown = 0.9 if len(frame) < 1500 else 0.65
    whole = bool(frame["kept"].all())
    for side, symbol in (("chosen", "circle"), ("rejected", "x-thin")):
        rows = frame.filter(pl.col("series") == side)
        marker = {
            "color": COLOURS[side],
            "symbol": symbol,
            "size": 6 if len(frame) < 1500 else 4,
            "opacity": shown if whole else [shown * (1 if kept else FADED) for kept in rows["kept"]],
            "line": {"width": 1, "color": COLOURS[side]},
        }
        plot.add_scatter(
            x=rows["x"].to_numpy(), y=rows["y"].to_numpy(), mode="markers", marker=marker, name=called(side), showlegend=True,
            text=[paragraph(t) for t in rows["text"]], hovertemplate="%{text}",
        )  # fmt: skip
        stands_for(plot.data[-1], [{"pair_id": pair} for pair in rows["pair_id"]])
    plot.update_xaxes(title_text=_("first map axis (no unit)"), showticklabels=False, ticks="", showgrid=False)
    plot.update_yaxes(title_text=_("second map axis (no unit)"), showticklabels=False, ticks="", showgrid=False)
    method = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PCA"}.get(frame["method"][0], _("map"))
    n = (
        filled(_("n = {n:,} responses"), n=len(frame))
        if whole
        else filled(_("n = {n:,} of {all:,} responses, the others faint"), n=frame["kept"].sum(), all=len(frame))
    )
    return caption(plot, n, _("{method} of all-MiniLM-L6-v2 embeddings").format(method=method), _("near = alike"))
