"""How well the reward model ranks pairs: its margins, the pairs behind them, and the groups in which it is right."""

import streamlit as st

from dashboard import figures
from dashboard.parts import figure, pair_list, remarks, verdict, widgets
from dashboard.state import data
from dashboard.state.messages import _

PAGE = "reward_model"
selection = widgets.heading(_("Reward model"), page=PAGE, question=_("How well does the reward model rank unseen pairs?"), most=2)
remarks.on_pairs(selection)
if selection.trained_scorer is None:
    pair_list.show(selection)
    st.stop()
second = data.second()
with st.grid(min_column_width=900, gap="medium"):
    figure.show(figures.find("margins"), selection, second, level=2)
    with st.container():
        pair_list.show(selection)

verdict.section(_("Where is it right?"), verdict.named(verdict.found_on(PAGE, selection), "weakest_group"))
with st.grid(3, min_column_width=300, gap="medium"):
    with st.container():
        figure.show(figures.find("accuracy_of_groups"), selection, second)
    for who in ("base", "trained"):
        with st.container():
            figure.show(figures.find(f"scores_{who}"), selection, second)
            figure.show(figures.find(f"boxes_{who}"), selection, second)
table = figures.find_table("accuracy_by_group")
groups = data.read(table.query, figures.seen_by(table, selection), key=table.name)
if groups["scorer_id"].n_unique() > 2:
    figure.show(figures.find("group_accuracy"), selection, second)
widgets.folded(table, selection)
