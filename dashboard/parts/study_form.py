"""A study as the Retrain dialog asks for it: up to two fields to vary, and seeds."""

import re
from typing import Any

import streamlit as st
from pydantic import ValidationError

from dashboard.state import data
from dashboard.state.messages import _, counted, reported
from engine.errors import ConfigError
from engine.queue.study import GIVEN_BY_THE_STUDY, Study, members
from engine.settings.config import TrainConfig, explained
from engine.settings.options import models_in
from engine.settings.ref import ref_of
from engine.store.rundir import cache_path

MOST_FIELDS = 2
FIRST = ("batch_size", "learning_rate", "epochs", "pairs", "loss.name")


def asked(config: TrainConfig) -> Study | None:
    """The study around a configuration; None, with a sentence, while it cannot be expanded."""
    titles = fields_of(config)
    name = st.text_input(_("Name of the study"), proposed(config), key="study_name")
    varied = st.multiselect(
        _("Vary"), list(titles), [next(f for f in FIRST if f in titles)], titles.__getitem__, key="study_fields", max_selections=MOST_FIELDS
    )
    vary = {
        field: values_of(st.text_input(data.literal(values_label(titles[field])), begin(config, field), key=f"study_{field}"))
        for field in varied
    }
    seeds = values_of(st.text_input(_("Seeds, with commas between them"), "0, 1, 2", key="study_seeds"))
    base = {k: v for k, v in config.model_dump(mode="json").items() if k not in GIVEN_BY_THE_STUDY}
    try:
        made = Study.model_validate(
            {"name": name, "title": config.name, "dataset": config.dataset, "base": base, "vary": vary, "seeds": seeds}
        )
        count = len(members(made, config.dataset))
    except ValidationError as error:
        st.error(data.literal(reported(explained(error))))
        return None
    except ConfigError as error:
        data.refuse(error)
        return None
    st.caption(data.literal(_("{runs}. A study keeps scores and curves, not weights.").format(runs=counted(count, "runs"))))
    return made


def values_label(title: str) -> str:
    return data.literal(_("{field}: values, with commas between them").format(field=title))


def fields_of(config: TrainConfig) -> dict[str, str]:
    """{field: title} of the plain settings that a study can vary, those of a nested model with a dot; the usual ones first."""
    found: dict[str, str] = {}
    for name, field in type(config).model_fields.items():
        if name in GIVEN_BY_THE_STUDY or name == "kind" or ref_of(field):
            continue
        value = getattr(config, name)
        inside = type(value).model_fields if models_in(field.annotation) and value is not None else {}
        own = {f"{name}.{inner}": f"{field.title}: {f.title or _('which')}" for inner, f in inside.items()}
        found |= own or ({} if models_in(field.annotation) or isinstance(value, tuple) else {name: field.title or name})
    return {name: found[name] for name in sorted(found, key=lambda n: (FIRST.index(n) if n in FIRST else len(FIRST), found[n]))}


def begin(config: TrainConfig, field: str) -> str:
    outer, _dot, inner = field.partition(".")
    value = getattr(config, outer)
    value = getattr(value, inner) if inner else value
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def values_of(text: str) -> list[Any]:
    """`4, 16` as numbers, `true` as a truth value, other words as they are."""
    return [plain(word.strip()) for word in text.split(",") if word.strip()]


def plain(word: str) -> Any:
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def proposed(config: TrainConfig) -> str:
    """A name that no study has."""
    stem = re.sub(r"[^a-z0-9._-]+", "-", config.name.lower()).strip("-._")[:50] or config.kind
    name, number = stem, 2
    while (cache_path() / "studies" / name).exists():
        name, number = f"{stem}-{number}", number + 1
    return name
