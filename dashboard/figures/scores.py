"""Figures 4 and 5, and the margin: rewards of chosen and rejected under a scorer."""

import plotly.graph_objects as go
import polars as pl

from dashboard import queries
from dashboard.figures.registry import figure
from dashboard.figures.shapes import boxes, by, filled, histogram, medians, ties, written
from dashboard.figures.theme import COLOURS, INK, called, caption, excerpt
from dashboard.state.messages import _, listed
from engine.statistics.wording import number, percent

SCORE = "Train a reward model to see rewards here: it scores the pairs held out for validation."


def scores(frame: pl.DataFrame) -> go.Figure:
    first = frame.row(0, named=True)
    accuracy = _("accuracy {value}").format(value=written(first["accuracy"]))
    plot = histogram(frame, _("reward [the reward model's own unit]"), fields={"chosen": "chosen_reward", "rejected": "rejected_reward"})
    return caption(
        plot, excerpt(first["facet"], 40), filled(_("n = {n:,} pairs"), n=first["n"]), accuracy, by(first["accuracy"]), _("lines: medians")
    )


def score_boxes(frame: pl.DataFrame) -> go.Figure:
    plot = go.Figure(boxes(frame, across=True))
    plot.update_xaxes(title_text=_("reward [the reward model's own unit]"))
    plot.update_yaxes(categoryorder="array", categoryarray=[called("rejected"), called("chosen")], showgrid=False, ticks="", showline=False)
    middles = listed(f"{called(row['series'])} {written(row['median'])}" for row in frame.iter_rows(named=True))
    sizes = filled(_("n = {n:,} pairs"), n=frame["n"].to_numpy().max())
    middle = _("median: {sides}").format(sides=middles)
    return caption(plot, excerpt(frame["facet"][0], 40), sizes, middle, medians(frame), _("dashed: mean"))


@figure(
    number="4a",
    name="scores_base",
    title="Does the untrained model tell them apart?",
    page="reward_model",
    query=queries.base_scores,
    empty=SCORE,
    size="small",
    scorer="untrained",
    outcome=True,
    models=("base_scorer",),
)
def scores_base(frame: pl.DataFrame) -> go.Figure:
    return scores(frame)


@figure(
    number="4b",
    name="scores_trained",
    title="Does the trained model tell them apart?",
    page="reward_model",
    query=queries.trained_scores,
    empty=SCORE,
    size="small",
    outcome=True,
    models=("trained_scorer",),
    own_unit="rewards",
)
def scores_trained(frame: pl.DataFrame) -> go.Figure:
    return scores(frame)


@figure(
    number="5a",
    name="boxes_base",
    title="How spread are the untrained rewards?",
    page="reward_model",
    query=queries.base_boxes,
    empty=SCORE,
    size="strip",
    outcome=True,
    models=("base_scorer",),
)
def boxes_base(frame: pl.DataFrame) -> go.Figure:
    return score_boxes(frame)


@figure(
    number="5b",
    name="boxes_trained",
    title="How spread are the trained rewards?",
    page="reward_model",
    query=queries.trained_boxes,
    empty=SCORE,
    size="strip",
    outcome=True,
    models=("trained_scorer",),
    own_unit="rewards",
)
def boxes_trained(frame: pl.DataFrame) -> go.Figure:
    return score_boxes(frame)


@figure(
    number="12",
    name="margins",
    title="How clearly is the order right or wrong?",
    page="reward_model",
    query=queries.margin_histogram,
    empty=SCORE,
    size="large",
    outcome=True,
    models=("trained_scorer",),
    own_unit="differences",
)
def margins(frame: pl.DataFrame) -> go.Figure:
    first = frame.row(0, named=True)
    plot = histogram(frame, _("margin: chosen − rejected reward"), {"margin": "pairs"}, False, {"margin": "margin"}, counted="pairs")
    middle = {"size": 11, "symbol": "triangle-up", "color": COLOURS["trained"], "line": {"color": INK, "width": 1}}
    plot.add_scatter(
        x=[first["median"]], y=[0], mode="markers", marker=middle, cliponaxis=False, name="", showlegend=False,
        hovertemplate=_("median %{x:.2f}")
    )  # fmt: skip
    plot.add_vline(x=0, line={"color": INK, "width": 2})
    for side, said, end, shift in (("wrong", _("ranked wrong"), "right", -4), ("right", _("ranked right"), "left", 4)):
        plot.add_annotation(
            text=f"{said}<br>{number(first[side], 0)} · {percent(first[side] / first['n'])}", x=0, y=1, yref="y domain",
            yanchor="top", xanchor=end, xshift=shift, align=end,
        )  # fmt: skip
    plot.update_yaxes(range=[0, 1.32 * frame["count"].to_numpy().max()])  # room above the bars for what is written there
    width = _("bins of {width}").format(width=number(first["high"] - first["low"]))
    parts = filled(_("n = {n:,} pairs"), n=first["n"]), width, ties(first["tied"])
    middles = _("▲ median {value}").format(value=number(first["median"])), _("mean {value}").format(value=number(first["mean"]))
    return caption(plot, excerpt(first["facet"], 40), *parts, *middles)
