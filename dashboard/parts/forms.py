"""A form made from a configuration's fields: title is the label, description the tooltip, bounds the check."""

import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import streamlit as st
from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dashboard.state import data
from dashboard.state.messages import _
from engine.settings.config import RunConfig
from engine.settings.hyperparameters import Weighted
from engine.settings.options import models_in, named, titled

FIRST = ("name", "model", "policy", "reward_models", "generations", "pairs", "batch_size", "accumulation", "epochs", "learning_rate")
SET_ELSEWHERE = ("kind", "dataset", "parents", "study")
Options = Mapping[str, Mapping[str, str]]


def form_for(
    model: type[RunConfig],
    given: dict[str, Any],
    options: Options,
    submit: str,
    second: tuple[str, Callable[[RunConfig], None]] | None = None,
) -> RunConfig | None:
    """A form over the model's fields. Returns the configuration when it was submitted and is valid, otherwise shows what is wrong.

    given: values the form does not ask for, or begins with. options: {field: {value: label}} for fields whose values are known.
    second: another button, and what it does with a valid configuration instead.
    """
    fields = {name: field for name, field in model.model_fields.items() if name not in SET_ELSEWHERE}
    first = [name for name in FIRST if name in fields]
    picked = picked_models(model, given)
    values: dict[str, Any] = {}
    with st.form(f"form_{model.__name__}"):
        with st.grid(min_column_width=220):
            values |= {name: asked(model, name, given, options, picked) for name in first}
        with st.expander(_("All settings")), st.grid(min_column_width=220):
            values |= {name: asked(model, name, given, options, picked) for name in fields if name not in first}
        with st.container(horizontal=True):
            sent = st.form_submit_button(submit, type="primary")
            other = second is not None and st.form_submit_button(second[0])
    config = checked(model, {**given, **values}) if sent or other else None
    if config and second and other:
        second[1](config)
        return None
    return config


