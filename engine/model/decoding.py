"""Writing token by token: prompts read without padding, keys and values in rooms that grow, a step's attention over them."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import AttentionInterface, AttentionMaskInterface, Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from engine.model.batches import Encoded, pack
from engine.model.tree import ATTENTION

STEP_ATTENTION = "prefscope_step"
STRETCH = 64  # rows
ROOM = 32  # columns a room grows by


@dataclass
class Stretch:
    """Neighbouring rows of a batch whose keys and values lie together, every row's tokens at the right end of the filled columns.

    A stretch is as wide as its longest row: one long prompt costs the rows beside it, not those of the batch. The two rooms of a layer are
    (b, H_kv, C, D) each and used whole, what is not a row's own being masked, because a batched product on a CPU copies any part of them.
    """

    starts: torch.Tensor  # (b,) the column of each row's first token
    length: int  # columns filled
    rooms: list[tuple[torch.Tensor, torch.Tensor]]  # keys and values of each layer
    masks: dict[int | None, torch.Tensor] = field(default_factory=dict)  # of this step, for each window

    def __len__(self) -> int:
        return len(self.starts)

    def open_column(self) -> None:
        """Make room for a token more in each row."""
        self.length += 1
        self.masks = {}
        if self.length > self.rooms[0][0].shape[2]:
            for number, (keys, values) in enumerate(self.rooms):
                self.rooms[number] = pad(keys, (0, 0, 0, ROOM)), pad(values, (0, 0, 0, ROOM))

    def with_new(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A layer's keys and values, (b·H_kv, C, D) each, after the newest tokens' (b, H_kv, 1, D) were put into the last filled column."""
        for room, new in zip(self.rooms[layer], (key, value), strict=True):
            room[:, :, self.length - 1] = new[:, :, 0]
        keys, values = self.rooms[layer]
        return keys.flatten(0, 1), values.flatten(0, 1)

    def mask(self, window: int | None) -> torch.Tensor:
        """−inf at each column a row's newest token does not see, (b, 1, C); a window is of so many columns, its own the last."""
        if window not in self.masks:
            room = self.rooms[0][0]
            columns = torch.arange(room.shape[2], device=room.device)
            first = self.starts if window is None else self.starts.clamp(min=self.length - window)
            hidden = (columns < first[:, None]) | (columns >= self.length)
            self.masks[window] = torch.zeros_like(hidden, dtype=room.dtype).masked_fill_(hidden, float("-inf"))[:, None]
        return self.masks[window]

    def keep(self, rows: Sequence[int]) -> None:
        """Let all other rows go, layer by layer, so that no second copy of all layers is held."""
        chosen = torch.tensor(rows, device=self.starts.device)
        self.starts = self.starts[chosen]
        for number, (keys, values) in enumerate(self.rooms):
            self.rooms[number] = keys[chosen], values[chosen]


def staying(memory: Sequence[Stretch], rows: Sequence[int]) -> list[Stretch]:
    """What is left of the memory when only these rows of the batch stay, in ascending order; it changes in place."""
    left, begin = [], 0
    for stretch in memory:
        end = begin + len(stretch)
        inside = [row - begin for row in rows if begin <= row < end]
        if 0 < len(inside) < len(stretch):
            stretch.keep(inside)
        left += [stretch] if inside else []
        begin = end
    return left


def step_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    memory: Sequence[Stretch],
    scaling: float | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """One new token a row, query (B, H, 1, D), key and value (B, H_kv, 1, D), over what memory holds of its row and itself -> (B, 1, H, D).

    Heads that share their keys are one product, keys by queries: on a CPU faster than the fused kernel, which is made for many queries,
    and than queries by keys, which copies the keys first.
    """
    size, heads, _, width = query.shape
    scaled = query * (width**-0.5 if scaling is None else scaling)
    out = value.new_empty(size, 1, heads, value.shape[3])
    begin = 0
    for stretch in memory:
        rows = slice(begin, begin + len(stretch))
        k, v = stretch.with_new(module.layer_idx, key[rows], value[rows])
        grouped = scaled[rows].reshape(len(k), -1, width).to(k.dtype)
        scores = torch.bmm(k, grouped.transpose(1, 2)).transpose(1, 2).contiguous()
        scores.view(len(stretch), heads, -1).add_(stretch.mask(sliding_window))
        out[rows] = torch.bmm(torch.softmax(scores, -1), v).view(len(stretch), 1, heads, -1)
        begin = rows.stop
    return out, None


AttentionInterface.register(STEP_ATTENTION, step_attention)
AttentionMaskInterface.register(STEP_ATTENTION, lambda *args, **kwargs: None)


def read_prompts(model: Any, prompts: Sequence[Sequence[int]], device: str) -> tuple[list[Stretch], torch.Tensor]:
    """Keys and values of N prompts, in stretches; logits after each, (N, vocabulary).

    The prompts are read in one packed row, so that the longest of them costs the others nothing (engine/model/tree.py).
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
    memory = []
    for begin in range(0, len(prompts), STRETCH):
        rows = [row[: len(p)] for row, p in zip(packed.rows[begin : begin + STRETCH], prompts[begin : begin + STRETCH], strict=True)]
        longest = max(map(len, rows))
        starts = torch.tensor([longest - len(row) for row in rows], device=device)
        places = torch.stack([pad(row, (longest - len(row), 0)) for row in rows])
        rooms = [(in_room(layer.keys, places), in_room(layer.values, places)) for layer in flat.layers]
        memory.append(Stretch(starts, longest, rooms))
    return memory, out.logits[0]


def in_room(flat: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """A packed row's keys or values, (1, H_kv, T, D), laid out by places (b, L), with room for more: (b, H_kv, L + ROOM, D)."""
    return pad(flat[0][:, places].transpose(0, 1), (0, 0, 0, ROOM)).contiguous()
