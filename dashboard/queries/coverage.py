"""What of the selection has no numbers yet, or numbers that need a remark."""

import polars as pl

from dashboard.queries.answers import compared
from dashboard.queries.selection import Selection
from engine.store.database import Connection, frame
from engine.store.slices import whole

MISSING = """
    with here as (from {pairs} where dataset_id = $dataset and split = $split), wanted as (
        select cast(null as varchar) as generator_id, count(*) as expected from here
        union all
        select generator_id, count(*) from {answers} where generator_id in ($base, $tuned) and prompt_id in (select prompt_id from here)
        group by generator_id
    )
    select s.name as scorer, g.name as generator, coalesce(c.scored, 0) as scored, coalesce(c.expected, w.expected) as expected
    from named_scorers s cross join wanted w left join named_generators g using (generator_id)
    left join coverage c on c.scorer_id = s.scorer_id and c.dataset_id = $dataset and c.split = $split
         and c.generator_id is not distinct from w.generator_id
    where (s.scorer_id in ($untrained, $trained) or $trained is null and c.scored > 0)
      and s.kind <> 'imported' and w.expected > 0 and not coalesce(c.complete, false)
    order by g.name nulls first, s.name
"""


def missing_scores(con: Connection, selection: Selection) -> pl.DataFrame:
    """What the selected scorers have not scored wholly, and is not shown: scorer, generator (null: the pairs), scored, expected.

    Of all pairs and prompts, whatever the slice. Where no trained scorer can be selected yet, whoever has scored some.
    """
    scorers = {"untrained": selection.base_scorer, "trained": selection.trained_scorer}
    return frame(con, MISSING.format(pairs=whole(con, "pairs"), answers=whole(con, "answers")), {**compared(selection), **scorers})


def differing_settings(con: Connection, selection: Selection) -> pl.DataFrame:
    """One row when the selected generators answered under different decoding settings: differs, which and how."""
    query = "select differs from comparable where base_id = $base and tuned_id = $tuned and differs is not null"
    return frame(con, query, {"base": selection.base_generator, "tuned": selection.tuned_generator})
