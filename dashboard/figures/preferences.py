"""Figures 14, 15 and 16: on how many prompts the tuned answer is preferred, on which, and whether length explains it."""

import plotly.graph_objects as go
import polars as pl

from dashboard import queries
from dashboard.figures.answers import JUDGE
from dashboard.figures.dots import Dot, dots
from dashboard.figures.registry import JUDGED, POLICIES, SCORERS, figure
from dashboard.figures.shapes import bars, by, filled
from dashboard.figures.theme import INK, ON_MARKS, caption, excerpt, fill
from dashboard.state.messages import _, counted, estimated, marked
from engine.statistics.estimate import Estimate
from engine.statistics.wording import percent

GUESSING = marked("dashed: no preference")


@figure(
    number="14",
    name="win_tie_loss",
    title="On how many prompts is tuned preferred?",
    page="dpo_vs_base",
    query=queries.win_tie_loss,
    empty=JUDGE,
    size="large",
    outcome=True,
    models=(*POLICIES, *SCORERS),
)
def win_tie_loss(frame: pl.DataFrame) -> go.Figure:
    plot = go.Figure()
    labels = [excerpt(name, 28) for name in frame["scorer"].to_list()]
    parts = {"won": ("tuned", _("tuned wins")), "tied": ("untrained", _("tie")), "lost": ("base", _("base wins"))}
    whole = frame["won"] + frame["tied"] + frame["lost"]
    for part, (who, name) in parts.items():
        if not frame[part].sum():
            continue
        shares = frame[part] / whole
        plot.add_bar(
            x=shares.to_list(), y=labels, orientation="h", name=name, marker=fill(who), width=0.42, showlegend=True,
            customdata=list(zip(frame[part], map(percent, shares), strict=True)),
            hovertemplate="%{fullData.name}: %{customdata[0]:,} (%{customdata[1]})",
        )  # fmt: skip
        starts = {"won": pl.zeros(len(frame), eager=True), "tied": frame["won"], "lost": frame["won"] + frame["tied"]}[part]
        for place, (start, n) in enumerate(zip(starts, frame[part], strict=True)):
            if n:
                plot.add_annotation(
                    text=filled("{n}", n=n), x=(start + n / 2) / whole[place], y=labels[place], visible=True, templateitemname=ON_MARKS
                )
    rates = frame["win_rate"].struct.field("value").to_list()
    plot.add_scatter(
        x=rates, y=[place + 0.36 for place in range(len(frame))], error_x={**bars(frame["win_rate"]), "width": 5}, mode="markers",
        marker={"symbol": "diamond", "size": 9, "color": INK}, showlegend=False, yaxis="y2",
        customdata=[estimated(Estimate(**cell)) for cell in frame["win_rate"]], hovertemplate=_("win rate %{customdata}"),
    )  # fmt: skip
    for place, cell in enumerate(frame["win_rate"]):
        said = estimated(Estimate(**cell))
        plot.add_annotation(text=said, x=1, xref="paper", xanchor="right", y=place - 0.36, yref="y2", yanchor="middle", showarrow=False)
    ends = [len(frame) - 0.45, -0.55]
    plot.update_layout(barmode="stack", yaxis2={"overlaying": "y", "range": ends, "visible": False, "fixedrange": True})
    half = {"type": "line", "x0": 0.5, "x1": 0.5, "yref": "y2", "line": {"color": INK, "dash": "dash", "width": 1.5}}
    for place in range(len(frame)):  # over bar and diamond, and not through what is written between them
        plot.add_shape(half, y0=place - 0.25, y1=place + 0.5)
    plot.update_xaxes(title_text=_("prompts"), tickformat=".0%", range=[0, 1.005], showgrid=False)
    plot.update_yaxes(range=ends, showgrid=False, ticks="", ticklabelstandoff=6, showline=False, selector={"overlaying": None})
    plot.update_layout(height=70 + 74 * len(frame), margin={"r": 28}, legend_traceorder="normal")
    n = int(frame["win_rate"].struct.field("n").to_numpy().max())
    return caption(plot, filled(_("n = {n:,} prompts"), n=n), _("diamond: win rate, ties half"), by(*frame["win_rate"]), _(GUESSING))


@figure(
    number="15", name="win_rate_by_group", title="Which prompts gain?", page="dpo_vs_base", query=queries.win_rate_by_group,
    empty="Prompts with a type, answered by both and scored, show here which of them gain.",
    outcome=True,
    models=JUDGED,
)  # fmt: skip
def win_rate_by_group(frame: pl.DataFrame) -> go.Figure:
    field = frame["field"][0]
    found = [Dot(row["group"] or _("none"), "tuned", row["win_rate"], {field: row["group"] or None}) for row in frame.iter_rows(named=True)]
    return caption(dots(found, {}, _("win rate")), sizes(frame), _("by the reward model"), by(*frame["win_rate"]), _(GUESSING))


def sizes(frame: pl.DataFrame) -> str:
    return filled(_("n = {n:,} prompts"), n=frame["win_rate"].struct.field("n").sum())


LENGTHS = {"shorter": marked("shorter"), "like": marked("as long, ± 10 %"), "longer": marked("longer")}


@figure(
    number="16", name="win_rate_by_length", title="Does it win where it is shorter?", page="dpo_vs_base",
    query=queries.win_rate_by_length, empty=JUDGE,
    outcome=True,
    models=JUDGED,
)  # fmt: skip
def win_rate_by_length(frame: pl.DataFrame) -> go.Figure:
    found = [Dot(_(LENGTHS[row["length"]]), "tuned", row["win_rate"]) for row in frame.iter_rows(named=True)]
    cut = frame["cut"][0]
    both = _("on {prompts} the limit cut both answers, which counts as about as long").format(prompts=counted(cut, "prompts"))
    return caption(
        dots(found, {}, _("win rate")),
        sizes(frame),
        _("beside the base answer"),
        _("by the reward model"),
        by(*frame["win_rate"]),
        both if cut else "",
        _(GUESSING),
    )
