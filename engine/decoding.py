"""Writing token by token: prompts read without padding, keys and values in room made once, a step's attention over them."""

from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import AttentionInterface, AttentionMaskInterface, Cache, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.masking_utils import sdpa_mask

from engine.batches import Encoded, pack
from engine.tree import ATTENTION

STEP_ATTENTION = "prefscope_step"
STRETCH = 16  # rows


def step_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    stretches: Sequence[tuple[int, int, int]] = (),
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """One new token a row: query (B, H, 1, D) over key and value (B, H_kv, T, D), mask (B, 1, 1, T) true where seen -> (B, 1, H, D).

    Heads that share their keys are one product, keys by queries: on a CPU faster than the fused kernel, which is made for many queries,
    and than queries by keys, which copies the keys first. stretches: of the rows, from `stretches_of`.
    """
    size, heads, _, width = query.shape
    scaled = query * (width**-0.5 if scaling is None else scaling)
    out = value.new_empty(size, 1, heads, value.shape[3])
    for begin, end, seen in stretches or [(0, size, key.shape[2])]:
        first = max(key.shape[2] - seen, 0)
        k, v = (x[begin:end, :, first:].flatten(0, 1) for x in (key, value))  # views of the room
        grouped = scaled[begin:end].reshape(len(k), -1, width).to(k.dtype)
        scores = torch.bmm(k, grouped.transpose(1, 2)).transpose(1, 2).contiguous()
        if attention_mask is not None:
            scores.view(end - begin, heads, -1).masked_fill_(~attention_mask[begin:end, 0, :, first:], float("-inf"))
        out[begin:end] = torch.bmm(torch.softmax(scores, -1), v).view(end - begin, 1, heads, -1)
    return out, None


def stretches_of(seen: Sequence[int]) -> list[tuple[int, int, int]]:
    """Rows from, to, and how many of the last keys any of them sees, of rows that see so many each.

    One long prompt then costs the keys of the rows beside it, not those of the batch: short ones beside short ones cost least.
    """
    parts = [(i, min(i + STRETCH, len(seen))) for i in range(0, len(seen), STRETCH)]
    return [(begin, end, max(seen[begin:end])) for begin, end in parts]


AttentionInterface.register(STEP_ATTENTION, step_attention)
AttentionMaskInterface.register(STEP_ATTENTION, sdpa_mask)


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers states no types
    """Keys and values of one layer, (B, H_kv, T, D) each, in room made at once for `most` tokens: a new token copies nothing of the old."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.length = most, 0
        self.room: list[torch.Tensor] = []

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        new = (key_states, value_states)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.room = [x.new_empty(*x.shape[:2], self.most, x.shape[3]) for x in new]
        begin, self.length = self.length, self.length + key_states.shape[2]
        for room, x in zip(self.room, new, strict=True):
            room[:, :, begin : self.length] = x
        return self._seen()

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        smaller = [room.new_empty(len(indices), *room.shape[1:]) for room in self.room]
        for room, kept in zip(self.room, smaller, strict=True):
            kept[:, :, : self.length] = room[indices, :, : self.length]
        self.room = smaller
        self._seen()

    def _seen(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = (room[:, :, : self.length] for room in self.room)
        return self.keys, self.values


def cache_for(config: Any, most: int) -> Cache:
    """A cache for at most `most` tokens a row; layers that keep a window only stay as transformers makes them."""
    layers = DynamicCache(config=config).layers
    return Cache(layers=[RoomyLayer(most) if type(layer) is DynamicLayer else layer for layer in layers])


def read_prompts(model: Any, prompts: Sequence[Sequence[int]], most: int, device: str) -> tuple[Cache, torch.Tensor]:
    """Keys and values of N prompts, each at the right end of its row of a cache for `most` tokens; logits after each, (N, vocabulary).

    The prompts are read in one packed row, so that the longest of them costs the others nothing (engine/tree.py).
    """
    packed = pack([Encoded(array("i", prompt), array("i"), 0, False) for prompt in prompts]).to(device)
    flat = Cache(layers=[DynamicLayer() for _ in DynamicCache(config=model.config).layers])
    usual = model.config._attn_implementation
    model.set_attn_implementation(ATTENTION)
    try:
        out = model(
            input_ids=packed.input_ids, position_ids=packed.position_ids, past_key_values=flat, use_cache=True,
            logits_to_keep=packed.read_at, tree=packed,
        )  # fmt: skip
    finally:
        model.set_attn_implementation(usual)
    longest = packed.rows.shape[1]
    places = torch.stack([pad(row[: len(p)], (longest - len(p), 0)) for row, p in zip(packed.rows, prompts, strict=True)])
    kept = cache_for(model.config, most)
    for number, layer in enumerate(flat.layers):
        kept.update(*(x[0][:, places].transpose(0, 1) for x in (layer.keys, layer.values)), number)
    return kept, out.logits[0]
