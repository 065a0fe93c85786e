"""Every kind of run and the function that does its work. To add one: its configuration in settings/config.py, its module, its line here."""

from collections.abc import Callable
from typing import Any

from engine.kinds import embed, ensemble, generate, policy, reward, score

KINDS: dict[str, Callable[..., Any]] = {
    "reward": reward.run,
    "policy": policy.run,
    "generate": generate.run,
    "score": score.run,
    "ensemble": ensemble.run,
    "embed": embed.run,
}
