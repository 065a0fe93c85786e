"""Find prompts, and see every response to one of them with every reward."""

import json

import polars as pl
import streamlit as st

from dashboard import queries
from dashboard.parts import columns, widgets
from dashboard.state import data
from dashboard.state.messages import _

ROWS = 25
ORDERS = {
    "difference": _("Tuned wins by most"),
    "difference_up": _("Base wins by most"),
    "reward": _("Highest tuned reward"),
    "length": _("Longest tuned answer"),
    "prompt": _("Alphabet"),
}
WINNERS = {"tuned": _("Tuned"), "base": _("Base"), "tie": _("Neither")}


def one(prompt_id: str) -> None:
    """The conversation and all its responses, side by side, as plain text."""
    row = data.read(queries.prompt, prompt_id)
    if row.is_empty():
        st.warning(data.literal(_("The prompt {id} is not here. Search for another one below.").format(id=prompt_id)))
        return
    for turn in json.loads(row["turns"][0]):
        st.caption(data.literal(_(turn["role"]).capitalize()))
        st.text(turn["content"])
    with st.grid(min_column_width=340):
        for response in data.read(queries.responses_to, selection, prompt_id).iter_rows(named=True):
            with st.container(border=True):
                made_by = "" if response["role"] in ("chosen", "rejected") else response["made_by"]
                st.markdown(f"**{data.literal(_(response['role']).capitalize())}** {data.literal(made_by)}")
                size = _("At least {words} words: cut by the token limit") if response["cut"] else _("{words} words")
                st.caption(data.literal(size.format(words=response["words"])))
                st.code(response["text"], language=None, wrap_lines=True)
                rewards = pl.DataFrame(response["rewards"] or [], schema={"scorer": pl.String, "reward": pl.Float64})
                if not rewards.is_empty():
                    st.dataframe(rewards, hide_index=True, column_config=columns.headed(rewards))


def found() -> None:
    """One page of the prompts that match; a click on a row opens it."""
    with st.grid(min_column_width=200):
        search = st.text_input(_("Search prompts and answers"), key="prompt_search", type="search")
        winner = st.selectbox(_("Preferred answer"), list(WINNERS), None, WINNERS.__getitem__, placeholder=_("Any"), key="prompt_winner")
        kind = st.selectbox(_("Prompt type"), data.read(queries.prompt_types, selection), None, placeholder=_("Any"), key="prompt_type")
        order = st.selectbox(_("Order"), list(ORDERS), format_func=ORDERS.__getitem__, key="prompt_order")
    key = widgets.page_key(selection, search, winner, kind, order)
    page = st.session_state.get(key, 1) - 1
    rows = data.read(queries.prompts, selection, search=search, winner=winner, prompt_type=kind, order=order, page=page, rows=ROWS)
    matches = 0 if rows.is_empty() else rows["matches"][0]
    st.caption(data.literal(_("{n:,} prompts. Choose a row to see every response to it.").format(n=matches)))
    shown = columns.readable(rows.drop("matches", "language"))
    picked = st.dataframe(
        shown,
        hide_index=True,
        column_config=columns.headed(shown),
        on_select="rerun",
        selection_mode="single-row",
        placeholder="–",
        key=f"rows_{key}_{page}",
    )
    if picked["selection"]["rows"]:
        st.query_params["prompt"] = rows["prompt_id"][picked["selection"]["rows"][0]]
    widgets.below("", shown, "prompts")
    widgets.pages(matches, ROWS, key)


selection = widgets.heading(_("Prompts"), page="prompts", question=_("What do base and tuned policy answer, prompt by prompt?"))
place = st.container()
found()
if asked := st.query_params.get("prompt"):
    with place, st.container(border=True):
        one(asked)
