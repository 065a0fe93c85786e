"""Where records come from: a file, a folder or a Hugging Face dataset, read one record at a time.

A record that cannot be read is not an exception but a RecordError in its place, so that an import counts it with its line.
"""

import logging
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.data.arrow_files import SUFFIXES, arrow_records
from engine.data.csv_files import csv_records
from engine.data.files import MAX_RECORDS, Raw, kind_on_disk, lines_of
from engine.data.json_files import json_lines, json_records
from engine.data.turns import Record
from engine.errors import DataError
from engine.plain import printable

STARTER = Path(__file__).parent / "starter"
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
NOT_RECORDS = ("dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json")  # what `datasets` writes beside its data
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
HUB_ADDRESS = re.compile(r"([^:@]+)(?::([^:@]+))?(?:@([^:@]+))?")


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
    path = path_of(source)
    found = kind_on_disk(path)
    if found == "a file":
        return Source({None: [read_file(path)]})
    if found == "a folder" and not declares_configs(path):
        return open_folder(path)
    if found and found != "a folder":
        raise DataError(f"source {printable(source)} is {found}, expected a regular file or a folder")
    address = HUB_ADDRESS.fullmatch(source)
    if not address or not (Path(address[1]).is_dir() or HUB_NAME.fullmatch(address[1])) or kind_of(path):
        raise DataError(f"source {printable(source)}: no such file or folder, and no hub name (owner/name:config@split)")
    return open_hub(address[1], address[2], address[3])


def needs_library(source: str) -> bool:
    """Whether Hugging Face's library reads this source: no file and no plain folder. Raises DataError when nothing is named."""
    found = None if source == "starter" else kind_on_disk(path_of(source))
    return source != "starter" and (found is None or (found == "a folder" and declares_configs(path_of(source))))


def path_of(source: str) -> Path:
    """The path with ~ written out. Raises DataError when nothing is named."""
    if not source.strip():
        raise DataError("the source is empty, expected a file, a folder or a hub name")
    try:
        return Path(source).expanduser()
    except RuntimeError as error:
        raise DataError(f"source {printable(source)}: {error}") from None


def declares_configs(folder: Path) -> bool:
    """Whether a dataset repository's README says itself which files make which split."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    return text.startswith("---\n") and "\nconfigs:" in text.split("\n---", 1)[0]


# Folders and the hub


def open_folder(folder: Path) -> Source:
    """The folder's files by the split their names state (train-00000-of-00002.parquet, data/val.jsonl.gz, validation/x.arrow)."""
    inside = {p: p.relative_to(folder) for p in sorted(folder.rglob("*")) if not p.is_dir()}
    seen = {p: at for p, at in inside.items() if p.name not in NOT_RECORDS and not any(part.startswith(".") for part in at.parts)}
    files = {p: split_of(at) for p, at in seen.items() if kind_of(p) and p.is_file()}
    if not files:
        raise DataError(f"folder {printable(folder)} holds no {', '.join((*READERS, *SUFFIXES))} file")
    source = Source(notes=[f"{printable(at)} was not read: {why_not(p)}" for p, at in seen.items() if p not in files and split_of(at)])
    for path, split in files.items():
        if split or not any(files.values()):
            source.splits.setdefault(split, []).append(read_file(path))
        else:
            source.notes.append(f"{printable(seen[path])} was not read: its name states no split")
    return source


def why_not(path: Path) -> str:
    return f"its name ends in {path.suffix or 'nothing'}" if path.is_file() else "it is no regular file"


def split_of(path: Path) -> str | None:
    """The split named by the file's name, or else by the nearest folder."""
    for part in reversed(path.parts):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in SPLIT_WORDS:
                return SPLIT_WORDS[word]
    return None


def open_hub(place: str, config: str | None = None, split: str | None = None) -> Source:
    """A dataset repository, on the hub or in a folder, through Hugging Face's library.

    The library honours its own cache and HF_HUB_OFFLINE. Raises DataError with the library's reason.
    """
    from datasets import disable_progress_bars, load_dataset  # here, because importing it takes a second

    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would report each of its tries
    try:
        loaded = load_dataset(place, config, split=split)
    except Exception as error:  # the library's own errors and those of a dozen libraries below it
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        no_file = "" if Path(place).is_dir() else "; nor is there a file or folder of this name"
        raise DataError(f"dataset {place} cannot be loaded: {reason}{no_file}") from None
    source = Source()
    for name, data in ({split: loaded} if split else dict(loaded)).items():
        source.splits.setdefault(SPLIT_WORDS.get(name, name), []).append(hub_records(f"{place}@{name}", data))
    return source


def hub_records(file: str, data: Iterable[Record]) -> Iterator[Raw]:
    try:
        for line, record in enumerate(data, 1):
            yield Raw(file, line, dict(record))
    except (
        ImportError,
        OSError,
        ValueError,
    ) as error:  # a column of pictures or sounds without the library that decodes them, a damaged file
        raise DataError(f"dataset {file} cannot be read: {error}") from None


# Files


def kind_of(path: Path) -> str:
    """The suffix that decides the reader, without .gz; empty when no reader knows it."""
    name = path.name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    return suffix if suffix in READERS or (suffix in SUFFIXES and not name.endswith(".gz")) else ""


def read_file(path: Path) -> Iterator[Raw]:
    """The file's records, one by one. Raises DataError when the file as a whole cannot be read."""
    name, kind = printable(path), kind_of(path)
    if not kind:
        expected = f"{', '.join(READERS)} (also with .gz), {', '.join(SUFFIXES)}"
        raise DataError(f"file {name}: the name ends in {path.suffix or 'nothing'}, expected {expected}")
    try:
        for count, raw in enumerate(arrow_records(path) if kind in SUFFIXES else READERS[kind](name, lines_of(path)), 1):
            if count > MAX_RECORDS:
                raise DataError(f"file {name} has more than {MAX_RECORDS:,} records: divide it into several files of a folder")
            yield raw
    except (OSError, zlib.error) as error:
        raise DataError(f"file {name} cannot be read: {getattr(error, 'strerror', None) or error}") from None


READERS: dict[str, Callable[[str, Iterable[bytes]], Iterator[Raw]]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_records,
    ".csv": csv_records,
    ".tsv": csv_records,
}
