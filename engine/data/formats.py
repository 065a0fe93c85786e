"""Every dataset format is one function from a raw record to a preference pair.

To add a format, write the function and put `@format` above it: detection, the options' checks and `engine formats` follow from it.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from engine.data import columns
from engine.data.records import PreferencePair, Turn
from engine.data.turns import (
    MARKER,
    Record,
    answer,
    around,
    branched,
    conversation,
    higher,
    keys_of,
    messages,
    pair,
    preferred,
    present,
    score,
    split_strings,
    text,
    transcript,
)
from engine.errors import DataError, RecordError

Parser = Callable[[Record, int], PreferencePair]

REASONS = {
    "missing_key": "a key the format needs is absent or null",
    "wrong_type": "a value is not text where text is needed, or a record is not an object",
    "empty_text": "the question, a turn or a response is empty",
    "equal_responses": "both responses are the same text",
    "bad_label": "the label is outside the allowed set, or contradicts the scores beside it",
    "bad_turns": "the turns do not alternate from the user's first to the user's last",
    "diverging_turns": "the two conversations differ before their last answer",
    "duplicate_pair": "the same prompt, chosen and rejected stand earlier in the same split",
    "in_train_and_validation": "the question is in a validation split too; the training copy is left out",
    "too_long": "a text or a line is longer than an import takes",
    "broken_utf8": "the bytes are not UTF-8, or a text has half of a surrogate pair",
    "broken_json": "the record is not JSON, names a key twice, or is nested too deeply",
    "broken_csv": "the row has more or fewer fields than the header, or its quotes do not match",
    "truncated_last_line": "the file ends in the middle of a record",
}


@dataclass(frozen=True)
class Format:
    """How records of one dataset family are recognised and read; the parser's keyword arguments are the format's options."""

    name: str
    keys: tuple[str, ...]
    description: str
    parse: Callable[..., PreferencePair]
    shape: Callable[[Record], bool]

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        return {name: p for name, p in inspect.signature(self.parse).parameters.items() if p.kind is p.KEYWORD_ONLY}

    def matches(self, record: Record) -> bool:
        return bool(self.keys) and all(record.get(key) is not None for key in self.keys) and self.shape(record)


FORMATS: dict[str, Format] = {}  # the most specific first: detection takes the first that matches


def format(
    name: str, *, keys: tuple[str, ...], description: str, shape: Callable[[Record], bool] = lambda record: True
) -> Callable[[Callable[..., PreferencePair]], Callable[..., PreferencePair]]:
    """Register a parser. A record matches when all `keys` are present and `shape` agrees; a format without keys is never detected."""

    def register(parse: Callable[..., PreferencePair]) -> Callable[..., PreferencePair]:
        FORMATS[name] = Format(name, keys, description, parse, shape)
        return parse

    return register


def detect(record: Record) -> str:
    """The name of the first format that matches. Raises DataError with the keys found when none does."""
    for name, known in FORMATS.items():
        if known.matches(record):
            return name
    expected = "; ".join(f"{f.name} ({', '.join(f.keys)})" for f in FORMATS.values() if f.keys)
    raise DataError(f"no format has the keys {keys_of(record)}: expected {expected}; or format mapped with the columns named")


def parser(name: str, options: dict[str, Any] | None = None) -> Parser:
    """The format's function with its options checked and filled in. Raises DataError for an unknown format, option or value."""
    if name not in FORMATS:
        raise DataError(f"format is {name!r}, expected one of {', '.join(FORMATS)}")
    known = FORMATS[name].options
    for option in options or {}:
        if option not in known:
            raise DataError(f"format {name} has no option {option!r}, expected one of {', '.join(known) or '(it has none)'}")
    missing = [n for n, p in known.items() if p.default is p.empty and n not in (options or {})]
    if missing:
        raise DataError(f"format {name} needs the option {', '.join(missing)}")
    return partial(FORMATS[name].parse, **{n: checked_option(n, v, known[n].annotation) for n, v in (options or {}).items()})


