"""A table of prompt, good and bad in a real browser: dropped, seen, imported, opened."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from docs.screenshots import opened, served, settle
from engine.data.datasets_io import dataset_ids

pytestmark = pytest.mark.browser


@pytest.fixture
def page(empty_cache: Path, tmp_path: Path, browser: Browser) -> Iterator[Page]:
    empty_cache.mkdir(parents=True, exist_ok=True)
    with served(empty_cache, tmp_path / "log") as dashboard:
        yield opened(browser, f"{dashboard.url}/data")


def test_a_dropped_table_is_assigned_imported_and_opened(page: Page, empty_cache: Path, tmp_path: Path) -> None:
    """Its sides are turned round by two drop-downs before the import; the address then names the dataset, and a row opens its pair."""
    table = tmp_path / "mine.csv"
    table.write_text("prompt,good,bad\n" + "".join(f"Question {i}?,Yes {i}.,No {i}.\n" for i in range(30)))
    page.locator("input[type=file]").set_input_files(table)
    expect(page.get_by_text("All 30 records kept")).to_be_visible()
    for label, column in (("Chosen", "bad"), ("Rejected", "good")):
        menu = page.get_by_role("combobox", name=label)
        menu.scroll_into_view_if_needed()
        settle(page)  # a menu that opens while the page still scrolls is closed by it
        menu.click()
        page.get_by_role("option", name=column, exact=True).click()
        settle(page)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("Imported: 30 pairs kept")).to_be_visible(timeout=60_000)
    settle(page)
    (dataset_id,) = dataset_ids(empty_cache)
    expect(page).to_have_url(re.compile(f"dataset={dataset_id}"))
    rows = page.locator("[data-testid=stDataFrame]").first
    rows.scroll_into_view_if_needed()
    box = rows.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 15, box["y"] + 32 + 16)
    expect(page.locator("article h2")).to_have_text(re.compile(r"Question \d+\?"))
    expect(page.locator("article")).to_contain_text(re.compile(r"Chosen\s*2 words\s*No \d+\.\s*Rejected\s*2 words\s*Yes \d+\."))
