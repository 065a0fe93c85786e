"""How much of the preference, and of the reward, is only length."""

import streamlit as st

from dashboard import queries
from dashboard.parts import widgets
from dashboard.state import data
from dashboard.state.messages import _

RULE = _("How often the longer response is the chosen one, in words, ties half. A reward model has to beat this without reading.")
CORRELATION = _(
    "Pearson's correlation of the margin with how many words longer the chosen response is; 0 means that length does not matter."
)


def numbers() -> None:
    """The length rule beside both scorers, on the same pairs."""
    with st.grid(min_column_width=215):
        for row in data.read(queries.length_rule, selection).iter_rows(named=True):
            widgets.estimate(_("Longer is better"), row, "accuracy", row["n"], RULE)
        for row in data.read(queries.reward_summaries, selection).iter_rows(named=True):
            widgets.estimate(
                _("Accuracy of {scorer}").format(scorer=row["scorer"]), row, "accuracy", row["n"], _("On the same pairs, ties half.")
            )
            if row["length_correlation"] is not None:
                label = _("Length correlation of {scorer}").format(scorer=row["scorer"])
                widgets.estimate(label, row, "length_correlation", row["n"], CORRELATION, percent=False)


selection = widgets.heading(_("Length bias"))
numbers()
widgets.show_page("length_bias", selection, "3a", "8a")
