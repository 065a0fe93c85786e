"""The rows that are looked at, in words: each predicate a chip, how many rows they are, and what can be done with them."""

from dataclasses import replace

import streamlit as st
from pydantic import ValidationError

from dashboard import queries
from dashboard.parts import boxes, retrain
from dashboard.queries import Selection
from dashboard.report.tabular import csv_text
from dashboard.state import data, slices
from dashboard.state.messages import _, ours, reported
from engine.errors import PrefscopeError
from engine.plain import line as line_of
from engine.settings.slices import FIELDS, AnyPredicate, Contains, OneOf, Range, Slice, explained
from engine.statistics.wording import number, percent
from engine.store import saved_slices
from engine.store.rundir import cache_path
from engine.store.slices import span


def line(selection: Selection, csv: bool = True) -> None:
    """What the slice says, its share of the pairs, and buttons to turn it round, keep it and take it away; nothing without a slice.

    csv: whether its pairs are offered here as a file.
    """
    slice = selection.slice
    if slice is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="slice_line"):
        with st.container(horizontal=True, vertical_alignment="center", width="content", gap="xsmall"):
            if slice.inverted:
                st.badge(_("all but"), color="gray")
            for place, predicate in enumerate(slice.predicates):
                words = slices.said(predicate)
                st.button(
                    data.literal(words), key=f"drop_{place}_{hash(predicate)}", icon=":material/close:", icon_position="right",
                    help=_("Remove this condition"), on_click=slices.remove, args=(slice, place),
                )  # fmt: skip
            st.caption(data.literal(counts(selection)), width="content")
            if data.read(queries.sliced_counts, selection)[0] == 0:
                st.caption(data.literal(nothing(selection)), width="content")
        with st.container(horizontal=True, vertical_alignment="center", width="content", gap="xsmall"):
            st.button(_("Invert"), key="slice_invert", on_click=slices.invert, args=(slice,))
            keep(slice)
            st.button(_("Retrain on slice"), key="slice_retrain", on_click=retrain.begin, args=(kind_of(slice), None, True))
            if csv:
                st.download_button(
                    _("CSV with ids"), lambda: csv_text(data.read(queries.sliced_pairs, selection)), "pairs.csv", "text/csv",
                    key="slice_csv", on_click="ignore",
                )  # fmt: skip
            st.button(_("Show all"), key="slice_clear", on_click=slices.look_at, args=(None,))


def offer(selection: Selection, label: str, predicate: AnyPredicate) -> None:
    """A button that looks at the pairs of which this holds, with their number; nothing where there are none, or it is done already."""
    if selection.slice and not selection.slice.inverted and predicate in selection.slice.predicates:
        return
    narrowed = slices.narrowed(selection.slice or Slice(dataset_id=selection.dataset_id or ""), (predicate,))
    found = data.read(queries.sliced_counts, replace(selection, slice=narrowed))[0]
    if found:
        st.button(
            data.literal(_("{label}: {n}").format(label=label, n=number(found, 0))), key=f"offer_{label}", icon=":material/filter_alt:",
            help=_("List only these pairs"), on_click=slices.add, args=(selection, (predicate,)),
        )  # fmt: skip


def kind_of(slice: Slice) -> retrain.Kind:
    """What is trained again on these rows: the policy, when they were chosen by its answers."""
    return "policy" if any(getattr(predicate, "tuned", None) for predicate in slice.predicates) else "reward"


def keep(slice: Slice) -> None:
    """A popover that keeps the slice under a name, for every page, for Retrain, `--slice` and the report, and says when that is done."""
    kept = bool(slice.name) and slice in saved_slices.saved(cache_path())
    with st.popover(_("Saved") if kept else _("Save as slice"), icon=":material/check:" if kept else None, key="slice_keep"):
        if kept:
            told = _("Saved as “{name}”: choose it in the chip of the slice on any page, in Retrain, or for a report.")
            st.markdown(data.literal(told.format(name=slice.name)))
            return
        error = st.session_state.pop("slice_error", None)
        with st.form("slice_form", border=False):
            st.text_input(_("Name"), slice.name, key="slice_name", max_chars=80, placeholder=_("wrongly ranked"))
            if error and (taken := st.session_state.get("slice_taken")):
                st.checkbox(data.literal(_("Replace “{name}”").format(name=taken)), key="slice_replace")
            st.form_submit_button(_("Save"), key="slice_save", type="primary", on_click=save, args=(slice,))
        if error:
            st.error(data.literal(error))


def save(slice: Slice) -> None:
    """Keep it under the name of the form; what stands against that is said below the form."""
    name, cache = st.session_state["slice_name"].strip(), cache_path()
    replace = st.session_state.pop("slice_taken", None) == name and st.session_state.get("slice_replace", False)
    if not name:
        st.session_state["slice_error"] = _("Give it a name.")
    elif not replace and name in {other.name for other in saved_slices.saved(cache)}:
        st.session_state["slice_taken"] = name
        st.session_state["slice_error"] = _("There is a slice of this name: tick the box to replace it, or take another name.")
    else:
        named = slice.model_copy(update={"name": name})
        try:
            saved_slices.save(cache, named, replace=replace)
            slices.look_at(named)
        except PrefscopeError as error:
            st.session_state["slice_error"] = reported(str(error))


def saved(selection: Selection) -> None:
    """The saved slices of this dataset: one is chosen, or removed."""
    here = {s.name: s for s in saved_slices.saved(cache_path()) if s.dataset_id == selection.dataset_id}
    for path, why in saved_slices.damaged_slices(cache_path()).items():
        st.error(data.literal(f"{path.name}: {why}"))
    if not here:
        return
    now = selection.slice.name if selection.slice and selection.slice.name in here else None
    lines = {name: line_of(name) for name in here}
    key = boxes.key_of("slice_saved", lines, now)
    st.session_state[key] = now
    st.selectbox(
        _("Saved slices"), list(here), format_func=lines.__getitem__, key=key, placeholder=_("Choose"), on_change=choose, args=(here, key)
    )
    if now:
        st.button(_("Remove from the saved ones"), key="slice_remove", on_click=saved_slices.delete, args=(cache_path(), now))


