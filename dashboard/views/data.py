"""The datasets: what was kept and dropped, how the pairs look, and how to bring in more."""

import json

import streamlit as st

from dashboard import queries
from dashboard.parts import cards, importing, widgets
from dashboard.parts.damage import damaged_folders
from dashboard.state import data
from dashboard.state.messages import _
from engine.data.formats import REASONS


def counts() -> None:
    """The dataset's pairs by split and its dropped records by reason."""
    row = data.read(queries.dataset, selection).row(0, named=True)
    splits, dropped = json.loads(row["splits"]), json.loads(row["dropped_by"])
    with st.grid(min_column_width=200):
        cards.number(_("Kept"), f"{row['kept']:,}", _("pairs in format {format}").format(format=row["format"]))
        cards.number(_("Dropped"), f"{row['dropped']:,}", _("records, by reason in the table below") if dropped else _("records"))
        for split, pairs in splits.items():
            cards.number(_("Split {name}").format(name=split), f"{pairs:,}", _("pairs"))
    licence = row["licence"] or _("not given")
    st.caption(data.literal(_("Source: {source}. Licence: {licence}.").format(source=origin(row), licence=licence)))
    if dropped:
        why = [REASONS.get(name, name) for name in dropped]
        named = _("Its name in rejects.jsonl")
        st.dataframe({_("Reason"): why, _("Records"): list(dropped.values()), named: list(dropped)}, hide_index=True, width="content")


def origin(row: dict[str, str]) -> str:
    """Where the pairs came from; of several sources, which split from which."""
    if not row["source"].startswith("{"):
        return row["source"]
    return ", ".join(_("{split} from {source}").format(split=split, source=source) for split, source in json.loads(row["source"]).items())


def preview() -> None:
    """The pairs as they are, twenty on a page."""
    search = st.text_input(_("Search the pairs"), key="pair_search", type="search")
    key = widgets.page_key(selection, search)
    page = st.session_state.get(key, 1) - 1
    rows = data.read(queries.pairs, selection, search=search, page=page)
    if rows.is_empty():
        st.info(_("No pair holds this text on this page."))
    for pair in rows.iter_rows(named=True):
        with st.expander(data.literal(pair["prompt"][:160])):
            st.text(pair["prompt"])
            for side, column in zip(("chosen", "rejected"), st.columns(2), strict=True):
                column.caption(data.literal(_("{side}, {words} words").format(side=_(side), words=pair[f"{side}_words"])))
                column.code(pair[side], language=None, wrap_lines=True)
    widgets.pages(0 if rows.is_empty() else rows["matches"][0], 20, key)


PAIRS, IMPORT = _("Pairs"), _("Import")
selection = widgets.heading(_("Data"), needs_data=False, page="data", question=_("What is in the data?"))
if "imported" in st.session_state:
    st.session_state["data_tab"] = PAIRS
importing.say_imported()
damaged_folders("datasets", "results")
if selection.dataset_id is None:
    importing.steps()
    st.stop()
looking, bringing = st.tabs([PAIRS, IMPORT], key="data_tab", on_change="rerun")
if looking.open:
    with looking:
        counts()
        widgets.show_page("data", selection)
        preview()
if bringing.open:
    with bringing:
        importing.steps()
