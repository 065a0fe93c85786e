"""The networks of the playground's process: loaded when asked for, the least recently used let go when memory is needed."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import TooLargeError
from engine.kinds.generate import policy_that_writes
from engine.machine import memory, processes
from engine.model import networks
from engine.planning.preflight import TIGHT, gb
from engine.serve import needs
from engine.serve.requests import Judge
from engine.settings.config import GenerateConfig, PolicyConfig


@dataclass(frozen=True)
class Loaded:
    """A network on its device, and its tokenizer."""

    net: Any
    tokenizer: Any


class Models:
    """What is loaded. limit: bytes this process may have; None: what the machine has free."""

    def __init__(self, cache: Path, limit: int | None = None) -> None:
        self.cache, self.limit = cache, limit
        self.device = networks.best_device("auto")
        self.held: OrderedDict[tuple[object, ...], Loaded] = OrderedDict()
        processes.joined(self.device)

    def writer(self, config: GenerateConfig) -> Loaded:
        """A policy that writes."""
        precision = networks.best_precision(config.precision, self.device)

        def load() -> Loaded:
            tokenizer = networks.load_tokenizer(self.cache, config.policy)
            return Loaded(policy_that_writes(self.cache, config.policy, precision, self.device), tokenizer)

        return self._held(("writes", config.policy, precision), needs.writing_size(self.cache, config).most, load)

    def policy(self, name: str, config: PolicyConfig) -> Loaded:
        """A policy whose log-probabilities are asked, or its reference, under the tokenizer of that one."""

        def load() -> Loaded:
            tokenizer = networks.load_tokenizer(self.cache, config.model)
            return Loaded(networks.Policy(networks.load_policy(self.cache, name)).to(self.device).eval(), tokenizer)

        return self._held(("policy", name), needs.reading_size(self.cache, name, config, config.max_tokens).most, load)

    def judge(self, judge: Judge) -> Loaded:
        """A reward model, or its untrained twin."""
        config = needs.reward_config(self.cache, judge.run)
        source = judge.run if judge.trained else config.model

        def load() -> Loaded:
            tokenizer = networks.load_tokenizer(self.cache, source)
            network = networks.load_reward_model(self.cache, source, tokenizer)
            if not judge.trained:
                networks.untrain_head(network, config.seed)
            return Loaded(networks.RewardModel(network).to(self.device).eval(), tokenizer)

        return self._held(("judge", source, None if judge.trained else config.seed), needs.judging_size(self.cache, judge).most, load)

    def _held(self, key: tuple[object, ...], need: int, load: Callable[[], Loaded]) -> Loaded:
        if key not in self.held:
            self._make_room(str(key[1]), need)
            self.held[key] = load()
        self.held.move_to_end(key)
        return self.held[key]

    def _make_room(self, name: str, need: int) -> None:
        """Let go what was used longest ago until `need` bytes are free. Raises TooLargeError when they never are."""
        while need > (free := self.free()):
            if not self.held:
                raise TooLargeError(f"{name} takes about {gb(need)} of memory, {gb(max(free, 0))} are free: close what else takes memory")
            self.held.popitem(last=False)
            memory.release()

    def free(self) -> int:
        """Bytes that may still be taken."""
        there = round(TIGHT * (memory.free(self.device) or 0))
        return there if self.limit is None else min(there, self.limit - memory.resident())
