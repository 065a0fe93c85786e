"""Which training worked, and what differed: the table of training runs, then their curves, while they go on and afterwards."""

from dataclasses import replace

import streamlit as st

from dashboard import figures, queries
from dashboard.parts import crosshair, figure, run_table, widgets
from dashboard.state import data
from dashboard.state.data import Run
from dashboard.state.messages import _
from engine.store.status import State

CURVES = "curves"
AXES = {"step": _("steps"), "pairs": _("pairs"), "tokens": _("tokens"), "time": _("time")}


def curves(runs: list[Run]) -> None:
    """The curves of the runs that train now, before those that the eyes show."""
    training = [run for run in reversed(runs) if not run.ended and run.outline.dataset == selection.dataset_id]
    here = [run for run in training if run.status.state is not State.QUEUED]
    shown = replace(
        selection,
        reward_runs=first(here, "reward", selection.reward_runs),
        policy_runs=first(here, "policy", selection.policy_runs),
        x_axis=axis,
        smoothing=smoothing / 100,
    )
    alone = data.read(queries.reward_curves_compared, shown, key="reward_training_compared").is_empty()
    repeats = ("reward_training_compared",) if alone else ()  # of one run it would be Figure 1 again
    drawn = [f.name for f in figures.on_page("training") if f.name not in repeats and not (f.name == "study_runs" and not shown.study)]
    with st.container(key=CURVES):
        figure.side_by_side(drawn, shown, level=2)


def first(live: list[Run], kind: str, picked: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(run.id for run in live if run.kind == kind), *picked]))


selection = widgets.heading(_("Training"), page="training", question=_("Which training worked, and what differed?"))
widgets.live(lambda runs: run_table.training(runs, selection))
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    axis = st.segmented_control(
        _("x axis"), list(AXES), default="step", required=True, format_func=AXES.__getitem__, key="x_axis", bind="query-params"
    )
    smoothing = st.slider(
        _("Smoothing"), 0, 50, 5, 5, format="%d\u00a0%%", key="smoothing", width=240, help=_("Mean over this share of the steps.")
    )
widgets.live(curves)
crosshair.over(CURVES)
if selection.study:
    for table in [t for t in figures.TABLES if t.page == "training"]:
        widgets.show_table(table, selection)