def checked_option(name: str, value: Any, kind: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise DataError(f"option {name} is {value!r}: {error.errors(include_url=False)[0]['msg']}") from None


# The formats


@format(
    "pku-saferlhf",
    keys=("prompt", "response_0", "response_1", "better_response_id"),
    description="PKU-SafeRLHF; label=better takes the more helpful response, label=safer the safer one",
)
def pku_saferlhf(record: Record, line: int, *, label: Literal["better", "safer"] = "better") -> PreferencePair:
    """Source: the dataset card of PKU-Alignment/PKU-SafeRLHF. Raises RecordError."""
    first = preferred(record, f"{label}_response_id", ("0", "1"))
    responses = answer(record, "response_0"), answer(record, "response_1")
    return pair(conversation(record, "prompt"), responses[first], responses[1 - first], record, line, source_key="prompt_source")


@format(
    "align-anything",
    keys=("question", "response_1", "response_2", "overall_response"),
    description="align-anything text-to-text; overall_response 1 or 2 is the chosen one",
)
def align_anything(record: Record, line: int, *, transcripts: bool = False) -> PreferencePair:
    """transcripts: the question is a dialogue "Human: … Assistant: …" and becomes turns. Raises RecordError."""
    first = preferred(record, "overall_response", ("1", "2"))
    responses = answer(record, "response_1"), answer(record, "response_2")
    return pair(conversation(record, "question", transcripts), responses[first], responses[1 - first], record, line)


@format(
    "ultrafeedback-binarized",
    keys=("chosen", "rejected", "score_chosen", "score_rejected"),
    description="UltraFeedback-binarized; message lists with a score each, whose least difference is min_gap",
    shape=lambda record: isinstance(record["chosen"], list) and isinstance(record["rejected"], list),
)
def ultrafeedback_binarized(record: Record, line: int, *, min_gap: float = 0.0) -> PreferencePair:
    """Source: the dataset card of HuggingFaceH4/ultrafeedback_binarized. Raises RecordError."""
    chosen, rejected = (score(record, key) for key in ("score_chosen", "score_rejected"))
    if not chosen - rejected >= min_gap:
        raise RecordError("bad_label", f"score_chosen − score_rejected is {chosen - rejected}, expected at least {min_gap}")
    return trl(record, line)


@format(
    "hh-rlhf",
    keys=("chosen", "rejected"),
    description="hh-rlhf transcripts; the turns both share become the prompt",
    shape=lambda record: (
        not record.get("prompt") and all(isinstance(record[k], str) and record[k].startswith("\n\nHuman:") for k in ("chosen", "rejected"))
    ),
)
def hh_rlhf(record: Record, line: int) -> PreferencePair:
    """Source: the repository anthropics/hh-rlhf. Raises RecordError."""
    return pair(*branched(transcript(text(record, "chosen"), "chosen"), transcript(text(record, "rejected"), "rejected")), record, line)


@format(
    "trl",
    keys=("chosen", "rejected"),
    description="TRL preference; explicit or implicit prompt, plain strings or message lists",
    shape=lambda record: columns.guess([record]).get("question", "prompt") in ("prompt", "question") and not record.get("system"),
)
def trl(record: Record, line: int, *, transcripts: bool = False) -> PreferencePair:
    """Source: TRL's page "Dataset formats and types"; the prompt may be called question. transcripts: as in align_anything.

    Raises RecordError.
    """
    key = next((key for key in ("prompt", "question") if record.get(key) is not None), None)
    return pair(*divided(record, key, "chosen", "rejected", transcripts), record, line)


@format("mapped", keys=(), description="any record; its columns are guessed from their names, or named by the options")
def mapped(
    record: Record,
    line: int,
    *,
    question: str | None = None,
    chosen: str | None = None,
    rejected: str | None = None,
    response_1: str | None = None,
    response_2: str | None = None,
    label: str | None = None,
    first: str = "1",
    second: str = "2",
    score_1: str | None = None,
    score_2: str | None = None,
    input: str | None = None,
    system: str | None = None,
    prompt_type: str = "prompt_type",
    source: str = "source",
    transcripts: bool = False,
) -> PreferencePair:
    """Options are column names; first and second are the label's values for response_1 and response_2.

    Without question the responses are whole conversations, or texts with a common beginning. A text in the column input goes behind the
    question, one in the column system in front of it.
    Raises RecordError, and DataError when the options name neither chosen and rejected nor two responses and a label or two scores.
    """
    if chosen and rejected and not (response_1 or response_2 or label or score_1 or score_2):
        sides = chosen, rejected
    elif response_1 and response_2 and label and not (chosen or rejected or score_1 or score_2):
        sides = in_order((response_1, response_2), preferred(record, label, (first, second)))
    elif response_1 and response_2 and score_1 and score_2 and not (chosen or rejected or label):
        sides = in_order((response_1, response_2), higher(record, score_1, score_2))
    else:
        raise DataError(
            "format mapped needs the options chosen, rejected or response_1, response_2, label or response_1, response_2, score_1, score_2"
        )
    turns, better, worse = divided(record, question, *sides, transcripts)
    return pair(around(turns, record, system, input), better, worse, record, line, prompt_type, source)


def in_order(sides: tuple[str, str], best: int) -> tuple[str, str]:
    return sides[best], sides[1 - best]


def divided(
    record: Record, question: str | None, chosen: str, rejected: str, transcripts: bool = False
) -> tuple[tuple[Turn, ...], str, str]:
    """The prompt and the two responses in these columns; without a question it is what both responses begin with. Raises RecordError."""
    sides = present(record, chosen), present(record, rejected)
    if all(isinstance(side, list) for side in sides):
        conversations = messages(sides[0], chosen), messages(sides[1], rejected)
        if question is None or max(map(len, conversations)) > 1:
            return branched(*conversations)
    if question is not None:
        return conversation(record, question, transcripts), answer(record, chosen), answer(record, rejected)
    texts = text(record, chosen), text(record, rejected)
    if all(MARKER.match(side) for side in texts):
        return branched(transcript(texts[0], chosen), transcript(texts[1], rejected))
    return split_strings(*texts)


def remarks(record: Record, read: PreferencePair) -> list[str]:
    """What an import should mention about a kept record: text left out, or text that another option would read better."""
    found = []
    if any(isinstance(v, list) and v and isinstance(v[0], dict) and v[0].get("role") == "system" for v in record.values()):
        found.append("records had a system message; prompts are stored without one")
    if len(read.turns) == 1 and len(MARKER.findall(read.turns[0].content)) > 1:
        found.append("questions look like whole dialogues (Human: … Assistant: …); the option transcripts=true splits them into turns")
    return found
