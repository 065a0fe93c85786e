"""The chips without a mouse: Tab reaches one, Enter opens it, Tab goes into it, arrows choose, the focus stays, and Escape leads back."""

import pytest
from playwright.sync_api import Page, expect

from docs.screenshots import Served, settle, shown

pytestmark = pytest.mark.browser
STOPS = 40  # of Tab before a chip, at most: the list of pages stands before it
FOCUSED = "key => Boolean(document.activeElement.closest(`.st-key-${key}`))"


def test_a_chip_is_reached_opened_and_chosen_in_by_keys(filled_dashboard: Served, window: Page) -> None:
    page = shown(window, f"{filled_dashboard.url}/reward_model")
    for _ in range(STOPS):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED, "chip_split"):
            break
    page.keyboard.press("Enter")
    field = page.get_by_role("combobox", name="Split")
    expect(field).to_be_visible()
    page.keyboard.press("Tab")  # what the choice means
    page.keyboard.press("Tab")
    expect(field).to_be_focused()
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    settle(page)
    expect(page.locator(".st-key-chip_split")).to_contain_text("train")
    assert "split=train" in page.url
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(field).to_be_hidden()
    assert page.evaluate(FOCUSED, "chip_split")
