"""The pairs of a dataset: a page of them, those that hold a text, and one of them whole."""

import polars as pl

from dashboard.queries.selection import Selection
from dashboard.queries.tables import scorers_of, sliced_pairs, where
from engine.store.database import Connection, frame

PREVIEW = 160  # characters of a text in a list
PAIR_ORDERS = {
    "imported": "source, line",
    "chosen_longer": "longer_by desc",
    "rejected_longer": "longer_by",
    "most_alike": "abs(longer_by)",
    "longest": "chosen_words + rejected_words desc",
}
HERE = "from pairs where dataset_id = $dataset and split = $split"
HOLDING = f"""
    select pair_id {HERE.replace('from pairs', 'from pairs join prompts p using (prompt_id) join texts c on c.text_id = chosen_id '
                                 'join texts r on r.text_id = rejected_id')}
    and (contains(lower(p.text), lower($search)) or contains(lower(c.text), lower($search)) or contains(lower(r.text), lower($search)))
"""  # fmt: skip
PAGE = """
    with here as ({here}), measured as (
        select here.*, c.words as chosen_words, r.words as rejected_words, c.words - r.words as longer_by
        from here join texts c on c.text_id = chosen_id join texts r on r.text_id = rejected_id
    ), page as (from measured order by {order}, pair_id limit $rows offset $skip)
    select pair_id, left(p.text, $preview) as prompt, left(c.text, $preview) as chosen, left(r.text, $preview) as rejected,
           chosen_words, rejected_words, longer_by, prompt_type, source, line, (select count(*) from here) as matches
    from page join prompts p using (prompt_id) join texts c on c.text_id = chosen_id join texts r on r.text_id = rejected_id
    order by {order}, pair_id
"""


def pairs(
    con: Connection, selection: Selection, *, search: str = "", order: str = "imported", page: int = 0, rows: int = 20
) -> pl.DataFrame:
    """One page of the pairs, of the texts their beginnings: pair_id, prompt, chosen, rejected, their words, longer_by (chosen − rejected),
    prompt_type, source, line, matches (how many in all). order: a key of PAIR_ORDERS.
    """
    here = f"{HERE} and pair_id in ({HOLDING})" if search else HERE
    values = {"rows": rows, "skip": page * rows, "preview": PREVIEW, **({"search": search} if search else {})}
    return frame(con, PAGE.format(here=here, order=PAIR_ORDERS[order]), {**where(selection), **values})


def matching_pairs(con: Connection, selection: Selection, *, search: str = "") -> pl.DataFrame:
    """Every pair that holds the text, whole and with its ids: what is taken away as CSV."""
    found = sliced_pairs(con, selection)
    return found.join(frame(con, HOLDING, {**where(selection), "search": search}), on="pair_id", how="semi") if search else found


def pair_texts(con: Connection, selection: Selection, pair_id: str) -> pl.DataFrame:
    """One pair whole: turns (JSON), chosen, rejected, their words, prompt_type, source, line; empty when it is not there.

    chosen_trained, rejected_trained, chosen_untrained, rejected_untrained: their rewards, margin and untrained_margin: the differences.
    """
    query = f"""
        with scored as (from scored_pairs where dataset_id = $dataset and split = $split and pair_id = $pair)
        select p.turns, c.text as chosen, r.text as rejected, c.words as chosen_words, r.words as rejected_words,
               here.prompt_type, here.source, line,
               t.chosen_reward as chosen_trained, t.rejected_reward as rejected_trained, t.margin,
               u.chosen_reward as chosen_untrained, u.rejected_reward as rejected_untrained, u.margin as untrained_margin
        from ({HERE} and pair_id = $pair) here join prompts p using (prompt_id)
        join texts c on c.text_id = chosen_id join texts r on r.text_id = rejected_id
        left join (from scored where scorer_id = $trained) t using (pair_id)
        left join (from scored where scorer_id = $untrained) u using (pair_id)
    """
    return frame(con, query, {**where(selection), **scorers_of(selection), "pair": pair_id})
