"""Retrain: a dialog over every page, prefilled from what is looked at, with the runs that make the new model comparable."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import streamlit as st

from dashboard import queries
from dashboard.parts import before_start, forms, study_form
from dashboard.parts.forms import Asker
from dashboard.queries import Selection
from dashboard.state import data
from dashboard.state.costs import Expected, expected_of
from dashboard.state.data import Run
from dashboard.state.messages import _, counted, in_sentences, listed, marked, of, ours
from dashboard.state.slices import in_full
from engine.errors import PrefscopeError
from engine.plain import line
from engine.planning.references import awaited, existing
from engine.queue import chain, study
from engine.settings.config import PolicyConfig, RewardConfig, RunConfig, TrainConfig
from engine.settings.slices import Slice
from engine.store.opening import kept_open
from engine.store.rundir import cache_path, find_run
from engine.store.saved_slices import saved
from engine.store.status import State

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
    runs = data.runs()
    if was_done(runs, selection, *KINDS):
        label, help = _("Retrain …"), _("Train again with other settings.")
    else:
        label, help = _("Train …"), _("Train a reward model or a policy on this dataset.")
    steps_below = page == "dpo_vs_base" and not all(was_done(runs, selection, kind) for kind in KINDS)
    type: Literal["primary", "secondary"] = "secondary" if steps_below else "primary"
    if st.button(data.literal(label), key="retrain", type=type, shortcut="T", help=data.literal(help)):
        begin("policy" if page == "dpo_vs_base" else "reward")
    if st.session_state.get(OPEN):

        @st.dialog(
            data.literal(label.removesuffix(" …")), width=980, position="right", on_dismiss=close
        )  # here, where the viewer's language is known
        def opened() -> None:
            dialog(selection)

        opened()


def was_done(runs: list[Run], selection: Selection, *kinds: str) -> bool:
    """Whether a run of one of these kinds was done on the dataset."""
    own = (run for run in runs if run.outline.dataset == selection.dataset_id)
    return any(run.kind in kinds and run.status.state is State.DONE for run in own)


def where_missing(kind: Kind, runs: list[Run], selection: Selection, step: int | None = None) -> None:
    """The button that opens the dialog, where a page lacks a model of this kind or begins runs. step: its number, of several."""
    words = {"reward": _("Train a reward model on {dataset} …"), "policy": _("Fine-tune a policy on {dataset} …")}
    name = ours(line(data.read(queries.dataset, selection)["name"][0]))
    said = words[kind].format(dataset=name)
    later = was_done(runs, selection, kind) or step not in (None, 1)
    label = _("{n}. {step}").format(n=step, step=said) if step else said
    if st.button(data.literal(label), key=f"train_{kind}", type="secondary" if later else "primary"):
        begin(kind)
        st.rerun()  # the whole page, also from a part that is drawn again by itself


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


@kept_open()
def dialog(selection: Selection) -> None:
    picked = st.segmented_control(
        _("What to train"), list(KINDS), format_func=of(KINDS), key="retrain_kind", required=True, label_visibility="collapsed"
    )
    kind: Kind = picked or "reward"
    source = st.session_state.get("retrain_from") or data.read(chain.run_of_model, replace(selection, slice=None), kind)
    given, taken = beginning(selection, kind, source)
    about = st.container()
    left, right = st.columns([3, 2], gap="medium")
    with left:
        before = st.container()
        config = asked_config(kind, given, f"retrain_{source}")
        several = st.toggle(_("As a study: with several values or seeds"), key="retrain_study") if config else False
        planned_study = study_form.asked(config) if config and several else None
        then = () if several else comparable(selection, kind)
    about.caption(data.literal(_("{anew} {taken}").format(anew=trained_anew(config), taken=taken) if config else taken))
    ready = False
    if config and (planned_study or not several):
        with right:
            planned = before_start.planned_runs(config, then, planned_study)
            expected = expected_of(planned or {}, selection.split)
            ready = planned is not None and before_start.side(config, then, planned_study, planned, expected)
        with before:
            say_rule(config, selection)
            score_first(planned or {}, expected)
    with st.container(horizontal=True, horizontal_alignment="right", key="retrain_foot"):
        if st.button(_("Cancel"), key="retrain_cancel"):
            close()
            st.rerun()
        if (
            st.button(
                _("Retrain") if was_done(data.runs(), selection, *KINDS) else _("Train"),
                key="retrain_start",
                type="primary",
                shortcut="Mod+Enter",
                disabled=not ready,
            )
            and config
        ):
            start(config, then, planned_study)


def beginning(selection: Selection, kind: Kind, source: str | None) -> tuple[dict[str, Any], str]:
    """The values the fields begin with, and where they come from in a sentence."""
    if source is None:
        given: dict[str, Any] = {"kind": kind, "dataset": selection.dataset_id, "name": chain.fresh_name(cache_path(), _(KINDS[kind]))}
        if selection.split and selection.split != "train":
            given["validation_splits"] = (selection.split,)
        return given, _("Nothing that is looked at was trained here: the settings are the defaults.")
    config = find_run(cache_path(), source).config
    given = {name: getattr(config, name) for name in type(config).model_fields}
    given |= {"name": chain.fresh_name(cache_path(), config.name), "parents": (), "study": None, "configuration": None}
    text = _("The settings below are those of {name}, which stays as it is.")
    if st.session_state.get("retrain_on_slice") and (before := given["pairs"]) is not None:
        given["pairs"] = None
        text = _(
            "The settings below are those of {name}, which stays as it is; only that all pairs of the slice are trained on, not {n:,}."
        )
        return given, text.format(name=ours(line(config.name)), n=before)
    return given, text.format(name=ours(line(config.name)))


def trained_anew(config: TrainConfig) -> str:
    """What the run makes of which network, in a sentence: nothing goes on with the model whose settings it takes."""
    if config.kind == "reward":
        whole, adapters = (
            _("A new reward model is trained: {model} with a new head, all weights."),
            _("A new reward model is trained: adapters (LoRA) and a new head on {model}."),
        )
    else:
        whole, adapters = _("A new policy is trained: all weights of {model}."), _("A new policy is trained: adapters (LoRA) on {model}.")
    network = existing(cache_path(), config.model)
    return (adapters if config.lora else whole).format(model=ours(line(network.outline.name)) if network else line(config.model))


def asked_config(kind: Kind, given: dict[str, Any], prefix: str) -> TrainConfig | None:
    """The configuration that the five groups give; what is wrong is said below them."""
    model: type[TrainConfig] = RewardConfig if kind == "reward" else PolicyConfig
    asker = Asker(model, given, forms.known_values(given["dataset"]), prefix, says_change=True)
    slices = Slices.of(given, prefix)
    values: dict[str, Any] = {}
    for title, (telling, others) in GROUPS.items():
        here = [name for name in (*telling, *others) if name in model.model_fields]
        here.sort(key=lambda name: name != "name")
        part = slices.now if title == "Data" else None
        with st.expander(
            heading(asker, _(TITLES[title]), telling, here, part), expanded=title in ("Data", "Optimisation"), key=f"{prefix}_{title}"
        ):
            picked = forms.picked_of(asker, here)
            with st.grid(min_column_width=200):
                values |= {name: forms.asked(asker, name, picked) for name in here if name in (*telling, "name")}
                if title == "Data":
                    values["slice"] = slices.asked()
            with st.expander(_("More"), type="compact", key=f"{prefix}_{title}_more"), st.grid(min_column_width=200):
                values |= {name: forms.asked(asker, name, picked) for name in here if name not in values}
    config = forms.checked(model, {**given, **values})
    return config if isinstance(config, TrainConfig) else None


@dataclass(frozen=True)
class Slices:
    """What can be trained on alone: all pairs, the slice that the settings have or that is looked at, or a saved one."""

    offered: Mapping[str | None, Slice]  # by its JSON
    first: str | None  # of them, with which it begins
    prefix: str  # of the widgets' keys

    @classmethod
    def of(cls, given: Mapping[str, Any], prefix: str) -> "Slices":
        looked_at, own = data.selection().slice, given.get("slice")
        found = {one.as_json(): one for one in (own, looked_at, *saved(cache_path())) if one and one.dataset_id == given["dataset"]}
        begun = looked_at if st.session_state.get("retrain_on_slice") else own
        return cls(found, begun.as_json() if begun and begun.as_json() in found else None, prefix)

    @property
    def key(self) -> str:
        return f"{self.prefix}_slice_{[None, *self.offered].index(self.first)}"

    @property
    def now(self) -> Slice | None:
        """What is chosen now."""
        return self.offered.get(st.session_state.get(self.key, self.first))

    def asked(self) -> Slice | None:
        names = {None: _("all training pairs"), **{key: line(in_full(one)) for key, one in self.offered.items()}}

        def all_of_it() -> None:
            st.session_state[f"{self.prefix}_pairs"] = None

        picked = st.selectbox(
            _("Slice"), list(names), list(names).index(self.first), names.__getitem__, key=self.key, help=_("Train on these pairs alone."),
            on_change=all_of_it,
        )  # fmt: skip
        return self.offered.get(picked)


def say_rule(config: TrainConfig, selection: Selection) -> None:
    """That a slice chooses among the training pairs, not those that are looked at."""
    if config.slice is None:
        return
    said = [_("The slice is a rule: of the training pairs those with {words} are trained on.").format(words=line(in_full(config.slice)))]
    if selection.split != config.train_split:
        said.append(_("Pairs of {split} that you look at are not trained on.").format(split=ours(line(selection.split or ""))))
    if config.slice.of_wrong_pairs:
        said.append(_("Pairs ranked wrong are often hard or mislabelled: a model trained on them alone need not be better on all pairs."))
    st.info(data.literal(in_sentences(said)))


def score_first(planned: Mapping[str, RunConfig], expected: Expected | None) -> None:
    """Where a slice asks for rewards that the training pairs do not have yet: that they are scored before, and what follows from it."""
    trains = next((config for config in planned.values() if isinstance(config, TrainConfig)), None)
    waits_for = awaited(cache_path(), trains, planned) if trains else None
    if waits_for is None:
        return
    text = _(
        "The slice asks for rewards that the training pairs do not have yet. They are scored first, in the run “{scoring}”; then it is "
        "known which pairs are in the slice, and training on them begins. If scoring fails, nothing is trained."
    )
    said = [text.format(scoring=ours(line(waits_for)))]
    if expected:
        text = _("By the share in {split} ({here:,} of {pairs:,}), about {n:,} of the {total:,} training pairs are in it.")
        if expected.fewer:
            text = _(
                "By the share in {split} ({here:,} of {pairs:,}), at most about {n:,} of the {total:,} training pairs are in it: the "
                "reward model was trained on pairs among them, and ranks fewer of those wrong."
            )
        split = ours(line(expected.split))
        said.append(text.format(split=split, here=expected.here, pairs=expected.of, n=expected.pairs, total=expected.total))
    st.info(data.literal(in_sentences(said)))


def heading(asker: Asker, title: str, telling: tuple[str, ...], fields: list[str], part: Slice | None = None) -> str:
    """A group's title, the values of its telling fields, and how many of its fields were changed. part: what is trained on alone."""
    now = [asker.question(name) for name in telling if name in fields]
    said = {q.name: f"{within(_(q.field.title or q.name))} {q.said(q.now)}" for q in now}
    if part and asker.question("pairs").now is None:
        said["pairs"] = _("training pairs all of {slice}").format(slice=line(in_full(part)))
    elif part:
        said["pairs"] = _("{n:,} training pairs of {slice}").format(n=asker.question("pairs").now, slice=line(in_full(part)))
    summary = listed(said.values())
    changed = sum(asker.question(name).changed for name in fields if name != "name")
    badge = f" :orange-badge[{data.literal(_('{n} changed').format(n=changed))}]" if changed else ""
    return f"**{data.literal(title)}** {data.literal(summary)}{badge}"


