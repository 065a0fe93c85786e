"""The tuned policy against its base, judged by a trained and an untrained scorer."""

import streamlit as st

from dashboard import figures, queries
from dashboard.parts import cards, remarks, widgets
from dashboard.state import data
from dashboard.state.messages import _


def numbers() -> None:
    """Win rate and mean reward difference under each scorer, with intervals."""
    with st.grid(min_column_width=215):
        for row in data.read(queries.win_rates, selection).iter_rows(named=True):
            cards.estimate(row, "win_rate", row["scorer"], note=cards.cut(row))
            cards.estimate(row, "reward_difference", row["scorer"])
        for row in data.read(queries.answer_length_summary, selection).iter_rows(named=True):
            cards.answer_length(row)


selection = widgets.heading(_("DPO vs base"), page="dpo_vs_base", question=_("Whose answers are preferred?"))
if not (selection.base_generator and selection.tuned_generator):
    st.info(_("Two sets of answers to this split's prompts are needed: generate them on the page Runs or import them on the page Data."))
remarks.on_answers(selection)
numbers()
widgets.show_page("dpo_vs_base", selection)
for table in [t for t in figures.TABLES if t.page == "dpo_vs_base"]:
    widgets.show_table(table, selection)
