"""Tables of the report and of the Data page."""

import json
from typing import Any

import polars as pl

from dashboard.queries.answers import compared
from dashboard.queries.selection import Selection
from engine.settings.config import CONFIGS
from engine.settings.options import models_in, named, titled
from engine.store.database import Connection, frame
from engine.store.slices import whole

SETTINGS = ("model", "loss", "pairs", "epochs", "batch_size", "learning_rate", "seed")  # that a reader asks for first
TYPICAL_PAIR = """
    select pair_id
    from (select pair_id, abs(margin - median(margin) over ()) as off_median
          from scored_pairs where dataset_id = $dataset and split = $split and scorer_id = $trained)
    order by off_median, pair_id limit 1
"""
FIRST_PAIR = """
    select pair_id, prompt_id from pairs where dataset_id = $dataset and split = $split and ($pair is null or pair_id = $pair)
    order by pair_id limit 1
"""
PAIR = """
    with sides as (
        select pair_id, prompt_id, unnest(['chosen', 'rejected']) as response, unnest([chosen_id, rejected_id]) as text_id
        from pairs where dataset_id = $dataset and split = $split and prompt_id = $prompt and pair_id = $pair
    ), scored as (
        select unnest(['chosen', 'rejected']) as response, scorer_id, unnest([chosen_reward, rejected_reward]) as reward
        from scored_pairs where dataset_id = $dataset and split = $split and prompt_id = $prompt and pair_id = $pair
    ), judged as (
        select response, max(reward) filter (scorer_id = $untrained) as untrained, max(reward) filter (scorer_id = $trained) as trained
        from scored group by response
    )
    select pair_id, pr.text as prompt, response, t.text, t.words, untrained, trained
    from sides join prompts pr using (prompt_id) join texts t using (text_id) left join judged using (response) order by response
"""
ANSWERED = """
    with answer as (
        select prompt_id, generator_id, text_id, words, tokens, finish_reason
        from answers where generator_id in ($base, $tuned) and prompt_id in (select unnest($prompts))
        qualify row_number() over (partition by prompt_id, generator_id order by generation_id) = 1
    ), scored as (
        select generator_id, prompt_id, text_id, max(reward) filter (scorer_id = $untrained) as untrained,
               max(reward) filter (scorer_id = $trained) as trained
        from scored_answers where generator_id in ($base, $tuned) and scorer_id in ($untrained, $trained)
          and prompt_id in (select unnest($prompts)) group by all
    ), judged as (select * from answer left join scored using (generator_id, prompt_id, text_id)),
    asked as (select prompt_id, min(prompt_type) as prompt_type from pairs
              where dataset_id = $dataset and split = $split and prompt_id in (select unnest($prompts)) group by prompt_id),
    both_answers as (
        select asked.prompt_id, asked.prompt_type, b.text_id as base_text_id, t.text_id as tuned_text_id,
               b.words as base_words, t.words as tuned_words, b.tokens as base_tokens, t.tokens as tuned_tokens,
               b.finish_reason = 'length' as base_cut, t.finish_reason = 'length' as tuned_cut,
               b.untrained as base_untrained, t.untrained as tuned_untrained, b.trained as base_trained, t.trained as tuned_trained,
               t.trained - b.trained as difference
        from asked
        left join judged b on b.prompt_id = asked.prompt_id and b.generator_id = $base
        left join judged t on t.prompt_id = asked.prompt_id and t.generator_id = $tuned
    )
    select prompt_id, p.text as prompt, prompt_type, p.language, b.text as base_answer, t.text as tuned_answer,
           both_answers.* exclude (prompt_id, prompt_type, base_text_id, tuned_text_id)
    from both_answers join prompts p using (prompt_id)
    left join texts b on b.text_id = base_text_id left join texts t on t.text_id = tuned_text_id
"""
SHOWN = (
    "prompt", "base_answer", "tuned_answer", "base_cut", "tuned_cut", "base_untrained", "tuned_untrained", "base_trained", "tuned_trained",
)  # fmt: skip
SPREAD = """
    with judged as (                        -- of several answers the first, as above
        select prompt_id, arg_min(reward, generation_id) filter (generator_id = $tuned)
                          - arg_min(reward, generation_id) filter (generator_id = $base) as difference
        from scored_answers where scorer_id = $trained and generator_id in ($base, $tuned)
          and prompt_id in (select prompt_id from pairs where dataset_id = $dataset and split = $split)
        group by prompt_id
    ), ranked as (
        select prompt_id, row_number() over (order by difference, prompt_id) - 1 as place, count(*) over () as n
        from judged where difference is not null
    )
    select prompt_id from ranked where n <= $rows or place in (select round(i * (n - 1) / ($rows - 1)) from range($rows) r(i))
"""


def preference_pair(con: Connection, selection: Selection) -> pl.DataFrame:
    """Table 1: one pair, the selected one or else that with the median margin: response, text, words, both scorers' rewards."""
    where = {"dataset": selection.dataset_id, "split": selection.split}
    wanted = selection.pair_id or typical_pair(con, selection)
    pair, prompt_id = next(frame(con, FIRST_PAIR, {**where, "pair": wanted}).iter_rows(), (None, None))
    return frame(con, PAIR, {**where, **scorers_of(selection), "pair": pair, "prompt": prompt_id})


