"""Which pairs and prompts are looked at: predicates with bound values, in words, in JSON and in the address of a page."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FIELDS = {  # field -> of what it is a property
    "margin": "pair",  # chosen − rejected reward of `scorer`, in its own unit
    "chosen_reward": "pair",
    "rejected_reward": "pair",
    "longer_by": "pair",  # words that the chosen response has more
    "chosen_words": "pair",
    "rejected_words": "pair",
    "prompt_type": "pair",
    "source": "pair",
    "pair_id": "pair",
    "language": "prompt",
    "prompt_id": "prompt",
    "difference": "prompt",  # tuned − base reward of `scorer`, in its own unit
    "base_reward": "prompt",
    "tuned_reward": "prompt",
    "base_words": "prompt",
    "tuned_words": "prompt",
    "base_tokens": "prompt",
    "tuned_tokens": "prompt",
    "tuned_longer_by": "prompt",  # tokens that the tuned answer has more; words where tokens were not counted
    "base_cut": "prompt",  # whether the token limit cut it
    "tuned_cut": "prompt",
}
OF_REWARDS = ("margin", "chosen_reward", "rejected_reward", "difference", "base_reward", "tuned_reward")
OF_ANSWERS = tuple(name for name, of in FIELDS.items() if of == "prompt" and name not in ("language", "prompt_id"))


class Predicate(BaseModel):
    """What holds of the rows that are kept; `not_` turns it round."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    not_: bool = False


class Range(Predicate):
    """low ≤ field < high; an end that is None is open. A margin below 0: high = 0."""

    kind: Literal["range"] = "range"
    field: str
    low: float | None = None
    high: float | None = None
    scorer: str | None = None  # scorer_id, of OF_REWARDS
    base: str | None = None  # generator_id, of OF_ANSWERS
    tuned: str | None = None


class OneOf(Predicate):
    """The field has one of these values; None stands for none given."""

    kind: Literal["one_of"] = "one_of"
    field: str
    values: tuple[str | bool | None, ...]
    base: str | None = None
    tuned: str | None = None


class Contains(Predicate):
    """The text, in either case, stands in the prompt, a response of the pair, or an answer of these generators."""

    kind: Literal["contains"] = "contains"
    text: str
    word: bool = False  # as a word of its own
    base: str | None = None
    tuned: str | None = None


AnyPredicate = Annotated[Range | OneOf | Contains, Field(discriminator="kind")]


class Slice(BaseModel):
    """Rows of one dataset for which all predicates hold; inverted: the others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset_id: str
    predicates: tuple[AnyPredicate, ...] = ()
    inverted: bool = False
    name: str = ""  # of a saved one
