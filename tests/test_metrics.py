"""Statistics against numbers worked out by hand."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.statistics import intervals
from engine.statistics.estimate import Estimate
from engine.statistics.intervals import correlation, difference_of_shares, mean, median, share, share_above_zero, spread, wilson
from engine.statistics.registry import STATISTICS, measured
from engine.statistics.rewards import reward_numbers
from engine.statistics.words import beyond_chance, chinese_words, distinguishing, log_odds, stop_words, word_counts


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


def scored(chosen: list[float], rejected: list[float]) -> pl.DataFrame:
    """Rows of scored_pairs, each pair with a prompt of its own; the chosen response is one word longer."""
    rows = pl.DataFrame({"chosen_reward": chosen, "rejected_reward": rejected})
    ids = pl.int_range(pl.len()).cast(pl.String)
    return rows.with_columns(prompt_id=ids, margin=pl.col("chosen_reward") - pl.col("rejected_reward"), chosen_words=2, rejected_words=1)


def test_accuracy_counts_a_tie_half() -> None:
    """Right, wrong, tie, right: (1 + 0 + ½ + 1) / 4."""
    assert measured(scored([2, 1, 3, 5], [1, 2, 3, 4]), ["accuracy"])["accuracy"].value == 0.625


def test_share_of_swapped_sides_is_the_rest() -> None:
    assert share_above_zero([1, -1, 0]).value + share_above_zero([-1, 1, 0]).value == 1


def test_length_rule_prefers_the_longer_response() -> None:
    rows = pl.DataFrame({"prompt_id": ["a", "b", "c"], "chosen_words": [10, 3, 7], "rejected_words": [5, 9, 7]})
    assert measured(rows, ["length_rule"])["length_rule"].value == 0.5


def test_a_difference_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 values are nan"):
        share_above_zero([1.0, float("nan")])


def test_reward_numbers_pool_both_sides_as_align_anything_does() -> None:
    """Rewards 1, 3 | 0, 4: pooled mean 2, squared deviations 1 + 1 + 4 + 4 = 10, std √(10/3); margins 1, −1: mean 0, std √2."""
    assert reward_numbers([1, 3], [0, 4]) == pytest.approx(
        {"accuracy": 0.5, "reward_mean": 2, "reward_std": math.sqrt(10 / 3), "chosen_mean": 2, "chosen_std": math.sqrt(2)}
        | {"rejected_mean": 2, "rejected_std": math.sqrt(8), "margin_mean": 0, "margin_std": math.sqrt(2)}
    )


def test_statistics_of_a_scorer_are_a_runs_metrics_with_intervals() -> None:
    chosen, rejected = [1.0, 3.0, 2.5, 4.0], [0.0, 4.0, 1.0, 1.0]
    numbers = reward_numbers(chosen, rejected)
    assert {name: e.value for name, e in measured(scored(chosen, rejected), numbers).items()} == pytest.approx(numbers)


def test_mean_reward_gives_the_number_of_rewards_and_not_of_pairs() -> None:
    """Four pairs have eight rewards."""
    found = measured(scored([1, 3, 2, 4], [0, 4, 1, 1]), ["reward_mean", "reward_std", "margin_mean"])
    assert [(e.n, e.counted) for e in found.values()] == [(8, "rewards"), (8, "rewards"), (4, "pairs")]


def test_every_statistic_says_what_it_is() -> None:
    assert all(s.label and s.help.endswith(".") and s.of for s in STATISTICS.values())
    assert "no linear relation" in STATISTICS["length_correlation"].help


def test_two_scorers_on_the_same_pairs_are_compared_pair_by_pair() -> None:
    """Trained right on three of four, untrained on two of them: +1, 0, 0, 0 points, mean ¼; every pair that both rank alike says 0."""
    rows = pl.DataFrame({"margin": [1.0, 1, 1, -1], "untrained_margin": [-1.0, 1, 1, -1], "prompt_id": list("abcd")})
    assert measured(rows, ["accuracy_gain"])["accuracy_gain"].value == 0.25


# What length has to do with it


def by_length(*rows: tuple[float, int, int]) -> pl.DataFrame:
    """Pairs with prompts of their own: margin, words of the chosen and of the rejected response."""
    frame = pl.DataFrame(rows, schema=["margin", "chosen_words", "rejected_words"], orient="row")
    return frame.with_columns(prompt_id=pl.int_range(pl.len()).cast(pl.String))


def value(name: str, rows: pl.DataFrame) -> float:
    return measured(rows, [name])[name].value


def test_pairs_of_like_length_differ_by_a_tenth_of_the_longer() -> None:
    """|90 − 100| ≤ 10 is alike, |100 − 112| ≤ 11.2 is not: right, wrong of the two that are alike."""
    rows = by_length((1, 90, 100), (-1, 100, 100), (1, 100, 112), (1, 10, 1))
    assert measured(rows, ["accuracy_length_matched"])["accuracy_length_matched"].n == 2
    assert value("accuracy_length_matched", rows) == 0.5


def test_accuracy_where_the_chosen_response_is_longer_and_where_it_is_shorter() -> None:
    """Longer: right, right, wrong, 2/3; shorter: right, wrong, 1/2; as long: in neither. 2/3 − 1/2."""
    rows = by_length((1, 5, 4), (1, 9, 4), (-1, 5, 4), (1, 4, 5), (-1, 4, 5), (1, 4, 4))
    assert value("accuracy_chosen_longer", rows) == pytest.approx(2 / 3)
    assert value("accuracy_chosen_shorter", rows) == 0.5
    assert value("length_advantage", rows) == pytest.approx(1 / 6)


def test_a_reward_model_is_compared_with_the_length_rule_pair_by_pair() -> None:
    """Right where length is wrong: +1; both right: 0; a tie of lengths, right: +½; wrong where length is right: −1. Mean 1/8."""
    assert value("gain_over_length_rule", by_length((1, 4, 5), (1, 5, 4), (1, 4, 4), (-1, 5, 4))) == 0.125


def answered(*rows: tuple[float, int | None, int | None]) -> pl.DataFrame:
    """Compared answers with prompts of their own: difference, tokens of base and tuned; words are 10 and 20, all ended by themselves."""
    frame = pl.DataFrame(rows, schema={"difference": pl.Float64, "base_tokens": pl.Int64, "tuned_tokens": pl.Int64}, orient="row")
    ends = {f"{who}_finish_reason": pl.lit("stop") for who in ("base", "tuned")}
    return frame.with_columns(prompt_id=pl.int_range(pl.len()).cast(pl.String), base_words=10, tuned_words=20, **ends)


def test_win_rates_by_length_share_out_the_prompts() -> None:
    """Tokens 100 → 89 is shorter, 100 → 90 and 90 → 100 alike, 100 → 112 longer (12 > 11.2): won; won and lost; tied."""
    rows = answered((1, 100, 89), (1, 100, 90), (-1, 90, 100), (0, 100, 112))
    names = "win_rate_shorter", "win_rate_like_length", "win_rate_longer"
    assert [(e.value, e.n) for e in measured(rows, names).values()] == [(1, 1), (0.5, 2), (0.5, 1)]


def test_length_difference_is_in_tokens_and_in_words_where_some_were_not_counted() -> None:
    """−11 and 5 tokens: mean −3; with a missing count 20 − 10 words."""
    found = [
        measured(rows, ["length_difference"])["length_difference"] for rows in (answered((1, 100, 89), (1, 5, 10)), answered((1, 9, None)))
    ]
    assert [(e.value, e.unit) for e in found] == [(-3, "tokens"), (10, "words")]


def test_reward_that_is_gained_with_length_is_correlated_with_it() -> None:
    """Differences 1, 2, 3, 4 at 10, 20, 30, 40 tokens more lie on a line."""
    assert value("gain_length_correlation", answered(*((i, 10, 10 + 10 * i) for i in (1, 2, 3, 4)))) == pytest.approx(1)


def test_win_rate_of_complete_answers_leaves_out_what_was_cut_and_what_nobody_knows() -> None:
    rows = answered(*((1, 10, 10) for _ in range(4))).with_columns(
        base_finish_reason=pl.Series(["stop", "length", "stop", "imported"]),
        tuned_finish_reason=pl.Series(["stop", "stop", "length", "stop"]),
    )
    assert measured(rows, ["win_rate_complete"])["win_rate_complete"].n == 1


def test_difference_of_two_shares_is_newcombes_example() -> None:
    """Newcombe 1998, table II, case (a), method 10: 56/70 − 48/80 is 0.2 with 0.0524 to 0.3339."""
    found = difference_of_shares(wilson(56, 70), wilson(48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    assert (found.n, found.unit, found.method) == (150, "difference of shares", "Newcombe's interval")


def test_intervals_that_must_hold_together_are_wider() -> None:
    """Bonferroni for five: z of 1 − 0.005 is 2.5758 instead of 1.9600. Wilson of 8 in 10: half = 2.5758 √(0.016 + 0.016587) / 1.66349."""
    careful = wilson(8, 10, alpha=0.05 / 5)
    assert (careful.high - careful.low) / 2 == pytest.approx(2.5758 * math.sqrt(0.016 + 2.5758**2 / 400) / 1.66349, abs=1e-4)


# Intervals: what they are made by, and that they hold what they should


def test_pairs_that_share_prompts_are_drawn_by_prompt() -> None:
    prompts = pl.Series(["a", "a", "b", "c", "d", "e", "f", "g"])
    points = [1, 1, 0, 1, 0, 1, 1, 0]
    assert share(points, prompts).method == "bootstrap-t by prompt"
    assert share(points, pl.Series(list("abcdefgh"))).method == "Wilson's interval"
    assert correlation(points, range(8), prompts).method == "percentile bootstrap by prompt"
    assert median(points, prompts).method == "order statistics by prompt"


def test_more_than_a_fifth_of_ties_is_no_count_of_successes() -> None:
    prompts = pl.Series([str(i) for i in range(20)])
    assert share([0.5] * 4 + [1] * 10 + [0] * 6, prompts).method == "Wilson's interval"
    assert share([0.5] * 5 + [1] * 10 + [0] * 5, prompts).method == "bootstrap-t"


def test_an_interval_does_not_depend_on_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    values, prompts = rng.normal(size=60), pl.Series([str(i // 3) for i in range(60)])
    order = rng.permutation(60)
    there, back = mean(values, prompts), mean(values[order], prompts[order.tolist()])
    assert (there.low, there.high) == pytest.approx((back.low, back.high), abs=1e-12)


def test_values_that_are_all_equal_have_no_interval() -> None:
    assert f"{mean([2.0, 2.0, 2.0]):.1f}" == "2.0 (no interval)"
    assert mean([]).n == 0
    assert mean([3.0]).high == math.inf


def test_one_answer_that_differs_leaves_the_mean_open_above() -> None:
    """A third of the resamples of 0, …, 0, 1 hold no 1: nothing bounds the mean from above."""
    found = mean([0.0] * 79 + [1.0])
    assert found.low < 1 / 80 < found.high == math.inf
    assert found.as_json()["high"] is None
    assert found.interval("{:.2f}").startswith("above ")


def test_a_single_word_tells_nothing_apart() -> None:
    """Its odds against no other word would be infinite."""
    assert distinguishing(pl.DataFrame({"word": ["oven"], "chosen": [12], "rejected": [0]})).is_empty()


def test_all_prompts_agreeing_are_as_many_successes_as_prompts() -> None:
    """Four right pairs of two prompts say as much as two right pairs: n / (n + z²) = 2 / 5.84."""
    found = share([1, 1, 1, 1], pl.Series(["a", "a", "b", "b"]))
    assert found.low == pytest.approx(2 / (2 + 1.959964**2), abs=1e-6)
    assert (found.n, found.prompts) == (4, 2)


def covered(truth: float, estimate: Callable[[np.random.Generator], Estimate], times: int = 200) -> float:
    """The share of samples whose interval holds the truth."""
    rng = np.random.default_rng(7)
    return float(np.mean([(e := estimate(rng)).low <= truth <= e.high for _ in range(times)]))


def test_mean_of_80_skewed_values_is_covered() -> None:
    """Lognormal, mean √e: ± 1.96 s/√n covers 0.91; 97 % zeros, the rest exponential: 0.72. 200 samples: standard error 0.015."""
    assert covered(math.exp(0.5), lambda rng: mean(rng.lognormal(size=80))) >= 0.91
    assert covered(0.03, lambda rng: mean(rng.exponential(size=80) * (rng.random(80) < 0.03))) >= 0.95


def answers(rng: np.random.Generator) -> tuple[np.ndarray, pl.Series]:
    """60 prompts with 8 pairs each, right with a chance of the prompt's own: beta with mean 0.7 and intraclass correlation 0.3."""
    chance = np.repeat(rng.beta(0.7 * 7 / 3, 0.3 * 7 / 3, 60), 8)
    return (rng.random(480) < chance).astype(float), pl.Series(np.repeat(np.arange(60), 8))


