"""The pairs that both sides get: the starter set, and files of the user's own."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

from engine.data import sources
from engine.data.preview import check, sample
from engine.data.records import PreferencePair

LOOKED_AT = 5000  # records of a file from which pairs are drawn
LONGEST = 10_000  # turns
RESERVED = ("starter", "models", "tables")
PARTS = ("all", "single", "multi")


@dataclass(frozen=True)
class Workload:
    """A file of preference pairs, or its single-turn or multi-turn part."""

    name: str
    file: Path
    part: str = "all"


@dataclass(frozen=True)
class Sizes:
    """How many pairs each stage takes."""

    training: int
    check: int  # one batch, for the losses that stand side by side
    scoring: int
    prompts: int


STARTER = Workload("starter", sources.STARTER / "train.jsonl")


def stated(text: str) -> Workload:
    """NAME=FILE, NAME=FILE:single or NAME=FILE:multi. Raises ValueError."""
    name, equals, place = text.partition("=")
    file, colon, part = place.rpartition(":")
    if not colon or part not in PARTS:
        file, part = place, "all"
    if not (equals and name.isidentifier() and Path(file).is_file()):
        raise ValueError(f"--data is {text!r}, expected NAME=FILE or NAME=FILE:single|multi with a file that is there")
    if name in RESERVED:
        raise ValueError(f"--data names its pairs {name!r}, expected none of {', '.join(RESERVED)}")
    return Workload(name, Path(file).resolve(), part)


def candidates(workload: Workload, seed: int) -> list[PreferencePair]:
    """The pairs of the workload's part of its file, in a seeded order."""
    turns = {"single": range(1, 2), "multi": range(2, LONGEST), "all": range(1, LONGEST)}[workload.part]
    found = [k.pair for k in check(sample(str(workload.file), LOOKED_AT)).kept if len(k.pair.turns) in turns]
    random.Random(seed).shuffle(found)
    return found


def splits_of(workload: Workload, found: list[PreferencePair], sizes: Sizes) -> dict[str, list[PreferencePair]]:
    """Pairs by split. Every split's name begins with train, since the importer removes training questions from all other splits.

    Raises ValueError when there are too few.
    """
    prompts = list({p.prompt_id: p for p in found}.values())
    if max(sizes.training, sizes.scoring) > len(found) or sizes.prompts > len(prompts):
        raise ValueError(
            f"workload {workload.name} has {len(found)} pairs and {len(prompts)} prompts in its first {LOOKED_AT} records, "
            f"needed are {max(sizes.training, sizes.scoring)} and {sizes.prompts}: ask for fewer steps, responses or answers"
        )
    need = {"train": sizes.training, "train_check": sizes.check, "train_scored": sizes.scoring}
    return {**{split: found[:n] for split, n in need.items()}, "train_prompts": prompts[: sizes.prompts]}


def write(pairs: list[PreferencePair], file: Path) -> None:
    """As JSON Lines in the conversational format that TRL and the importer read."""
    file.write_text("".join(json.dumps(record(p)) + "\n" for p in pairs), encoding="utf-8")


def record(pair: PreferencePair) -> dict[str, list[dict[str, str]]]:
    said = [{"role": t.role, "content": t.content} for t in pair.turns]
    return {"prompt": said, **{side: [{"role": "assistant", "content": getattr(pair, side)}] for side in ("chosen", "rejected")}}
