"""Which rows are looked at: a selection in a figure becomes a predicate of the slice, and the slice stands in the address."""

from collections.abc import Iterable, Mapping
from typing import Any

from dashboard.queries import Selection
from dashboard.state import address
from dashboard.state.messages import _, listed, ours
from engine.errors import ConfigError
from engine.settings.slices import FIELDS, MOST_SPELLED_OUT, AnyPredicate, Contains, OneOf, Range, Slice, parse_slice

NAME = "slice"
WORD = "word"  # of a mark: no field of a row, but a word in its texts
Mark = Mapping[str, Any]  # {field: [low, high]} or {field: value}: what a bar, dot or box of a figure stands for


def current(dataset_id: str | None) -> Slice | None:
    """The slice in the address; one that cannot be read, or is of another dataset, is said and left out."""
    asked = address.asked(NAME)
    if not asked:
        return None
    try:
        found = parse_slice(asked[-1])
    except ConfigError as error:
        address.complain(_("The address has a slice that cannot be read: {why}. All pairs are shown.").format(why=error))
        address.forget(NAME)
        return None
    if found.dataset_id != dataset_id:
        address.complain(_("The slice in the address is of the dataset {id}. All pairs are shown.").format(id=found.dataset_id))
        address.forget(NAME)
        return None
    return found


def look_at(slice: Slice | None) -> None:
    """Show these rows on every page; None or no predicate: all."""
    kept = slice if slice and slice.predicates else None
    address.put(NAME, [kept.as_json()] if kept else [])


def add(selection: Selection, predicates: Iterable[AnyPredicate]) -> None:
    """Narrow what is looked at."""
    look_at(narrowed(selection.slice or Slice(dataset_id=selection.dataset_id or ""), tuple(predicates)))


def narrowed(slice: Slice, added: tuple[AnyPredicate, ...]) -> Slice:
    """A predicate takes the place of an earlier one about the same.

    Of an inverted slice the one predicate is turned round; several cannot be narrowed, and what is added takes their place.
    """
    held = slice.predicates
    if slice.inverted:
        held = tuple(p.model_copy(update={"not_": not p.not_}) for p in held) if len(held) == 1 else ()
    about = {subject(predicate) for predicate in added}
    return Slice(dataset_id=slice.dataset_id, predicates=(*(p for p in held if subject(p) not in about), *added))


def remove(slice: Slice, place: int) -> None:
    kept = tuple(p for i, p in enumerate(slice.predicates) if i != place)
    look_at(slice.model_copy(update={"predicates": kept, "name": ""}))


def invert(slice: Slice) -> None:
    look_at(slice.model_copy(update={"inverted": not slice.inverted, "name": ""}))


def subject(predicate: AnyPredicate) -> tuple[str | None, ...]:
    """What a predicate is about: two about the same would only narrow each other."""
    return tuple(getattr(predicate, name, None) for name in ("kind", "field", "text", "scorer", "base", "tuned"))


def without(slice: Slice | None, subjects: Iterable[tuple[str | None, ...]]) -> Slice | None:
    """The slice without what is said about these; a figure shows all along its own axis. An inverted one stays whole."""
    if slice is None or slice.inverted:
        return slice
    about = set(subjects)
    kept = tuple(p for p in slice.predicates if subject(p) not in about)
    return slice.model_copy(update={"predicates": kept}) if kept else None


def own(slice: Slice | None, marks: Iterable[Mark], selection: Selection, scorer: str | None) -> tuple[AnyPredicate, ...]:
    """The predicates of the slice about what a figure's marks stand for."""
    if slice is None or slice.inverted:
        return ()
    who = sources(selection, scorer)
    fields = {field for mark in marks for field in mark}
    here = {(field, tuple(who[name] for name in FIELDS[field].needs)) for field in fields if field != WORD}
    return tuple(p for p in slice.predicates if (WORD in fields if isinstance(p, Contains) else (p.field, whose(p)) in here))


def whose(predicate: OneOf | Range) -> tuple[str | None, ...]:
    return tuple(getattr(predicate, name, None) for name in FIELDS[predicate.field].needs)