def test_share_over_shared_prompts_is_covered() -> None:
    """Wilson's interval over the pairs covers 0.73 of the time here."""
    assert covered(0.7, lambda rng: share(*answers(rng))) >= 0.91
    assert covered(0.7, lambda rng: wilson(answers(rng)[0].sum(), 480)) < 0.85


def test_median_is_covered_with_and_without_shared_prompts() -> None:
    """1.57 IQR/√n covers 0.87 to 0.91 of the medians."""
    assert covered(0, lambda rng: median(rng.normal(size=100))) >= 0.92

    def shared(rng: np.random.Generator) -> Estimate:
        return median(np.repeat(rng.normal(size=100), 4) + rng.normal(size=400), pl.Series(np.repeat(np.arange(100), 4)))

    assert covered(0, shared) >= 0.91


def test_correlation_and_spread_are_covered_with_shared_prompts() -> None:
    prompts = pl.Series(np.repeat(np.arange(80), 3))

    def shared(rng: np.random.Generator) -> np.ndarray:
        return np.repeat(rng.normal(size=80), 3) + rng.normal(size=240)

    assert covered(0, lambda rng: correlation(shared(rng), shared(rng), prompts)) >= 0.91
    assert covered(math.sqrt(2), lambda rng: spread(shared(rng), prompts)) >= 0.9


