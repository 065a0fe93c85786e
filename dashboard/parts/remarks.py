"""What a page says where numbers are missing or need a remark."""

import streamlit as st

from dashboard import queries
from dashboard.parts import widgets
from dashboard.queries import Selection
from dashboard.state import data
from dashboard.state.messages import _
from engine.statistics.coverage import scoring_now
from engine.store.rundir import cache_path


def on_pairs(selection: Selection) -> None:
    """Which of the two scorers has not scored all pairs, and how far it is."""
    widgets.live(lambda: missing(selection, of_answers=False))


def on_answers(selection: Selection) -> None:
    """Which answers are not scored, how far they are, and which settings the two generators do not share."""
    for (differs,) in data.read(queries.differing_settings, selection).iter_rows():
        st.warning(_("The answers were written under different settings: {differs}.").format(differs=data.literal(differs)))
    widgets.live(lambda: missing(selection, of_answers=True))


def missing(selection: Selection, of_answers: bool) -> None:
    """No number is made of what is scored in part: it appears when all is scored."""
    rows = data.read(queries.missing_scores, selection)
    for row in rows.filter(rows["generator"].is_not_null() == of_answers).iter_rows(named=True):
        what = _("answers of {generator}").format(generator=row["generator"]) if of_answers else _("pairs")
        sentence = _("{scored:,} of {expected:,} {what} are scored by {scorer}. Its numbers are shown when all are.")
        st.info(data.literal(sentence.format(**{**row, "what": what})))
    for run in scoring_now(cache_path()) if not rows.is_empty() else []:
        st.info(data.literal(str(run)))
