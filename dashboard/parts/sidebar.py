"""What is shown, picked once for all pages and kept in the URL."""

from collections.abc import Mapping

import polars as pl
import streamlit as st

from dashboard import queries
from dashboard.parts.columns import FIELDS
from dashboard.queries import Choices, Selection
from dashboard.state import data
from dashboard.state.messages import _
from engine.plain import line

MAPS = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PCA"}


def selection() -> Selection:
    """Draw the sidebar and return the selection: what was picked or stands in the URL, otherwise the default."""
    known = data.read(queries.choices)
    if known.datasets.is_empty():
        return Selection()
    with st.sidebar:
        dataset, split = picked_data(known)
        default = data.read(queries.default_selection, dataset, split)
        with st.expander(_("Scorers, answers and runs")):
            return picked_rest(known, default)


def picked_data(known: Choices) -> tuple[str | None, str | None]:
    first = data.read(queries.default_selection)
    dataset = pick("dataset", _("Dataset"), names(known.datasets, "dataset_id"), first.dataset_id)
    splits = known.splits.filter(pl.col("dataset_id") == dataset)["split"].to_list()
    preferred = data.read(queries.default_selection, dataset).split
    help = _("Figures, rates and prompts are about the pairs of this part of the dataset.")
    return dataset, pick("split", _("Split"), {s: s for s in splits}, preferred, help)


def picked_rest(known: Choices, default: Selection) -> Selection:
    here = [
        rows.filter((pl.col("dataset_id") == default.dataset_id) & (pl.col("split") == default.split))
        for rows in (known.scorers, known.generators)
    ]
    scorers, generators = names(here[0], "scorer_id"), names(here[1], "generator_id")
    runs = known.runs.filter(pl.col("dataset_id") == default.dataset_id)
    untrained = _("A reward model whose last layer was never trained: what accuracy is worth without training.")
    return Selection(
        dataset_id=default.dataset_id,
        split=default.split,
        trained_scorer=pick("trained", _("Trained scorer"), scorers, default.trained_scorer, _("The reward model under test.")),
        base_scorer=pick("base", _("Base scorer"), scorers, default.base_scorer, untrained),
        tuned_generator=pick("tuned_answers", _("Tuned answers"), generators, default.tuned_generator),
        base_generator=pick("base_answers", _("Base answers"), generators, default.base_generator),
        reward_runs=pick_many("reward_runs", _("Reward-model runs"), names(of(runs, "reward"), "run_id"), default.reward_runs),
        policy_runs=pick_many("policy_runs", _("Policy runs"), names(of(runs, "policy"), "run_id"), default.policy_runs),
        study=pick("study", _("Study"), of_dataset(known.studies, default), default.study) if default.study else None,
        group_field=picked_field(known, default),
        map_method=pick("map", _("Map of responses"), MAPS, default.map_method) or default.map_method,
    )


def of_dataset(studies: pl.DataFrame, default: Selection) -> dict[str, str]:
    return names(studies.filter(pl.col("dataset_id") == default.dataset_id), "study_id")


def picked_field(known: Choices, default: Selection) -> str:
    """What names a pair's group; asked only where the pairs have several such fields."""
    here = (pl.col("dataset_id") == default.dataset_id) & (pl.col("split") == default.split)
    fields = {field: FIELDS[field] for field in known.group_fields.filter(here)["field"]}
    return (pick("group_field", _("Groups by"), fields, default.group_field) if len(fields) > 1 else None) or default.group_field


def of(runs: pl.DataFrame, kind: str) -> pl.DataFrame:
    return runs.filter(pl.col("kind") == kind)


def names(rows: pl.DataFrame, column: str) -> dict[str, str]:
    """{id: name}; a name that stands for several ids gets the end of the id."""
    rows = rows.unique(column, maintain_order=True).with_columns(pl.col("name").map_elements(line, return_dtype=pl.String))
    several = set(rows.filter(pl.col("name").is_duplicated())["name"].to_list())
    return {i: f"{n} ({i[-4:]})" if n in several else n for i, n in rows.select(column, "name").iter_rows()}


def pick(name: str, label: str, options: Mapping[str, str], default: str | None, help: str | None = None) -> str | None:
    """One choice, kept in the URL under `name` when it was made by hand. An unknown id in the URL is said and the default taken."""
    asked = asked_for(name, options, label)
    value = asked[-1] if asked else default
    if not options:
        return None
    st.session_state[f"pick_{name}"] = value
    return st.selectbox(
        data.literal(label),
        list(options),
        format_func=options.__getitem__,
        key=f"pick_{name}",
        help=data.literal(help),
        on_change=keep,
        args=(name,),
    )


def pick_many(name: str, label: str, options: Mapping[str, str], default: tuple[str, ...], help: str | None = None) -> tuple[str, ...]:
    """Several choices, kept as `pick` keeps one."""
    asked = asked_for(name, options, label)
    if not options:
        return ()
    st.session_state[f"pick_{name}"] = list(asked or default)
    return tuple(
        st.multiselect(
            data.literal(label),
            list(options),
            format_func=options.__getitem__,
            key=f"pick_{name}",
            help=data.literal(help),
            on_change=keep,
            args=(name,),
        )
    )


def asked_for(name: str, options: Mapping[str, str], label: str) -> list[str]:
    """The ids in the URL, or picked before on another page; the URL is brought up to date."""
    picked: dict[str, list[str]] = st.session_state.setdefault("picked", {})
    asked = st.query_params.get_all(name) or picked.get(name, [])
    for missing in [a for a in asked if a not in options]:
        st.session_state.setdefault("unknown", []).append(
            _("{label}: {id} is not here. The default is shown.").format(label=label, id=missing)
        )
    kept = [a for a in asked if a in options]
    picked[name] = kept
    if kept != st.query_params.get_all(name):
        st.query_params[name] = kept
    return kept


def say_unknown() -> None:
    """Say on the page, not in the sidebar that may be folded away, which ids of the URL are not here."""
    for sentence in st.session_state.pop("unknown", []):
        st.warning(data.literal(sentence))


def keep(name: str) -> None:
    """Write what was just picked by hand into the URL."""
    value = st.session_state[f"pick_{name}"]
    remember(name, value if isinstance(value, list) else [value])


def remember(name: str, ids: list[str]) -> None:
    """Put ids into the URL, and bring them back on the other pages."""
    st.session_state.setdefault("picked", {})[name] = ids
    st.query_params[name] = ids
