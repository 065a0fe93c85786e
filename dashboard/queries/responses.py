"""The responses of a dataset: their lengths, their map, their words."""

import polars as pl

from dashboard.queries.distributions import histogram
from dashboard.queries.selection import Selection
from dashboard.queries.tables import where
from engine.statistics.words import distinguishing, stop_words
from engine.statistics.words import word_counts as count_words
from engine.store.database import Connection, frame
from engine.store.slices import whole

SIDES = """
    select pair_id, prompt_id, 'chosen' as side, chosen_id as text_id from pairs where dataset_id = $dataset and split = $split
    union all
    select pair_id, prompt_id, 'rejected', rejected_id from pairs where dataset_id = $dataset and split = $split
"""
MAP = """
    with here as (from {pairs} where dataset_id = $dataset and split = $split), sides as (
        select pair_id, 'chosen' as side, chosen_id as text_id from here union all select pair_id, 'rejected', rejected_id from here
    ), fullest as (
        select map_id from map_points where map_id like '%' || $method and text_id in (select text_id from sides)
        group by map_id order by count(*) desc, map_id desc limit 1
    ), placed as (select text_id, x, y from map_points where map_id = (from fullest)),
    kept as (select pair_id from pairs where dataset_id = $dataset and split = $split),
    shown as (                              -- chosen before their texts are asked for
        select side, text_id, bool_or(pair_id in (from kept)) as kept, min(pair_id) as pair_id
        from sides semi join placed using (text_id)
        group by side, text_id order by kept desc, hash(text_id, side) limit 4000
    )
    select side as series, x, y, t.text[:160] as text, t.words, $method as method, kept, pair_id
    from shown join placed using (text_id) join texts t using (text_id)
    order by kept desc, hash(t.text_id, side)
"""
RESPONSES = """
    with counted as (from pairs where dataset_id = $dataset and split = $split order by hash(pair_id), pair_id limit $most)
    select $split as split, 'chosen' as side, text from counted join texts on text_id = chosen_id
    union all select $split, 'rejected', text from counted join texts on text_id = rejected_id
"""
WORDS = "select word, chosen, rejected from word_counts where dataset_id = $dataset and split = $split"
MOST_COUNTED = 4000  # pairs of a slice whose words are counted when they are asked for


def response_lengths(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 3a: histogram of words per response, chosen and rejected."""
    values = f"select side as series, '' as facet, words as value from ({SIDES}) join texts using (text_id)"
    return histogram(con, values, where(selection), whole=True, open_end=True, width=selection.bin_width)


def response_map(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 3b: series (chosen, rejected), x, y, text, words, method, kept (whether it is in the slice), pair_id (of the first pair).

    At most 4,000 points, the same choice every time, those of the slice before others.
    """
    return frame(con, MAP.format(pairs=whole(con, "pairs")), {**where(selection), "method": selection.map_method})


def word_counts(con: Connection, selection: Selection) -> pl.DataFrame:
    """Every word that is no stop word: word, chosen, rejected (how often on each side); counted_pairs of pairs.

    As counted when the dataset was imported; of a slice counted now, in MOST_COUNTED of its pairs at most, the same every time.
    """
    here = where(selection)
    (pairs,) = frame(con, "select count(*) from pairs where dataset_id = $dataset and split = $split", here).row(0)
    if selection.slice is None:
        counts, counted = frame(con, WORDS, here), pairs
    else:
        counts, counted = count_words(frame(con, RESPONSES, {**here, "most": MOST_COUNTED})).drop("split"), min(pairs, MOST_COUNTED)
    words = counts.filter(~pl.col("word").is_in(list(stop_words())))
    most_first = words.sort(pl.col("chosen") + pl.col("rejected"), "word", descending=[True, False])
    return most_first.with_columns(pl.lit(counted).alias("counted_pairs"), pl.lit(pairs).alias("pairs"))


def chosen_words(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 3c: the 80 most frequent words of chosen responses: word, count; counted_pairs of pairs."""
    return most_frequent(word_counts(con, selection), "chosen")


def rejected_words(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 3d: the 80 most frequent words of rejected responses: word, count; counted_pairs of pairs."""
    return most_frequent(word_counts(con, selection), "rejected")


def most_frequent(words: pl.DataFrame, side: str, most: int = 80) -> pl.DataFrame:
    used = words.filter(pl.col(side) > 0).sort(side, "word", descending=[True, False])
    return used.head(most).select("word", pl.col(side).alias("count"), "counted_pairs", "pairs")


def distinguishing_words(con: Connection, selection: Selection, most: int = 10) -> pl.DataFrame:
    """The words that tell chosen from rejected best, with their z; the strongest `most` of each side that are not chance."""
    words = distinguishing(word_counts(con, selection))
    return pl.concat([words.filter(pl.col("z") < 0).head(most), words.filter(pl.col("z") > 0).tail(most)])
