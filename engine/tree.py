"""Attention over one packed row in which responses share their prompt.

A row (1, T) holds, for each prompt, its tokens once and then the tokens of its responses one after the other. Every response
attends to its prompt and to itself, nothing else, and every linear layer sees a token once. On a CPU, attention goes span by span
(`Packed.spans`): no padding, a prompt once for all its responses, memory linear in the row. On a GPU, `Packed.rows` lays the
sequences out again, prompt + response each, for the fused kernel; padding at the right needs no mask, because causal attention never
looks ahead.
"""

from functools import cache
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from engine.batches import LONGEST_SPAN
from engine.errors import ModelError

ATTENTION = "prefscope_tree"


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
    scaled = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    groups = query.shape[1] // key.shape[1]
    k, v = (x[0].repeat_interleave(groups, 0) if groups > 1 else x[0] for x in (key, value))
    q, k = scaled[0].to(v.dtype), k.to(v.dtype)  # rotated queries and keys leave autocast in fp32
    if query.device.type == "cpu":
        return on_spans(q.contiguous(), k.contiguous(), v.contiguous(), tree.spans)[None], None
    return on_rows(q, k, v, tree.rows, tree.home)[None], None


def on_rows(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: torch.Tensor, home: torch.Tensor) -> torch.Tensor:
    """Causal attention of every sequence laid out by itself, q (scaled), k and v (H, T, D) -> (T, H, D)."""
    n, length = rows.shape
    flat = rows.reshape(-1)

    def laid_out(x: torch.Tensor) -> torch.Tensor:
        """(H, T, D) -> (N, H, L, D)"""
        return x.transpose(0, 1).index_select(0, flat).view(n, length, x.shape[0], x.shape[2]).transpose(1, 2)

    out = scaled_dot_product_attention(laid_out(q), laid_out(k), laid_out(v), is_causal=True, scale=1.0)
    return out.transpose(1, 2).reshape(n * length, q.shape[0], v.shape[2]).index_select(0, home)


@torch.library.custom_op("prefscope::on_spans", mutates_args=())
def on_spans(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
    """softmax(Q Kᵀ + mask) V span by span, q (scaled), k and v (H, T, D), spans (K, 5) -> (T, H, D).

    One operation to the compiler, since the number of spans differs from batch to batch.
    """
    out = q.new_empty(q.shape[1], q.shape[0], v.shape[2])
    for begin, end, own, first, last in spans.tolist():
        seen = slice(first, last), slice(own, end)
        p = probabilities(q[:, begin:end], gathered(k, seen))
        out[begin:end] = torch.bmm(p, gathered(v, seen)).transpose(0, 1)
    return out


@torch.library.custom_op("prefscope::on_spans_backward", mutates_args=())
def on_spans_backward(
    grad: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of q, k and v, in their shapes. The probabilities P are computed again, so that a row keeps none of them:
    dV = Pᵀ dO, dS = P ∘ (dO Vᵀ − row sums of P ∘ dO Vᵀ), dQ = dS K, dK = dSᵀ Q.
    """
    dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
    grad = grad.to(q.dtype).transpose(0, 1).contiguous()
    for begin, end, own, first, last in spans.tolist():
        seen = slice(first, last), slice(own, end)
        queries, keys, do = q[:, begin:end], gathered(k, seen), grad[:, begin:end]
        p = probabilities(queries, keys)
        ds = torch._softmax_backward_data(torch.bmm(do, gathered(v, seen).transpose(1, 2)), p, -1, p.dtype)
        dq[:, begin:end] = torch.bmm(ds, keys)
        for total, part in ((dk, torch.bmm(ds.transpose(1, 2), queries)), (dv, torch.bmm(p.transpose(1, 2), do))):
            total[:, seen[0]] += part[:, : last - first]
            total[:, seen[1]] += part[:, last - first :]
    return dq, dk, dv


def probabilities(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Causal softmax of (H, n, D) queries over (H, m, D) keys, whose last is the last query's own: (H, n, m)."""
    n = queries.shape[1]
    scores = torch.bmm(queries, keys.transpose(1, 2))
    scores[:, :, -n:] += ahead(queries.dtype)[:n, :n]
    return torch.softmax(scores, -1)


def gathered(x: torch.Tensor, seen: tuple[slice, slice]) -> torch.Tensor:
    """The prompt's keys or values and the span's own, (H, m, D)."""
    prompt, own = seen
    return torch.cat([x[:, prompt], x[:, own]], 1) if prompt.stop > prompt.start else x[:, own]


@cache
def ahead(dtype: torch.dtype) -> torch.Tensor:
    """−inf where a key comes after its query."""
    return torch.full((LONGEST_SPAN, LONGEST_SPAN), float("-inf"), dtype=dtype).triu(1)


def _keep_inputs(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


on_spans.register_fake(lambda q, k, v, spans: q.new_empty(q.shape[1], q.shape[0], v.shape[2]))
on_spans_backward.register_fake(lambda grad, q, k, v, spans: (torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)))
on_spans.register_autograd(lambda ctx, grad: (*on_spans_backward(grad, *ctx.saved_tensors), None), setup_context=_keep_inputs)


def refuse_unsupported(module: Any, length: int, options: dict[str, Any]) -> None:
    window = options.get("sliding_window")
    if window is not None and length > window:
        raise ModelError(f"{type(module).__name__} attends within {window} tokens only, and a sequence has {length}: lower max_tokens")
    if options.get("softcap") is not None:
        raise ModelError(f"{type(module).__name__} caps its attention logits, which the packed row does not")


AttentionInterface.register(ATTENTION, tree_attention)
AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)