def choose(here: dict[str, Slice], key: str) -> None:
    slices.look_at(here.get(st.session_state[key]))


def counts(selection: Selection) -> str:
    """38 of 200 pairs, 19.0 %."""
    shown, every = data.read(queries.sliced_counts, selection)
    if not every:
        return _("no pairs")
    return _("{n} of {all} pairs, {share}").format(n=number(shown, 0), all=number(every, 0), share=percent(shown / every))


def nothing(selection: Selection) -> str:
    """What to do about a slice without a pair."""
    conditions = [slices.said(predicate) for predicate in selection.slice.predicates] if selection.slice else []
    return _("No pairs: widen the range or remove {conditions}.").format(conditions=_(" or ").join(conditions))


def chip(selection: Selection, name: str) -> None:
    """The chip of the line over the page: which rows, the saved choices of rows, and a condition in numbers for who does not drag."""
    slice = selection.slice
    with st.popover(data.literal(name), key="chip_slice", type="primary" if slice else "secondary"):
        if slice:
            for place, predicate in enumerate(slice.predicates):
                if isinstance(predicate, Range):
                    ends(slice, place, predicate)
                remove = _("Remove {condition}").format(condition=slices.said(predicate))
                st.button(data.literal(remove), key=f"chip_drop_{place}", on_click=slices.remove, args=(slice, place))
            st.button(_("Show all pairs"), key="chip_clear", on_click=slices.look_at, args=(None,))
        condition(selection)
        saved(selection)


def ends(slice: Slice, place: int, predicate: Range) -> None:
    """The two ends of a range as numbers: the twin of dragging in a figure."""
    st.caption(data.literal(slices.said(predicate)))
    with st.container(horizontal=True):
        for end, label in (("low", _("From")), ("high", _("Below"))):
            st.number_input(
                data.literal(label), value=getattr(predicate, end), key=f"end_{end}_{place}_{hash(predicate)}", placeholder=_("open"),
                on_change=change_end, args=(slice, place, end, f"end_{end}_{place}_{hash(predicate)}"),
            )  # fmt: skip


def change_end(slice: Slice, place: int, end: str, key: str) -> None:
    changed = slice.predicates[place].model_copy(update={end: st.session_state[key]})
    predicates = tuple(changed if i == place else p for i, p in enumerate(slice.predicates))
    slices.look_at(slice.model_copy(update={"predicates": predicates, "name": ""}))


def condition(selection: Selection) -> None:
    """A further condition, chosen by name instead of dragged in a figure."""
    about = {
        "margin": selection.trained_scorer,
        "difference": selection.tuned_generator and selection.base_generator and selection.trained_scorer,
        "tuned_longer_by": selection.tuned_generator and selection.base_generator,
    }
    lengths = ("longer_by", "chosen_words", "rejected_words")
    offered = [f for f in ("margin", *lengths, "prompt_type", "difference", "tuned_longer_by") if about.get(f, True)]
    names = {**{f: _(FIELDS[f].label) for f in offered}, "text": _("text")}
    field = st.selectbox(_("Add a condition"), list(names), None, format_func=names.__getitem__, key="new_field", placeholder=_("Choose"))
    if field is None:
        return
    if field not in ("text", "prompt_type"):
        st.caption(data.literal(values_of(selection, field)))
    with st.form(f"new_{field}", clear_on_submit=True, border=False):  # what is typed counts at the press, also before the field is left
        if field == "text":
            st.text_input(_("In prompt or response"), key="new_text")
        elif field == "prompt_type":
            st.multiselect(_("One of"), data.read(queries.prompt_types, selection), format_func=ours, key="new_types")
        else:
            with st.container(horizontal=True):
                st.number_input(_("From"), value=None, key="new_low", placeholder=_("open"))
                st.number_input(_("Below"), value=None, key="new_high", placeholder=_("open"))
        st.form_submit_button(_("Add"), key="new_add", on_click=add, args=(selection, field))
    if error := st.session_state.pop("new_error", None):
        st.error(data.literal(reported(error)))


def values_of(selection: Selection, field: str) -> str:
    """Between which values a condition can part the pairs of the split; nothing where none was measured."""
    about = slices.predicate(field, selection, None)
    found = data.read(span, about, selection.dataset_id, selection.split) if isinstance(about, Range) else None
    if found is None:
        return ""
    low, high = map(slices.shortened, found)
    return _("On {split} from {low} to {high}.").format(split=ours(line_of(selection.split or "")), low=low, high=high)


def add(selection: Selection, field: str) -> None:
    """Narrow by what the form says; what is no condition is said below it."""
    if all(st.session_state.get(end) is None for end in ("new_low", "new_high")) and field not in ("text", "prompt_type"):
        st.session_state["new_error"] = _("Say from where, or below what.")
        return
    try:
        slices.add(selection, [asked_condition(selection, field)])
    except ValidationError as error:
        st.session_state["new_error"] = explained(error)


def asked_condition(selection: Selection, field: str) -> AnyPredicate:
    """The condition of the form. Raises ValidationError when it says nothing, or ends before it begins."""
    asked = st.session_state
    if field == "text":
        return Contains(text=asked["new_text"])
    if field == "prompt_type":
        return OneOf(field=field, values=tuple(asked["new_types"]))
    return slices.predicate(field, selection, None, low=asked["new_low"], high=asked["new_high"])
