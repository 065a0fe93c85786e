"""One cross-hair over the figures of a container: reading one at a step reads the others there too. A component of ours."""

from pathlib import Path

import streamlit as st

component = st.components.v2.component(
    "prefscope_crosshair",
    js=(Path(__file__).parent / "crosshair_component" / "crosshair.js").read_text(encoding="utf-8"),
)


def over(container: str) -> None:
    """Link the figures in the container of this key, also those that are drawn later."""
    component(key=f"crosshair_{container}", data={"within": container})