def within(title: str) -> str:
    """A title as it stands within a line: training pairs, but LoRA."""
    first = title.partition(" ")[0]
    return title[:1].lower() + title[1:] if first[1:] == first[1:].lower() else title


def comparable(selection: Selection, kind: Kind) -> tuple[str, ...]:
    """The runs to repeat with the new model, each of which can be left out."""
    st.markdown(f"**{data.literal(_('Then, to make it comparable'))}**")
    if kind == "reward":
        st.checkbox(_("Score the validation pairs (part of training)"), True, disabled=True, key="retrain_then_validation")
    found = data.read(chain.to_repeat, cache_path(), replace(selection, slice=None), kind)
    if not found:
        st.caption(_("What is looked at has no answers that were made here: nothing follows the training."))
    if found == (chain.ANSWERS,) and not selection.trained_scorer:
        st.caption(_("No reward model is looked at: one that is trained later can score the answers."))
    kept = [run_id for run_id in found if st.checkbox(data.literal(step(kind, run_id)), True, key=f"retrain_then_{run_id}")]
    answered = kind == "reward" or any(run == chain.ANSWERS or find_run(cache_path(), run).outline.kind == "generate" for run in kept)
    if was_done(data.runs(), selection, "embed"):
        st.caption(_("The maps stay as they are."))
    return tuple(kept) if answered else ()


def step(kind: Kind, run_id: str) -> str:
    """What is done again with a run, or for the first time, in words."""
    if run_id == chain.ANSWERS:
        return _("Let base model and policy answer the validation prompts")
    run = find_run(cache_path(), run_id)
    name = ours(line(run.outline.name))
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
    text = _("{name} is queued: {runs}. Follow them on the page Runs.")
    st.toast(data.literal(text.format(name=ours(line(config.name)), runs=counted(len(made), "runs"))))
    st.rerun()
