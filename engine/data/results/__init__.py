"""Finished results made elsewhere (answers and rewards) into the cache, as if the engine had made them.

    a file -> sources.read_file -> shapes.recognise -> readings.take_in -> tables.Tables -> cache/results/<id>/ -> database.ingest

shapes.py says which records are understood, dialogue.py what is taken from in front of an answer.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.data.files import Raw, require_file, require_utf8, slug
from engine.data.rejects import Dropped
from engine.data.results.readings import Intake, notes, take_in
from engine.data.results.shapes import SHAPES, Shape, recognise
from engine.data.results.tables import Names, Naming, Tables
from engine.data.sources import path_of, read_file
from engine.errors import DataError
from engine.plain import printable
from engine.store import database
from engine.store.rundir import placing, read_table, wait_for_lock, write_table, write_text

__all__ = ["SHAPES", "ResultsCheck", "ResultsImport", "Shape", "check_results", "import_results", "recognise"]


@dataclass(frozen=True)
class Found:
    """What was recognised in a file of results, and what can be used of it."""

    shape: str
    records: int  # in the file
    counts: dict[str, int]  # table: rows
    generators: tuple[str, ...]
    scorers: tuple[str, ...]
    repeats: int  # rewards of a prompt and text that were scored before
    skipped: dict[str, int]  # reason: records
    notes: tuple[str, ...]
    matched: tuple[int, int] | None  # prompts that the named dataset has too, of how many


@dataclass(frozen=True)
class ResultsImport(Found):
    """What became of a file of results."""

    import_id: str
    name: str
    path: Path
    existed: bool  # imported before; nothing was changed

    def describe(self) -> str:
        """The import in a few lines."""
        rows = ", ".join(f"{self.counts[t]:,} {t}" for t in ("prompts", "pairs", "generations", "rewards") if t in self.counts)
        skipped = ", ".join(f"{n} {reason}" for reason, n in self.skipped.items())
        lines = [
            f"{self.import_id}: {self.shape}, {self.records:,} records" + (" (imported before, nothing changed)" if self.existed else ""),
            f"  {rows}",
            f"  generators: {', '.join(self.generators) or 'none'}",
            f"  scorers: {', '.join(self.scorers) or 'none'}",
            f"  skipped: {skipped} (see rejects.jsonl)" if skipped else "  skipped: none",
        ]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


@dataclass(frozen=True)
class ResultsCheck(Found):
    """What an import of a file's first records would make of them."""

    dropped: tuple[Dropped, ...]
    unnamed: dict[str, tuple[str, ...]]  # generator | scorer: fields of the file that stand for one and give it no name


def import_results(
    cache: Path,
    path: Path | str,
    *,
    name: str | None = None,
    generator: Naming = None,
    scorer: Naming = None,
    dataset: str | None = None,
    mapping: Mapping[str, str] | None = None,
) -> ResultsImport:
    """Import a file of answers and rewards into cache/results/<id>/ and the database. Importing the same again changes nothing.

    generator, scorer: a name, or {name in the file: name}. mapping: {our column: the file's column}. dataset: the answers belong to this
    dataset's prompts, so the file's own pairs are left out.
    Raises DataError: unreadable file, unknown shape, column or name, nothing usable, a cache that cannot be written.
    """
    path = path_of(str(path))
    sha256 = content_hash(path)
    stem = printable(path.name.split(".")[0])
    require_utf8(name=name)
    for kind, naming in (("generator", generator), ("scorer", scorer)):
        for given in naming.values() if isinstance(naming, Mapping) else [naming]:
            require_utf8(**{kind: given})
    options = json.dumps([sha256, generator, scorer, dataset, mapping], sort_keys=True, default=dict)
    import_id = f"{slug(name or stem, 'results')}-{hashlib.sha256(options.encode()).hexdigest()[:8]}"
    intake = usable(read_file(path), mapping, printable(path))
    tables = filled(intake, Names("generator", import_id, stem, generator), Names("scorer", import_id, stem, scorer), dataset)
    found = described(cache, intake, tables, dataset)
    tables.add_dataset(import_id, name or stem, intake.shape.name, printable(path.name), sha256, intake.skipped)
    existed = put(cache, cache / "results" / import_id, path, intake, tables)
    database.ingest(cache, cache / "results" / import_id)
    return ResultsImport(**vars(found), import_id=import_id, name=name or stem, path=cache / "results" / import_id, existed=existed)


