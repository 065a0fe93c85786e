"""Figure 11: every share whose question is "more than half?", on one axis."""

import polars as pl

from dashboard.queries.preferences import win_tie_loss
from dashboard.queries.scores import length_rule, reward_summary
from dashboard.queries.selection import Selection
from engine.statistics.estimate import ESTIMATE
from engine.store.database import Connection

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {"question": pl.String, "row": pl.String, "who": pl.String, "share": ESTIMATE}


def far_from_guessing(con: Connection, selection: Selection) -> pl.DataFrame:
    """question (right: pairs ranked right; preferred: the tuned answer is), row (a name), who (trained, rule, untrained), share."""
    found: list[tuple[str, str, str, object]] = []
    for who, scorer in (("trained", selection.trained_scorer), ("untrained", selection.base_scorer)):
        for row in reward_summary(con, selection, scorer, ("accuracy",)).iter_rows(named=True):
            found.append(("right", row["scorer"], who, row["accuracy"]))
    if found:
        found += [("right", "", "rule", rule) for rule in length_rule(con, selection)["length_rule"]]
    for row in win_tie_loss(con, selection).iter_rows(named=True):
        found.append(("preferred", row["scorer"], row["judge"], row["win_rate"]))
    return pl.DataFrame(found, schema=SCHEMA, orient="row")
