"""Preference data into the cache: records read, checked, deduplicated, split, hashed and written as tables, all or nothing.

sources.open_source -> Raw -> formats.parser -> PreferencePair -> Intake -> cache/datasets/<id>/ -> database.ingest
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from engine.data.files import Raw, require_utf8, slug
from engine.data.intake import MAX_CHARS, Intake, Kept
from engine.data.records import PreferencePair, prompt_row, text_id, text_row, turns_from_json
from engine.data.sources import Source, open_source
from engine.errors import DataError
from engine.plain import printable
from engine.statistics.words import word_counts
from engine.store import database
from engine.store.damage import damage_of, naming
from engine.store.rundir import placing, read_table, write_table, write_text


@dataclass(frozen=True)
class Import:
    """What an import kept and why it dropped the rest."""

    dataset_id: str
    format: str
    kept: int  # pairs
    dropped: int  # records
    dropped_by: dict[str, int]  # reason: records
    splits: dict[str, int]  # split: pairs
    notes: tuple[str, ...]
    path: Path
    existed: bool  # the same pairs had been imported before and nothing was changed

    def describe(self) -> str:
        """The import in a few lines."""
        splits = ", ".join(f"{pairs} {split}" for split, pairs in self.splits.items())
        lines = [f"{self.dataset_id}: format {self.format}, kept {self.kept} pairs {splits}"]
        lines += [f"  dropped {records}: {reason}" for reason, records in self.dropped_by.items()]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join([*lines, *([f"  dropped records, with their lines: {self.path / 'rejects.jsonl'}"] if self.dropped else [])])


# Importing


def import_dataset(
    cache: Path,
    name: str,
    sources: str | dict[str, str],
    *,
    format: str | None = None,
    options: dict[str, Any] | None = None,
    validation_share: float = 0.1,
    seed: int = 0,
    strict: bool = False,
    max_chars: int = MAX_CHARS,
    licence: str | None = None,
) -> Import:
    """Import preference pairs into cache/datasets/<id>/ and the database. Importing the same again changes nothing.

    sources: `starter`, a file, a folder or a hub name, whose own splits are kept; or {"split": source}. A source without splits is
    divided by a hash of the question. Raises DataError: unreadable source, unknown format, wrong option, nothing kept, or (strict) the
    first record that is refused.
    """
    require_utf8(name=name, licence=licence)
    intake = Intake(strict, max_chars)
    source = opened(sources)
    for split, raws in parts(source):
        intake.read(split, raws, format, options or {})
    notes = intake.settle(validation_share, seed)
    require_pairs(sources, list(source.splits), intake)
    return written(cache, name, sources, licence, intake, (*source.notes, *notes, *intake.read_as, *intake.notes, *intake.rejects.notes))


def require_pairs(sources: str | dict[str, str], splits: list[str | None], intake: Intake) -> None:
    """Raises DataError with the first rejects when nothing was kept, also when that is so of one split only."""
    kept = {k.split for k in intake.kept}
    for split in splits:
        if split and split not in kept and len(splits) > 1:
            place = sources[split] if isinstance(sources, dict) else sources
            why = intake.rejects.in_words() if intake.records[split] else "it holds no records"
            raise DataError(f"no pair of the split {split} ({printable(place)}) was kept: {why}")
    if not kept:
        raise DataError(f"no pair of {named(sources)} was kept: {intake.rejects.in_words() or 'the source holds no records'}")


def named(sources: str | dict[str, str]) -> str:
    """Where the pairs come from, as the table `datasets` has it: the source, or {split: source} as JSON."""
    if isinstance(sources, str):
        return printable(sources)
    return json.dumps({split: printable(source) for split, source in sources.items()}, ensure_ascii=False)


def opened(sources: str | dict[str, str]) -> Source:
    """One source with its own splits (a lone one is divided anew), or the given sources under the given splits."""
    if isinstance(sources, str):
        source = open_source(sources)
        return Source({None: next(iter(source.splits.values()))}, source.notes) if len(source.splits) == 1 else source
    joined = Source()
    for split, place in sources.items():
        if not re.fullmatch(r"\w+", split):
            raise DataError(f"split is {split!r}, expected letters, digits and _")
        source = open_source(place)
        choice = split if split in source.splits else next(iter(source.splits))
        if choice != split and len(source.splits) > 1:
            raise DataError(f"source {place} has the splits {', '.join(map(str, source.splits))}: name one, or its files")
        joined.splits[split] = source.splits[choice]
        joined.notes += source.notes
    return joined


def parts(source: Source) -> Iterator[tuple[str | None, Iterable[Raw]]]:
    return ((split, raws) for split, files in source.splits.items() for raws in files)


def written(cache: Path, name: str, sources: str | dict[str, str], licence: str | None, intake: Intake, notes: tuple[str, ...]) -> Import:
    """Put the tables in place under their content's name, and into the database. Raises DataError when the cache cannot be written."""
    sha256, splits = content_sha256(intake), intake.splits
    dataset_id = f"{slug(name, 'dataset')}-{sha256[:8]}"
    row = {
        "dataset_id": dataset_id,
        "name": name,
        "format": " + ".join(sorted(set(intake.formats.values()))),
        "source": named(sources),
        "licence": licence,
        "sha256": sha256,
        "kept": len(intake.kept),
        "dropped": intake.rejects.total,
        "dropped_by": json.dumps(intake.dropped_by),
        "splits": json.dumps(splits),
        "created_at": datetime.now(UTC).replace(tzinfo=None),
    }
    folder = cache / "datasets" / dataset_id
    damage = damage_of(folder) if folder.is_dir() else None
    if damage:
        notes = (*notes, f"what was imported before was damaged and is replaced: {damage}")
        shutil.rmtree(folder)
    existed = folder.is_dir()
    if not existed:
        with placing(folder) as unfinished:
            write_tables(unfinished, row, intake)
    database.ingest(cache, folder)
    return Import(dataset_id, str(row["format"]), len(intake.kept), intake.rejects.total, intake.dropped_by, splits, notes, folder, existed)


