"""Small drawings for the cells of a table: numbers and colours of ours only, as addresses that hold the picture itself."""

from math import isfinite
from urllib.parse import quote

from dashboard.figures.theme import COLOURS, run_style
from engine.statistics.estimate import Estimate

DASHES = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "11 4", "longdashdot": "11 3 2 3"}
SOFT = "#868686"
ROW_PIXELS = 32
HEIGHT = ROW_PIXELS - 4  # pixels of a picture that fills its row
BAR, MARGIN = 14, 3  # pixels of a bar's height, and of what is free at the ends of its line and of the longest bar


def picture(width: int, height: int, inside: str) -> str:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">{inside}</svg>'
    return "data:image/svg+xml;utf8," + quote(svg)


def line_sample(index: int) -> str:
    """The line that the n-th run's curves have in the figures."""
    style = run_style(index)
    dashes = DASHES[style["dash"]]
    return picture(36, HEIGHT, f'<path d="M1 14H35" stroke="{style["color"]}" stroke-width="2.5" stroke-dasharray="{dashes}" fill="none"/>')


def signed_bar(value: float, widest: float, width: int) -> str:
    """A margin as a bar from the middle, to the left below 0, as long as its share of the widest one."""
    middle = width / 2
    length = (middle - MARGIN) * abs(value) / widest
    left = middle - length if value < 0 else middle
    return picture(
        width, HEIGHT,
        f'<path d="M{middle:g} {MARGIN}V{HEIGHT - MARGIN}" stroke="{SOFT}"/>'
        f'<rect x="{left:.1f}" y="{(HEIGHT - BAR) / 2:g}" width="{length:.1f}" height="{BAR}" fill="{COLOURS["margin"]}"/>',
    )  # fmt: skip


def interval(found: Estimate | None, index: int, low: float = 0.4, high: float = 1.0, guess: float = 0.5) -> str | None:
    """A share as a dot in its interval, on an axis from low to high, with a dotted line at guessing."""
    if found is None or not isfinite(found.value):
        return None
    width, colour = 120, run_style(index)["color"]

    def x(value: float) -> float:
        return 5 + (width - 10) * (min(max(value, low), high) - low) / (high - low)

    ends = "".join(f'<path d="M{x(end):.1f} 10V18" stroke="{colour}" stroke-width="1.5"/>' for end in (found.low, found.high))
    return picture(
        width, HEIGHT,
        f'<path d="M{x(guess):.1f} 2V26" stroke="{SOFT}" stroke-width="1" stroke-dasharray="2 2"/>'
        f'<path d="M{x(found.low):.1f} 14H{x(found.high):.1f}" stroke="{colour}" stroke-width="1.5"/>{ends}'
        f'<circle cx="{x(found.value):.1f}" cy="14" r="4" fill="{colour}"/>',
    )  # fmt: skip
