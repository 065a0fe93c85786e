"""Studies and groups, as the command line prints them (engine.statistics.groups), for what is selected."""

import polars as pl

from dashboard.queries.selection import Selection
from engine.statistics import groups
from engine.store.database import Connection
from engine.store.slices import once


def study(con: Connection, selection: Selection) -> pl.DataFrame:
    """Table 3: the selected study, one row per configuration and validation split."""
    return groups.study_table(con, selection.study)


def study_runs(con: Connection, selection: Selection) -> pl.DataFrame:
    """Every run of the selected study that was measured on the selected split (or else the study's first), and every unmeasured one.

    Columns as in engine.statistics.groups.study_runs.
    """
    rows = groups.study_runs(con, selection.study)
    splits = rows["split"].drop_nulls().unique(maintain_order=True).to_list()
    split = selection.split if selection.split in splits else next(iter(splits), "")
    return rows.filter((pl.col("split") == split) | pl.col("split").is_null())


def accuracy_by_group(con: Connection, selection: Selection) -> pl.DataFrame:
    """Table 4: accuracy on each group of the selected pairs: of the selected scorers and reward runs, and of all trained with groups.

    Columns: field (what names the group), group, scorer, scorer_id, model, trained_on, run_id, n, accuracy (an Estimate).
    """
    rows = once(con, groups.accuracy_by_group, selection.group_field, selection.dataset_id or "", selection.split)
    scorers = [s for s in (selection.trained_scorer, selection.base_scorer) if s]
    picked = pl.col("scorer_id").is_in(scorers) | pl.col("run_id").is_in(selection.reward_runs)
    shown = rows.filter(picked | pl.col("model").is_in(["group", "conditional"]))
    return shown.select(pl.lit(selection.group_field).alias("field"), pl.all().exclude("dataset", "dataset_id", "split"))


def accuracy_of_groups(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 13: accuracy of the trained and the untrained scorer on each group, the highest of the trained one first.

    Columns: field, group ('' where none is given), who (trained, untrained), scorer, accuracy (an Estimate). Empty for a single group.
    """
    who = {selection.base_scorer: "untrained", selection.trained_scorer: "trained"}
    rows = accuracy_by_group(con, selection).filter(pl.col("scorer_id").is_in([s for s in who if s]))
    if rows["group"].n_unique() < 2:
        rows = rows.clear()
    named = rows.with_columns(who=pl.col("scorer_id").replace_strict(who, return_dtype=pl.String))
    reached = pl.col("accuracy").struct.field("value").filter(pl.col("who") == "trained").first().over("group")
    return named.sort(-reached, "group", "who", nulls_last=True).select("field", "group", "who", "scorer", "accuracy")
