"""What has been run, what came out, and what to do next."""

import streamlit as st

from dashboard import queries
from dashboard.parts import cards, remarks, widgets
from dashboard.state import data
from dashboard.state.messages import _
from engine.store.status import State

UNTRAINED = _("The same network with a last layer that was never trained: one draw from a wide band around one half.")


def experiment() -> None:
    """Every run that is going on, waiting, or stopped by a fault, with its progress."""
    runs = data.runs()
    shown = [run for run in reversed(runs) if run.status.state is not State.CANCELLED and not run.is_result]
    if shown:
        st.subheader(_("Under way") if data.alive() else _("Stopped"))
        done = sum(run.status.state is State.DONE for run in runs)
        st.caption(data.literal(_("{done} of {n} runs are done.").format(done=done, n=len(runs))))
    for run in shown:
        widgets.run_card(run)


def reward_models() -> None:
    for row in data.read(queries.reward_summaries, selection).iter_rows(named=True):
        cards.estimate(row, "accuracy", row["scorer"], UNTRAINED if row["kind"] == "untrained_head" else "")
        cards.estimate(row, "reward_mean", row["scorer"])
        cards.estimate(row, "reward_std", row["scorer"])


def policies() -> None:
    for row in data.read(queries.win_rates, selection).iter_rows(named=True):
        cards.estimate(row, "win_rate", row["scorer"], note=cards.cut(row))
    for row in data.read(queries.answer_length_summary, selection).iter_rows(named=True):
        cards.answer_length(row)


selection = widgets.heading(_("Overview"), needs_data=False, page="overview", question=_("What did training change?"))
widgets.live(experiment)
if selection.dataset_id:
    st.subheader(_("Headline numbers"))
    remarks.on_answers(selection)
    if selection.trained_scorer or selection.tuned_generator:
        for group in (reward_models, policies):
            with st.grid(min_column_width=215):
                group()
    else:
        st.write(_("They appear here as soon as the first runs have scored the pairs of this split."))
    st.subheader(_("What to do next"))
    with st.container(gap="xsmall"):
        if not selection.trained_scorer:
            st.page_link("views/runs.py", label=_("Train a reward model and score with it"))
        if not selection.tuned_generator:
            st.page_link("views/runs.py", label=_("Train a policy and let it answer"))
        st.page_link("views/reward_model.py", label=_("See how chosen and rejected separate"))
        st.page_link("views/length_bias.py", label=_("Check whether it is only length"))
        st.page_link("views/dpo_vs_base.py", label=_("Compare the policy with its base"))
        st.page_link("views/runs.py", label=_("Train again with other settings"))
        st.page_link("views/report.py", label=_("Take figures and tables with you"))
