"""A configuration's fields as command-line options: nested fields with a dot, a choice of models by its name."""

import argparse
import re
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.errors import ConfigError
from engine.settings.config import SET_BY_THE_QUEUE, RunConfig
from engine.settings.hyperparameters import Weighted
from engine.settings.slices import Slice

FIELD = "field:"
THEN = {  # what is done with the runs that are named by --then, by the kind of training
    "reward": "afterwards, score the answers of these generation runs with the new reward model, so that it can be compared",
    "policy": "afterwards, let the policy answer as these generation runs did, and score that with these reward or ensemble runs; "
    "answers in place of a generation run: base model and policy answer the validation prompts for the first time",
}
SURROGATE = re.compile("[\ud800-\udfff]")  # what Python makes of bytes that are not UTF-8


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models a field can hold: one, several to choose from, or one that may be absent. A slice is one value, written as JSON."""
    if annotation is Slice:
        return []
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Annotated:
        return models_in(get_args(annotation)[0])
    return [] if get_origin(annotation) is tuple else [model for part in get_args(annotation) for model in models_in(part)]


def named(model: type[BaseModel]) -> str:
    """The constant name of a model that is one of several."""
    return str(model.model_fields["name"].default)


def titled(model: type[BaseModel]) -> str:
    """What a person calls a model that is one of several."""
    return str(model.model_config.get("title") or model.__name__)


def add_fields(command: argparse.ArgumentParser, kind: str, model: type[RunConfig]) -> None:
    """One option per field of a run's configuration."""
    command.set_defaults(kind=kind)
    command.add_argument("--wait", action="store_true", help="show progress until the run has ended")
    if kind in THEN:
        command.add_argument("--then", nargs="+", default=[], metavar="RUN", help=THEN[kind])
    for name, field in model.model_fields.items():
        found = models_in(field.annotation)
        if name in SET_BY_THE_QUEUE:
            continue
        if field.annotation == tuple[Weighted, ...]:
            command.add_argument(f"--{name}", dest=FIELD + name, nargs="+", metavar="LOSS=WEIGHT", help=field.description)
        elif found:
            add_models(command, name, field, found)
        else:
            add_field(command, name, field)


def add_models(command: argparse.ArgumentParser, name: str, field: FieldInfo, found: list[type[BaseModel]]) -> None:
    """Options of a nested model, or of every model that can be chosen there: what they have in common is one option."""
    if len(found) > 1:
        default = field.get_default(call_default_factory=True)
        names = [named(model) for model in found]
        command.add_argument(f"--{name}", dest=f"{FIELD}{name}.name", choices=names, help=f"{field.title} (default: {default.name})")
    asked: dict[str, list[type[BaseModel]]] = {}
    for model in found:
        for inner in model.model_fields:
            asked.setdefault(inner, []).append(model)
    for inner, of in asked.items():
        if inner != "name":
            add_field(command, f"{name}.{inner}", of[0].model_fields[inner], [named(m) for m in of] if len(found) > 1 else None)


def add_field(command: argparse.ArgumentParser, name: str, field: FieldInfo, of: list[str] | None = None) -> None:
    several = get_origin(field.annotation) is tuple
    default = "" if field.is_required() or of else f" (default: {field.get_default(call_default_factory=True)!r})"
    users = f" ({', '.join(of)})" if of else ""
    literal = "Literal" in str(field.annotation) and not several
    choices = [str(c) for part in (field.annotation, *get_args(field.annotation)) for c in get_args(part) if isinstance(c, str)]
    command.add_argument(
        f"--{name.replace('_', '-')}",
        dest=FIELD + name,
        nargs="*" if several else None,
        required=field.is_required(),
        metavar="|".join(choices) if literal else name.upper(),
        help=f"{field.description or ''}{users}{default}".replace("%", "%%"),
    )


def given(options: argparse.Namespace, model: type[RunConfig]) -> dict[str, Any]:
    """The values that were given, nested as the configuration has them. Raises ConfigError for a weight that is no number."""
    values: dict[str, Any] = {"kind": options.kind}
    for name, value in vars(options).items():
        if not name.startswith(FIELD) or value is None:
            continue
        if any(SURROGATE.search(text) for text in (value if isinstance(value, list) else [value])):
            raise ConfigError(f"{name.removeprefix(FIELD)} is {value!r}: expected UTF-8 text")
        outer, _, inner = name.removeprefix(FIELD).partition(".")
        if inner:
            values.setdefault(outer, {})[inner] = value
        else:
            values[outer] = [weighted(v) for v in value] if model.model_fields[outer].annotation == tuple[Weighted, ...] else value
    for outer, value in values.items():
        if isinstance(value, Mapping) and len(models_in(model.model_fields[outer].annotation)) > 1:
            values[outer] = {"name": model.model_fields[outer].get_default(call_default_factory=True).name, **value}
    return values


def weighted(text: str) -> dict[str, Any]:
    """`rpo=0.2` as an added loss with its own defaults."""
    loss, equals, weight = text.partition("=")
    try:
        return {"weight": float(weight) if equals else 1.0, "loss": {"name": loss}}
    except ValueError:
        raise ConfigError(f"added loss {text!r}: {weight!r} is no number, expected LOSS=WEIGHT such as orpo=0.2") from None


# The other way round


def as_options(config: RunConfig) -> list[str]:
    """The options that give this configuration on the command line: what differs from the defaults. Raises ConfigError where none can."""
    found: list[str] = []
    for name, field in type(config).model_fields.items():
        value, default = getattr(config, name), None if field.is_required() else field.get_default(call_default_factory=True)
        if name in (*SET_BY_THE_QUEUE, "kind") or value == default:
            continue
        if isinstance(value, Slice):
            found += option(name, value.as_json())
        elif isinstance(value, BaseModel):
            found += of_model(name, value, len(models_in(field.annotation)) > 1, default is None)
        elif field.annotation == tuple[Weighted, ...]:
            found += [f"--{name}", *map(as_weighted, value)]
        else:
            found += option(name, value)
    return found


def of_model(name: str, value: BaseModel, is_choice: bool, was_absent: bool) -> list[str]:
    """The options of a nested model: which one it is, and its fields that differ; the first field too when nothing would name it else."""
    fields = {inner: field for inner, field in type(value).model_fields.items() if inner != "name"}
    changed = [inner for inner, field in fields.items() if getattr(value, inner) != field.get_default(call_default_factory=True)]
    chosen = [f"--{name}", named(type(value))] if is_choice else []
    shown = changed or (list(fields)[:1] if was_absent else [])
    return [*chosen, *(part for inner in shown for part in option(f"{name}.{inner}", getattr(value, inner)))]


def option(name: str, value: Any) -> list[str]:
    """`--learning-rate 3e-05`; with an equals sign where the value would be taken for another option."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, tuple):
        return [flag, *map(str, value)]
    return [f"{flag}={value}"] if str(value).startswith("-") or not str(value) else [flag, str(value)]


def as_weighted(added: Weighted) -> str:
    if added.loss != type(added.loss)():
        raise ConfigError(f"added loss {added.loss.name}: its own settings can only be given in a preset or study file")
    return f"{added.loss.name}={added.weight:g}"
