"""What a run will take, before it starts: memory, disk, time. Torch-free.

The constants were measured with SmolLM2-135M on a CPU; the estimates there were within 5 % of the measured peaks, without torch.compile
(which needs less). On a GPU nothing of it was measured.
"""

import statistics
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.errors import DataError, RunError
from engine.machine.device_plan import FORWARD_TOKENS, LOGIT_CHUNK, SCORING_TOKENS, expected_device, expected_precision, expected_processes
from engine.model.folders import Network
from engine.settings.config import (
    EmbedConfig,
    EnsembleConfig,
    GenerateConfig,
    PolicyConfig,
    RewardConfig,
    RunConfig,
    ScoreConfig,
    TrainConfig,
)
from engine.settings.hyperparameters import LoRA
from engine.store.damage import naming
from engine.store.rundir import RunDir, find_run, run_dirs
from engine.store.status import State

PROCESS = 650_000_000  # resident bytes of Python with torch and transformers, and what the allocator keeps back
SLACK = 1.5  # measured bytes of activations over counted ones: temporaries, attention probabilities, fragments
COUNTED = {"bf16": (38, 8), "fp32": (52, 16)}  # bytes a layer keeps of one token for each unit of its width, and of its inner width
CHECKPOINTED = 24  # measured bytes kept of one token for each unit of a layer's width under gradient checkpointing
LOGIT = 14  # bytes of one logit while its chunk exists: bf16, fp32, log-softmax and gradient
ALIKE = ("kind", "model", "precision", "gradient_checkpointing", "processes", "max_new_tokens")  # settings that set the speed
PASSING = (10, 3)  # numbers one layer has of one token in a forward pass without gradients: of its width, of its inner width


def trained_parameters(network: Network, config: TrainConfig) -> int:
    """Numbers the optimiser changes: all of the network, or those of its adapters; and a reward model's head."""
    head = network.width if isinstance(config, RewardConfig) else 0
    return head + (adapter_parameters(network, config.lora) if config.lora else network.parameters)


def adapter_parameters(network: Network, lora: LoRA) -> int:
    """Σ rank × (inputs + outputs) over the layers that get adapters (Hu et al. 2022, section 4.1)."""
    every = lora.targets == ("all-linear",)
    chosen = [size for name, size in network.linear.items() if every or name.rsplit(".", 1)[-1] in lora.targets]
    return sum(lora.rank * (outputs + inputs) for outputs, inputs in chosen)


def token_bytes(network: Network, precision: str, checkpointing: bool) -> float:
    """Bytes one packed token takes between its forward and its backward pass."""
    per_width, per_inner = COUNTED[precision]
    layer = SLACK * (per_width * network.width + per_inner * network.inner)
    return CHECKPOINTED * network.width * network.layers + layer if checkpointing else layer * network.layers


def training_memory(network: Network, config: TrainConfig, tokens: int) -> int:
    """Peak bytes of training with `tokens` in one forward pass.

    process + weights 4 P + bf16 copies 2 P + (gradient 4 + Adam's two moments 8) × trained + activations × tokens + a policy's logits.
    Sharded, the processes share what stands: weights, gradient and moments.
    """
    device = expected_device(config.device)
    precision = expected_precision(config.precision, device)
    trained = trained_parameters(network, config)
    standing = (6 if precision == "bf16" else 4) * network.parameters + 12 * trained
    standing += 4 * trained if config.lora else 0  # the adapters' own weights
    logits = LOGIT * LOGIT_CHUNK * network.vocabulary if isinstance(config, PolicyConfig) else 0
    standing //= expected_processes(config) if config.shard else 1
    moving = token_bytes(network, precision, config.gradient_checkpointing) * tokens
    return round(process(device) + standing + moving + logits)


def process(device: str) -> int:
    """Bytes of the memory in question that are taken before a model is loaded."""
    return PROCESS if device == "cpu" else 0


