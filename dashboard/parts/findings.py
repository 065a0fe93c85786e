"""The three most telling findings of a comparison, each with its picture and the page where it is shown in full."""

import streamlit as st

from dashboard import figures
from dashboard.parts import figure, verdict
from dashboard.queries import Selection
from dashboard.state import data
from dashboard.state.messages import _, wording
from engine.statistics.claims import findings

PICTURES = {  # claim -> figure
    "weakest_group": "accuracy_of_groups",
    "length_advantage": "margin_by_length",
    "length_difference": "answer_lengths",
    "gain_over_length_rule": "accuracy_by_length",
    "accuracy_gain": "scores_trained",
}


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
                st.subheader(data.literal(verdict.text(claim)), anchor=False)
                verdict.scope(selection, claim)
                if name := PICTURES.get(claim.name):
                    figure.thumbnail(figures.find(name), selection, claim.name)
                st.caption(data.literal(claim.detail_text(wording())))
                st.page_link(f"views/{claim.page}.py", icon=":material/arrow_forward:", icon_position="right")
