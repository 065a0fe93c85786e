"""The pairs that are looked at, the most wrongly ranked first: a page of them, and the place of one."""

import polars as pl

from dashboard.queries.selection import Selection
from dashboard.queries.tables import where
from engine.store.database import Connection, frame

HERE = """
    with scored as (
        select pair_id, margin from scored_pairs where dataset_id = $dataset and split = $split and scorer_id = $scorer
    ), here as (
        select p.pair_id, prompt_id, prompt_type, chosen_id, rejected_id, margin from pairs p left join scored using (pair_id)
        where dataset_id = $dataset and split = $split
    )
"""
PAGE = f"""
    {HERE}, page as (from here order by margin nulls last, pair_id limit $rows offset $first)
    select pair_id, t.text as prompt, prompt_type, margin, (select max(abs(margin)) from scored) as widest, c.words - r.words as longer_by,
           $first + row_number() over (order by margin nulls last, pair_id) - 1 as place, (select count(*) from here) as matches
    from page join prompts t using (prompt_id) join texts c on c.text_id = chosen_id join texts r on r.text_id = rejected_id order by place
"""
PLACE = f"""
    {HERE}, ordered as (select pair_id, row_number() over (order by margin nulls last, pair_id) - 1 as place from here)
    select place from ordered where pair_id = $pair
"""


def ranked_pairs(con: Connection, selection: Selection, *, page: int = 0, rows: int = 20) -> pl.DataFrame:
    """One page of the pairs by the trained scorer's margin, the lowest first; those without a reward last.

    Columns: pair_id, prompt, prompt_type, margin, widest (the largest |margin| of all), longer_by (words), place (from 0), matches (all).
    """
    values = {**where(selection), "scorer": selection.trained_scorer, "first": page * rows, "rows": rows}
    return frame(con, PAGE, values)


def pair_place(con: Connection, selection: Selection, pair_id: str) -> int | None:
    """The place of a pair among those that are looked at, from 0; None when it is not among them."""
    found = frame(con, PLACE, {**where(selection), "scorer": selection.trained_scorer, "pair": pair_id})
    return None if found.is_empty() else int(found["place"][0])
