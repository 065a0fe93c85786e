"""What a model that writes token by token keeps: prompts read without padding, keys and values in room made once."""

from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from engine.batches import Encoded, pack
from engine.tree import ATTENTION


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
