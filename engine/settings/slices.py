"""Which pairs and prompts are looked at: predicates with bound values, in words, in JSON and in the address of a page."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from engine.errors import ConfigError

MOST_PREDICATES = 50
MOST_CHARS = 1000  # of a text that is looked for, and of one value
MOST_SPELLED_OUT = 3  # values in the words of a predicate


@dataclass(frozen=True)
class Property:
    """What a predicate can be about."""

    label: str
    of: Literal["pair", "prompt"]
    values: Literal["number", "text", "flag"]
    needs: tuple[str, ...] = ()  # of SOURCES: whose it is


SOURCES = ("scorer", "base", "tuned")  # scorer_id, and two generator_ids
ANSWERED = ("base", "tuned")
FIELDS = {
    "margin": Property("margin", "pair", "number", ("scorer",)),  # chosen − rejected reward of `scorer`, in its own unit
    "chosen_reward": Property("chosen reward", "pair", "number", ("scorer",)),
    "rejected_reward": Property("rejected reward", "pair", "number", ("scorer",)),
    "longer_by": Property("words the chosen response is longer by", "pair", "number"),
    "chosen_words": Property("words of the chosen response", "pair", "number"),
    "rejected_words": Property("words of the rejected response", "pair", "number"),
    "prompt_type": Property("prompt type", "pair", "text"),
    "source": Property("source", "pair", "text"),
    "pair_id": Property("pair", "pair", "text"),
    "language": Property("language", "prompt", "text"),
    "prompt_id": Property("prompt", "prompt", "text"),
    "difference": Property("difference", "prompt", "number", SOURCES),  # tuned − base reward of `scorer`, in its own unit
    "base_reward": Property("base reward", "prompt", "number", SOURCES),
    "tuned_reward": Property("tuned reward", "prompt", "number", SOURCES),
    "base_words": Property("words of the base answer", "prompt", "number", ANSWERED),
    "tuned_words": Property("words of the tuned answer", "prompt", "number", ANSWERED),
    "base_tokens": Property("tokens of the base answer", "prompt", "number", ANSWERED),
    "tuned_tokens": Property("tokens of the tuned answer", "prompt", "number", ANSWERED),
    "tuned_longer_by": Property("the tuned answer is longer by", "prompt", "number", ANSWERED),  # tokens, or words where none were counted
    "base_cut": Property("base answer cut", "prompt", "flag", ANSWERED),  # whether the limit of new tokens cut it
    "tuned_cut": Property("tuned answer cut", "prompt", "flag", ANSWERED),
}


def written(number: float) -> str:
    """A number as short as it can be: 0, −1.5."""
    return f"{number:g}".replace("-", "−")


Value = Annotated[str, StringConstraints(max_length=MOST_CHARS)]


class Predicate(BaseModel):
    """What holds of the rows that are kept; `not_` turns it round.

    What was not measured of a row (no reward, no answer, tokens not counted) is unknown: neither a predicate nor its contrary holds of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    not_: bool = False

    def said(self, number: Callable[[float], str]) -> tuple[str, dict[str, str]]:
        """A sentence with named gaps, and what fills them, so that it can be translated."""
        raise NotImplementedError

    def words(self, scorers: Mapping[str, str] = {}, number: Callable[[float], str] = written) -> str:
        """`margin < 0`, `prompt type is safety or advice`, `tuned answer cut`.

        scorers: {scorer_id: name} of those to be named, `margin < 0 (by reward model)`. number: how a number is written.
        """
        template, values = self.said(number)
        name = scorers.get(getattr(self, "scorer", None) or "")
        return template.format(**values) + (f" (by {name})" if name else "")

    def as_values(self) -> dict[str, Any]:
        """The values that are not left out, for JSON."""
        return {"kind": getattr(self, "kind", None), **self.model_dump(mode="json", exclude_defaults=True)}

    def as_json(self) -> str:
        """In one line, as short as it can be: how it stands in an address."""
        return json.dumps(self.as_values(), ensure_ascii=False, separators=(",", ":"))


