"""One frozen, validated model per kind of run. The command line, the form on the Runs page and the checks are made from these.

A field's title is its label, its description the tooltip, its bounds the check. No torch here: the dashboard imports this file.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from engine.errors import ConfigError

PRESETS = Path(__file__).parent / "presets"
EMBEDDED_MODEL = "smollm2-135m-instruct"
SYSTEM_PROMPT = "You are a helpful assistant."

Precision = Literal["auto", "fp32", "bf16"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BradleyTerry(Frozen):
    """Hyper-parameters of losses.bradley_terry."""

    name: Literal["bradley_terry"] = "bradley_terry"
    centring: float = Field(
        0.0, ge=0, title="Centring", description="Weight of the squared rewards, which keeps them near zero (align-anything uses 0.001)."
    )
    margin: float = Field(0.0, ge=0, title="Margin", description="How far the chosen reward should lie above the rejected one.")


class DPO(Frozen):
    """Hyper-parameters of losses.dpo."""

    name: Literal["dpo"] = "dpo"
    beta: float = Field(
        0.1, gt=0, title="Beta", description="How strongly the policy is held to the reference: small values let it move further."
    )


class RunConfig(Frozen):
    """What every run states."""

    name: str = Field("run", min_length=1, max_length=80, title="Name", description="What pages, legends and tables call this run.")
    parents: tuple[str, ...] = Field((), title="Parents", description="Runs that must be done before this one starts.")
    study: str | None = Field(None, title="Study", description="The experiment or study this run belongs to.")
    dataset: str = Field(..., title="Dataset", description="The imported preference pairs.")
    system_prompt: str = Field(
        SYSTEM_PROMPT, title="System prompt", description="Put before every conversation through the model's chat template."
    )
    max_tokens: int = Field(
        512,
        ge=16,
        le=131072,
        title="Maximum tokens",
        description="Prompt and response together. Longer prompts lose their beginning; what was cut is counted.",
    )
    seed: int = Field(0, ge=0, title="Seed", description="Fixes the order of the pairs, the head's first weights and sampling.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", title="Device", description="auto takes the GPU when there is one.")


class TrainConfig(RunConfig):
    """What reward-model and policy training share."""

    model: str = Field(
        EMBEDDED_MODEL, title="Model", description="The embedded model, a local folder or a Hugging Face name of a chat model."
    )
    train_split: str = Field("train", title="Training split", description="The pairs to train on.")
    validation_splits: tuple[str, ...] = Field(
        ("validation",), title="Validation splits", description="The pairs to measure on; never trained on."
    )
    pairs: int | None = Field(None, ge=1, title="Training pairs", description="A seeded choice of this many pairs; empty means all.")
    validation_pairs: int | None = Field(
        None, ge=1, title="Validation pairs", description="A seeded choice of this many pairs of each validation split; empty means all."
    )
    batch_size: int = Field(8, ge=1, title="Batch size", description="Pairs in one forward pass.")
    accumulation: int = Field(1, ge=1, title="Accumulation", description="Forward passes per optimiser step.")
    epochs: int = Field(1, ge=1, title="Epochs", description="Passes over the training pairs.")
    learning_rate: float = Field(2e-5, gt=0, lt=1, title="Learning rate", description="The highest rate, reached after the warm-up.")
    warmup: float = Field(
        0.05,
        ge=0,
        lt=1,
        title="Warm-up share",
        description="Share of the steps in which the learning rate rises; a cosine to zero follows.",
    )
    weight_decay: float = Field(0.0, ge=0, title="Weight decay", description="AdamW's decoupled weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, title="Gradient clipping", description="Largest norm of the gradient in one step.")
    forward_tokens: int | None = Field(
        None,
        ge=64,
        title="Tokens per forward pass",
        description="A batch with more packed tokens is computed in parts: less memory, the same result. Empty: 1,024 on the CPU, 16,384 on a GPU.",
    )
    precision: Precision = Field(
        "auto",
        title="Precision",
        description="Arithmetic of the forward and backward pass; weights and optimiser stay in fp32. auto takes bf16 where the hardware has it.",
    )
    score_precision: Literal["fp32", "bf16"] = Field(
        "fp32", title="Scoring precision", description="Arithmetic of every reported reward. In fp32 a reward does not depend on its batch."
    )
    evaluate_every: int = Field(
        0, ge=0, title="Evaluate every", description="Optimiser steps between two validations; 0 means at the start and the end only."
    )
    checkpoint_every: int = Field(
        100, ge=1, title="Checkpoint every", description="Optimiser steps between two checkpoints a run can resume from."
    )


class RewardConfig(TrainConfig):
    """Train a reward model and compare it with its untrained twin."""

    kind: Literal["reward"] = "reward"
    loss: BradleyTerry = Field(BradleyTerry(), title="Loss")
    head_learning_rate: float | None = Field(
        None, gt=0, lt=1, title="Head learning rate", description="Learning rate of the new linear head; empty means the model's own."
    )
    read_at: Literal["template_end", "end_of_turn"] = Field(
        "template_end",
        title="Read the reward at",
        description="The response's last token under the chat template (where plain transformers and other tools read it too), or its end-of-turn token.",
    )


class PolicyConfig(TrainConfig):
    """Fine-tune a policy on preference pairs against a frozen reference."""

    kind: Literal["policy"] = "policy"
    loss: DPO = Field(DPO(), title="Loss")
    learning_rate: float = Field(1e-6, gt=0, lt=1, title="Learning rate", description="The highest rate, reached after the warm-up.")


class GenerateConfig(RunConfig):
    """Answer the prompts of a split with the base model or a tuned policy."""

    kind: Literal["generate"] = "generate"
    policy: str = Field(EMBEDDED_MODEL, title="Policy", description="A model name or folder, or the id of a policy run.")
    split: str = Field("validation", title="Split", description="Whose prompts to answer.")
    prompts: int | None = Field(None, ge=1, title="Prompts", description="A seeded choice of this many prompts; empty means all.")
    max_new_tokens: int = Field(
        256, ge=1, title="Longest answer", description="Tokens after which an answer is cut (finish reason: length)."
    )
    temperature: float = Field(0.0, ge=0, le=2, title="Temperature", description="0 is greedy: always the most probable token.")
    top_p: float = Field(1.0, gt=0, le=1, title="Top-p", description="Sample from the smallest set of tokens with this probability.")
    batch_size: int = Field(32, ge=1, title="Batch size", description="Prompts answered at once.")
    precision: Precision = Field("auto", title="Precision", description="auto takes bf16 where the hardware has it.")


class ScoreConfig(RunConfig):
    """Score pairs and generated answers with reward models."""

    kind: Literal["score"] = "score"
    reward_models: tuple[str, ...] = Field(
        ..., min_length=1, title="Reward models", description="Reward runs. Each is scored trained and untrained."
    )
    generations: tuple[str, ...] = Field((), title="Answers", description="Generation runs whose answers are scored.")
    splits: tuple[str, ...] = Field((), title="Splits", description="Splits whose chosen and rejected responses are scored.")


class EmbedConfig(RunConfig):
    """Embed responses with all-MiniLM-L6-v2 and lay them out on maps."""

    kind: Literal["embed"] = "embed"
    split: str = Field("validation", title="Split", description="Whose responses to embed.")
    generations: tuple[str, ...] = Field((), title="Answers", description="Generation runs whose answers are embedded too.")
    methods: tuple[Literal["umap", "tsne", "pca"], ...] = Field(
        ("umap", "tsne", "pca"), min_length=1, title="Maps", description="How 384 dimensions become two."
    )
    texts: int = Field(4000, ge=10, title="Texts", description="At most this many, a seeded choice.")


AnyRun = RewardConfig | PolicyConfig | GenerateConfig | ScoreConfig | EmbedConfig
KINDS: dict[str, type[RunConfig]] = {
    "reward": RewardConfig,
    "policy": PolicyConfig,
    "generate": GenerateConfig,
    "score": ScoreConfig,
    "embed": EmbedConfig,
}
ADAPTER: TypeAdapter[AnyRun] = TypeAdapter(Annotated[AnyRun, Field(discriminator="kind")])


class DataSource(Frozen):
    """Where a preset's pairs come from: `starter`, a file, a folder or a hub name."""

    name: str
    source: str | dict[str, str]  # one source, or {"split": source}
    format: str | None = None
    licence: str | None = None
    validation_share: float = Field(0.1, ge=0, lt=1)
    seed: int = 0


