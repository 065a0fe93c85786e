"""From hidden states to log-probabilities of response tokens, without logits of shape (T, vocabulary)."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from engine.machine.device_plan import LOGIT_CHUNK
from engine.model.packing import Packed

CACHED_ROWS = 64  # of logits, whose fp32 copy a processor's cache holds


def response_logps(hidden: torch.Tensor, head: Any, packed: Packed, chunk: int = LOGIT_CHUNK) -> torch.Tensor:
    """Σ_t log π(y_t | x, y_<t) of each response, end-of-turn token included, and of its tokens in common with its pair's other, (N, 2).

    In nats. hidden: (T, d).
    """
    found = logps_by_token(hidden, head, packed, chunk)
    totals = torch.zeros(len(packed.rows), 2, device=hidden.device)
    return totals.index_add(0, packed.owner, torch.stack([found, found * packed.common], 1))


def logps_by_token(hidden: torch.Tensor, head: Any, packed: Packed, chunk: int = LOGIT_CHUNK) -> torch.Tensor:
    """log π(y_t | x, y_<t) of every response token to the end of turn, (S,) in nats. hidden: (T, d).

    Only positions before a response token meet the language-model head, `chunk` at a time. The backward pass begins with the last
    chunk, a full one, whose logits are kept for it; those of each other chunk it computes again.
    """
    states = hidden.index_select(0, packed.before)
    edges = [0, *range(len(states) % chunk or chunk, len(states), chunk), len(states)]
    *again, kept = [(states[a:b], packed.targets[a:b]) for a, b in pairwise(edges)]
    parts = [checkpoint(token_logps, head, *part, use_reentrant=False) for part in again]
    return torch.cat([*parts, token_logps(head, *kept)])


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
        back[torch.arange(len(back), device=back.device), targets] = own.to(back.dtype)  # scatter_ took as long as the softmax
        return back, None


def _rows(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """The same rows of each, as many as are best computed at a time."""
    rows = CACHED_ROWS if tensors[0].device.type == "cpu" else len(tensors[0])
    return zip(*(torch.split(x, rows) for x in tensors), strict=True)
