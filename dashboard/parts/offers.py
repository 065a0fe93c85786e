"""A model that was finished after what is shown: offered once, with its result beside the one on the screen."""

from typing import Any

import polars as pl
import streamlit as st

from dashboard import queries
from dashboard.queries import Selection
from dashboard.state import address, data
from dashboard.state.messages import _, estimated, ours
from engine.statistics.estimate import Estimate


def show(selection: Selection) -> None:
    """The newest finished model that is not shown, and what can be done with it; nothing on the page changes by itself."""
    kept = st.session_state.setdefault("kept", [])
    found = data.read(queries.newer_models, selection)
    found = found.filter(~pl.col("id").is_in(kept))
    if found.is_empty():
        return
    row = found.row(0, named=True)
    with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="offer"):
        st.markdown(data.literal(sentence(row)), width="content")
        with st.container(horizontal=True, width="content", gap="xsmall"):
            beside = "with" if row["kind"] == "scorer" else "with_answers"
            st.button(_("Compare"), key="offer_compare", on_click=address.put, args=(beside, [row["id"]]))
            st.button(_("Use"), key="offer_use", on_click=use, args=(row,))
            st.button(_("Keep what is shown"), key="offer_keep", on_click=kept.extend, args=(found["id"].to_list(),))


def sentence(row: dict[str, Any]) -> str:
    """ux-retrain finished: 51.5 % of pairs right, shown here 81.0 %."""
    new, old = (estimated(Estimate(**row[name])) if row[name] else _("not measured") for name in ("new", "shown"))
    said = (
        _("{name} finished: accuracy {new}, shown here {old}.")
        if row["kind"] == "scorer"
        else _("{name} finished: win rate {new}, shown here {old}.")
    )
    return said.format(name=ours(row["name"]), new=new, old=old)


def use(row: dict[str, Any]) -> None:
    """Look at the new model from now on, on every page."""
    if row["kind"] == "scorer":
        address.put("trained", [row["id"]])
        address.put("base", [row["twin"]] if row["twin"] else [])
    else:
        address.put("tuned_answers", [row["id"]])
    address.put("reward_runs" if row["kind"] == "scorer" else "policy_runs", [row["run_id"]] if row["run_id"] else [])
    address.forget(*address.BESIDE)
