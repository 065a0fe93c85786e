"""Figures and tables of the report, in report order: `render(FIGURES[0], con, selection)` is figure 1."""

from dashboard.figures import answers, clouds, comparisons, curves, length_bias, overview, preferences, responses, scores, tables
from dashboard.figures.registry import FIGURES, TABLES, Figure, Table, drawn, numbered, render, seen_by

NUMBERS = (
    "1", "2", "3a", "3b", "3c", "3d", "4a", "4b", "5a", "5b", "6", "7", "8a", "8b", "9a", "9b", "10a", "10b", "11", "12", "13", "14",
    "15", "16", "18", "19", "20",
)  # fmt: skip
FIGURES.sort(key=lambda f: NUMBERS.index(f.number) if f.number else len(NUMBERS))


def on_page(page: str) -> list[Figure]:
    """A page's figures, numbered ones first."""
    return [f for f in FIGURES if f.page == page]


def find(name: str) -> Figure:
    """A figure by its name. Raises KeyError."""
    return {f.name: f for f in FIGURES}[name]


def find_table(name: str) -> Table:
    """A table by its name. Raises KeyError."""
    return {t.name: t for t in TABLES}[name]


__all__ = ["FIGURES", "NUMBERS", "TABLES", "Figure", "Table", "drawn", "find", "find_table", "numbered", "on_page", "render", "seen_by"]
__all__ += ["answers", "clouds", "comparisons", "curves", "length_bias", "overview", "preferences", "responses", "scores", "tables"]
