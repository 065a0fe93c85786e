"""A source before it is imported: its first records, and what would be kept of them and what not. Nothing is written.

sources -> sample -> Sample (first rows, the columns guessed) -> check -> Check (kept, dropped by reason with an example each)
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, groupby
from typing import Any

from engine.data import columns
from engine.data.columns import is_label
from engine.data.datasets_io import opened
from engine.data.files import Raw
from engine.data.intake import LOOK_AHEAD, Intake, Kept, recognised
from engine.data.rejects import Dropped
from engine.data.results import recognise
from engine.data.turns import Record
from engine.errors import DataError, RecordError
from engine.plain import line

FIRST = 2_000  # records of each split that are looked at
MOST = 100_000  # records of each split when more are asked for
MOST_CHARS = 256 << 20  # of a split's records, as text
MAX_CELL = 300  # characters of a cell in a table of first rows


@dataclass(frozen=True)
class Sample:
    """The first records of each split; the split is None where the source names none."""

    splits: Mapping[str | None, list[Raw]]
    notes: tuple[str, ...] = ()
    whole: bool = True  # whether these are all records

    @cached_property
    def records(self) -> list[Record]:
        """Those that could be read, of all splits."""
        return [raw.content for raw in self.raws if not isinstance(raw.content, RecordError)]

    @cached_property
    def raws(self) -> list[Raw]:
        """Of all splits."""
        return [raw for raws in self.splits.values() for raw in raws]

    @cached_property
    def columns(self) -> list[str]:
        return columns.columns_of(self.records[:LOOK_AHEAD])

    def guess(self) -> dict[str, str]:
        """The options of the format `mapped`, as far as names and values tell."""
        return columns.guess(self.records[:LOOK_AHEAD])

    def guess_answers(self) -> dict[str, str]:
        """Where prompt, answer, reward and their names stand in results made elsewhere: {our column: the file's}."""
        return columns.guess_answers(self.records[:LOOK_AHEAD])

    def format(self) -> str | None:
        """The format an import would take; None when none is recognised and no whole pair can be guessed."""
        readable = [raw for raw in self.raws if not isinstance(raw.content, RecordError)]
        try:
            return recognised(readable[:LOOK_AHEAD], {})[0]
        except DataError:
            return None

    def shape(self) -> str | None:
        """The shape of finished results the records have; None when they look like preference pairs, or like nothing that is known."""
        format = self.format()
        if format not in (None, "mapped"):
            return None
        with suppress(DataError):
            shape = recognise(next(iter(self.records), {})).name
            return shape if format is None or shape != "wide" else None  # two scored responses may be a pair
        return None

    def values(self, column: str | None, most: int = 20) -> list[str]:
        """The different values of a column, if they are few: what a label may say."""
        found = dict.fromkeys(str(r[column]).strip().removesuffix(".0") for r in self.records if column and is_label(r.get(column)))
        return list(found) if len(found) <= most else []

    def under(self, split: str) -> "Sample":
        """The records as this split: its own of that name, or all when it has but one. Raises DataError when none is meant."""
        if len(self.splits) > 1 and split not in self.splits:
            raise DataError(f"the source has the splits {', '.join(map(str, self.splits))}, not {split}: name one, or its files")
        return replace(self, splits={split: self.splits.get(split, self.raws)})

    def first_rows(self, rows: int = 5) -> list[dict[str, str]]:
        """The first records as short texts, every column in every row."""
        return [{column: shown(record.get(column)) for column in self.columns} for record in self.records[:rows]]


@dataclass(frozen=True)
class Check:
    """What an import would make of a sample."""

    records: int
    kept: list[Kept]
    dropped: tuple[Dropped, ...]
    splits: dict[str, int]  # split: pairs
    read_as: tuple[str, ...]  # how each file was read, and divided
    notes: tuple[str, ...]


def shown(value: Any) -> str:
    """A value for a table's cell."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


def sample(sources: str | dict[str, str], limit: int = FIRST) -> Sample:
    """The first `limit` records of each split. Raises DataError when a source cannot be read or holds no record."""
    source, splits, whole = opened(sources), dict[str | None, list[Raw]](), True
    for split, files in source.splits.items():
        splits[split], complete = first_of(chain.from_iterable(files), limit)
        whole = whole and complete
    if not any(splits.values()):
        raise DataError("the source holds no records, expected at least one")
    return Sample(splits, tuple(source.notes), whole)


def joined(samples: dict[str, Sample]) -> Sample:
    """Samples of several sources, each under its split."""
    notes = tuple(note for one in samples.values() for note in one.notes)
    return Sample({split: one.under(split).raws for split, one in samples.items()}, notes, all(one.whole for one in samples.values()))


def first_of(raws: Iterable[Raw], limit: int) -> tuple[list[Raw], bool]:
    """At most `limit` records and MOST_CHARS of text, and whether that is all there is."""
    found, chars = list[Raw](), 0
    for raw in raws:
        if len(found) == limit or chars > MOST_CHARS:
            return found, False
        chars += len(str(raw.content))
        found.append(raw)
    return found, True


def check(
    sample: Sample, format: str | None = None, options: dict[str, Any] | None = None, validation_share: float = 0.1, seed: int = 0
) -> Check:
    """What an import with these options would keep of the sample. Raises DataError as import_dataset does."""
    intake = Intake()
    for split, raws in sample.splits.items():
        for _, of_file in groupby(raws, lambda raw: raw.file):
            intake.read(split, of_file, format, options or {})
    notes = intake.settle(validation_share, seed)
    read_as = (*sample.notes, *notes, *intake.read_as)
    return Check(intake.records.total(), intake.kept, intake.rejects.by_reason, intake.splits, read_as, tuple(intake.notes))


def as_text(found: Check, shown: int = 3) -> str:
    """What would be kept, what not with an example of each reason, and the first pairs."""
    splits = ", ".join(f"{pairs:,} {split}" for split, pairs in found.splits.items())
    lines = [f"of the first {found.records:,} records {len(found.kept):,} would be kept: {splits or 'none'}"]
    lines += [f"  {d.records:,} not: {d.reason}, such as {d.file} line {d.line}: {d.detail}" for d in found.dropped]
    lines += [f"  {note}" for note in (*found.read_as, *found.notes)]
    for kept in found.kept[:shown]:
        texts = {"prompt": kept.pair.turns[-1].content, "chosen": kept.pair.chosen, "rejected": kept.pair.rejected}
        lines += ["", *(f"  {name:9}{line(text):.100}" for name, text in texts.items())]
    return "\n".join(lines)


# A sample of a source that only a process of the engine can read goes to the page as JSON


def as_json(sample: Sample) -> str:
    splits = [[split, [[raw.file, raw.line, raw.content] for raw in raws if not isinstance(raw.content, RecordError)]]
              for split, raws in sample.splits.items()]  # fmt: skip
    return json.dumps({"splits": splits, "notes": sample.notes, "whole": sample.whole}, default=str)


def from_json(text: str) -> Sample:
    found = json.loads(text)
    splits = {split: [Raw(file, line, content) for file, line, content in raws] for split, raws in found["splits"]}
    return Sample(splits, tuple(found["notes"]), found["whole"])
