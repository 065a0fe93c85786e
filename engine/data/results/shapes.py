"""The shapes finished results come in. Each is recognised by a rule over a record's keys, never by the file's name.

To add a shape, write its reader and put `@shape` with its rule above it.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine.data.json_files import MAX_DEPTH, depth
from engine.data.records import Turn
from engine.data.results.dialogue import ROLE_LINE, prompt_of, split_dialogues, system_prompt
from engine.data.turns import (
    MARKER,
    Record,
    answer,
    branched,
    checked_text,
    keys_of,
    label_in,
    messages,
    number_of,
    present,
    split_strings,
    text,
    transcript,
)
from engine.errors import DataError, RecordError

ROLES = {"chosen": "chosen", "better": "chosen", "rejected": "rejected", "worse": "rejected"}
QUESTIONS = ("question", "prompt", "turns", "messages")
REWARDS = ("reward", "score", "reward_score", "rewards", "scores")
RESPONSE_KEY = re.compile(r"(?P<before>.+)_response|response_(?P<after>.+)|(?P<role>chosen|rejected|better|worse)")


@dataclass(frozen=True)
class Label:
    """What a generator or scorer is called in the record: by a field's name, or by a value that is a name already."""

    text: str
    is_name: bool = False


@dataclass(frozen=True)
class Answer:
    """A response of a record with what the record says of it."""

    text: str
    role: str | None = None  # chosen | rejected
    generator: Label | None = None
    scorer: Label | None = None
    reward: float | None = None
    raw: str | None = None  # the text in the file, where a decoded prompt was taken from it
    whole: bool = False  # all of the decoded prompt was there


@dataclass(frozen=True)
class Reading:
    """One record: the prompt and the answers to it that can be used."""

    line: int
    turns: tuple[Turn, ...]
    answers: tuple[Answer, ...]
    prompt_type: str | None = None
    system: str | None = None  # the system prompt that was taken from the prompt
    faults: tuple[RecordError, ...] = ()  # of answers beside them that cannot be used

    def is_useful(self) -> bool:
        """Whether it holds more than the two sides of a pair without rewards."""
        return any(a.generator or a.scorer for a in self.answers)


@dataclass(frozen=True)
class Shape:
    name: str
    keys: str  # for people: what the rule looks for
    fits: Callable[[Record], bool]
    read: Callable[[Record, int], Reading]


SHAPES: dict[str, Shape] = {}  # the most specific first: recognise takes the first that fits


def shape(name: str, *, keys: str, fits: Callable[[Record], bool]) -> Callable[[Callable[[Record, int], Reading]], Callable[..., Reading]]:
    """Register a reader under the rule that recognises its records."""

    def register(read: Callable[[Record, int], Reading]) -> Callable[[Record, int], Reading]:
        SHAPES[name] = Shape(name, keys, fits, read)
        return read

    return register


def recognise(record: Record) -> Shape:
    """The first shape whose rule the record meets. Raises DataError with the keys found when none does."""
    for known in SHAPES.values():
        if known.fits(record):
            return known
    expected = "; ".join(f"{s.name} ({s.keys})" for s in SHAPES.values())
    raise DataError(f"no shape of results has the keys {keys_of(record)}: expected {expected}; or columns mapped")


def read(known: Shape, record: Record, line: int) -> Reading:
    """The record as the shape reads it. Raises RecordError under a named reason."""
    if not known.fits(record):
        raise RecordError("missing_key", f"found {keys_of(record)}, expected {known.keys}")
    reading = known.read(record, line)
    if reading.faults and not reading.is_useful():
        raise reading.faults[0]
    roles = [t.role for t in reading.turns]
    if len(roles) % 2 == 0 or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise RecordError("bad_turns", f"the prompt's roles are {', '.join(roles) or '(none)'}, expected user, or user, assistant, …, user")
    return reading


# What the rules and readers are made of


def first_present(record: Record, keys: tuple[str, ...]) -> str | None:
    return next((k for k in keys if record.get(k) is not None), None)


def has_question(record: Record) -> bool:
    return first_present(record, QUESTIONS) is not None


def asked(record: Record) -> tuple[tuple[Turn, ...], str | None]:
    """The prompt's turns without a system prompt, and that system prompt. A list may be written as JSON text, as CSV needs it."""
    key = first_present(record, QUESTIONS) or QUESTIONS[0]
    value = present(record, key)
    if isinstance(value, str) and key in ("turns", "messages"):
        value = listed(value, key)
    if isinstance(value, list):
        return messages(value, key), system_of(value, key)
    return prompt_of(text(record, key)), system_prompt(value)


