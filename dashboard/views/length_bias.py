"""How much of the preference, and of the reward, is only length."""

import streamlit as st

from dashboard import figures, queries
from dashboard.parts import figure, pair_list, remarks, verdict, widgets
from dashboard.state import data
from dashboard.state.messages import _

PAGE = "length_bias"
selection = widgets.heading(_("Length bias"), page=PAGE, question=_("Is it only length?"), most=2)
remarks.on_pairs(selection)
second = data.second()
found = verdict.found_on(PAGE, selection)
with st.grid(min_column_width=900, gap="medium"):
    figure.show(figures.find("accuracy_by_length"), selection, second, level=2)
    with st.container():
        pair_list.show(selection)

with st.grid(2, min_column_width=430, gap="medium"):
    with st.container():
        verdict.section(_("Where length cannot decide"), verdict.named(found, "accuracy_length_matched"))
        widgets.show_estimates(figures.find_table("accuracy_of_lengths"), selection)
    with st.container():
        verdict.section(_("Margins and length"), verdict.named(found, "length_correlation"))
        figure.show(figures.find("margin_by_length"), selection, second)

if data.read(queries.gain_by_length, selection).is_empty() and not selection.tuned_generator:
    st.stop()
answers = verdict.found_on("dpo_vs_base", selection)
verdict.section(_("Tuned answers and length"), verdict.named(answers, "gain_length_correlation"))
figure.side_by_side(("gain_by_length", "win_rate_by_length", "answer_lengths"), selection, second, min_width=300)
