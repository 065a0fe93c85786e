"""How much of the preference, and of the reward, is only length."""

import streamlit as st

from dashboard import queries
from dashboard.parts import cards, remarks, widgets
from dashboard.state import data
from dashboard.state.messages import _


def numbers() -> None:
    """The length rule beside both scorers, on the same pairs."""
    with st.grid(min_column_width=215):
        for row in data.read(queries.length_rule, selection).iter_rows(named=True):
            cards.estimate(row, "length_rule")
        for row in data.read(queries.reward_summaries, selection).iter_rows(named=True):
            cards.estimate(row, "accuracy", row["scorer"], _("On the same pairs."))
            cards.estimate(row, "length_correlation", row["scorer"])


selection = widgets.heading(_("Length bias"), page="length_bias", question=_("Is it only length?"))
remarks.on_pairs(selection)
numbers()
widgets.show_page("length_bias", selection, "3a", "8a")
