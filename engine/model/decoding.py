"""Writing token by token: prompts read without padding, key-value caches that grow, a step's attention over them."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import AttentionInterface, AttentionMaskInterface, Cache, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

from engine.model.batches import Encoded
from engine.model.packing import Packed, pack
from engine.model.tree import ATTENTION
from engine.settings.config import GenerateConfig

STEP_ATTENTION = "prefscope_step"
CACHED_TOGETHER = 64  # rows of a batch that share one cache
GROWTH = 32  # columns a cache grows by


@dataclass
class KeyValueCache:
    """Keys and values of neighbouring rows of a batch, every row's tokens at the right end of the filled columns.

    A cache is as wide as its longest row: one long prompt costs the rows beside it, not those of the batch. A layer's keys and its values
    are (b, H_kv, C, D) each and used whole, what is not a row's own being masked, because a batched product on a CPU copies a part.
    """

    starts: torch.Tensor  # (b,) the column of each row's first token
    length: int  # columns filled
    keys: list[torch.Tensor]  # of each layer
    values: list[torch.Tensor]
    masks: dict[int | None, torch.Tensor] = field(default_factory=dict)  # of this step, for each window

    def __len__(self) -> int:
        return len(self.starts)

    def open_column(self) -> None:
        """Make place for a token more in each row."""
        self.length += 1
        self.masks = {}
        if self.length > self.keys[0].shape[2]:
            for held in (self.keys, self.values):
                for layer, tensor in enumerate(held):
                    held[layer] = grown(tensor)

    def with_new(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A layer's keys and values, (b·H_kv, C, D) each, after the newest tokens' (b, H_kv, 1, D) were put into the last filled column."""
        keys, values = self.keys[layer], self.values[layer]
        keys[:, :, self.length - 1] = key[:, :, 0]
        values[:, :, self.length - 1] = value[:, :, 0]
        return keys.flatten(0, 1), values.flatten(0, 1)

    def mask(self, window: int | None) -> torch.Tensor:
        """−inf at each column a row's newest token does not see, (b, 1, C); a window is of so many columns, its own the last."""
        if window not in self.masks:
            keys = self.keys[0]
            columns = torch.arange(keys.shape[2], device=keys.device)
            first = self.starts if window is None else self.starts.clamp(min=self.length - window)
            hidden = (columns < first[:, None]) | (columns >= self.length)
            self.masks[window] = torch.zeros_like(hidden, dtype=keys.dtype).masked_fill_(hidden, float("-inf"))[:, None]
        return self.masks[window]

    def keep(self, rows: Sequence[int]) -> None:
        """Let all other rows go, layer by layer, so that no second copy of all layers is held."""
        chosen = torch.tensor(rows, device=self.starts.device)
        self.starts = self.starts[chosen]
        for held in (self.keys, self.values):
            for layer, tensor in enumerate(held):
                held[layer] = tensor[chosen]


def grown(tensor: torch.Tensor) -> torch.Tensor:
    """(b, H_kv, C, D) with empty columns after the last."""
    return pad(tensor, (0, 0, 0, GROWTH))


def staying(caches: Sequence[KeyValueCache], rows: Sequence[int]) -> list[KeyValueCache]:
    """What is left of a batch's caches when only these rows stay, in ascending order; they change in place."""
    left, begin = [], 0
    for cache in caches:
        end = begin + len(cache)
        inside = [row - begin for row in rows if begin <= row < end]
        if 0 < len(inside) < len(cache):
            cache.keep(inside)
        left += [cache] if inside else []
        begin = end
    return left


def step_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    caches: Sequence[KeyValueCache],
    scaling: float | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """One new token a row, query (B, H, 1, D), key and value (B, H_kv, 1, D), over what is cached of its row and itself -> (B, 1, H, D).

    Heads that share their keys are one product, keys by queries: on a CPU faster than the fused kernel, which is made for many queries,
    and than queries by keys, which copies the keys first.
    """
    size, heads, _, width = query.shape
    scaled = query * (width**-0.5 if scaling is None else scaling)
    out = value.new_empty(size, 1, heads, value.shape[3])
    begin = 0
    for cache in caches:
        rows = slice(begin, begin + len(cache))
        k, v = cache.with_new(module.layer_idx, key[rows], value[rows])
        grouped = scaled[rows].reshape(len(k), -1, width).to(k.dtype)
        scores = torch.bmm(k, grouped.transpose(1, 2)).transpose(1, 2).contiguous()
        scores.view(len(cache), heads, -1).add_(cache.mask(sliding_window))
        out[rows] = torch.bmm(torch.softmax(scores, -1), v).view(len(cache), 1, heads, -1)
        begin = rows.stop
    return out, None