def typical_pair(con: Connection, selection: Selection) -> str | None:
    """The pair whose margin by the trained scorer is nearest to the median."""
    values: dict[str, object] = {"dataset": selection.dataset_id, "split": selection.split, "trained": selection.trained_scorer}
    return next(iter(frame(con, TYPICAL_PAIR, values)["pair_id"]), None)


def scorers_of(selection: Selection) -> dict[str, object]:
    return {"untrained": selection.base_scorer, "trained": selection.trained_scorer}


def answered_prompts(con: Connection, selection: Selection, rows: int = 10) -> pl.DataFrame:
    """Table 2: prompts with both answers and rewards, evenly spaced by rank of the difference, so that nothing is picked by hand."""
    spread = frame(con, SPREAD, {**compared(selection), "trained": selection.trained_scorer, "rows": rows})["prompt_id"]
    by_difference = answers_to(con, selection, spread.to_list()).sort("difference", "prompt_id", descending=[True, False])
    return by_difference.select(*SHOWN, "difference", "prompt_id")


def answers_to(con: Connection, selection: Selection, prompt_ids: list[str]) -> pl.DataFrame:
    """Prompts with both answers, the first where a generator gave several, and the selected scorers' rewards."""
    return frame(con, ANSWERED, {**compared(selection), **scorers_of(selection), "prompts": prompt_ids})


def dataset(con: Connection, selection: Selection) -> pl.DataFrame:
    """The selected dataset's row of `datasets`: counts kept and dropped by reason, source, licence."""
    return frame(con, "select * from datasets where dataset_id = $dataset", {"dataset": selection.dataset_id})


def runs(con: Connection) -> pl.DataFrame:
    """Every run the database knows, newest first."""
    return frame(con, "select * exclude (config, versions) from runs order by run_id desc")


def sliced_counts(con: Connection, selection: Selection) -> tuple[int, int]:
    """Pairs of the split that the slice keeps, and all of the split."""
    kept = frame(con, "select count(*) as n from pairs where dataset_id = $dataset and split = $split", where(selection))["n"][0]
    pairs = f"select count(*) as n from {whole(con, 'pairs')} where dataset_id = $dataset and split = $split"
    return int(kept), int(frame(con, pairs, where(selection))["n"][0])


def sliced_pairs(con: Connection, selection: Selection) -> pl.DataFrame:
    """Every pair that is looked at, with its ids, lengths and the trained scorer's margin: what is taken away as CSV."""
    query = """
        select p.pair_id, p.prompt_id, p.split, pr.text as prompt, p.prompt_type, p.source, s.margin, c.words as chosen_words,
               r.words as rejected_words, c.text as chosen, r.text as rejected
        from pairs p join prompts pr using (prompt_id) join texts c on c.text_id = p.chosen_id join texts r on r.text_id = p.rejected_id
        left join scored_pairs s on s.pair_id = p.pair_id and s.dataset_id = p.dataset_id and s.split = p.split and s.scorer_id = $scorer
        where p.dataset_id = $dataset and p.split = $split order by s.margin, p.pair_id
    """
    return frame(con, query, {**where(selection), "scorer": selection.trained_scorer})


def where(selection: Selection) -> dict[str, object]:
    return {"dataset": selection.dataset_id, "split": selection.split}


def settings_of_models(con: Connection, selection: Selection) -> dict[str, list[tuple[str, Any]]]:
    """How the trained scorer and the tuned policy were trained, by their roles: titles and values of SETTINGS; not of what no run made."""
    query = """
        select 'trained_scorer' as role, config from scorers join models using (model_id) join runs using (run_id) where scorer_id = $scorer
        union all
        select 'tuned_generator', config from generators join models using (model_id) join runs using (run_id) where generator_id = $tuned
    """
    rows = frame(con, query, {"scorer": selection.trained_scorer, "tuned": selection.tuned_generator})
    return {role: settings_of(json.loads(config)) for role, config in rows.drop_nulls().iter_rows()}


def settings_of(config: dict[str, Any]) -> list[tuple[str, Any]]:
    fields = CONFIGS[config["kind"]].model_fields
    losses = {named(one): one for one in models_in(fields["loss"].annotation)}
    loss = config.get("loss") or {}
    known = losses.get(loss.get("name", ""))
    values = {name: config.get(name) for name in SETTINGS} | {"pairs": config.get("pairs") or "all", "loss": known and titled(known)}
    found = [(fields[name].title or name, value) for name, value in values.items() if value is not None]
    return [*found, (known.model_fields["beta"].title or "beta", loss["beta"])] if known and "beta" in loss else found


def provenance(con: Connection, selection: Selection) -> pl.DataFrame:
    """The dataset's finished runs: run_id, name, kind, device, versions and config (JSON), when they began and ended (UTC)."""
    query = """
        select run_id, name, kind, device, started_at, finished_at, versions, config from runs
        where dataset_id = $dataset and state = 'done' order by run_id
    """
    return frame(con, query, {"dataset": selection.dataset_id})


def answered_by(con: Connection) -> list[str]:
    """Who has given answers, whether a dataset has their prompts or not."""
    return frame(con, "select name from named_generators order by name")["name"].to_list()
