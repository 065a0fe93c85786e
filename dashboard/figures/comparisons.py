"""What a study's settings change beyond its seeds, and which reward model serves which group."""

import plotly.graph_objects as go
import polars as pl

from dashboard import queries
from dashboard.figures.dots import Dot, dots
from dashboard.figures.registry import SCORERS, figure
from dashboard.figures.shapes import bars, by, filled
from dashboard.figures.theme import COLOURS, caption, excerpt, run_style
from dashboard.state.messages import _, marked
from engine.statistics.wording import percent

GROUP = marked("group")
MOST_GROUPS = 6  # side by side on a narrow screen
MOST_ROWS = 12  # below each other
FIELDS = {"prompt_type": marked("type of prompt"), "source": marked("source of the pair")}


@figure(
    name="study_runs",
    title="Does a setting change more than the seed?",
    page="training",
    query=queries.study_runs,
    empty="Start a study with `./run.sh engine study` to see each run, and mean and spread of each configuration.",
)
def study_runs(frame: pl.DataFrame) -> go.Figure:
    plot = go.Figure()
    labels = [excerpt(c, 24) for c in frame["configuration"].unique(maintain_order=True)]
    place = {c: i for i, c in enumerate(frame["configuration"].unique(maintain_order=True))}
    spread = frame.drop_nulls("accuracy").group_by("configuration", maintain_order=True)
    means = spread.agg(pl.col("accuracy").mean(), std=pl.col("accuracy").std(), runs=pl.len())
    rows = frame.drop_nulls("accuracy")
    plot.add_scatter(
        x=means["accuracy"].to_list(),
        y=[place[c] for c in means["configuration"]],
        error_x={"type": "data", "array": means["std"].fill_null(0).to_list(), "thickness": 2, "width": 8, "color": COLOURS["trained"]},
        mode="markers",
        marker={"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": COLOURS["trained"]}},
        customdata=[
            (n, percent(mean), percent(std)) for n, mean, std in means.select("runs", "accuracy", pl.col("std").fill_null(0)).rows()
        ],
        hovertemplate=_("mean of %{customdata[0]} runs %{customdata[1]}, standard deviation %{customdata[2]}"),
        name=_("mean ± standard deviation"),
        showlegend=True,
    )
    plot.add_scatter(
        x=rows["accuracy"].to_list(),
        y=[place[c] for c in rows["configuration"]],
        mode="markers",
        marker={"size": 9, "color": COLOURS["chosen"], "opacity": 0.7},
        customdata=[(excerpt(run, 80), percent(share)) for run, share in rows.select("run", "accuracy").iter_rows()],
        hovertemplate="%{customdata[0]}: %{customdata[1]}",
        name=_("a run"),
        showlegend=True,
    )
    for row in unmeasured(frame).iter_rows(named=True):
        plot.add_annotation(
            text=excerpt(_(row["state"])),
            x=0,
            xref="x domain",
            xanchor="left",
            y=place[row["configuration"]],
            showarrow=False,
            font_size=11,
        )
    plot.update_xaxes(title_text=_("accuracy"), tickformat=".0%", nticks=6, range=None if len(rows) else [0, 1])
    plot.update_yaxes(tickvals=list(place.values()), ticktext=labels, range=[len(place) - 0.4, -0.6], showgrid=False)
    return caption(plot, *sizes(frame), _("spread: over seeds"))


def unmeasured(frame: pl.DataFrame) -> pl.DataFrame:
    """Configurations without any measured run: how the first ended or stands."""
    measured = frame.drop_nulls("accuracy")["configuration"].unique()
    return frame.filter(~pl.col("configuration").is_in(measured.implode())).unique("configuration", maintain_order=True)


def sizes(frame: pl.DataFrame) -> list[str]:
    measured = frame.drop_nulls("accuracy")
    if measured.is_empty():
        pairs = ""
    else:
        pairs = filled(_("{split}: n = {n:,.0f} pairs"), split=excerpt(measured["split"][0], 24), n=measured["n"].to_numpy().max())
    return [_("{n} of n = {all} runs measured").format(n=len(measured), all=frame["run_id"].n_unique()), pairs]