class OfField(Predicate):
    """What holds of one field. Raises ValueError for a field that there is not, and when it is not said whose it is."""

    field: str
    base: str | None = None  # generator_id, of what `needs` it
    tuned: str | None = None

    def check(self, kinds: Sequence[str], expected: str) -> Property:
        found = FIELDS.get(self.field)
        if found is None:
            raise ValueError(f"field is {self.field!r:.80}, expected one of {', '.join(FIELDS)}")
        if found.values not in kinds:
            raise ValueError(f"{self.field} is a {found.values}, expected {expected}")
        for who in SOURCES:
            given = getattr(self, who, None)
            if given is None and who in found.needs:
                raise ValueError(f"{self.field} has no {who}, expected an id for {' and '.join(found.needs)}")
            if given is not None and who not in found.needs:
                raise ValueError(f"{self.field} has {who} {given!r:.80}, expected none, because it does not depend on it")
        return found


class Range(OfField):
    """low ≤ field < high; an end that is None is open, and with two of them every known value is in it. A margin below 0: high = 0."""

    kind: Literal["range"] = "range"
    low: float | None = Field(None, allow_inf_nan=False)
    high: float | None = Field(None, allow_inf_nan=False)
    scorer: str | None = None  # scorer_id

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        self.check(("number",), "one_of with values")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"the range of {self.field} is from {self.low:g} to {self.high:g}, expected low below high")
        return self

    def said(self, number: Callable[[float], str]) -> tuple[str, dict[str, str]]:
        ends = {name: number(end) for name, end in (("low", self.low), ("high", self.high)) if end is not None}
        return RANGES[tuple(ends), self.not_], {"field": FIELDS[self.field].label, **ends}


RANGES = {  # which ends there are, and whether it is turned round
    (("low", "high"), False): "{field} from {low} to below {high}",
    (("low", "high"), True): "{field} < {low} or ≥ {high}",
    (("low",), False): "{field} ≥ {low}",
    (("low",), True): "{field} < {low}",
    (("high",), False): "{field} < {high}",
    (("high",), True): "{field} ≥ {high}",
    ((), False): "{field} known",
    ((), True): "no known {field}",
}


