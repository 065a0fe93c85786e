"""What a request takes of memory, by the same arithmetic as a run's pre-flight. Torch-free."""

from dataclasses import dataclass
from pathlib import Path

from engine.errors import ModelError, ServeError
from engine.machine.device_plan import LOGIT_CHUNK, SCORING_TOKENS, expected_device, expected_precision
from engine.model.folders import Network, folder_of, network_of
from engine.planning import estimates
from engine.serve.requests import Answer, Asked, Judge, Score
from engine.settings.config import GenerateConfig, PolicyConfig, RewardConfig, TrainConfig
from engine.store.rundir import find_run


@dataclass(frozen=True)
class Size:
    """Bytes of a model besides those of the process: while it is only kept, and at most while it is loaded and works."""

    kept: int
    most: int


UNKNOWN = Size(0, 0)  # a model whose folder does not name its sizes in the usual words
LOGIT = 6  # bytes of one logit in a forward pass alone: fp32, and the rows that are normalised at once


def writing_size(cache: Path, config: GenerateConfig) -> Size:
    """Of a policy that answers one prompt."""
    network = network_here(cache, config.policy)
    if network is None:
        return UNKNOWN
    precision = expected_precision(config.precision, expected_device("auto"))
    most = estimates.answering_memory(network, config, config.max_tokens)
    return Size((2 if precision == "bf16" else 4) * network.parameters, besides_process(most))


def reading_size(cache: Path, model: str, config: TrainConfig, tokens: int) -> Size:
    """Of a model that reads `tokens` at once: as a policy of which log-probabilities are asked, or as a reward model."""
    network = network_here(cache, model)
    if network is None:
        return UNKNOWN
    device = expected_device("auto")
    most = besides_process(estimates.scoring_memory(network, device, expected_precision(config.score_precision, device), tokens))
    logits = LOGIT * min(tokens, LOGIT_CHUNK) * network.vocabulary if isinstance(config, PolicyConfig) else 0
    return Size(4 * network.parameters, most + logits)


def besides_process(size: int) -> int:
    return size - estimates.process(expected_device("auto"))


def network_here(cache: Path, model: str) -> Network | None:
    """The sizes of a model on this machine; None when its folder does not name them. Raises ModelError: nothing is downloaded here."""
    folder = folder_of(cache, model)
    if folder is None:
        raise ModelError(f"model {model} is not on this machine, and the playground downloads nothing: run something with it once")
    return network_of(folder)


def reward_config(cache: Path, run_id: str) -> RewardConfig:
    """Raises RunError when there is no such run, ServeError when it trains no reward model."""
    config = find_run(cache, run_id).config
    if not isinstance(config, RewardConfig):
        raise ServeError(f"{run_id} is a {config.kind} run, expected a reward run")
    return config


def policy_config(cache: Path, run_id: str) -> PolicyConfig:
    """Raises RunError when there is no such run, ServeError when it trains no policy."""
    config = find_run(cache, run_id).config
    if not isinstance(config, PolicyConfig):
        raise ServeError(f"{run_id} is a {config.kind} run, expected a policy run")
    return config


def judging_size(cache: Path, judge: Judge) -> Size:
    config = reward_config(cache, judge.run)
    tokens = max(config.max_tokens, SCORING_TOKENS[expected_device("auto")])
    return reading_size(cache, judge.run if judge.trained else config.model, config, tokens)


def needed(cache: Path, *requests: Asked) -> int:
    """Bytes to keep all models of some requests while one of them works, those of the process included.

    Raises what loading them would raise.
    """
    found = {name: size for asked in requests for name, size in sizes(cache, asked).items()}.values()
    working = max((size.most - size.kept for size in found), default=0)
    return estimates.process(expected_device("auto")) + sum(size.kept for size in found) + working


def sizes(cache: Path, asked: Asked) -> dict[tuple[object, ...], Size]:
    """The models that a request needs, and their sizes; a model that two requests need is one."""
    if isinstance(asked, Answer):
        configs = [asked.config(side) for side in asked.writers]
        return {("writes", config.policy, config.precision): writing_size(cache, config) for config in configs}
    if isinstance(asked, Score):
        return {("judge", judge): judging_size(cache, judge) for judge in asked.judges}
    found: dict[tuple[object, ...], Size] = {("judge", asked.judge): judging_size(cache, asked.judge)} if asked.judge else {}
    if asked.policy:
        config = policy_config(cache, asked.policy)
        for model in (asked.policy, config.model):
            found["policy", model] = reading_size(cache, model, config, config.max_tokens)
    return found
