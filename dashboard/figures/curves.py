"""Figures 1, 2, 6 and 7: how training went."""

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from dashboard import queries
from dashboard.figures.registry import figure
from dashboard.figures.shapes import curve
from dashboard.figures.theme import COLOURS, caption, excerpt, run_style
from engine.statistics.intervals import wilson

TRAIN_REWARD = "Train a reward model on the Runs page: its curves appear here from the first step on."
TRAIN_POLICY = "Fine-tune a policy on the Runs page: its curves appear here from the first step on."


def by_run(frame: pl.DataFrame) -> list[pl.DataFrame]:
    return frame.partition_by("run_id", maintain_order=True)


def panels(frame: pl.DataFrame, upper: tuple[str, str], lower: tuple[str, str], x: str, heights: tuple[float, float]) -> go.Figure:
    """Two metrics of every run, one above the other on one x axis. upper, lower: metric and axis title."""
    plot = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=list(heights), vertical_spacing=0.07)
    runs = by_run(frame)
    for rows in runs:
        name, line = excerpt(rows["run"][0]), run_style(rows["run_index"][0])
        for place, (metric, _) in enumerate((upper, lower), start=1):
            own = rows.filter(pl.col("metric") == metric)
            if len(own):
                curve(plot, own, x, line, name, row=place, showlegend=place == 1)
    plot.update_yaxes(title_text=upper[1], row=1, col=1)
    exponent = "e" if lower[0] == "learning_rate" else "none"
    plot.update_yaxes(title_text=lower[1], nticks=4, exponentformat=exponent, row=2, col=1)
    plot.update_xaxes(title_text={"step": "optimiser steps", "pairs_seen": "training pairs seen"}[x], row=2, col=1)
    return plot


def steps_said(frame: pl.DataFrame) -> str:
    """How many steps each run has taken, and that the thick line is smoothed."""
    each = [f"{rows['step'].to_numpy().max():,} × {rows['pairs_per_step'][0]} pairs{going(rows)}" for rows in by_run(frame)]
    runs = f"each {each[0]}" if len(each) > 1 and len(set(each)) == 1 else ", ".join(each)
    smoothed = "thick: mean over 5 % of the steps" if (frame["points"] > 50).any() else ""
    return f"{runs}\u00a0· {smoothed}" if smoothed else runs


def going(rows: pl.DataFrame) -> str:
    return "" if rows["state"][0] == "done" else f" ({excerpt(rows['state'][0])})"


@figure(
    number="1",
    name="reward_training",
    title="Does the reward model learn?",
    page="training",
    query=queries.reward_curves,
    empty=TRAIN_REWARD,
)
def reward_training(frame: pl.DataFrame) -> go.Figure:
    return caption(panels(frame, ("loss", "loss [nats]"), ("learning_rate", "learning rate"), "step", (0.68, 0.32)), steps_said(frame))


@figure(
    number="2",
    name="reward_training_compared",
    title="What does the batch size change?",
    page="training",
    query=queries.reward_curves_compared,
    empty=TRAIN_REWARD,
)
def reward_training_compared(frame: pl.DataFrame) -> go.Figure:
    alone = "Choose or train a second run to compare" if frame["run_id"].n_unique() == 1 else ""
    plot = panels(frame, ("loss", "loss [nats]"), ("learning_rate", "learning rate"), "pairs_seen", (0.68, 0.32))
    return caption(plot, steps_said(frame), alone)


@figure(
    number="6",
    name="dpo_training",
    title="Does DPO lower its loss, and its rewards?",
    page="training",
    query=queries.policy_curves,
    empty=TRAIN_POLICY,
)
def dpo_training(frame: pl.DataFrame) -> go.Figure:
    plot = panels(frame, ("loss", "loss [nats]"), ("rewards/sum", "reward [nats]"), "step", (0.5, 0.5))
    return caption(plot, "reward: β × log-ratio to the reference, chosen + rejected", steps_said(frame))


@figure(
    number="7",
    name="dpo_rewards",
    title="Does DPO raise chosen or sink rejected?",
    page="training",
    query=queries.policy_rewards,
    empty=TRAIN_POLICY,
)
def dpo_rewards(frame: pl.DataFrame) -> go.Figure:
    """With several runs colour is the side and dash the run, and the legend names each once."""
    plot = make_subplots(rows=1, cols=1)
    runs = by_run(frame)
    several = len(runs) > 1
    for rows in runs:
        for side in ("chosen", "rejected"):
            own = rows.filter(pl.col("metric") == f"rewards/{side}")
            if len(own):
                dash = run_style(rows["run_index"][0])["dash"] if several else {"chosen": "solid", "rejected": "dash"}[side]
                name = f"{side} · {excerpt(rows['run'][0], 20)}" if several else side
                curve(plot, own, "step", {"color": COLOURS[side], "dash": dash}, name, showlegend=not several)
    sides = [(side, {"color": COLOURS[side]}) for side in ("chosen", "rejected")]
    dashes = [(excerpt(rows["run"][0], 20), {**run_style(rows["run_index"][0]), "color": COLOURS["untrained"]}) for rows in runs]
    for name, line in (*sides, *dashes) if several else ():
        plot.add_scatter(x=[None], y=[None], mode="lines", line=line, name=name, legendgroup=name, showlegend=True)
    plot.update_xaxes(title_text="optimiser steps")
    plot.update_yaxes(title_text="reward: β × log-ratio to the reference [nats]", zeroline=True)
    return caption(plot, excerpt(runs[0]["run"][0]) if len(runs) == 1 else "", steps_said(frame))


@figure(
    name="validation_accuracy",
    title="Does accuracy grow on pairs not trained on?",
    page="training",
    query=queries.validation_accuracy,
    empty="No validation yet: a reward run measures at its start and end, and in between when Evaluate every is set.",
)
def validation_accuracy(frame: pl.DataFrame) -> go.Figure:
    plot = go.Figure()
    for rows in frame.partition_by("run_id", "split", maintain_order=True):
        shares = [wilson(a * n, int(n)) if n else None for a, n in rows.select("value", "n").iter_rows()]
        several = frame["split"].n_unique() > 1
        plot.add_scatter(
            x=rows["pairs_seen"].to_list(),
            y=rows["value"].to_list(),
            error_y={"type": "data", "symmetric": False, "thickness": 1, "width": 3}
            | {"array": [s.high - s.value if s else 0 for s in shares], "arrayminus": [s.value - s.low if s else 0 for s in shares]},
            mode="lines+markers",
            line=run_style(rows["run_index"][0]),
            name=excerpt(rows["run"][0]) + (f" · {excerpt(rows['split'][0], 20)}" if several else ""),
            showlegend=True,
            hovertemplate="%{x:,} pairs: %{y:.1%}",
        )
    plot.add_hline(y=0.5, line={"color": COLOURS["untrained"], "dash": "dot", "width": 1})
    plot.update_xaxes(title_text="training pairs seen", rangemode="tozero")
    plot.update_yaxes(title_text="accuracy", tickformat=".0%")
    sizes = sorted({f"{split}: n = {n:,.0f}" for split, n in frame.select("split", "n").iter_rows() if n})
    return caption(plot, *map(escaped_split, sizes), "bars: 95 % intervals", "dotted: guessing")


def escaped_split(sentence: str) -> str:
    return excerpt(sentence, 60)
