"""How a figure looks on paper: as wide as the place it goes to, in the type of its text, hatched where the page hatches, for grey printers.

A figure is drawn once, for the page; paper takes that drawing and changes its style, so that nothing is printed that was not shown.
"""

from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from dashboard.figures.clouds import fitted
from dashboard.figures.shapes import translucent
from dashboard.figures.theme import FONT, broken, legend_rows, template
from dashboard.state.messages import language, marked

Look = Literal["sans", "serif", "screen"]
Width = Literal["column", "page", "slide"]
PIXELS_PER_INCH = 96  # of a browser: 12 px are 9 pt
WIDTHS: dict[Width, tuple[float, float]] = {"column": (3.3, 1.0), "page": (6.9, 1.0), "slide": (10.0, 1.6)}  # inches, enlarged by
LOOKS: dict[Look, str] = {"sans": marked("Print, sans"), "serif": marked("Print, serif"), "screen": marked("As on screen")}
WIDTHS_NAMED: dict[Width, str] = {"column": marked("Column, 3.3 in"), "page": marked("Page, 6.9 in"), "slide": marked("Slide, 10 in")}
FAMILIES = {"sans": FONT, "serif": "Liberation Serif, Times New Roman, Times, Noto Serif CJK SC, Songti SC, SimSun, serif"}
CHINESE = {"sans": "Noto Sans CJK SC, Noto Sans SC, PingFang SC, Microsoft YaHei", "serif": "Noto Serif CJK SC, Songti SC, SimSun"}
TITLE_PIXELS, CHAR_PIXELS, LINE_PIXELS = 13, 6.6, 20  # of a title; of a character, and of a line, of title and legend
EDGE = 6


@dataclass(frozen=True)
class Style:
    """How a figure looks, where it goes (a column, across a page, a slide), and whether its title stands on it."""

    look: Look = "sans"
    width: Width = "page"
    titled: bool = False

    @property
    def inches(self) -> float:
        return WIDTHS[self.width][0]

    @property
    def enlarged(self) -> float:
        return WIDTHS[self.width][1]

    @property
    def pixels(self) -> int:
        """Width of the drawing before it is enlarged."""
        return round(self.inches * PIXELS_PER_INCH / self.enlarged)


def styled(shown: go.Figure, style: Style, title: str) -> go.Figure:
    """A copy of what a page shows, in a style and of its width."""
    plot = go.Figure(shown)
    if style.look != "screen" or language() != "en":
        plot.update_layout(font_family=family(style.look))
    if style.look != "screen":
        plot.update_layout(template=template("print"))
        for trace in plot.data:
            without_layers(trace)
            if trace.type == "scatter" and trace.textfont.family:
                trace.textfont.family = family(style.look)
    heading = broken(title, int(style.pixels / CHAR_PIXELS)) if style.titled else []
    room = LINE_PIXELS * (legend_rows(plot, int(style.pixels / CHAR_PIXELS)) - legend_rows(plot)) + LINE_PIXELS * len(heading)
    plot.update_layout(
        width=style.pixels,
        height=plot.layout.height + room,
        margin={"t": max(plot.layout.margin.t + room, EDGE), "l": max(plot.layout.margin.l or 0, EDGE)},
        dragmode=None,
    )
    margin = plot.layout.margin
    fitted(plot, style.pixels - margin.l - margin.r, plot.layout.height - margin.t - margin.b)
    if heading:
        font = {"size": TITLE_PIXELS, "weight": 700}
        plot.update_layout(title={"text": "<br>".join(heading), "font": font, "pad": {"t": 4, "l": EDGE}, "subtitle": None})
    return plot


def family(look: Look) -> str:
    """The type of a figure; in Chinese its own stands first, because what a first font lacks may be set in Japanese forms."""
    known = "serif" if look == "serif" else "sans"
    return f"{CHINESE[known]}, {FAMILIES[known]}" if language() == "zh" else FAMILIES[known]


def without_layers(trace: Any) -> None:
    """See-through colours in place of see-through dots, for each of which a PDF would hold a layer of its own."""
    if trace.type != "scatter" or trace.marker.opacity is None or not str(trace.marker.color).startswith("#"):
        return
    seen, colour = trace.marker.opacity, trace.marker.color
    thinned = [translucent(colour, share) for share in seen] if isinstance(seen, tuple) else translucent(colour, seen)
    line = {"color": thinned} if trace.marker.line.color == colour else {}
    trace.update(marker={"color": thinned, "opacity": 1, "line": line})
