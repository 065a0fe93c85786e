"""What Streamlit leaves out for who has no mouse: Tab goes from the button of an open popover into it, and from its end back."""

import streamlit as st

SCRIPT = """
const STOPS = "a[href], button, input, select, textarea, [tabindex='0']"

export default function () {
  const step = (event) => {
    if (event.key !== "Tab") return
    const body = document.querySelector("[data-testid=stPopoverBody]")
    const button = document.querySelector("[data-testid=stPopoverButton][aria-expanded=true]")
    if (!body || !button) return
    const stops = [...body.querySelectorAll(STOPS)].filter((stop) => !stop.disabled && stop.tabIndex >= 0 && stop.offsetParent)
    const here = document.activeElement
    const ends = event.shiftKey ? here === stops[0] : here === stops.at(-1)
    const to = here === button && !event.shiftKey ? stops[0] : ends ? button : null
    if (!to) return
    event.preventDefault()
    to.focus()
  }
  document.addEventListener("keydown", step)
  return () => document.removeEventListener("keydown", step)
}
"""
component = st.components.v2.component("prefscope_keyboard", html="<span></span>", js=SCRIPT)


def keys() -> None:
    """Listen on this page; nothing is drawn."""
    with st.container(key="keyboard"):
        component(key="keyboard_listens")
