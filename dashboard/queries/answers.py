"""Answers of the base and the tuned generator: lengths, rewards, and who wins."""

from dataclasses import replace

import polars as pl

from dashboard.queries.distributions import boxes, histogram
from dashboard.queries.scores import beside
from dashboard.queries.selection import Selection
from engine.statistics import rows
from engine.statistics.estimate import ESTIMATE, column
from engine.statistics.registry import measured
from engine.store.database import Connection, frame
from engine.store.slices import once

ASKED = "prompt_id in (select prompt_id from pairs where dataset_id = $dataset and split = $split)"
WHO = "case generator_id when $base then 'base' else 'tuned' end"
ANSWERS = f"select *, {WHO} as who from answers where generator_id in ($base, $tuned) and {ASKED}"
LIMITS = """
    select who as series, max(tokens) filter (finish_reason = 'length') as limit_tokens from ({answers}) group by who
"""
SIDES_CUT = ("base_cut", "tuned_cut")
JUDGES = ("untrained", "trained")
OF_ANSWERS = ("tokens_mean", "words_mean", "share_cut")
OF_COMPARISONS = ("win_rate", "reward_difference")


def compared(selection: Selection) -> dict[str, object]:
    return {
        "dataset": selection.dataset_id,
        "split": selection.split,
        "base": selection.base_generator,
        "tuned": selection.tuned_generator,
    }


def judged(selection: Selection, judge: str) -> dict[str, object]:
    """The comparison under one of JUDGES."""
    return {**compared(selection), "scorer": judge_of(selection, judge)}


def judge_of(selection: Selection, judge: str) -> str | None:
    return selection.base_scorer if judge == "untrained" else selection.trained_scorer