def chosen(picked: Iterable[Mark], marks: Iterable[Mark], selection: Selection, scorer: str | None) -> list[AnyPredicate]:
    """One predicate for each field of the picked marks: the range that they span, open where the figure ends, or their values."""
    picked, every = list(picked), list(marks)
    found: list[AnyPredicate] = []
    for field in dict.fromkeys(field for mark in picked for field in mark):
        values = [mark[field] for mark in picked if field in mark]
        if field == WORD:
            found.append(Contains(text=values[0], word=True))
        elif isinstance(values[0], list | tuple):
            ends = [mark[field] for mark in every if field in mark]
            low, high = min(v[0] for v in values), max(v[1] for v in values)
            low = None if low <= min(e[0] for e in ends) else low
            high = None if high >= max(e[1] for e in ends) else high
            if low is not None or high is not None:
                found.append(predicate(field, selection, scorer, low=low, high=high))
        else:
            found.append(predicate(field, selection, scorer, values=tuple(dict.fromkeys(values))))
    return found


def predicate(field: str, selection: Selection, scorer: str | None, **of: Any) -> AnyPredicate:
    """A range or, with `values`, one of them; with the scorer and the answers that the field is about."""
    who = sources(selection, scorer)
    about: dict[str, Any] = {name: who[name] for name in FIELDS[field].needs}
    return OneOf(field=field, **about, **of) if "values" in of else Range(field=field, **about, **of)


def sources(selection: Selection, scorer: str | None) -> dict[str, str | None]:
    """Whose rewards and answers the marks of a figure are about."""
    return {"scorer": scorer or selection.trained_scorer, "base": selection.base_generator, "tuned": selection.tuned_generator}


def holds(mark: Mark, predicates: Iterable[AnyPredicate]) -> bool:
    """Whether a mark stands for rows that the predicates keep: the middle of its range, or its value."""
    for p in predicates:
        field = WORD if isinstance(p, Contains) else p.field
        if field not in mark:
            continue
        value = mark[field]
        if isinstance(p, Contains):
            kept = value == p.text
        elif isinstance(p, OneOf):
            kept = value in p.values
        else:
            middle = (value[0] + value[1]) / 2 if isinstance(value, list | tuple) else value
            kept = (p.low is None or middle >= p.low) and (p.high is None or middle < p.high)
        if kept == p.not_:
            return False
    return True


def shortened(number: float) -> str:
    """An end of a range: 0, −1.538."""
    return f"{number:.4g}".replace("-", "−")


def said(predicate: AnyPredicate) -> str:
    """The predicate in the viewer's words: margin < 0."""
    template, values = predicate.said(shortened)
    if "values" in values and isinstance(predicate, OneOf):
        values["values"] = alternatives(predicate)
    return _(template).format(**{**values, "field": _(values.get("field", ""))})


def alternatives(predicate: OneOf) -> str:
    """safety, advice or writing; of many the first, and how many others."""
    texts = [_("none given") if value is None else ours(str(value)) for value in predicate.values]
    if len(texts) > MOST_SPELLED_OUT:
        texts = [*texts[: MOST_SPELLED_OUT - 1], _("{n} others").format(n=len(texts) - MOST_SPELLED_OUT + 1)]
    return _(" or ").join(filter(None, [listed(texts[:-1]), texts[-1]]))


def named(slice: Slice | None) -> str:
    """Its name, or its conditions."""
    if slice is None:
        return _("all pairs")
    conditions = _("; ").join(said(predicate) for predicate in slice.predicates)
    return slice.name or (_("all but {conditions}").format(conditions=conditions) if slice.inverted else conditions)


def clauses(slice: Slice) -> str:
    """The conditions of a slice that has no name and is not inverted, as they stand after “where”."""
    return _(" and ").join(clause(predicate) for predicate in slice.predicates)


def clause(predicate: AnyPredicate) -> str:
    """The predicate as it stands after “where”."""
    longer = isinstance(predicate, Range) and predicate.field == "longer_by" and not predicate.not_ and predicate.high is None
    low = predicate.low if isinstance(predicate, Range) else None
    if longer and low and low > 1:
        return _("the chosen response is at least {n:g} words longer").format(n=low)
    return said(predicate)


def in_full(slice: Slice) -> str:
    """Its name, if it has one, and its conditions."""
    conditions = named(slice.model_copy(update={"name": ""}))
    return _("{name}: {conditions}").format(name=slice.name, conditions=conditions) if slice.name else conditions
