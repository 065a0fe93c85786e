"""One figure as a file: what a page shows, in a format and a style."""

from dataclasses import dataclass

import plotly.graph_objects as go
import polars as pl

from dashboard.figures import Figure
from dashboard.report import pictures
from dashboard.report.captions import Sources, of_figure
from dashboard.report.latex import latex_figure
from dashboard.report.style import Style, styled
from dashboard.report.tabular import csv_text
from dashboard.state.messages import _, marked

FORMATS = ("pdf", "svg", "png", "html", "csv", "tex", "txt")
NAMES = {
    "pdf": marked("PDF"),
    "svg": marked("SVG"),
    "png": marked("PNG, 300 dpi"),
    "html": marked("HTML, interactive"),
    "csv": marked("CSV, its numbers"),
    "tex": marked("LaTeX, figure and caption"),
    "txt": marked("Caption, plain text"),
}
INTERACTIVE = {"showSendToCloud": False, "displaylogo": False}


@dataclass(frozen=True)
class Shown:
    """A figure as a page shows it: its drawing, the rows behind it, and the words below."""

    figure: Figure
    plot: go.Figure
    rows: pl.DataFrame
    below: str

    @property
    def stem(self) -> str:
        """Its file's name without ending: fig-4a-scores-base."""
        return "-".join(["fig", *([self.figure.number] if self.figure.number else []), self.figure.name.replace("_", "-")])

    def styled(self, style: Style) -> go.Figure:
        return styled(self.plot, style, _(self.figure.title))


def content(shown: Shown, form: str, style: Style, known: Sources) -> bytes:
    """The file of a figure. Raises PrefscopeError when a picture cannot be made."""
    caption = of_figure(shown.figure, shown.below, known)
    match form:
        case "html":
            return page(shown, style).encode()
        case "csv":
            return csv_text(shown.rows).encode()
        case "tex":
            return latex_figure(shown.stem, caption, style.inches).encode()
        case "txt":
            return f"{caption}\n".encode()
    return pictures.picture(shown.styled(style), style, form)


def page(shown: Shown, style: Style) -> str:
    """The figure on a page of its own, to hover and zoom; it opens without a network."""
    plot = shown.styled(style).update_layout(width=None)
    written: str = plot.to_html(include_plotlyjs=True, config=INTERACTIVE)
    return written