def answer_lengths(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 8a: histogram of answer lengths; facet is their unit: tokens, or words when some answer's tokens were not counted."""
    return once(con, lengths_of_answers, replace(selection, base_scorer=None, trained_scorer=None, reward_runs=()))  # whoever judges


def lengths_of_answers(con: Connection, selection: Selection) -> pl.DataFrame:
    values = f"""
        with a as ({ANSWERS}), u as (select coalesce(bool_and(tokens is not null), true) as counted from a)
        select who as series,
               case when counted then 'tokens' else 'words' end as facet,
               case when counted then tokens else words end as value from a, u
    """
    bins = histogram(con, values, compared(selection), whole=True, open_end=True, width=selection.bin_width)
    names = bins.join(generator_names(con, selection), on="series", how="left", maintain_order="left")
    limits = frame(con, LIMITS.format(answers=ANSWERS), compared(selection))
    return beside(names.join(limits, on="series", how="left", maintain_order="left"), once(con, cuts, selection), *SIDES_CUT)


def cuts(con: Connection, selection: Selection) -> pl.DataFrame:
    """One row: base_cut and tuned_cut, the share of answers that the token limit cut (Estimates; n is 0 where nobody knows)."""
    ended = rows.given_answers(con, selection)
    found = {who: measured(ended.filter(pl.col("who") == who), ["share_cut"])["share_cut"] for who in ("base", "tuned")}
    return pl.DataFrame([column(f"{who}_cut", [estimate]) for who, estimate in found.items()])


def generator_names(con: Connection, selection: Selection) -> pl.DataFrame:
    query = """
        select case generator_id when $base then 'base' else 'tuned' end as series, name as generator
        from named_generators where generator_id in ($base, $tuned)
    """
    return frame(con, query, {"base": selection.base_generator, "tuned": selection.tuned_generator})


def answer_length_summary(con: Connection, selection: Selection) -> pl.DataFrame:
    """A row for the base and one for the tuned generator: who, generator, and the statistics of its answers, each an Estimate."""
    given = frame(con, f"select who, a.* from ({ANSWERS}) a order by who, prompt_id, text_id", compared(selection))
    parts = given.partition_by("who", maintain_order=True)
    found = [measured(part, OF_ANSWERS) for part in parts]
    who = pl.Series("series", [part["who"][0] for part in parts], dtype=pl.String)
    table = pl.DataFrame([who, *(column(name, [e[name] for e in found]) for name in OF_ANSWERS)])
    return table.join(generator_names(con, selection), on="series", how="left", maintain_order="left").rename({"series": "who"})


def reward_differences(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 8b: histogram of tuned − base reward per prompt under the trained scorer, with win rate and mean difference.

    won, tied, lost: prompts on each side of 0 and at 0, which the bins do not tell apart.
    """
    scorer = selection.trained_scorer
    difference = pl.col("difference")
    answers = rows.compared_answers(con, selection, scorer)
    values = answers.select(difference.alias("value"), series=pl.lit("difference"), facet=named(con, scorer))
    signs = answers.select(won=(difference > 0).sum(), tied=(difference == 0).sum(), lost=(difference < 0).sum())
    bins = histogram(con, values, width=selection.bin_width).join(signs, how="cross")
    return beside(bins, once(con, win_rate, selection, "trained"), *OF_COMPARISONS, *SIDES_CUT)


def win_rate(con: Connection, selection: Selection, judge: str) -> pl.DataFrame:
    """One row, none without a prompt that both answered and the judge scored: judge, scorer, and Estimates."""
    scorer = judge_of(selection, judge)
    answers = rows.compared_answers(con, selection, scorer)
    about = pl.DataFrame({"judge": [judge], "scorer": [rows.scorer_name(con, scorer)]}, schema={"judge": pl.String, "scorer": pl.String})
    if answers.is_empty():
        return pl.DataFrame(schema={**about.schema, **dict.fromkeys((*OF_COMPARISONS, *SIDES_CUT), ESTIMATE)})
    found = about.with_columns(column(name, [e]) for name, e in measured(answers, OF_COMPARISONS).items())
    return beside(found, once(con, cuts, selection), *SIDES_CUT)


def win_rates(con: Connection, selection: Selection) -> pl.DataFrame:
    """How often the tuned answer gets the higher reward and by how much, a row for each judge: columns as in win_rate."""
    return pl.concat([win_rate(con, selection, judge) for judge in JUDGES], how="vertical_relaxed")


def reward_boxes(con: Connection, selection: Selection) -> pl.DataFrame:
    """Box statistics of each generator (who: base, tuned) under each judge, with their names generator and scorer."""
    found = []
    for judge in JUDGES:
        scorer = judge_of(selection, judge)
        drawn = boxes(con, rewards_under(con, selection, scorer)).drop("facet")
        found.append(drawn.with_columns(judge=pl.lit(judge), scorer=named(con, scorer)))
    names = generator_names(con, selection)
    boxed = pl.concat(found).join(names, on="series", how="left", maintain_order="left").rename({"series": "who"})
    return beside(boxed, once(con, cuts, selection), *SIDES_CUT)


def generators_under_scorers(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 9a: box statistics, one panel (facet, and its name) per scorer, one box (series) per generator."""
    return once(con, reward_boxes, selection).rename({"who": "series", "judge": "facet", "scorer": "name"}).drop("generator")


def scorers_on_generators(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 9b: box statistics, one panel (facet, and its name) per generator, one box (series) per scorer."""
    return once(con, reward_boxes, selection).rename({"judge": "series", "who": "facet", "generator": "name"}).drop("scorer")


def rewards_under(con: Connection, selection: Selection, scorer: str | None) -> pl.DataFrame:
    """series (base, tuned), facet (the scorer's name), value and prompt_id of every answer that the scorer scored."""
    found = rows.scored_answers(con, selection, scorer).rename({"who": "series", "reward": "value"})
    return found.with_columns(facet=named(con, scorer))


def named(con: Connection, scorer: str | None) -> pl.Expr:
    """A column of the scorer's name."""
    return pl.lit(rows.scorer_name(con, scorer), pl.String)


def answers_under(con: Connection, selection: Selection, judge: str) -> pl.DataFrame:
    bins = histogram(con, rewards_under(con, selection, judge_of(selection, judge)), width=selection.bin_width)
    return beside(bins, once(con, win_rate, selection, judge), "win_rate", *SIDES_CUT)


def answers_under_base(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 10a: histogram of both generators' rewards under the untrained scorer."""
    return answers_under(con, selection, "untrained")


def answers_under_trained(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 10b: histogram of both generators' rewards under the trained scorer."""
    return answers_under(con, selection, "trained")
