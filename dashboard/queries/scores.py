"""Rewards of chosen and rejected responses: distributions, summary, and what length has to do with them."""

from collections.abc import Iterable

import polars as pl

from dashboard.queries.distributions import boxes, histogram
from dashboard.queries.selection import Selection
from engine.statistics import rows
from engine.statistics.estimate import ESTIMATE, column
from engine.statistics.registry import measured
from engine.statistics.twins import pairs_of_both
from engine.store.database import Connection, frame

SCORED = "scored_pairs where scorer_id = $scorer and dataset_id = $dataset and split = $split"
SCORER = "(select name from named_scorers where scorer_id = $scorer)"
BOTH_SIDES = f"""
    select unnest(['chosen', 'rejected']) as series, {SCORER} as facet, unnest([chosen_reward, rejected_reward]) as value, prompt_id
    from {SCORED}
"""
SUMMARISED = (
    "accuracy", "reward_mean", "reward_std", "chosen_mean", "chosen_std", "rejected_mean", "rejected_std", "margin_mean", "margin_std",
    "length_correlation",
)  # fmt: skip


def scored_by(selection: Selection, scorer: str | None) -> dict[str, object]:
    return {"dataset": selection.dataset_id, "split": selection.split, "scorer": scorer}


def beside(drawn: pl.DataFrame, found: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Rows of a figure, each with the same statistics of all that it shows."""
    return drawn.join(found.select(columns), how="cross")


def score_histogram(con: Connection, selection: Selection, scorer: str | None) -> pl.DataFrame:
    """Bins of the rewards of chosen and rejected, and the scorer's accuracy on these pairs with its interval."""
    bins = histogram(con, BOTH_SIDES, scored_by(selection, scorer), width=selection.bin_width)
    return beside(bins, reward_summary(con, selection, scorer, ("accuracy",)), "accuracy")


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


def reward_summary(con: Connection, selection: Selection, scorer: str | None, names: Iterable[str] = SUMMARISED) -> pl.DataFrame:
    """One row, none without scored pairs: scorer, kind, n (pairs), and the named statistics, each an Estimate."""
    pairs = rows.scored_pairs(con, selection, scorer)
    about = frame(con, "select name as scorer, kind from named_scorers where scorer_id = $scorer", {"scorer": scorer})
    if pairs.is_empty():
        return pl.DataFrame(schema={**about.schema, "n": pl.Int64, **dict.fromkeys(names, ESTIMATE)})
    return about.with_columns(pl.Series("n", [len(pairs)]), *(column(name, [e]) for name, e in measured(pairs, names).items()))


def reward_summaries(con: Connection, selection: Selection) -> pl.DataFrame:
    """The summary of the untrained and the trained scorer, one row each."""
    return pl.concat([reward_summary(con, selection, s) for s in (selection.base_scorer, selection.trained_scorer)], how="vertical_relaxed")


def accuracy_gain(con: Connection, selection: Selection) -> pl.DataFrame:
    """One row, none without pairs that both have scored: accuracy_gain of the trained over the untrained scorer."""
    where = selection.trained_scorer, selection.base_scorer, selection.dataset_id, selection.split
    pairs = pairs_of_both(con, *where)
    return pl.DataFrame([column("accuracy_gain", [] if pairs.is_empty() else measured(pairs, ["accuracy_gain"]).values())])


def margin_histogram(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 12: bins of the trained scorer's margin (chosen − rejected); with wrong, tied, right (pairs) and the accuracy of all."""
    values = f"select 'margin' as series, {SCORER} as facet, margin as value from {SCORED}"
    params = scored_by(selection, selection.trained_scorer)
    signs = "count(*) filter (margin < 0) as wrong, count(*) filter (margin = 0) as tied, count(*) filter (margin > 0) as right"
    bins = histogram(con, values, params, fine=3, width=selection.bin_width)
    bins = bins.join(frame(con, f"select {signs} from {SCORED}", params), how="cross")
    return beside(bins, reward_summary(con, selection, selection.trained_scorer, ("accuracy",)), "accuracy")


def length_rule(con: Connection, selection: Selection) -> pl.DataFrame:
    """Accuracy of "the longer response is the better one" on the selected pairs: one row of length_rule (an Estimate), or none."""
    pairs = rows.lengths(con, selection)
    return pl.DataFrame([column("length_rule", [] if pairs.is_empty() else measured(pairs, ["length_rule"]).values())])
