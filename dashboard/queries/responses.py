"""The responses of a dataset: their lengths, their map, their words."""

import polars as pl

from dashboard.queries.distributions import histogram
from dashboard.queries.selection import Selection
from engine.statistics.words import chinese_words, log_odds, stop_words
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
SPACED_WORDS = rf"""
    select word, side, count(*) as count
    from (select side, unnest(regexp_extract_all(
              replace(lower(text), '’', ''''), '[\p{{Latin}}\p{{Cyrillic}}\p{{Greek}}]+(?:''\p{{Latin}}+)?')) as word
          from ({SIDES}) join texts using (text_id))
    where length(word) > 2 and word not in (select unnest($stop)) group by all
"""
CHINESE_TEXTS = rf"""
    select side, text from ({SIDES}) join texts using (text_id)
    where regexp_matches(text, '[\x{{3400}}-\x{{4dbf}}\x{{4e00}}-\x{{9fff}}]') order by hash(text_id) limit 4000
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
    """Every word that is no stop word: word, chosen, rejected (how often on each side), z (log-odds, positive: rather chosen).

    Chinese is counted in at most 4,000 responses, the same choice every time, because cutting it into words takes time.
    """
    spaced = frame(con, SPACED_WORDS, {**in_dataset(selection), "stop": list(stop_words())})
    texts = frame(con, CHINESE_TEXTS, in_dataset(selection))
    counts = {side: chinese_words(texts.filter(pl.col("side") == side)["text"]) for side in ("chosen", "rejected")}
    rows = [
        {"word": w, "side": side, "count": n}
        for side, words in counts.items()
        for w, n in words.items()
        if len(w) > 1 and w not in stop_words()
    ]
    return one_row_a_word(pl.concat([spaced, pl.DataFrame(rows, schema=spaced.schema)]))


def one_row_a_word(rows: pl.DataFrame) -> pl.DataFrame:
    sides = [pl.col("count").filter(pl.col("side") == side).sum().cast(pl.Int64).alias(side) for side in ("chosen", "rejected")]
    wide = rows.group_by("word").agg(sides).sort(pl.col("chosen") + pl.col("rejected"), "word", descending=[True, False])
    z = log_odds(wide["chosen"].to_numpy(), wide["rejected"].to_numpy()) if len(wide) > 1 else [0.0] * len(wide)
    return wide.with_columns(pl.Series("z", z, dtype=pl.Float64))


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
    """The words that tell chosen from rejected best: word, chosen, rejected, z; the strongest `most` of each side that pass |z| > 1.96."""
    words = word_counts(con, selection).filter(pl.col("z").abs() > 1.96).sort("z", "word")
    return pl.concat([words.filter(pl.col("z") < 0).head(most), words.filter(pl.col("z") > 0).tail(most)])