def system_of(value: list[Any], key: str) -> str | None:
    """The system prompt a message list begins with."""
    first = value[0] if value and isinstance(value[0], dict) else {}
    return checked_text(first["content"], f"{key}[0].content") if first.get("role") == "system" and first.get("content") else None


def listed(value: str, key: str) -> Any:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise RecordError("broken_json", f"{key} is {value!r:.60}: {error}, expected a list of messages") from None
    if depth(found) > MAX_DEPTH:
        raise RecordError("broken_json", f"{key} is nested more than {MAX_DEPTH} deep, expected a list of messages")
    return found


def number(record: Record, key: str) -> float | None:
    """A reward, also alone in a list; None when it is missing, null or an empty cell. Raises RecordError when it is no finite number."""
    value = record.get(key)
    if value is None or value == "":
        return None
    reward = number_of(value[0] if isinstance(value, list) and len(value) == 1 else value)
    if reward is None:
        raise RecordError("bad_reward", f"{key} is {value!r:.60}, expected a finite number")
    return reward


def needed_number(record: Record, key: str) -> float:
    reward = number(record, key)
    if reward is None:
        raise RecordError("bad_reward", f"{key} is {record.get(key)!r}, expected a finite number")
    return reward


def made_by(name: str, text: str, scorer: Label | None = None, reward: float | None = None) -> Answer:
    """The answer of a pair's side or else of a generator, as its name says."""
    return Answer(text, ROLES.get(name), None if name in ROLES else Label(name), scorer, reward)


def responses(record: Record) -> dict[str, tuple[str, str | None]]:
    """By name: the key of its response and the key of its reward, written <name>_response or response_<name>, or a pair's role alone.

    A response without a reward counts only when its name is a role of a pair, since `response_id` and the like are no answers.
    """
    found: dict[str, tuple[str, str | None]] = {}
    for key, value in record.items():
        if isinstance(value, str | list) and (match := RESPONSE_KEY.fullmatch(key)):
            name = match["before"] or match["after"] or match["role"]
            reward = next((k for w in REWARDS for k in (f"{name}_{w}", f"{w}_{name}") if k in record), None)
            if reward or name in ROLES:
                found[name] = key, reward
    return found


def scored(record: Record) -> set[str]:
    """The names of `responses` that have a reward; roles as chosen and rejected."""
    return {ROLES.get(name, name) for name, (_, reward) in responses(record).items() if reward}


Usable = tuple[tuple[Answer, ...], tuple[RecordError, ...]]


def usable(readers: Iterable[Callable[[], Answer]]) -> Usable:
    """The answers that can be read, and the faults of the others: one bad answer does not take those beside it with it."""
    answers, faults = list[Answer](), list[RecordError]()
    for read_one in readers:
        try:
            answers.append(read_one())
        except RecordError as error:
            faults.append(error)
    return tuple(answers), tuple(faults)


def named_answer(record: Record, name: str, key: str, reward: str | None) -> Answer:
    """The answer under `key`, with its reward if there is a field for it."""
    scored = (Label("reward"), needed_number(record, reward)) if reward else ()
    return made_by(checked_text(name, "a field's name"), answer(record, key), *scored)


def named_answers(record: Record) -> Usable:
    return usable(partial(named_answer, record, name, *keys) for name, keys in responses(record).items())


# The shapes


def nested_answers(record: Record) -> dict[str, Record]:
    return {name: value for name, value in record.items() if isinstance(value, dict) and value.get("response") is not None}


def nested_answer(name: str, value: Record) -> Answer:
    key = first_present(value, REWARDS)
    scored = (Label(key), needed_number(value, key)) if key else ()
    return made_by(checked_text(name, "a field's name"), answer(value, "response"), *scored)


@shape(
    "nested",
    keys="two or more objects with response and score or reward, such as better and worse, prompt inside or beside them",
    fits=lambda record: len(nested_answers(record)) > 1,
)
def nested(record: Record, line: int) -> Reading:
    """{"better": {"score", "prompt", "response"}, "worse": {…}}. Raises RecordError, also when the prompts inside differ."""
    inner = nested_answers(record)
    prompts = [asked(value if has_question(value) else record) for value in inner.values()]
    if len({turns for turns, _ in prompts}) > 1:
        raise RecordError("diverging_turns", f"the prompts in {', '.join(inner)} differ, expected the same")
    answers, faults = usable(partial(nested_answer, name, value) for name, value in inner.items())
    return Reading(line, prompts[0][0], answers, label_in(record, "prompt_type"), prompts[0][1], faults)