def content_sha256(intake: Intake) -> str:
    """Of what every kept pair says and where it stands; the file it came from does not matter."""
    content = [[k.split, k.pair.pair_id, k.pair.prompt_type, k.pair.source] for k in intake.kept]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def write_tables(folder: Path, row: dict[str, Any], intake: Intake) -> None:
    pairs = [k.pair for k in intake.kept]
    prompts = {p.turns: prompt_row(p.turns) for p in pairs}
    texts = {t: text_row(t) for p in pairs for t in (p.chosen, p.rejected)}
    write_table(folder, "datasets", pl.DataFrame([row], schema_overrides={"licence": pl.String}))
    write_table(folder, "prompts", list(prompts.values()))
    write_table(folder, "texts", list(texts.values()))
    rows = [pair_row(row["dataset_id"], k, prompts[k.pair.turns]["prompt_id"]) for k in intake.kept]
    write_table(folder, "pairs", pl.DataFrame(rows, schema_overrides={"prompt_type": pl.String, "source": pl.String}))
    write_word_counts(folder, row["dataset_id"], [(str(k.split), k.pair.chosen, k.pair.rejected) for k in intake.kept])
    write_text(folder / "rejects.jsonl", intake.rejects.as_json_lines())


def write_word_counts(folder: Path, dataset_id: str, pairs: Iterable[tuple[str, str, str]]) -> None:
    """The table `word_counts` of pairs of split, chosen and rejected."""
    rows = [(split, side, text) for split, chosen, rejected in pairs for side, text in (("chosen", chosen), ("rejected", rejected))]
    counts = word_counts(pl.DataFrame(rows, schema=["split", "side", "text"], orient="row"))
    write_table(folder, "word_counts", counts.select(pl.lit(dataset_id).alias("dataset_id"), pl.all()))


def count_missing_words(cache: Path) -> None:
    """Count the words of datasets that a version without word counts has imported."""
    for dataset_id in dataset_ids(cache):
        folder = cache / "datasets" / dataset_id
        if (folder / "word_counts.parquet").is_file():
            continue
        with suppress(DataError):  # a damaged one is named when it is ingested
            splits = splits_of(folder)
            pairs = [(split, pair.chosen, pair.rejected) for split in splits for pair in load_pairs(cache, dataset_id, split)]
            write_word_counts(folder, dataset_id, pairs)


def pair_row(dataset_id: str, kept: Kept, prompt_id: str) -> dict[str, Any]:
    pair = kept.pair
    return {
        "pair_id": pair.pair_id,
        "dataset_id": dataset_id,
        "split": kept.split,
        "prompt_id": prompt_id,
        "chosen_id": text_id(pair.chosen),
        "rejected_id": text_id(pair.rejected),
        "prompt_type": pair.prompt_type,
        "source": pair.source,
        "line": pair.line,
    }


# Reading back


def dataset_ids(cache: Path) -> list[str]:
    return sorted(p.parent.name for p in (cache / "datasets").glob("[!.]*/datasets.parquet"))


def splits_in(cache: Path, dataset: str) -> dict[str, int] | None:
    """{split: pairs} of an imported dataset; None when there is no such dataset. Raises DataError when it is damaged."""
    return splits_of(cache / "datasets" / dataset) if dataset in dataset_ids(cache) else None


def splits_of(folder: Path) -> dict[str, int]:
    """{split: pairs} of a dataset or of imported results, which may have no pairs. Raises DataError when they cannot be read."""
    with naming(folder):
        row = read_table(folder, "datasets")
        return {} if row is None else {str(split): int(pairs) for split, pairs in json.loads(row["splits"][0]).items()}


def imports(cache: Path) -> dict[str, dict[str, int]]:
    """{id: {split: pairs}} of all datasets and imported results that can be read."""
    found = {}
    for folder in [*sorted((cache / "datasets").glob("[!.]*/")), *sorted((cache / "results").glob("[!.]*/"))]:
        with suppress(DataError):
            found[folder.name] = splits_of(folder)
    return found


def load_pairs(cache: Path, dataset_id: str, split: str) -> list[PreferencePair]:
    """The pairs of a split in the order they were imported. Raises DataError naming what there is."""
    folder = cache / "datasets" / dataset_id
    tables = {name: read_table(folder, name) for name in ("pairs", "prompts", "texts")}
    pairs, prompts, texts = tables["pairs"], tables["prompts"], tables["texts"]
    if pairs is None or prompts is None or texts is None:
        raise DataError(f"dataset {dataset_id!r} not found, expected one of {', '.join(dataset_ids(cache)) or '(none is imported yet)'}")
    with naming(folder):
        wanted = pairs.filter(pl.col("split") == split)
        if wanted.is_empty():
            raise DataError(f"dataset {dataset_id} has no split {split!r}, expected one of {', '.join(sorted(set(pairs['split'])))}")
        turns = {i: turns_from_json(t) for i, t in prompts.select("prompt_id", "turns").iter_rows()}
        text = dict(texts.select("text_id", "text").iter_rows())
        return [
            PreferencePair(turns[r["prompt_id"]], text[r["chosen_id"]], text[r["rejected_id"]], r["prompt_type"], r["source"], r["line"])
            for r in wanted.iter_rows(named=True)
        ]
