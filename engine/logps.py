"""From hidden states to log-probabilities of response tokens, without logits of shape (T, vocabulary)."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from engine.batches import Packed
from engine.schedule import LOGIT_CHUNK

CACHED_ROWS = 64  # of logits, whose fp32 copy a processor's cache holds


def response_logps(hidden: torch.Tensor, head: Any, packed: Packed, chunk: int = LOGIT_CHUNK) -> torch.Tensor:
    """Σ_t log π(y_t | x, y_<t) of each response, end-of-turn token included, and of its tokens in common with its pair's other, (N, 2).

    In nats. hidden: (T, d). Only positions before a response token meet the language-model head, `chunk` at a time; the backward pass
    computes a chunk's logits again instead of keeping them.
    """
    states = hidden.index_select(0, packed.before)
    parts = [
        checkpoint(token_logps, head, states[i : i + chunk], packed.targets[i : i + chunk], use_reentrant=False)
        for i in range(0, len(states), chunk)
    ]
    found = torch.cat(parts)
    totals = torch.zeros(len(packed.rows), 2, device=hidden.device)
    return totals.index_add(0, packed.owner, torch.stack([found, found * packed.common], 1))


def token_logps(head: Any, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """log softmax(head(states)) at the targets, (S,); the normaliser in fp32."""
    found: torch.Tensor = TargetLogps.apply(head(states), targets)  # type: ignore[no-untyped-call]
    return found


class TargetLogps(torch.autograd.Function):
    """log softmax(z)_y of logits z (S, vocabulary) at targets y (S,): (S,) in fp32.

    Its gradient, g (onehot(y) − softmax(z)), is made in the precision of z with no intermediate of z's size: on a CPU some rows at a
    time, which stay in the cache. The target's own entry is −g expm1(log p), exact where p is near 1.
    """

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logps = torch.cat([-cross_entropy(z.float(), y, reduction="none") for z, y in _rows(logits, targets)])
        ctx.save_for_backward(logits, targets, logps)
        return logps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, targets, logps = ctx.saved_tensors
        back = torch.empty_like(logits)
        for b, z, g in _rows(back, logits, grad):
            torch.mul(torch.softmax(z, -1), -g[:, None], out=b)
        own = -torch.expm1(logps) * grad
        return back.scatter_(1, targets[:, None], own[:, None].to(back.dtype)), None


def _rows(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """The same rows of each, as many as are best computed at a time."""
    rows = CACHED_ROWS if tensors[0].device.type == "cpu" else len(tensors[0])
    return zip(*(torch.split(x, rows) for x in tensors), strict=True)
