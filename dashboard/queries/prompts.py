"""The prompts of a split: which match and in which order, what a list shows of them, and everything about one."""

from dataclasses import dataclass

import polars as pl

from dashboard.queries.answers import compared
from dashboard.queries.selection import Selection
from dashboard.queries.tables import answers_to, scorers_of
from engine.data.records import Turn, turns_from_json
from engine.store.database import Connection, frame

ORDERS = {
    "difference": "difference desc nulls last",
    "difference_up": "difference asc nulls last",
    "reward": "tuned_reward desc nulls last",
    "length": "tuned_words desc nulls last",
    "prompt": "prompt",
}
FLAGS = {  # and when each holds; of answers of which it is not known whether they were cut neither of the first two does
    "any_cut": "(base_cut or tuned_cut)",
    "none_cut": "(not base_cut and not tuned_cut)",
    **{name: name for name in (f"{who}_{flag}" for who in ("tuned", "base") for flag in ("cut", "repeats", "refuses"))},
}
MATCHING = """
    with asked as (
        select prompt_id, min(prompt_type) as prompt_type from pairs where dataset_id = $dataset and split = $split group by prompt_id
    ), answer as (                          -- the first where a generator gave several
        select prompt_id, generator_id, text_id, words, finish_reason = 'length' as cut, repeats, refuses
        from answers where generator_id in ($base, $tuned)
        qualify row_number() over (partition by prompt_id, generator_id order by generation_id) = 1
    ), judged as (
        select prompt_id, tuned_reward, difference from compared_answers
        where base_id = $base and tuned_id = $tuned and scorer_id = $scorer
    ), listed as (
        select prompt_id, p.text as prompt, prompt_type, difference, tuned_reward, t.words as tuned_words,
               b.text_id is not null and t.text_id is not null as answered,
               b.cut as base_cut, b.repeats as base_repeats, b.refuses as base_refuses,
               t.cut as tuned_cut, t.repeats as tuned_repeats, t.refuses as tuned_refuses
        from asked join prompts p using (prompt_id) left join judged using (prompt_id)
        left join (from answer where generator_id = $base) b using (prompt_id)
        left join (from answer where generator_id = $tuned) t using (prompt_id)
    )
    select * exclude (prompt, prompt_type, tuned_reward, tuned_words) from listed
    where ($prompt_type is null or prompt_type = $prompt_type) and {found} and {flag} order by {order}, prompt_id
"""
FOUND = """(
    contains(lower(prompt), lower($search))
    or prompt_id in (select prompt_id from answer join texts using (text_id) where contains(lower(text), lower($search)))
)"""
LINES = """
    with asked as (
        select prompt_id, min(prompt_type) as prompt_type from pairs where dataset_id = $dataset and split = $split group by prompt_id
    )
    select prompt_id, text[:$chars] as prompt, prompt_type from asked join prompts using (prompt_id)
    where prompt_id in (select unnest($prompts))
"""
ONE = """
    select turns, string_agg(distinct prompt_type, ', ' order by prompt_type) as prompt_type
    from prompts left join (from pairs where dataset_id = $dataset and split = $split) using (prompt_id)
    where prompt_id = $prompt group by turns
"""
ANSWERS_TO = """
    with scored as (
        select generator_id, text_id, list({'scorer_id': scorer_id, 'reward': reward}) as rewards
        from scored_answers where prompt_id = $prompt group by generator_id, text_id
    )
    select generator_id, g.name as generator, text, a.words, tokens, finish_reason, rewards
    from answers a join named_generators g using (generator_id) join texts using (text_id) left join scored using (generator_id, text_id)
    where prompt_id = $prompt order by generator_id = $base desc, generator_id = $tuned desc, g.name, generator_id, generation_id
"""
PAIRS_OF = """
    with scored as (
        select pair_id, chosen_reward, rejected_reward from scored_pairs
        where dataset_id = $dataset and split = $split and prompt_id = $prompt and scorer_id = $scorer
    )
    select pair_id, c.text as chosen, r.text as rejected, c.words as chosen_words, r.words as rejected_words, chosen_reward, rejected_reward
    from pairs join texts c on c.text_id = chosen_id join texts r on r.text_id = rejected_id left join scored using (pair_id)
    where dataset_id = $dataset and split = $split and prompt_id = $prompt order by line, pair_id
"""
JUDGEMENTS = """
    select scorer_id, s.name as scorer, base_reward, tuned_reward, difference
    from compared_answers join named_scorers s using (scorer_id) where base_id = $base and tuned_id = $tuned and prompt_id = $prompt
    order by scorer_id = $trained desc, scorer_id = $untrained desc, s.name, scorer_id
"""
SCALES = """
    select scorer_id, max(abs(difference)) as largest from compared_answers where base_id = $base and tuned_id = $tuned group by scorer_id
"""
JUDGES = """
    select distinct scorer_id, s.name from coverage v join named_scorers s using (scorer_id)
    where v.complete and v.generator_id = $tuned and dataset_id = $dataset and split = $split
      and scorer_id in (select scorer_id from coverage where complete and generator_id = $base and dataset_id = $dataset and split = $split)
    order by scorer_id = $trained desc, scorer_id = $untrained desc, s.name, scorer_id
"""


