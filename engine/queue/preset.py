"""Presets: whole experiments, each a dataset and a chain of runs, in engine/queue/presets/*.json. Torch-free."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import Field

from engine.errors import ConfigError
from engine.settings.config import CONFIGS, AnyRun, RunConfig, parse, shortened
from engine.settings.files import load_declared
from engine.settings.hyperparameters import Frozen
from engine.settings.ref import parents_of, ref_of

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
    return load_declared(Preset, "preset", PRESETS, name)


def plan(preset: Preset, dataset: str, run_ids: dict[str, str]) -> dict[str, AnyRun]:
    """The preset's runs in order, {run_id: config}, with every "@label" replaced by its run id.

    run_ids: {label: run_id}, a fresh one per run. Raises ConfigError when a label is unknown or comes later.
    """
    planned: dict[str, AnyRun] = {}
    for label, values in preset.runs.items():
        given = {"name": label, "study": preset.name, "dataset": dataset}
        earlier = {name: run_ids[name] for name in preset.runs if run_ids[name] in planned}
        planned[run_ids[label]] = linked(values, earlier, f"preset {preset.name}, run {label!r}", {**given, **preset.common})
    return planned


def linked(values: dict[str, Any], earlier: dict[str, str], where: str, common: Mapping[str, Any] = MappingProxyType({})) -> AnyRun:
    """A run's configuration with every "@label" replaced by the id of that earlier run, which becomes its parent.

    earlier: {label: run_id}. common: values of the fields that this kind of run has. Raises ConfigError.
    """
    model = CONFIGS.get(str(values.get("kind")))
    if model is None:
        raise ConfigError(f"{where}: kind is {shortened(values.get('kind'))}, expected one of {', '.join(CONFIGS)}")
    given = {**{name: value for name, value in common.items() if name in model.model_fields}, **values}
    own = {name: resolved(value, earlier, where) if names_runs(model, name) else value for name, value in given.items()}
    config = parse(own, where)
    return config.model_copy(update={"parents": parents_of(config, set(earlier.values()))})


def names_runs(model: type[RunConfig], name: str) -> bool:
    """Whether a field of the model can name another run."""
    ref = ref_of(model.model_fields[name]) if name in model.model_fields else None
    return ref is not None and bool(ref.kinds)


def resolved(value: Any, earlier: dict[str, str], where: str) -> Any:
    """The value with every "@label" replaced by the id of that earlier run. Raises ConfigError for an unknown label."""
    if isinstance(value, list):
        return [resolved(v, earlier, where) for v in value]
    if not (isinstance(value, str) and value.startswith("@")):
        return value
    if value[1:] not in earlier:
        raise ConfigError(f"{where}: {value} is not an earlier run of this preset")
    return earlier[value[1:]]
