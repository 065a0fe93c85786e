"""The lists of figures and tables, and the one call that page and export share."""

from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go
import polars as pl

from dashboard.figures.theme import caption, dressed, escaped, say
from dashboard.queries import Selection
from engine.store.database import Connection

Query = Callable[[Connection, Selection], pl.DataFrame]
Draw = Callable[[pl.DataFrame], go.Figure]


@dataclass(frozen=True)
class Figure:
    """One query and the function that draws its result."""

    number: str  # as in the report; empty for a figure beside the numbered ones
    name: str
    title: str
    page: str  # data | training | reward_model | length_bias | dpo_vs_base
    query: Query
    draw: Draw
    empty: str  # what to do when there is nothing to draw

    @property
    def label(self) -> str:
        return f"Figure {self.number}" if self.number else "Figure"


@dataclass(frozen=True)
class Table:
    """One query whose result is shown as it is."""

    number: str
    name: str
    title: str
    page: str
    query: Query
    empty: str

    @property
    def label(self) -> str:
        return f"Table {self.number}"


FIGURES: list[Figure] = []
TABLES: list[Table] = []


def figure(*, name: str, title: str, page: str, query: Query, empty: str, number: str = "") -> Callable[[Draw], Draw]:
    """Register the function below it as the drawing of a figure."""

    def registered(draw: Draw) -> Draw:
        FIGURES.append(Figure(number, name, title, page, query, draw, empty))
        return draw

    return registered


def drawn(chosen: Figure, frame: pl.DataFrame, theme_name: str = "light", remark: str = "") -> go.Figure:
    """The figure of a frame that was queried before; axes and one sentence when the frame is empty. remark: added to its caption."""
    plot = say(chosen.empty) if frame.is_empty() else chosen.draw(frame)
    return dressed(caption(plot, plot.layout.title.subtitle.text, escaped(remark)), chosen.title, theme_name)


def render(chosen: Figure, con: Connection, selection: Selection, theme_name: str = "light") -> go.Figure:
    """Query, draw and dress a figure: what the page shows and what the report prints."""
    return drawn(chosen, chosen.query(con, selection), theme_name)
