"""Figures 1, 2, 6 and 7: how training went."""

from dataclasses import dataclass

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from dashboard import queries
from dashboard.figures.registry import figure
from dashboard.figures.shapes import band, bars, by, curve, filled
from dashboard.figures.theme import BETWEEN, COLOURS, broken, called, caption, excerpt, run_style
from dashboard.state.messages import _, listed, marked
from engine.statistics.wording import number, percent

TRAIN_REWARD = "Train a reward model: its curves appear here from the first step on."
TRAIN_POLICY = "Fine-tune a policy: its curves appear here from the first step on."

AXIS_CHARS = 28  # of an axis title's line, beside a panel of PANEL_HEIGHT
FEW = 2  # measurements, at a run's start and end, that no line joins
PANEL_HEIGHT = 200  # pixels of one of several panels


def by_run(frame: pl.DataFrame) -> list[pl.DataFrame]:
    return frame.partition_by("run_id", maintain_order=True)


@dataclass(frozen=True)
class Panel:
    """One metric of one or several runs on an axis of its own."""

    rows: pl.DataFrame
    axis: str
    height: float = 1.0  # beside the other panels'


AXES = {  # how a run's progress is measured: (column, title of the axis)
    "step": ("step", marked("optimiser steps")),
    "pairs": ("pairs_seen", marked("training pairs seen")),
    "tokens": ("tokens", marked("tokens trained on")),
    "time": ("seconds", marked("seconds of training")),
}


def axis_of(frame: pl.DataFrame, own: str) -> tuple[str, str]:
    """The column and the title of the x axis that was selected, or else of the figure's own."""
    picked = frame["x_axis"][0] if "x_axis" in frame.columns and frame.height else ""
    column, title = AXES[picked or own]
    return column, _(title)


def read_together(plot: go.Figure, panels: int = 1) -> go.Figure:
    """One line over all panels, which must be on one x axis for that, shows the values of all curves at one place."""
    if panels > 1:
        plot.update_traces(xaxis=f"x{panels}")
    plot.update_layout(hovermode="x unified", hoversubplots="axis")
    return plot.update_xaxes(showspikes=True, spikemode="across", spikethickness=1, spikedash="dot")


def stacked(panels: list[Panel], own_axis: str) -> go.Figure:
    """Panels one above the other on one x axis; the legend names each run once."""
    x, title = axis_of(panels[0].rows, own_axis)
    heights = [panel.height for panel in panels]
    plot = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, row_heights=heights, vertical_spacing=0.14 / len(panels))
    named: set[str] = set()
    for place, panel in enumerate(panels, start=1):
        for rows in by_run(panel.rows):
            run = rows["run_id"][0]
            curve(plot, rows, x, run_style(rows["run_index"][0]), excerpt(rows["run"][0]), row=place, showlegend=run not in named)
            named.add(run)
        plot.update_yaxes(title_text="<br>".join(broken(panel.axis, AXIS_CHARS)), nticks=4 if place > 1 else None, row=place, col=1)
    plot.update_xaxes(title_text=title, row=len(panels), col=1)
    return read_together(with_room(plot, len(panels)), len(panels))


def with_room(plot: go.Figure, panels: int) -> go.Figure:
    """Higher than other figures where more than two panels stand one above the other."""
    return plot.update_layout(height=PANEL_HEIGHT * panels + 120) if panels > 2 else plot


