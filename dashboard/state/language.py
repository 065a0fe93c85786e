"""In which language the pages speak: the one chosen at the foot of the sidebar, at first the browser's own."""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.state import messages
from dashboard.state.messages import LANGUAGES, _

KEY = "language"  # in the session, not in the address: a link shows the same to a reader of another language


def of_viewer() -> str:
    """The language of the page that is being drawn; English where none is."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return "en"
    chosen = st.session_state.get(KEY)
    return chosen if chosen in LANGUAGES else of_browser()


def of_browser() -> str:
    """By the browser's first language: zh-CN is zh; one that is not spoken here is en."""
    name = (st.context.locale or "en").split("-")[0]
    return name if name in LANGUAGES else "en"


def switch() -> None:
    """The choice of the language, each by its own name."""
    st.session_state.setdefault(KEY, of_browser())
    with st.sidebar:
        st.segmented_control(
            _("Language"), list(LANGUAGES), format_func=LANGUAGES.__getitem__, key=KEY, required=True, label_visibility="collapsed"
        )


messages.asked_by[:] = [of_viewer]
