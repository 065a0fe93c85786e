"""A form made from a configuration's fields: title is the label, description the tooltip, bounds the check."""

import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import streamlit as st
from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dashboard import queries
from dashboard.state import data
from dashboard.state.data import literal
from dashboard.state.messages import _, listed, ours, reported
from engine.settings.config import CONFIGS, SET_BY_THE_QUEUE, RunConfig, shortened
from engine.settings.hyperparameters import Weighted
from engine.settings.options import models_in, named, titled
from engine.settings.ref import Ref, ref_of

ALL_WHEN_EMPTY = ("pairs", "validation_pairs", "prompts")
FIRST = ("name", "model", "policy", "reward_models", "generations", "pairs", "batch_size", "accumulation", "epochs", "learning_rate")
SET_ELSEWHERE = ("dataset", "slice", *SET_BY_THE_QUEUE)
Known = Mapping[str, Mapping[str, str]]  # {what a field can name (split, or a kind of run): {name: label}}
Picked = Mapping[str, type[BaseModel] | list[str] | None]
Second = tuple[str, Callable[[RunConfig], None]]


@dataclass(frozen=True)
class Question:
    """One field as a form asks for it."""

    field: FieldInfo
    name: str
    key: str
    value: Any  # that it begins with
    says_change: bool = False  # beside the label, what it began with

    @property
    def label(self) -> str:
        """The field's title as Markdown, and what the value was when it has been changed."""
        title = literal(_(self.field.title or self.name))
        if not (self.says_change and self.changed):
            return title
        return f"{title} :orange-badge[{literal(_('was {value}').format(value=self.said(self.value)))}]"

    def said(self, value: Any) -> str:
        """A value of the field as a short text."""
        if is_empty(value) and not isinstance(self.value, bool):
            return _("all") if self.name in ALL_WHEN_EMPTY else _("none")
        if isinstance(value, bool):
            return _("yes") if value else _("no")
        plain = held(value)
        titles = {named(model): titled(model) for model in models_in(self.field.annotation)}
        if isinstance(plain, str) and plain in titles:
            return _(titles[plain])
        ref = ref_of(self.field)
        if ref and "split" in ref.targets:
            return listed(map(ours, plain)) if isinstance(plain, list) else ours(str(plain))
        return listed(map(str, plain)) if isinstance(plain, list) else shortened(plain).strip("'\"")

    @property
    def now(self) -> Any:
        """What stands in its widget, as the widget holds it."""
        return st.session_state.get(self.key, held(self.value))

    @property
    def changed(self) -> bool:
        now, begun = self.now, held(self.value)
        if isinstance(now, str) and isinstance(begun, list):  # words with commas between them
            begun = ", ".join(begun)
        return now != begun and not (is_empty(now) and is_empty(begun))

    @property
    def help(self) -> str | None:
        return literal(_(self.field.description or "") or None)

    @property
    def may_be_empty(self) -> bool:
        return type(None) in get_args(self.field.annotation)


def held(value: Any) -> Any:
    """A value as a widget holds it: names in a list, a real number as text, a model by its name."""
    if isinstance(value, BaseModel):
        return getattr(value, "name", True)
    if isinstance(value, float):
        return f"{value:g}"
    return list(value) if isinstance(value, tuple) else value


def is_empty(now: Any) -> bool:
    """Whether nothing stands in a widget."""
    return now is None or now is False or now == "" or now == []


@dataclass(frozen=True)
class Asker:
    """Asks for the fields of one kind of run."""

    model: type[BaseModel]
    given: Mapping[str, Any]  # values to begin with, instead of the defaults
    known: Known
    prefix: str  # of the widgets' keys
    says_change: bool = False

    def value(self, name: str) -> Any:
        field = self.model.model_fields[name]
        return self.given.get(name, None if field.is_required() else field.get_default(call_default_factory=True))

    def question(self, name: str, value: Any = ...) -> Question:
        begins = self.value(name) if value is ... else value
        return Question(self.model.model_fields[name], name, f"{self.prefix}_{name}", begins, self.says_change)

    def inside(self, model: type[BaseModel], value: Any = None) -> "Asker":
        """The fields of a nested model, beginning with those of a value of it."""
        given = {inner: getattr(value, inner) for inner in model.model_fields} if isinstance(value, model) else {}
        outer = "" if self.prefix == self.model.__name__ else f"{self.prefix}_"
        return Asker(model, given, {}, f"{outer}{model.__name__}", self.says_change)


