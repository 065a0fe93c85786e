"""JSON and JSON Lines: one broken record is one reject, and reading goes on behind it."""

import io
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from engine.data.files import MAX_LINE_BYTES, Raw
from engine.data.turns import Record
from engine.errors import RecordError

MAX_DEPTH = 100  # objects and arrays within each other
MAX_TRIES = 1_000  # places behind a fault at which an object is looked for
OBJECT = re.compile(r'\{\s*"')  # within a JSON string the quote would be escaped


def unique(pairs: list[tuple[str, Any]]) -> Record:
    """An object's keys and values. Raises ValueError for a key that stands twice, since one of its values would be lost."""
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise ValueError(f"the key {twice!r:.60} stands twice in one object")
    return record


DECODER = json.JSONDecoder(object_pairs_hook=unique)


def json_lines(name: str, lines: Iterable[bytes]) -> Iterator[Raw]:
    number, cut = 0, False  # cut: within a line that is too long
    for line in lines:
        ended, number = line.endswith(b"\n"), number + (not cut)
        if not cut and (cut := len(line) >= MAX_LINE_BYTES and not ended):
            yield Raw(name, number, too_long_line(), line[:300].decode(errors="replace"))
        elif not cut:
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if line.strip():
                yield Raw(name, number, parsed_line(line), line[:300].decode(errors="replace").strip())
        cut = cut and not ended


def too_long_line() -> RecordError:
    return RecordError("too_long", f"the line has more than {MAX_LINE_BYTES >> 20} MiB, expected a record")


def parsed_line(line: bytes) -> Record | RecordError:
    whole = line.endswith(b"\n")
    try:
        text = line.decode()
        return json_object(DECODER.decode(text), text.count("{") + text.count("["))
    except UnicodeDecodeError as error:
        found = f"byte {error.start} is {line[error.start]:#x}, expected UTF-8"
        return RecordError("broken_utf8" if whole else "truncated_last_line", found)
    except (ValueError, RecursionError) as error:
        return RecordError("broken_json" if whole else "truncated_last_line", f"{in_words(error)}, expected a JSON object")


def in_words(error: Exception) -> str:
    return too_deep() if isinstance(error, RecursionError) else str(error)


def too_deep() -> str:
    return f"objects and arrays lie more than {MAX_DEPTH} deep in each other"


def json_object(value: object, brackets: int) -> Record | RecordError:
    """The record, if it is an object; brackets: how many stand in its text, an upper limit of its depth. Raises RecursionError."""
    if brackets > MAX_DEPTH and depth(value) > MAX_DEPTH:
        raise RecursionError
    return value if isinstance(value, dict) else RecordError("wrong_type", f"the record is {value!r:.60}, expected a JSON object")


def depth(value: object) -> int:
    """How many objects and arrays lie in each other, counted level by level."""
    level, found = [value], 0
    while level := [v for v in level if isinstance(v, dict | list)]:
        found += 1
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]
    return found


def json_records(name: str, lines: Iterable[bytes]) -> Iterator[Raw]:
    """A .json file: an array of records, one record, or JSON Lines under another name."""
    data = b"".join(lines)
    text = data.decode("utf-8-sig", errors="surrogateescape").strip()  # broken bytes become surrogates, which every text check refuses
    if text.startswith("["):
        for number, content, excerpt in array_items(text):
            yield Raw(name, number, content, excerpt)
        return
    try:
        yield Raw(name, 1, json_object(DECODER.decode(text), text.count("{") + text.count("[")))
    except RecursionError as error:
        yield Raw(name, 1, RecordError("broken_json", in_words(error)), text[:300])
    except ValueError:
        yield from json_lines(name, io.BytesIO(data))


def array_items(text: str) -> Iterator[tuple[int, Record | RecordError, str]]:
    """The items of a JSON array as (number, item, excerpt). After a fault reading goes on at the next object of the array."""
    number, position, item = 0, skip(text, 1), None
    keys = set[str]()  # of the objects read so far
    while position < len(text) and not is_end(text, position):
        number, start = number + 1, position
        try:
            value, end = DECODER.raw_decode(text, start)
            item = json_object(value, text.count("{", start, end) + text.count("[", start, end))
            keys.update(item if isinstance(item, dict) else ())
        except (ValueError, RecursionError) as error:
            end = end_of_fault(text, start, keys)
            item = fault(text, start, end, in_words(error))
        yield number, item, text[start : start + 300]
        position = skip(text, end)
    if position >= len(text) and not isinstance(item, RecordError):
        yield number + 1, RecordError("truncated_last_line", "the file ends before ], expected a whole JSON array"), ""


def is_end(text: str, position: int) -> bool:
    """Whether the array's own ] stands there."""
    return position == len(text) - 1 and text[position] == "]"


def fault(text: str, start: int, end: int, found: str) -> RecordError:
    """What is wrong with the item at `start`, and how much was skipped."""
    whole = end < len(text) or text.endswith("]")
    rest = f"{end - start:,} characters were skipped, up to " + ("the next object" if end < len(text) else "the end of the file")
    return RecordError("broken_json" if whole else "truncated_last_line", f"{found}; {rest}")


def end_of_fault(text: str, start: int, keys: set[str]) -> int:
    """Where reading goes on: behind the item, if it can be read but not used, or at the next whole object of the array."""
    with suppress(ValueError, RecursionError):
        return json.JSONDecoder().raw_decode(text, start)[1]
    for found in islice(OBJECT.finditer(text, start + 1), MAX_TRIES):
        with suppress(ValueError, RecursionError):
            value, end = DECODER.raw_decode(text, found.start())
            if keys & value.keys() if keys else is_item(text, end):
                return found.start()
    return len(text)


def is_item(text: str, position: int) -> bool:
    """Whether what ends there is an item of the array and not of one within: no ] but the array's own follows it or its neighbours."""
    with suppress(ValueError, RecursionError):
        while (position := skip(text, position)) < len(text) and text[position] != "]":
            _, position = DECODER.raw_decode(text, position)
        return position >= len(text) or is_end(text, position)
    return True


def skip(text: str, position: int) -> int:
    """The position of the next character that is neither white space nor a comma."""
    while position < len(text) and text[position] in " \t\r\n,":
        position += 1
    return position
