"""What the reward model learned: trained and untrained head on the same pairs."""

from dataclasses import replace

import streamlit as st

from dashboard import figures, queries
from dashboard.parts import cards, chips, remarks, widgets
from dashboard.state import data
from dashboard.state.messages import _
from engine.plain import line


def numbers() -> None:
    """Accuracy and margin of both scorers, each with its interval."""
    with st.grid(min_column_width=215):
        for row in data.read(queries.reward_summaries, selection).iter_rows(named=True):
            cards.estimate(row, "accuracy", row["scorer"])
            cards.estimate(row, "margin_mean", row["scorer"])
        for row in data.read(queries.accuracy_gain, selection).iter_rows(named=True):
            cards.estimate(row, "accuracy_gain")


def pair_picker() -> str | None:
    """One pair by search, or the one in the address; none picked takes a typical one."""
    search = st.text_input(_("Search pairs"), key="table1_search", type="search")
    found = data.read(queries.pairs, selection, search=search, rows=50)
    options = dict(found.select("pair_id", "prompt").iter_rows())
    for asked in st.query_params.get_all("pair"):
        row = data.read(queries.preference_pair, replace(selection, pair_id=asked))
        options |= dict(row.select("pair_id", "prompt").iter_rows())
    short = {pair: line(prompt)[:100] for pair, prompt in options.items()}
    help = _("Without a choice: the pair whose margin is nearest the median.")
    picked = chips.choice("pair", _("Pair"), short, None, help, pinned=False)
    if picked.options:
        chips.box(picked)
    return picked.value


selection = widgets.heading(_("Reward model"), page="reward_model", question=_("How well does the reward model rank unseen pairs?"))
if selection.trained_scorer is None:
    st.info(_("No reward model has scored this split. Train one and score it on the page Runs, or pick another split in the chips."))
remarks.on_pairs(selection)
numbers()
widgets.show_page("reward_model", selection)
for table in [t for t in figures.TABLES if t.page == "reward_model"]:
    if table.name == "preference_pair":
        selection = replace(selection, pair_id=pair_picker())
        chips.say_unknown()
    widgets.show_table(table, selection)
