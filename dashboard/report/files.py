"""One figure or table as a file: what a page shows, in a format and a style."""

from dataclasses import dataclass

import plotly.graph_objects as go
import polars as pl

from dashboard.figures import Figure, Table
from dashboard.report import pictures
from dashboard.report.captions import Sources, of_figure, of_table
from dashboard.report.latex import latex_figure, latex_table
from dashboard.report.style import Style, styled
from dashboard.report.tabular import csv_text
from dashboard.report.written import written
from dashboard.state.messages import _, marked

FORMATS = ("pdf", "svg", "png", "html", "csv", "tex", "txt")
OF_TABLES = ("csv", "tex", "txt")
NAMES = {
    "pdf": marked("PDF"),
    "svg": marked("SVG"),
    "png": marked("PNG, 300 dpi"),
    "html": marked("HTML, interactive"),
    "csv": marked("CSV, its numbers"),
    "tex": marked("LaTeX, with its caption"),
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
    def name(self) -> str:
        return self.figure.name

    @property
    def stem(self) -> str:
        """Its file's name without ending: fig-scores-base, whatever its number in a text, so that what includes it goes on to find it."""
        return f"fig-{self.name.replace('_', '-')}"

    def styled(self, style: Style) -> go.Figure:
        return styled(self.plot, style, _(self.figure.title))


@dataclass(frozen=True)
class Tabled:
    """A table with its rows."""

    table: Table
    rows: pl.DataFrame
    below: str = ""  # what else is to be said of them

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def stem(self) -> str:
        return f"table-{self.name.replace('_', '-')}"

    def in_latex(self, caption: str) -> str:
        return latex_table(written(self.rows), caption, self.stem.replace("table-", "tab:", 1))


def captioned(part: Shown | Tabled, known: Sources) -> str:
    """What stands below it in a text."""
    if isinstance(part, Shown):
        return of_figure(part.figure, part.below, known)
    return of_table(part.table, part.rows, known, part.below)


def content(part: Shown | Tabled, form: str, style: Style, known: Sources) -> bytes:
    """The file of a figure, or that of a table in one of its formats. Raises PrefscopeError when a picture cannot be made."""
    caption = captioned(part, known)
    if form == "csv":
        return csv_text(part.rows).encode()
    if form == "txt":
        return f"{caption}\n".encode()
    if isinstance(part, Tabled):
        return part.in_latex(caption).encode()
    if form == "tex":
        return latex_figure(part.stem, caption, style.inches).encode()
    return page(part, style).encode() if form == "html" else pictures.picture(part.styled(style), style, form)


def page(shown: Shown, style: Style) -> str:
    """The figure on a page of its own, to hover and zoom; it opens without a network."""
    plot = shown.styled(style).update_layout(width=None)
    written: str = plot.to_html(include_plotlyjs=True, config=INTERACTIVE)
    return written
