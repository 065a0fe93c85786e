"""What cannot be read: named, with the way to be rid of it, while everything else is shown."""

from pathlib import Path

import streamlit as st

from dashboard.state import data
from dashboard.state.messages import _
from engine.queue import removal
from engine.store.damage import damaged
from engine.store.rundir import cache_path

DELETE = {"runs": removal.delete, "datasets": removal.delete_import, "results": removal.delete_import, "studies": removal.delete_study}


def damaged_folders(*kinds: str) -> None:
    """Every damaged folder of these kinds, and what is wrong with it."""
    for folder, why in damaged(cache_path(), *kinds).items():
        with st.container(border=True):
            st.text(folder.name)
            st.warning(data.literal(why))
            if folder.parent.name in DELETE:
                ask(folder)


def ask(folder: Path) -> None:
    with st.popover(_("Delete"), key=f"ask_delete_damaged_{folder.name}"):
        st.write(_("The folder with all that is left in it is removed for good."))
        if st.button(_("Yes"), key=f"delete_damaged_{folder.name}"):
            DELETE[folder.parent.name](cache_path(), folder.name)
            st.rerun()
