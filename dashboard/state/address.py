"""What the address of a page says: every choice stands in it, so that a link shows the same, also after later runs."""

from collections.abc import Container, Iterator
from contextlib import contextmanager

import streamlit as st

BESIDE = ("with", "with_answers")  # a scorer, or answers, beside what is shown
COMPARISON = (
    "dataset", "split", "trained", "base", "tuned_answers", "base_answers", "reward_runs", "policy_runs", "study", "group_field", "slice",
    *BESIDE,
)  # fmt: skip
"""What is looked at on every page: once chosen in a session it holds, whatever address a browser still has of an earlier page."""

ROWS = ("pair", "prompt", "page", "preferred", "type", "flag", "order", "scorer", "search", "pair_search", "pair_order")
"""What is asked of the rows of a dataset's split, on the pages that list them: of another one it means nothing."""
OF_ROWS = ("dataset", "split")  # whose rows these are
FILTERS = ("page", "preferred", "type", "flag", "scorer", "search")  # those of the page Prompts


def asked(name: str) -> list[str]:
    """The values in the address, or those chosen before on another page, which are put into the address again. A blank one is none."""
    chosen: dict[str, list[str]] = st.session_state.setdefault("chosen", {})
    holds = name in COMPARISON and name in chosen
    values = chosen[name] if holds else st.query_params.get_all(name) or chosen.get(name, [])
    values = [value for value in values if value]
    put(name, values)
    return values


def settle() -> None:
    """Take out of the address what it asks of the rows of another dataset or split than the chosen one.

    While a page is drawn anew for another dataset, a browser may still send the address of the one before, as when something else is
    clicked meanwhile, and on Back.
    """
    chosen: dict[str, list[str]] = st.session_state.get("chosen", {})
    asked = {name: st.query_params.get_all(name) for name in OF_ROWS}
    if any(asked[name] and chosen.get(name) and asked[name] != chosen[name] for name in OF_ROWS):
        for name in ROWS:
            put(name, chosen.get(name, []))


def only(**wanted: str) -> dict[str, str]:
    """What a link to the page Prompts asks for: this, and blank whatever else was asked for there before."""
    chosen: dict[str, list[str]] = st.session_state.get("chosen", {})
    return {**{name: "" for name in FILTERS if chosen.get(name)}, **wanted}


def asked_of(name: str, options: Container[str], complaint: str) -> list[str]:
    """Those of the asked values that are options; every other one is said with `complaint` and forgotten."""
    values = asked(name)
    unknown = [value for value in values if value not in options]
    for value in unknown:
        complain(complaint.format(id=value))
    if unknown:
        put(name, [value for value in values if value in options])
    return [value for value in values if value in options]


def shown(name: str, key: str, default: str | None, options: Container[str] | None = None) -> str:
    """Give the field of this key the value in the address, a text or one of the options, else the default; the key.

    A text that is there already is left alone: what is being typed would be lost.
    """
    said = next(iter(asked(name)), default)
    value = said if options is None or said in options else default
    if options is not None or st.session_state.get(key) != value:
        st.session_state[key] = value
    return key


def keep(name: str, key: str, default: str | None) -> None:
    """Write into the address what was just typed or chosen in the field of this key; its default is not written."""
    value = st.session_state[key]
    put(name, [] if value in (None, default) else [value])


def put(name: str, values: list[str]) -> None:
    """Put values into the address, and bring them back on the other pages; none removes the name."""
    st.session_state.setdefault("chosen", {})[name] = values
    waiting: dict[str, list[str]] | None = st.session_state.get("waiting")
    if waiting is not None:
        waiting[name] = values
    elif values != st.query_params.get_all(name):
        st.query_params[name] = values


@contextmanager
def in_one_step() -> Iterator[None]:
    """What is put meanwhile enters the address at the end and together: the browser's Back has one step for it, not one for each name."""
    st.session_state["waiting"] = {}
    try:
        yield
    finally:
        waiting: dict[str, list[str]] = st.session_state.pop("waiting")
        if changed := {name: values for name, values in waiting.items() if values != st.query_params.get_all(name)}:
            st.query_params.update(changed)


def forget(*names: str) -> None:
    for name in names:
        put(name, [])


def complain(sentence: str) -> None:
    """A sentence about the address, to be said on the page."""
    st.session_state.setdefault("unknown", []).append(sentence)


def complaints() -> list[str]:
    """What is to be said about the address, once."""
    found: list[str] = st.session_state.pop("unknown", [])
    return found
