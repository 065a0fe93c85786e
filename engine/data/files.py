"""Files as they are opened for an import: regular ones only, of a bounded size, also when they are unpacked."""

import gzip
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from engine.data.turns import Record
from engine.errors import DataError, RecordError
from engine.plain import printable

MAX_BYTES = 2 << 30  # of one file, unpacked
MAX_RATIO = 100  # unpacked to packed bytes of a gzip file; text packs 3 to 10 times
UNPACKED_FREELY = 64 << 20  # bytes that a gzip file may unpack to at any ratio
MAX_LINE_BYTES = 16 << 20
MAX_RECORDS = 10_000_000  # of one file
MAX_SLUG = 80  # characters
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how such a file begins
CUT = b"\xff"  # stands for what a broken-off gzip stream lacks: never valid UTF-8, and never a line end
KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a FIFO",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


@dataclass(frozen=True)
class Raw:
    """One record as it was found, or why it could not be read."""

    file: str
    line: int  # where it begins: line of a text file, record number elsewhere, from 1
    content: Record | RecordError
    excerpt: str = ""  # of what could not be read


def require_utf8(**texts: str | None) -> None:
    """Raises DataError for an option whose bytes are not UTF-8: no table could hold it."""
    for name, text in texts.items():
        if text is not None and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise DataError(f"{name} is {text!r:.100}, expected UTF-8 text")


def slug(name: str, otherwise: str) -> str:
    """The part of a folder's name that people know it by."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:MAX_SLUG].strip("-") or otherwise


def kind_on_disk(path: Path) -> str | None:
    """`a file`, `a folder`, `a FIFO`, …; None when there is nothing. Raises DataError when the system does not tell."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(path):.300} cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    return next((name for test, name in KINDS.items() if test(mode)), "a file")


def require_file(path: Path) -> None:
    """Raises DataError unless it is a regular file: a FIFO or device would never end, a folder is no file."""
    if (found := kind_on_disk(path)) != "a file":
        raise DataError(f"file {printable(path)} cannot be read: {f'it is {found}' if found else 'no such file'}, expected a regular file")


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file with their ends; longer than MAX_LINE_BYTES, in pieces. Of a broken-off gzip stream what is whole, then CUT.

    Raises DataError when the file is larger than an import takes or in UTF-16, OSError or zlib.error when it cannot be read.
    """
    require_file(path)
    packed, size, read = path.suffix.lower() == ".gz", path.stat().st_size, 0
    limit = min(MAX_BYTES, max(UNPACKED_FREELY, size * MAX_RATIO)) if packed else MAX_BYTES
    if size > limit:
        raise too_large(path, f"has {mebibytes(size)}")
    with cast(BinaryIO, gzip.open(path) if packed else path.open("rb")) as file:
        while line := next_line(file):
            if not read and line.startswith(UTF_16):
                raise DataError(f"file {printable(path)} is written in UTF-16, expected UTF-8")
            if (read := read + len(line)) > limit:
                raise too_large(path, f"unpacks to more than {mebibytes(limit)}, from {mebibytes(size)}")
            yield line
            if line is CUT:
                return


def next_line(file: BinaryIO) -> bytes:
    try:
        return file.readline(MAX_LINE_BYTES)
    except EOFError:
        return CUT


def too_large(path: Path, found: str) -> DataError:
    expected = f"at most {mebibytes(MAX_BYTES)}, of a gzip file at most {MAX_RATIO} times its own size"
    return DataError(f"file {printable(path)} {found}; expected {expected}. Several files of one split may lie in a folder")


def mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
