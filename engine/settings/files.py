"""Configurations, presets and studies as files, of this version and of others. Torch-free."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import ConfigError
from engine.settings.config import ADAPTER, AnyRun, explained, parse
from engine.settings.hyperparameters import Frozen

FORMAT = 2  # of config.json; files without a number are of format 1
Declared = TypeVar("Declared", bound=Frozen)


class Outline(BaseModel):
    """What lists show of any run, also of one that this version could not do."""

    model_config = ConfigDict(frozen=True, extra="allow")
    kind: str
    name: str
    dataset: str
    parents: tuple[str, ...] = ()
    study: str | None = None
    configuration: str | None = None
    device: str = "auto"
    keep_weights: bool = True


def upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a config.json of any format. In format 1 a study's run was called `CONFIGURATION, seed SEED`."""
    if "format" in values:
        return values
    configuration, seed, number = str(values.get("name")).rpartition(", seed ")
    repeated = bool(seed) and values.get("study") is not None and number == str(values.get("seed"))
    return {**values, "format": FORMAT, "configuration": configuration if repeated else None}


def parse_written(values: dict[str, Any], where: str) -> AnyRun:
    """The configuration in a run's file, without the keys that this version does not know. Raises ConfigError."""
    values = {name: value for name, value in values.items() if name != "format"}
    try:
        return ADAPTER.validate_python(values)
    except ValidationError as error:
        for wrong in error.errors(include_url=False):
            if wrong["type"] == "extra_forbidden":
                values = without(values, wrong["loc"])
    return parse(values, where)


def without(values: dict[str, Any], place: tuple[int | str, ...]) -> dict[str, Any]:
    """Nested values without the key at a place, whose parts may also be names of models, which are no keys."""
    first, *rest = place
    if first not in values:
        return without(values, tuple(rest)) if rest else values
    if not rest:
        return {name: value for name, value in values.items() if name != first}
    inner = values[str(first)]
    return {**values, str(first): without(inner, tuple(rest))} if isinstance(inner, dict) else values


def load_declared(model: type[Declared], what: str, folder: Path, name: str) -> Declared:
    """What a JSON file of the folder declares, by its name, or any file by its path. Raises ConfigError."""
    path = Path(name) if name.endswith(".json") else folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.json")))
        raise ConfigError(f"{what} {name!r} not found: expected one of {known}, or a path to a .json file")
    try:
        return model.model_validate(json.loads(path.read_text(encoding="utf-8-sig")))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start + 1} is not UTF-8 text: save the file as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{path}: too many brackets inside each other") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: line {error.lineno} is not JSON: {error.msg}") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {explained(error)}") from None
