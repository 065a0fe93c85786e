"""From hidden states to log-probabilities of response tokens, without logits of shape (T, vocabulary)."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from engine.batches import Packed
from engine.schedule import LOGIT_CHUNK


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
    return -cross_entropy(head(states).float(), targets, reduction="none")