def test_many_units_have_the_normal_interval_which_the_bootstrap_agrees_with(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y, prompts = rng.normal(0.5, 1, 2500), rng.normal(size=2500), pl.Series(np.arange(2500) % 2200)
    by_formula = mean(x, prompts), spread(x, prompts), correlation(x, y, prompts)
    monkeypatch.setattr(intervals, "MOST_UNITS", 10_000)
    drawn = mean(x, prompts), spread(x, prompts), correlation(x, y, prompts)
    assert [e.method for e in by_formula] == ["normal interval by prompt"] * 3
    assert [e.low for e in by_formula] == pytest.approx([e.low for e in drawn], abs=0.01)
    assert [e.high for e in by_formula] == pytest.approx([e.high for e in drawn], abs=0.01)


def test_correlation_of_a_line_is_1_and_of_noise_includes_0() -> None:
    assert correlation([1, 2, 3, 4], [2, 4, 6, 8]).value == pytest.approx(1)
    rng = np.random.default_rng(0)
    noise = correlation(rng.normal(size=500), rng.normal(size=500))
    assert noise.low < 0 < noise.high


def test_log_odds_of_a_word_used_3_to_1_is_worked_out_by_hand() -> None:
    """Counts a: 3 | 1, b: 1 | 3; two words have the prior 1 in all. δ_a = ln(3.5/(4+1−3.5)) − ln(1.5/(4+1−1.5)); σ² = 1/3.5 + 1/1.5."""
    odds, error = log_odds([3, 1], [1, 3])
    z = odds / error
    assert z[0] == pytest.approx((math.log(3.5 / 1.5) - math.log(1.5 / 3.5)) / math.sqrt(1 / 3.5 + 1 / 1.5))
    assert z[1] == pytest.approx(-z[0])


def test_z_of_words_under_random_labels_has_standard_deviation_near_1() -> None:
    """3,000 words of 10 to 400 uses, each use given to a side by a coin; with the words' own counts as prior it is 0.58."""
    rng = np.random.default_rng(0)
    uses = rng.geometric(1 / 60, 3000) % 391 + 10
    left = rng.binomial(uses, 0.5)
    odds, error = log_odds(left, uses - left)
    z = odds / error
    assert z.std() == pytest.approx(1, abs=0.04)
    assert float((np.abs(z) > 1.959964).mean()) == pytest.approx(0.05, abs=0.012)
    assert beyond_chance(z).sum() <= 1


def test_benjamini_and_hochberg_name_what_they_would_by_hand() -> None:
    """p = 0.01, 0.02, 0.03, 0.5 against 0.05 k/4 = 0.0125, 0.025, 0.0375, 0.05: the third passes, and so do all before it."""
    z = [NormalDist().inv_cdf(1 - p / 2) for p in (0.5, 0.02, 0.01, 0.03)]
    assert beyond_chance(z).tolist() == [False, True, True, True]
    assert not beyond_chance([]).size


def test_words_are_counted_by_split_and_side() -> None:
    rows = [("train", "chosen", "Bread, bread’s BREAD 面包"), ("train", "rejected", "bread of 面包面包"), ("test", "chosen", "bread")]
    counts = word_counts(pl.DataFrame(rows, schema=["split", "side", "text"], orient="row"))
    assert counts.rows() == [("test", "bread", 1, 0), ("train", "bread", 2, 1), ("train", "bread's", 1, 0), ("train", "面包", 1, 2)]


def test_chinese_is_cut_into_words_and_latin_is_passed_over() -> None:
    words = chinese_words(["我喜欢面包 and butter", "面包"])
    assert words["面包"] == 2
    assert "butter" not in words


def test_a_telling_word_says_how_many_times_its_odds_are_with_an_interval() -> None:
    """Odds with ½ added to each of two words: (30.5/80.5)/(10.5/90.5) = 3.27 and its σ = √(1/30.5 + 1/10.5) = 0.358, so times e^±0.70."""
    found = distinguishing(pl.DataFrame({"word": ["bread", "other"], "chosen": [30, 80], "rejected": [10, 90]}))
    bread = found.row(by_predicate=pl.col("word") == "bread", named=True)
    assert bread["times"] == pytest.approx((30.5 / 80.5) / (10.5 / 90.5))
    assert bread["times_low"] == pytest.approx(bread["times"] * math.exp(-1.96 * math.sqrt(1 / 30.5 + 1 / 10.5)))
    assert bread["times_low"] * bread["times_high"] == pytest.approx(bread["times"] ** 2)


def test_stop_words_hold_all_of_scikit_learns() -> None:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    assert stop_words() >= ENGLISH_STOP_WORDS


def test_stop_words_are_english_and_chinese() -> None:
    assert {"the", "don't", "的"} <= stop_words()
    assert "bread" not in stop_words()
