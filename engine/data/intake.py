"""The checks between a source's records and a dataset: what passes is kept, the rest is counted by reason."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from engine.data import columns
from engine.data.files import Raw
from engine.data.formats import REASONS, Parser, detect, parser, remarks
from engine.data.records import PreferencePair, Turn, digest, text_id
from engine.data.rejects import Rejects
from engine.data.turns import Record
from engine.errors import DataError, RecordError
from engine.statistics.wording import percent

MAX_CHARS = 32_000  # of one text, about 8,000 tokens
NEITHER = re.compile(r"[\W_]+")  # letters nor digits
VALUES = ("first", "second")  # options of `mapped` that are no columns: what the label says
LOOK_AHEAD = 100  # records in which a format must be recognised


@dataclass(frozen=True)
class Kept:
    split: str | None
    file: str
    pair: PreferencePair

    def raw(self) -> Raw:
        content = {"question": self.pair.turns[-1].content, "chosen": self.pair.chosen, "rejected": self.pair.rejected}
        return Raw(self.file, self.pair.line or 0, content)


@dataclass
class Intake:
    """Collects the pairs that pass every check; the others become rejects, or the first of them an error when strict."""

    strict: bool = False
    max_chars: int = MAX_CHARS
    kept: list[Kept] = field(default_factory=list)
    rejects: Rejects = field(default_factory=Rejects)
    records: Counter[str | None] = field(default_factory=Counter)  # by split
    formats: dict[str, str] = field(default_factory=dict)  # file: format
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)  # file: the columns of the format `mapped`
    remarks: Counter[str] = field(default_factory=Counter)
    seen: set[tuple[str | None, str]] = field(default_factory=set)

    def read(self, split: str | None, raws: Iterable[Raw], format: str | None, options: dict[str, Any]) -> None:
        """Parse and check one file's records. Raises DataError when no format is recognised."""
        records = self.readable(split, raws)
        if not (start := list(islice(records, LOOK_AHEAD))):
            return
        name, options = recognised(start, options) if format is None else (format, named(start, options) if format == "mapped" else options)
        self.formats[start[0].file] = name
        self.columns |= {start[0].file: options} if name == "mapped" else {}
        parse = parser(name, options)
        for raw in chain(start, records):
            self.read_one(split, raw, parse)

    def readable(self, split: str | None, raws: Iterable[Raw]) -> Iterator[Raw]:
        """The records that could be read at all; the others are refused."""
        for raw in raws:
            self.records[split] += 1
            if isinstance(raw.content, RecordError):
                self.refuse(raw, raw.content)
            else:
                yield raw

    def read_one(self, split: str | None, raw: Raw, parse: Parser) -> None:
        try:
            self.keep(Kept(split, raw.file, parse(record_of(raw), raw.line)))
            self.remarks.update(remarks(record_of(raw), self.kept[-1].pair))
        except RecordError as error:
            self.refuse(raw, error)

    def keep(self, candidate: Kept) -> None:
        """Raises RecordError when the pair is too long or stands in the split already."""
        texts = [*(t.content for t in candidate.pair.turns), candidate.pair.chosen, candidate.pair.rejected]
        if (longest := max(map(len, texts))) > self.max_chars:
            raise RecordError("too_long", f"a text has {longest} characters, expected at most {self.max_chars}")
        key = (candidate.split, candidate.pair.pair_id)
        if key in self.seen:
            raise RecordError("duplicate_pair", "the same prompt, chosen and rejected stand earlier in this split, expected each pair once")
        self.seen.add(key)
        self.kept.append(candidate)

    def refuse(self, raw: Raw, error: RecordError) -> None:
        """Raises DataError when strict."""
        if self.strict:
            raise DataError(f"{raw.file} line {raw.line}: {error} ({error.reason})") from None
        self.rejects.add(raw, error)

    def settle(self, share: float, seed: int) -> list[str]:
        """Give every pair its split and keep the splits apart; what was done, in a sentence. Raises DataError for a share that is none."""
        if not 0 <= share < 1:
            raise DataError(f"validation_share is {share}, expected at least 0 and below 1")
        without = any(k.split is None for k in self.kept)
        if without:
            self.divide(share, seed)
        self.separate()
        if not without:
            return []
        held_out, pairs = sum(not is_training(k.split) for k in self.kept), len(self.kept)
        wanted = percent(share, 0)
        return [f"divided by a hash of the question with seed {seed}: {held_out} of {pairs} pairs for validation ({wanted} asked)"]

    @property
    def splits(self) -> dict[str, int]:
        """{split: pairs}"""
        return dict(sorted(Counter(str(k.split) for k in self.kept).items()))

    def separate(self) -> None:
        """Drop training pairs whose question is in another split, so that published validation sets stay whole and comparable."""
        held_out = {normalised(k.pair.turns): k for k in self.kept if not is_training(k.split)}
        leaking = [k for k in self.kept if is_training(k.split) and normalised(k.pair.turns) in held_out]
        for kept in leaking:
            other = held_out[normalised(kept.pair.turns)]
            found = f"the question is in {other.split} too ({other.file} line {other.pair.line}); the training copy is left out"
            self.refuse(kept.raw(), RecordError("in_train_and_validation", found))
        gone = set(map(id, leaking))
        self.kept = [k for k in self.kept if id(k) not in gone]

    def divide(self, share: float, seed: int) -> None:
        """Give every pair of a source without splits to train or validation."""
        self.kept = [k if k.split else replace(k, split=by_hash(k.pair.turns, share, seed)) for k in self.kept]

    @property
    def dropped_by(self) -> dict[str, int]:
        return {reason: self.rejects.counts[reason] for reason in REASONS if self.rejects.counts[reason]}

    @property
    def read_as(self) -> list[str]:
        """How each file was read."""
        return [reading(Path(file).name, name, self.columns.get(file, {})) for file, name in self.formats.items()]

    @property
    def notes(self) -> list[str]:
        """What should be known of the records that were kept."""
        ids = {k.pair.pair_id for k in self.kept}
        both = sum(swapped(k.pair) in ids for k in self.kept)
        contrary = [f"{both} pairs are also there with the opposite preference"] if both else []
        return [f"{n} records: {text}" for text, n in self.remarks.items()] + contrary


