"""Your own prompt answered by base and tuned policy side by side, or two answers of your own; and what every scorer says of them."""

from typing import Any

import streamlit as st

from dashboard.parts import playground, remarks, retrain, tokens, widgets
from dashboard.parts.answers import TITLES, Role
from dashboard.parts.playground import Played
from dashboard.state import data
from dashboard.state.messages import _
from engine.errors import PrefscopeError
from engine.store.rundir import cache_path
from engine.store.server import run_going_on

question = _("What do the base and the tuned policy answer to a prompt of yours, and which answer does each reward model prefer?")
selection = widgets.heading(_("Playground"), question=question)
widgets.live(playground.beside_run)
busy = run_going_on(cache_path()) is not None
named = playground.writers(selection)
known, selected = playground.judges(selection)
modes = playground.what_to_do(named)
mode = st.segmented_control(
    _("What to do"), list(modes), format_func=modes.__getitem__, default="answer", required=True, key="play_mode", persist_state="session"
)
turns = playground.prompt(selection)
texts: dict[Role, str] = {}
how = {}
if mode == "paste":
    for side, place in zip(playground.PASTED, st.container(width=playground.TEXTS_PIXELS).columns(2, gap="medium"), strict=True):
        texts[side] = place.text_area(data.literal(_(TITLES[side])), key=f"play_{side}", height=160, persist_state="session")
else:
    how = playground.settings()
    if not named:
        st.info(_("No policy of this comparison is on this machine: answer the prompts with a base model and a tuned policy first."))
    runs = data.runs()
    if "tuned" not in named and remarks.lacks(runs, selection, "policy"):
        retrain.where_missing("policy", runs, selection)
chosen: playground.Judges = {}
if known:
    chosen = playground.picked_judges(known, selected)
else:
    st.caption(_("No reward model of this dataset is on this machine: answers get no rewards."))
    retrain.where_missing("reward", data.runs(), selection)

ready = bool(turns and (all(text.strip() for text in texts.values()) and chosen if mode == "paste" else named))
pressed = st.button(_("Score") if mode == "paste" else _("Answer"), type="primary", key="play_go", disabled=busy)
place = st.empty()
try:
    if turns and ready and not busy:
        playground.memory_caption(playground.requests(turns, named, chosen, texts, how))
    if pressed and not ready and (named or mode == "paste"):
        st.info(_("Write a prompt and both answers, and choose a reward model.") if mode == "paste" else _("Write a prompt first."))
    elif pressed and turns:
        with place.container():
            if mode == "paste":
                lines: dict[Role, dict[str, Any]] = {side: {"text": text} for side, text in texts.items()}
                playground.score(Played(turns, dict.fromkeys(texts, ""), lines), chosen)
            else:
                playground.answer(turns, named, chosen, how)
        st.rerun()
except PrefscopeError as error:
    place.empty()
    data.refuse(error)
played = st.session_state.get("played")
if played and played.texts:
    playground.show(selection, played)
    tokens.of_texts(selection, played.turns, played.texts)
