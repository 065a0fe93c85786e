"""The pairs of a dataset as a table to look through: searched, ordered, paged; the one that is picked stands below it whole."""

import polars as pl
import streamlit as st

from dashboard import queries
from dashboard.parts import pair, verdict, widgets
from dashboard.parts import slices as slice_parts
from dashboard.parts.columns import preview
from dashboard.queries import Selection
from dashboard.report.tabular import csv_text
from dashboard.state import address, data
from dashboard.state.messages import _, ours
from engine.statistics.wording import number

ROWS = 15  # of one page
TEXT_PIXELS = 210


def show(selection: Selection) -> None:
    """Search, order, the page of pairs, the pair that is picked, and all of them as CSV."""
    verdict.section(_("The pairs"))
    slice_parts.line(selection, csv=False)
    orders = {
        "imported": _("as imported"),
        "chosen_longer": _("chosen longer first"),
        "rejected_longer": _("rejected longer first"),
        "most_alike": _("most alike in length first"),
        "longest": _("longest first"),
    }
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input(
            _("Search prompts and responses"), key=address.shown("pair_search", "pair_search", ""), type="search", width=360,
            placeholder=_("Search"), on_change=address.keep, args=("pair_search", "pair_search", ""),
        )  # fmt: skip
        order = st.selectbox(
            _("Order"), list(orders), key=address.shown("pair_order", "pair_order", "imported", orders), format_func=orders.__getitem__,
            width=260, on_change=address.keep, args=("pair_order", "pair_order", "imported"),
        )  # fmt: skip
        st.download_button(
            _("CSV with ids"), lambda: csv_text(data.read(queries.matching_pairs, selection, search=search)), "pairs.csv", "text/csv",
            key="pairs_csv", on_click="ignore",
        )  # fmt: skip
    key = widgets.page_key(selection, search, order)
    page = st.session_state.get(key, 1) - 1
    rows = data.read(queries.pairs, selection, search=search, order=order, page=page, rows=ROWS)
    if rows.is_empty():
        st.info(_("No pair holds this text.") if search else _("No pairs."))
        return
    with st.grid(min_column_width=900, gap="medium"):
        with st.container():
            picked = list_of(rows, f"{key}_{page}")
            widgets.pages(int(rows["matches"][0]), ROWS, key)
        with st.container():
            if picked is None:
                st.caption(_("Pick a row to read the pair."))
            else:
                pair.show(selection, picked)


def list_of(rows: pl.DataFrame, key: str) -> str | None:
    """The page of pairs; the id of the one that is picked."""
    texts = [
        pl.col(name).map_elements(lambda text: preview(text, TEXT_PIXELS), return_dtype=pl.String)
        for name in ("prompt", "chosen", "rejected")
    ]
    counts = [pl.Series(name, [number(words, 0) for words in rows[name]]) for name in ("chosen_words", "rejected_words")]
    longer = pl.Series("longer_by", [number(words, 0, signed=True) for words in rows["longer_by"]])
    kinds = pl.Series("prompt_type", [kind and ours(kind) for kind in rows["prompt_type"]], dtype=pl.String)
    shown = rows.select(*texts, longer, *counts, kinds, "source")
    more = _("Words of the chosen response minus words of the rejected one.")
    columns = {
        "prompt": st.column_config.TextColumn(_("Prompt"), width=TEXT_PIXELS),
        "chosen": st.column_config.TextColumn(_("Chosen"), width=TEXT_PIXELS),
        "rejected": st.column_config.TextColumn(_("Rejected"), width=TEXT_PIXELS),
        "longer_by": st.column_config.TextColumn(_("Longer by"), help=data.literal(more), alignment="right", width=80),
        "chosen_words": st.column_config.TextColumn(_("Chosen words"), alignment="right", width=100),
        "rejected_words": st.column_config.TextColumn(_("Rejected words"), alignment="right", width=105),
        "prompt_type": st.column_config.TextColumn(_("Type"), width=90),
        "source": st.column_config.TextColumn(_("Source"), width=120),
    }
    kept = [name for name in shown.columns if shown[name].null_count() < len(shown)]
    event = st.dataframe(
        shown.select(kept), hide_index=True, row_height=32, height="content", column_config=columns, key=f"pairs_{key}",
        on_select="rerun", selection_mode=["single-row", "single-cell"], placeholder="–", alt=_("Pairs with their lengths"),
    )  # fmt: skip
    picked = [row for row, _column in event["selection"]["cells"]] or event["selection"]["rows"]
    return str(rows["pair_id"][picked[0]]) if picked and picked[0] < len(rows) else None
