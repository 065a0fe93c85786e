"""Boxes of a menu that may be closed while what they show is changed elsewhere."""

from collections.abc import Mapping

import streamlit as st


def key_of(name: str, options: Mapping[str, str], shown: str | list[str] | None) -> str:
    """The key of a box: another one once what it shows was changed elsewhere, or has another name.

    Of a box in a closed menu a browser sends what was last picked in it, by the name of then, whatever the box was set to since. Under the
    same key that would count as picked again.
    options: {id: name}. shown: the id or ids that the box will be set to.
    """
    boxes: dict[str, tuple[int, Mapping[str, str]]] = st.session_state.setdefault("boxes", {})
    count, before = boxes.get(name, (0, options))
    values = shown if isinstance(shown, list) else [shown] if shown else []
    changed = st.session_state.get(numbered(name, count), shown) != shown
    if changed or any(before.get(value) != options[value] for value in values):
        count += 1
    boxes[name] = count, options
    return numbered(name, count)


def numbered(name: str, count: int) -> str:
    return f"{name}_{count}" if count else name
