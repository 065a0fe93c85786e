"""Statistics against numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.statistics.proportions import accuracy, length_rule, share_above_zero, wilson, win_rate
from engine.statistics.rewards import bootstrap_difference, correlation, mean_difference, normal_interval, reward_summary
from engine.statistics.words import chinese_words, log_odds, stop_words


def test_wilson_of_8_in_10_is_what_the_formula_gives_by_hand() -> None:
    """z² = 3.8415: centre = (0.8 + 0.19207) / 1.38415 = 0.71674; half = 1.95996 √(0.016 + 0.0096036) / 1.38415 = 0.22657."""
    estimate = wilson(8, 10)
    assert estimate.value == 0.8
    assert estimate.low == pytest.approx(0.49017, abs=1e-4)
    assert estimate.high == pytest.approx(0.94331, abs=1e-4)


def test_wilson_of_nothing_says_that_it_knows_nothing() -> None:
    nothing = wilson(0, 0)
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.high, nothing.n) == (0.0, 1.0, 0)


@given(st.integers(1, 500), st.data())
def test_wilson_interval_holds_its_share_and_stays_inside_0_to_1(n: int, data: st.DataObject) -> None:
    estimate = wilson(data.draw(st.integers(0, n)), n)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_accuracy_counts_a_tie_half() -> None:
    """Right, wrong, tie, right: (1 + 0 + ½ + 1) / 4."""
    assert accuracy([2, 1, 3, 5], [1, 2, 3, 4]).value == 0.625


def test_win_rate_of_swapped_generators_is_the_rest() -> None:
    tuned, base = [1.0, 2.0, 2.0], [0.0, 3.0, 2.0]
    assert win_rate(tuned, base).value + win_rate(base, tuned).value == 1


def test_length_rule_prefers_the_longer_response() -> None:
    assert length_rule([10, 3, 7], [5, 9, 7]).value == 0.5


def test_a_difference_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 differences are nan"):
        share_above_zero([1.0, float("nan")])


def test_reward_summary_pools_both_sides_as_align_anything_does() -> None:
    """Rewards 1, 3 | 0, 4: pooled mean 2, squared deviations 1 + 1 + 4 + 4 = 10, std √(10/3); margins 1, −1: mean 0, std √2."""
    summary = reward_summary([1, 3], [0, 4])
    assert summary.accuracy.value == 0.5
    assert (summary.reward_mean, summary.reward_std) == pytest.approx((2, math.sqrt(10 / 3)))
    assert (summary.chosen_mean, summary.chosen_std) == pytest.approx((2, math.sqrt(2)))
    assert (summary.rejected_mean, summary.rejected_std) == pytest.approx((2, math.sqrt(8)))
    assert (summary.margin_mean.value, summary.margin_std, summary.n) == pytest.approx((0, math.sqrt(2), 2))


def test_mean_difference_of_1_2_3_is_2_plus_or_minus_1_96_by_root_3() -> None:
    estimate = mean_difference([1, 2, 3], [0, 0, 0])
    assert estimate.value == 2
    assert estimate.high - 2 == pytest.approx(1.959964 / math.sqrt(3), abs=1e-5)


def test_one_value_has_an_infinite_interval() -> None:
    assert normal_interval(3.0, float("nan"), 1).high == math.inf


def test_bootstrap_agrees_with_the_normal_interval_on_many_pairs() -> None:
    d = np.random.default_rng(0).normal(0.5, 1, 2000)
    by_hand, resampled = mean_difference(d, np.zeros(2000)), bootstrap_difference(d, np.zeros(2000))
    assert resampled.low == pytest.approx(by_hand.low, abs=0.01)
    assert resampled.high == pytest.approx(by_hand.high, abs=0.01)


def test_correlation_of_a_line_is_1_and_of_noise_includes_0() -> None:
    assert correlation([1, 2, 3], [2, 4, 6]).value == pytest.approx(1)
    rng = np.random.default_rng(0)
    noise = correlation(rng.normal(size=500), rng.normal(size=500))
    assert noise.low < 0 < noise.high


def test_log_odds_of_a_word_used_3_to_1_is_worked_out_by_hand() -> None:
    """Counts a: 3 | 1, b: 1 | 3; prior a, b = 4, total 8. δ_a = ln(7/(4+8−7)) − ln(5/(4+8−5)) = ln(49/25); σ² = 1/7 + 1/5."""
    z = log_odds([3, 1], [1, 3])
    assert z[0] == pytest.approx(math.log(49 / 25) / math.sqrt(1 / 7 + 1 / 5))
    assert z[1] == pytest.approx(-z[0])


def test_chinese_is_cut_into_words_and_latin_is_passed_over() -> None:
    words = chinese_words(["我喜欢面包 and butter", "面包"])
    assert words["面包"] == 2
    assert "butter" not in words


def test_stop_words_are_english_and_chinese() -> None:
    assert {"the", "don't", "的"} <= stop_words()
    assert "bread" not in stop_words()
