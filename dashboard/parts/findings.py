"""The three most telling findings of a comparison, each with its picture and the page where it is shown in full."""

import streamlit as st

from dashboard import figures
from dashboard.figures.findings import SHOWN_IN
from dashboard.parts import figure, verdict
from dashboard.queries import Selection
from dashboard.state import data
from dashboard.state.messages import _, wording
from engine.statistics.claims import findings


def show(selection: Selection) -> None:
    """Three cards; nothing where nothing was found."""
    found = data.read(findings, selection)
    if not found:
        return
    verdict.section(_("What stands out"))
    with st.grid(len(found), min_column_width=300, gap="medium"):
        for claim in found:
            with st.container(border=True, height="stretch", gap="small"):
                verdict.said_with(claim.sureness)
                st.subheader(data.literal(verdict.headline(claim, selection)), anchor=False)
                verdict.scope(selection, claim)
                figure.thumbnail(figures.find(SHOWN_IN[claim.name][0]), selection, claim.name)
                st.caption(data.literal(claim.detail_text(wording())))
                st.page_link(f"views/{claim.page}.py", icon=":material/arrow_forward:", icon_position="right")
