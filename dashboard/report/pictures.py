"""Figures as SVG and PNG, drawn by a Chrome or Chromium of this computer, and as PDF, which Typst makes of the SVG."""

import asyncio
import itertools
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import kaleido
import plotly.graph_objects as go
from choreographer.browsers import Chromium

from dashboard.report.style import PIXELS_PER_INCH, Style
from dashboard.report.typesetting import picture_pdf
from dashboard.state.messages import _
from engine.errors import PrefscopeError

PICTURES = ("pdf", "svg", "png")
DOTS_PER_INCH = 300  # of a PNG
PAGE = kaleido.PageGenerator(mathjax=False)  # MathJax would come from a network
TABS = 2  # of the browser, each of which draws in a process of its own
ONE_AT_A_TIME = threading.Lock()  # a second browser would only slow the first
Begun = Callable[[str, float], None]  # is told the name of what is being made, and which share of all was made before


@dataclass(frozen=True)
class Picture:
    """A styled figure and the file it becomes; the ending of the file's name is its format."""

    path: Path
    plot: go.Figure
    style: Style

    def job(self) -> dict[str, Any]:
        """What kaleido is asked for: a vector picture has as many pixels as the browser's 96 to the inch, so that its page is as wide."""
        form = self.path.suffix[1:]
        scale = self.style.enlarged * (DOTS_PER_INCH / PIXELS_PER_INCH if form == "png" else 1)
        size = {"width": self.plot.layout.width, "height": self.plot.layout.height}
        return {"fig": self.plot, "path": self.path, "opts": {"format": form, "scale": scale, **size}}


def can_draw() -> bool:
    return bool(Chromium.find_browser(skip_local=False))


def makeable(forms: Iterable[str]) -> tuple[str, ...]:
    """Those formats that can be made on this computer: pictures need a Chrome or Chromium."""
    return tuple(forms) if can_draw() else tuple(form for form in forms if form not in PICTURES)


def missing() -> str | None:
    """What cannot be made here and how to get it, in one sentence."""
    if can_draw():
        return None
    return _(
        "SVG, PDF and PNG need Chrome or Chromium: install it (Debian: apt-get install chromium) and try again. "
        "Until then there are HTML, JSON, CSV and LaTeX."
    )


def quiet(name: str, share: float) -> None:
    """Nobody is told what is being made."""


def draw(pictures: Iterable[Picture], begun: Begun = quiet) -> None:
    """Make all pictures with one browser, PDFs from its SVGs. Raises PrefscopeError with the browser's first complaint."""
    asked = {picture.path: picture for picture in pictures}
    printed = [picture for picture in asked.values() if picture.path.suffix == ".pdf"]
    sources = {p.path.with_suffix(".svg"): replace(p, path=p.path.with_suffix(".svg")) for p in printed}
    drawn = [picture for path, picture in (asked | sources).items() if path.suffix != ".pdf"]
    made = itertools.count()

    def next_begun(picture: Picture) -> None:
        begun(picture.path.name, next(made) / (len(drawn) + len(printed)))

    by_browser(drawn, next_begun)
    for picture in printed:
        next_begun(picture)
        picture.path.write_bytes(picture_pdf(picture.path.with_suffix(".svg"), picture.style.inches))
    for path in sources.keys() - asked.keys():
        path.unlink()


class Browser(kaleido.Kaleido):  # type: ignore[misc]  # Kaleido has no types
    """Chrome with pages that draw many figures: Kaleido would load a page anew after each, with five megabytes of JavaScript in it."""

    async def _return_kaleido_tab(self, tab: Any) -> None:
        await self.tabs_ready.put(tab)


def by_browser(pictures: Sequence[Picture], begun: Callable[[Picture], None]) -> None:
    """SVG and PNG, a few at a time."""

    async def drawn() -> None:
        free = asyncio.Semaphore(TABS)
        async with Browser(n=min(TABS, len(pictures)), page_generator=PAGE) as browser:

            async def one(picture: Picture) -> None:
                async with free:
                    begun(picture)
                    await browser.write_fig_from_object(picture.job(), cancel_on_error=True)

            await asyncio.gather(*map(one, pictures))

    with ONE_AT_A_TIME, ThreadPoolExecutor(1) as thread:  # in a thread without an event loop
        try:
            thread.submit(asyncio.run, drawn()).result()
        except Exception as error:  # the browser's and the library's own, of many kinds
            raise PrefscopeError(_("The pictures could not be made: {error}").format(error=error)) from error


def picture(plot: go.Figure, style: Style, form: str) -> bytes:
    """One styled figure as a file's content. Raises PrefscopeError."""
    with tempfile.TemporaryDirectory(prefix="prefscope-") as folder:
        path = Path(folder) / f"figure.{form}"
        draw([Picture(path, plot, style)])
        return path.read_bytes()