def check_results(cache: Path, raws: Iterable[Raw], stem: str, dataset: str | None, mapping: Mapping[str, str] | None) -> ResultsCheck:
    """What an import would make of these records; nothing is written. Raises DataError as import_results does."""
    intake = usable(raws, mapping, stem)
    tables = filled(intake, Names("generator", "", stem, None), Names("scorer", "", stem, None), dataset)
    answers = [answer for reading in intake.readings for answer in reading.answers]
    unnamed = {
        kind: tuple(dict.fromkeys(label.text for label in labels if label and not label.is_name))
        for kind, labels in (("generator", [a.generator for a in answers]), ("scorer", [a.scorer for a in answers]))
    }
    return ResultsCheck(**vars(described(cache, intake, tables, dataset)), dropped=intake.rejects.by_reason, unnamed=unnamed)


def content_hash(path: Path) -> str:
    """Raises DataError when it is no regular file or cannot be read."""
    require_file(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"file {printable(path)} cannot be read: {error.strerror}") from None


def usable(raws: Iterable[Raw], mapping: Mapping[str, str] | None, file: str) -> Intake:
    """The records as their shape reads them. Raises DataError when none is of a known shape or none can be used."""
    intake = take_in(raws, mapping, file)
    if not intake.readings:
        raise DataError(f"no record of {file} can be used: {intake.rejects.in_words()}")
    return intake


def filled(intake: Intake, generator: Names, scorer: Names, dataset: str | None) -> Tables:
    """The rows of all readings. Raises DataError when the names given do not fit."""
    answers = [a for reading in intake.readings for a in reading.answers]
    generator.check([a.generator for a in answers if a.generator])
    scorer.check([a.scorer for a in answers if a.scorer])
    tables = Tables()
    for reading in intake.readings:
        tables.add(reading, generator, scorer)
    if dataset:
        tables.keep_only_referenced_texts()
    else:
        for pair in intake.pairs:
            tables.add_pair(generator.import_id, pair)
    return tables


def matching(cache: Path, dataset: str, tables: Tables) -> tuple[int, int]:
    """How many of the prompts the dataset has too, of how many. Raises DataError when there is no such dataset."""
    known = [p.parent for kind in ("datasets", "results") for p in sorted((cache / kind).glob("[!.]*/datasets.parquet"))]
    pairs = next((read_table(folder, "pairs") for folder in known if folder.name == dataset), None)
    if pairs is None:
        raise DataError(f"dataset {dataset!r} not found, expected one of {', '.join(f.name for f in known) or '(none is imported yet)'}")
    ids = {str(row["prompt_id"]) for row in tables.prompts.values()}
    return len(ids & set(pairs["prompt_id"])), len(ids)


def described(cache: Path, intake: Intake, tables: Tables, dataset: str | None) -> Found:
    """What the tables hold. Raises DataError when there is no such dataset."""
    matched = matching(cache, dataset, tables) if dataset else None
    own = [f"{matched[0]} of {matched[1]} prompts are in the dataset {dataset}; the file's own pairs were left out"] if matched else []
    return Found(
        shape=intake.shape.name,
        records=intake.records,
        counts={table: frame.height for table, frame in tables.frames().items()},
        generators=tuple(row["name"] for row in tables.generators.values()),
        scorers=tuple(row["name"] for row in tables.scorers.values()),
        repeats=sum(n - 1 for (id, *_), n in tables.seen.items() if id in tables.scorers),
        skipped=intake.skipped,
        notes=(*notes(intake), *own),
        matched=matched,
    )


def put(cache: Path, folder: Path, path: Path, intake: Intake, tables: Tables) -> bool:
    """Write all files, one import at a time; True when the folder was there. Raises DataError when the cache cannot be written."""
    try:
        lock = wait_for_lock(cache / "results" / ".lock", 60)
    except OSError as error:
        raise DataError(f"{cache} cannot be written: {error}") from None
    try:
        if folder.is_dir():
            return True
        tables.agree_with(cache)
        with placing(folder) as unfinished:
            for table, frame in tables.frames().items():
                write_table(unfinished, table, frame)
            write_text(unfinished / "rejects.jsonl", intake.rejects.as_json_lines())
            (unfinished / "raw").mkdir()
            shutil.copyfile(path, unfinished / "raw" / path.name)
        return False
    finally:
        os.close(lock)
