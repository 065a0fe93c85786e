"""Answers of the base and the tuned generator: lengths, rewards, and who wins."""

import polars as pl

from dashboard.queries.distributions import boxes, histogram
from dashboard.queries.scores import with_share
from dashboard.queries.selection import Selection
from engine.statistics.rewards import normal_interval
from engine.store.database import Connection, frame

ASKED = "select distinct prompt_id from pairs where dataset_id = $dataset and split = $split"
ANSWERS = f"""
    select generator_id, case generator_id when $base then 'base' else 'tuned' end as who, g.name as generator,
           a.prompt_id, a.text_id, a.tokens, t.words
    from generations a join generators g using (generator_id) join texts t using (text_id)
    where generator_id in ($base, $tuned) and prompt_id in ({ASKED})
"""
SCORED = f"""
    with answer as ({ANSWERS}), scored as (select scorer_id, prompt_id, text_id, avg(reward) as reward from rewards group by all)
    select answer.*, s.scorer_id, n.name as scorer, s.reward, case s.scorer_id when $untrained then 'untrained' else 'trained' end as judge
    from answer join scored s using (prompt_id, text_id) join scorers n using (scorer_id)
    where s.scorer_id in ($untrained, $trained)
"""
BOTH = f"""
    with s as (select prompt_id, who, judge, any_value(scorer) as scorer, avg(reward) as reward from ({SCORED}) group by all)
    select t.prompt_id, judge, t.scorer, b.reward as base, t.reward as tuned, t.reward - b.reward as difference
    from s t join s b using (prompt_id, judge) where t.who = 'tuned' and b.who = 'base'
"""
WINS = f"""
    select judge, any_value(scorer) as scorer, count(*) as n,
           count(*) filter (difference > 0) + 0.5e0 * count(*) filter (difference = 0) as "right",
           avg(difference) as difference, stddev_samp(difference) as difference_std, avg(base) as base_mean, avg(tuned) as tuned_mean
    from ({BOTH}) group by judge order by judge desc
"""
LENGTHS = f"""
    select who, any_value(generator) as generator, count(*) as n, avg(tokens) as tokens_mean, median(tokens) as tokens_median,
           avg(words) as words_mean, median(words) as words_median
    from ({ANSWERS}) group by who order by who
"""


def compared(selection: Selection) -> dict[str, object]:
    return {
        "dataset": selection.dataset_id,
        "split": selection.split,
        "base": selection.base_generator,
        "tuned": selection.tuned_generator,
    }


def judged(selection: Selection) -> dict[str, object]:
    return {**compared(selection), "untrained": selection.base_scorer, "trained": selection.trained_scorer}


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
    values = f"select 'difference' as series, scorer as facet, difference as value from ({BOTH}) where judge = 'trained'"
    bins = histogram(con, values, judged(selection))
    wins = win_rates(con, selection).filter(pl.col("judge") == "trained")
    return bins.join(
        wins.select("win_rate", "win_rate_low", "win_rate_high", "difference", "difference_low", "difference_high"), how="cross"
    )


def win_rates(con: Connection, selection: Selection) -> pl.DataFrame:
    """How often the tuned answer gets the higher reward: judge (untrained, trained), scorer, n, win_rate, difference, with intervals."""
    rows = with_share(frame(con, WINS, judged(selection)), "win_rate")
    spans = [normal_interval(d, s if s is not None else 0.0, n) for d, s, n in rows.select("difference", "difference_std", "n").iter_rows()]
    return rows.with_columns(
        pl.Series("difference_low", [s.low for s in spans], dtype=pl.Float64),
        pl.Series("difference_high", [s.high for s in spans], dtype=pl.Float64),
    )


def generators_under_scorers(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 9a: box statistics, one panel per scorer, one box per generator."""
    return boxes(con, f"select who as series, judge || '|' || scorer as facet, reward as value from ({SCORED})", judged(selection))


def scorers_on_generators(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 9b: box statistics, one panel per generator, one box per scorer."""
    return boxes(con, f"select judge as series, who || '|' || generator as facet, reward as value from ({SCORED})", judged(selection))


def answers_under(con: Connection, selection: Selection, judge: str) -> pl.DataFrame:
    bins = histogram(
        con,
        f"select who as series, scorer as facet, reward as value from ({SCORED}) where judge = $judge",
        {**judged(selection), "judge": judge},
    )
    wins = (
        win_rates(con, selection)
        .filter(pl.col("judge") == judge)
        .select("win_rate", "win_rate_low", "win_rate_high", pl.col("n").alias("prompts"))
    )
    return bins.join(wins, how="cross")


def answers_under_base(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 10a: histogram of both generators' rewards under the untrained scorer."""
    return answers_under(con, selection, "untrained")


def answers_under_trained(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 10b: histogram of both generators' rewards under the trained scorer."""
    return answers_under(con, selection, "trained")
