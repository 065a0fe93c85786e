"""Rewards of chosen and rejected responses: distributions, summary, and what length has to do with them."""

from math import nan

import polars as pl

from dashboard.queries.distributions import boxes, histogram
from dashboard.queries.selection import Selection
from engine.statistics.proportions import wilson
from engine.statistics.rewards import correlation_interval, normal_interval
from engine.store.database import Connection, frame

SCORED = "scored_pairs where scorer_id = $scorer and dataset_id = $dataset and split = $split"
SCORER = "(select name from scorers where scorer_id = $scorer)"
RIGHT = "count(*) filter (margin > 0) + 0.5e0 * count(*) filter (margin = 0)"
BOTH_SIDES = f"""
    select unnest(['chosen', 'rejected']) as series, {SCORER} as facet, unnest([chosen_reward, rejected_reward]) as value from {SCORED}
"""
SUMMARY = f"""
    with pair as (from {SCORED}), pooled as (select unnest([chosen_reward, rejected_reward]) as reward from pair)
    select count(*) as n, {RIGHT} as "right", avg(chosen_reward) as chosen_mean, stddev_samp(chosen_reward) as chosen_std,
           avg(rejected_reward) as rejected_mean, stddev_samp(rejected_reward) as rejected_std,
           avg(margin) as margin_mean, stddev_samp(margin) as margin_std,
           (select avg(reward) from pooled) as reward_mean, (select stddev_samp(reward) from pooled) as reward_std,
           {SCORER} as scorer, (select kind from scorers where scorer_id = $scorer) as kind, corr(margin, longer_by) as length_correlation
    from pair
"""
LENGTH_RULE = """
    select count(*) as n, count(*) filter (c.words > r.words) + 0.5e0 * count(*) filter (c.words = r.words) as "right"
    from pairs join texts c on c.text_id = chosen_id join texts r on r.text_id = rejected_id where dataset_id = $dataset and split = $split
"""
MARGIN_BY_LENGTH = f"""
    with pair as (from {SCORED}), edge as (
        select quantile_cont(longer_by, [0.005, 0.995]) as x, quantile_cont(margin, [0.005, 0.995]) as y from pair
    )
    select round(longer_by / $x_step) * $x_step as longer_by, round(margin / $y_step) * $y_step as margin, count(*) as count
    from pair, edge where longer_by between x[1] and x[2] and margin between y[1] and y[2] group by all order by all
"""
BY_LENGTH = f"""
    with pair as (from {SCORED}), binned as (
        select *, ntile(least(6, greatest(1, $n // 8))) over (order by longer_by, pair_id) as bin from pair
    )
    select bin, min(longer_by) as "from", max(longer_by) as "to", count(*) as n, {RIGHT} as "right", avg(margin) as margin,
           {SCORER} as scorer
    from binned group by bin order by bin
"""


def scored_by(selection: Selection, scorer: str | None) -> dict[str, object]:
    return {"dataset": selection.dataset_id, "split": selection.split, "scorer": scorer}


def with_share(rows: pl.DataFrame, name: str = "accuracy") -> pl.DataFrame:
    """Replace `right` by its share of n and the ends of its 95 % interval."""
    shares = [wilson(right, n) for right, n in rows.select("right", "n").iter_rows()]
    columns = {name: [s.value for s in shares], f"{name}_low": [s.low for s in shares], f"{name}_high": [s.high for s in shares]}
    return rows.drop("right").with_columns(pl.Series(k, v, dtype=pl.Float64) for k, v in columns.items())


def score_histogram(con: Connection, selection: Selection, scorer: str | None) -> pl.DataFrame:
    """Bins of the rewards of chosen and rejected, and the scorer's accuracy on these pairs with its interval."""
    bins = histogram(con, BOTH_SIDES, scored_by(selection, scorer))
    summary = reward_summary(con, selection, scorer)
    return bins.join(summary.select("accuracy", "accuracy_low", "accuracy_high"), how="cross")


