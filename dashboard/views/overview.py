"""What training changed, in one picture; what stands out; what is under way."""

import streamlit as st

from dashboard import figures
from dashboard.parts import examples, findings, remarks, verdict, widgets
from dashboard.parts import figure as figure_part
from dashboard.state import data
from dashboard.state.messages import _
from engine.store.status import State


def under_way() -> None:
    """One line: the run that is going on, and what came of the others."""
    runs = data.runs()
    going = [run for run in runs if run.status.state in (State.RUNNING, State.FINALISING)]
    counts = {state: sum(run.status.state is state for run in runs) for state in State}
    for run in going:
        st.progress(
            min(1.0, run.status.step / run.status.steps) if run.status.steps else 0.0,
            data.literal(f"{run.name}: {widgets.progress_text(run)}"),
        )
    waiting, stopped = counts[State.QUEUED], counts[State.FAILED] + counts[State.LOST]
    said = _("{done} runs done, {waiting} waiting, {stopped} failed.").format(done=counts[State.DONE], waiting=waiting, stopped=stopped)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(data.literal(said if going else _("Nothing is under way. ") + said), width="content")
        st.page_link("views/runs.py", label=_("Runs"), icon=":material/arrow_forward:")


selection = widgets.heading(_("Overview"), needs_data=False, page="overview", question=_("What did training change?"))
if data.alive():
    widgets.live(under_way)
if selection.dataset_id:
    second = data.second()
    remarks.on_answers(selection)
    if selection.trained_scorer or selection.tuned_generator:
        figure_part.show(figures.find("far_from_guessing"), selection, second, level=2)
        cut = verdict.named(verdict.found_on("dpo_vs_base", selection), "cut_answers")
        if cut:
            with st.container(border=True):
                verdict.line(cut)
        findings.show(selection)
        if selection.tuned_generator and selection.base_generator:
            verdict.section(_("Largest gain and loss"))
            examples.both_ends(selection, each=1)
    else:
        st.write(_("Numbers appear here as soon as the first runs have scored the pairs of this split."))
        st.page_link("views/runs.py", label=_("Train a reward model"), icon=":material/arrow_forward:")
if data.runs() and not data.alive():
    widgets.live(under_way)
