"""How a page begins: its question, the answer in one sentence, how sure one may be, and the numbers that it rests on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import streamlit as st

from dashboard.parts import offers
from dashboard.queries import Selection
from dashboard.state import data, slices
from dashboard.state.messages import _, wording
from engine.statistics.claims import Claim, Sureness, claims

COLOURS: dict[Sureness, Literal["blue", "orange", "gray"]] = {
    Sureness.CLEAR: "blue",
    Sureness.UNCERTAIN: "orange",
    Sureness.TOO_LITTLE: "gray",
}
SHAPES = {Sureness.CLEAR: "●", Sureness.UNCERTAIN: "◐", Sureness.TOO_LITTLE: "○"}


def begin(page: str, question: str, title: str, most: int = 3) -> list[Claim]:
    """The page's question and its first claims; `title` while there is nothing to claim. Returns all claims of the page."""
    selection = data.selection()
    found = found_on(page, selection)
    with st.container(gap="xsmall", key="verdict"):
        if question:
            st.caption(data.literal(question))
        st.title(data.literal(text(found[0]) if found else title), anchor=False)
        for claim in found[:most]:
            line(claim, headline=claim is found[0])
        if found and slices.undecided(selection.slice) != selection.slice:
            st.caption(_("Conditions on rewards are left out here: they would decide the answer."))
    if selection.dataset_id is not None:
        offers.show(selection)
    return found


def found_on(page: str, selection: Selection) -> list[Claim]:
    """All claims of a page."""
    if selection.dataset_id is None or not page:
        return []
    return data.read(claims, undecided(selection), page)


def undecided(selection: Selection) -> Selection:
    """What is looked at without the conditions on rewards: they would decide every claim about who is right."""
    return replace(selection, slice=slices.undecided(selection.slice))


def line(claim: Claim, headline: bool = False) -> None:
    """How sure one may be of a claim, and what it rests on; below the headline without repeating it."""
    parts = ([] if headline else [text(claim)]) + [claim.detail_text(wording())]
    said = " ".join(part for part in parts if part)
    st.markdown(f":{COLOURS[claim.sureness]}-badge[{SHAPES[claim.sureness]} {data.literal(_(claim.sureness))}] {data.literal(said)}")


def sure(sureness: Sureness) -> None:
    """A word with a shape, so that it can be told apart without its colour."""
    st.badge(data.literal(f"{SHAPES[sureness]} {_(sureness)}"), color=COLOURS[sureness])


def text(claim: Claim) -> str:
    return claim.text(wording())


def named(found: Sequence[Claim], name: str) -> Claim | None:
    return next((claim for claim in found if claim.name == name), None)


def section(title: str, claim: Claim | None = None) -> None:
    """A section of a page, with what is found there."""
    st.header(data.literal(title), anchor=False)
    if claim is not None:
        line(claim)
