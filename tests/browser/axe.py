"""What axe-core finds on a page, in both widths and themes."""

import itertools
from collections.abc import Iterator
from importlib.resources import files

from playwright.sync_api import Page

from docs.screenshots import SIZES, Theme, settle

AXE = files("axe_playwright_python") / "axe.min.js"
RULES: dict[Theme, list[str] | None] = {"light": None, "dark": ["color-contrast"]}
STREAMLITS = {  # what Streamlit 1.67 does itself: rule -> inside what
    "list": "[data-testid=stSidebarNav]",
    "listitem": "[data-testid=stSidebarNav]",
}
FINDINGS = """async ([streamlits, rules]) => {
    const {violations} = await axe.run({resultTypes: ['violations'], ...(rules && {runOnly: rules})})
    const place = node => node.target.length == 1 ? document.querySelector(node.target[0]) : null
    const theirs = (rule, node) => rule in streamlits && place(node)?.closest(streamlits[rule])
    return violations
        .filter(({id, impact}) => ['serious', 'critical'].includes(impact) || id == 'heading-order')
        .flatMap(({id, nodes}) => nodes.filter(node => !theirs(id, node)).map(node => [id, node]))
        .map(([id, node]) => `${id}: ${node.html.slice(0, 200)} ${node.failureSummary}`)
}"""


def findings(page: Page) -> Iterator[str]:
    """What is serious and ours, in both widths and themes; the dark theme changes colours and nothing else."""
    page.evaluate(AXE.read_text())
    for width, theme in itertools.product(SIZES, RULES):
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": SIZES[width]})
        settle(page)
        yield from (f"{theme}, {width} px: {found}" for found in page.evaluate(FINDINGS, [STREAMLITS, RULES[theme]]))
