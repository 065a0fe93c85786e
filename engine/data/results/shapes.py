"""The shapes finished results come in. Each is recognised by a rule over a record's keys, never by the file's name.

To add a shape, write its reader and put `@shape` with its rule above it.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.data.records import Turn
from engine.data.results.dialogue import prompt_of, split_dialogues, system_prompt
from engine.data.turns import Record, answer, messages, present, text
from engine.errors import DataError, RecordError

ROLES = {"chosen": "chosen", "better": "chosen", "rejected": "rejected", "worse": "rejected"}
QUESTIONS = ("question", "prompt", "turns", "messages")
REWARDS = ("reward", "score", "reward_score")
RESPONSE_KEY = re.compile(r"(?P<before>.+)_response|response_(?P<after>.+)")


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
    """One record: the prompt and the answers to it."""

    line: int
    turns: tuple[Turn, ...]
    answers: tuple[Answer, ...]
    prompt_type: str | None = None
    system: str | None = None  # the system prompt that was taken from the prompt


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
    raise DataError(f"no shape of results has the keys {', '.join(map(str, record)) or '(none)'}: expected {expected}; or columns mapped")


def read(known: Shape, record: Record, line: int) -> Reading:
    """The record as the shape reads it. Raises RecordError under a named reason."""
    if not known.fits(record):
        raise RecordError("missing_key", f"found {', '.join(map(str, record)) or '(no key)'}, expected {known.keys}")
    reading = known.read(record, line)
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
        system = value[0]["content"] if value and isinstance(value[0], dict) and value[0].get("role") == "system" else None
        return messages(value, key), system
    return prompt_of(text(record, key)), system_prompt(value)


def listed(value: str, key: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise RecordError("broken_json", f"{key} is {value!r:.60}: {error}, expected a list of messages") from None


def number(record: Record, key: str) -> float | None:
    """A reward; None when it is missing, null or an empty cell. Raises RecordError when it is no finite number."""
    value = record.get(key)
    if value is None or value == "":
        return None
    try:
        reward = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        reward = math.nan
    if not math.isfinite(reward):
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


def prompt_type(record: Record) -> str | None:
    return v if isinstance(v := record.get("prompt_type"), str) and v else None


def responses(record: Record) -> dict[str, tuple[str, str | None]]:
    """By name: the key of its response and the key of its reward, written <name>_response or response_<name>.

    A response without a reward counts only when its name is a role of a pair, since `response_id` and the like are no answers.
    """
    found: dict[str, tuple[str, str | None]] = {}
    for key, value in record.items():
        if isinstance(value, str | list) and (match := RESPONSE_KEY.fullmatch(key)):
            name = match["before"] or match["after"]
            reward = next((k for w in REWARDS for k in (f"{name}_{w}", f"{w}_{name}") if k in record), None)
            if reward or name in ROLES:
                found[name] = key, reward
    return found


def scored(record: Record) -> set[str]:
    """The names of `responses` that have a reward; roles as chosen and rejected."""
    return {ROLES.get(name, name) for name, (_, reward) in responses(record).items() if reward}


def named_answers(record: Record) -> tuple[Answer, ...]:
    return tuple(
        made_by(name, answer(record, key), Label("reward"), needed_number(record, reward)) if reward else made_by(name, answer(record, key))
        for name, (key, reward) in responses(record).items()
    )


# The shapes


def nested_answers(record: Record) -> dict[str, Record]:
    return {name: value for name, value in record.items() if isinstance(value, dict) and value.get("response") is not None}


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
    answers = tuple(
        made_by(name, answer(value, "response"), Label(key), needed_number(value, key))
        if (key := first_present(value, REWARDS))
        else made_by(name, answer(value, "response"))
        for name, value in inner.items()
    )
    return Reading(line, prompts[0][0], answers, prompt_type(record), prompts[0][1])


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
    return Reading(line, turns, (*named_answers(record), own), prompt_type(record), system)


@shape(
    "evaluated pairs",
    keys="better_response, worse_response, better_reward, worse_reward (or chosen_…, rejected_…), with a question or whole dialogues",
    fits=lambda record: {"chosen", "rejected"} <= scored(record),
)
def evaluated_pairs(record: Record, line: int) -> Reading:
    """Chosen and rejected with a reward each. Without a question both are whole decoded dialogues that share it. Raises RecordError."""
    if has_question(record):
        return wide(record, line)
    raw = {a.role: a for a in named_answers(record) if a.role}
    turns, chosen, rejected = split_dialogues(raw["chosen"].text, raw["rejected"].text)
    bare = {"chosen": chosen, "rejected": rejected}
    answers = tuple(Answer(bare[r], r, None, a.scorer, a.reward, raw=a.text, whole=True) for r, a in raw.items())
    return Reading(line, turns, answers, prompt_type(record), system_prompt(raw["chosen"].text))


@shape(
    "wide",
    keys="prompt, response_<a>, response_<b>, reward_<a>, reward_<b> for two or more names",
    fits=lambda record: has_question(record) and len(scored(record)) > 1,
)
def wide(record: Record, line: int) -> Reading:
    """All generators' answers to a prompt in one record, each with its reward. Raises RecordError."""
    turns, system = asked(record)
    return Reading(line, turns, named_answers(record), prompt_type(record), system)


@shape(
    "long",
    keys="question (or prompt, turns, messages), response, and if known source, scorer, reward",
    fits=lambda record: has_question(record) and record.get("response") is not None,
)
def long(record: Record, line: int) -> Reading:
    """The generic shape: one response a record; source is a generator's name, or chosen or rejected. Raises RecordError."""
    turns, system = asked(record)
    key = first_present(record, REWARDS) or "reward"
    reward, scorer, source = number(record, key), record.get("scorer"), record.get("source")
    label = None if reward is None else Label(str(scorer), True) if scorer else Label(key)
    role = ROLES.get(str(source))
    generator = None if role else Label(str(source), True) if source else Label("response")
    own = Answer(answer(record, "response"), role, generator, label, reward)
    return Reading(line, turns, (own,), prompt_type(record), system)
