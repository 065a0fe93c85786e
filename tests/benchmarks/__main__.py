"""Each fast path beside its plain twin, in one process, by turns: `./run.sh bench` (`--quick`: one repetition, to see that it runs).

The plain twin pads every response with its prompt to the longest of the batch and runs transformers' own forward pass. Both sides see
the same pairs, weights and precision, and their losses or rewards stand beside the times, since a fast wrong loop is worthless.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from engine import models
from engine.batches import Chat, Encoded, encode_pairs, pack, pair_tokens, training_order
from engine.config import EMBEDDED_MODEL, SYSTEM_PROMPT
from engine.datasets_io import preview
from engine.rundir import ROOT, cache_path

Rewards = Callable[[Sequence[Encoded]], torch.Tensor]


def main() -> None:
    options = argparse.ArgumentParser(prog="bench", description=__doc__)
    options.add_argument("--quick", action="store_true", help="one repetition on one batch")
    options.add_argument("--batch-size", type=int, default=8)
    quick, batch_size = (found := options.parse_args()).quick, found.batch_size
    cache, precision = cache_path(), models.best_precision("auto", "cpu")
    tokenizer = models.load_tokenizer(cache, EMBEDDED_MODEL)
    pairs = preview(str(ROOT / "engine" / "starter" / "train.jsonl"), limit=16 if quick else 128).pairs
    encoded = encode_pairs(Chat(tokenizer, SYSTEM_PROMPT, 384), pairs)
    bucketed = training_order([pair_tokens(e) for e in encoded], batch_size, 0, 0)
    shuffled = [list(range(i, i + batch_size)) for i in range(0, len(encoded) - batch_size + 1, batch_size)]
    fast = models.RewardModel(loaded(tokenizer, models.ATTENTION))
    plain = loaded(tokenizer, "sdpa")
    repetitions = 1 if quick else 5
    sides = {
        "packed, bucketed": (bucketed, lambda s: fast(pack(s))),
        "padded": (shuffled, lambda s: padded(plain, s, tokenizer.pad_token_id)),
    }
    print(f"{len(pairs)} starter pairs, batch {batch_size}, {precision}, {torch.get_num_threads()} threads, median of {repetitions}")
    print(f"{'stage':28}{'path':20}{'pairs/s':>9}{'ratio':>8}   mean loss of the first batch")
    for stage, training, arithmetic in (("reward-model training", True, precision), ("scoring", False, "fp32")):
        report(stage, training, arithmetic, sides, encoded, repetitions)


def loaded(tokenizer: object, attention: str) -> nn.Module:
    model: nn.Module = models.load_reward_model(cache_path(), EMBEDDED_MODEL, tokenizer, attention)
    models.untrain_head(model, 0)
    return model


def padded(model: nn.Module, sequences: Sequence[Encoded], pad: int) -> torch.Tensor:
    """Rewards by transformers' own forward pass over right-padded rows, (N,)."""
    longest = max(map(len, sequences))
    ids = torch.tensor([[*s.prompt, *s.response, *[pad] * (longest - len(s))] for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in sequences])
    rewards: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits[:, 0]
    return rewards.float()


def report(
    stage: str, training: bool, precision: str, sides: dict[str, tuple[list[list[int]], Rewards]], encoded: list, repetitions: int
) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repetitions):
        for name, (batches, rewards) in sides.items():
            batch = batches[turn % len(batches)]
            began = time.perf_counter()
            step(rewards, [side for i in batch for side in encoded[i]], training, precision)
            seconds[name].append((time.perf_counter() - began) / len(batch))
    slow = statistics.median(seconds["padded"])
    for name, (_, rewards) in sides.items():
        one = statistics.median(seconds[name])
        same = [side for i in sides["padded"][0][0] for side in encoded[i]]
        with torch.no_grad():
            loss = step(rewards, same, False, "fp32")
        print(f"{stage:28}{name:20}{1 / one:>9.2f}{slow / one:>8.2f}   {loss:.6f}")


def step(rewards: Rewards, sequences: Sequence[Encoded], training: bool, precision: str) -> float:
    with torch.set_grad_enabled(training), models.autocast(precision, "cpu"):
        found = rewards(sequences)
        loss = -logsigmoid(found[0::2] - found[1::2]).mean()
    if training:
        loss.backward()
    return loss.item()


if __name__ == "__main__":
    main()
