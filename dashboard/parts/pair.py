"""One pair, whole: its prompt, and both responses beside each other with the reward that each scorer gives them (Table 1)."""

import json
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard import figures, queries
from dashboard.parts import answers, figure, widgets
from dashboard.queries import Selection
from dashboard.state import data
from dashboard.state.messages import _, counted, ours
from engine.statistics.wording import number


def show(selection: Selection, pair_id: str, place: str = "") -> None:
    """place: where it stands in a list, "3 of 38"."""
    found = data.read(queries.pair_texts, selection, pair_id)
    if found.is_empty():
        return
    row = found.row(0, named=True)
    scored = row["margin"] is not None
    with st.container(border=True, gap="xsmall", key="pair_detail"):
        with st.container(horizontal=True, wrap=False, vertical_alignment="center"):
            figure.heading(*(_("Table 1"), _("How do both reward models rate this pair?")) if scored else ("", _("The pair")))
            st.caption(data.literal(place), width="content")
            of_pair, table = replace(selection, pair_id=pair_id), figures.find_table("preference_pair")
            widgets.exported(table, data.read(table.query, of_pair), of_pair)
        turns = [(turn["role"], turn["content"]) for turn in json.loads(row["turns"])]
        answers.beside((response(row, "chosen"), response(row, "rejected")), turns, key="pair_answers")
        st.caption(data.literal(difference(row)))
        line = _("line {n}").format(n=row["line"]) if row["line"] else None
        st.caption(data.literal("\u00a0· ".join(part for part in (ours(row["prompt_type"] or ""), row["source"], line, pair_id) if part)))


def response(row: dict[str, Any], side: answers.Role) -> answers.Answer:
    """One response with its reward by the trained scorer, its length, and what the untrained one gives it."""
    untrained = row[f"{side}_untrained"]
    said = "" if untrained is None else _("untrained {reward}").format(reward=number(untrained))
    return answers.Answer(side, row[side], said, row[f"{side}_trained"], words=row[f"{side}_words"])


def difference(row: dict[str, Any]) -> str:
    """Margin −2.33 (untrained −0.17). The chosen response is 37 words shorter."""
    values = {name: number(row[name], signed=True) for name in ("margin", "untrained_margin") if row[name] is not None}
    both, one = _("Margin {margin} (untrained {untrained_margin})."), _("Margin {margin}.")
    margin = (both if len(values) == 2 else one).format(**values) if "margin" in values else ""
    words = row["chosen_words"] - row["rejected_words"]
    longer, shorter = _("The chosen response is {words} longer."), _("The chosen response is {words} shorter.")
    length = (longer if words > 0 else shorter).format(words=counted(abs(words), "words"))
    return f"{margin} {length if words else _('Both responses have as many words.')}".strip()
