"""Every run: what it did, how it ended, what can be done with it; and how to start others."""

import streamlit as st

from dashboard.parts import before_start, forms, retrain, run_settings, run_table, widgets
from dashboard.parts.damage import damaged_folders
from dashboard.state import data
from dashboard.state.messages import _, of
from engine.errors import PrefscopeError
from engine.queue.preset import PRESETS
from engine.settings.config import CONFIGS


def new_run() -> None:
    """The form of one kind of run, made from its configuration."""
    others = [kind for kind in run_settings.KINDS if kind not in retrain.KINDS]
    kind = st.selectbox(_("What to do"), others, format_func=of(run_settings.KINDS), key="new_kind")
    given = {"kind": kind, "dataset": selection.dataset_id, "name": kind, "split": selection.split, "splits": (selection.split,)}
    own = {name: value for name, value in given.items() if name in CONFIGS[kind].model_fields}
    config = forms.form_for(CONFIGS[kind], own, forms.known_values(str(selection.dataset_id)), _("Start"), (_("Check"), before_start.check))
    if config:
        try:
            data.submit(config)
        except PrefscopeError as error:
            data.refuse(error)
            return
        st.success(data.literal(_("{name} is queued; it stands in the list below.").format(name=config.name)))


selection = widgets.heading(_("Runs"), needs_data=False)
with st.expander(_("Start a whole experiment")), st.container(horizontal=True):
    for preset in sorted((path.stem for path in PRESETS.glob("*.json")), key=lambda name: (name != "starter", name)):
        widgets.preset_button(preset)
if selection.dataset_id:
    retrain.where_missing("reward", data.runs(), selection)
    with st.expander(_("One run that trains nothing: answers, scores, ensembles, maps")):
        new_run()
st.header(_("All runs"), anchor=False)
widgets.live(lambda runs: run_table.everything(runs, selection))
damaged_folders("runs", "studies")
