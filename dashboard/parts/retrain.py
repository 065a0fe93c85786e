"""Retrain: a dialog over every page, prefilled from what is looked at, with the runs that make the new model comparable."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import streamlit as st

from dashboard.parts import before_start, forms, study_form
from dashboard.parts.forms import Asker
from dashboard.queries import Selection
from dashboard.state import data
from dashboard.state.messages import _, counted, marked, of
from engine.errors import PrefscopeError
from engine.plain import line
from engine.planning.references import awaited
from engine.queue import chain, study
from engine.settings.config import PolicyConfig, RewardConfig, RunConfig, TrainConfig
from engine.settings.slices import Slice
from engine.store.rundir import cache_path, find_run
from engine.store.saved_slices import saved

Kind = Literal["reward", "policy"]
KINDS: dict[Kind, str] = {"reward": marked("Reward model"), "policy": marked("Policy")}
GROUPS = {  # title: (fields whose values stand beside it, the other fields), of both kinds of training
    "Data": (
        ("train_split", "pairs", "max_tokens"),
        ("name", "validation_splits", "validation_pairs", "balance_length", "group_by", "group", "conditional", "system_prompt"),
    ),
    "Optimisation": (
        ("epochs", "batch_size", "learning_rate"),
        ("accumulation", "head_learning_rate", "warmup", "weight_decay", "max_grad_norm", "evaluate_every"),
    ),
    "Model": (("model", "lora"), ("read_at",)),
    "Loss": (("loss",), ("added", "guide", "length")),
    "Machine": (
        ("device", "precision", "seed"),
        (
            "compile", "score_precision", "processes", "shard", "memory_gb", "on_oom", "forward_tokens", "gradient_checkpointing",
            "checkpoint_every", "kept_checkpoints", "keep_weights",
        ),
    ),
}  # fmt: skip
TITLES = {
    "Data": marked("Data"), "Optimisation": marked("Optimisation"), "Model": marked("Model"), "Loss": marked("Loss"),
    "Machine": marked("Machine"),
}  # fmt: skip
OPEN = "retrain_open"  # in the session: while the dialog is open


def offer(selection: Selection, page: str) -> None:
    """The button that opens the dialog for what a page is about, and the dialog while it is open."""
    if selection.dataset_id is None:
        return
    if st.button(_("Retrain …"), key="retrain", type="primary", shortcut="T", help=_("Train again with other settings.")):
        begin("policy" if page == "dpo_vs_base" else "reward")
    if st.session_state.get(OPEN):

        @st.dialog(_("Retrain"), width=980, position="right", on_dismiss=close)  # here, where the viewer's language is known
        def opened() -> None:
            dialog(selection)

        opened()


def begin(kind: Kind, run_id: str | None = None, on_slice: bool = False) -> None:
    """Open the dialog in this run of the page. run_id: the run to start from, instead of that of what is looked at.

    on_slice: it begins with the slice that is looked at as what is trained on.
    """
    st.session_state["retrain_on_slice"] = on_slice
    st.session_state[OPEN] = True
    st.session_state["retrain_kind"] = kind
    st.session_state["retrain_from"] = run_id


def close() -> None:
    st.session_state[OPEN] = False


def dialog(selection: Selection) -> None:
    picked = st.segmented_control(
        _("What to train"), list(KINDS), format_func=of(KINDS), key="retrain_kind", required=True, label_visibility="collapsed"
    )
    kind: Kind = picked or "reward"
    source = st.session_state.get("retrain_from") or data.read(chain.run_of_model, replace(selection, slice=None), kind)
    given, begun = beginning(selection, kind, source)
    st.caption(data.literal(begun))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        before = st.container()
        config = asked_config(kind, given, f"retrain_{source}")
        several = st.toggle(_("As a study: with several values or seeds"), key="retrain_study") if config else False
        planned_study = study_form.asked(config) if config and several else None
        then = () if several else comparable(selection, kind)
    ready = False
    if config and (planned_study or not several):
        with right:
            planned = before_start.planned_runs(config, then, planned_study)
            ready = planned is not None and before_start.side(config, then, planned_study, planned)
        with before:
            score_first(planned or {})
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button(_("Cancel"), key="retrain_cancel"):
            close()
            st.rerun()
        if st.button(_("Retrain"), key="retrain_start", type="primary", shortcut="Mod+Enter", disabled=not ready) and config:
            start(config, then, planned_study)


def beginning(selection: Selection, kind: Kind, source: str | None) -> tuple[dict[str, Any], str]:
    """The values the fields begin with, and where they come from in a sentence."""
    if source is None:
        given: dict[str, Any] = {"kind": kind, "dataset": selection.dataset_id, "name": chain.fresh_name(cache_path(), _(KINDS[kind]))}
        if selection.split and selection.split != "train":
            given["validation_splits"] = (selection.split,)
        return given, _("Nothing that is looked at was trained here: these are the defaults.")
    config = find_run(cache_path(), source).config
    given = {name: getattr(config, name) for name in type(config).model_fields}
    given |= {"name": chain.fresh_name(cache_path(), config.name), "parents": (), "study": None, "configuration": None}
    if st.session_state.get("retrain_on_slice"):
        given["pairs"] = None  # all of the slice
    return given, _("Starts from {name}. Nothing is overwritten.").format(name=line(config.name))


def asked_config(kind: Kind, given: dict[str, Any], prefix: str) -> TrainConfig | None:
    """The configuration that the five groups give; what is wrong is said below them."""
    model: type[TrainConfig] = RewardConfig if kind == "reward" else PolicyConfig
    asker = Asker(model, given, forms.known_values(given["dataset"]), prefix, says_change=True)
    values: dict[str, Any] = {}
    for title, (telling, others) in GROUPS.items():
        here = [name for name in (*telling, *others) if name in model.model_fields]
        here.sort(key=lambda name: name != "name")
        with st.expander(
            heading(asker, _(TITLES[title]), telling, here), expanded=title in ("Data", "Optimisation"), key=f"{prefix}_{title}"
        ):
            picked = forms.picked_of(asker, here)
            with st.grid(min_column_width=200):
                values |= {name: forms.asked(asker, name, picked) for name in here if name in (*telling, "name")}
                if title == "Data":
                    values["slice"] = asked_slice(given, prefix)
            with st.expander(_("More"), type="compact", key=f"{prefix}_{title}_more"), st.grid(min_column_width=200):
                values |= {name: forms.asked(asker, name, picked) for name in here if name not in values}
    config = forms.checked(model, {**given, **values})
    return config if isinstance(config, TrainConfig) else None


def asked_slice(given: dict[str, Any], prefix: str) -> Slice | None:
    """What is trained on alone: all pairs, the slice that is looked at, or a saved one."""
    looked_at = data.selection().slice
    offered = {wanted.as_json(): wanted for wanted in (given.get("slice"), looked_at, *saved(cache_path())) if wanted}
    here = {key: wanted for key, wanted in offered.items() if wanted.dataset_id == given["dataset"]}
    names = {None: _("all training pairs"), **{key: line(wanted.words()) for key, wanted in here.items()}}
    begun = looked_at if st.session_state.get("retrain_on_slice") else given.get("slice")
    first = list(names).index(begun.as_json()) if begun and begun.as_json() in names else 0

    def all_of_it() -> None:
        st.session_state[f"{prefix}_pairs"] = None

    picked = st.selectbox(
        _("Slice"), list(names), first, names.__getitem__, key=f"{prefix}_slice_{first}", help=_("Train on these pairs alone."),
        on_change=all_of_it,
    )  # fmt: skip
    return here.get(picked)


def score_first(planned: Mapping[str, RunConfig]) -> None:
    """Where a slice asks for rewards that the training pairs do not have yet: that they are scored before, and what follows from it."""
    trains = next((config for config in planned.values() if isinstance(config, TrainConfig)), None)
    waits_for = awaited(cache_path(), trains, planned) if trains else None
    if trains is None or waits_for is None:
        return
    text = _(
        "The slice asks for rewards that the pairs of {split} do not have yet. First comes {scoring}; then it is known which pairs are in "
        "the slice, and training on them begins. If scoring fails, nothing is trained."
    )
    st.info(data.literal(text.format(split=trains.train_split, scoring=line(waits_for))))


def heading(asker: Asker, title: str, telling: tuple[str, ...], fields: list[str]) -> str:
    """A group's title, the values of its telling fields, and how many of its fields were changed."""
    now = [asker.question(name) for name in telling if name in fields]
    summary = ", ".join(f"{_(q.field.title or q.name).lower()} {q.said(q.now)}" for q in now)
    changed = sum(asker.question(name).changed for name in fields if name != "name")
    badge = f" :orange-badge[{data.literal(_('{n} changed').format(n=changed))}]" if changed else ""
    return f"**{data.literal(title)}** {data.literal(summary)}{badge}"