@figure(
    number="13",
    name="accuracy_of_groups",
    title="Which prompts does it rank right?",
    page="reward_model",
    query=queries.accuracy_of_groups,
    empty="Pairs that name a group (a type of prompt, a source) show here which of them it ranks right.",
    outcome=True,
    models=SCORERS,
)
def accuracy_of_groups(frame: pl.DataFrame) -> go.Figure:
    groups = frame["group"].unique(maintain_order=True).to_list()
    shown = frame.filter(pl.col("group").is_in(groups[:MOST_ROWS]))
    names = {who: excerpt(name, 24) for who, name in shown.select("who", "scorer").iter_rows()}
    found = [
        Dot(row["group"] or _("none"), row["who"], row["accuracy"], {row["field"]: row["group"] or None})
        for row in shown.iter_rows(named=True)
    ]
    plot = dots(found, names, _("accuracy by {field}").format(field=_(FIELDS.get(frame["field"][0], GROUP))))
    sized = frame.with_columns(n=pl.col("accuracy").struct.field("n"))
    return caption(
        plot, *group_sizes(sized, groups[:MOST_ROWS]), _("bars: {interval}").format(interval=by(*shown["accuracy"])), _("dashed: guessing")
    )


@figure(
    name="group_accuracy",
    title="Which reward model serves which group?",
    page="reward_model",
    query=queries.accuracy_by_group,
    empty="Train reward models on pairs that name a group (a type of prompt, a source) to compare them on each.",
    outcome=True,
)
def group_accuracy(frame: pl.DataFrame) -> go.Figure:
    plot = go.Figure()
    groups = frame["group"].unique(maintain_order=True).to_list()[:MOST_GROUPS]
    scorers = frame.select("scorer_id", "scorer", "model", "trained_on").unique("scorer_id", maintain_order=True)
    step = 0.7 / max(1, len(scorers))
    for number, (scorer_id, scorer, model, trained_on) in enumerate(scorers.iter_rows()):
        rows = frame.filter((pl.col("scorer_id") == scorer_id) & pl.col("group").is_in(groups))
        colour = COLOURS["untrained"] if model == "untrained" else run_style(number)["color"]
        plot.add_scatter(
            x=[groups.index(g) + (number - (len(scorers) - 1) / 2) * step for g in rows["group"]],
            y=rows["accuracy"].struct.field("value").to_list(),
            error_y={**bars(rows["accuracy"]), "width": 3},
            mode="markers",
            marker={"size": 9, "color": colour, "symbol": number % 8},
            customdata=[(excerpt(row["group"], 60), percent(row["accuracy"]["value"]), row["n"]) for row in rows.iter_rows(named=True)],
            hovertemplate=_("%{customdata[0]}: %{customdata[1]} of %{customdata[2]:,} pairs"),
            name=excerpt(scorer) + trained_how(model, trained_on),
            showlegend=True,
        )
    plot.add_hline(y=0.5, line={"color": COLOURS["untrained"], "dash": "dot", "width": 1})
    plot.update_xaxes(
        title_text=_(FIELDS.get(frame["field"][0], GROUP)), tickvals=list(range(len(groups))),
        ticktext=[excerpt(g or _("none"), 16) for g in groups], range=[-0.5, len(groups) - 0.5], showgrid=False,
    )  # fmt: skip
    plot.update_yaxes(title_text=_("accuracy"), tickformat=".0%", range=[-0.03, 1.03])
    return caption(plot, *group_sizes(frame, groups), _("bars: {interval}").format(interval=by(*frame["accuracy"])), _("dotted: guessing"))


def trained_how(model: str, group: str | None) -> str:
    """What a reward model that was not trained on all pairs alike was trained on."""
    if model == "group":
        return _(" (only {group})").format(group=excerpt(group, 20))
    return _(" (told the group)") if model == "conditional" else ""


def group_sizes(frame: pl.DataFrame, groups: list[str]) -> list[str]:
    """Pairs of the drawn groups, and how many groups are only in the table."""
    sized = frame.filter(pl.col("group").is_in(groups)).group_by("group").agg(pl.col("n").max())
    rest = frame["group"].n_unique() - len(groups)
    sizes = sized["n"].to_numpy()
    low, high = sizes.min(), sizes.max()
    span = filled(_("{low:,} to {high:,}"), low=low, high=high) if low < high else filled("{n}", n=high)
    more = _("{n} more groups in the table").format(n=rest) if rest else ""
    return [_("n = {n} pairs a group").format(n=span), more]