class OneOf(OfField):
    """The field has one of these values; None stands for none given, of text only."""

    kind: Literal["one_of"] = "one_of"
    values: tuple[bool | Value | None, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _values_are_the_fields(self) -> Self:
        found = self.check(("text", "flag"), "a range with low or high")
        for value in self.values:
            if found.values == "flag" and not isinstance(value, bool):
                raise ValueError(f"{self.field} is {value!r:.80}, expected true or false")
            if found.values == "text" and isinstance(value, bool):
                raise ValueError(f"{self.field} is {value}, expected a text, or null for none given")
        return self

    def said(self, number: Callable[[float], str]) -> tuple[str, dict[str, str]]:
        label = FIELDS[self.field].label
        if FIELDS[self.field].values == "flag":
            return VALUES["flag", (True in self.values) == self.not_], {"field": label}
        if self.field in ("pair_id", "prompt_id"):
            return VALUES["id", self.not_], {"field": label, "count": number(len(self.values))}
        return VALUES["text", self.not_], {"field": label, "values": self.listed()}

    def listed(self) -> str:
        """`safety`, `safety or advice`, `safety, advice or 4 others`."""
        texts = ["none given" if value is None else str(value) for value in self.values]
        if len(texts) > MOST_SPELLED_OUT:
            texts = [*texts[: MOST_SPELLED_OUT - 1], f"{len(texts) - MOST_SPELLED_OUT + 1} others"]
        return " or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


VALUES = {  # what is chosen by, and whether it is turned round
    ("flag", False): "{field}",
    ("flag", True): "{field}: no",
    ("id", False): "{field}s picked: {count}",
    ("id", True): "{field}s left out: {count}",
    ("text", False): "{field} is {values}",
    ("text", True): "{field} is not {values}",
}


class Contains(Predicate):
    """The text, in either case, stands in the prompt, a response of the pair, or an answer of these generators."""

    kind: Literal["contains"] = "contains"
    text: str = Field(min_length=1, max_length=MOST_CHARS)
    word: bool = False  # as a word of its own
    base: str | None = None
    tuned: str | None = None

    def said(self, number: Callable[[float], str]) -> tuple[str, dict[str, str]]:
        return MENTIONS[self.word, self.not_], {"text": self.text}


MENTIONS = {  # whether as a word, whether turned round
    (False, False): "“{text}” in a text",
    (False, True): "“{text}” in no text",
    (True, False): "the word “{text}” in a text",
    (True, True): "the word “{text}” in no text",
}
AnyPredicate = Annotated[Range | OneOf | Contains, Field(discriminator="kind")]


class Slice(BaseModel):
    """Rows of one dataset for which all predicates hold; inverted: all its others, also those of which a predicate is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset_id: str
    predicates: tuple[AnyPredicate, ...] = Field((), max_length=MOST_PREDICATES)
    inverted: bool = False
    name: str = Field("", max_length=80)  # of a saved one

    def words(self, scorers: Mapping[str, str] = {}, number: Callable[[float], str] = written) -> str:
        """Its name if it has one, and what holds of its rows."""
        said = ", ".join(predicate.words(scorers, number) for predicate in self.predicates) or "all pairs"
        said = f"all but: {said}" if self.inverted else said
        return f"{self.name}: {said}" if self.name else said

    @property
    def of_wrong_pairs(self) -> bool:
        """Whether all its pairs are ranked wrong: no margin of theirs is above 0."""
        margins = [p for p in self.predicates if isinstance(p, Range) and p.field == "margin" and not p.not_]
        return not self.inverted and any(p.high is not None and p.high <= 0 for p in margins)

    def as_values(self) -> dict[str, Any]:
        """The values that are not left out, for JSON."""
        own = self.model_dump(mode="json", exclude_defaults=True, exclude={"predicates"})
        return {**own, "predicates": [predicate.as_values() for predicate in self.predicates]}

    def as_json(self) -> str:
        """In one line, as short as it can be; `parse_slice` reads it."""
        return json.dumps(self.as_values(), ensure_ascii=False, separators=(",", ":"))


PREDICATE: TypeAdapter[Range | OneOf | Contains] = TypeAdapter(AnyPredicate)
SLICE = TypeAdapter(Slice)
Parsed = TypeVar("Parsed")


def parse_predicate(text: str) -> Range | OneOf | Contains:
    """A predicate as `as_json` writes it. Raises ConfigError in one sentence."""
    return parsed(PREDICATE, text, "predicate")


def parse_slice(text: str) -> Slice:
    """A slice as `as_json` writes it. Raises ConfigError in one sentence."""
    return parsed(SLICE, text, "slice")


def parsed(adapter: TypeAdapter[Parsed], text: str, what: str) -> Parsed:
    try:
        return adapter.validate_json(text)
    except (ValidationError, RecursionError) as error:
        raise ConfigError(f"{what}: {explained(error)}") from None


def explained(error: ValidationError | RecursionError) -> str:
    """The first thing that is wrong: its place, what was found, what was expected."""
    if isinstance(error, RecursionError):
        return "too many brackets inside each other"
    wrong = error.errors(include_url=False)[0]
    message = wrong["msg"].removeprefix("Value error, ")
    if wrong["type"] == "value_error" or not wrong["loc"]:
        return message
    if wrong["type"] == "missing":
        return f"{wrong['loc'][-1]} is missing"
    return f"{'.'.join(map(str, wrong['loc']))} is {wrong['input']!r:.80}: {message[0].lower()}{message[1:]}"


def without_rewards(slice: Slice | None) -> Slice | None:
    """The slice without what is said about rewards: where the margin is below 0, every accuracy is 0 %.

    An inverted one that speaks of them cannot be taken apart: None, all pairs.
    """
    if slice is None or not any(about_rewards(p) for p in slice.predicates):
        return slice
    kept = tuple(p for p in slice.predicates if not about_rewards(p))
    return slice.model_copy(update={"predicates": kept, "name": ""}) if kept and not slice.inverted else None


def about_rewards(predicate: AnyPredicate) -> bool:
    return getattr(predicate, "scorer", None) is not None