AttentionInterface.register(STEP_ATTENTION, step_attention)
AttentionMaskInterface.register(STEP_ATTENTION, lambda *args, **kwargs: None)


def read_prompts(model: Any, prompts: Sequence[Sequence[int]], device: str) -> tuple[list[KeyValueCache], torch.Tensor]:
    """Keys and values of N prompts, in caches of neighbouring rows; logits after each, (N, vocabulary).

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
    lengths = [len(prompt) for prompt in prompts]
    return [cached(flat, packed, lengths, begin) for begin in range(0, len(prompts), CACHED_TOGETHER)], out.logits[0]


def cached(flat: Cache, packed: Packed, lengths: Sequence[int], begin: int) -> KeyValueCache:
    """The cache of the rows from `begin`, from a packed row's keys and values, (1, H_kv, T, D) a layer."""
    lengths = lengths[begin : begin + CACHED_TOGETHER]
    longest = max(lengths)
    starts = [longest - length for length in lengths]
    rows = packed.rows[begin : begin + len(lengths)]
    places = torch.stack([pad(row[:length], (start, 0)) for row, length, start in zip(rows, lengths, starts, strict=True)])

    def laid_out(x: torch.Tensor) -> torch.Tensor:
        """(1, H_kv, T, D) -> (b, H_kv, C, D)"""
        return grown(x[0][:, places].transpose(0, 1)).contiguous()

    keys, values = [], []
    for layer in flat.layers:
        keys.append(laid_out(layer.keys))
        values.append(laid_out(layer.values))
    return KeyValueCache(torch.tensor(starts, device=places.device), longest, keys, values)


def continued(
    model: Any,
    prompts: Sequence[Sequence[int]],
    ends: Sequence[int],
    config: GenerateConfig,
    device: str,
    stopping: Callable[[], bool] = bool,
) -> list[list[int]]:
    """New tokens after each prompt, to an end token or max_new_tokens; none at all once `stopping`, asked at each step, says so."""
    written: list[list[int]] = [[] for _ in prompts]
    for step in steps(model, prompts, ends, config, device):
        if stopping():
            return []
        for row, token in step:
            written[row].append(token)
    return written


@torch.no_grad()
def steps(
    model: Any,
    prompts: Sequence[Sequence[int]],
    ends: Sequence[int],
    config: GenerateConfig,
    device: str,
    generator: torch.Generator | None = None,
) -> Iterator[list[tuple[int, int]]]:
    """(prompt, new token) of every answer that goes on, step by step. Finished rows leave the batch once they are an eighth of it.

    generator: what samples; None is torch's own.
    """
    places = torch.tensor([[len(p)] for p in prompts], device=device)  # (B, 1), of each row's next token
    stops = torch.tensor(list(ends), device=device)
    rows = torch.arange(len(prompts), device=device)  # the prompt of each row that is still in the batch
    open_ = torch.ones(len(prompts), dtype=torch.bool, device=device)
    caches, logits = read_prompts(model, prompts, device)
    for step in range(1, config.max_new_tokens + 1):
        ids = drawn(logits.float(), config, generator)[:, None]
        yield [(row, token) for row, token, goes_on in zip(rows.tolist(), ids[:, 0].tolist(), open_.tolist(), strict=True) if goes_on]
        open_ = open_ & ~torch.isin(ids[:, 0], stops)
        if step == config.max_new_tokens or not open_.any():
            break
        if (~open_).sum() * 8 >= len(open_):
            still = open_.nonzero()[:, 0]
            caches = staying(caches, still.tolist())
            ids, places, rows, open_ = ids[still], places[still], rows[still], open_[still]
        for cache in caches:
            cache.open_column()
        logits = model(input_ids=ids, position_ids=places, use_cache=False, logits_to_keep=1, caches=caches).logits[:, -1]
        places = places + 1


def drawn(logits: torch.Tensor, config: GenerateConfig, generator: torch.Generator | None = None) -> torch.Tensor:
    """The next token of each row, (B,): the most probable at temperature 0, else drawn from the top-p set. logits: (B, V)."""
    if config.temperature == 0:
        return logits.argmax(-1)
    warmed = TemperatureLogitsWarper(config.temperature)(None, logits)
    kept = TopPLogitsWarper(config.top_p)(None, warmed) if config.top_p < 1 else warmed
    return torch.multinomial(kept.softmax(-1), 1, generator=generator)[:, 0]
