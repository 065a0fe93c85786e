"""Figures 8, 9 and 10: the base and the tuned generator."""

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from dashboard import queries
from dashboard.figures.registry import JUDGED, POLICIES, SCORERS, figure
from dashboard.figures.responses import length_said, longest_said
from dashboard.figures.shapes import boxes, by, cut, filled, histogram, medians, signed_histogram, ties, written
from dashboard.figures.theme import COLOURS, called, caption, excerpt, whose
from dashboard.state.messages import _

GENERATE = "Start generate runs for the base model and for a tuned policy on the Runs page to compare their answers."
JUDGE = "Generate answers with base and tuned policy, then score them on the Runs page, to see who is preferred."


@figure(
    number="8a",
    name="answer_lengths",
    title="Does tuning change the length of answers?",
    page="dpo_vs_base",
    query=queries.answer_lengths,
    empty=GENERATE,
    models=POLICIES,
)
def answer_lengths(frame: pl.DataFrame) -> go.Figure:
    unit = frame["facet"][0]
    names = {who: whose(who, name) for who, name in frame.select("series", "generator").iter_rows()}
    plot = histogram(frame, "", names)
    limits = frame.filter(pl.col("facet") == "tokens")["limit_tokens"].drop_nulls().unique(maintain_order=True).to_list()
    for tokens in limits:
        plot.add_vline(x=tokens, line={"color": COLOURS["untrained"], "width": 1, "dash": "dot"})
    most = _(", at most {tokens}").format(tokens=_(" and ").join(filled("{n}", n=tokens) for tokens in limits)) if limits else ""
    plot.update_xaxes(title_text=_("new tokens per answer") + most if unit == "tokens" else _("words per answer"))
    least = _("a cut answer counts as long as the limit") if limits else ""
    return caption(plot, length_said(frame, unit), longest_said(frame), cut(frame.row(0, named=True)), least)


@figure(
    number="8b",
    name="reward_differences",
    title="How much reward does tuning add?",
    page="dpo_vs_base",
    query=queries.reward_differences,
    empty=JUDGE,
    outcome=True,
    models=JUDGED,
    own_unit="differences",
)
def reward_differences(frame: pl.DataFrame) -> go.Figure:
    first = frame.row(0, named=True)
    plot = signed_histogram(frame, "difference", "tuned", "base", {"tuned": first["won"], "base": first["lost"]})
    plot.update_xaxes(title_text=_("reward: tuned − base"))
    plot.update_yaxes(title_text=_("prompts"))
    won, mean = first["win_rate"], first["reward_difference"]
    n = filled(_("n = {n:,} prompts"), n=first["n"])
    parts = _("above 0 (ties half): {value}").format(value=written(won)), _("mean {value}").format(value=written(mean)), by(won, mean)
    return caption(plot, excerpt(first["facet"], 40), n, ties(first["tied"]), *parts, cut(first))


def paired_boxes(frame: pl.DataFrame) -> go.Figure:
    """A panel per facet with its own axis, because rewards of different scorers have different units."""
    facets = sorted(frame["facet"].unique().to_list(), key=["untrained", "trained", "base", "tuned"].index)
    names = dict(frame.select("facet", "name").iter_rows())
    plot = make_subplots(rows=1, cols=len(facets), horizontal_spacing=0.14, subplot_titles=[excerpt(names[f], 24) for f in facets])
    for place, facet in enumerate(facets, start=1):
        for trace in boxes(frame.filter(pl.col("facet") == facet)):
            plot.add_trace(trace, row=1, col=place)
    plot.update_annotations(font_size=12)
    plot.update_xaxes(categoryorder="array", categoryarray=[called(who) for who in ("base", "tuned", "untrained", "trained")])
    plot.update_yaxes(title_text=_("reward"), col=1)
    return plot


@figure(
    number="9a",
    name="generators_under_scorers",
    title="Whose answers does each reward model prefer?",
    page="dpo_vs_base",
    query=queries.generators_under_scorers,
    empty=JUDGE,
    outcome=True,
    models=(*POLICIES, *SCORERS),
    own_unit="rewards",
)
def generators_under_scorers(frame: pl.DataFrame) -> go.Figure:
    return caption(
        paired_boxes(frame),
        filled(_("n = {n:,} answers each"), n=frame["n"].to_numpy().max()),
        _("one unit per panel"),
        medians(frame),
        cut(frame.row(0, named=True)),
        _("dashed: mean"),
    )


@figure(
    number="9b",
    name="scorers_on_generators",
    title="Do the reward models agree on an answer?",
    page="dpo_vs_base",
    query=queries.scorers_on_generators,
    empty=JUDGE,
    outcome=True,
    models=(*POLICIES, *SCORERS),
    own_unit="rewards",
)
def scorers_on_generators(frame: pl.DataFrame) -> go.Figure:
    plot = paired_boxes(frame).update_yaxes(matches="y")
    sizes = filled(_("n = {n:,} answers each"), n=frame["n"].to_numpy().max())
    middles = _("diamond: median, {interval}").format(interval=by(*frame["median"]))
    units = _("units differ between reward models: compare panels, not boxes")
    return caption(plot, sizes, units, middles, cut(frame.row(0, named=True)))


def judged(frame: pl.DataFrame) -> go.Figure:
    first = frame.row(0, named=True)
    won = first["win_rate"]
    parts = filled(_("n = {n:,} prompts"), n=won["n"]), _("tuned preferred on {value}").format(value=written(won)), by(won)
    return caption(
        histogram(frame, _("reward [the reward model's own unit]"), fields={"base": "base_reward", "tuned": "tuned_reward"}),
        excerpt(first["facet"], 40),
        *parts,
        _("lines: medians"),
        cut(first),
    )


@figure(
    number="10a",
    name="answers_base_scorer",
    title="What does the untrained model prefer?",
    page="dpo_vs_base",
    query=queries.answers_under_base,
    empty=JUDGE,
    scorer="untrained",
    outcome=True,
    models=(*POLICIES, "base_scorer"),
)
def answers_base_scorer(frame: pl.DataFrame) -> go.Figure:
    return judged(frame)


@figure(
    number="10b",
    name="answers_trained_scorer",
    title="What does the trained model prefer?",
    page="dpo_vs_base",
    query=queries.answers_under_trained,
    empty=JUDGE,
    outcome=True,
    models=JUDGED,
    own_unit="rewards",
)
def answers_trained_scorer(frame: pl.DataFrame) -> go.Figure:
    return judged(frame)
