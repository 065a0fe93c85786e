"""How numbers are written (engine/statistics/wording.py)."""

import math

import pytest

from engine.statistics.estimate import Estimate
from engine.statistics.intervals import wilson
from engine.statistics.wording import (
    ENGLISH,
    Term,
    Value,
    Wording,
    adds_up,
    counted,
    duration,
    estimated,
    in_unit,
    interval,
    number,
    percent,
    size,
)

INF = math.inf


def test_a_minus_is_a_minus_and_a_difference_has_its_sign() -> None:
    assert (number(-1.35), number(0.71, signed=True), number(-0.001)) == ("−1.35", "+0.71", "0.00")
    assert (number(-0.0031, signed=True), number(0.0, signed=True)) == ("−0.003", "0.00"), "no difference alone is 0.00"
    assert (number(math.nan), number(None), percent(math.nan)) == ("–", "–", "–")


def test_shares_round_half_away_from_zero() -> None:
    """151.5 of 200 is 75.75 %, which a float holds as 75.749…; 58.5 of 100 is 58.5 %; −12.5 rounds to −13."""
    assert (percent(151.5 / 200), percent(0.585, 0), number(-12.5, 0)) == ("75.8\u00a0%", "59\u00a0%", "−13")


def test_a_difference_that_was_taken_before_rounding_need_not_be_that_of_the_written_numbers() -> None:
    """−2.236 − (−1.672) is −0.564; what is written says −0.57."""
    assert not adds_up(number(-1.672), number(-2.236), number(-0.564, signed=True))
    assert adds_up(number(-1.67), number(-2.24), number(-0.57, signed=True))
    assert adds_up(number(30_000), number(31_000.5), number(1_000.5, signed=True))


def test_thousands_are_divided_as_the_language_does() -> None:
    assert (number(30_000, 0), number(1_234_567.5, 1, thousands=",")) == ("30\u202f000", "1,234,567.5")


def test_things_are_counted_with_the_right_form() -> None:
    assert [counted(n, "pairs") for n in (0, 1, 2, 30_000)] == ["0\u00a0pairs", "1\u00a0pair", "2\u00a0pairs", "30\u202f000\u00a0pairs"]


def test_each_unit_has_its_form() -> None:
    assert in_unit(0.81, "share") == "81.0\u00a0%"
    assert (in_unit(0.193, "difference of shares"), in_unit(-0.193, "difference of shares")) == ("+19.3", "−19.3")
    assert (in_unit(0.714, "reward"), in_unit(-22.14, "tokens"), in_unit(-22.14, "tokens", signed=True)) == ("0.71", "−22.1", "−22.1")


def test_an_interval_says_which_end_is_not_known() -> None:
    """162 of 200, Wilson: 75.0 to 85.8 %."""
    assert estimated(wilson(162, 200)) == "81.0\u00a0%\u00a0[75.0,\u00a085.8]"
    ends = [(0.5, 1.25), (0.5, INF), (-INF, 1.25), (-INF, INF)]
    said = [interval(Estimate(1, low, high, 9, unit="reward")) for low, high in ends]
    assert said == ["[0.50,\u00a01.25]", "[above 0.50]", "[below 1.25]", "[no interval]"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (43.2, "43 s"), (59.6, "1 min 00 s"), (229, "3 min 49 s"), (3599.5, "1 h 00 min"), (3900, "1 h 05 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds).replace("\u00a0", " ") == said


def test_sizes_are_in_powers_of_ten() -> None:
    assert [size(x) for x in (98.4e6, 999.4e6, 999.6e6, 1.44e9)] == ["98\u00a0MB", "999\u00a0MB", "1.0\u00a0GB", "1.4\u00a0GB"]


def test_a_template_says_which_part_of_a_value_it_shows() -> None:
    values: dict[str, Value] = {"right": wilson(162, 200), "gain": Estimate(-0.05, -0.1, 0.02, 200, unit="difference of shares"), "n": 1}
    text = "{right:whole} of {right:counted} {right:interval}, {gain} or {gain:whole unsigned} points, {n:prompts}"
    assert ENGLISH.fill(text, values).replace("\u00a0", " ") == "81 % of 200 pairs [75.0, 85.8], −5.0 or 5 points, 1 prompt"


def test_rounding_contradicts_no_sentence_of_more_or_less() -> None:
    """0.496 with all of its interval below one half is not written as 50 %; where the interval holds one half, nothing is told apart.

    0.3 points more are not 0 points more. 49.996 % and its ends need three digits to stay below 50.
    """
    said = {
        "{e:whole}": (Estimate(0.496, 0.493, 0.499, 100_000), "49.6 %"),
        "{e:whole} right": (Estimate(0.496, 0.45, 0.54, 500), "50 % right"),
        "{e:whole unsigned}": (Estimate(0.003, 0.001, 0.005, 100_000, unit="difference of shares"), "0.3"),
        "{e:full}": (Estimate(0.49996, 0.49993, 0.49999, 10**9), "49.996 % [49.993, 49.999]"),
    }
    assert {template: ENGLISH.fill(template, {"e": e}).replace("\u00a0", " ") for template, (e, _) in said.items()} == {
        template: expected for template, (_, expected) in said.items()
    }


def test_another_language_translates_terms_and_leaves_names_alone() -> None:
    chinese = Wording(thousands=",", translate={"unseen pairs": "未见过的样本对"}.__getitem__)
    values: dict[str, Value] = {"name": "{n} unseen pairs", "term": Term("unseen pairs"), "n": 30_000}
    assert chinese.fill("{name}: {n} {term}", values) == "{n} unseen pairs: 30,000 未见过的样本对"