def of_metric(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    return frame.filter(pl.col("metric") == metric)


def loss_and_rate(frame: pl.DataFrame, own_axis: str) -> go.Figure:
    rate = Panel(of_metric(frame, "learning_rate"), _("learning rate"), 0.32)
    plot = stacked([Panel(of_metric(frame, "loss"), in_unit(_("loss"), _("nats")), 0.68), rate], own_axis)
    return plot.update_yaxes(exponentformat="e", row=2, col=1)


def in_unit(label: str, unit: str) -> str:
    return f"{label} [{unit}]" if unit else label


def by_reward(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """The rows of each thing that the runs' losses call a reward, and its axis: values of one are never drawn on the axis of another."""
    parts = frame.partition_by("reward", "reward_unit", maintain_order=True)
    return [(in_unit(_(rows["reward"][0]), _(rows["reward_unit"][0])), rows) for rows in parts]


def steps_taken(frame: pl.DataFrame) -> str:
    """How many steps each run has taken, and that the thick line is smoothed."""
    each = [
        filled(_("{steps:,} steps × {n} pairs"), steps=rows["step"].to_numpy().max(), n=rows["pairs_per_step"][0]) + going(rows)
        for rows in by_run(frame)
    ]
    runs = _("each {steps}").format(steps=each[0]) if len(each) > 1 and len(set(each)) == 1 else listed(each)
    share = frame["smoothing"][0] if "smoothing" in frame.columns else 0.05
    thick = _("thick: mean over {share:.0f} % of the steps").format(share=100 * share)
    smoothed = thick if (frame["smooth"] != frame["value"]).any() else ""
    return BETWEEN.join(part for part in (runs, smoothed, banded(frame)) if part)


def banded(frame: pl.DataFrame) -> str:
    """What a band is, where there is one."""
    several = sorted({seeds for seeds in frame["seeds"] if seeds > 1})
    seeds = _(" or ").join(map(str, several))
    return _("band: lowest to highest of {seeds} seeds, line: their mean").format(seeds=seeds) if several else ""


def going(rows: pl.DataFrame) -> str:
    return "" if rows["state"][0] == "done" else f" ({_(rows['state'][0])})"


@figure(
    number="1",
    name="reward_training",
    title="Does the reward model learn?",
    page="training",
    query=queries.reward_curves,
    empty=TRAIN_REWARD,
)
def reward_training(frame: pl.DataFrame) -> go.Figure:
    return caption(loss_and_rate(frame, "step"), steps_taken(frame))


@figure(
    number="2",
    name="reward_training_compared",
    title="What does the batch size change?",
    page="training",
    query=queries.reward_curves_compared,
    empty="Choose or train a second reward model: of one alone this would be its learning curve again.",
)
def reward_training_compared(frame: pl.DataFrame) -> go.Figure:
    return caption(loss_and_rate(frame, "pairs"), steps_taken(frame))


@figure(
    number="6",
    name="dpo_training",
    title="Does DPO lower its loss, and its rewards?",
    page="training",
    query=queries.policy_curves,
    empty=TRAIN_POLICY,
)
def dpo_training(frame: pl.DataFrame) -> go.Figure:
    """One panel for each unit of the losses, and one for each thing they call a reward."""
    by_unit = of_metric(frame, "loss").partition_by("loss_unit", maintain_order=True)
    losses = [Panel(rows, in_unit(_("loss"), _(rows["loss_unit"][0]))) for rows in by_unit]
    rewards = [Panel(rows, axis) for axis, rows in by_reward(of_metric(frame, "rewards/sum"))]
    return caption(stacked([*losses, *rewards], "step"), _("reward: chosen + rejected"), steps_taken(frame))


@figure(
    number="7",
    name="dpo_rewards",
    title="Does DPO raise chosen or sink rejected?",
    page="training",
    query=queries.policy_rewards,
    empty=TRAIN_POLICY,
)
def dpo_rewards(frame: pl.DataFrame) -> go.Figure:
    """With several runs colour is the side and dash the run, and the legend names each once. One panel for each kind of reward."""
    panels, several, (x, title) = by_reward(frame), frame["run_id"].n_unique() > 1, axis_of(frame, "step")
    plot = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, vertical_spacing=0.14 / len(panels))
    for place, (axis, rows) in enumerate(panels, start=1):
        for own in rows.partition_by("run_id", "metric", maintain_order=True):
            side = own["metric"][0].removeprefix("rewards/")
            dash = run_style(own["run_index"][0])["dash"] if several else {"chosen": "solid", "rejected": "dash"}[side]
            name = f"{called(side)} · {excerpt(own['run'][0], 20)}" if several else called(side)
            curve(plot, own, x, {"color": COLOURS[side], "dash": dash}, name, row=place, showlegend=not several)
        plot.update_yaxes(title_text="<br>".join(broken(axis, AXIS_CHARS)), zeroline=True, row=place, col=1)
    if several:
        name_sides_and_runs(plot, by_run(frame))
    read_together(plot, len(panels)).update_xaxes(title_text=title, row=len(panels), col=1)
    return caption(with_room(plot, len(panels)), "" if several else excerpt(frame["run"][0]), steps_taken(frame))


def name_sides_and_runs(plot: go.Figure, runs: list[pl.DataFrame]) -> None:
    """Legend entries without a curve: the colour of each side, the dash of each run."""
    sides = [(called(side), {"color": COLOURS[side]}) for side in ("chosen", "rejected")]
    dashes = [(excerpt(rows["run"][0], 20), {**run_style(rows["run_index"][0]), "color": COLOURS["untrained"]}) for rows in runs]
    for name, line in (*sides, *dashes):
        plot.add_scatter(x=[None], y=[None], mode="lines", line=line, name=name, legendgroup=name, showlegend=True)


@figure(
    name="validation_accuracy",
    title="Does accuracy grow on pairs not trained on?",
    page="training",
    query=queries.validation_accuracy,
    empty="No validation yet: a run measures at its start and end, and in between when Evaluate every is set.",
)
def validation_accuracy(frame: pl.DataFrame) -> go.Figure:
    """Filled dots are reward models, open diamonds policies, whose accuracy is that of their implicit reward.

    Points of a run that measured FEW times are not joined: a line between them would show growth that nobody measured.
    """
    plot, (x, title) = go.Figure(), axis_of(frame, "pairs")
    several = frame["split"].n_unique() > 1
    for rows in frame.partition_by("run_id", "split", maintain_order=True):
        style, name = run_style(rows["run_index"][0]), excerpt(rows["run"][0]) + (f" · {excerpt(rows['split'][0], 20)}" if several else "")
        if rows["seeds"][0] > 1:
            band(plot, rows, x, style["color"], name)
        plot.add_scatter(
            x=rows[x].to_list(),
            y=rows["value"].to_list(),
            error_y={**bars(rows["accuracy"]), "thickness": 1, "width": 3},
            mode="lines+markers" if len(rows) > FEW else "markers",
            line=style,
            marker={"color": style["color"], "symbol": "circle" if rows["metric"][0] == "accuracy" else "diamond-open", "size": 8},
            name=name,
            legendgroup=name,
            showlegend=True,
            customdata=[percent(share) for share in rows["value"]],
            hovertemplate="%{customdata}",
        )
    plot.add_hline(y=0.5, line={"color": COLOURS["untrained"], "dash": "dot", "width": 1})
    plot.update_xaxes(title_text=title, rangemode="tozero")
    plot.update_yaxes(title_text=_("accuracy"), tickformat=".0%")
    read_together(plot)
    kinds = _("◇ policies: accuracy of the implicit reward") if (frame["metric"] != "accuracy").any() else ""
    return caption(plot, *sizes(frame), measured_at(frame), intervals(frame["accuracy"]), banded(frame), kinds, _("dotted: guessing"))


def sizes(frame: pl.DataFrame) -> list[str]:
    """On how many pairs of each split each run measured."""
    splits = frame.partition_by("split", maintain_order=True)
    counted = [(rows.drop_nulls("n"), rows["run_id"].n_unique()) for rows in splits]
    return [f"{excerpt(rows['split'][0], 20)}: {by_whom(rows, 'n', 'n = {numbers}', runs)}" for rows, runs in counted if len(rows)]


def measured_at(frame: pl.DataFrame) -> str:
    """At which steps the runs measured whose points are too few for a line."""
    few = frame.filter(pl.len().over("run_id", "split") <= FEW)
    return "" if few.is_empty() else by_whom(few, "step", _("measured at steps {numbers} only"), frame["run_id"].n_unique())


def by_whom(frame: pl.DataFrame, column: str, sentence: str, shown: int) -> str:
    """A column's numbers in a sentence, and where they are not those of all runs that are shown, which runs they are of."""
    runs: dict[str, list[str]] = {}
    for rows in by_run(frame):
        numbers = listed(number(value, 0) for value in rows[column].unique().sort())
        runs.setdefault(numbers, []).append(excerpt(rows["run"][0], 20))
    of_all = [len(names) for names in runs.values()] == [shown]
    return listed(f"{sentence.format(numbers=numbers)}{'' if of_all else f' ({listed(names)})'}" for numbers, names in runs.items())


def intervals(estimates: pl.Series) -> str:
    return by(*known) if len(known := estimates.drop_nulls()) else ""
