"""The pairs that are looked at, the most wrongly ranked first: a page of them, and the place of one."""

import polars as pl

from dashboard.queries.selection import Selection
from dashboard.queries.tables import where
from engine.store.database import Connection, frame

RANKED = """
    with scored as (
        select pair_id, margin, max(abs(margin)) over () as widest from scored_pairs
        where dataset_id = $dataset and split = $split and scorer_id = $scorer
    )
    select p.pair_id, p.prompt_id, p.prompt_type, margin, widest, c.words - r.words as longer_by, count(*) over () as matches,
           row_number() over (order by margin nulls last, p.pair_id) - 1 as place
    from pairs p left join scored using (pair_id) join texts c on c.text_id = chosen_id join texts r on r.text_id = rejected_id
    where dataset_id = $dataset and split = $split
"""


def ranked_pairs(con: Connection, selection: Selection, *, page: int = 0, rows: int = 20) -> pl.DataFrame:
    """One page of the pairs by the trained scorer's margin, the lowest first; those without a reward last.

    Columns: pair_id, prompt, prompt_type, margin, widest (the largest |margin| of all), longer_by (words), place (from 0), matches (all).
    """
    query = f"""
        select pair_id, t.text as prompt, prompt_type, margin, widest, longer_by, place, matches
        from ({RANKED}) join prompts t using (prompt_id) where place >= $first and place < $last order by place
    """
    values = {**where(selection), "scorer": selection.trained_scorer, "first": page * rows, "last": (page + 1) * rows}
    return frame(con, query, values)


def pair_place(con: Connection, selection: Selection, pair_id: str) -> int | None:
    """The place of a pair among those that are looked at, from 0; None when it is not among them."""
    found = frame(
        con,
        f"select place from ({RANKED}) where pair_id = $pair",
        {**where(selection), "scorer": selection.trained_scorer, "pair": pair_id},
    )
    return None if found.is_empty() else int(found["place"][0])
