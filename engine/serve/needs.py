"""What a request takes of memory, by the same arithmetic as a run's pre-flight. Torch-free."""

from pathlib import Path

from engine.errors import ModelError, ServeError
from engine.machine.device_plan import LOGIT_CHUNK, SCORING_TOKENS, expected_device
from engine.model.folders import Network, folder_of, network_of
from engine.planning import estimates
from engine.serve.requests import Answer, Asked, Judge, Score
from engine.settings.config import GenerateConfig, PolicyConfig, RewardConfig
from engine.store.rundir import find_run


def writing_memory(cache: Path, config: GenerateConfig) -> int:
    """Bytes for a policy that answers one prompt, besides those of the process."""
    network = network_here(cache, config.policy)
    return added(network, estimates.answering_memory(network, config, config.max_tokens)) if network else 0


def reading_memory(cache: Path, model: str, tokens: int, logits: bool) -> int:
    """Bytes for a model in fp32 that reads `tokens` at once, as a policy of which log-probabilities are asked or as a reward model."""
    network = network_here(cache, model)
    if network is None:
        return 0
    read = estimates.scoring_memory(network, expected_device("auto"), tokens)
    return added(network, read) + (estimates.LOGIT * min(tokens, LOGIT_CHUNK) * network.vocabulary if logits else 0)


def added(network: Network, bytes_: int) -> int:
    return bytes_ - estimates.process(expected_device("auto"))


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


def judging_memory(cache: Path, judge: Judge) -> int:
    config = reward_config(cache, judge.run)
    tokens = max(config.max_tokens, SCORING_TOKENS[expected_device("auto")])
    return reading_memory(cache, judge.run if judge.trained else config.model, tokens, logits=False)


def needed(cache: Path, *requests: Asked) -> int:
    """Bytes to have all models of some requests loaded at once, those of the process included. Raises what loading them would raise."""
    return estimates.process(expected_device("auto")) + sum(size for asked in requests for size in sizes(cache, asked))


def sizes(cache: Path, asked: Asked) -> list[int]:
    """Bytes of each model that a request needs."""
    if isinstance(asked, Answer):
        return [writing_memory(cache, asked.config(side)) for side in asked.writers]
    if isinstance(asked, Score):
        return [judging_memory(cache, judge) for judge in asked.judges]
    found = [judging_memory(cache, asked.judge)] if asked.judge else []
    if asked.policy:
        config = policy_config(cache, asked.policy)
        found += [reading_memory(cache, model, config.max_tokens, logits=True) for model in (asked.policy, config.model)]
    return found