class Preset(Frozen):
    """A whole experiment. In `runs`, "@label" stands for the run with that label and makes it a parent."""

    name: str
    title: str
    data: DataSource
    common: dict[str, Any] = {}
    runs: dict[str, dict[str, Any]]


def parse(values: dict[str, Any], where: str = "configuration") -> AnyRun:
    """Check a run's configuration. Raises ConfigError naming every wrong field, its value and what was expected."""
    try:
        return ADAPTER.validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explained(error)}") from None


def load_preset(name: str) -> Preset:
    """A preset by name (engine/presets) or by path to a JSON file. Raises ConfigError."""
    path = Path(name) if name.endswith(".json") else PRESETS / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PRESETS.glob("*.json")))
        raise ConfigError(f"preset {name!r} not found: expected one of {known}, or a path to a .json file")
    try:
        return Preset.model_validate(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: line {error.lineno} is not JSON: {error.msg}") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {explained(error)}") from None


def explained(error: ValidationError) -> str:
    """One sentence per wrong field: its name, what was found, what was expected."""
    return "; ".join(
        f"{'.'.join(str(part) for part in e['loc'] if part not in KINDS)} is {e['input']!r}: {e['msg'][0].lower()}{e['msg'][1:]}"
        for e in error.errors(include_url=False)
    )


