"""What the playground offers: who answers, who scores, which prompts; and what is to be looked at token by token."""

import polars as pl

from dashboard.queries.selection import Selection
from engine.store.database import Connection, frame

WRITERS = """
    select case generator_id when $base then 'base' else 'tuned' end as side, generator_id, name, model_id,
           settings ->> 'system_prompt' as system_prompt, cast(settings ->> 'max_tokens' as integer) as max_tokens,
           cast(settings ->> 'max_new_tokens' as integer) as max_new_tokens, settings ->> 'precision' as precision
    from named_generators where generator_id in ($base, $tuned) and model_id is not null order by side
"""
JUDGES = """
    select s.scorer_id, s.name, run_id, (
               select min(u.name) from named_scorers u
               where u.kind = 'untrained_head' and u.model_id = r.config ->> 'model' and u.seed = cast(r.config ->> 'seed' as integer)
           ) as untrained,
           coalesce(list_contains(e.members ->> '$[*].run_id', run_id), false) as member,
           case when r.dataset_id <> $dataset then coalesce(d.name, r.dataset_id) end as other_dataset
    from named_scorers s join models using (model_id) join runs r using (run_id) left join scorers e on e.scorer_id = $trained
    left join datasets d on d.dataset_id = r.dataset_id
    where s.kind = 'head' and run_id is not null
    order by s.scorer_id = $trained desc, member desc, other_dataset is null desc, run_id desc
"""
SMALLER = """
    select avg(cast(abs(margin) < $size as integer)) as share
    from scored_pairs join scorers using (scorer_id) join models using (model_id)
    where scorers.kind = 'head' and run_id = $run and dataset_id = $dataset and split = $split
"""
PROMPTS = """
    select distinct prompt_id, text from pairs join prompts using (prompt_id)
    where dataset_id = $dataset and split = $split order by text, prompt_id limit 2000
"""
TEXTS = """
    with found as (
        select 0 as place, 'base' as side, text_id from answers where prompt_id = $prompt and generator_id = $base
        union all
        select 1, 'tuned', text_id from answers where prompt_id = $prompt and generator_id = $tuned
        union all
        select 2, unnest(['chosen', 'rejected']), unnest([chosen_id, rejected_id])
        from pairs where prompt_id = $prompt and dataset_id = $dataset and split = $split
    )
    select side, any_value(text_id) as text_id from found group by side order by min(place), side
"""
RESPONSE = """
    with others as (
        select 0 as place, rejected_id as other_id from pairs where prompt_id = $prompt and chosen_id = $text
        union all
        select 0, chosen_id from pairs where prompt_id = $prompt and rejected_id = $text
        union all
        select 1, text_id from answers where prompt_id = $prompt and generator_id in ($base, $tuned) and text_id <> $text
    ), grouped as (select any_value(prompt_type) as prompt_type, any_value(source) as source from pairs where prompt_id = $prompt)
    select p.turns, t.text, (select o.text from others join texts o on o.text_id = other_id order by place limit 1) as other,
           prompt_type, source
    from prompts p, texts t, grouped where p.prompt_id = $prompt and t.text_id = $text
"""


def writers(con: Connection, selection: Selection) -> pl.DataFrame:
    """side (base, tuned), generator_id, name, model_id, and how it was prompted; none of a generator whose answers were imported."""
    return frame(con, WRITERS, {"base": selection.base_generator, "tuned": selection.tuned_generator})


def judges(con: Connection, selection: Selection) -> pl.DataFrame:
    """Every trained reward model, those selected first, then those of the dataset, then the newest.

    scorer_id, name, untrained (the name of its twin, null where that scored nothing), run_id, member (of the selected ensemble),
    other_dataset (the name of the one it was trained on, where it is not the one looked at).
    """
    return frame(con, JUDGES, {"trained": selection.trained_scorer, "dataset": selection.dataset_id})


def share_smaller(con: Connection, selection: Selection, run_id: str, size: float) -> float | None:
    """The share of the split's margins under a run's reward model whose size is below `size`; None where it has not scored the split."""
    found = frame(con, SMALLER, {"size": size, "run": run_id, "dataset": selection.dataset_id, "split": selection.split})
    share: float | None = found["share"][0]
    return share


def prompts_to_pick(con: Connection, selection: Selection) -> pl.DataFrame:
    """prompt_id and text of the split's prompts in alphabetical order, 2,000 at most."""
    return frame(con, PROMPTS, {"dataset": selection.dataset_id, "split": selection.split})


def texts_after(con: Connection, selection: Selection, prompt_id: str) -> pl.DataFrame:
    """side (base, tuned, chosen, rejected) and text_id of the responses to a prompt, one of each side."""
    sides = {"base": selection.base_generator, "tuned": selection.tuned_generator}
    return frame(con, TEXTS, {"prompt": prompt_id, "dataset": selection.dataset_id, "split": selection.split, **sides})


def response(con: Connection, selection: Selection, prompt_id: str, text_id: str) -> pl.DataFrame:
    """A row with turns (JSON), text, other (its pair's other response, or the other generator's answer), prompt_type, source."""
    sides = {"base": selection.base_generator, "tuned": selection.tuned_generator}
    return frame(con, RESPONSE, {"prompt": prompt_id, "text": text_id, **sides})
