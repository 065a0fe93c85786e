"""What can be chosen, and what is chosen when nobody has chosen yet."""

from dataclasses import dataclass

import polars as pl

from engine.statistics.comparison import CALLED_BASE, Comparison, newest
from engine.store.database import Connection, frame
from engine.store.slices import frame_once


@dataclass(frozen=True)
class Selection(Comparison):
    """The comparison, and how it is shown; an empty part gives an empty frame."""

    reward_runs: tuple[str, ...] = ()  # overlaid in figures 1 and 2; figure 1 shows the first
    policy_runs: tuple[str, ...] = ()  # overlaid in figures 6 and 7
    x_axis: str = ""  # of curves: step | pairs | tokens | time; empty: each figure's own
    smoothing: float = 0.05  # of curves: the mean over this share of the longest run's steps
    map_method: str = "umap"
    pair_id: str | None = None  # Table 1
    study: str | None = None  # Table 3
    group_field: str = "prompt_type"  # Table 4: prompt_type | source
    bin_width: float | None = None  # of histograms; None: each figure's own


@dataclass(frozen=True)
class Choices:
    """What the database holds, newest first; every frame has an id and a name."""

    datasets: pl.DataFrame  # dataset_id, name, kept
    splits: pl.DataFrame  # dataset_id, split, pairs
    runs: pl.DataFrame  # run_id, kind, name, state, dataset_id, in_study, begun (it has taken a step, or is going on); such first
    scorers: pl.DataFrame  # scorer_id, name, kind, run_id, dataset_id, split, pairs (it has scored; 0: answers alone)
    generators: pl.DataFrame  # generator_id, name, kind, run_id, dataset_id, split, prompts (it has answered)
    studies: pl.DataFrame  # study_id, name, dataset_id
    group_fields: pl.DataFrame  # field, name, dataset_id, split: fields of the pairs that name more than one group


DATASETS = """
    select dataset_id, any_value(d.name) as name, any_value(kept) as kept,
           greatest(max(d.created_at), coalesce(max(r.finished_at), max(d.created_at))) as changed_at
    from datasets d left join runs r using (dataset_id)
    group by dataset_id
    order by dataset_id in (select dataset_id from coverage where complete and generator_id is not null) desc,  -- answers are compared
             count(*) filter (r.state = 'done') > 0 desc, changed_at desc
"""
SPLITS = """
    select dataset_id, split, count(*) as pairs from pairs group by dataset_id, split
    order by dataset_id, (case when split = 'train' then 2 when split = 'validation' then 0 else 1 end), split
"""
RUNS = """
    select run_id, kind, name, state, dataset_id, coalesce(study_id in (select study_id from studies), false) as in_study,
           state in ('running', 'finalising') or run_id in (select run_id from metrics) as begun
    from runs order by begun desc, run_id desc
"""
STUDIES = """
    select study_id, s.title as name, dataset_id from studies s join runs using (study_id)
    group by all order by max(run_id) desc
"""
GROUP_FIELDS = """
    with used as (select distinct dataset_id, config ->> 'group_by' as field from runs where kind = 'reward'),
    counted as (
        select dataset_id, split, count(distinct prompt_type) as prompt_type, count(distinct source) as source from pairs group by all
    )
    select field, field as name, c.dataset_id, split
    from (unpivot counted on prompt_type, source into name field value groups) c
    left join used using (dataset_id, field)
    where groups > 1 order by used.field is null, field
"""
SCORERS = """
    select s.scorer_id, s.name, s.kind, m.run_id, c.dataset_id, c.split, coalesce(max(c.scored) filter (c.generator_id is null), 0) as pairs
    from coverage c join named_scorers s using (scorer_id) left join models m using (model_id) where c.split is not null and c.complete
    group by all order by m.run_id desc nulls last, s.name, s.scorer_id, pairs desc
"""
GENERATORS = """
    select g.generator_id, g.name, g.kind, m.run_id, a.dataset_id, a.split, a.prompts
    from answered a join named_generators g using (generator_id) left join models m using (model_id)
    order by m.run_id desc nulls last, g.name, g.generator_id, prompts desc
"""
COMPARABLE = """
    select base_id, tuned_id from comparable
    where paired and base_id in (select unnest($generators)) and tuned_id in (select unnest($generators))
    order by differs is null desc, list_position($generators, tuned_id), list_position($generators, base_id) limit 1
"""


