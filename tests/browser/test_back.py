"""The browser's Back leads to the page before."""

import re

import pytest
from playwright.sync_api import Page, expect

from docs.screenshots import Served, settle, shown

pytestmark = pytest.mark.browser


def test_a_page_is_few_steps_of_the_history(filled_dashboard: Served, window: Page) -> None:
    """All that a page writes into its address when it opens is one step: with the page's own it makes three, and not one for each name."""
    page = shown(window, filled_dashboard.url)
    settle(page)
    headline = page.get_by_role("heading", level=1)
    said, before = headline.inner_text(), page.evaluate("history.length")
    page.get_by_role("link", name="DPO vs base").first.click()
    expect(page).to_have_url(re.compile("/dpo_vs_base.*split="))
    settle(page)
    steps = page.evaluate("history.length") - before
    assert 1 <= steps <= 3
    for _ in range(steps):
        page.go_back()
        settle(page)
    expect(headline).to_have_text(said)
