"""What is looked at, in one line over every page: each chip says a part of the comparison and opens its choice."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import streamlit as st

from dashboard import queries
from dashboard.figures.headings import FIELDS
from dashboard.parts import boxes
from dashboard.parts import slices as slice_parts
from dashboard.queries import Choices, Selection
from dashboard.report.captions import DEMO
from dashboard.state import address, data, slices
from dashboard.state.messages import _, ours
from engine.plain import line

MAPS = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PCA"}
OF_DATASET = tuple(name for name in address.COMPARISON if name != "dataset")
CHIP_CHARS = 24
LISTED = 6  # datasets of which each stands in the chip's menu; more are in a box of it


@dataclass(frozen=True)
class Choice:
    """A part of the comparison: its name in the address, what can be chosen, and what is."""

    name: str
    label: str
    options: Mapping[str, str]  # id -> name
    value: str | None
    help: str | None = None
    none: str | None = None  # what stands there while nothing is chosen, where nothing may be chosen
    many: tuple[str, ...] | None = None  # what is chosen, where several may be

    @property
    def shown(self) -> str:
        return shortened(self.options[self.value]) if self.value else ""


def shortened(text: str) -> str:
    return text if len(text) <= CHIP_CHARS else text[: CHIP_CHARS - 1].rstrip() + "…"


def selection() -> tuple[Selection, data.Second | None]:
    """Draw the line and return what is looked at: what stands in the address, otherwise the newest complete comparison.

    What is shown the first time is written into the address, so that a run that ends later changes nothing on the screen. The second
    one is what somebody wants to see beside it.
    """
    known = data.read(queries.choices)
    if known.datasets.is_empty():
        return Selection(), None
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="chips"), address.in_one_step():
        address.settle()
        dataset, split = of_data(known)
        default = default_of(dataset.value, split.value)
        scorers, generators = of_models(known, default)
        rest = of_view(known, default)
        found = Selection(
            dataset_id=dataset.value,
            split=split.value,
            trained_scorer=scorers[0].value,
            base_scorer=scorers[1].value,
            tuned_generator=generators[0].value,
            base_generator=generators[1].value,
            slice=slices.current(dataset.value),
            reward_runs=rest["reward_runs"].many or (),
            policy_runs=rest["policy_runs"].many or (),
            study=rest["study"].value,
            group_field=rest["group_field"].value or default.group_field,
            map_method=rest["map"].value or default.map_method,
        )
        chip(dataset.shown, dataset)
        chip(split.shown, split, rest["group_field"])
        chip(against(*scorers[:2], _("no reward model")), *scorers)
        chip(against(*generators[:2], _("no answers")), *generators)
        second = beside(found, scorers[2], generators[2])
        chip(_("view"), rest["reward_runs"], rest["policy_runs"], rest["study"], rest["map"])
        slice_parts.chip(found, shortened(slices.named(found.slice)))
        if data.read(queries.dataset, found)["source"][0] == "starter":
            st.badge(_("demo set"), color="gray", help=data.literal(_(DEMO)))
    return found, second


def beside(shown: Selection, scorer: Choice, generator: Choice) -> data.Second | None:
    """What was chosen to be seen beside what is shown, and a chip that takes it off."""
    for part, other in (
        (scorer, replace(shown, trained_scorer=scorer.value)),
        (generator, replace(shown, tuned_generator=generator.value)),
    ):
        if part.value:
            name = part.options[part.value]
            st.button(
                data.literal(_("beside {name}").format(name=shortened(name))), key="chip_beside", icon=":material/close:",
                icon_position="right", help=_("Take it off"), on_click=address.forget, args=(part.name,),
            )  # fmt: skip
            return data.Second(other, name)
    return None


def default_of(dataset: str | None, split: str | None = None) -> Selection:
    """What is looked at first of a dataset, and of one of its splits; asked of the database only where it is not the default of all."""
    first = data.read(queries.default_selection)
    known = first.dataset_id == dataset and split in (None, first.split)
    return first if known else data.read(queries.default_selection, dataset, split)


def of_data(known: Choices) -> tuple[Choice, Choice]:
    first = data.read(queries.default_selection)
    dataset = choice("dataset", _("Dataset"), names(known.datasets, "dataset_id"), first.dataset_id)
    splits = known.splits.filter(pl.col("dataset_id") == dataset.value)["split"].to_list()
    preferred = default_of(dataset.value).split
    help = _("Figures, rates and prompts are about the pairs of this part of the dataset.")
    return dataset, choice("split", _("Split"), {s: ours(line(s)) for s in splits}, preferred, help)


def of_models(known: Choices, default: Selection) -> tuple[tuple[Choice, Choice, Choice], tuple[Choice, Choice, Choice]]:
    """The two scorers and the one beside them, and the same of answers."""
    here = [
        rows.filter((pl.col("dataset_id") == default.dataset_id) & (pl.col("split") == default.split))
        for rows in (known.scorers, known.generators)
    ]
    scorers, generators = names(here[0], "scorer_id"), names(here[1], "generator_id")
    untrained = _("A reward model whose last layer was never trained: what accuracy is worth without training.")
    trained = choice("trained", _("Reward model"), scorers, default.trained_scorer, _("The reward model under test."))
    base = choice("base", _("Untrained reward model"), scorers, default.base_scorer, untrained)
    tuned = choice("tuned_answers", _("Tuned answers"), generators, default.tuned_generator)
    given = choice("base_answers", _("Base answers"), generators, default.base_generator)
    return (
        (trained, base, another("with", _("Another reward model beside it"), scorers, trained.value)),
        (tuned, given, another("with_answers", _("Other answers beside them"), generators, tuned.value, given.value)),
    )


def another(name: str, label: str, options: Mapping[str, str], *shown: str | None) -> Choice:
    """A second model, drawn in outline over the one that is shown, with the difference of both; none at first."""
    others = {id: named for id, named in options.items() if id not in shown}
    help = _("Drawn in outline over what is shown, with the difference of both on the same rows.")
    return choice(name, label, others, None, help, none=_("nothing beside it"))


def of_view(known: Choices, default: Selection) -> dict[str, Choice]:
    """How the comparison is shown: runs whose curves are drawn, the study, the field that names groups, the map."""
    runs = known.runs.filter(pl.col("dataset_id") == default.dataset_id)
    of_kind = {kind: names(runs.filter(pl.col("kind") == kind), "run_id") for kind in ("reward", "policy")}
    studies = names(known.studies.filter(pl.col("dataset_id") == default.dataset_id), "study_id")
    here = (pl.col("dataset_id") == default.dataset_id) & (pl.col("split") == default.split)
    fields = {field: _(FIELDS[field]) for field in known.group_fields.filter(here)["field"]}
    return {
        "reward_runs": choices("reward_runs", _("Reward-model runs"), of_kind["reward"], default.reward_runs),
        "policy_runs": choices("policy_runs", _("Policy runs"), of_kind["policy"], default.policy_runs),
        "study": choice("study", _("Study"), studies, default.study),
        "group_field": choice("group_field", _("Groups by"), fields if len(fields) > 1 else {}, default.group_field),
        "map": choice("map", _("Map of responses"), MAPS, default.map_method, pinned=False),
    }


def names(rows: pl.DataFrame, column: str) -> dict[str, str]:
    """{id: name}; a name that stands for several ids gets the end of the id."""
    rows = rows.unique(column, maintain_order=True).with_columns(pl.col("name").map_elements(line, return_dtype=pl.String))
    several = set(rows.filter(pl.col("name").is_duplicated())["name"].to_list())
    return {i: f"{ours(n)} ({i[-4:]})" if n in several else ours(n) for i, n in rows.select(column, "name").iter_rows()}


def choice(
    name: str,
    label: str,
    options: Mapping[str, str],
    default: str | None,
    help: str | None = None,
    pinned: bool = True,
    none: str | None = None,
) -> Choice:
    """One choice. An unknown id in the address is said and the default taken; what is shown is kept in the address."""
    asked = address.asked_of(name, options, complaint(label))
    value = asked[-1] if asked else default if default in options else None
    if pinned and value and not asked:
        address.put(name, [value])
    return Choice(name, label, options, value, help, none)


def choices(name: str, label: str, options: Mapping[str, str], default: tuple[str, ...]) -> Choice:
    """Several choices, kept as `choice` keeps one."""
    asked = tuple(address.asked_of(name, options, complaint(label)))
    if default and not asked:
        address.put(name, list(default))
    return Choice(name, label, options, None, many=asked or default)


def complaint(label: str) -> str:
    return _("{label}: {id} is not here. The default is shown.").replace("{label}", label)


def against(first: Choice, second: Choice, none: str) -> str:
    """Reward model / untrained; the one that there is; none."""
    return " / ".join(part.shown for part in (first, second) if part.value) or none


def chip(text: str, *parts: Choice) -> None:
    """A chip that opens the choice of its parts; where nothing can be chosen it is text."""
    open_parts = [part for part in parts if part.options]
    if not open_parts:
        return
    of_dataset = parts[0].name == "dataset"
    with st.popover(data.literal(text), key=f"chip_{parts[0].name}", on_change="rerun" if of_dataset else "ignore"):
        for part in open_parts:
            box(part)
        if of_dataset and st.button(_("Import …"), key="chip_import", type="tertiary", icon=":material/add:"):
            st.session_state["data_import"] = True
            st.switch_page("views/data.py")


def box(part: Choice) -> None:
    shown = part.value if part.many is None else list(part.many)
    key = boxes.key_of(f"pick_{part.name}", part.options, shown)
    st.session_state[key] = shown
    shared: dict[str, Any] = {
        "options": list(part.options), "format_func": part.options.__getitem__, "key": key, "help": data.literal(part.help),
        "on_change": keep, "args": (part.name, key),
    }  # fmt: skip
    if part.many is not None:
        st.multiselect(data.literal(part.label), **shared)
    elif part.name == "dataset" and len(part.options) <= LISTED:
        st.radio(data.literal(part.label), **{**shared, "format_func": lambda option: data.literal(part.options[option])})
    else:
        st.selectbox(data.literal(part.label), index=None if part.none else 0, placeholder=part.none, **shared)


def keep(name: str, key: str) -> None:
    """Write what was just chosen by hand into the address; another dataset or split has other models, and one model is seen beside."""
    if name in ("dataset", "split"):
        address.forget(*(other for other in OF_DATASET if other != name), *address.ROWS)
    if name == "dataset":
        st.session_state["chip_dataset"] = False  # what it opened is shut over the new page
    value = st.session_state[key]
    if name in address.BESIDE or [value] in map(address.asked, address.BESIDE):
        address.forget(*address.BESIDE)
    address.put(name, value if isinstance(value, list) else [value] if value else [])


def open_dataset(dataset_id: str, split: str | None = None) -> None:
    """Look at this dataset, with its own models; at the split on which most was measured unless one is named."""
    address.forget(*OF_DATASET, *address.ROWS)
    address.put("dataset", [dataset_id])
    address.put("split", [split] if split else [])


def say_unknown() -> None:
    """Say on the page which ids of the address are not here."""
    for sentence in address.complaints():
        st.warning(data.literal(sentence))
