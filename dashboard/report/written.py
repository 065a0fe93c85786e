"""A table as a document prints it: columns in the words of the pages, estimates with their intervals, and how wide each column is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dashboard.figures.headings import heading, in_our_words, read_by_people
from dashboard.figures.theme import columns_of
from dashboard.state.messages import _, estimated
from engine.plain import line
from engine.statistics.estimate import ESTIMATE, Estimate
from engine.statistics.wording import UNKNOWN, number, percent

TEXT_CHARS = 280  # of a cell; the whole text stands in the table's CSV
LINE_CHARS = 120  # on a line across the page, in the type of a table; a Chinese character is as wide as two
WORD_CHARS, WANTED_CHARS = 16, 60  # of a column: no word is kept together beyond the one, no text gets more than the other
SIDES, WHO, PLACE = ("base", "tuned"), "answered_by", "place"
OF_EACH = ("answer", "trained", "untrained", "words", "tokens", "cut")  # what is known of each of two answers
CHINESE_CHARS = 8  # a line of a column of Chinese, which breaks anywhere


@dataclass(frozen=True)
class Written:
    """A table in words. shares: of the width of the text, one a column, together at most 1.

    So many rows stand `together`, on one page: they are of one thing, of which the `common` columns say something in the first of them.
    """

    head: list[str]
    rows: list[list[str]]
    numbers: list[bool]  # which columns are numbers, and stand to the right
    shares: list[float]
    common: list[bool]
    together: int = 1

    @property
    def groups(self) -> list[list[list[str]]]:
        """The rows that stand together."""
        return [self.rows[first : first + self.together] for first in range(0, len(self.rows), self.together)]


def written(rows: pl.DataFrame) -> Written:
    """The table's columns that a person reads, in the order of the pages; beside estimates the n they rest on."""
    rows, together = stacked(rows)
    shown = in_our_words(rows.select(read_by_people(rows)))
    estimates = [name for name in shown.columns if shown[name].dtype == ESTIMATE]
    if estimates and "n" not in rows.columns:
        shown = shown.with_columns(n=pl.coalesce(pl.col(name).struct.field("n") for name in estimates))
    head = list(map(heading, shown.columns))
    cells = [[in_words(name, value) for name, value in row.items()] for row in shown.iter_rows(named=True)]
    numbers = [values.dtype.is_numeric() or values.dtype == ESTIMATE for values in shown]
    common = [together > 1 and name not in (WHO, *OF_EACH) for name in shown.columns]
    cells = [
        ["" if place % together and shared else cell for cell, shared in zip(row, common, strict=True)] for place, row in enumerate(cells)
    ]
    heights = [together if shared else 1 for shared in common]
    return Written(head, cells, numbers, shares([list(column) for column in zip(head, *cells, strict=True)], heights), common, together)


def stacked(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Two answers to one prompt under each other, base first, so that both have room; and how many rows stand together then."""
    if not {f"{side}_answer" for side in SIDES} <= set(rows.columns):
        return rows, 1
    each = [name for name in OF_EACH if all(f"{side}_{name}" in rows.columns for side in SIDES)]
    rest = [name for name in rows.columns if name not in {f"{side}_{name}" for side in SIDES for name in each}]
    sides = [rows.select(*rest, pl.lit(side).alias(WHO), *(pl.col(f"{side}_{name}").alias(name) for name in each)) for side in SIDES]
    return pl.concat(side.with_row_index(PLACE) for side in sides).sort(PLACE, maintain_order=True).drop(PLACE), len(SIDES)


def shortened(rows: pl.DataFrame) -> bool:
    """Whether a text of the table does not stand in it whole."""
    return any(
        len(line(text)) > TEXT_CHARS for name in read_by_people(rows) if rows[name].dtype == pl.String for text in rows[name] if text
    )


def in_words(column: str, value: Any) -> str:
    """A cell: an estimate with its interval, a share in per cent, a number of two decimals, a text on one line."""
    if value is None:
        return UNKNOWN
    if isinstance(value, dict):
        return estimated(Estimate(**value))
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float):
        return percent(value) if column.startswith("accuracy") else number(value)
    if isinstance(value, int):
        return number(value, 0)
    plain = line(value)
    return plain if len(plain) <= TEXT_CHARS else f"{plain[: TEXT_CHARS - 1]}…"


def shares(columns: list[list[str]], heights: Sequence[int] = ()) -> list[float]:
    """How wide each column is: its longest word at least, and of what is left on the line as much as its cells want more.

    heights: over how many rows the cells of each column go, one when absent; a cell that is higher wants less width.
    """
    least = [max(kept_together(word) for text in column for word in text.split(" ")) + 2 for column in columns]
    wanted = [
        max(low, min(WANTED_CHARS, max(map(columns_of, column[1:]), default=0)) // height)
        for low, column, height in zip(least, columns, heights or [1] * len(columns), strict=True)
    ]
    more = [want - low for want, low in zip(wanted, least, strict=True)]
    left = max(0, LINE_CHARS - sum(least))
    given = min(1.0, left / sum(more)) if sum(more) else 0.0
    chars = [low + given * extra for low, extra in zip(least, more, strict=True)]
    return [one / max(LINE_CHARS, sum(chars)) for one in chars]


def kept_together(word: str) -> int:
    """How many characters wide a column must be for a word, or for Chinese that has no blanks."""
    return min(columns_of(word), WORD_CHARS if columns_of(word) == len(word) else CHINESE_CHARS)
