"""Start runs and follow them: presets, the retrain form, the queue, logs."""

import streamlit as st

from dashboard.parts import forms, retrain, widgets
from dashboard.parts.damage import damaged_folders
from dashboard.state import data
from dashboard.state.messages import _
from engine.errors import PrefscopeError
from engine.queue.preset import PRESETS
from engine.settings.config import CONFIGS, RunConfig
from engine.store.rundir import RunDir

TAIL_LINES, MOST_CARDS = 40, 30


def new_run() -> None:
    """The form of one kind of run, made from its configuration."""
    others = [kind for kind in widgets.KINDS if kind not in retrain.KINDS]
    kind = st.selectbox(_("What to do"), others, format_func=widgets.KINDS.__getitem__, key="new_kind")
    given = {"kind": kind, "dataset": selection.dataset_id, "name": kind, "split": selection.split, "splits": (selection.split,)}
    own = {name: value for name, value in given.items() if name in CONFIGS[kind].model_fields}
    config = forms.form_for(CONFIGS[kind], own, forms.known_values(str(selection.dataset_id)), _("Start"), (_("Check"), check))
    if config:
        try:
            data.submit(config)
        except PrefscopeError as error:
            data.refuse(error)
            return
        st.success(data.literal(_("{name} is queued; it stands in the list below.").format(name=config.name)))


def check(config: RunConfig) -> None:
    """What the run would need, and what stands in its way."""
    with st.spinner(_("Reading the pairs and the model")):
        found = data.preflight(config)
    widgets.preflight(found)


def queue() -> None:
    """Every run with its progress: those to come in their order, then the ended ones, newest first."""
    known = data.runs()
    found = [*(run for run in reversed(known) if not run.ended), *(run for run in known if run.ended)]
    for run in found[:MOST_CARDS]:
        widgets.run_card(run)
    damaged_folders("runs", "studies")
    shown = _("{n} of {all} runs").format(n=min(len(found), MOST_CARDS), all=len(found))
    st.caption(data.literal(shown) if found else _("No run yet."))


def log(run: RunDir) -> None:
    """The last lines of a run's log."""
    path = run.path / "log.txt"
    lines = path.read_text(errors="replace", encoding="utf-8").splitlines()[-TAIL_LINES:] if path.is_file() else []
    st.code("\n".join(lines) or _("The log is empty."), language=None, wrap_lines=True, height="content")


selection = widgets.heading(_("Runs"), needs_data=False)
with st.expander(_("Start a whole experiment")), st.container(horizontal=True):
    for preset in sorted((path.stem for path in PRESETS.glob("*.json")), key=lambda name: (name != "starter", name)):
        widgets.preset_button(preset)
if selection.dataset_id:
    with st.expander(_("One run that trains nothing: answers, scores, ensembles, maps")):
        new_run()
st.subheader(_("All runs"))
widgets.live(queue)
if known := {run.id: run for run in data.runs()}:
    st.subheader(_("Log"))
    begun = [i for i, run in known.items() if run.status.started_at] or list(known)
    shown = st.selectbox(_("Run"), begun, format_func=lambda i: f"{known[i].name}: {widgets.about(known[i])}", key="log_of")
    widgets.live(lambda: log(known[shown].dir))
