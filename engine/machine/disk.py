"""What is free on the disk, what a training run takes of it, and the sentence when it is too little."""

import shutil
from pathlib import Path

from engine.errors import RunError


def free_disk(folder: Path) -> int:
    """Bytes free where the folder is, or will be."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    return shutil.disk_usage(there).free


def check_disk(folder: Path, need: int) -> None:
    """Raises RunError when fewer than `need` bytes are free where the folder is."""
    free = free_disk(folder)
    if need > free:
        raise RunError(f"the disk is too full: needs about {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free for the cache")


def needs_disk(parameters: int, trained: int, checkpoints: int) -> int:
    """Bytes of a training run's folder at its largest: the model and `checkpoints` checkpoints, the one being written among them.

    model 4 P (adapters are merged into it) + checkpoints × trained × (weights 4 + Adam's two moments 8).
    """
    return 4 * parameters + checkpoints * 12 * trained
