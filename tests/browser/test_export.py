"""Export at a figure, in a real browser: a format and a width are chosen, and the file comes that was chosen."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from docs.screenshots import Served, settle, shown

pytestmark = pytest.mark.browser


@pytest.fixture
def page(filled_dashboard: Served, window: Page) -> Page:
    return shown(window, f"{filled_dashboard.url}/reward_model")


def exported(page: Page, form: str, tmp_path: Path) -> Path:
    """Choose a format in the menu that is open, and download."""
    menu = page.get_by_test_id("stPopoverBody")
    menu.get_by_role("combobox", name="Format").click()
    page.get_by_role("option", name=form).click()
    expect(menu.get_by_text("Column, 3.3 in")).to_have_count(int(form != "Caption, plain text"))  # a text has no width
    settle(page)
    with page.expect_download(timeout=60_000) as coming:
        menu.get_by_role("button", name="Download").click()
    coming.value.save_as(path := tmp_path / coming.value.suggested_filename)
    return path


def test_a_format_and_a_width_are_chosen_and_the_file_comes(page: Page, tmp_path: Path) -> None:
    """The menu opens where it stands whole, at the foot of the window upwards.

    3.3 in are 237.6 pt; the caption is the sentence that stands below the figure, with its data.
    """
    button = page.locator(".st-key-export_margins").get_by_role("button", name="Export")
    button.evaluate("e => { e.scrollIntoView({block: 'end'}) }")
    button.click()
    settle(page)
    assert page.get_by_test_id("stPopoverBody").evaluate("e => e.scrollHeight - e.clientHeight") == 0
    page.get_by_test_id("stPopoverBody").get_by_text("Column, 3.3 in").click()
    settle(page)
    drawing = exported(page, "PDF", tmp_path)
    (sheet,) = PdfReader(drawing).pages
    assert drawing.name == "fig-margins.pdf"
    assert float(sheet.mediabox.width) == pytest.approx(3.3 * 72, abs=0.1)
    assert "margin: chosen − rejected reward" in sheet.extract_text()
    caption = exported(page, "Caption, plain text", tmp_path).read_text(encoding="utf-8")
    assert "Data: kitchen, validation." in caption
    assert "median" in caption