def plan(preset: Preset, dataset: str, run_ids: dict[str, str]) -> dict[str, AnyRun]:
    """The preset's runs in order, {run_id: config}, with every "@label" replaced by its run id.

    run_ids: {label: run_id}, a fresh one per run. Raises ConfigError when a label is unknown or comes later.
    """
    planned: dict[str, AnyRun] = {}
    for label, values in preset.runs.items():
        where = f"preset {preset.name}, run {label!r}"
        kind = values.get("kind")
        if kind not in KINDS:
            raise ConfigError(f"{where}: kind is {kind!r}, expected one of {', '.join(KINDS)}")
        earlier = {name: run_ids[name] for name in preset.runs if run_ids[name] in planned}
        parents = tuple(dict.fromkeys(resolved(f, earlier, where) for f in references(list(values.values()))))
        common = {k: v for k, v in preset.common.items() if k in KINDS[kind].model_fields}
        own = {k: resolved(v, earlier, where) for k, v in values.items()}
        planned[run_ids[label]] = parse(
            {"name": label, "study": preset.name, "dataset": dataset, "parents": parents, **common, **own}, where
        )
    return planned


def references(values: list[Any]) -> list[str]:
    """Every "@label" among the values of a preset's run."""
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    return [v for v in flat if isinstance(v, str) and v.startswith("@")]


def resolved(value: Any, earlier: dict[str, str], where: str) -> Any:
    """The value with every "@label" replaced by the id of that earlier run. Raises ConfigError for an unknown label."""
    if isinstance(value, list):
        return [resolved(v, earlier, where) for v in value]
    if not (isinstance(value, str) and value.startswith("@")):
        return value
    if value[1:] not in earlier:
        raise ConfigError(f"{where}: {value} is not an earlier run of this preset")
    return earlier[value[1:]]
