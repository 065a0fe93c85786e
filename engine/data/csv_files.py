"""CSV and TSV: one broken row is one reject, and reading goes on behind it."""

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

from engine.data.files import MAX_RECORDS, Raw
from engine.errors import DataError, RecordError

ENOUGH = 2  # rows one after the other that show where reading can go on: one line of prose may have as many commas, two hardly
FIELD = '(?:"(?:[^"]|"")*+"|[^"{d}\r\n]*+)'
QUOTED = f"{FIELD}(?:{{d}}{FIELD})*+[\r\n]*"  # RFC 4180: quotes around whole fields only
csv.field_size_limit(sys.maxsize)


@dataclass(frozen=True)
class Row:
    """The fields of a row, or what is wrong with it, and its lines, counted from 0; `end` is the line after it."""

    fields: list[str] | csv.Error
    start: int
    end: int

    def has(self, width: int) -> bool:
        return isinstance(self.fields, list) and len(self.fields) == width

    def is_one_line(self) -> bool:
        return isinstance(self.fields, list) and self.end - self.start == 1


@dataclass(frozen=True)
class Table:
    lines: list[str]
    delimiter: str

    def rows_from(self, position: int) -> Iterator[Row]:
        """The rows from a line on, blank lines left out, up to the first that cannot be read."""
        reader = csv.reader(map(self.lines.__getitem__, range(position, len(self.lines))), delimiter=self.delimiter, strict=True)
        start = position
        try:
            for fields in reader:
                end = position + reader.line_num
                if fields:
                    yield Row(fields, start, end)
                start = end
        except csv.Error as error:
            yield Row(error, start, position + reader.line_num)

    def rows(self, position: int, width: int) -> Iterator[Row]:
        """All rows from a line on. A broken one ends where reading goes on, which may be before the end its quotes give it."""
        while position < len(self.lines):
            for row in self.rows_from(position):
                position = row.end
                if row.has(width) or row.is_one_line():
                    yield row
                else:
                    position = self.next_row(row, width)
                    yield replace(row, end=position)
                    break

    def next_row(self, broken: Row, width: int) -> int:
        """The first line behind the beginning of a broken row at which rows begin, the line after its end tried first."""
        behind = chain([broken.end] if isinstance(broken.fields, list) else [], range(broken.start + 1, len(self.lines)))
        return next((position for position in behind if self.goes_on(position, width)), len(self.lines))

    def goes_on(self, position: int, width: int) -> bool:
        """Whether rows of the right width, properly quoted, follow directly one after the other; the last row of a file is enough."""
        rows = list(islice(self.rows_from(position), ENOUGH))
        touching = [position, *(row.end for row in rows)] == [*(row.start for row in rows), rows[-1].end] if rows else False
        quoted = re.compile(QUOTED.format(d=re.escape(self.delimiter)))
        return touching and all(row.has(width) and quoted.fullmatch("".join(self.lines[row.start : row.end])) for row in rows)


def csv_records(name: str, lines: Iterable[bytes]) -> Iterator[Raw]:
    """Records by the names in the header. Raises DataError for a header that is broken or names a column twice."""
    data = b"".join(lines)
    if (count := data.count(b"\n")) > 2 * MAX_RECORDS:
        raise DataError(f"file {name} has {count:,} lines, expected at most {2 * MAX_RECORDS:,}")
    text = data.decode("utf-8-sig", errors="surrogateescape")
    table = Table(list(io.StringIO(text, newline="")), "\t" if ".tsv" in name.lower() else ",")
    first = next(table.rows_from(0), None)
    if first is None:
        return
    header = checked_header(name, first)
    for row in table.rows(first.end, len(header)):
        if isinstance(row.fields, list) and row.has(len(header)):
            yield Raw(name, row.start + 1, dict(zip(header, row.fields, strict=True)))
        else:
            yield Raw(name, row.start + 1, fault(row, table, len(header)), table.lines[row.start][:300].strip())


def checked_header(name: str, row: Row) -> list[str]:
    """The column names. Raises DataError when they cannot be read, or when a column would hide another."""
    if not isinstance(row.fields, list):
        raise DataError(f"file {name} line {row.start + 1}: {row.fields}, expected the names of the columns")
    twice = next((column for i, column in enumerate(row.fields) if column in row.fields[:i]), None)
    if twice is not None:
        raise DataError(f"file {name} line {row.start + 1}: the header names the column {twice!r:.60} twice, expected each once")
    return row.fields


def fault(row: Row, table: Table, width: int) -> RecordError:
    """What is wrong with a row, and which lines were skipped with it."""
    last = row.end == len(table.lines)
    if isinstance(row.fields, list):
        found = f"the row has {len(row.fields)} fields, expected {width}"
        cut = last and len(row.fields) < width and not table.lines[-1].endswith("\n")
    else:
        found, cut = str(row.fields), last and "unexpected end" in str(row.fields)
    skipped = f"; lines {row.start + 1} to {row.end} were skipped" if row.end - row.start > 1 else ""
    return RecordError("truncated_last_line" if cut else "broken_csv", found + skipped)
