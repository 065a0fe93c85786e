"""The pairs a run works on: chosen with its seed, pinned in its folder, counted when cut."""

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from engine.batches import Encoded
from engine.config import TrainConfig
from engine.datasets_io import load_pairs
from engine.errors import RunError
from engine.progress import Progress
from engine.records import PreferencePair
from engine.rundir import read_table, write_table

Item = TypeVar("Item")


def training_pairs(progress: Progress, config: TrainConfig) -> list[PreferencePair]:
    """The training split or a seeded choice of it, in a fixed order; their ids are pinned in trained_on.parquet."""
    found = load_pairs(progress.cache, config.dataset, config.train_split)
    chosen = seeded_choice(found, config.pairs, config.seed, f"split {config.train_split!r} of {config.dataset}")
    ids = [p.pair_id for p in chosen]
    write_table(progress.run.path, "trained_on", [{"pair_id": i} for i in ids])
    progress.run.update(pairs_sha256=hashlib.sha256("".join(ids).encode()).hexdigest())
    return chosen


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


def splits_of(cache: Path, dataset_id: str) -> list[str]:
    """The names of a dataset's splits. Raises RunError when there is no such dataset."""
    row = read_table(cache / "datasets" / dataset_id, "datasets")
    if row is None:
        raise RunError(f"dataset {dataset_id!r} not found in {cache / 'datasets'}")
    return list(json.loads(row["splits"][0]))
