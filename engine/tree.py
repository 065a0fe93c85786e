"""Attention over one packed row in which responses share their prompt.

A row (1, T) holds, for each prompt, its tokens once and then the tokens of its responses one after the other. Every response
attends to its prompt and to itself, nothing else. `Packed.rows` lays the sequences out again, prompt + response each; padding at the
right needs no mask, because causal attention never looks ahead. Linear layers see every token once and no padding at all.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from engine.errors import ModelError

ATTENTION = "prefscope_tree"
KEPT_BYTES = 32 * 2**20


def tree_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    scaling: float | None = None,
    tree: Any = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """query (1, H, T, D), key and value (1, H_kv, T, D) -> (1, T, H, D). Raises ModelError for attention this row cannot express."""
    if tree is None:
        raise ModelError(f"{type(module).__name__} does not pass the packed layout on: this architecture is not supported")
    refuse_unsupported(module, tree.rows.shape[1], options)
    n, length = tree.rows.shape
    flat = tree.rows.reshape(-1)

    def laid_out(x: torch.Tensor) -> torch.Tensor:
        """(1, H, T, D) -> (N, H, L, D)"""
        return x[0].transpose(0, 1).index_select(0, flat).view(n, length, x.shape[1], x.shape[3]).transpose(1, 2)

    q, k, v = laid_out(query), laid_out(key), laid_out(value)
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    plain = on_two_products(q)
    out = by_products(q, k, v, scaling) if plain else scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling)
    return out.transpose(1, 2).reshape(n * length, q.shape[1], v.shape[3]).index_select(0, tree.home)[None], None


def on_two_products(query: torch.Tensor) -> bool:
    """Whether training on a CPU in bf16 takes two matrix products: the fused kernel's backward pass is several times slower there.

    Only while the probabilities of a layer, which the backward pass keeps, are small.
    """
    n, heads, length, _ = query.shape
    training = torch.is_grad_enabled() and query.device.type == "cpu" and query.dtype == torch.bfloat16
    return training and 2 * n * heads * length**2 <= KEPT_BYTES


def by_products(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Causal attention as softmax(scale · Q Kᵀ + mask) V, (N, H, L, D): what transformers calls eager attention."""
    n, heads, length, width = query.shape
    q, k, v = (x.reshape(n * heads, length, width) for x in (query, key, value))
    ahead = torch.full((length, length), float("-inf"), dtype=q.dtype, device=q.device).triu(1)
    scores = torch.baddbmm(ahead, q, k.transpose(1, 2), alpha=width**-0.5 if scaling is None else scaling)
    return torch.bmm(torch.softmax(scores, -1), v).view(n, heads, length, width)


def refuse_unsupported(module: Any, length: int, options: dict[str, Any]) -> None:
    window = options.get("sliding_window")
    if window is not None and length > window:
        raise ModelError(f"{type(module).__name__} attends within {window} tokens only, and a sequence has {length}: lower max_tokens")
    if options.get("softcap") is not None:
        raise ModelError(f"{type(module).__name__} caps its attention logits, which the packed row does not")


AttentionInterface.register(ATTENTION, tree_attention)
AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)
