"""The pairs that are looked at, the most wrongly ranked first, and beside them the one that is picked with both its responses."""

from typing import Any

import polars as pl
import streamlit as st

from dashboard import queries
from dashboard.parts import drawings, pair
from dashboard.parts import slices as slice_parts
from dashboard.parts.columns import PADDING_PIXELS, preview
from dashboard.queries import Selection
from dashboard.state import address, data, slices
from dashboard.state.messages import _, ours
from engine.statistics.wording import number

ROWS = 12  # on a page
PROMPT_PIXELS = 160
NAME = "pair"  # in the address
BAR_PIXELS = 70  # the least width of the column of bars


def show(selection: Selection) -> None:
    """What is looked at, and a page of it beside the picked pair, which stands in the address; the first one while none is picked."""
    with st.container():  # a place that stays when the line comes and goes, so that the list below is not drawn anew
        slice_parts.line(selection)
        if selection.trained_scorer:
            slice_parts.offer(selection, _("Ranked wrong"), slices.predicate("margin", selection, None, high=0))
    place = picked(selection)
    rows = data.read(queries.ranked_pairs, selection, page=place // ROWS, rows=ROWS)
    if rows.is_empty():
        st.caption(data.literal(slice_parts.nothing(selection) if selection.slice else _("There are no pairs in this split.")))
        return
    beside, detailed = st.columns((9, 11), gap="medium")
    with beside:
        listed(selection, rows, place)
    with detailed:
        where = _("{place} of {total}").format(place=number(place + 1, 0), total=number(rows["matches"][0], 0))
        pair.show(selection, rows["pair_id"][place % ROWS], where)


def picked(selection: Selection) -> int:
    """The place of the pair in the address among those that are looked at."""
    for asked in address.asked(NAME):
        place = data.read(queries.pair_place, selection, asked)
        if place is not None:
            return place
        if selection.slice is None:
            st.warning(data.literal(_("The pair {id} is not here. The first one is shown.").format(id=asked)))
    return 0


def listed(selection: Selection, rows: pl.DataFrame, place: int) -> None:
    """One page: prompt, margin as a number and as a bar, type, and how much longer the chosen response is."""
    key = f"pairs_{hash((selection, place // ROWS))}"
    st.session_state[key] = {"selection": {"rows": [place % ROWS]}}
    shown = rows.select(
        pl.col("prompt").map_elements(lambda text: preview(text, PROMPT_PIXELS), return_dtype=pl.String),
        pl.Series("margin", [number(margin, signed=True) for margin in rows["margin"]]),
        pl.Series("bar", [bar(*row) for row in rows.select("margin", "widest").iter_rows()], dtype=pl.String),
        pl.Series("prompt_type", [kind and ours(kind) for kind in rows["prompt_type"]], dtype=pl.String),
        pl.Series("longer_by", [number(words, 0, signed=True) for words in rows["longer_by"]]),
    )
    st.dataframe(
        shown,
        hide_index=True,
        height="content",
        row_height=drawings.ROW_PIXELS,
        column_config={
            "prompt": st.column_config.TextColumn(_("Prompt"), width=PROMPT_PIXELS),
            "margin": st.column_config.TextColumn(_("Margin"), alignment="right", help=_("Chosen − rejected reward by the reward model.")),
            "bar": st.column_config.ImageColumn(
                "",
                width=BAR_PIXELS,
                help=_("The margin as a bar; the longest is the largest margin, of either sign, of all pairs that are looked at."),
            ),
            "prompt_type": st.column_config.TextColumn(_("Type")),
            "longer_by": st.column_config.TextColumn(_("Words ±"), alignment="right", help=_("Words that the chosen response has more.")),
        },
        on_select=lambda: pick(selection, rows, st.session_state[key]["selection"]),
        selection_mode=["single-row-required", "single-cell"],
        placeholder="–",
        key=key,
        alt=_("Pairs by their margin, the most wrongly ranked first"),
    )
    steps(selection, place, int(rows["matches"][0]))


def bar(margin: float | None, widest: float | None) -> str | None:
    """A margin as a picture of ours; nothing where there is none, or all are 0."""
    if margin is None or not widest:
        return None
    return drawings.signed_bar(margin, widest, BAR_PIXELS - PADDING_PIXELS)  # a table cuts off what is wider


def pick(selection: Selection, rows: pl.DataFrame, chosen: dict[str, Any]) -> None:
    """A click on a cell picks its row, as one on the row's mark does."""
    if clicked := [row for row, _column in chosen["cells"]] or chosen["rows"]:
        put(selection, [rows["pair_id"][clicked[0]]])


def go(selection: Selection, place: int) -> None:
    """Pick the pair at a place of the list."""
    put(selection, data.read(queries.ranked_pairs, selection, page=place, rows=1)["pair_id"].to_list())


def put(selection: Selection, pair_ids: list[str]) -> None:
    """Pick a pair, unless the click comes late, when another dataset or split is looked at."""
    if [*address.asked("dataset"), *address.asked("split")] == [selection.dataset_id, selection.split]:
        address.put(NAME, pair_ids)


def steps(selection: Selection, place: int, total: int) -> None:
    """To the pair before and after by button or key, and to other pages."""
    first = place // ROWS * ROWS
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        before, after = (first - ROWS if first else None), (first + ROWS if first + ROWS < total else None)
        st.button("‹", key="pairs_before", help=_("The page before"), disabled=before is None, on_click=go, args=(selection, before))
        last = min(first + ROWS, total)
        st.caption(
            data.literal(_("{first} to {last} of {total}").format(first=first + 1, last=last, total=number(total, 0))), width="content"
        )
        st.button("›", key="pairs_after", help=_("The next page"), disabled=after is None, on_click=go, args=(selection, after))
        st.space("stretch")
        st.button(
            _("Previous"), key="pair_up", shortcut="K", type="tertiary", disabled=place == 0, on_click=go, args=(selection, place - 1)
        )
        st.button(
            _("Next"), key="pair_down", shortcut="J", type="tertiary", disabled=place + 1 >= total, on_click=go, args=(selection, place + 1)
        )
