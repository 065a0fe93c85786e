"""Attention over one packed row in which responses share their prompt.

A row (1, T) holds the prefix (what all prompts begin with) once and then, for each prompt, its tokens once and the tokens of its
responses one after the other. Every response attends to the prefix, its prompt and itself, nothing else, and every linear layer sees a
token once. On a CPU, attention goes block by block (`Packed.spans`): no padding, a prompt once for all its responses, memory linear in
the row. On a GPU, `Packed.rows` lays the sequences out again, prompt + response each, for the fused kernel; padding at the right needs
no mask, because causal attention never looks ahead.
"""

from dataclasses import dataclass
from functools import cache
from itertools import groupby, starmap
from operator import attrgetter
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from engine.errors import ModelError
from engine.model.packing import LONGEST_SPAN, Packed, Span

ATTENTION = "prefscope_tree"


def tree_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    scaling: float | None = None,
    tree: Packed | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """query (1, H, T, D), key and value (1, H_kv, T, D) -> (1, T, H, D). Raises ModelError for attention this row cannot express."""
    if tree is None:
        raise ModelError(f"{type(module).__name__} does not pass the packed layout on: this architecture is not supported")
    refuse_unsupported(module, tree.rows.shape[1], options)
    scaled = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    v = value[0]
    q, k = scaled[0].to(v.dtype), key[0].to(v.dtype)  # rotated queries and keys leave autocast in fp32
    if query.device.type == "cpu":
        q, k, v = (x.contiguous() for x in (q, for_each_query(k, q, 0), for_each_query(v, q, 0)))
        return on_spans(q, k, v, tree.spans)[None], None
    return on_rows(q, k, v, tree.rows, tree.index)[None], None


def for_each_query(x: torch.Tensor, q: torch.Tensor, heads: int) -> torch.Tensor:
    """Keys or values, each head once for every head of queries that shares it; `heads` is the dimension they are counted in."""
    groups = q.shape[heads] // x.shape[heads]
    return x.repeat_interleave(groups, heads) if groups > 1 else x


def on_rows(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Causal attention of every sequence laid out by itself, q (H, T, D) scaled, k and v (H_kv, T, D) -> (T, H, D)."""
    n, length = rows.shape
    flat = rows.reshape(-1)

    def laid_out(x: torch.Tensor) -> torch.Tensor:
        """(H, T, D) -> (N, H, L, D)"""
        return x.transpose(0, 1).index_select(0, flat).view(n, length, x.shape[0], x.shape[2]).transpose(1, 2)

    queries = laid_out(q)
    keys, values = (for_each_query(laid_out(x), queries, 1) for x in (k, v))
    out = scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=1.0)
    return out.transpose(1, 2).reshape(n * length, q.shape[0], v.shape[2]).index_select(0, index)


@torch.library.custom_op("prefscope::on_spans", mutates_args=())
def on_spans(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
    """softmax(Q Kᵀ + mask) V block by block, q (scaled), k and v (H, T, D), spans (K, 7) -> (T, H, D).

    One operation to the compiler, since the number of spans differs from batch to batch.
    """
    out = q.new_empty(q.shape[1], q.shape[0], v.shape[2])
    for block in blocks(spans):
        p = probabilities(q[:, block.queries], block.gathered(k), block.masked)
        out[block.queries] = torch.bmm(p, block.gathered(v)).transpose(0, 1)
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
    for block in blocks(spans):
        queries, keys, do = q[:, block.queries], block.gathered(k), grad[:, block.queries]
        p = probabilities(queries, keys, block.masked)
        ds = torch._softmax_backward_data(torch.bmm(do, block.gathered(v).transpose(1, 2)), p, -1, p.dtype)
        dq[:, block.queries] = torch.bmm(ds, keys)
        block.scatter(torch.bmm(ds.transpose(1, 2), queries), dk)
        block.scatter(torch.bmm(p.transpose(1, 2), do), dv)
    return dq, dk, dv


@dataclass(frozen=True)
class Block:
    """Queries whose attention is one product: those of one span, or a short prompt's with its responses'.

    keys: the places they see, the queries' own last. masked: rows and columns of the scores where a response would see its siblings.
    """

    queries: slice
    keys: list[slice]
    masked: list[tuple[slice, slice]]

    def gathered(self, x: torch.Tensor) -> torch.Tensor:
        """The keys or values seen, (H, m, D)."""
        return x[:, self.keys[0]] if len(self.keys) == 1 else torch.cat([x[:, places] for places in self.keys], 1)

    def scatter(self, part: torch.Tensor, total: torch.Tensor) -> None:
        """Add gradients (H, m, D) of what was gathered where it came from."""
        for places, own in zip(self.keys, torch.split(part, [places.stop - places.start for places in self.keys], 1), strict=True):
            total[:, places] += own


def blocks(spans: torch.Tensor) -> list[Block]:
    """The products of a packed row, from its spans (K, 7), each row the fields of a Span."""
    return [block_of(*together) for _, together in groupby(starmap(Span, spans.tolist()), key=attrgetter("block"))]


def block_of(first: Span, *responses: Span) -> Block:
    """One product of a span, or of a prompt and the responses after it, of which each but the first has siblings before it."""
    end = responses[-1].end if responses else first.end
    seen = (0, first.prefix_end), (first.prompt_start, first.prompt_end), (first.own_start, end)
    before = first.start - first.prefix_end  # from a token's place in the row to its column in the scores
    masked = [
        (slice(r.start - first.start, r.end - first.start), slice(r.prompt_end - before, r.own_start - before))
        for r in responses
        if r.prompt_end < r.own_start
    ]
    return Block(slice(first.start, end), [slice(start, stop) for start, stop in seen if start < stop], masked)


def probabilities(queries: torch.Tensor, keys: torch.Tensor, masked: list[tuple[slice, slice]]) -> torch.Tensor:
    """Causal softmax of (H, n, D) queries over (H, m, D) keys, whose last are the queries' own: (H, n, m)."""
    n = queries.shape[1]
    scores = torch.bmm(queries, keys.transpose(1, 2))
    scores[:, :, -n:] += ahead(queries.dtype)[:n, :n]
    for rows, columns in masked:
        scores[:, rows, columns] = float("-inf")
    return torch.softmax(scores, -1)


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


torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for every length, 0.1 s on an H100, and rows' lengths differ
AttentionInterface.register(ATTENTION, tree_attention)
AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)
