"""Presets: whole experiments, each a dataset and a chain of runs, stated in engine/queue/presets/*.json. Torch-free."""

from pathlib import Path
from typing import Any

from pydantic import Field

from engine.errors import ConfigError
from engine.settings.config import CONFIGS, AnyRun, load_stated, parse
from engine.settings.hyperparameters import Frozen

PRESETS = Path(__file__).parent / "presets"


class DataSource(Frozen):
    """Where a preset's pairs come from: `starter`, a file, a folder or a hub name."""

    name: str
    source: str | dict[str, str]  # one source, or {"split": source}
    format: str | None = None
    licence: str | None = None
    validation_share: float = Field(0.1, ge=0, lt=1)
    seed: int = 0


class Preset(Frozen):
    """A whole experiment. In `runs`, "@label" stands for the run with that label and makes it a parent."""

    name: str
    title: str
    data: DataSource
    common: dict[str, Any] = Field({})
    runs: dict[str, dict[str, Any]]


def load_preset(name: str) -> Preset:
    """A preset by name (engine/queue/presets) or by path to a JSON file. Raises ConfigError."""
    return load_stated(Preset, "preset", PRESETS, name)


def plan(preset: Preset, dataset: str, run_ids: dict[str, str]) -> dict[str, AnyRun]:
    """The preset's runs in order, {run_id: config}, with every "@label" replaced by its run id.

    run_ids: {label: run_id}, a fresh one per run. Raises ConfigError when a label is unknown or comes later.
    """
    planned: dict[str, AnyRun] = {}
    for label, values in preset.runs.items():
        where = f"preset {preset.name}, run {label!r}"
        kind = values.get("kind")
        if kind not in CONFIGS:
            raise ConfigError(f"{where}: kind is {kind!r}, expected one of {', '.join(CONFIGS)}")
        earlier = {name: run_ids[name] for name in preset.runs if run_ids[name] in planned}
        parents = tuple(dict.fromkeys(resolved(f, earlier, where) for f in references(list(values.values()))))
        common = {k: v for k, v in preset.common.items() if k in CONFIGS[kind].model_fields}
        own = {k: resolved(v, earlier, where) for k, v in values.items()}
        planned[run_ids[label]] = parse(
            {"name": label, "study": preset.name, "dataset": dataset, "parents": parents, **common, **own}, where
        )
    return planned


def references(values: list[Any]) -> list[str]:
    """Every "@label" among the values of a preset's run."""
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    return [v for v in flat if isinstance(v, str) and v.startswith("@")]


def resolved(value: Any, earlier: dict[str, str], where: str) -> Any:
    """The value with every "@label" replaced by the id of that earlier run. Raises ConfigError for an unknown label."""
    if isinstance(value, list):
        return [resolved(v, earlier, where) for v in value]
    if not (isinstance(value, str) and value.startswith("@")):
        return value
    if value[1:] not in earlier:
        raise ConfigError(f"{where}: {value} is not an earlier run of this preset")
    return earlier[value[1:]]
