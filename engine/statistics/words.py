"""Words of a text in languages with and without spaces, and which of two collections a word belongs to."""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from math import erfc, sqrt
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

HAN_RUN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
STOP_WORDS = Path(__file__).parent / "stop_words.txt"  # scikit-learn's, whose import would take a second; English contractions; Chinese


@cache
def stop_words() -> frozenset[str]:
    """Words too common to say anything: scikit-learn's English list, English contractions, Chinese."""
    return frozenset(STOP_WORDS.read_text(encoding="utf-8").split())


SPACED = r"[\p{Latin}\p{Cyrillic}\p{Greek}]+(?:'\p{Latin}+)?"  # of languages that put blanks between words
AT_ONCE = 20_000  # responses, which bounds the memory of counting
MOST_CHINESE = 4000  # responses of a split that are cut into words: a minute for a hundred times as many
PRIOR = 0.5  # of each word on each side
FEWEST_USES = 10  # of a word on both sides together, so that the normal distribution describes its z


def word_counts(responses: pl.DataFrame) -> pl.DataFrame:
    """How often each word stands in the chosen and in the rejected responses of each split, all words with letters that are not too short.

    responses: split, side (chosen | rejected), text. Returns split, word, chosen, rejected. Chinese is counted in the first MOST_CHINESE
    responses of a split that have any, because cutting it into words takes time.
    """
    chunks = [spaced_words(responses[start : start + AT_ONCE]) for start in range(0, len(responses), AT_ONCE)]
    rows = pl.concat([*chunks, chinese_counts(responses)])
    sides = [pl.col("count").filter(pl.col("side") == side).sum().cast(pl.Int64).alias(side) for side in ("chosen", "rejected")]
    return rows.group_by("split", "word").agg(sides).sort("split", "word")


def spaced_words(responses: pl.DataFrame) -> pl.DataFrame:
    """split, side, word, count of words of three letters and more, in lower case."""
    found = pl.col("text").str.to_lowercase().str.replace_all("’", "'").str.extract_all(SPACED)
    words = responses.select("split", "side", word=found).explode("word").filter(pl.col("word").str.len_chars() > 2)
    return words.group_by("split", "side", "word").agg(count=pl.len().cast(pl.Int64))


def chinese_counts(responses: pl.DataFrame) -> pl.DataFrame:
    """The same of Chinese words of two characters and more."""
    schema = {"split": pl.String, "side": pl.String, "word": pl.String, "count": pl.Int64}
    chinese = responses.filter(pl.col("text").str.contains(HAN_RUN.pattern.removesuffix("+")))
    parts = chinese.group_by("split", maintain_order=True).head(MOST_CHINESE).partition_by("split", "side", as_dict=True)
    rows = [(*key, word, n) for key, part in parts.items() for word, n in chinese_words(part["text"]).items() if len(word) > 1]
    return pl.DataFrame(rows, schema=schema, orient="row")


def chinese_words(texts: Iterable[str]) -> Counter[str]:
    """How often each Chinese word stands in the texts: runs of Han characters cut by jieba's dictionary; everything else is passed over."""
    import jieba

    jieba.setLogLevel(logging.WARNING)
    return Counter(word for text in texts for run in HAN_RUN.findall(text) for word in jieba.cut(run))


def log_odds(left: ArrayLike, right: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each word's log-odds between two collections, positive: the left one's word; and its standard error. δ/σ is its z-score.

    δ_w = log((l_w + ½)/(n_l + W/2 − l_w − ½)) − log((r_w + ½)/(n_r + W/2 − r_w − ½)),  σ² ≈ 1/(l_w + ½) + 1/(r_w + ½),  z = δ/σ
    Monroe, Colaresi and Quinn 2008, Fightin' Words, Eqs. 15, 20 to 22, with the fixed prior α_w = ½ of every word, Jeffreys' (Gart 1966: it
    makes the log-odds all but unbiased). With c uses shared out at random, δ varies with c/(c/2 + α)², so that z has the standard deviation
    √(c/(c + 2α)): 0.95 of ten uses with α = ½, but 0.58 with the counts of both collections as prior. left, right: (W,) counts.
    """
    l_w, r_w = np.asarray(left, dtype=float), np.asarray(right, dtype=float)
    prior = PRIOR * l_w.size
    odds_left = np.log((l_w + PRIOR) / (l_w.sum() + prior - l_w - PRIOR))
    odds_right = np.log((r_w + PRIOR) / (r_w.sum() + prior - r_w - PRIOR))
    return odds_left - odds_right, np.sqrt(1 / (l_w + PRIOR) + 1 / (r_w + PRIOR))


def beyond_chance(z: ArrayLike, rate: float = 0.05) -> NDArray[np.bool_]:
    """Which of many z-scores are not chance, so that at most `rate` of those named are expected to be.

    The k smallest p = 2(1 − Φ(|z|)) with the largest k for which p_(k) ≤ rate · k/m. Benjamini and Hochberg 1995.
    """
    p = np.array([erfc(abs(value) / sqrt(2)) for value in np.asarray(z, dtype=float)])
    order = np.argsort(p)
    passed = np.flatnonzero(p[order] <= rate * np.arange(1, p.size + 1) / max(p.size, 1))
    found = np.zeros(p.size, dtype=bool)
    found[order[: passed[-1] + 1 if passed.size else 0]] = True
    return found


def distinguishing(counts: pl.DataFrame) -> pl.DataFrame:
    """The words that one side uses more than chance allows, the most chosen last: word, chosen, rejected, z, and times, times_low,
    times_high (95 %): how many times the odds are on the side that uses it more.

    counts: word, chosen, rejected. Words with fewer than FEWEST_USES uses are left out before.
    """
    used = counts.filter(pl.col("chosen") + pl.col("rejected") >= FEWEST_USES)
    if used.height < 2:  # a single word has no odds against others
        return used.clear().with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("z", "times", "times_low", "times_high"))
    odds, error = log_odds(used["chosen"], used["rejected"])
    ends = {"times": 0.0, "times_low": -1.96, "times_high": 1.96}
    columns = {"z": odds / error, **{name: np.exp(np.abs(odds) + away * error) for name, away in ends.items()}}
    found = used.with_columns(pl.Series(name, values, dtype=pl.Float64) for name, values in columns.items())
    return found.filter(pl.Series(beyond_chance(odds / error), dtype=pl.Boolean)).sort("z", "word")