def known_values(dataset: str) -> Known:
    """What the fields can name: the dataset's splits, and the runs of each kind."""
    splits = data.read(queries.choices).splits.filter(dataset_id=dataset)["split"].to_list()
    runs = data.runs()
    named = {kind: {r.id: f"{r.name} ({_(r.status.state)})" for r in runs if r.kind == kind} for kind in CONFIGS}
    return {"split": {split: ours(split) for split in splits}, **named}


def form_for(model: type[RunConfig], given: dict[str, Any], known: Known, submit: str, second: Second | None = None) -> RunConfig | None:
    """A form over the model's fields. Returns the configuration when it was submitted and is valid, otherwise shows what is wrong.

    given: values the form does not ask for, or begins with. second: another button, and what it does with a valid configuration instead.
    """
    fields = [name for name in model.model_fields if name not in SET_ELSEWHERE]
    first = [name for name in FIRST if name in fields]
    asker = Asker(model, given, known, model.__name__)
    picked = picked_of(asker, fields)
    values: dict[str, Any] = {}
    with st.form(f"form_{model.__name__}"):
        with st.grid(min_column_width=220):
            values |= {name: asked(asker, name, picked) for name in first}
        with st.expander(_("All settings")), st.grid(min_column_width=220):
            values |= {name: asked(asker, name, picked) for name in fields if name not in first}
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
            label = _(model.model_fields[place[0]].title or place[0])
            expected = reported(wrong["msg"].removeprefix("Value error, "))
            sentence = _("{label} is {found}: {expected}").format(
                label=" ".join([label, *place[1:]]), found=shortened(wrong["input"]), expected=expected
            )
            st.error(literal(sentence))
        return None


# Which models a field holds is asked before its other fields, because these depend on it


def picked_of(asker: Asker, fields: Iterable[str]) -> Picked:
    """Of each of the fields that holds one of several models, or may hold one or none: which, and what is added to it."""
    found: dict[str, type[BaseModel] | list[str] | None] = {}
    for name in fields:
        field = asker.model.model_fields[name]
        models = models_in(field.annotation)
        if len(models) > 1:
            found[name] = picked_model(asker.question(name), models)
        elif models and field.default is None:
            found[name] = models[0] if wanted(asker.question(name)) else None
        elif field.annotation == tuple[Weighted, ...]:
            found[name] = added_losses(asker, name)
    return found


def picked_model(question: Question, models: list[type[BaseModel]]) -> type[BaseModel]:
    """The model that is picked where there is a choice, such as the loss."""
    by_name = {named(one): one for one in models}
    shown = {name: _(titled(one)) for name, one in by_name.items()}.__getitem__
    first = list(by_name).index(held(question.value)) if question.value else 0
    return by_name[
        st.selectbox(
            question.label,
            list(by_name),
            first,
            format_func=shown,
            key=question.key,
            help="\n".join(f"- {literal(described(one))}" for one in models),
        )
    ]


def wanted(question: Question) -> bool:
    """Whether what can be left out, such as LoRA, is there."""
    return st.toggle(question.label, question.value is not None, key=question.key, help=question.help)


def added_losses(asker: Asker, name: str) -> list[str]:
    by_name = {named(one): one for one in models_in(Weighted.model_fields["loss"].annotation)}
    question = asker.question(name, tuple(added.loss.name for added in asker.value(name) or ()))
    shown = {loss: _(titled(one)) for loss, one in by_name.items()}.__getitem__
    return list(st.multiselect(question.label, list(by_name), question.value, format_func=shown, key=question.key, help=question.help))


def described(model: type[BaseModel]) -> str:
    """What a model is, in one line."""
    return f"{_(titled(model))}: {_((model.__doc__ or '').splitlines()[0])}"


# The other fields


