"""On how many prompts the tuned answer is preferred: in all, by type of prompt, by what its length is, and where it matters most."""

from typing import Any

import polars as pl

from dashboard.queries.answers import JUDGES, judge_of
from dashboard.queries.selection import Selection
from engine.statistics import rows
from engine.statistics.estimate import ESTIMATE, Estimate, column
from engine.statistics.registry import measured
from engine.store.database import Connection

LENGTH_CLASSES = ("win_rate_shorter", "win_rate_like_length", "win_rate_longer")


def win_tie_loss(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 14: a row for each judge that scored both: judge, scorer, won, tied, lost (prompts), win_rate (an Estimate)."""
    found: list[dict[str, Any]] = []
    for judge in reversed(JUDGES):
        judging = judge_of(selection, judge)
        answers = rows.compared_answers(con, selection, judging)
        if answers.is_empty():
            continue
        signs = answers["difference"].sign()
        counts = {name: int((signs == sign).sum()) for name, sign in (("won", 1), ("tied", 0), ("lost", -1))}
        found.append(
            {"judge": judge, "scorer": rows.scorer_name(con, judging), **counts, "win_rate": measured(answers, ["win_rate"])["win_rate"]}
        )
    schema = {"judge": pl.String, "scorer": pl.String, **dict.fromkeys(("won", "tied", "lost"), pl.Int64)}
    counted = pl.DataFrame([{k: v for k, v in row.items() if k != "win_rate"} for row in found], schema=schema)
    return counted.with_columns(column("win_rate", [row["win_rate"] for row in found]))


def win_rate_by_group(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 15: group (of the selection's group_field), win_rate by the trained scorer; the highest first."""
    group = pl.col(selection.group_field).fill_null("").alias("group")
    typed = rows.prompt_groups(con, selection).select("prompt_id", group)
    answers = rows.compared_answers(con, selection, selection.trained_scorer).join(typed, on="prompt_id", maintain_order="left")
    groups = answers.partition_by("group", maintain_order=True)
    rates: list[Estimate] = [measured(part, ["win_rate"])["win_rate"] for part in groups]
    names = pl.Series("group", [part["group"][0] for part in groups], dtype=pl.String)
    field = pl.lit(selection.group_field).alias("field")
    found = pl.DataFrame([names, column("win_rate", rates)]).with_columns(field)
    if found["group"].n_unique() < 2:  # one group is all prompts
        return found.clear()
    return found.sort(pl.col("win_rate").struct.field("value"), "group", descending=[True, False])


def win_rate_by_length(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 16: length (shorter, like, longer: the tuned answer beside the base one, alike within 10 %), win_rate, cut (prompts)."""
    answers = rows.compared_answers(con, selection, selection.trained_scorer)
    if answers.is_empty():
        return pl.DataFrame(schema={"length": pl.String, "win_rate": ESTIMATE, "cut": pl.Int64})
    rates = measured(answers, LENGTH_CLASSES)
    cut = int(((answers["base_finish_reason"] == "length") & (answers["tuned_finish_reason"] == "length")).sum())
    kept = {name: rate for name, rate in rates.items() if rate.n}
    lengths = pl.Series("length", [name.removeprefix("win_rate_").removesuffix("_length") for name in kept], dtype=pl.String)
    return pl.DataFrame([lengths, column("win_rate", kept.values())]).with_columns(pl.lit(cut).alias("cut"))


def both_ends(con: Connection, selection: Selection, each: int) -> tuple[list[str], list[str]]:
    """The prompts on which the trained scorer sees the tuned answer gain most and lose most, the largest first."""
    answers = rows.compared_answers(con, selection, selection.trained_scorer).select("prompt_id", "difference")
    ordered = answers.sort("difference", "prompt_id", descending=[True, False])
    won, lost = (ordered.filter(side)["prompt_id"] for side in (pl.col("difference") > 0, pl.col("difference") < 0))
    return won.head(each).to_list(), lost.tail(each).reverse().to_list()