@shape(
    "scored generations",
    keys="question, prediction, reward_score; better_response and worse_response beside them are a pair",
    fits=lambda record: has_question(record) and record.get("prediction") is not None and first_present(record, REWARDS) is not None,
)
def scored_generations(record: Record, line: int) -> Reading:
    """One generator's answer to a question with one scorer's reward. Raises RecordError."""
    turns, system = asked(record)
    key = first_present(record, REWARDS) or REWARDS[0]
    own = Answer(answer(record, "prediction"), generator=Label("prediction"), scorer=Label(key), reward=needed_number(record, key))
    beside, faults = named_answers(record)
    return Reading(line, turns, (*beside, own), label_in(record, "prompt_type"), system, faults)


@shape(
    "evaluated pairs",
    keys="chosen, rejected, score_chosen, score_rejected (or better_response, better_reward, …), with a question or whole conversations",
    fits=lambda record: {"chosen", "rejected"} <= scored(record),
)
def evaluated_pairs(record: Record, line: int) -> Reading:
    """Chosen and rejected with a reward each, as answers to a question or as whole conversations that share it. Raises RecordError."""
    keys = {ROLES[name]: keys for name, keys in responses(record).items() if name in ROLES}
    sides = [present(record, keys[role][0]) for role in ("chosen", "rejected")]
    conversations = all(isinstance(side, list) and len(side) > 1 for side in sides)
    if has_question(record) and not conversations:
        return wide(record, line)
    split = split_messages if conversations else split_texts
    turns, texts, system, decoded = split(record, keys["chosen"][0], keys["rejected"][0])
    answers, faults = usable(
        partial(one_side, record, role, keys[role][1], text, side if decoded else None)
        for role, text, side in zip(("chosen", "rejected"), texts, sides, strict=True)
    )
    return Reading(line, turns, answers, label_in(record, "prompt_type"), system, faults)


def one_side(record: Record, role: str, reward: str | None, text: str, raw: str | None) -> Answer:
    scorer, number = (Label("reward"), needed_number(record, reward)) if reward else (None, None)
    return Answer(text, role, None, scorer, number, raw, whole=raw is not None)


Split = tuple[tuple[Turn, ...], tuple[str, str], str | None, bool]  # turns, chosen and rejected, system prompt, decoded dialogues


def split_messages(record: Record, chosen: str, rejected: str) -> Split:
    """Two message lists: the turns both begin with are the prompt."""
    turns, *texts = branched(messages(record[chosen], chosen), messages(record[rejected], rejected))
    return turns, (texts[0], texts[1]), system_of(record[chosen], chosen), False


def split_texts(record: Record, chosen: str, rejected: str) -> Split:
    """Two transcripts or decoded dialogues; or, under the names of TRL's format, two texts with a common beginning."""
    sides = text(record, chosen), text(record, rejected)
    decoded = False
    if all(MARKER.match(side) for side in sides):
        turns, *texts = branched(transcript(sides[0], chosen), transcript(sides[1], rejected))
    elif chosen == "chosen" and not all(ROLE_LINE.match(side) for side in sides):
        turns, *texts = split_strings(*sides)
    else:
        turns, *texts = split_dialogues(*sides)
        decoded = True
    return turns, (texts[0], texts[1]), system_prompt(sides[0]) if decoded else None, decoded


@shape(
    "wide",
    keys="prompt, response_<a>, response_<b>, reward_<a>, reward_<b> for two or more names",
    fits=lambda record: has_question(record) and len(scored(record)) > 1,
)
def wide(record: Record, line: int) -> Reading:
    """All generators' answers to a prompt in one record, each with its reward. Raises RecordError."""
    turns, system = asked(record)
    answers, faults = named_answers(record)
    return Reading(line, turns, answers, label_in(record, "prompt_type"), system, faults)


def name_in(record: Record, key: str) -> str:
    """A generator's or scorer's name, empty without one."""
    return checked_text(str(record[key]), key) if record.get(key) else ""


@shape(
    "long",
    keys="question (or prompt, turns, messages), response, and if known source, scorer, reward",
    fits=lambda record: has_question(record) and record.get("response") is not None,
)
def long(record: Record, line: int) -> Reading:
    """The generic shape: one response a record; source is a generator's name, or chosen or rejected. Raises RecordError."""
    turns, system = asked(record)
    key = first_present(record, REWARDS) or "reward"
    reward, scorer, source = number(record, key), name_in(record, "scorer"), name_in(record, "source")
    label = None if reward is None else Label(scorer, True) if scorer else Label(key)
    role = ROLES.get(source)
    generator = None if role else Label(source, True) if source else Label("response")
    own = Answer(answer(record, "response"), role, generator, label, reward)
    return Reading(line, turns, (own,), label_in(record, "prompt_type"), system)
