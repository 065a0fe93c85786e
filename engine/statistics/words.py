"""Words of a text in languages with and without spaces, and which of two collections a word belongs to."""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

HAN_RUN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
STOP_WORDS = Path(__file__).parent / "stop_words.txt"  # English contractions and Chinese


@cache
def stop_words() -> frozenset[str]:
    """Words too common to say anything: scikit-learn's English list, English contractions, Chinese."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS) | frozenset(STOP_WORDS.read_text().split())


def chinese_words(texts: Iterable[str]) -> Counter[str]:
    """How often each Chinese word stands in the texts: runs of Han characters cut by jieba's dictionary; everything else is passed over."""
    import jieba

    jieba.setLogLevel(logging.WARNING)
    return Counter(word for text in texts for run in HAN_RUN.findall(text) for word in jieba.cut(run))


def log_odds(left: ArrayLike, right: ArrayLike) -> NDArray[np.float64]:
    """z-score of each word's log-odds between two collections; positive: the left one's word, |z| > 1.96 beyond chance.

    δ_w = log((l_w + α_w)/(n_l + α_0 − l_w − α_w)) − log((r_w + α_w)/(n_r + α_0 − r_w − α_w)),
    σ² ≈ 1/(l_w + α_w) + 1/(r_w + α_w),  z = δ/σ,  with the informative prior α_w = l_w + r_w (the counts of both together).
    Monroe, Colaresi and Quinn 2008, Fightin' Words, Eqs. 15, 20 to 22. left, right: counts of the same words, each (W,).
    """
    l_w, r_w = np.asarray(left, dtype=float), np.asarray(right, dtype=float)
    prior = l_w + r_w
    total = prior.sum()
    odds_left = np.log((l_w + prior) / (l_w.sum() + total - l_w - prior))
    odds_right = np.log((r_w + prior) / (r_w.sum() + total - r_w - prior))
    z: NDArray[np.float64] = (odds_left - odds_right) / np.sqrt(1 / (l_w + prior) + 1 / (r_w + prior))
    return z
