"""Tables that the command line prints and the pages show: the members of a study, and scorers on groups of pairs."""

from collections import Counter

import polars as pl

from engine.plain import on_one_line
from engine.statistics.estimate import Estimate, column
from engine.statistics.rewards import accuracy
from engine.statistics.seeds import mean_over_seeds
from engine.store.database import Connection, frame
from engine.store.status import Reason

STUDY_COLUMNS = (
    "configuration", "split", "runs", "done", "accuracy", "accuracy_std", "accuracy_min", "accuracy_max", "accuracy_length_matched",
    "reward_mean", "reward_std", "n", "seconds", "peak_gb", "state", "reason",
)  # fmt: skip
GROUP_FIELDS = ("prompt_type", "source")
MODELS = ("untrained", "common", "group", "conditional", "ensemble")  # how a scorer was trained, in the order they are shown

STUDY_RUNS = f"""
    with member as (
        select run_id, name as run, coalesce(configuration, name) as configuration, cast(config ->> 'seed' as integer) as seed,
               case when reason = '{Reason.DID_NOT_FIT}' then reason else state end as state, error,
               epoch(finished_at - started_at) as seconds, peak_bytes / 1e9 as peak_gb
        from runs where study_id = $study
    ), last as (
        select run_id, split, metrics.name, arg_max(value, step) as value
        from metrics join runs using (run_id) where study_id = $study and state = 'done' and split <> 'train' group by all
    ), measured as (
        select run_id, split, max(value) filter (name in ('accuracy', 'rewards/accuracies')) as accuracy,
               max(case name when 'reward_mean' then value when 'rewards/sum' then value / 2 end) as reward_mean,
               max(value) filter (name = 'accuracy_length_matched') as accuracy_length_matched,
               max(value) filter (name = 'reward_std') as reward_std, cast(max(value) filter (name = 'n') as integer) as n
        from last group by run_id, split
    )
    select min(run_id) over (partition by configuration) as place, configuration, seed, run, run_id, state, error, seconds, peak_gb,
           split, n, accuracy, accuracy_length_matched, reward_mean, reward_std
    from member left join measured using (run_id)
    order by place, seed, run_id, split
"""
JUDGES = """
    select scorer_id, s.name as scorer,
           case when s.kind <> 'head' then replace(s.kind, '_head', '')
                when cast(run.config ->> 'conditional' as boolean) then 'conditional'
                when run.config ->> 'group' is not null then 'group' else 'common' end as model,
           run.config ->> 'group' as trained_on, md.run_id
    from named_scorers s left join models md using (model_id) left join runs run on run.run_id = md.run_id
"""
BY_GROUP = """
    select dataset_id, split, coalesce(case $field when 'source' then source else prompt_type end, '') as "group", scorer_id,
           prompt_id, margin
    from scored_pairs where ($dataset is null or dataset_id = $dataset) and ($split is null or split = $split)
"""


def study_runs(con: Connection, study: str | None) -> pl.DataFrame:
    """One row per run and validation split, in the order they were submitted; a run without measurement is one row without a split.

    Columns: place (first run of the configuration), configuration, seed, run, run_id, state, error, seconds, peak_gb, split, n (pairs),
    accuracy (a policy's: of its implicit reward), accuracy_length_matched (a reward model's, on pairs of like length), reward_mean (chosen
    and rejected pooled), reward_std.
    """
    return frame(con, STUDY_RUNS, {"study": study})


