"""A form made from a configuration's fields: title is the label, description the tooltip, bounds the check."""

import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import streamlit as st
from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dashboard.state.data import literal
from dashboard.state.messages import _
from engine.settings.config import SET_BY_THE_QUEUE, RunConfig, shortened
from engine.settings.hyperparameters import Weighted
from engine.settings.options import models_in, named, titled
from engine.settings.ref import Ref, ref_of

FIRST = ("name", "model", "policy", "reward_models", "generations", "pairs", "batch_size", "accumulation", "epochs", "learning_rate")
SET_ELSEWHERE = ("dataset", "slice", *SET_BY_THE_QUEUE)
Known = Mapping[str, Mapping[str, str]]  # {what a field can name (split, or a kind of run): {name: label}}
Picked = Mapping[str, type[BaseModel] | list[str] | None]


@dataclass(frozen=True)
class Question:
    """One field as a form asks for it."""

    field: FieldInfo
    label: str
    key: str
    value: Any  # that it begins with

    @property
    def help(self) -> str | None:
        return self.field.description

    @property
    def may_be_empty(self) -> bool:
        return type(None) in get_args(self.field.annotation)


def form_for(
    model: type[RunConfig],
    given: dict[str, Any],
    known: Known,
    submit: str,
    second: tuple[str, Callable[[RunConfig], None]] | None = None,
) -> RunConfig | None:
    """A form over the model's fields. Returns the configuration when it was submitted and is valid, otherwise shows what is wrong.

    given: values the form does not ask for, or begins with. second: another button, and what it does with a valid configuration instead.
    """
    fields = [name for name in model.model_fields if name not in SET_ELSEWHERE]
    first = [name for name in FIRST if name in fields]
    picked = {**picked_models(model), **picked_options(model, given)}
    values: dict[str, Any] = {}
    with st.form(f"form_{model.__name__}"):
        with st.grid(min_column_width=220):
            values |= {name: asked(model, name, given, known, picked) for name in first}
        with st.expander(_("All settings")), st.grid(min_column_width=220):
            values |= {name: asked(model, name, given, known, picked) for name in fields if name not in first}
        with st.container(horizontal=True):
            sent = st.form_submit_button(literal(submit), type="primary")
            other = second is not None and st.form_submit_button(literal(second[0]))
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
            sentence = _("{label} is {found}: {expected}").format(
                label=" ".join([label, *place[1:]]), found=shortened(wrong["input"]), expected=wrong["msg"]
            )
            st.error(literal(sentence))
        return None


# Which models a field holds is asked before the form, because the form's fields depend on it


def picked_models(model: type[RunConfig]) -> Picked:
    """Where there is a choice of models, such as the loss: the one that is picked, and those that are added to it."""
    picked: dict[str, type[BaseModel] | list[str] | None] = {}
    for name, field in model.model_fields.items():
        found = models_in(field.annotation)
        if len(found) > 1:
            by_name = {named(one): one for one in found}
            shown = {name: titled(one) for name, one in by_name.items()}.__getitem__
            label, key = field.title or name, f"{model.__name__}_{name}"
            picked[name] = by_name[
                st.selectbox(
                    literal(label),
                    list(by_name),
                    format_func=shown,
                    key=key,
                    help="\n".join(f"- {literal(described(one))}" for one in found),
                )
            ]
            picked |= {added: added_losses(model, added, list(by_name), shown) for added in weighted_fields(model)}
    return picked


def weighted_fields(model: type[RunConfig]) -> list[str]:
    return [name for name, field in model.model_fields.items() if field.annotation == tuple[Weighted, ...]]


def added_losses(model: type[RunConfig], name: str, losses: list[str], shown: Callable[[str], str]) -> list[str]:
    field, key = model.model_fields[name], f"{model.__name__}_{name}"
    return list(st.multiselect(literal(field.title or name), losses, format_func=shown, key=key, help=literal(field.description)))


def picked_options(model: type[RunConfig], given: dict[str, Any]) -> Picked:
    """What can be left out, such as LoRA: its model when it is wanted."""
    picked: dict[str, type[BaseModel] | list[str] | None] = {}
    for name, field in model.model_fields.items():
        found = models_in(field.annotation)
        if len(found) == 1 and field.default is None:
            wanted = st.toggle(
                literal(field.title or name), given.get(name) is not None, key=f"{model.__name__}_{name}", help=literal(field.description)
            )
            picked[name] = found[0] if wanted else None
    return picked


