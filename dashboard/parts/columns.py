"""The columns of a table as a page shows them: in words, with what they mean, the telling ones first."""

from typing import Any

import polars as pl
import streamlit as st

from dashboard.figures.headings import HEADINGS, in_our_words, read_by_people
from dashboard.figures.theme import columns_of
from dashboard.report.tabular import flat
from dashboard.state.data import literal
from dashboard.state.messages import _
from engine.plain import line

LONG_CHARS, TEXT_PIXELS = 40, 260
LETTER_PIXELS, PADDING_PIXELS = 6.4, 16  # of a cell: a letter, half a Chinese one, and both sides
LINE_CHARS, LINE_PIXELS, MOST_LINES = 33, 20, 8  # of a long text's column


def preview(text: str, pixels: int) -> str:
    """The beginning of a text in one line of a cell this wide, which ends in … where more follows: a cell cuts without a sign."""
    text, room = line(text), int((pixels - PADDING_PIXELS) / LETTER_PIXELS)
    if columns_of(text) <= room:
        return text
    kept = text[: room - 1]
    while columns_of(kept) > room - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def readable(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns a person reads, each estimate as its value and the ends of its interval, shares in per cent, rounded."""
    rows = flat(rows)
    shown = rows.select(read_by_people(rows))
    return in_our_words(shown.with_columns((pl.col("^accuracy.*$").exclude(pl.String) * 100).round(1)))


def headed(rows: pl.DataFrame) -> dict[str, Any]:
    """Headings in words, texts wide enough to read, numbers with two decimals."""
    return {name: column(rows[name], HEADINGS.get(name) or (name.replace("_", " ").capitalize(),)) for name in rows.columns}


def column(values: pl.Series, words: tuple[str, ...]) -> Any:
    heading, *sentences = map(_, words)
    help = " ".join(sentences) or None
    if values.name.startswith("accuracy") and values.dtype.is_float():
        return st.column_config.NumberColumn(heading, help=literal(help), format="%.1f\u00a0%%")
    if values.dtype.is_float():
        return st.column_config.NumberColumn(heading, help=literal(help), format="%.2f")
    return st.column_config.Column(heading, help=literal(help), width=TEXT_PIXELS if is_long(values) else None)


def row_height(rows: pl.DataFrame) -> int | None:
    """Pixels in which the longest text stands whole, up to a few lines; None, one line, where no column holds long texts."""
    longest = max((len(text or "") for values in rows if is_long(values) for text in values), default=0)
    return min(-(-longest // LINE_CHARS), MOST_LINES) * LINE_PIXELS + 14 if longest else None


def is_long(values: pl.Series) -> bool:
    """Whether a column holds texts that need several lines."""
    return values.dtype == pl.String and bool((values.str.len_chars() > LONG_CHARS).any())
