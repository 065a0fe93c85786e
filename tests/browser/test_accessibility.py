"""What axe-core finds on every page, wide and narrow, light and dark."""

import itertools
from collections.abc import Iterator
from importlib.resources import files

import pytest
from playwright.sync_api import Browser, Page

from docs.screenshots import PAGES, SIZES, Served, Theme, address, opened, settle

pytestmark = pytest.mark.browser
AXE = files("axe_playwright_python") / "axe.min.js"
THEMES: tuple[Theme, ...] = ("light", "dark")
STREAMLITS = {  # what Streamlit 1.67 does itself: rule -> inside what
    "list": "[data-testid=stSidebarNav]",
    "listitem": "[data-testid=stSidebarNav]",
}
FINDINGS = """async streamlits => {
    const {violations} = await axe.run({resultTypes: ['violations']})
    const place = node => node.target.length == 1 ? document.querySelector(node.target[0]) : null
    const theirs = (rule, node) => rule in streamlits && place(node)?.closest(streamlits[rule])
    return violations
        .filter(({id, impact}) => ['serious', 'critical'].includes(impact) || id == 'heading-order')
        .flatMap(({id, nodes}) => nodes.filter(node => !theirs(id, node)).map(node => [id, node]))
        .map(([id, node]) => `${id}: ${node.html.slice(0, 200)} ${node.failureSummary}`)
}"""


def findings(page: Page) -> Iterator[str]:
    """What is serious and ours, in both themes and widths."""
    page.evaluate(AXE.read_text())
    for width, theme in itertools.product(SIZES, THEMES):
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": SIZES[width]})
        settle(page)
        yield from (f"{theme}, {width} px: {found}" for found in page.evaluate(FINDINGS, STREAMLITS))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_serious_finding_of_ours_and_its_headings_are_in_order(name: str, filled_dashboard: Served, browser: Browser) -> None:
    page = opened(browser, f"{filled_dashboard.url}/{address(name)}")
    found = list(findings(page))
    assert not found, "\n".join(found)
    page.context.close()