def described(model: type[BaseModel]) -> str:
    """What a model is, in one line."""
    return f"{titled(model)}: {(model.__doc__ or '').splitlines()[0]}"


# The form's own fields


def asked(model: type[BaseModel], name: str, given: dict[str, Any], known: Known, picked: Picked) -> Any:
    """The answer to one field: of the model that was picked for it, a nested model, names, or a plain value."""
    if name in picked:
        return of_picked(picked[name], name)
    field = model.model_fields[name]
    value = given.get(name, None if field.is_required() else field.get_default(call_default_factory=True))
    if isinstance(value, BaseModel):
        return nested(type(value), name)
    question = Question(field, field.title or name, f"{model.__name__}_{name}", value)
    ref = ref_of(field)
    return named_things(question, ref, known) if ref else typed(question)


def of_picked(picked: type[BaseModel] | list[str] | None, name: str) -> Any:
    """The fields of the model that was picked, or the weight of each added loss."""
    if isinstance(picked, list):
        field = Weighted.model_fields["weight"]
        return tuple(
            {"weight": number(Question(field, f"{loss.replace('_', ' ')}: {field.title}", f"{name}_{loss}", 1.0)), "loss": {"name": loss}}
            for loss in picked
        )
    return None if picked is None else nested(picked, name)


def nested(model: type[BaseModel], name: str) -> dict[str, Any]:
    """The fields of a nested model; its constant name is not asked for."""
    values = {inner: asked(model, inner, {}, {}, {}) for inner in model.model_fields if inner != "name"}
    return {"name": model.model_fields["name"].default, **values} if "name" in model.model_fields else values


def named_things(question: Question, ref: Ref, known: Known) -> Any:
    """A choice among what is there to be named: several for a tuple, one for a string. A model may also be typed in."""
    labels = {name: label for target in ref.targets for name, label in known.get(target, {}).items()}

    def shown(name: str | None) -> str:
        return _("none") if name is None else labels.get(name, name)

    if get_origin(question.field.annotation) is tuple:
        there = [name for name in question.value or () if name in labels]
        return tuple(st.multiselect(literal(question.label), list(labels), there, shown, key=question.key, help=literal(question.help)))
    first = [question.value] if question.value or question.may_be_empty else []
    names = list(dict.fromkeys([*first, *labels, *([None] if question.may_be_empty else [])]))
    typed_in = "model" in ref.targets
    return st.selectbox(
        literal(question.label), names, format_func=shown, key=question.key, help=literal(question.help), accept_new_options=typed_in
    )


def typed(question: Question) -> Any:
    """A widget by the field's type."""
    kind, value = plain_type(question.field.annotation), question.value
    common: dict[str, Any] = {"key": question.key, "help": literal(question.help)}
    if get_origin(kind) is Literal:
        names = [*([None] if question.may_be_empty else []), *get_args(kind)]
        return st.selectbox(literal(question.label), names, names.index(value), lambda name: (name or "").replace("_", " "), **common)
    if get_origin(kind) is tuple:
        return several(question, get_args(kind)[0])
    if kind is bool:
        return st.checkbox(literal(question.label), bool(value), **common)
    if kind is int:
        low, high = bounds(question.field)
        return st.number_input(literal(question.label), low, high, value, step=1, **common)
    if kind is float:
        return number(question)
    return st.text_input(literal(question.label), value or "", **common) or None


def several(question: Question, inner: Any) -> tuple[str, ...]:
    """Several choices, or words with commas between them."""
    if get_origin(inner) is Literal:
        return tuple(
            st.multiselect(literal(question.label), get_args(inner), question.value, key=question.key, help=literal(question.help))
        )
    text = st.text_input(literal(question.label), ", ".join(map(str, question.value or ())), key=question.key, help=literal(question.help))
    return tuple(part.strip() for part in text.split(",") if part.strip())


def number(question: Question) -> float | str | None:
    """A real number as text, because a learning rate is written 2e-5; what is no number is refused by the configuration's check."""
    begin = "" if question.value is None else f"{question.value:g}"
    text = st.text_input(literal(question.label), begin, key=question.key, help=literal(question.help)).strip()
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
