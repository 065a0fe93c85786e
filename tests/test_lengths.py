"""What length has to do with it: lines of least squares, groups by length, and what the figures draw of them."""

from math import sqrt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_pages import opened, said

from dashboard import queries
from dashboard.figures import drawn, find, render
from dashboard.figures.registry import marks
from dashboard.figures.theme import legend_rows
from dashboard.queries import Selection
from dashboard.queries.lengths import cells, length_bins
from dashboard.state import slices
from engine.settings.slices import Slice
from engine.statistics.intervals import Z95
from engine.statistics.lines import line
from engine.statistics.registry import measured
from engine.store import database
from engine.store.database import Connection
from engine.store.slices import show_slice


def test_a_line_has_the_robust_standard_error_of_its_points() -> None:
    """x = 0, 1, 2 and y = 0, 1, 0: slope 0, level ⅓, residuals −⅓, ⅔, −⅓.

    Σ s sᵀ = diag(6/9, 2/9) around the mean of x, (XᵀX)⁻¹ = diag(⅓, ½), and the correction 3/2 · 2/1 = 3: the variance of the slope is
    2/9 · ¼ · 3 = ⅙, that of the level at the mean of x 6/9 · 1/9 · 3 = 2/9.
    """
    found = line([0, 1, 2], [0, 1, 0])
    assert found is not None
    rise = found.rise(100, "reward", "pairs")
    middle, low, _ = found.at([1.0])
    assert [rise.value, rise.high] == pytest.approx([0, 100 * Z95 * sqrt(1 / 6)])
    assert [middle[0], low[0]] == pytest.approx([1 / 3, 1 / 3 - Z95 * sqrt(2 / 9)])


def test_rows_of_one_prompt_count_as_one_in_the_interval_of_a_line() -> None:
    """Every row given twice says nothing new: as wide as once, but for the correction for few rows."""
    x, y, prompts = [0.0, 1, 2, 3], [0.0, 2, 1, 4], ["a", "b", "c", "d"]
    once, twice = line(x, y, pl.Series(prompts)), line(x * 2, y * 2, pl.Series(prompts * 2))
    assert once is not None
    assert twice is not None
    assert twice.slope == pytest.approx(once.slope)
    assert twice.covariance / (7 / 6) == pytest.approx(once.covariance / (3 / 2))
    assert twice.method == "robust standard error by prompt"


def test_no_line_where_all_have_one_length() -> None:
    assert line([5, 5, 5], [1, 2, 3]) is None


@given(st.lists(st.integers(-30, 30), min_size=1))
def test_groups_by_length_hold_every_pair_once_and_none_is_across_0(values: list[int]) -> None:
    bins = length_bins(pl.Series(values))
    assert all(sum(low <= value < high for low, high in bins) == 1 for value in values)
    assert all(high <= 0 or low >= 1 or (low, high) == (0, 1) for low, high in bins)
    assert len(bins) <= 7


def test_dots_by_length_are_the_accuracy_of_the_pairs_they_stand_for(con: Connection, chosen: Selection, pairs: pl.DataFrame) -> None:
    plot = render(find("accuracy_by_length"), con, chosen)
    trained = next(trace for trace in plot.data if trace.meta)
    ranges = [mark["longer_by"] for mark in marks(plot)][: len(trained.x)]
    inside = [pairs.filter(pl.col("longer_by").is_between(low, high, closed="left")) for low, high in ranges]
    assert list(trained.y) == pytest.approx([((part["margin"].sign() + 1) / 2).mean() for part in inside])
    rule = next(trace for trace in plot.data if trace.name == "the longer one")
    assert list(rule.y) == pytest.approx([((part["longer_by"].sign() + 1) / 2).mean() for part in inside])


def test_scorers_whose_long_names_begin_alike_are_told_apart(con: Connection, chosen: Selection) -> None:
    """Names of 200 characters and markup are cut, and the role before them says which is which. A narrow screen has a line for each."""
    rows = queries.accuracy_by_length(con, chosen).with_columns(scorer=pl.lit("<b>Reward model</b> of the second week " * 5))
    plot = drawn(find("accuracy_by_length"), rows)
    assert [trace.name for trace in plot.data] == [
        "the longer one",
        "reward model: &lt;b&gt;Reward model…",
        "untrained: &lt;b&gt;Reward model&lt;/b…",
    ]
    assert legend_rows(plot) == 3


@pytest.mark.parametrize("name", ["margin_by_length", "gain_by_length"])
def test_dots_hold_as_many_rows_as_their_two_ranges_select(name: str, filled_cache: Path, con: Connection, chosen: Selection) -> None:
    plot, n = render(find(name), con, chosen), find(name).query(con, chosen)["n"][0]
    counts, every = list(plot.data[0].customdata), marks(plot)
    conditions = slices.chosen([every[counts.index(max(counts))]], every, chosen, None)
    with database.reading(filled_cache) as narrowed:
        show_slice(narrowed, Slice(dataset_id=chosen.dataset_id or "", predicates=tuple(conditions)))
        assert find(name).query(narrowed, chosen)["n"][0] == max(counts)
    assert (sum(counts), len(conditions)) == (n, 2)


def test_many_points_are_counted_on_a_coarser_grid_without_the_outermost() -> None:
    """2,000 points and two far out: a grid of at most 4 cells a standard deviation holds 98 % and more of them, not the two."""
    rng = np.random.default_rng(0)
    x, y = (np.append(rng.normal(0, 40, 2000).round(), 1000.0 * side) for side in (1, -1))
    found = cells(pl.DataFrame({"x": x, "y": y}))
    assert 0.97 * 2001 <= found["count"].sum() < 2001
    assert (found["x"].max(), found["y"].min()) < (200, 0)
    assert len(found) < 700


def test_the_table_of_lengths_shows_the_statistics_of_its_pairs(con: Connection, chosen: Selection, pairs: pl.DataFrame) -> None:
    names = {"all pairs": "accuracy", "like lengths": "accuracy_length_matched", "chosen longer": "accuracy_chosen_longer",
             "chosen shorter": "accuracy_chosen_shorter"}  # fmt: skip
    rows = queries.accuracy_of_lengths(con, chosen)
    expected = {which: measured(pairs, [name])[name].value for which, name in names.items()}
    assert {which: cell["value"] for which, cell in rows.select("which", "trained_accuracy").iter_rows()} == pytest.approx(expected)
    *_, longer, shorter = rows["length_rule"]
    assert (longer["value"], shorter["value"], longer["method"]) == (1, 0, "no interval: by definition")
    assert (longer["n"], shorter["n"]) == tuple(cell["n"] for cell in rows["trained_accuracy"][2:])


def test_the_page_shows_what_is_drawn_of_length_and_the_pairs_behind(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "length_bias.py")
    assert not app.exception
    assert len(app.get("plotly_chart")) == 5
    assert {"Where length cannot decide", "Margins and length", "Tuned answers and length"} <= {h.value for h in app.header}
    assert not app.metric
    table = next(frame.value for frame in app.dataframe if "which" in frame.value.columns)
    assert "%" in table["trained_accuracy"][0]
    assert "Click to select." in said(app)