def comparable(selection: Selection, kind: Kind) -> tuple[str, ...]:
    """The runs to repeat with the new model, each of which can be left out."""
    st.markdown(f"**{data.literal(_('Then, to make it comparable'))}**")
    if kind == "reward":
        st.checkbox(_("Score the validation pairs (part of training)"), True, disabled=True, key="retrain_then_validation")
    found = data.read(chain.to_repeat, cache_path(), replace(selection, slice=None), kind)
    if not found:
        st.caption(_("What is looked at has no answers that were made here: nothing follows the training."))
    kept = [run_id for run_id in found if st.checkbox(data.literal(step(kind, run_id)), True, key=f"retrain_then_{run_id}")]
    answered = kind == "reward" or any(find_run(cache_path(), run_id).outline.kind == "generate" for run_id in kept)
    st.caption(_("The maps stay as they are."))
    return tuple(kept) if answered else ()


def step(kind: Kind, run_id: str) -> str:
    """What is done again with a run, in words."""
    run = find_run(cache_path(), run_id)
    name = line(run.outline.name)
    if run.outline.kind == "generate":
        rows = run.table("generations")
        form = _("Score the {n:,} answers of {name}") if kind == "reward" else _("Answer the {n:,} prompts again as {name} did")
        return form.format(n=0 if rows is None else rows.height, name=name)
    return _("Score its answers with {name}").format(name=name)


def start(config: TrainConfig, then: tuple[str, ...], planned: study.Study | None) -> None:
    """Queue the runs, close the dialog and say so; or say why not."""
    try:
        made = study.submit(cache_path(), planned) if planned else chain.submit(cache_path(), config, then)
    except PrefscopeError as error:
        data.refuse(error)
        return
    close()
    st.toast(
        data.literal(
            _("{name} is queued: {runs}. Follow them on the page Runs.").format(name=line(config.name), runs=counted(len(made), "runs"))
        )
    )
    st.rerun()
