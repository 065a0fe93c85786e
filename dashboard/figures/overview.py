"""Figure 11: the whole experiment in five shares."""

import plotly.graph_objects as go
import polars as pl

from dashboard import queries
from dashboard.figures.dots import Dot, dots
from dashboard.figures.registry import POLICIES, SCORERS, figure
from dashboard.figures.shapes import by, filled
from dashboard.figures.theme import caption
from dashboard.state.messages import _, marked

HEADINGS = {"right": marked("Pairs ranked right"), "preferred": marked("Tuned answer preferred")}
ORDER = ("trained", "rule", "untrained")


@figure(
    number="11", name="far_from_guessing", title="How far from guessing is each?", page="overview", query=queries.far_from_guessing,
    empty="Score pairs or answers to see here how far the reward models are from guessing.", size="large",
    outcome=True,
    models=(*POLICIES, *SCORERS),
)  # fmt: skip
def far_from_guessing(frame: pl.DataFrame) -> go.Figure:
    rows = sorted(frame.iter_rows(named=True), key=lambda row: (list(HEADINGS).index(row["question"]), ORDER.index(row["who"])))
    rule = _("The longer one wins (rule)")
    found = [Dot(row["row"] or rule, row["who"], row["share"], heading=_(HEADINGS[row["question"]])) for row in rows]
    low = min(0.3, *(max(0.0, row["share"]["low"]) for row in rows))
    names = {"trained": _("reward model"), "untrained": _("untrained reward model"), "rule": _("rule")}
    n = _("n = {n:,} {things}")
    sizes = {row["question"]: filled(n, n=row["share"]["n"], things=_(row["share"]["counted"])) for row in rows}
    plot = dots(found, names, _("share"), low=low).update_traces(showlegend=False)  # each row says whose it is
    return caption(plot, *sizes.values(), _("ties half"), by(*frame["share"]), _("dashed: guessing"))
