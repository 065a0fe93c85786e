"""What can be asked of the playground's process. Torch-free."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from engine.data.records import Turn
from engine.errors import ConfigError
from engine.settings.config import GenerateConfig, explained

LONGEST_ANSWER = 2048  # new tokens
Turns = Annotated[tuple[Turn, ...], Field(min_length=1)]


class Part(BaseModel):
    """A part of a request; what is not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Writer(Part):
    """A policy and how it is prompted, as in a generation run."""

    policy: str  # a model or the id of a policy run
    system_prompt: str = ""
    max_tokens: int = Field(512, ge=16)  # of the prompt
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class Judge(Part):
    """A reward run's model, or the same network with its head untrained."""

    run: str
    trained: bool = True


class Request(Part):
    """A prompt and, for a model that is told the group, which group it stands in."""

    turns: Turns
    prompt_type: str | None = None
    source: str | None = None

    @field_validator("turns")
    @classmethod
    def _ends_with_the_user(cls, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        roles = [turn.role for turn in turns]
        if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
            raise ValueError(f"the roles are {', '.join(roles)}: expected user, or user, assistant, …, user")
        if not turns[-1].content.strip():
            raise ValueError("the prompt is empty: expected a text")
        return turns


class Answer(Request):
    """Answers of several policies to one prompt, token by token."""

    what: Literal["answer"] = "answer"
    writers: dict[str, Writer] = Field(min_length=1, max_length=4)  # {side: policy}
    max_new_tokens: int = Field(256, ge=1, le=LONGEST_ANSWER)
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = Field(0, ge=0, lt=2**32)

    def config(self, side: str) -> GenerateConfig:
        """The generation run that would answer this one prompt alike."""
        asked = self.model_dump(include={"max_new_tokens", "temperature", "top_p", "seed"})
        return GenerateConfig(name="playground", dataset="playground", batch_size=1, **asked, **self.writers[side].model_dump())


class Score(Request):
    """Rewards of responses to one prompt."""

    what: Literal["score"] = "score"
    responses: tuple[str, ...] = Field(min_length=1, max_length=16)
    judges: tuple[Judge, ...] = Field(min_length=1, max_length=64)


class Tokens(Request):
    """A response token by token: its log-probabilities under a policy run and its reference, and the reward after each."""

    what: Literal["tokens"] = "tokens"
    response: str
    other: str | None = None  # the pair's other response: the first token that differs is told
    policy: str | None = None  # the id of a policy run
    judge: Judge | None = None


Asked = Answer | Score | Tokens
ADAPTER: TypeAdapter[Asked] = TypeAdapter(Annotated[Asked, Field(discriminator="what")])


def read(values: Any) -> Asked:
    """Check a request. Raises ConfigError naming every wrong field."""
    try:
        return ADAPTER.validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"request: {explained(error)}") from None
