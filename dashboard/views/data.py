"""The datasets: what was kept and dropped, how the pairs look, and how to bring in more."""

import json
from pathlib import Path

import polars as pl
import streamlit as st

from dashboard import figures, queries
from dashboard.parts import assigning, figure, importing, pairs, verdict, widgets
from dashboard.parts.damage import damaged_folders
from dashboard.state import data
from dashboard.state.messages import _, counted, listed, ours
from engine.data.formats import REASONS
from engine.statistics.wording import number


def counts() -> None:
    """The dataset's pairs by split, where they come from, and its dropped records by reason, in one line."""
    row = data.read(queries.dataset, selection).row(0, named=True)
    splits, dropped = json.loads(row["splits"]), json.loads(row["dropped_by"])
    kept = listed(_("{pairs} {split}").format(pairs=number(n, 0), split=ours(split)) for split, n in splits.items())
    text = _("{kept} kept ({splits}), {dropped} left out. Format {format}, source {source}, licence {licence}.").format(
        kept=counted(row["kept"], "pairs"),
        splits=kept,
        dropped=counted(row["dropped"], "records"),
        format=assigning.format_name(row["format"]),
        source=origin(row),
        licence=row["licence"] or _("not given"),
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(data.literal(text), width="content")
        if dropped:
            with st.popover(_("Why left out"), type="tertiary"):
                why = [_(REASONS.get(name, name)) for name in dropped]
                rows = pl.DataFrame({_("Records"): list(dropped.values()), _("Reason"): why, _("In rejects.jsonl"): list(dropped)})
                st.dataframe(rows, hide_index=True, width="content", row_height=32)


def origin(row: dict[str, str]) -> str:
    """Where the pairs came from; of several sources, which split from which."""
    if not row["source"].startswith("{"):
        return file_name(row["source"])
    parts = json.loads(row["source"]).items()
    return listed(_("{split} from {source}").format(split=ours(split), source=file_name(source)) for split, source in parts)


def file_name(source: str) -> str:
    """Of a file on this machine its name alone; a hub name, or the demo's, as it is."""
    return Path(source).name if Path(source).is_absolute() else ours(source)


def look() -> None:
    """The dataset: lengths and words, the pairs themselves, then where its responses lie and what they speak of."""
    counts()
    beside("lengths", "distinguishing_words", level=2)
    pairs.show(selection)
    verdict.section(_("What the responses speak of"))
    beside("response_map", "words_chosen", "words_rejected")


def beside(*names: str, level: int = 3) -> None:
    """Figures over the whole width; below them what is missing for those that have nothing to draw."""
    empty = {name: data.read(figures.find(name).query, selection, key=name).is_empty() for name in names}
    drawn = [name for name in names if not empty[name]]
    places = dict(zip(drawn, st.columns(max(len(drawn), 1), gap="medium"), strict=False))
    for name in names:
        with places[name] if name in places else st.container():
            figure.show(figures.find(name), selection, level=level)


PAIRS, IMPORT = _("Pairs"), _("Import")
selection = widgets.heading(_("Data"), needs_data=False, page="data", question=_("What is in the data?"))
if "imported" in st.session_state:  # other tabs, since the browser keeps what was open in these
    st.session_state["data_tabs"] = st.session_state.get("data_tabs", 0) + 1
importing.say_imported()
damaged_folders("datasets", "results")
if selection.dataset_id is None:
    importing.steps()
    st.stop()
tabs = f"data_tab_{st.session_state.get('data_tabs', 0)}"
if st.session_state.pop("data_import", False):  # asked for elsewhere
    st.session_state[tabs] = IMPORT
looking, bringing = st.tabs([PAIRS, IMPORT], key=tabs, on_change="rerun")
if looking.open:
    with looking:
        look()
if bringing.open:
    with bringing:
        importing.steps()
