"""One frozen, validated model per kind of run. The command line, the form on the Runs page and the checks are made from these.

A field's title is its label, its description the tooltip, its bounds the check. No torch here: the dashboard imports this file.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from engine.errors import ConfigError
from engine.settings.hyperparameters import DPO, BradleyTerry, Frozen, LengthControl, LoRA, PolicyLoss, Weighted
from engine.settings.ref import Ref
from engine.settings.slices import Slice, parse_slice

EMBEDDED_MODEL = "smollm2-135m-instruct"
SYSTEM_PROMPT = "You are a helpful assistant."

Splits = tuple[Annotated[str, Ref("split")], ...]
RewardRuns = tuple[Annotated[str, Ref("reward")], ...]
AnswerRuns = tuple[Annotated[str, Ref("generate")], ...]
Precision = Literal["auto", "fp32", "bf16"]


SET_BY_THE_QUEUE = ("kind", "parents", "study", "configuration")  # fields that nobody is asked for


class RunConfig(Frozen):
    """What every run declares."""

    kind: str
    name: str = Field("run", min_length=1, max_length=80, title="Name", description="What pages, legends and tables call this run.")
    parents: tuple[str, ...] = Field((), title="Parents", description="Runs that must be done before this one starts.")
    study: str | None = Field(None, title="Study", description="The experiment or study this run belongs to.")
    configuration: str | None = Field(None, title="Configuration", description="What its study calls what it repeats with several seeds.")
    dataset: Annotated[str, Ref("dataset")] = Field(..., title="Dataset", description="The imported preference pairs.")
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
    seed: int = Field(0, ge=0, lt=2**32, title="Seed", description="Fixes the order of the pairs, the head's first weights and sampling.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", title="Device", description="auto takes the GPU when there is one.")
    processes: int = Field(
        0,
        ge=0,
        le=1024,
        title="Processes",
        description="0: one for each GPU of this machine, or one on the CPU. Each takes its share of a batch.",
    )


def sliced(given: Any) -> Any:
    """A slice that is written as JSON, as options have it."""
    return parse_slice(given) if isinstance(given, str) else given


class SlicedConfig(RunConfig):
    """A run that can be restricted to a slice of its dataset."""

    slice: Annotated[Slice | None, BeforeValidator(sliced)] = Field(
        None, title="Slice", description="Only what is in this slice of the split: a saved one, or one as JSON. Empty: all of it."
    )

    @model_validator(mode="after")
    def _slice_is_of_its_dataset(self) -> Self:
        if self.slice and self.slice.dataset_id != self.dataset:
            raise ValueError(f"slice is of dataset {self.slice.dataset_id!r:.80}, expected the run's own, {self.dataset!r}")
        return self


class TrainConfig(SlicedConfig):
    """What reward-model and policy training share."""

    model: Annotated[str, Ref("model", "reward", "policy")] = Field(
        EMBEDDED_MODEL, title="Model", description="The embedded model, a local folder or a Hugging Face name of a chat model."
    )
    train_split: Annotated[str, Ref("split")] = Field("train", title="Training split", description="The pairs to train on.")
    validation_splits: Splits = Field(("validation",), title="Validation splits", description="The pairs to measure on; never trained on.")
    pairs: int | None = Field(None, ge=1, title="Training pairs", description="A seeded choice of this many pairs; empty means all.")
    validation_pairs: int | None = Field(
        None, ge=1, title="Validation pairs", description="A seeded choice of this many pairs of each validation split; empty means all."
    )
    batch_size: int = Field(8, ge=1, title="Batch size", description="Pairs of one process in one batch.")
    accumulation: int = Field(1, ge=1, title="Accumulation", description="Batches per optimiser step.")
    epochs: int = Field(1, ge=1, le=10_000, title="Epochs", description="Passes over the training pairs.")
    learning_rate: float = Field(2e-5, gt=0, lt=1, title="Learning rate", description="The highest rate, reached after the warm-up.")
    warmup: float = Field(
        0.05,
        ge=0,
        lt=1,
        title="Warm-up share",
        description="Share of the steps in which the learning rate rises; a cosine to zero follows.",
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        title="Weight decay",
        description="AdamW's decoupled weight decay, of everything that is trained: norms, biases, embeddings and a reward model's head too. "
        "AdamW's betas are 0.9 and 0.95.",
    )
    max_grad_norm: float = Field(1.0, gt=0, title="Gradient clipping", description="Largest norm of the gradient in one step.")
    forward_tokens: int | None = Field(
        None,
        ge=64,
        title="Tokens per forward pass",
        description="A batch with more packed tokens is computed in parts: less memory, the same result. Empty: 1,024 on the CPU, 16,384 on a GPU.",
    )
    on_oom: Literal["split", "fail"] = Field(
        "split",
        title="Out of memory",
        description="split: compute the batch in smaller parts, which changes no result, and say so. fail: end the run with what it needs.",
    )
    memory_gb: float | None = Field(
        None, gt=0, title="Memory limit", description="GB (10^9 bytes) this run may take on the CPU; empty: what is free when it starts."
    )
    gradient_checkpointing: bool = Field(
        False,
        title="Gradient checkpointing",
        description="Keep only each layer's input and compute the rest again: less memory, a third slower.",
    )
    lora: LoRA | None = Field(None, title="LoRA", description="Train low-rank adapters instead of all weights.")
    shard: bool = Field(
        False,
        title="Shard",
        description="Divide weights, gradients and optimiser among the processes (FSDP), for a model that does not fit one device.",
    )
    balance_length: bool = Field(
        False,
        title="Balance length",
        description="Leave training pairs out, by seed, until the longer response is the chosen one as often as not.",
    )
    precision: Precision = Field(
        "auto",
        title="Precision",
        description="Arithmetic of the forward and backward pass; weights and optimiser stay in fp32. auto takes bf16 where the hardware has it.",
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto",
        title="Compile",
        description="Fuse the layers with torch.compile: a minute of warm-up, then faster steps and less memory. "
        "auto compiles bf16 training and bf16 scoring on a CPU with a C++ compiler where there are enough tokens to win it back.",
    )
    score_precision: Precision = Field(
        "fp32",
        title="Scoring precision",
        description="Arithmetic of every reported reward. In fp32 a reward does not depend on its batch; auto takes bf16 where the hardware "
        "has it, which is faster.",
    )
    evaluate_every: int = Field(
        0, ge=0, title="Evaluate every", description="Optimiser steps between two validations; 0 means at the start and the end only."
    )
    checkpoint_every: int = Field(
        100, ge=1, title="Checkpoint every", description="Optimiser steps between two checkpoints a run can resume from."
    )
    keep_weights: bool = Field(
        True, title="Keep the weights", description="Off: the model is deleted when the run is done; curves and rewards stay."
    )
    kept_checkpoints: int = Field(2, ge=1, title="Kept checkpoints", description="Older ones are deleted; all are when the run is done.")

    @model_validator(mode="after")
    def _whole_weights_are_sharded(self) -> Self:
        if self.shard and self.lora is not None:
            raise ValueError("shard and lora exclude each other: adapters are small, so every process keeps them whole")
        return self


class RewardConfig(TrainConfig):
    """Train a reward model and compare it with its untrained twin."""

    kind: Literal["reward"] = "reward"
    loss: BradleyTerry = Field(BradleyTerry(), title="Loss")
    length: LengthControl = Field(LengthControl(), title="Length control")
    group_by: Literal["prompt_type", "source"] | None = Field(
        None, title="Groups", description="A field of the pairs that names their group: whose taste, which topic, which origin."
    )
    group: str | None = Field(None, title="Only the group", description="Train on the pairs of this group alone.")
    conditional: bool = Field(
        False, title="Tell the group", description="Name each pair's group in the system prompt, so that one model serves all."
    )
    head_learning_rate: float | None = Field(
        None, gt=0, lt=1, title="Head learning rate", description="Learning rate of the new linear head; empty means the model's own."
    )
    read_at: Literal["template_end", "end_of_turn"] = Field(
        "template_end",
        title="Read the reward at",
        description="The response's last token under the chat template (where plain transformers and other tools read it too), or its end-of-turn token.",
    )

    @property
    def group_in_prompt(self) -> Literal["prompt_type", "source"] | None:
        """The field of a pair whose value the system prompt names."""
        return self.group_by if self.conditional else None

    @model_validator(mode="after")
    def _groups_are_named(self) -> Self:
        if self.group_by is None and (self.group is not None or self.conditional):
            raise ValueError("group and conditional need group_by, the field of the pairs that names their group")
        return self


class PolicyConfig(TrainConfig):
    """Fine-tune a policy on preference pairs against a frozen reference."""

    kind: Literal["policy"] = "policy"
    loss: PolicyLoss = Field(DPO(), title="Loss")
    added: tuple[Weighted, ...] = Field((), title="Added losses", description="Further losses, each with its weight in the sum.")
    guide: Annotated[str, Ref("reward")] | None = Field(
        None, title="Guide", description="The reward run whose differences are the margins of guided DPO."
    )

    @model_validator(mode="after")
    def _guided_dpo_has_its_guide(self) -> Self:
        guided = "guided_dpo" in (self.loss.name, *(added.loss.name for added in self.added))
        if guided != (self.guide is not None):
            raise ValueError("guided_dpo and guide go together: name the reward run that gives the margins, or leave both out")
        return self

    learning_rate: float = Field(1e-6, gt=0, lt=1, title="Learning rate", description="The highest rate, reached after the warm-up.")


class GenerateConfig(SlicedConfig):
    """Answer the prompts of a split with the base model or a tuned policy."""

    kind: Literal["generate"] = "generate"
    policy: Annotated[str, Ref("model", "policy")] = Field(
        EMBEDDED_MODEL, title="Policy", description="A model name or folder, or the id of a policy run."
    )
    split: Annotated[str, Ref("split")] = Field("validation", title="Split", description="Whose prompts to answer.")
    prompts: int | None = Field(None, ge=1, title="Prompts", description="A seeded choice of this many prompts; empty means all.")
    max_new_tokens: int = Field(
        256, ge=1, title="Longest answer", description="Tokens after which an answer is cut (finish reason: length)."
    )
    temperature: float = Field(0.0, ge=0, le=2, title="Temperature", description="0 is greedy: always the most probable token.")
    top_p: float = Field(1.0, gt=0, le=1, title="Top-p", description="Sample from the smallest set of tokens with this probability.")
    batch_size: int = Field(128, ge=1, title="Batch size", description="Prompts answered at once.")
    backend: Literal["auto", "transformers", "vllm"] = Field(
        "auto",
        title="Backend",
        description="auto takes vLLM where it is installed and there is a GPU, with the same settings; else transformers.",
    )
    precision: Precision = Field("auto", title="Precision", description="auto takes bf16 where the hardware has it.")


class ScoreConfig(RunConfig):
    """Score pairs and generated answers with reward models."""

    kind: Literal["score"] = "score"
    reward_models: RewardRuns = Field(
        ..., min_length=1, title="Reward models", description="Reward runs. Each is scored trained and untrained."
    )
    generations: AnswerRuns = Field((), title="Answers", description="Generation runs whose answers are scored.")
    splits: Splits = Field((), title="Splits", description="Splits whose chosen and rejected responses are scored.")


class EnsembleConfig(RunConfig):
    """Join reward models into one scorer and measure how far they agree."""

    kind: Literal["ensemble"] = "ensemble"
    reward_models: RewardRuns = Field(
        ..., min_length=2, title="Reward models", description="Reward runs: of several seeds, of several subsets of the pairs, or any."
    )
    method: Literal["mean", "weighted_mean", "vote"] = Field(
        "mean",
        title="Method",
        description="mean of the rewards, their weighted mean, or the share of comparisons within a prompt that a response wins.",
    )
    weights: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (), title="Weights", description="Of the weighted mean, one per reward model; empty: each one's validation accuracy."
    )
    standardise: bool = Field(
        True, title="Standardise", description="First give each member's rewards mean 0 and standard deviation 1: they have no common unit."
    )
    splits: Splits = Field(("validation",), title="Splits", description="Splits whose chosen and rejected responses are scored.")
    generations: AnswerRuns = Field((), title="Answers", description="Generation runs whose answers are scored.")

    @model_validator(mode="after")
    def check_members(self) -> Self:
        if len(set(self.reward_models)) < len(self.reward_models):
            raise ValueError("reward_models names one twice, expected each once")
        if self.weights and (self.method != "weighted_mean" or len(self.weights) != len(self.reward_models) or not sum(self.weights)):
            raise ValueError("weights are expected with the method weighted_mean only: one per reward model, not all of them 0")
        return self


class EmbedConfig(RunConfig):
    """Embed responses with all-MiniLM-L6-v2 and lay them out on maps."""

    kind: Literal["embed"] = "embed"
    split: Annotated[str, Ref("split")] = Field("validation", title="Split", description="Whose responses to embed.")
    generations: AnswerRuns = Field((), title="Answers", description="Generation runs whose answers are embedded too.")
    methods: tuple[Literal["umap", "tsne", "pca"], ...] = Field(
        ("umap", "tsne", "pca"), min_length=1, title="Maps", description="How 384 dimensions become two."
    )
    texts: int = Field(4000, ge=10, title="Texts", description="At most this many, a seeded choice.")


AnyRun = RewardConfig | PolicyConfig | GenerateConfig | ScoreConfig | EnsembleConfig | EmbedConfig
CONFIGS: dict[str, type[RunConfig]] = {
    "reward": RewardConfig,
    "policy": PolicyConfig,
    "generate": GenerateConfig,
    "score": ScoreConfig,
    "ensemble": EnsembleConfig,
    "embed": EmbedConfig,
}
ADAPTER: TypeAdapter[AnyRun] = TypeAdapter(Annotated[AnyRun, Field(discriminator="kind")])
SHOWN = 80  # characters of a refused value


def parse(values: dict[str, Any], where: str = "configuration") -> AnyRun:
    """Check a run's configuration. Raises ConfigError naming every wrong field, its value and what was expected."""
    if str(values.get("kind")) not in CONFIGS:
        raise ConfigError(f"{where}: kind is {shortened(values.get('kind'))}, expected one of {', '.join(CONFIGS)}")
    try:
        return ADAPTER.validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explained(error)}") from None


def explained(error: ValidationError) -> str:
    """One sentence per wrong field: its name, what was found, what was expected. What concerns several fields names them itself."""
    sentences = []
    for e in error.errors(include_url=False):
        field, message = ".".join(str(part) for part in e["loc"] if part not in CONFIGS), e["msg"].removeprefix("Value error, ")
        sentences.append(f"{field} is {shortened(e['input'])}: {message[0].lower()}{message[1:]}" if field else message)
    return "; ".join(sentences)


def shortened(value: Any) -> str:
    """A refused value as Python writes it, at most SHOWN characters of it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
