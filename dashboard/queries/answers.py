"""Answers of the base and the tuned generator: lengths, rewards, and who wins."""

import polars as pl

from dashboard.queries.distributions import boxes, histogram
from dashboard.queries.scores import with_share
from dashboard.queries.selection import Selection
from engine.statistics.rewards import normal_interval
from engine.store.database import Connection, frame

ASKED = "prompt_id in (select prompt_id from pairs where dataset_id = $dataset and split = $split)"
WHO = "case generator_id when $base then 'base' else 'tuned' end"
ANSWERS = f"select *, {WHO} as who from answers where generator_id in ($base, $tuned) and {ASKED}"
JUDGED = f"from scored_answers where scorer_id = $scorer and generator_id in ($base, $tuned) and {ASKED}"
COMPARED = f"compared_answers where base_id = $base and tuned_id = $tuned and scorer_id = $scorer and {ASKED}"
WINS = f"""
    select (select name from scorers where scorer_id = $scorer) as scorer, count(*) as n,
           count(*) filter (difference > 0) + 0.5e0 * count(*) filter (difference = 0) as "right",
           avg(difference) as difference, stddev_samp(difference) as difference_std, avg(base_reward) as base_mean,
           avg(tuned_reward) as tuned_mean
    from {COMPARED}
"""
LENGTHS = f"""
    select who, any_value(g.name) as generator, count(*) as n, avg(tokens) as tokens_mean, median(tokens) as tokens_median,
           avg(words) as words_mean, median(words) as words_median
    from ({ANSWERS}) join generators g using (generator_id) group by who order by who
"""
JUDGES = ("untrained", "trained")


def compared(selection: Selection) -> dict[str, object]:
    return {
        "dataset": selection.dataset_id,
        "split": selection.split,
        "base": selection.base_generator,
        "tuned": selection.tuned_generator,
    }


def judged(selection: Selection, judge: str) -> dict[str, object]:
    """The comparison under one of JUDGES."""
    return {**compared(selection), "scorer": selection.base_scorer if judge == "untrained" else selection.trained_scorer}


def answer_lengths(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 8a: histogram of answer lengths; facet is their unit: tokens, or words when some answer's tokens were not counted."""
    values = f"""
        with a as ({ANSWERS}), u as (select coalesce(bool_and(tokens is not null), true) as counted from a)
        select who as series,
               case when counted then 'tokens' else 'words' end as facet,
               case when counted then tokens else words end as value from a, u
    """
    bins = histogram(con, values, compared(selection), whole=True, open_end=True)
    return bins.join(generator_names(con, selection), on="series", how="left", maintain_order="left")


def generator_names(con: Connection, selection: Selection) -> pl.DataFrame:
    query = """
        select case generator_id when $base then 'base' else 'tuned' end as series, name as generator
        from generators where generator_id in ($base, $tuned)
    """
    return frame(con, query, {"base": selection.base_generator, "tuned": selection.tuned_generator})


def answer_length_summary(con: Connection, selection: Selection) -> pl.DataFrame:
    """who (base, tuned), generator, n, mean and median of tokens and of words."""
    return frame(con, LENGTHS, compared(selection))


def reward_differences(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 8b: histogram of tuned − base reward per prompt under the trained scorer, with win rate and mean difference."""
    values = f"""
        select 'difference' as series, (select name from scorers where scorer_id = $scorer) as facet, difference as value from {COMPARED}
    """
    bins = histogram(con, values, judged(selection, "trained"))
    wins = win_rate(con, selection, "trained")
    return bins.join(
        wins.select("win_rate", "win_rate_low", "win_rate_high", "difference", "difference_low", "difference_high"), how="cross"
    )


def win_rate(con: Connection, selection: Selection, judge: str) -> pl.DataFrame:
    """One row, none without a prompt that both answered and the judge scored: judge, scorer, n, win_rate, difference, with intervals."""
    found = frame(con, WINS, judged(selection, judge)).filter(pl.col("n") > 0)
    rows = with_share(found.select(pl.lit(judge).alias("judge"), pl.all()), "win_rate")
    spans = [normal_interval(d, s if s is not None else 0.0, n) for d, s, n in rows.select("difference", "difference_std", "n").iter_rows()]
    return rows.with_columns(
        pl.Series("difference_low", [s.low for s in spans], dtype=pl.Float64),
        pl.Series("difference_high", [s.high for s in spans], dtype=pl.Float64),
    )


def win_rates(con: Connection, selection: Selection) -> pl.DataFrame:
    """How often the tuned answer gets the higher reward, a row for each judge: columns as in win_rate."""
    return pl.concat([win_rate(con, selection, judge) for judge in JUDGES], how="vertical_relaxed")


def reward_boxes(con: Connection, selection: Selection) -> pl.DataFrame:
    """Box statistics of each generator (who: base, tuned) under each judge, with their names generator and scorer."""
    found = []
    for judge in JUDGES:
        values = judged(selection, judge)
        drawn = boxes(con, f"select {WHO} as series, '' as facet, reward as value {JUDGED}", values)
        scorer = frame(con, "select name as scorer from scorers where scorer_id = $scorer", {"scorer": values["scorer"]})
        found.append(drawn.drop("facet").with_columns(pl.lit(judge).alias("judge")).join(scorer, how="cross"))
    names = generator_names(con, selection)
    return pl.concat(found).join(names, on="series", how="left", maintain_order="left").rename({"series": "who"})


def generators_under_scorers(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 9a: box statistics, one panel (facet, and its name) per scorer, one box (series) per generator."""
    return reward_boxes(con, selection).rename({"who": "series", "judge": "facet", "scorer": "name"}).drop("generator")


def scorers_on_generators(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 9b: box statistics, one panel (facet, and its name) per generator, one box (series) per scorer."""
    return reward_boxes(con, selection).rename({"judge": "series", "who": "facet", "generator": "name"}).drop("scorer")


def answers_under(con: Connection, selection: Selection, judge: str) -> pl.DataFrame:
    values = f"select {WHO} as series, (select name from scorers where scorer_id = $scorer) as facet, reward as value {JUDGED}"
    wins = win_rate(con, selection, judge).select("win_rate", "win_rate_low", "win_rate_high", pl.col("n").alias("prompts"))
    return histogram(con, values, judged(selection, judge)).join(wins, how="cross")


def answers_under_base(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 10a: histogram of both generators' rewards under the untrained scorer."""
    return answers_under(con, selection, "untrained")


def answers_under_trained(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 10b: histogram of both generators' rewards under the trained scorer."""
    return answers_under(con, selection, "trained")
