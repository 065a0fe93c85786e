"""Prompts that show what a number means: the largest gains and losses with both answers, the answers that were not cut."""

from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.queries import Selection
from dashboard.state import data, slices
from dashboard.state.messages import _
from engine.statistics.wording import counted, number

LONG_CHARS, LONG_PIXELS = 420, 160  # an answer of more characters scrolls in a box of this height


def both_ends(selection: Selection, each: int = 2) -> None:
    """The prompts on which the trained scorer sees the tuned answer gain and lose most, with both answers and the way to all of them."""
    ordered = data.read(queries.prompts, selection, order="difference")
    won, lost = (ordered.filter(queries.prefers(who))["prompt_id"] for who in ("tuned", "base"))
    ends = won.head(each).to_list(), lost.tail(each).reverse().to_list()
    rows = data.read(queries.prompt_table, selection, (*ends[0], *ends[1]))
    gains, losses = rows[: len(ends[0])], rows[len(ends[0]) :]
    for title, rows in ((_("gain"), gains), (_("loss"), losses)):
        for place, row in enumerate(rows.iter_rows(named=True)):
            example(row, _("largest {what}").format(what=title) if place == 0 else _("{place}. {what}").format(place=place + 1, what=title))
    if gains.is_empty() and losses.is_empty():
        st.caption(_("No prompt is won or lost here."))
        return
    st.page_link("views/prompts.py", label=_("All prompts"), icon=":material/arrow_forward:")


def example(row: dict[str, Any], title: str) -> None:
    """One prompt and both answers to it, each with its reward and length; long ones in part."""
    with st.container(border=True):
        about, base, tuned = st.columns((3, 4, 4), gap="medium")
        with about:
            kind = f"{row['prompt_type']} · " if row["prompt_type"] else ""
            st.caption(data.literal(f"{title} · {kind}{number(row['difference'], signed=True)}"))
            st.text(row["prompt"][:400])
        for column, side, name in ((base, "base", _("Base")), (tuned, "tuned", _("Tuned"))):
            with column:
                length = counted_length(row, side)
                st.caption(data.literal(f"{name} · {number(row[f'{side}_trained'])} · {length}"))
                answer = row[f"{side}_answer"]
                with st.container(height=LONG_PIXELS if len(answer) > LONG_CHARS else "content", border=False):
                    st.text(answer)


def counted_length(row: dict[str, Any], side: str) -> str:
    tokens, words = row[f"{side}_tokens"], row[f"{side}_words"]
    length = counted(words, "words") if tokens is None else counted(tokens, "tokens")
    return _("{length}, cut").format(length=length) if row[f"{side}_cut"] else length


def only_complete(selection: Selection) -> None:
    """A button that looks at the prompts where the token limit cut neither answer."""
    both = [slices.predicate(field, selection, None, values=(False,)) for field in ("base_cut", "tuned_cut")]
    st.button(_("Show only complete answers"), key="only_complete", on_click=slices.add, args=(selection, both))
