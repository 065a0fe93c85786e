"""Frames as CSV that holds whatever stands in the cells."""

import polars as pl
import polars.selectors as cs

from engine.statistics.estimate import ESTIMATE

FORMULA = r"^[=+\-@＝＋－＠\t\r\n]"  # what a spreadsheet takes for the beginning of one


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame as CSV can hold it: lists joined by blanks, an estimate as its value and the columns NAME_low, NAME_high, NAME_method …"""
    for name, kind in frame.schema.items():
        if kind == ESTIMATE:
            fields = [frame[name].struct.field(f).alias(name if f == "value" else f"{name}_{f}") for f in frame[name].struct.fields]
            frame = frame.select(*frame[:, : frame.columns.index(name)], *fields, *frame[:, frame.columns.index(name) + 1 :])
    return frame.with_columns(pl.col(pl.List).list.eval(pl.element().cast(pl.String)).list.join(" "))


def csv_text(frame: pl.DataFrame) -> str:
    """The frame as CSV whose texts a spreadsheet does not compute; numbers stay as they are.

    A text that begins like a formula gets an apostrophe before it, and every text stands in quotes (OWASP, CSV injection).
    """
    numbers = [name for name, kind in frame.schema.items() if kind == pl.List and kind != pl.List(pl.String)]
    texts = cs.string() - cs.by_name(numbers)
    return flat(frame).with_columns(texts.str.replace(FORMULA, "'$0")).write_csv(quote_style="non_numeric")
