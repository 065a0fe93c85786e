"""Figures 4 and 5, and the margin: rewards of chosen and rejected under a scorer."""

import plotly.graph_objects as go
import polars as pl

from dashboard import queries
from dashboard.figures.registry import figure
from dashboard.figures.shapes import boxes, by, histogram, medians, written
from dashboard.figures.theme import COLOURS, caption, excerpt

SCORE = "Train a reward model, then start a score run on the Runs page, to see rewards here."


def scores(frame: pl.DataFrame) -> go.Figure:
    first = frame.row(0, named=True)
    accuracy = f"accuracy {written(first['accuracy'])}"
    plot = histogram(frame, "reward [the scorer's own unit]", fields={"chosen": "chosen_reward", "rejected": "rejected_reward"})
    return caption(plot, excerpt(first["facet"], 40), f"n = {first['n']:,} pairs", accuracy, by(first["accuracy"]), "lines: medians")


def score_boxes(frame: pl.DataFrame) -> go.Figure:
    plot = go.Figure(boxes(frame))
    plot.update_yaxes(title_text="reward [the scorer's own unit]")
    middles = ", ".join(f"{row['series']} {written(row['median'])}" for row in frame.iter_rows(named=True))
    sizes = f"n = {frame['n'].to_numpy().max():,} pairs"
    return caption(plot, excerpt(frame["facet"][0], 40), sizes, f"median: {middles}", medians(frame), "dashed: mean")


@figure(
    number="4a",
    name="scores_base",
    title="Does the untrained model tell them apart?",
    page="reward_model",
    query=queries.base_scores,
    empty=SCORE,
    scorer="untrained",
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
)
def boxes_trained(frame: pl.DataFrame) -> go.Figure:
    return score_boxes(frame)


@figure(
    name="margins",
    title="How clearly is the order right or wrong?",
    page="reward_model",
    query=queries.margin_histogram,
    empty=SCORE,
    size="large",
)
def margins(frame: pl.DataFrame) -> go.Figure:
    first = frame.row(0, named=True)
    plot = histogram(frame, "margin: chosen − rejected reward", {"margin": "pairs"}, fields={"margin": "margin"})
    plot.add_vline(x=0, line={"color": COLOURS["rejected"], "width": 2, "dash": "dot"})
    right = f"right of 0 (ties half): {written(first['accuracy'])}"
    return caption(plot, excerpt(first["facet"], 40), f"n = {first['n']:,} pairs", right, by(first["accuracy"]), "solid line: median")
