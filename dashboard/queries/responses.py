"""The responses of a dataset: their lengths, their map, their words."""

import polars as pl

from dashboard.queries.distributions import histogram
from dashboard.queries.selection import Selection
from engine.statistics.words import distinguishing, stop_words
from engine.store.database import Connection, frame

SIDES = """
    select pair_id, prompt_id, 'chosen' as side, chosen_id as text_id from pairs where dataset_id = $dataset and split = $split
    union all
    select pair_id, prompt_id, 'rejected', rejected_id from pairs where dataset_id = $dataset and split = $split
"""
MAP = f"""
    with sides as ({SIDES}),
         fullest as (select map_id from map_points join sides using (text_id) where map_id like '%' || $method
                     group by map_id order by count(distinct text_id) desc, map_id desc limit 1),
         placed as (select map_points.* from map_points join fullest using (map_id))
    select side as series, x, y, t.text[:160] as text, t.words, $method as method
    from (select distinct side, text_id from sides) join placed using (text_id) join texts t using (text_id)
    order by hash(t.text_id, side) limit 4000
"""


def in_dataset(selection: Selection) -> dict[str, object]:
    return {"dataset": selection.dataset_id, "split": selection.split}


def response_lengths(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 3a: histogram of words per response, chosen and rejected."""
    values = f"select side as series, '' as facet, words as value from ({SIDES}) join texts using (text_id)"
    return histogram(con, values, in_dataset(selection), whole=True, open_end=True)


def response_map(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 3b: series (chosen, rejected), x, y, text, words, map; at most 4,000 points, the same choice every time."""
    return frame(con, MAP, {**in_dataset(selection), "method": selection.map_method})


def word_counts(con: Connection, selection: Selection) -> pl.DataFrame:
    """Every word that is no stop word, as counted when the dataset was imported: word, chosen, rejected (how often on each side)."""
    query = """
        select word, chosen, rejected from word_counts
        where dataset_id = $dataset and split = $split and word not in (select unnest($stop)) order by chosen + rejected desc, word
    """
    return frame(con, query, {**in_dataset(selection), "stop": list(stop_words())})


def chosen_words(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 3c: the 80 most frequent words of chosen responses: word, count."""
    return most_frequent(word_counts(con, selection), "chosen")


def rejected_words(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 3d: the 80 most frequent words of rejected responses: word, count."""
    return most_frequent(word_counts(con, selection), "rejected")


def most_frequent(words: pl.DataFrame, side: str, most: int = 80) -> pl.DataFrame:
    return (
        words.filter(pl.col(side) > 0).sort(side, "word", descending=[True, False]).head(most).select("word", pl.col(side).alias("count"))
    )


def distinguishing_words(con: Connection, selection: Selection, most: int = 12) -> pl.DataFrame:
    """The words that tell chosen from rejected best: word, chosen, rejected, z; the strongest `most` of each side that are not chance."""
    words = distinguishing(word_counts(con, selection))
    return pl.concat([words.filter(pl.col("z") < 0).head(most), words.filter(pl.col("z") > 0).tail(most)])
