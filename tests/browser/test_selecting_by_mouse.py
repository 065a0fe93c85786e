"""Selecting in a figure with the mouse: over bars, on a dot, and what becomes of it: chip, rows, other figures, address."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboard import queries
from docs.screenshots import Served, settle, shown
from docs.tour import PLACE
from engine.store import database

pytestmark = pytest.mark.browser
FIRST_DOT = (
    "figure => { const t = document.querySelector(`.st-key-figure_box_${figure} .js-plotly-plot`)._fullData[0]; return [t.x[0], t.y[0]] }"
)
OPACITIES = "figure => document.querySelector(`.st-key-figure_box_${figure} .js-plotly-plot`)._fullData[0].marker.opacity"


@pytest.fixture(scope="module")
def wrong(filled_cache: Path) -> tuple[int, int]:
    """Pairs with a margin below 0, and all."""
    with database.reading(filled_cache) as con:
        first = queries.margin_histogram(con, queries.default_selection(con)).row(0, named=True)
    return first["wrong"], first["n"]


def click_first_dot(page: Page, figure: str) -> None:
    x, y = page.evaluate(PLACE, [figure, *page.evaluate(FIRST_DOT, figure)])
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y, steps=3)
    page.wait_for_timeout(300)  # until the figure knows what the mouse is over
    page.mouse.click(x, y)
    settle(page)


def test_margins_dragged_over_are_a_chip_rows_and_an_address(filled_dashboard: Served, window: Page, wrong: tuple[int, int]) -> None:
    page = shown(window, f"{filled_dashboard.url}/reward_model")
    (zero, top), (left, _) = page.evaluate(PLACE, ["margins", 0, 4]), page.evaluate(PLACE, ["margins", -1.9, 4])
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(zero - 2, top + 20, steps=8)
    page.mouse.up()
    chips = page.locator(".st-key-slice_line")
    expect(chips.get_by_role("button", name="margin < 0")).to_be_visible()
    expect(chips).to_contain_text(f"{wrong[0]} of {wrong[1]} pairs")
    settle(page)
    expect(page.locator(".st-key-pair_detail")).to_contain_text(f"1 of {wrong[0]}")
    assert len(set(page.evaluate(OPACITIES, "margins"))) == 2
    page.keyboard.press("j")
    expect(page.locator(".st-key-pair_detail")).to_contain_text(f"2 of {wrong[0]}")
    settle(page)

    elsewhere = shown(page.context.new_page(), page.url)
    expect(elsewhere.locator(".st-key-slice_line").get_by_role("button", name="margin < 0")).to_be_visible()
    expect(elsewhere.locator(".st-key-pair_detail")).to_contain_text(f"2 of {wrong[0]}")
    elsewhere.close()

    chips.get_by_role("button", name="margin < 0").click()
    expect(chips).to_have_count(0)
    expect(page.locator(".st-key-pair_detail")).to_contain_text(f"of {wrong[1]}")


def test_a_dot_clicked_on_looks_at_its_pairs(filled_dashboard: Served, window: Page) -> None:
    page = shown(window, f"{filled_dashboard.url}/reward_model")
    click_first_dot(page, "accuracy_of_groups")
    expect(page.locator(".st-key-slice_line").get_by_role("button", name="prompt type is")).to_be_visible()
    page = shown(window, f"{filled_dashboard.url}/length_bias")
    click_first_dot(page, "margin_by_length")
    expect(page.locator(".st-key-slice_line [class*=st-key-drop_]")).to_have_count(2)