def scoring_memory(network: Network, device: str, precision: str, tokens: int | None = None) -> int:
    """Peak bytes of forward passes with `tokens` in each, or as many as this device takes.

    process + weights 4 P + bf16 copies 2 P + bytes of a number × tokens × numbers of a token in one layer.
    """
    passing = (tokens or SCORING_TOKENS[device]) * (PASSING[0] * network.width + PASSING[1] * network.inner)
    weights, number = (6, 2) if precision == "bf16" else (4, 4)
    return process(device) + weights * network.parameters + number * passing


def answering_memory(network: Network, config: GenerateConfig, prompt_tokens: int) -> int:
    """Peak bytes of answering: the weights as they are loaded in fp32, or those computed with plus keys, values and logits of a batch."""
    device = expected_device(config.device)
    number = 2 if expected_precision(config.precision, device) == "bf16" else 4
    kept = 2 * network.layers * network.key_values * number * (prompt_tokens + config.max_new_tokens)
    passing = prompt_tokens * number * (PASSING[0] * network.width + PASSING[1] * network.inner)
    batch = config.batch_size * (kept + passing + 12 * network.vocabulary)
    return process(device) + max(4 * network.parameters, number * network.parameters + batch)


def forward_tokens(config: TrainConfig, longest: int | None = None) -> int:
    """Packed tokens of the largest forward pass: what is configured, a whole batch when that is less, one pair when that is more."""
    configured = config.forward_tokens or FORWARD_TOKENS[expected_device(config.device)]
    pair = longest or 2 * config.max_tokens
    return max(min(configured, config.batch_size * pair), longest or 0)


