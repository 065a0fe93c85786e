"""The pairs a run works on: chosen with its seed, pinned in its folder, counted when cut."""

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

from engine.data.datasets_io import load_pairs
from engine.data.records import PreferencePair
from engine.errors import RunError
from engine.model.batches import Encoded
from engine.settings.config import RewardConfig, TrainConfig
from engine.settings.slices import Slice
from engine.store.progress import Progress
from engine.store.slices import part_of, pinned

Item = TypeVar("Item")


def training_pairs(progress: Progress, config: TrainConfig) -> list[PreferencePair]:
    """The training split, its part in the slice, or a seeded choice of it, in a fixed order; their ids are pinned in trained_on.parquet."""
    where = f"split {config.train_split!r} of {config.dataset}"
    found = load_pairs(progress.cache, config.dataset, config.train_split)
    if config.slice:
        found = of_slice(progress, found, config.slice, config.train_split)
        where = f"the slice in {where}"
    if isinstance(config, RewardConfig) and config.group_by:
        found = of_group(found, config, where)
    chosen = seeded_choice(found, config.pairs, config.seed, where)
    if config.balance_length:
        chosen = length_balanced(progress, chosen, config.seed)
    ids = [p.pair_id for p in chosen]
    progress.write_table("trained_on", [{"pair_id": i} for i in ids])
    progress.run.update(pairs_sha256=hashlib.sha256("".join(ids).encode()).hexdigest())
    return chosen


def of_slice(progress: Progress, found: list[PreferencePair], wanted: Slice, split: str) -> list[PreferencePair]:
    """The pairs of a split that were in a slice when the run first began; the order stays. Raises RunError when there is none."""
    rows = pinned(progress.cache, progress.run, wanted, split)
    kept = set(rows.filter(rows["split"] == split)["pair_id"])
    progress.note(part_of(rows, split))
    return [p for p in found if p.pair_id in kept]


def of_group(found: list[PreferencePair], config: RewardConfig, where: str) -> list[PreferencePair]:
    """The pairs of the configuration's group, or all. Raises RunError when the group is empty or a pair that must name one does not."""
    assert config.group_by
    groups = {getattr(p, config.group_by) for p in found}
    if config.conditional and groups & {None, ""}:
        raise RunError(f"{where} has pairs without {config.group_by}, so the system prompt cannot name their group")
    if config.group is None:
        return found
    if config.group not in groups:
        raise RunError(
            f"{where} has no pair with {config.group_by} {config.group!r}: expected one of {', '.join(sorted(map(str, groups)))}"
        )
    return [p for p in found if getattr(p, config.group_by) == config.group]


def length_balanced(progress: Progress, found: list[PreferencePair], seed: int) -> list[PreferencePair]:
    """Pairs of which the longer response (in characters) is the chosen one as often as the rejected one; the order stays."""
    longer = [i for i, p in enumerate(found) if len(p.chosen) > len(p.rejected)]
    shorter = [i for i, p in enumerate(found) if len(p.chosen) < len(p.rejected)]
    more, fewer = (longer, shorter) if len(longer) > len(shorter) else (shorter, longer)
    left_out = set(random.Random(seed).sample(more, len(more) - len(fewer)))
    if left_out:
        progress.note(f"{len(left_out)} of {len(found)} pairs were left out so that chosen and rejected are the longer one equally often")
    return [p for i, p in enumerate(found) if i not in left_out]


def validation_pairs(progress: Progress, config: TrainConfig, split: str) -> list[PreferencePair]:
    """A validation split or a seeded choice of it. Raises RunError when it is the training split."""
    if split == config.train_split:
        raise RunError(f"validation split {split!r} is the training split")
    found = load_pairs(progress.cache, config.dataset, split)
    most = min(config.validation_pairs or len(found), len(found))
    return seeded_choice(found, most, config.seed, f"split {split!r} of {config.dataset}")


def seeded_choice(found: list[Item], number: int | None, seed: int, where: str) -> list[Item]:
    """`number` of the items, the same for the same seed, or all. Raises RunError when there are fewer."""
    if number is not None and number > len(found):
        raise RunError(f"{number} are asked for, but {where} has {len(found)}")
    return found if number in (None, len(found)) else random.Random(seed).sample(found, number)


def count_truncated(progress: Progress, encoded: Sequence[tuple[Encoded, Encoded]], split: str) -> None:
    """Say how many pairs of a split were cut to the run's maximum of tokens."""
    cut = sum(chosen.truncated or rejected.truncated for chosen, rejected in encoded)
    if cut:
        progress.note(f"{cut} of {len(encoded)} pairs of {split} were cut to the maximum of tokens: the prompt's beginning went first")
