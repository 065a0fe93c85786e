"""What is measured beside what: for each stage its sides, in the order in which they take turns, and which two a row compares."""

import importlib.util
from dataclasses import dataclass, field
from typing import Any

NO_TRL = "plain padded loop (TRL is not installed)"
TABLES = "tables"  # the workload of ingest and queries
LEARNING_RATE = 1e-5
ANCHORS: dict[str, tuple[str, dict[str, Any]]] = {  # the trainer's settings by what --anchor calls them
    "best": ("TRL, checkpointing off", {"gradient_checkpointing": False}),
    "defaults": ("TRL, defaults", {}),
    "by-length": ("TRL, by length", {"gradient_checkpointing": False, "train_sampling_strategy": "group_by_length"}),
}


@dataclass(frozen=True)
class Side:
    """One way of doing a stage's work."""

    name: str
    call: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A stage on every workload, or on the tables. `flops` are FLOP per parameter of a linear layer and token, 0 for none."""

    name: str
    sides: tuple[Side, ...]
    rows: tuple[tuple[str, str], ...]  # (ours, anchor) by name
    checked: tuple[Side, ...] = ()  # ours and the anchor whose losses on one batch stand side by side
    flops: int = 0
    unit: str = "pairs"
    on_tables: bool = False


@dataclass(frozen=True)
class Settings:
    """What the plan depends on."""

    precision: str  # of training and generation: bf16 or fp32
    compile: str  # on, off or auto
    longest: int = 256  # tokens of a real answer
    equal: int = 96  # tokens of answers of equal length
    anchor: str | None = None  # training: one of ANCHORS, ours as it is by default beside it and nothing else
    trl: bool = importlib.util.find_spec("trl") is not None


def training(name: str, function: str, flops: int, settings: Settings) -> Stage:
    """Compiled and not compiled beside the anchor at its best, with its defaults and grouped by length, or beside one of these."""
    common = {"precision": settings.precision, "learning_rate": LEARNING_RATE}
    ours = Side("Prefscope", f"engine_sides:{function}", {**common, "compile": settings.compile})
    eager = Side("Prefscope, not compiled", ours.call, {**common, "compile": "off"})
    if settings.trl:
        chosen = ANCHORS.values() if settings.anchor is None else [ANCHORS[settings.anchor]]
        anchors = [Side(anchor, f"trl_sides:{function}", {**common, **stated}) for anchor, stated in chosen]
    else:
        anchors = [Side(NO_TRL, f"plain_sides:{function}", common)]
    compiled = settings.compile != "off" and settings.anchor is None
    sides = (ours, anchors[0], *((eager,) if compiled else ()), *anchors[1:])
    rows = [(ours.name, anchor.name) for anchor in anchors] + ([(eager.name, anchors[0].name), (ours.name, eager.name)] if compiled else [])
    return Stage(name, sides, tuple(rows), (eager, anchors[0]), flops)


def scoring(settings: Settings) -> Stage:
    sides = (
        Side("Prefscope, bf16", "engine_sides:scoring", {"precision": "bf16", "compile": settings.compile}),
        Side("pipeline, bf16, by length", "plain_sides:scoring", {"precision": "bf16", "sorted": True}),
        Side("Prefscope, fp32", "engine_sides:scoring", {"precision": "fp32", "compile": "off"}),
        Side("pipeline, fp32", "plain_sides:scoring", {"precision": "fp32", "sorted": False}),
    )
    bf16, by_length, fp32, plain = (side.name for side in sides)
    rows = ((bf16, by_length), (bf16, plain), (fp32, plain), (fp32, by_length))
    return Stage("scoring", sides, rows, flops=2, unit="responses")


def generation(name: str, model: str, longest: int, settings: Settings) -> Stage:
    """Each with as many answers at once as it is fastest with: ours as by default; generate was slower with 128 than with 64."""
    common = {"precision": settings.precision, "model": model, "max_new_tokens": longest}
    ours = Side("Prefscope", "engine_sides:generation", common)
    anchor = Side(f"generate, {settings.precision}, 64", "plain_sides:generation", {**common, "batch_size": 64})
    return Stage(name, (ours, anchor), ((ours.name, anchor.name),), unit="tokens")


def two(name: str, unit: str, function: str, anchor: str, plain: str, on_tables: bool) -> Stage:
    sides = Side("Prefscope", f"table_sides:{function}"), Side(anchor, f"table_sides:{plain}")
    return Stage(name, sides, (("Prefscope", anchor),), unit=unit, on_tables=on_tables)


def stages(settings: Settings) -> dict[str, Stage]:
    """Every stage by the name that --stages takes. DPO does the reward model's work and one forward pass of the reference."""
    found = (
        training("reward", "reward", 6, settings),
        training("dpo", "dpo", 8, settings),
        scoring(settings),
        generation("generate-equal", "endless", settings.equal, settings),
        generation("generate-real", "policy", settings.longest, settings),
        two("import", "records", "importing", "datasets, unchecked", "importing_with_datasets", False),
        two("ingest", "rows", "ingesting", "DuckDB, without keys", "ingesting_without_keys", True),
        two("queries", "queries", "queries", "Polars, a join each", "joins_in_polars", True),
    )
    return {stage.name: stage for stage in found}


STAGES = tuple(stages(Settings("fp32", "off")))
