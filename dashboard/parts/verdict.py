"""How a page begins: its question, the answer in one sentence, how sure one may be, and the numbers that it rests on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import streamlit as st

from dashboard import queries
from dashboard.parts import offers
from dashboard.parts import slices as slice_parts
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
EQUALS = "\u00a0=\u00a0"  # n = 71 stays on one line


def begin(page: str, question: str, title: str, most: int = 3) -> list[Claim]:
    """The page's question and its first claims; `title` while there is nothing to claim. Returns all claims of the page."""
    selection = data.selection()
    found = found_on(page, selection)
    with st.container(gap="xsmall", key="verdict"):
        if question:
            st.caption(data.literal(question))
        if found:
            scope(selection, found[0])
        st.title(data.literal(headline(found[0], selection) if found else title), anchor=False)
        for claim in found[:most]:
            line(claim, is_headline=claim is found[0])
    if second := data.second():
        beside(selection, second)
    elif selection.dataset_id is not None:
        offers.show(selection)
    return found


def scope(selection: Selection, claim: Claim) -> None:
    """Of which rows a claim speaks, above it; nothing while all are looked at."""
    if selection.slice is None:
        return
    counts = slice_parts.counts(replace(selection, slice=claim.slice))
    values = {"slice": slices.named(claim.slice), "all": slices.named(selection.slice), "counts": counts}
    if claim.slice == selection.slice:
        said = _("Slice {slice}: {counts}.")
    elif claim.slice is None:
        said = _("This speaks of all pairs: the slice “{all}” decides the answer by its definition.")
    else:
        said = _("Slice {slice}: {counts}. Its conditions on rewards are left out, since they would decide the answer.")
    st.caption(f":material/filter_alt: {data.literal(said.format(**values))}")


def beside(selection: Selection, second: data.Second) -> None:
    """How what is seen beside differs from what is shown, on the same rows, and how sure one may be of it."""
    found = data.read(queries.paired_differences, selection.undecided, second.selection.undecided)
    with st.container(border=True, gap="xsmall", key="beside"):
        for claim in found:
            line(claim)
        if not found:
            st.markdown(data.literal(_("{name} and what is shown have nothing in common that was measured.").format(name=second.name)))


def found_on(page: str, selection: Selection) -> list[Claim]:
    """All claims of a page."""
    if selection.dataset_id is None or not page:
        return []
    return data.read(claims, selection, page)


def line(claim: Claim, is_headline: bool = False) -> None:
    """How sure one may be of a claim, and what it rests on; below the headline without repeating it."""
    parts = ([] if is_headline else [text(claim)]) + [claim.detail_text(wording())]
    said = " ".join(part for part in parts if part)
    said_with(claim.sureness, said)


def said_with(sure: Sureness, sentence: str = "") -> None:
    """How sure one may be, as a word with a shape, so that it can be told apart without its colour; and a sentence behind it."""
    st.markdown(f":{COLOURS[sure]}-badge[{SHAPES[sure]} {data.literal(_(sure))}] {data.literal(sentence.replace(' = ', EQUALS))}")


def text(claim: Claim) -> str:
    return claim.text(wording())


def headline(claim: Claim, selection: Selection) -> str:
    """The claim, with the population that it speaks of where that is not the slice that is looked at."""
    if claim.slice == selection.slice:
        return text(claim)
    by = claim.estimates.get("by")
    of_prompts = by is not None and by.counted == "prompts"
    if claim.slice is None:
        form, among = _("Among all prompts, {claim}") if of_prompts else _("Among all pairs, {claim}"), ""
    else:
        form = _("Among prompts where {slice}, {claim}") if of_prompts else _("Among pairs where {slice}, {claim}")
        among = slices.clauses(claim.slice)
    begins_with_a_word = claim.template[:1].isalpha()  # not with a value: names keep their capitals
    said = text(claim)
    return form.format(slice=among, claim=said[:1].lower() + said[1:] if begins_with_a_word else said)


def named(found: Sequence[Claim], name: str) -> Claim | None:
    return next((claim for claim in found if claim.name == name), None)


def section(title: str, claim: Claim | None = None) -> None:
    """A section of a page, with what is found there."""
    st.header(data.literal(title), anchor=False)
    if claim is not None:
        line(claim)
