"""The memory of a model that writes token by token: keys and values in room made once, so that what is there never moves."""

from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer


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
