"""A record's values as turns and texts: what the formats are made of. Every function raises RecordError under a named reason."""

import math
import re
from dataclasses import replace
from itertools import islice
from typing import Any

from engine.data.records import PreferencePair, Turn
from engine.errors import RecordError

Record = dict[str, Any]
MARKER = re.compile(r"(?:^|\n\n)(Human|Assistant):")
SHOWN_KEYS = 20
ROLES = {"Human": "user", "Assistant": "assistant"}


def present(record: Record, key: str) -> Any:
    if record.get(key) is None:
        raise RecordError("missing_key", f"{key} is {'null' if key in record else 'missing'}, expected a value; found {keys_of(record)}")
    return record[key]


def keys_of(record: Record) -> str:
    """A record's keys for people, of many the first."""
    named = ", ".join(f"{key!s:.60}" for key in islice(record, SHOWN_KEYS)) or "(no key)"
    return named if len(record) <= SHOWN_KEYS else f"{named}, … ({len(record):,} keys)"


def checked_text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise RecordError("wrong_type", f"{field} is {value!r:.60}, expected text")
    if not value.strip():
        raise RecordError("empty_text", f"{field} is {value!r:.60}, expected at least one visible character")
    if not value.isascii() and re.search(r"[\ud800-\udfff]", value):
        raise RecordError("broken_utf8", f"{field} is {value!r:.60}, expected valid Unicode")
    return value


def number_of(value: Any) -> float | None:
    """A number, also written as text, as a float; None when it is not finite in 64 bits, or no number."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def score(record: Record, key: str) -> float:
    number = number_of(present(record, key))
    if number is None:
        raise RecordError("wrong_type", f"{key} is {record[key]!r:.60}, expected a finite number")
    return number


def text(record: Record, key: str) -> str:
    return checked_text(present(record, key), key)


def preferred(record: Record, key: str, allowed: tuple[str, str]) -> int:
    """0 or 1: which of the two allowed values the label has. 1, "1" and 1.0 are the same label."""
    found = str(present(record, key)).strip().removesuffix(".0").casefold()
    labels = [value.casefold() for value in allowed]
    if found not in labels:
        raise RecordError("bad_label", f"{key} is {record[key]!r:.60}, expected {allowed[0]} or {allowed[1]}")
    return labels.index(found)


def higher(record: Record, first: str, second: str) -> int:
    """0 or 1: which of two scores is the higher one."""
    scores = score(record, first), score(record, second)
    if scores[0] == scores[1]:
        raise RecordError("bad_label", f"{first} and {second} are both {record[first]!r:.60}, expected two different scores")
    return int(scores[1] > scores[0])


def messages(value: list[Any], field: str) -> tuple[Turn, ...]:
    """The turns of a message list. A leading system message is left out: prompts are stored without one."""
    if not all(isinstance(m, dict) and "role" in m and "content" in m for m in value):
        raise RecordError("wrong_type", f"{field} is {value!r:.80}, expected a list of messages with role and content")
    spoken = value[1:] if value and value[0]["role"] == "system" else value
    return tuple(Turn(str(m["role"]), checked_text(m["content"], f"{field}[{i}].content")) for i, m in enumerate(spoken))


def transcript(value: str, field: str) -> tuple[Turn, ...]:
    """The turns of "Human: … Assistant: …"; white space around a turn belongs to the markers."""
    before, *pieces = MARKER.split(value)
    if before.strip() or not pieces:
        raise RecordError("bad_turns", f"{field} begins {value!r:.60}, expected \\n\\nHuman:")
    turns = zip(pieces[::2], pieces[1::2], strict=True)
    return tuple(Turn(ROLES[role], checked_text(content.strip(), f"{field}, turn {i}")) for i, (role, content) in enumerate(turns, 1))


def conversation(record: Record, key: str, transcripts: bool = False) -> tuple[Turn, ...]:
    """The prompt's turns, from a message list, a transcript or one question."""
    if isinstance(present(record, key), list):
        return messages(record[key], key)
    question = text(record, key)
    if transcripts and MARKER.match(question):
        return transcript(question.rstrip().removesuffix("\n\nAssistant:"), key)
    return (Turn("user", question),)


def around(turns: tuple[Turn, ...], record: Record, before: str | None, behind: str | None) -> tuple[Turn, ...]:
    """The turns with the text of a column in front of the first one and that of another behind the last one, where they hold any."""
    start, end = (label_in(record, key) if key else None for key in (before, behind))
    first = (replace(turns[0], content=f"{start}\n\n{turns[0].content}"), *turns[1:]) if start and turns else turns
    return (*first[:-1], replace(first[-1], content=f"{first[-1].content}\n{end}")) if end and first else first


def answer(record: Record, key: str) -> str:
    """A response given as text or as a list of one assistant message."""
    if not isinstance(present(record, key), list):
        return text(record, key)
    turns = messages(record[key], key)
    if [t.role for t in turns] != ["assistant"]:
        raise RecordError(
            "bad_turns", f"{key} has the roles {', '.join(t.role for t in turns) or '(none)'}, expected one assistant message"
        )
    return turns[0].content


def branched(chosen: tuple[Turn, ...], rejected: tuple[Turn, ...]) -> tuple[tuple[Turn, ...], str, str]:
    """Two whole conversations as prompt (their common turns), chosen and rejected (the last turn of each)."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    ends = chosen[shared:], rejected[shared:]
    if len(ends[0]) != 1 or len(ends[1]) != 1:
        raise RecordError(
            "diverging_turns", f"after {shared} common turns chosen has {len(ends[0])} more and rejected {len(ends[1])}, expected 1 each"
        )
    if {ends[0][0].role, ends[1][0].role} != {"assistant"}:
        raise RecordError("bad_turns", f"the last turns are by {ends[0][0].role} and {ends[1][0].role}, expected assistant")
    return chosen[:shared], ends[0][0].content, ends[1][0].content


def split_strings(chosen: str, rejected: str) -> tuple[tuple[Turn, ...], str, str]:
    """Two plain strings as prompt (their common beginning, cut at white space so that no word is torn), chosen and rejected."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    if shared == len(chosen) == len(rejected):
        raise RecordError("equal_responses", f"chosen and rejected are both {chosen!r:.60}, expected two different texts")
    while shared and not chosen[shared - 1].isspace():
        shared -= 1
    prompt = checked_text(chosen[:shared], "the common beginning of chosen and rejected").rstrip()
    return (Turn("user", prompt),), chosen[shared:], rejected[shared:]


def pair(
    turns: tuple[Turn, ...],
    chosen: str,
    rejected: str,
    record: Record,
    line: int,
    type_key: str = "prompt_type",
    source_key: str = "source",
) -> PreferencePair:
    """The pair, when the turns alternate from the user's first to the user's last and the responses are two different texts."""
    roles = [t.role for t in turns]
    if len(roles) % 2 == 0 or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise RecordError("bad_turns", f"the prompt's roles are {', '.join(roles) or '(none)'}, expected user, or user, assistant, …, user")
    if checked_text(chosen, "chosen").strip() == checked_text(rejected, "rejected").strip():
        raise RecordError("equal_responses", f"both responses are {chosen!r:.60}, expected two different texts")
    return PreferencePair(turns, chosen, rejected, label_in(record, type_key), label_in(record, source_key), line)


def label_in(record: Record, key: str) -> str | None:
    """What groups the pairs, where it is a text with a visible character."""
    value = record.get(key)
    return checked_text(value, key) if isinstance(value, str) and value.strip() else None