@dataclass(frozen=True)
class About:
    """One prompt: its turns, and what was answered to it."""

    turns: tuple[Turn, ...]
    prompt_type: str | None
    answers: pl.DataFrame  # base, tuned, others: generator_id, generator, text, words, tokens, finish_reason, rewards [{scorer_id, reward}]
    pairs: pl.DataFrame  # pair_id, chosen, rejected, their words and rewards
    judgements: pl.DataFrame  # of who scored both: scorer_id, scorer, base_reward, tuned_reward, difference; means of several answers


def judges(con: Connection, selection: Selection) -> pl.DataFrame:
    """scorer_id and name of who has scored both generators' answers, the selected scorers first."""
    return frame(con, JUDGES, {**compared(selection), **scorers_of(selection)})


def prompt_types(con: Connection, selection: Selection) -> list[str]:
    query = "select distinct prompt_type from pairs where dataset_id = $dataset and split = $split and prompt_type is not null order by all"
    return frame(con, query, {"dataset": selection.dataset_id, "split": selection.split})["prompt_type"].to_list()


def prompts(
    con: Connection,
    selection: Selection,
    *,
    scorer: str | None = None,
    search: str = "",
    prompt_type: str | None = None,
    flag: str | None = None,
    order: str = "difference",
) -> pl.DataFrame:
    """Every prompt that matches, in order: prompt_id, difference (tuned − base reward, null where not both are scored), what stands out,
    and answered: whether both generators answered it.

    scorer: whose rewards, the trained one unless said; flag: one of FLAGS; order: a key of ORDERS.
    """
    values = {**compared(selection), "scorer": scorer or selection.trained_scorer, "prompt_type": prompt_type}
    found, looked_for = (FOUND, {"search": search}) if search else ("true", {})
    query = MATCHING.format(found=found, flag=FLAGS.get(flag or "", "true"), order=ORDERS[order])
    return frame(con, query, {**values, **looked_for})


def preferred(rows: pl.DataFrame) -> dict[str, int]:
    """On how many of these prompts the tuned answer gets the higher reward, the base answer does, and both get the same."""
    difference = rows["difference"].drop_nulls()
    return {"tuned": int((difference > 0).sum()), "base": int((difference < 0).sum()), "tie": int((difference == 0).sum())}


def prefers(who: str) -> pl.Expr:
    """Whether a prompt's difference speaks for who: tuned, base or tie."""
    return {"tuned": pl.col("difference") > 0, "base": pl.col("difference") < 0, "tie": pl.col("difference") == 0}[who]


def prompt_lines(con: Connection, selection: Selection, prompt_ids: tuple[str, ...], chars: int = 200) -> pl.DataFrame:
    """prompt_id, the first characters of the prompt, and prompt_type, in the order given."""
    values: dict[str, object] = {"dataset": selection.dataset_id, "split": selection.split, "prompts": list(prompt_ids), "chars": chars}
    return in_order(frame(con, LINES, values), prompt_ids)


def prompt_table(con: Connection, selection: Selection, prompt_ids: tuple[str, ...]) -> pl.DataFrame:
    """Prompts with both answers and the selected scorers' rewards, in the order given: what is saved as CSV."""
    return in_order(answers_to(con, selection, list(prompt_ids)), prompt_ids)


def in_order(rows: pl.DataFrame, prompt_ids: tuple[str, ...]) -> pl.DataFrame:
    asked = pl.DataFrame({"prompt_id": prompt_ids}, schema={"prompt_id": pl.String})
    return asked.join(rows, on="prompt_id", how="inner", maintain_order="left")


def about_prompt(con: Connection, selection: Selection, prompt_id: str, scorer: str | None = None) -> About | None:
    """Everything about one prompt; the pairs' rewards are by the scorer, the trained one unless said. None when there is no such prompt."""
    values = {**compared(selection), "prompt": prompt_id}
    cells = {name: values[name] for name in ("dataset", "split", "prompt")}
    found = frame(con, ONE, cells)
    if found.is_empty():
        return None
    return About(
        turns_from_json(found["turns"][0]),
        found["prompt_type"][0],
        answers=frame(con, ANSWERS_TO, {name: values[name] for name in ("base", "tuned", "prompt")}),
        pairs=frame(con, PAIRS_OF, {**cells, "scorer": scorer or selection.trained_scorer}),
        judgements=frame(con, JUDGEMENTS, {**{name: values[name] for name in ("base", "tuned", "prompt")}, **scorers_of(selection)}),
    )


def scales(con: Connection, selection: Selection) -> dict[str, float]:
    """{scorer_id: its largest difference between both generators' answers, without sign}: what its bars are drawn against."""
    return dict(frame(con, SCALES, {"base": selection.base_generator, "tuned": selection.tuned_generator}).iter_rows())
