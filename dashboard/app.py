"""The dashboard's frame: page list, the line that says what is looked at, and the place where an error becomes a sentence."""

from pathlib import Path

import streamlit as st

from dashboard.parts import chips, keyboard, retrain
from dashboard.state import data, language
from dashboard.state.messages import _
from engine.errors import PrefscopeError
from engine.store.opening import kept_open

HERE = Path(__file__).parent


def pages() -> dict[str, list[st.Page]]:
    """Every page: its file in views/ and its title."""
    look = {
        "overview": _("Overview"),
        "data": _("Data"),
        "training": _("Training"),
        "reward_model": _("Reward model"),
        "length_bias": _("Length bias"),
        "dpo_vs_base": _("DPO vs base"),
        "prompts": _("Prompts"),
        "playground": _("Playground"),
    }
    act = {"runs": _("Runs"), "report": _("Report")}
    sections = {_("Look"): look, _("Do"): act}
    found = {section: [page_of(name, title) for name, title in names.items()] for section, names in sections.items()}
    found[_("Look")].append(page_of("overview", look["overview"], named=True))
    return found


def page_of(name: str, title: str, named: bool = False) -> st.Page:
    """A page in the list. The first has the bare address; `named`, it is at its name too, outside of the list."""
    first = name == "overview" and not named
    return st.Page(
        HERE / "views" / f"{name}.py",
        title=title,
        url_path="" if first else name,
        default=first,
        visibility="hidden" if named else "visible",
    )


about = _("Prefscope: train reward models and policies on preference data, and look at every pair and answer behind a number.")
st.set_page_config(
    page_title="Prefscope", page_icon=str(HERE / "icon.svg"), layout="wide", initial_sidebar_state=216,
    menu_items={"About": about},  # with one entry of our own Streamlit shows its menu, where light, dark or the system's theme is chosen
)  # fmt: skip
st.html(HERE / "look.css")
st.logo(HERE / "logo.svg", size="large", icon_image=HERE / "icon.svg")
page = st.navigation(pages())
language.switch()
try:
    with kept_open():
        with st.container(horizontal=True, horizontal_alignment="distribute", wrap=False, key="top"):
            st.session_state["selection"], st.session_state["second"] = chips.selection()
            retrain.offer(data.selection(), page.url_path)
        keyboard.keys()
        chips.say_unknown()
        page.run()
except PrefscopeError as error:
    data.refuse(error)
