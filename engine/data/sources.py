"""Where records come from: a file, a folder or a Hugging Face dataset, read one record at a time.

A record that cannot be read is not an exception but a RecordError in its place, so that an import counts it with its line.
"""

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl

from engine.data.turns import Record
from engine.errors import DataError, RecordError

STARTER = Path(__file__).parent / "starter"
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
NOT_RECORDS = ("dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json")  # what `datasets` writes beside its data
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
HUB_ADDRESS = re.compile(r"([^:@]+)(?::([^:@]+))?(?:@([^:@]+))?")
csv.field_size_limit(sys.maxsize)


@dataclass(frozen=True)
class Raw:
    """One record as it was found, or why it could not be read."""

    file: str
    line: int  # line of a text file, record number elsewhere, from 1
    content: Record | RecordError
    excerpt: str = ""  # of what could not be read


@dataclass
class Source:
    """Records by split; the split is None where the source names none."""

    splits: dict[str | None, list[Iterable[Raw]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def open_source(source: str) -> Source:
    """A file, a folder, `starter`, or a hub name with its configuration and split: `owner/name:config@split`.

    Raises DataError when there is no such file and no such dataset.
    """
    if source == "starter":
        return open_folder(STARTER)
    path = Path(source).expanduser()
    if path.is_file():
        return Source({None: [read_file(path)]})
    if path.is_dir() and not declares_configs(path):
        return open_folder(path)
    if not (address := HUB_ADDRESS.fullmatch(source)) or not (Path(address[1]).is_dir() or HUB_NAME.fullmatch(address[1])) or kind_of(path):
        raise DataError(f"source {source}: no such file or folder, and no hub name (owner/name:config@split)")
    return open_hub(address[1], address[2], address[3])


def declares_configs(folder: Path) -> bool:
    """Whether a dataset repository's README says itself which files make which split."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    return text.startswith("---\n") and "\nconfigs:" in text.split("\n---", 1)[0]


# Folders and the hub


def open_folder(folder: Path) -> Source:
    """The folder's files by the split their names state (train-00000-of-00002.parquet, data/val.jsonl.gz, validation/x.arrow)."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and kind_of(p) and p.name not in NOT_RECORDS]
    files = [p for p in files if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    if not files:
        raise DataError(f"folder {folder} holds no {', '.join((*READERS, *FRAMES))} file")
    source, named = Source(), {p: split_of(p.relative_to(folder)) for p in files}
    for path, split in named.items():
        if split or not any(named.values()):
            source.splits.setdefault(split, []).append(read_file(path))
        else:
            source.notes.append(f"{path.relative_to(folder)} was not read: its name states no split")
    return source


def split_of(path: Path) -> str | None:
    """The split stated by the file's name, or else by the nearest folder."""
    for part in reversed(path.parts):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in SPLIT_WORDS:
                return SPLIT_WORDS[word]
    return None


def open_hub(place: str, config: str | None = None, split: str | None = None) -> Source:
    """A dataset repository, on the hub or in a folder, through Hugging Face's library.

    The library honours its own cache and HF_HUB_OFFLINE. Raises DataError with the library's reason.
    """
    from datasets import load_dataset  # here, because importing it takes a second
    from datasets.exceptions import DatasetsError

    try:
        loaded = load_dataset(place, config, split=split)
    except (OSError, ValueError, DatasetsError) as error:
        raise DataError(f"dataset {place} cannot be loaded: {error or type(error).__name__}") from None
    splits = {split: loaded} if split else dict(loaded)
    return Source({SPLIT_WORDS.get(s, s): [hub_records(f"{place}@{s}", data)] for s, data in splits.items()})


def hub_records(file: str, data: Iterable[Record]) -> Iterator[Raw]:
    for line, record in enumerate(data, 1):
        yield Raw(file, line, dict(record))


# Files


def kind_of(path: Path) -> str:
    """The suffix that decides the reader, without .gz; empty when no reader knows it."""
    name = path.name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    return suffix if suffix in READERS or (suffix in FRAMES and not name.endswith(".gz")) else ""


def read_file(path: Path) -> Iterator[Raw]:
    """The file's records, one by one. Raises DataError when the file as a whole cannot be read."""
    if not kind_of(path):
        expected = f"{', '.join(READERS)} (also with .gz), {', '.join(FRAMES)}"
        raise DataError(f"file {path}: the name ends in {path.suffix or 'nothing'}, expected {expected}")
    try:
        if kind_of(path) in FRAMES:
            yield from frame_records(path)
            return
        with opened(path) as file:
            yield from READERS[kind_of(path)](str(path), file)
    except (OSError, zlib.error, pl.exceptions.PolarsError) as error:
        raise DataError(f"file {path} cannot be read: {error}") from None


def opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Lines with their ends. A gzip stream that breaks off gives its readable part, without a last line end."""
    try:
        yield from file
    except EOFError:
        yield b"\xff"  # never valid, and the last: counted as a truncated line


def json_lines(name: str, file: BinaryIO) -> Iterator[Raw]:
    for number, line in enumerate(lines_of(file), 1):
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if line.strip():
            yield Raw(name, number, parsed_line(line), line[:300].decode(errors="replace").strip())


def parsed_line(line: bytes) -> Record | RecordError:
    whole = line.endswith(b"\n")
    try:
        return json_object(json.loads(line.decode()))
    except UnicodeDecodeError as error:
        found = f"byte {error.start} is {line[error.start]:#x}, expected UTF-8"
        return RecordError("broken_utf8" if whole else "truncated_last_line", found)
    except (ValueError, RecursionError) as error:
        return RecordError("broken_json" if whole else "truncated_last_line", f"{error}, expected a JSON object")


def json_object(value: object) -> Record | RecordError:
    return value if isinstance(value, dict) else RecordError("wrong_type", f"the record is {value!r:.60}, expected a JSON object")


def json_records(name: str, file: BinaryIO) -> Iterator[Raw]:
    """A .json file: an array of records, one record, or JSON Lines under another name."""
    data = b"".join(lines_of(file))
    text = data.decode("utf-8-sig", errors="surrogateescape").strip()  # broken bytes become surrogates, which every text check refuses
    if text.startswith("["):
        for number, content, excerpt in array_items(text):
            yield Raw(name, number, content, excerpt)
        return
    try:
        yield Raw(name, 1, json_object(json.loads(text)))
    except ValueError:
        yield from json_lines(name, io.BytesIO(data))


def array_items(text: str) -> Iterator[tuple[int, Record | RecordError, str]]:
    """The items of a JSON array as (number, item, excerpt); what follows a fault cannot be read and is one last item."""
    decode, number, position = json.JSONDecoder().raw_decode, 0, skip(text, 1)
    while position < len(text) and text[position] != "]":
        number += 1
        try:
            value, end = decode(text, position)
        except (ValueError, RecursionError) as error:
            reason = "broken_json" if text.endswith("]") else "truncated_last_line"
            yield number, RecordError(reason, f"{error}; nothing after it can be read"), text[position : position + 300]
            return
        yield number, json_object(value), text[position : position + 300]
        position = skip(text, end)
    if position >= len(text):
        yield number + 1, RecordError("truncated_last_line", "the file ends before ], expected a whole JSON array"), ""


def skip(text: str, position: int) -> int:
    """The position of the next character that is neither white space nor a comma."""
    while position < len(text) and text[position] in " \t\r\n,":
        position += 1
    return position


def csv_records(name: str, file: BinaryIO) -> Iterator[Raw]:
    data = b"".join(lines_of(file))
    torn = 0 if data.endswith(b"\n") else data.count(b"\n") + 1  # the line that may be cut
    text = data.decode("utf-8-sig", errors="surrogateescape")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if ".tsv" in name.lower() else ",", strict=True)
    try:
        header = next(rows, [])
        for row in rows:
            if row:
                yield Raw(name, rows.line_num, csv_record(header, row, rows.line_num == torn), ",".join(row)[:300])
    except csv.Error as error:
        yield Raw(name, rows.line_num, RecordError("truncated_last_line" if "unexpected end" in str(error) else "broken_csv", str(error)))


def csv_record(header: list[str], row: list[str], torn: bool) -> Record | RecordError:
    if len(row) == len(header):
        return dict(zip(header, row, strict=True))
    reason = "truncated_last_line" if torn and len(row) < len(header) else "broken_csv"
    return RecordError(reason, f"the row has {len(row)} fields, expected {len(header)}")


def frame_records(path: Path) -> Iterator[Raw]:
    """Parquet and Arrow; `datasets` writes Arrow as a stream, others as a file that begins with ARROW1."""
    if kind_of(path) == ".parquet":
        frame = pl.read_parquet(path)
    else:
        with path.open("rb") as file:
            is_file = file.read(6) == b"ARROW1"
        frame = pl.read_ipc(path) if is_file else pl.read_ipc_stream(path)
    for line, record in enumerate(frame.iter_rows(named=True), 1):
        yield Raw(str(path), line, record)


FRAMES = (".parquet", ".arrow", ".feather")
READERS: dict[str, Callable[[str, BinaryIO], Iterator[Raw]]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_records,
    ".csv": csv_records,
    ".tsv": csv_records,
}
