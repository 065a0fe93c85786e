"""The pages in use, as one short moving picture for the README: `python -m docs.tour --cache cache --out docs/screenshots/tour.webp`.

From the answer to the margins below 0, their pairs, a prompt's answers, Retrain, and the report's pages, in one browser and over one cache.
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, expect

from docs.screenshots import ROOT, chromium, opened, served, settle

SHOWN, QUALITY = (1000, 625), 70  # pixels of the moving picture; of 100
WINDOW: ViewportSize = {"width": 1280, "height": 800}
PLACE = """([figure, x, y]) => {
    const plot = document.querySelector(`.st-key-figure_box_${figure} .js-plotly-plot`), layout = plot._fullLayout
    plot.scrollIntoView({block: 'center'})
    const box = plot.getBoundingClientRect()
    return [box.x + layout.xaxis._offset + layout.xaxis.d2p(x), box.y + layout.yaxis._offset + layout.yaxis.d2p(y)]
}"""
LEFT_END = "document.querySelector('.st-key-figure_box_margins .js-plotly-plot')._fullLayout.xaxis.range[0]"
POINTER = """([x, y]) => {
    const there = document.querySelector('#pointer'), mark = there ?? document.createElement('div')
    mark.id = 'pointer'
    mark.style.cssText = `position:fixed;z-index:1e9;pointer-events:none;width:18px;height:18px;margin:-9px;border-radius:50%;` +
        `left:${x}px;top:${y}px;background:#0072B259;border:2px solid #0072B2`
    document.body.append(mark)
}"""

Frame = tuple[Image.Image, int]  # and how long it is seen, in milliseconds


def seen(page: Page, milliseconds: int) -> Frame:
    """The window as it is now."""
    taken = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    return taken.resize(SHOWN, Image.Resampling.LANCZOS), milliseconds


def move(page: Page, x: float, y: float) -> None:
    """The mouse, with a mark that is seen in pictures."""
    page.mouse.move(x, y, steps=4)
    page.evaluate(POINTER, [x, y])


def go(page: Page, name: str) -> None:
    page.get_by_test_id("stSidebar").get_by_role("link", name=name, exact=True).click()
    settle(page)


def tour(page: Page) -> Iterator[Frame]:
    """The frames in their order, beginning at the page Overview."""
    yield seen(page, 2600)
    go(page, "Reward model")
    yield seen(page, 1800)
    yield from dragged(page)
    page.keyboard.press("j")
    settle(page)
    yield seen(page, 1600)
    go(page, "Prompts")
    yield seen(page, 2200)
    page.keyboard.press("j")
    settle(page)
    yield seen(page, 1600)
    page.keyboard.press("t")
    expect(page.get_by_role("dialog")).to_be_visible(timeout=30_000)
    page.wait_for_timeout(4000)  # until its estimates have come
    yield seen(page, 2800)
    page.keyboard.press("Escape")
    go(page, "Report")
    expect(page.locator("[class*=st-key-small_]").nth(2)).to_be_visible(timeout=120_000)  # the gallery stands below
    settle(page)
    yield seen(page, 1800)
    page.get_by_role("button", name="Look at its pages").click()
    sheets = page.locator("[data-testid=stImage] img")
    expect(sheets.nth(1)).to_be_visible(timeout=120_000)
    settle(page)
    for sheet, milliseconds in ((sheets.nth(0), 1600), (sheets.nth(1), 2600)):
        sheet.evaluate("image => image.scrollIntoView({block: 'start'})")
        page.wait_for_timeout(800)
        yield seen(page, milliseconds)


def dragged(page: Page) -> Iterator[Frame]:
    """The margins below 0 are dragged over, and the pairs behind them come."""
    least = page.evaluate(LEFT_END)
    (zero, top), (left, _y) = page.evaluate(PLACE, ["margins", 0, 8]), page.evaluate(PLACE, ["margins", least, 8])
    move(page, left + 3, top)
    page.mouse.down()
    for part in (0.35, 0.7):
        move(page, left + part * (zero - left), top + 30)
        yield seen(page, 350)
    move(page, zero - 2, top + 30)
    yield seen(page, 500)
    page.mouse.up()
    page.evaluate("document.querySelector('#pointer').remove()")
    expect(page.locator(".st-key-slice_line").get_by_role("button", name="margin < 0")).to_be_visible(timeout=30_000)
    settle(page)
    page.locator(".st-key-figure_box_margins").evaluate("figure => figure.scrollIntoView({block: 'start'})")
    yield seen(page, 2600)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, default=ROOT / "cache", help="what the pages show")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots" / "tour.webp", help="the moving picture")
    options = parser.parse_args()
    log = options.out.with_suffix(".log")
    with served(options.cache, log) as dashboard, chromium() as browser:
        page = opened(browser, dashboard.url)
        page.set_viewport_size(WINDOW)
        settle(page)
        frames, milliseconds = zip(*tour(page), strict=True)
    log.unlink()
    frames[0].save(options.out, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, quality=QUALITY, method=6)
    print(f"{options.out} {options.out.stat().st_size / 1000:.0f} kB, {len(frames)} frames, {sum(milliseconds) / 1000:.0f} s")


if __name__ == "__main__":
    main()
