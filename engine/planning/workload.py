"""How many pairs, prompts or responses a run will work on, read from the dataset's tables. Torch-free."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import polars as pl

from engine.errors import RunError
from engine.planning.references import existing
from engine.settings.config import (
    EmbedConfig,
    EnsembleConfig,
    GenerateConfig,
    RewardConfig,
    RunConfig,
    ScoreConfig,
    TrainConfig,
)
from engine.store.damage import naming
from engine.store.rundir import read_table
from engine.store.slices import pairs_for


@dataclass(frozen=True)
class Sample:
    """Tokens of a seeded sample of the pairs or prompts a run works on; a pair's prompt counts once."""

    sampled: int
    cut: int  # to the maximum of tokens
    mean_tokens: float
    longest_tokens: int


def items_of(cache: Path, config: RunConfig, planned: Mapping[str, RunConfig] = MappingProxyType({})) -> tuple[int | None, str]:
    """(number, unit); None while a generation run whose answers count has none, unless it is planned and its prompts can be counted.

    Raises RunError when more are asked for than there are.
    """
    folder = cache / "datasets" / config.dataset
    pairs = read_table(folder, "pairs")
    if pairs is None:
        raise RunError(f"the dataset {config.dataset} has no pairs.parquet: import it again")
    with naming(folder):
        return counted(cache, config, pairs, planned)


def counted(cache: Path, config: RunConfig, pairs: pl.DataFrame, planned: Mapping[str, RunConfig]) -> tuple[int | None, str]:
    if isinstance(config, TrainConfig):
        return training_pairs(cache / "datasets" / config.dataset, of_slice(cache, pairs, config), config), "pairs"
    if isinstance(config, GenerateConfig):
        there = of_slice(cache, pairs, config).filter(pl.col("split") == config.split)["prompt_id"].n_unique()
        return at_most(config.prompts, there, f"the prompts of split {config.split!r} of {config.dataset}"), "prompts"
    assert isinstance(config, ScoreConfig | EnsembleConfig | EmbedConfig)
    return responses(cache, config, pairs, planned), "responses"


def of_slice(cache: Path, pairs: pl.DataFrame, config: TrainConfig | GenerateConfig) -> pl.DataFrame:
    """The pairs in the configuration's slice. Raises RunError when none of them is in the split the run works on."""
    if config.slice is None:
        return pairs
    found = pairs_for(cache, config.slice, own_split(config))
    return pairs.join(found, on=["split", "pair_id"], how="semi", maintain_order="left")


def own_split(config: TrainConfig | GenerateConfig) -> str:
    """The split that is trained on, or whose prompts are answered."""
    return config.train_split if isinstance(config, TrainConfig) else config.split


def training_pairs(folder: Path, pairs: pl.DataFrame, config: TrainConfig) -> int:
    """The pairs a training run will have: those of its split and group, its seeded choice, balanced by length. Raises RunError."""
    where = f"split {config.train_split!r} of {config.dataset}"
    rows = pairs.filter(pl.col("split") == config.train_split)
    if isinstance(config, RewardConfig) and config.group_by and config.group:
        groups = rows[config.group_by].drop_nulls().unique().sort().to_list()
        rows = rows.filter(pl.col(config.group_by) == config.group)
        if rows.is_empty():
            raise RunError(f"{where} has no pair with {config.group_by} {config.group!r}: expected one of {', '.join(map(str, groups))}")
    number = at_most(config.pairs, rows.height, where)
    if not config.balance_length:
        return number
    if number < rows.height:
        rows = rows[random.Random(config.seed).sample(range(rows.height), number)]
    return number - imbalance(folder, rows)


def imbalance(folder: Path, rows: pl.DataFrame) -> int:
    """How many more pairs have the longer response on one side than on the other, in characters."""
    texts = read_table(folder, "texts")
    assert texts is not None
    chars = texts.select("text_id", "chars")
    sides = rows.join(chars, left_on="chosen_id", right_on="text_id")
    sides = sides.join(chars, left_on="rejected_id", right_on="text_id", suffix="_rejected")
    longer = (sides["chars"].cast(pl.Int64) - sides["chars_rejected"].cast(pl.Int64)).sign().sum()
    return abs(int(longer))


def at_most(number: int | None, there: int, where: str) -> int:
    """The number asked for, or all. Raises RunError when there are fewer."""
    if number is not None and number > there:
        raise RunError(f"{number} are asked for, but {where} has {there}")
    return there if number is None else number


def responses(
    cache: Path, config: ScoreConfig | EnsembleConfig | EmbedConfig, pairs: pl.DataFrame, planned: Mapping[str, RunConfig]
) -> int | None:
    """Responses to score or to embed at most: those of the splits, and the answers of generation runs; None while one has no answers."""
    splits = (config.split,) if isinstance(config, EmbedConfig) else config.splits
    number = 2 * pairs.filter(pl.col("split").is_in(splits)).height
    for run_id in config.generations:
        if (answers := answers_of(cache, run_id, planned)) is None:
            return None
        number += answers
    return min(number, config.texts) if isinstance(config, EmbedConfig) else number


def answers_of(cache: Path, run_id: str, planned: Mapping[str, RunConfig]) -> int | None:
    """The answers a generation run has given or, when it is planned, will give; None when that is not known."""
    if run_id in planned:
        return items_of(cache, planned[run_id], planned)[0]
    run = existing(cache, run_id)
    answers = run.table("generations") if run else None
    return None if answers is None else answers.height
