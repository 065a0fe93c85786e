"""Curves of reward-model and policy training, while they go on and afterwards."""

from dataclasses import replace

import streamlit as st

from dashboard import figures
from dashboard.parts import widgets
from dashboard.state import data
from dashboard.state.data import Run
from dashboard.state.messages import _
from engine.store.status import State


def going_on() -> None:
    """The runs that train now, their curves before those picked in the sidebar."""
    training = [run for run in reversed(data.runs()) if run.kind in ("reward", "policy") and not run.ended]
    for run in training:
        widgets.run_card(run)
    here = [run for run in training if run.outline.dataset == selection.dataset_id and run.status.state is not State.QUEUED]
    reward_runs, policy_runs = first(here, "reward", selection.reward_runs), first(here, "policy", selection.policy_runs)
    widgets.show_page("training", replace(selection, reward_runs=reward_runs, policy_runs=policy_runs))


def first(live: list[Run], kind: str, picked: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(run.id for run in live if run.kind == kind), *picked]))


selection = widgets.heading(_("Training"), page="training", question=_("Which training worked, and what differed?"))
if not (selection.reward_runs or selection.policy_runs or data.alive()):
    st.info(_("No training run has begun on this dataset. Start one on the page Runs; its curves appear here while it trains."))
widgets.live(going_on)
if selection.study:
    for table in [t for t in figures.TABLES if t.page == "training"]:
        widgets.show_table(table, selection)