def study_table(con: Connection, study: str | None) -> pl.DataFrame:
    """One row per configuration and validation split: runs, done, accuracy (an Estimate: the mean over seeds; std with n − 1, min, max),
    accuracy_length_matched, reward_mean and reward_std (means over seeds), n (pairs), seconds (mean), peak_gb (highest), state, reason
    (the first error).
    """
    rows = study_runs(con, study)
    value, done = pl.col("accuracy"), pl.col("state") == "done"
    runs = rows.unique("run_id", maintain_order=True).group_by("configuration", maintain_order=True)
    of_runs = runs.agg(
        pl.len().alias("runs"), done.sum().alias("done"), pl.col("seconds").filter(done).mean(), pl.col("peak_gb").max(),
        pl.col("state"), pl.col("error").drop_nulls().first().alias("reason"),
    )  # fmt: skip
    measured = rows.drop_nulls("split").group_by("configuration", "split", maintain_order=True)
    of_splits = measured.agg(
        value.drop_nulls(), value.std().alias("accuracy_std"), value.min().alias("accuracy_min"), value.max().alias("accuracy_max"),
        pl.col("accuracy_length_matched", "reward_mean", "reward_std").mean(), pl.col("n").max(),
    )  # fmt: skip
    both = of_runs.join(of_splits, on="configuration", how="left", maintain_order="left_right")
    means = [mean_over_seeds(values) if values else None for values in both["accuracy"].to_list()]
    states = pl.Series("state", [outcome(s) for s in both["state"]], dtype=pl.String)
    return both.with_columns(states, column("accuracy", means)).select(STUDY_COLUMNS)


def outcome(states: pl.Series) -> str:
    """`done`, or `2 done, 1 did not fit` when the seeds ended differently."""
    counts = Counter(states).most_common()
    return str(states[0]) if len(counts) == 1 else ", ".join(f"{count} {state}" for state, count in counts)


def accuracy_by_group(con: Connection, field: str, dataset: str | None = None, split: str | None = None) -> pl.DataFrame:
    """Accuracy of every scorer on each group of the pairs it has scored, the largest group first.

    field: one of GROUP_FIELDS; dataset and split: None means all. Columns: dataset, dataset_id, split, group ('' where the field is empty),
    scorer, scorer_id, model (untrained, common, group, conditional, ensemble, …: how it was trained), trained_on (its group), run_id,
    n (pairs), accuracy (an Estimate, ties half).
    """
    rows = frame(con, BY_GROUP, {"field": field, "dataset": dataset, "split": split})
    cells = ["dataset_id", "split", "group", "scorer_id"]
    parts = rows.partition_by(cells, maintain_order=True)
    found = pl.DataFrame([part.row(0, named=True) for part in parts], schema=rows.schema).select(cells)
    named = found.join(frame(con, "select dataset_id, name as dataset from datasets"), on="dataset_id", maintain_order="left")
    found = named.join(frame(con, JUDGES), on="scorer_id", maintain_order="left").select(
        "dataset", "dataset_id", "split", "group", "scorer", "scorer_id", "model", "trained_on", "run_id"
    )
    shares = [accuracy(part) for part in parts]
    place = pl.col("model").replace_strict({model: i for i, model in enumerate(MODELS)}, default=len(MODELS), return_dtype=pl.Int64)
    sized = found.with_columns(pl.Series("n", [s.n for s in shares], dtype=pl.Int64), column("accuracy", shares))
    largest = pl.col("n").max().over("dataset_id", "split", "group")
    return sized.sort("dataset", "dataset_id", "split", -largest, "group", place, "run_id", "scorer", "scorer_id", nulls_last=True)


def groups_as_text(rows: pl.DataFrame) -> str:
    """A table for a terminal."""
    if rows.is_empty():
        return "no reward model has scored pairs that name a group"
    lines = [f"{'dataset / split':30}{'group':26}{'reward model':30}{'trained on':18}{'n':>6}  accuracy (95 % interval)"]
    for r in map(on_one_line, rows.iter_rows(named=True)):
        trained = f"group {r['trained_on']}" if r["model"] == "group" else r["model"]
        place = f"{r['dataset']} / {r['split']}"
        row = f"{place[:29]:30}{(r['group'] or '(none)')[:25]:26}{r['scorer'][:29]:30}{trained[:17]:18}{r['n']:>6}"
        right = Estimate(**r["accuracy"])
        lines.append(f"{row}  {right:.3f}, {right.method}")
    return "\n".join(lines)
