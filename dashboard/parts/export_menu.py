"""The menu Export of a figure or table: format, style and width of the file that takes it into a text."""

from functools import partial

import streamlit as st

from dashboard.queries import Selection
from dashboard.report import captions, files, pictures
from dashboard.report.files import Shown, Tabled
from dashboard.report.style import LOOKS, WIDTHS_NAMED, Style
from dashboard.state import data
from dashboard.state.messages import _, language, of, speaking
from engine.store import database
from engine.store.rundir import cache_path

STYLED = (*pictures.PICTURES, "html")


@st.fragment
def menu(part: Shown | Tabled, selection: Selection) -> None:
    """A button whose choices are made when it is opened, and whose file is made when it is asked for."""
    with st.popover(_("Export"), type="tertiary", key=f"export_{part.name}", on_change="rerun") as opened:
        if opened.open:
            choices(part, selection)


def choices(part: Shown | Tabled, selection: Selection) -> None:
    drawn = isinstance(part, Shown)
    offered = pictures.makeable(files.FORMATS) if drawn else files.OF_TABLES
    form = st.selectbox(_("Format"), offered, format_func=of(files.NAMES), key=f"export_format_{part.name}")
    style = Style()
    if form in STYLED:
        with st.container():
            style = chosen_style(part.name)
    else:
        st.empty()  # in the place of the choices: when a part that is drawn by itself runs next, Streamlit may not take them away
    if drawn and (sentence := pictures.missing()):
        st.caption(data.literal(sentence))
    st.download_button(
        _("Download"), partial(file, part, form, style, selection, language()), f"{part.stem}.{form}", key=f"export_file_{part.name}",
        on_click="ignore", type="primary",
    )  # fmt: skip


def chosen_style(name: str) -> Style:
    look = st.segmented_control(_("Style"), list(LOOKS), default="sans", format_func=of(LOOKS), required=True, key=f"export_look_{name}")
    width = st.segmented_control(
        _("Width"), list(WIDTHS_NAMED), default="page", format_func=of(WIDTHS_NAMED), required=True, key=f"export_width_{name}"
    )
    titled = st.checkbox(_("With its title"), key=f"export_titled_{name}")
    return Style(look, width, titled)


def file(part: Shown | Tabled, form: str, style: Style, selection: Selection, spoken: str) -> bytes:
    """The file, made when it is asked for: then no page is drawn that would say in which language."""
    with speaking(spoken), database.reading(cache_path()) as con:
        known = captions.sources(con, selection)
        return files.content(part, form, style, known)