def asked(asker: Asker, name: str, picked: Picked) -> Any:
    """The answer to one field: of the model that was picked for it, a nested model, names, or a plain value."""
    value = asker.value(name)
    if name in picked:
        return of_picked(asker, name, picked[name])
    if isinstance(value, BaseModel):
        return nested(asker.inside(type(value), value))
    question = asker.question(name)
    ref = ref_of(question.field)
    return named_things(question, ref, asker.known) if ref else typed(question)


def of_picked(asker: Asker, name: str, picked: type[BaseModel] | list[str] | None) -> Any:
    """The fields of the model that was picked, or the weight of each added loss."""
    if isinstance(picked, list):
        weights = {added.loss.name: added.weight for added in asker.value(name) or ()}
        return tuple(
            {"weight": weight_of(loss, weights.get(loss, 1.0), f"{asker.prefix}_{name}"), "loss": {"name": loss}} for loss in picked
        )
    return None if picked is None else nested(asker.inside(picked, asker.value(name)))


def weight_of(loss: str, weight: float, prefix: str) -> float | str | None:
    field = Weighted.model_fields["weight"]
    titled_field = FieldInfo(title=f"{loss.replace('_', ' ')}: {_(field.title or loss)}", annotation=field.annotation)
    return number(Question(titled_field, loss, f"{prefix}_{loss}", weight))


def nested(asker: Asker) -> dict[str, Any]:
    """The fields of a nested model; its constant name is not asked for."""
    fields = asker.model.model_fields
    values = {inner: asked(asker, inner, {}) for inner in fields if inner != "name"}
    return {"name": fields["name"].default, **values} if "name" in fields else values


def named_things(question: Question, ref: Ref, known: Known) -> Any:
    """A choice among what is there to be named: several for a tuple, one for a string. A model may also be typed in."""
    labels = {name: label for target in ref.targets for name, label in known.get(target, {}).items()}

    def shown(name: str | None) -> str:
        return _("none") if name is None else labels.get(name, name)

    if get_origin(question.field.annotation) is tuple:
        there = [name for name in question.value or () if name in labels]
        return tuple(st.multiselect(question.label, list(labels), there, shown, key=question.key, help=question.help))
    first = [question.value] if question.value or question.may_be_empty else []
    names = list(dict.fromkeys([*first, *labels, *([None] if question.may_be_empty else [])]))
    typed_in = "model" in ref.targets
    return st.selectbox(question.label, names, format_func=shown, key=question.key, help=question.help, accept_new_options=typed_in)


def typed(question: Question) -> Any:
    """A widget by the field's type."""
    kind, value = plain_type(question.field.annotation), question.value
    common: dict[str, Any] = {"key": question.key, "help": question.help}
    if get_origin(kind) is Literal:
        names = [*([None] if question.may_be_empty else []), *get_args(kind)]
        return st.selectbox(question.label, names, names.index(value), lambda name: _((name or "").replace("_", " ")), **common)
    if get_origin(kind) is tuple:
        return several(question, get_args(kind)[0])
    if kind is bool:
        return st.checkbox(question.label, bool(value), **common)
    if kind is int:
        low, high = bounds(question.field)
        empty = _("all") if question.name in ALL_WHEN_EMPTY else None
        return st.number_input(question.label, low, high, value, step=1, placeholder=empty, **common)
    if kind is float:
        return number(question)
    return st.text_input(question.label, value or "", **common) or (None if question.may_be_empty else "")


def several(question: Question, inner: Any) -> tuple[str, ...]:
    """Several choices, or words with commas between them."""
    if get_origin(inner) is Literal:
        return tuple(st.multiselect(question.label, get_args(inner), question.value, key=question.key, help=question.help))
    text = st.text_input(question.label, ", ".join(map(str, question.value or ())), key=question.key, help=question.help)
    return tuple(part.strip() for part in text.split(",") if part.strip())


def number(question: Question) -> float | str | None:
    """A real number as text, because a learning rate is written 2e-5; what is no number is refused by the configuration's check."""
    begin = "" if question.value is None else f"{question.value:g}"
    text = st.text_input(question.label, begin, key=question.key, help=question.help).strip()
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
