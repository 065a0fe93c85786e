"""The menu Export of a figure: format, style and width of the file that takes it into a text."""

from functools import partial

import streamlit as st

from dashboard.queries import Selection
from dashboard.report import captions, files, pictures
from dashboard.report.files import Shown
from dashboard.report.style import LOOKS, WIDTHS_NAMED, Style
from dashboard.state import data
from dashboard.state.messages import _, language, of, speaking
from engine.store import database
from engine.store.rundir import cache_path

STYLED = (*pictures.PICTURES, "html")


@st.fragment
def menu(shown: Shown, selection: Selection) -> None:
    """A button whose choices are made when it is opened, and whose file is made when it is asked for."""
    name = shown.figure.name
    with st.popover(_("Export"), type="tertiary", key=f"export_{name}", on_change="rerun") as opened:
        if opened.open:
            choices(shown, selection, name)


def choices(shown: Shown, selection: Selection, name: str) -> None:
    form = st.selectbox(_("Format"), pictures.makeable(files.FORMATS), format_func=of(files.NAMES), key=f"export_format_{name}")
    style = Style()
    if form in STYLED:
        look = st.segmented_control(
            _("Style"), list(LOOKS), default="sans", format_func=of(LOOKS), required=True, key=f"export_look_{name}"
        )
        width = st.segmented_control(
            _("Width"), list(WIDTHS_NAMED), default="page", format_func=of(WIDTHS_NAMED), required=True, key=f"export_width_{name}"
        )
        titled = st.checkbox(_("With its title"), key=f"export_titled_{name}")
        style = Style(look, width, titled)
    if sentence := pictures.missing():
        st.caption(data.literal(sentence))
    st.download_button(
        _("Download"), partial(file, shown, form, style, selection, language()), f"{shown.stem}.{form}", key=f"export_file_{name}",
        on_click="ignore", type="primary",
    )  # fmt: skip


def file(shown: Shown, form: str, style: Style, selection: Selection, spoken: str) -> bytes:
    """The file, made when it is asked for: then no page is drawn that would say in which language."""
    with speaking(spoken), database.reading(cache_path()) as con:
        known = captions.sources(con, selection)
        return files.content(shown, form, style, known)
