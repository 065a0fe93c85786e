"""What training changed, in one picture; what stands out; what is under way."""

import streamlit as st

from dashboard import figures
from dashboard.parts import examples, findings, remarks, verdict, widgets
from dashboard.parts import figure as figure_part
from dashboard.state import data
from dashboard.state.messages import _

selection = widgets.heading(_("Overview"), needs_data=False, page="overview", question=_("What did training change?"), most=4)
runs = data.runs()
if data.alive(runs) and (selection.trained_scorer or selection.dataset_id is None):  # without a scorer the remark says it
    widgets.live(remarks.under_way)
if selection.dataset_id:
    remarks.on_pairs(selection)
    remarks.on_answers(selection)
if selection.trained_scorer or selection.base_scorer:
    with st.grid(min_column_width=900, gap="medium"):
        with st.container():
            figure_part.show(figures.find("far_from_guessing"), selection, data.second(), level=2)
            if cut := verdict.named(verdict.found_on("dpo_vs_base", selection), "cut_answers"):
                with st.container(border=True):
                    verdict.line(cut)
        with st.container():
            findings.show(selection)
    examples.both_ends(selection, _("Largest gain and loss"), each=1)
    if runs and not data.alive(runs):
        widgets.live(remarks.under_way)
