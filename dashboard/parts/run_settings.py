"""The kinds of run and their settings in words: what they are called, their values, and in which of them runs differ."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dashboard.state import slices
from dashboard.state.data import Run
from dashboard.state.messages import _, listed, marked
from engine.errors import PrefscopeError
from engine.plain import line
from engine.queue.preset import names_runs
from engine.settings.config import CONFIGS, SET_BY_THE_QUEUE
from engine.settings.files import parse_written
from engine.settings.options import models_in, named, titled

KINDS = {
    "reward": marked("Train a reward model"),
    "policy": marked("Train a policy"),
    "generate": marked("Answer prompts"),
    "score": marked("Score pairs and answers"),
    "ensemble": marked("Join reward models"),
    "embed": marked("Map the responses"),
}
FIXED = {"pairs": marked("Pairs"), "batch_size": marked("Batch"), "learning_rate": marked("Rate")}  # settings that always have a column
NO_SETTING = ("name", "format", "dataset", *SET_BY_THE_QUEUE)
Settings = Mapping[str, Any]  # {field, dotted inside a nested model: value}


def settings_of(run: Run) -> Settings:
    """Every setting of a run; one that its file does not have is the default."""
    values = run.outline.model_dump()
    with suppress(PrefscopeError):  # one of another version is shown as it is written
        config = parse_written(values, "")
        wanted = getattr(config, "slice", None)
        values = config.model_dump() | ({"slice": slices.named(wanted)} if wanted else {})
    return flat(values)


def flat(values: Mapping[str, Any], outer: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{outer}{name}.")
        elif outer or name not in NO_SETTING:
            found[f"{outer}{name}"] = value
    return found


def differing(several: Collection[Settings]) -> list[str]:
    """The settings in which runs differ, in the order of the configuration."""
    names = dict.fromkeys(name for settings in several for name in settings)
    return [name for name in names if len({written(settings.get(name)) for settings in several}) > 1]


def title_of(kind: str, name: str) -> str:
    """A setting as a form calls it; one inside a nested model after that, whose own name stands for it."""
    outer, _dot, inner = name.partition(".")
    field = field_of(kind, name)
    title = _(field.title or outer) if field else outer
    if not inner:
        return _(FIXED[name]) if name in FIXED else title
    inside = [model.model_fields[inner].title for model in models_of(kind, name) if inner in model.model_fields]
    return title if inner == "name" else f"{title}: {_(next(filter(None, inside), inner))}"


def field_of(kind: str, name: str) -> FieldInfo | None:
    return CONFIGS[kind].model_fields.get(name.partition(".")[0]) if kind in CONFIGS else None


def models_of(kind: str, name: str) -> list[type[BaseModel]]:
    """The nested models that a setting may stand in."""
    field = field_of(kind, name)
    return models_in(field.annotation) if field else []


def setting(kind: str, settings: Settings, name: str) -> str:
    """A run's setting in a cell: of a model that is one of several its title."""
    value = settings.get(name)
    titles = {named(model): titled(model) for model in models_of(kind, name)} if name.endswith(".name") else {}
    title = titles.get(str(value))
    return _(title) if title else written(value)


def written(value: Any) -> str:
    """A value in a cell."""
    if value is None or value == () or value == []:
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float):
        return f"{value:g}".replace("-", "−")
    if isinstance(value, list | tuple):
        return listed(map(written, value))
    return line(str(value))


def unusual(kind: str, settings: Settings) -> str:
    """The settings of a run that are not the defaults, in a few words."""
    model = CONFIGS.get(kind)
    if model is None:
        return ""
    usual = flat({n: f.get_default(call_default_factory=True) for n, f in model.model_fields.items() if not f.is_required()})
    usual |= flat({n: v.model_dump() for n, v in usual.items() if hasattr(v, "model_dump")})
    plain = [name for name in settings if name in usual and not names_runs(model, name)]
    own = [name for name in plain if written(usual[name]) != written(settings[name])]
    return listed(f"{title_of(kind, name).lower()} {setting(kind, settings, name)}" for name in own)