def recognised(start: list[Raw], options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The format of the first record that has one, with its options; otherwise `mapped` with the columns guessed and given.

    Raises DataError with the first record's keys.
    """
    first: DataError | None = None
    for raw in start:
        try:
            return detect(record_of(raw)), options
        except DataError as error:
            first = first or DataError(f"{raw.file} line {raw.line}: {error}")
    found = filled_in(start, options)
    if columns.is_whole(found) and any(columns.has_prompt(record_of(raw), found) for raw in start):
        return "mapped", found
    raise first or DataError("there is no record")


def named(start: list[Raw], options: dict[str, Any]) -> dict[str, Any]:
    """The options of `mapped` as they are given when they are whole, otherwise with the columns guessed."""
    return options if columns.is_whole(options) else filled_in(start, options)


def filled_in(start: list[Raw], options: dict[str, Any]) -> dict[str, Any]:
    """The columns guessed and given. Where a side is given, no side is guessed."""
    guessed = columns.guess([record_of(raw) for raw in start])
    if any(columns.is_side(option) for option in options):
        guessed = {option: column for option, column in guessed.items() if not columns.is_side(option)}
    return {**guessed, **options}


def record_of(raw: Raw) -> Record:
    assert isinstance(raw.content, dict)
    return raw.content


def reading(file: str, format: str, options: dict[str, Any]) -> str:
    """How a file was read: in which format, or what was taken from which column."""
    if not options:
        return f"{file} was read in the format {format}"
    columns = ", ".join(taken(option, value) for option, value in options.items())
    return f"{file} was read by its columns: {columns}"


def taken(option: str, value: Any) -> str:
    return f"{option} is {value!r}" if option in VALUES else f"{option} from column {value}"


def swapped(pair: PreferencePair) -> str:
    """The id of the pair with the opposite preference."""
    return digest(pair.prompt_id, text_id(pair.rejected), text_id(pair.chosen))


def is_training(split: str | None) -> bool:
    return bool(split) and str(split).startswith("train")


def normalised(turns: tuple[Turn, ...]) -> str:
    """The question as it is compared: all turns, lower case, letters and digits only."""
    text = " ".join(t.content for t in turns)
    return NEITHER.sub("", text.lower()) or text


def by_hash(turns: tuple[Turn, ...], share: float, seed: int) -> str:
    """train or validation, by a hash of seed and question: the same question always lands on the same side."""
    value = hashlib.sha256(f"{seed}:{normalised(turns)}".encode()).digest()[:8]
    return "validation" if int.from_bytes(value) < share * 2**64 else "train"