def checked(model: type[RunConfig], values: dict[str, Any]) -> RunConfig | None:
    """The validated configuration, or one sentence on the page for each wrong field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        for wrong in error.errors(include_url=False):
            place = [str(part) for part in wrong["loc"]]
            label = model.model_fields[place[0]].title or place[0]
            said = _("{label} is {found}: {expected}").format(
                label=" ".join([label, *place[1:]]), found=repr(wrong["input"]), expected=wrong["msg"]
            )
            st.error(data.literal(said))
        return None


Picked = Mapping[str, type[BaseModel] | list[str] | None]


def picked_models(model: type[RunConfig], given: dict[str, Any]) -> Picked:
    """Which models the form asks for where there is a choice: asked before the form, because its fields depend on it."""
    picked: dict[str, type[BaseModel] | list[str] | None] = {}
    chosen_by_name = {name: found for name, field in model.model_fields.items() if len(found := models_in(field.annotation)) > 1}
    several = [name for name, field in model.model_fields.items() if field.annotation == tuple[Weighted, ...]]
    for name, found in chosen_by_name.items():
        field = model.model_fields[name]
        by_name = {named(one): one for one in found}
        shown = {name: titled(one) for name, one in by_name.items()}.__getitem__
        label, key = field.title or name, f"{model.__name__}_{name}"
        picked[name] = by_name[st.selectbox(label, list(by_name), format_func=shown, key=key, help=described(found))]
        for added in several:
            other = model.model_fields[added]
            picked[added] = st.multiselect(
                other.title or added,
                list(by_name),
                format_func=shown,
                key=f"{model.__name__}_{added}",
                help=other.description,
            )
    for name, field in model.model_fields.items():
        found = models_in(field.annotation)
        if len(found) == 1 and field.default is None:
            wanted = st.toggle(field.title or name, given.get(name) is not None, key=f"{model.__name__}_{name}", help=field.description)
            picked[name] = found[0] if wanted else None
    return picked


def described(models: Sequence[type[BaseModel]]) -> str:
    """What each model is, one line each."""
    return "\n".join(f"- {titled(one)}: {(one.__doc__ or '').splitlines()[0]}" for one in models)


def asked(model: type[BaseModel], name: str, given: dict[str, Any], options: Options, picked: Picked) -> Any:
    """The widget of one field, or those of a nested model."""
    field = model.model_fields[name]
    value = given.get(name, None if field.is_required() else field.get_default(call_default_factory=True))
    if name in picked:
        return of_picked(picked[name], name)
    if isinstance(value, BaseModel):
        return nested(type(value), name)
    key, label = f"{model.__name__}_{name}", field.title or name
    if name in options:
        return chosen(field, label, key, value, options[name])
    return typed(field, label, key, value)


def of_picked(picked: type[BaseModel] | list[str] | None, name: str) -> Any:
    """The fields of the model that was picked, or the weight of each added loss."""
    if isinstance(picked, list):
        field = Weighted.model_fields["weight"]
        return tuple(
            {"weight": number(f"{loss.replace('_', ' ')}: {field.title}", f"{name}_{loss}", 1.0, field.description), "loss": {"name": loss}}
            for loss in picked
        )
    return None if picked is None else nested(picked, name)


def nested(model: type[BaseModel], name: str) -> dict[str, Any]:
    """The fields of a nested model; its constant name is not asked for."""
    values = {inner: asked(model, inner, {}, {}, {}) for inner in model.model_fields if inner != "name"}
    return {"name": model.model_fields["name"].default, **values} if "name" in model.model_fields else values


def chosen(field: FieldInfo, label: str, key: str, value: Any, options: Mapping[str, str]) -> Any:
    """A choice among known values: several for a tuple, one and free text for a string."""

    def shown(option: str) -> str:
        return options.get(option, option)

    if get_origin(field.annotation) is tuple:
        return tuple(st.multiselect(label, list(options), [v for v in value or () if v in options], shown, key=key, help=field.description))
    values = list(dict.fromkeys([*([value] if value else []), *options]))
    return st.selectbox(label, values, format_func=shown, key=key, help=field.description, accept_new_options=True)


def typed(field: FieldInfo, label: str, key: str, value: Any) -> Any:
    """A widget by the field's type."""
    kind, help = plain_type(field.annotation), field.description
    if get_origin(kind) is Literal:
        names = [*([] if type(None) not in get_args(field.annotation) else [None]), *get_args(kind)]
        return st.selectbox(label, names, names.index(value), lambda name: (name or "").replace("_", " "), key=key, help=help)
    if get_origin(kind) is tuple:
        return several(kind, label, key, value, help)
    if kind is bool:
        return st.checkbox(label, bool(value), key=key, help=help)
    if kind is int:
        low, high = bounds(field)
        return st.number_input(label, low, high, value, step=1, key=key, help=help)
    if kind is float:
        return number(label, key, value, help)
    return st.text_input(label, value or "", key=key, help=help) or None


def several(kind: Any, label: str, key: str, value: Any, help: str | None) -> tuple[str, ...]:
    inner = get_args(kind)[0]
    if get_origin(inner) is Literal:
        return tuple(st.multiselect(label, get_args(inner), value, key=key, help=help))
    text = st.text_input(label, ", ".join(map(str, value or ())), key=key, help=help)
    return tuple(part.strip() for part in text.split(",") if part.strip())


def number(label: str, key: str, value: float | None, help: str | None) -> float | str | None:
    """A real number as text, because a learning rate is written 2e-5; what is no number is refused by the configuration's check."""
    text = st.text_input(label, "" if value is None else f"{value:g}", key=key, help=help).strip()
    return (float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) else text) if text else None


def plain_type(annotation: Any) -> Any:
    """The type without its `| None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def bounds(field: FieldInfo) -> tuple[int | None, int | None]:
    low = next((rule.ge for rule in field.metadata if isinstance(rule, Ge)), None)
    high = next((rule.le for rule in field.metadata if isinstance(rule, Le)), None)
    return low, high  # type: ignore[return-value]
