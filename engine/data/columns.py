"""Which column holds what, guessed from names and values where no format is recognised; a person or an option may say it better.

prompt, good, bad                   -> question=prompt chosen=good rejected=bad
instruction, answerA, answerB, best -> question=instruction response_1=answerA response_2=answerB label=best first=a second=b
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from engine.data.turns import MARKER, Record, number_of

QUESTIONS = (
    "prompt", "question", "instruction", "query", "conversation", "messages", "turns", "context", "history", "dialogue",
    "request", "input", "user", "q",
)  # fmt: skip
SIDES = (
    ("chosen", "rejected"), ("good", "bad"), ("better", "worse"), ("preferred", "dispreferred"), ("preferred", "rejected"),
    ("best", "worst"), ("winner", "loser"), ("win", "lose"), ("accepted", "rejected"), ("positive", "negative"), ("pos", "neg"),
)  # fmt: skip
TWO = (("1", "2"), ("a", "b"), ("0", "1"), ("first", "second"), ("one", "two"), ("left", "right"))
RESPONSE = {"response", "answer", "completion", "output", "reply", "text", "generation", "conversation", "message", "messages", "model"}
SCORE = {"score", "rating", "reward"}
LABELS = (
    "overall_response", "label", "preference", "overall_preference", "human_preference", "preferred", "better", "best", "chosen", "winner",
    "choice", "vote",
)  # fmt: skip
TYPES = ("prompt_type", "type", "category", "topic", "domain", "class")
SOURCES = ("source", "prompt_source", "origin", "dataset", "data_source")
SYSTEMS = ("system", "system_prompt")
ANSWERED = {
    "question": QUESTIONS,
    "response": ("response", "answer", "output", "completion", "prediction", "generation", "text", "model_output", "generated_text"),
    "reward": ("reward", "score", "reward_score", "rating", "rewards", "scores"),
    "source": ("source", "generator", "model", "model_name", "policy"),
    "scorer": ("scorer", "reward_model", "judge", "rm"),
}


def guess(records: Sequence[Record]) -> dict[str, str]:
    """The options of the format `mapped` as far as names and values tell: {option: column}, and the label's two values."""
    names = {"question": QUESTIONS, "input": ("input",), "system": SYSTEMS, "prompt_type": TYPES, "source": SOURCES}
    found: dict[str, str] = {}
    for option, known in names.items():
        if (column := called(records, known, is_text)) and column not in found.values():
            found[option] = column
    texts = by_length(records, set(found.values()))
    if sides := two_of(texts, SIDES, RESPONSE):
        return found | dict(zip(("chosen", "rejected"), sides, strict=True))
    if sides := two_of(texts, TWO, RESPONSE):
        found |= dict(zip(("response_1", "response_2"), sides, strict=True))
        found |= label_of(records, sides) or scores_of(records)
    return found


def guess_answers(records: Sequence[Record]) -> dict[str, str]:
    """Where one answer a record stands, and its reward, who wrote it and who scored it: {our column: the file's}."""
    found: dict[str, str] = {}
    for ours, names in ANSWERED.items():
        fits = is_number if ours == "reward" else is_text
        if (column := called(records, names, fits)) and column not in found.values():
            found[ours] = column
    return found


def is_number(value: object) -> bool:
    return number_of(value) is not None


def is_whole(options: Iterable[str]) -> bool:
    """Whether these options of `mapped` name two responses and what prefers one of them."""
    given = set(options)
    sides = {"chosen", "rejected"} <= given
    return sides or ({"response_1", "response_2"} <= given and ("label" in given or {"score_1", "score_2"} <= given))


def is_side(option: str) -> bool:
    return option in ("chosen", "rejected", "response_1", "response_2", "label", "first", "second", "score_1", "score_2")


def has_prompt(record: Record, options: dict[str, str]) -> bool:
    """Whether these options of `mapped` name a prompt, or the responses are whole conversations."""
    side = record.get(options.get("chosen") or options.get("response_1") or "")
    return "question" in options or (isinstance(side, list) and len(side) > 1) or (isinstance(side, str) and bool(MARKER.match(side)))


def columns_of(records: Sequence[Record]) -> list[str]:
    """Every column of the records, in the order they appear."""
    return list(dict.fromkeys(key for record in records for key in record))


def spelled(name: str) -> str:
    """answerA, Answer-A and answer_a are the same name."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Za-z])", "_", name)
    return "_".join(re.findall(r"[^\W_]+", apart.lower()))


def called(records: Sequence[Record], names: tuple[str, ...], fits: Callable[[Any], bool]) -> str | None:
    """The column of the earliest of these names of which some value fits."""
    by_name = {spelled(column): column for column in reversed(columns_of(records)) if any(fits(r.get(column)) for r in records)}
    return next((by_name[name] for name in names if name in by_name), None)


def is_text(value: object) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (isinstance(value, list) and bool(value))


def by_length(records: Sequence[Record], taken: set[str]) -> dict[str, str]:
    """The columns of texts, {spelled: column}, the longest texts last."""
    lengths = {c: sum(len(str(r[c])) for r in records if is_text(r.get(c))) for c in columns_of(records) if c not in taken}
    return {spelled(column): column for column in sorted(lengths, key=lengths.__getitem__) if lengths[column]}


def core(name: str, nouns: set[str]) -> str:
    """What is left of a column's name without the noun that says what kind of thing it holds: response_a is a."""
    return "_".join(word for word in name.split("_") if word not in nouns)


def two_of(columns: dict[str, str], names: tuple[tuple[str, str], ...], nouns: set[str]) -> tuple[str, str] | None:
    """The two columns that differ only in one of these pairs of names; of several the last. columns: {spelled: column}."""
    by_core = {core(name, nouns): column for name, column in columns.items()}
    return next(((by_core[a], by_core[b]) for a, b in names if a in by_core and b in by_core), None)


def label_of(records: Sequence[Record], sides: tuple[str, str]) -> dict[str, str]:
    """The column that says which of two responses is better, and how it names them."""
    for name in LABELS:
        column = called(records, (name, f"{name}_id", f"{name}_response", f"{name}_response_id", f"{name}_answer"), is_label)
        if column and column not in sides and (values := values_of(records, column, sides)):
            return {"label": column, "first": values[0], "second": values[1]}
    return {}


def is_label(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool) and len(str(value)) <= 60


def values_of(records: Sequence[Record], column: str, sides: tuple[str, str]) -> tuple[str, str] | None:
    """What a label calls the first and the second response: both values were seen, or are the only ones that could be meant."""
    seen = {str(r[column]).strip().removesuffix(".0").casefold() for r in records if is_label(r.get(column))}
    own = tuple(core(spelled(side), RESPONSE) for side in sides)
    known = [
        tuple(s.casefold() for s in sides),
        own,
        *TWO,
        ("model_a", "model_b"),
        ("response_1", "response_2"),
        ("response_a", "response_b"),
    ]
    for wanted in (2, 1):
        for first, second in known:
            if len(seen & {first, second}) == wanted:
                return first, second
    return None


def scores_of(records: Sequence[Record]) -> dict[str, str]:
    """The two columns of numbers of which the higher one marks the better response."""
    numbers = {spelled(c): c for c in columns_of(records) if any(is_number(r.get(c)) for r in records)}
    scores = {name: column for name, column in numbers.items() if SCORE & set(name.split("_"))}
    found = two_of(scores, TWO, SCORE | RESPONSE)
    return dict(zip(("score_1", "score_2"), found, strict=True)) if found else {}