def choices(con: Connection) -> Choices:
    """What can be chosen: datasets with splits, runs by kind, scorers and generators with where they were used."""
    return Choices(*(frame_once(con, query) for query in (DATASETS, SPLITS, RUNS, SCORERS, GENERATORS, STUDIES, GROUP_FIELDS)))


def default_selection(con: Connection, dataset_id: str | None = None, split: str | None = None) -> Selection:
    """The newest complete comparison, of the dataset and split where these are named, and what is shown with it.

    Where none is complete, the dataset and split that were worked on last; where no answers are scored, those that can be compared.
    """
    known, complete = choices(con), newest(con, dataset_id, split) or Comparison(dataset_id, split)
    dataset = complete.dataset_id or first(known.datasets, "dataset_id")
    split = complete.split or first(where(known.splits, "dataset_id", dataset), "split")
    here = (where(where(rows, "dataset_id", dataset), "split", split) for rows in (known.scorers, known.generators, known.group_fields))
    (scorers, generators, fields), runs = here, where(known.runs, "dataset_id", dataset)
    base, tuned = complete.base_generator, complete.tuned_generator
    if base is None:
        base, tuned = other_answers(con, generators)
    return Selection(
        dataset_id=dataset,
        split=split,
        reward_runs=runs_to_show(runs, "reward", run_of(scorers, "scorer_id", complete.trained_scorer)),
        policy_runs=runs_to_show(runs, "policy", run_of(generators, "generator_id", tuned)),
        base_scorer=complete.base_scorer or imported(scorers.filter(pl.col("pairs") > 0), "scorer_id", base=True),
        trained_scorer=complete.trained_scorer,
        base_generator=base,
        tuned_generator=tuned,
        study=first(where(known.studies, "dataset_id", dataset), "study_id"),
        group_field=first(fields, "field") or "prompt_type",
    )


def other_answers(con: Connection, generators: pl.DataFrame) -> tuple[str | None, str | None]:
    """The newest two generators that can be compared, under the same settings if there are such; else the newest of either kind."""
    for base, tuned in frame(con, COMPARABLE, {"generators": generators["generator_id"].to_list()}).iter_rows():
        return base, tuned
    kinds = (("base", True), ("tuned", False))
    base, tuned = (of_kind(generators, kind) or imported(generators, "generator_id", base=is_base) for kind, is_base in kinds)
    return base, tuned


def where(rows: pl.DataFrame, column: str, value: str | None) -> pl.DataFrame:
    return rows.filter(pl.col(column).eq_missing(pl.lit(value, pl.String)))


def first(rows: pl.DataFrame, column: str) -> str | None:
    return None if rows.is_empty() else rows[column][0]


def of_kind(generators: pl.DataFrame, kind: str) -> str | None:
    return first(generators.filter(kind=kind), "generator_id")


def imported(rows: pl.DataFrame, column: str, base: bool) -> str | None:
    """The imported scorer or generator whose name says that it is a base model; or, the other way round, one whose name does not."""
    says_base = pl.col("name").str.to_lowercase().str.contains(CALLED_BASE)
    return first(rows.filter((pl.col("kind") == "imported") & (says_base == base)).sort("name", column), column)


def run_of(rows: pl.DataFrame, column: str, value: str | None) -> str | None:
    return first(where(rows, column, value), "run_id")


def runs_to_show(runs: pl.DataFrame, kind: str, leading: str | None, most: int = 4) -> tuple[str, ...]:
    """The run behind the selected scorer or generator first, then the newest others that have begun; of a study where there is no other."""
    trained = runs.filter((pl.col("kind") == kind) & pl.col("begun"))
    alone = trained.filter(~pl.col("in_study"))
    begun = (trained if alone.is_empty() else alone)["run_id"].to_list()
    ordered = [leading, *(run for run in begun if run != leading)] if leading in trained["run_id"] else begun
    return tuple(run for run in ordered[:most] if run)