def base_scores(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 4a: rewards under the untrained reward model."""
    return score_histogram(con, selection, selection.base_scorer)


def trained_scores(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 4b: rewards under the trained reward model."""
    return score_histogram(con, selection, selection.trained_scorer)


def base_boxes(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 5a: box statistics of the rewards under the untrained reward model."""
    return boxes(con, BOTH_SIDES, scored_by(selection, selection.base_scorer))


def trained_boxes(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 5b: box statistics of the rewards under the trained reward model."""
    return boxes(con, BOTH_SIDES, scored_by(selection, selection.trained_scorer))


def reward_summary(con: Connection, selection: Selection, scorer: str | None) -> pl.DataFrame:
    """One row, none without scored pairs: scorer, kind, n, accuracy, reward, chosen, rejected and margin means and stds, with intervals.

    reward_mean and reward_std pool both sides as align-anything does; length_correlation is that of margin and difference in words.
    """
    rows = with_share(frame(con, SUMMARY, scored_by(selection, scorer)).filter(pl.col("n") > 0))
    margins = [normal_interval(m, s if s is not None else nan, n) for m, s, n in rows.select("margin_mean", "margin_std", "n").iter_rows()]
    r = [correlation_interval(nan if c is None else c, n) for c, n in rows.select("length_correlation", "n").iter_rows()]
    return rows.with_columns(
        pl.Series("margin_low", [m.low for m in margins], dtype=pl.Float64),
        pl.Series("margin_high", [m.high for m in margins], dtype=pl.Float64),
        pl.Series("length_correlation_low", [c.low for c in r], dtype=pl.Float64),
        pl.Series("length_correlation_high", [c.high for c in r], dtype=pl.Float64),
    )


def reward_summaries(con: Connection, selection: Selection) -> pl.DataFrame:
    """The summary of the untrained and the trained scorer, one row each."""
    return pl.concat([reward_summary(con, selection, s) for s in (selection.base_scorer, selection.trained_scorer)], how="vertical_relaxed")


def margin_histogram(con: Connection, selection: Selection) -> pl.DataFrame:
    """Bins of the trained scorer's margin (chosen − rejected), and its accuracy."""
    values = f"select 'margin' as series, {SCORER} as facet, margin as value from {SCORED}"
    bins = histogram(con, values, scored_by(selection, selection.trained_scorer))
    return bins.join(
        reward_summary(con, selection, selection.trained_scorer).select("accuracy", "accuracy_low", "accuracy_high"), how="cross"
    )


def length_rule(con: Connection, selection: Selection) -> pl.DataFrame:
    """Accuracy of "the longer response is the better one" on the selected pairs: n, accuracy, accuracy_low, accuracy_high."""
    return with_share(frame(con, LENGTH_RULE, {"dataset": selection.dataset_id, "split": selection.split}).filter(pl.col("n") > 0))


def accuracy_by_length(con: Connection, selection: Selection) -> pl.DataFrame:
    """Accuracy within up to six equally large groups of pairs, ordered by how many words longer the chosen response is.

    Columns: bin, from, to (words), n, accuracy with interval, margin (mean), scorer.
    """
    params = scored_by(selection, selection.trained_scorer)
    n = frame(con, f"select count(*) as n from {SCORED}", params).item()
    return with_share(frame(con, BY_LENGTH, {**params, "n": n}))


def margin_by_length(con: Connection, selection: Selection) -> pl.DataFrame:
    """Pairs counted on a grid of longer_by (words) and margin under the trained scorer; with the correlation and its interval."""
    params = scored_by(selection, selection.trained_scorer)
    spread = f"select stddev_samp(longer_by) as x, stddev_samp(margin) as y, count(*) as n from {SCORED}"
    x, y, n = frame(con, spread, params).row(0)
    cells_per_std = 12 if n <= 1000 else 4
    steps = {"x_step": max(1.0, round((x or 1.0) / cells_per_std)), "y_step": (y or 1.0) / cells_per_std}
    cells = frame(con, MARGIN_BY_LENGTH, {**params, **steps})
    columns = "n", "scorer", "length_correlation", "length_correlation_low", "length_correlation_high"
    return cells.join(reward_summary(con, selection, selection.trained_scorer).select(columns), how="cross")
