"""Records of a result file, read, unwrapped and checked: what can be used, and what was refused and why."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import Any

from engine.data import columns
from engine.data.files import Raw
from engine.data.records import PreferencePair
from engine.data.rejects import Rejects
from engine.data.results import shapes
from engine.data.results.dialogue import system_prompt, unwrapped
from engine.data.results.shapes import Answer, Reading, Shape, usable
from engine.data.turns import checked_text, keys_of, pair
from engine.errors import DataError, RecordError

LOOK_AHEAD = 1_000  # records in which a shape and the mapped columns must be found


@dataclass
class Intake:
    """Collects what can be used of a file."""

    shape: Shape
    mapping: Mapping[str, str]  # our columns and the file's, as given or guessed
    records: int = 0
    readings: list[Reading] = field(default_factory=list)
    pairs: list[PreferencePair] = field(default_factory=list)  # in the file's order, a repeated one again
    rejects: Rejects = field(default_factory=Rejects)
    in_part: int = 0  # records of which a part was refused
    unpaired: int = 0

    @property
    def skipped(self) -> dict[str, int]:
        return dict(self.rejects.counts)

    def refuse_part(self, raw: Raw, faults: list[RecordError]) -> None:
        """Refuse answers or the pair of a record whose other answers and rewards are kept."""
        for fault in faults:
            self.rejects.add(raw, RecordError(fault.reason, f"{fault}; the rest of the record is kept"))
        self.in_part += bool(faults)


def take_in(raws: Iterable[Raw], mapping: Mapping[str, str] | None, file: str) -> Intake:
    """Read every record in the shape of the first, take decoded prompts from the answers, and check them.

    Raises DataError when no record is of a known shape, or a mapped column is in none.
    """
    iterator = iter(raws)
    start = list(islice(iterator, LOOK_AHEAD))
    mapping = mapping or guessed(start, file)
    check_columns(mapping, start)
    intake = Intake(recognised([renamed(raw, mapping) for raw in start], file), mapping)
    read = list(read_all(intake, (renamed(raw, mapping) for raw in chain(start, iterator))))
    systems = {s for _, reading in read for a in reading.answers if (s := system_prompt(a.raw or a.text)) is not None}
    for raw, wrapped in read:
        try:
            add(intake, raw, unwrapped_reading(wrapped, systems))
        except RecordError as error:
            intake.rejects.add(raw, error)
    add_pairs_across_records(intake)
    return intake


def read_all(intake: Intake, raws: Iterable[Raw]) -> Iterable[tuple[Raw, Reading]]:
    for raw in raws:
        intake.records += 1
        try:
            if isinstance(raw.content, RecordError):
                raise raw.content
            yield raw, shapes.read(intake.shape, raw.content, raw.line)
        except RecordError as error:
            intake.rejects.add(raw, error)


def unwrapped_reading(reading: Reading, systems: set[str]) -> Reading:
    """The reading with its answers bare. Raises RecordError when nothing of use is left."""
    answers, faults = usable(partial(bare, a, reading, systems) for a in reading.answers)
    found = replace(reading, answers=answers, faults=(*reading.faults, *faults))
    if faults and not found.is_useful():
        raise faults[0]
    return found


def add(intake: Intake, raw: Raw, reading: Reading) -> None:
    """Keep a reading and its pair. Raises RecordError when it holds nothing but a pair, and that is none."""
    faults = list(reading.faults)
    try:
        intake.pairs += pair_of(reading)
    except RecordError as error:
        if not reading.is_useful():
            raise
        faults.append(error)
    intake.readings.append(reading)
    intake.refuse_part(raw, faults)


def bare(answer: Answer, reading: Reading, systems: set[str]) -> Answer:
    """The answer without a decoded prompt in front of it. Raises RecordError when nothing is left."""
    found = None if answer.raw else unwrapped(answer.text, reading.turns, systems)
    if found:
        answer = replace(answer, text=found[0], raw=answer.text, whole=found[1])
    checked_text(answer.text, label_of(answer))
    return answer


def label_of(answer: Answer) -> str:
    return answer.role or (answer.generator.text if answer.generator else "response")


def pair_of(reading: Reading) -> list[PreferencePair]:
    """The record's pair, if it holds both sides. Raises RecordError when both are the same text."""
    sides = {a.role: a.text for a in reading.answers if a.role}
    if len(sides) < 2:
        return []
    return [pair(reading.turns, sides["chosen"], sides["rejected"], {"prompt_type": reading.prompt_type}, reading.line)]