def checkpoints_of(config: TrainConfig, steps: int) -> int:
    """The most checkpoints that exist at once: the kept ones and the next, or as many as are ever written, one when it is cancelled."""
    return min(config.kept_checkpoints + 1, max(steps - 1, 0) // config.checkpoint_every + 1)


def tokens_per_second(cache: Path, config: TrainConfig) -> list[float]:
    """Speeds of the finished training runs that are like this one: kind, model, precision, device, adapters, recomputation, processes."""
    return [rate for run in like(cache, config) if (rate := training_rate(run)) is not None]


def work_of(config: RunConfig, items: int) -> tuple[int, str]:
    """(how often a run that trains nothing does what takes its time, the table that has a row for each): what `seconds_each` is of."""
    if isinstance(config, ScoreConfig | EnsembleConfig):
        return items * len(config.reward_models) * (2 if isinstance(config, ScoreConfig) else 1), "rewards"
    if isinstance(config, EmbedConfig):
        return items * len(config.methods), "map_points"
    return items, "generations"


def seconds_each(cache: Path, config: RunConfig, planned: Mapping[str, RunConfig] = MappingProxyType({})) -> list[float]:
    """Seconds in which each finished run like this one, which trains nothing, did one piece of its work, loading included.

    A response is scored while a reward model is trained too: what such a run did beside training is mostly that, before and after it.
    """
    _, table = work_of(config, 0)
    if table != "rewards":
        return [each for run in like(cache, config, planned) if (each := seconds_a_row(run, table))]
    device, values = expected_device(config.device), config.model_dump(mode="json")
    network, precision = base_model(cache, values, planned), reward_precision(cache, values, device, planned)

    def alike(run: RunDir) -> bool:
        return reward_precision(cache, run.config_values, device) == precision

    found = [seconds_a_row(run, table) for run in like(cache, config, planned) if alike(run)]
    found += [validating(run) for run in finished_on(cache, device) if base_model(cache, run.config_values) == network and alike(run)]
    return [each for each in found if each]


def answers_guessed(cache: Path, config: GenerateConfig, planned: Mapping[str, RunConfig] = MappingProxyType({})) -> list[float]:
    """Seconds for each prompt, from runs that agree in all but the longest answer: as if answers took all tokens that they may."""
    found = []
    for run in like(cache, config, planned, tuple(name for name in ALIKE if name != "max_new_tokens")):
        most = run.config_values.get("max_new_tokens", GenerateConfig.model_fields["max_new_tokens"].default)
        if each := seconds_a_row(run, "generations"):
            found.append(each * config.max_new_tokens / most)
    return found


def reward_precision(cache: Path, values: Mapping[str, Any], device: str, planned: Mapping[str, RunConfig] = MappingProxyType({})) -> str:
    """The precision that a run's rewards are computed in: its own, or that of the first reward model it scores with."""
    for name in values.get("reward_models", ())[:1]:
        with suppress(RunError):  # it is gone: the default, as below
            values = planned[name].model_dump(mode="json") if name in planned else find_run(cache, name).config_values
    return expected_precision(values.get("score_precision", "fp32"), device)


def seconds_a_row(run: RunDir, table: str) -> float | None:
    with suppress(DataError), naming(run.path):  # a damaged run is no reason not to start another
        rows, wall = run.table(table), wall_seconds(run)
        return wall / rows.height if wall and rows is not None and rows.height else None
    return None


def validating(run: RunDir) -> float | None:
    """Seconds beside training for each response that a reward run has scored; None of another kind of run."""
    if run.outline.kind != "reward":
        return None
    responses = sum(2 * x.values.get("n", 0) for x in run.measured if x.split != "train")
    wall, trained = wall_seconds(run), trained_seconds(run)
    return (wall - trained) / responses if responses and wall and trained else None


def usual(each: list[float]) -> float | None:
    """The median; of two the quicker: nothing makes a run quicker than the machine, while much else can run beside it."""
    return statistics.median_low(each) if each else None


def like(
    cache: Path, config: RunConfig, planned: Mapping[str, RunConfig] = MappingProxyType({}), same: Collection[str] = ALIKE
) -> Iterator[RunDir]:
    """Finished runs on the same kind of device whose configuration agrees in what sets the speed.

    planned: {run id: configuration} of runs to come, whose models this one uses. same: the settings that agree.
    """
    wanted, device = config.model_dump(mode="json"), expected_device(config.device)
    network = base_model(cache, wanted, planned)
    fields = {name: field for name, field in type(config).model_fields.items() if name in same}

    def agrees(values: dict[str, Any]) -> bool:
        return bool(values.get("lora")) == bool(wanted.get("lora")) and all(
            values.get(name, field.default) == wanted[name] for name, field in fields.items()
        )

    for run in finished_on(cache, device):
        values = run.config_values
        if agrees(values) and base_model(cache, values) == network:
            yield run


def finished_on(cache: Path, device: str) -> Iterator[RunDir]:
    """The runs that are done and ran on this kind of device."""
    for run in run_dirs(cache):
        status = run.written_status
        if status.state is State.DONE and ("cpu" in (status.device or "").lower()) == (device == "cpu"):
            yield run


def base_model(cache: Path, values: Mapping[str, Any], planned: Mapping[str, RunConfig] = MappingProxyType({})) -> str | None:
    """The model that a run's model was trained from, from run to run; of several reward models the first's."""
    name: Any = values.get("policy") or values.get("model") or next(iter(values.get("reward_models", ())), None)
    if not isinstance(name, str):
        return None
    if name in planned:
        return base_model(cache, planned[name].model_dump(mode="json"), planned)
    try:
        run = find_run(cache, name)
    except RunError:  # a model's name, or the path of its folder
        return name
    return base_model(cache, run.config_values, planned)


def training_rate(run: RunDir) -> float | None:
    """Packed tokens a second over the whole of a run's training."""
    last = next((x for x in reversed(run.measured) if x.split == "train"), None)
    return last.tokens / last.seconds if last and last.tokens and last.seconds else None


def wall_seconds(run: RunDir) -> float | None:
    """From the start of a run to its end; None when it did not go through in one go."""
    status = run.written_status
    if status.resumed or not (status.started_at and status.finished_at):
        return None
    return (datetime.fromisoformat(status.finished_at) - datetime.fromisoformat(status.started_at)).total_seconds()


def trained_seconds(run: RunDir) -> float | None:
    last = next((x for x in reversed(run.measured) if x.split == "train"), None)
    return last.seconds if last else None