def add_pairs_across_records(intake: Intake) -> None:
    """In the long shape chosen and rejected of a prompt are records of their own: the first of each belong together, the second, …"""
    loose: dict[Any, dict[str, dict[str, Reading]]] = {}
    for reading in intake.readings:
        if len(reading.answers) == 1 and (role := reading.answers[0].role):
            loose.setdefault(reading.turns, {"chosen": {}, "rejected": {}})[role].setdefault(reading.answers[0].text, reading)
    for turns, sides in loose.items():
        intake.unpaired += abs(len(sides["chosen"]) - len(sides["rejected"]))
        for (chosen, reading), rejected in zip(sides["chosen"].items(), sides["rejected"], strict=False):
            try:
                intake.pairs.append(pair(turns, chosen, rejected, {"prompt_type": reading.prompt_type}, reading.line))
            except RecordError:
                intake.unpaired += 2


def check_columns(mapping: Mapping[str, str], start: list[Raw]) -> None:
    """Raises DataError for a mapped column that no record has, or that is mapped twice."""
    found = dict.fromkeys(key for raw in start if isinstance(raw.content, dict) for key in raw.content)
    for ours, theirs in mapping.items():
        if theirs not in found:
            raise DataError(f"mapping {ours}={theirs}: no record has the column {theirs!r}, found {keys_of(found)}")
        if list(mapping.values()).count(theirs) > 1:
            raise DataError(f"mapping {ours}={theirs}: the column {theirs!r} is mapped twice, expected each once")


def guessed(start: list[Raw], file: str) -> dict[str, str]:
    """Of records in no known shape, where their names say a prompt and an answer stand; empty when they do not."""
    with suppress(DataError):
        recognised(start, file)
        return {}
    found = columns.guess_answers([raw.content for raw in start if isinstance(raw.content, dict)])
    return {ours: theirs for ours, theirs in found.items() if ours != theirs} if {"question", "response"} <= set(found) else {}


def renamed(raw: Raw, mapping: Mapping[str, str]) -> Raw:
    """The record with its columns called as the shapes call them; mapping: {"response": "their column"}."""
    if not mapping or isinstance(raw.content, RecordError):
        return raw
    ours = {theirs: ours for ours, theirs in mapping.items()}
    return replace(raw, content={ours.get(k, k): v for k, v in raw.content.items() if k in ours or k not in mapping})


def recognised(raws: list[Raw], file: str) -> Shape:
    """The shape of the first record that has one. Raises DataError with that file, line and keys when none has."""
    first: DataError | None = None
    for raw in raws:
        try:
            if isinstance(raw.content, RecordError):
                raise raw.content
            return shapes.recognise(raw.content)
        except DataError as error:
            first = first or DataError(f"{raw.file} line {raw.line}: {error}")
    raise first or DataError(f"{file}: the file holds no records, expected at least one")


def notes(intake: Intake) -> list[str]:
    """What was removed, repeated or left over, in sentences with counts."""
    part = [f"{intake.in_part} records are kept in part: their other answers and rewards count"] if intake.in_part else []
    read = " ".join(f"{ours}={theirs}" for ours, theirs in intake.mapping.items())
    return [*([f"columns: {read}"] if read else []), *removed(intake), *repeated(intake), *part, *intake.rejects.notes]


def removed(intake: Intake) -> list[str]:
    answers = [(label_of(a), a) for reading in intake.readings for a in reading.answers]
    sentences = []
    for label, total in Counter(label for label, _ in answers).items():
        whole = [a.whole for name, a in answers if name == label and a.raw is not None]
        if whole:
            cut = f" ({len(whole) - sum(whole)} of them with a cut piece of it)" if not all(whole) else ""
            sentences.append(f"{len(whole)} of {total} {label} texts began with a decoded dialogue{cut}: removed, raw text kept")
    systems = Counter(reading.system for reading in intake.readings if reading.system is not None)
    return sentences + [f"the system prompt {system!r:.90} was taken from {n} prompts" for system, n in systems.items()]


def repeated(intake: Intake) -> list[str]:
    rewards = [(reading.turns, a.text, a.scorer, a.reward) for reading in intake.readings for a in reading.answers if a.scorer]
    distinct, different = len({r[:3] for r in rewards}), len(set(rewards))
    sentences = []
    if again := len(rewards) - distinct:
        another = f"{different - distinct} of them with another number"
        sentences.append(f"{again} rewards are of a prompt and text scored before, {another}: each kept as record 1, 2, …")
    if again := len(intake.pairs) - len({p.pair_id for p in intake.pairs}):
        sentences.append(f"{again} pairs stand in the file again: each pair kept once")
    if intake.unpaired:
        sentences.append(f"{intake.unpaired} chosen or rejected responses have no counterpart to the same prompt: not in a pair")
    return sentences
