"""Selecting in a figure: what bars and dots stand for, what becomes of it on the page, and the pairs behind it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.testing.v1 import AppTest
from test_pages import opened, said

from dashboard import queries
from dashboard.figures import FIGURES, TABLES, Figure, Table, find, render, seen_by
from dashboard.figures.registry import FADED, bin_width, marks, outlined
from dashboard.figures.theme import PAGES
from dashboard.parts import verdict
from dashboard.parts.columns import preview
from dashboard.parts.drawings import ROW_PIXELS
from dashboard.parts.pair_list import BAR_PIXELS, bar
from dashboard.queries import Selection
from dashboard.state import slices
from dashboard.state.slices import named
from engine.data.records import words
from engine.settings.slices import Contains, OneOf, Range, Slice, without_rewards
from engine.statistics.claims import claims
from engine.store import database
from engine.store.database import Connection
from engine.store.slices import show_slice

pytestmark = pytest.mark.slow


def sliced(selection: Selection, *predicates: Any, inverted: bool = False) -> Slice:
    return Slice(dataset_id=selection.dataset_id or "", predicates=predicates, inverted=inverted)


def wrong(selection: Selection) -> Range:
    return Range(field="margin", high=0, scorer=selection.trained_scorer)


def drawn(app: AppTest, number: int) -> dict[str, Any]:
    """The number-th figure of a page as the browser is given it."""
    spec: dict[str, Any] = json.loads(app.get("plotly_chart")[number].proto.spec)
    return spec


def run_beside(app: AppTest, sent: WidgetState) -> None:
    """Run as a browser does: of a menu that is closed it sends what was last picked there, in the words of then, whatever came after."""
    states = app._tree.get_widget_states().widgets
    app._run(WidgetStates(widgets=[sent if state.id == sent.id else state for state in states]))


def test_bars_of_margins_are_the_pairs_and_end_at_0(con: Connection, chosen: Selection, pairs: pl.DataFrame) -> None:
    plot = render(find("margins"), con, chosen)
    ends = [mark["margin"] for mark in marks(plot)]
    by_hand = [pairs.filter(pl.col("margin").is_between(low, high, closed="left")).height for low, high in ends]
    assert list(plot.data[0].y) == by_hand
    assert sum(by_hand) == len(pairs)
    assert not any(low < 0 < high for low, high in ends)
    notes = [note.text for note in plot.layout.annotations]
    counts = {"wrong": pairs.filter(pl.col("margin") < 0).height, "right": pairs.filter(pl.col("margin") > 0).height}
    assert [f"ranked {side}<br>{n} ·" in note for note, (side, n) in zip(notes, counts.items(), strict=True)] == [True, True]


def test_bars_up_to_the_end_of_a_figure_are_a_range_that_is_open_there(con: Connection, chosen: Selection) -> None:
    every = marks(render(find("margins"), con, chosen))
    below = [mark for mark in every if mark["margin"][1] <= 0]
    assert slices.chosen(below, every, chosen, None) == [wrong(chosen)]
    assert slices.chosen(every, every, chosen, None) == []


def test_dots_of_groups_are_their_accuracy_and_stand_for_their_pairs(con: Connection, chosen: Selection, pairs: pl.DataFrame) -> None:
    plot = render(find("accuracy_of_groups"), con, chosen)
    trained = plot.data[0]
    names = [mark["prompt_type"] for mark in marks(plot)][: len(trained.x)]
    points = pairs.with_columns(right=(pl.col("margin").sign() + 1) / 2)
    assert list(trained.x) == pytest.approx([points.filter(pl.col("prompt_type").eq_missing(name))["right"].mean() for name in names])
    assert list(trained.x) == sorted(trained.x, reverse=True)


def test_what_is_said_of_rewards_does_not_decide_who_is_right(chosen: Selection) -> None:
    """Among pairs with a margin below 0 the accuracy is 0, whatever the model."""
    kind = OneOf(field="prompt_type", values=("baking",))
    assert without_rewards(sliced(chosen, wrong(chosen), kind)) == sliced(chosen, kind)
    assert without_rewards(sliced(chosen, wrong(chosen))) is None
    assert without_rewards(sliced(chosen, wrong(chosen), kind, inverted=True)) is None
    assert without_rewards(sliced(chosen, kind, inverted=True)) == sliced(chosen, kind, inverted=True)


def test_a_headline_of_other_rows_than_the_slice_names_them(con: Connection, chosen: Selection) -> None:
    """The sentences of a slice of wrong pairs are those of what else it asks for: of all pairs where that is nothing."""
    long = Range(field="chosen_words", low=1)
    for found, beginning in (
        (sliced(chosen, wrong(chosen)), "Among all pairs, "),
        (sliced(chosen, wrong(chosen), long), "Among pairs where words of the chosen response ≥ 1, "),
        (sliced(chosen, long), ""),
    ):
        looked_at = replace(chosen, slice=found)
        show_slice(con, found)
        claim = claims(con, looked_at, "reward_model")[0]
        show_slice(con, None)
        headline = verdict.headline(claim, looked_at)
        assert headline.startswith(beginning)
        assert headline[len(beginning) + 1 :] == verdict.text(claim)[1:]
    assert slices.clauses(sliced(chosen, Range(field="longer_by", low=10))) == "the chosen response is at least 10 words longer"


def test_pairs_are_listed_from_the_most_wrongly_ranked(con: Connection, chosen: Selection, pairs: pl.DataFrame) -> None:
    first, second = (queries.ranked_pairs(con, chosen, page=page, rows=5) for page in (0, 1))
    assert [*first["pair_id"], *second["pair_id"]] == pairs["pair_id"].to_list()[:10]
    assert first["matches"].to_list() == [len(pairs)] * 5
    assert [queries.pair_place(con, chosen, pair) for pair in second["pair_id"]] == [5, 6, 7, 8, 9]
    assert queries.pair_place(con, chosen, "nowhere") is None


def test_pairs_without_a_reward_are_listed_too(con: Connection, chosen: Selection, pairs: pl.DataFrame) -> None:
    rows = queries.ranked_pairs(con, replace(chosen, trained_scorer=None), rows=100)
    assert sorted(rows["pair_id"]) == sorted(pairs["pair_id"])
    assert rows["margin"].null_count() == len(rows)


def test_a_slice_in_the_address_is_a_chip_with_its_count_and_fades_the_other_bars(
    filled_cache: Path, chosen: Selection, pairs: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(filled_cache, monkeypatch, "reward_model.py", slice=sliced(chosen, wrong(chosen)).as_json())
    below = pairs.filter(pl.col("margin") < 0)
    assert not app.exception
    assert f"{len(below)} of {len(pairs)} pairs" in said(app)
    assert app.button(key=f"drop_0_{hash(wrong(chosen))}").label.replace("\\", "") == "margin < 0"
    bars = drawn(app, 0)["data"][0]
    ends = [mark["margin"][1] for mark in bars["meta"]["marks"]]
    assert bars["marker"]["opacity"] == [1.0 if end <= 0 else FADED for end in ends]
    assert len(app.dataframe[0].value) == min(12, len(below))
    assert "they would decide who is right" in said(app)
    assert "accuracy 0.0" not in said(app)  # of Figure 4b, by the definition of the slice


@pytest.mark.parametrize("made", [*FIGURES, *TABLES], ids=lambda made: made.name)
def test_a_slice_by_rewards_decides_no_accuracy_and_no_win_rate(made: Figure | Table, con: Connection, chosen: Selection) -> None:
    """Of pairs with a margin below 0 every accuracy is 0 %. What was measured while training is of all pairs in any case."""
    stated = any(word in name for name in made.query(con, chosen).columns for word in ("accuracy", "win_rate", "reward_difference"))
    below = replace(chosen, slice=sliced(chosen, wrong(chosen)))
    assert made.page == "training" or not stated or seen_by(made, below) == chosen


def test_the_pairs_that_are_ranked_wrong_are_one_press_away(
    filled_cache: Path, chosen: Selection, pairs: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(filled_cache, monkeypatch, "reward_model.py")
    below = pairs.filter(pl.col("margin") < 0).height
    next(button for button in app.button if button.label == f"Ranked wrong: {below}").click().run()
    assert app.query_params["slice"] == sliced(chosen, wrong(chosen)).as_json()
    assert not any("Ranked wrong" in button.label for button in app.button)


def test_bars_of_margins_are_as_long_as_their_share_of_the_widest_and_fit_their_column() -> None:
    """A table draws a picture as high as its row but for 4 pixels, and cuts off what is wider than the column."""
    drawn = [unquote(str(bar(margin, 4.0))) for margin in (-4.0, -1.0, 2.0)]
    lengths = [float(picture.split('width="')[2].partition('"')[0]) for picture in drawn]
    assert [length / lengths[0] for length in lengths] == [1, 0.25, 0.5]
    width, height = (int(drawn[0].split(f'{side}="')[1].partition('"')[0]) for side in ("width", "height"))
    assert (ROW_PIXELS - 4) / height * width <= BAR_PIXELS


def test_a_text_that_is_longer_than_its_cell_ends_in_an_ellipsis() -> None:
    """Of 160 pixels 16 are at the sides; 22 letters of 6.4 pixels fit into the others, or 11 Chinese characters."""
    assert preview("a" * 22, 160) == "a" * 22
    assert preview("a" * 23, 160) == "a" * 21 + "…"
    assert preview("one\ntwo", 160) == "one two"
    assert preview("我们不能这样做我们不能这样做", 160) == "我们不能这样做我们不…"


def test_the_pair_beside_the_list_is_stepped_through_and_stands_in_the_address(
    filled_cache: Path, pairs: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(filled_cache, monkeypatch, "reward_model.py")
    assert f"1 of {len(pairs)}" in said(app)
    app.button(key="pair_down").click().run()
    assert app.query_params["pair"] == pairs["pair_id"][1]
    app.button(key="pairs_after").click().run()
    assert app.query_params["pair"] == pairs["pair_id"][12]
    app.button(key="pair_up").click().run()
    assert f"12 of {len(pairs)}" in said(app)
    assert not app.exception


def test_a_slice_without_a_pair_says_what_to_do(filled_cache: Path, chosen: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in ("reward_model.py", "length_bias.py"):
        app = opened(filled_cache, monkeypatch, page, slice=sliced(chosen, Contains(text="no pair has this")).as_json())
        assert not app.exception
        assert "No pairs: widen the range or remove “no pair has this” in a text." in said(app)
        assert "Train a reward model" not in said(app)


def test_an_unknown_pair_is_said_and_the_first_shown(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "reward_model.py", pair="nowhere")
    assert any("nowhere is not here" in warning.value for warning in app.warning)
    assert "1 of " in said(app)


def test_a_slice_is_kept_under_a_name_and_chosen_again(own_cache: Path, chosen: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved from the line under the figure, which wants a name and says that it is done; left, and taken from the chip again."""
    app = opened(own_cache, monkeypatch, "reward_model.py", slice=sliced(chosen, wrong(chosen)).as_json())
    app.button(key="slice_save").click().run()
    assert "Give it a name." in said(app)
    app.text_input(key="slice_name").set_value("ranked *wrong*")
    app.button(key="slice_save").click().run()
    assert json.loads(app.query_params["slice"])["name"] == "ranked *wrong*"
    assert "Saved as “ranked" in said(app)
    app.button(key="slice_clear").click().run()
    assert "slice" not in app.query_params
    (box,) = [box for box in app.selectbox if box.label == "Saved slices"]
    sent = box.select("ranked *wrong*")._widget_state
    app.run()
    assert json.loads(app.query_params["slice"])["predicates"][0]["high"] == 0
    app.button(key="slice_clear").click()
    run_beside(app, sent)
    run_beside(app, sent)
    assert "slice" not in app.query_params


def test_a_second_scorer_is_drawn_in_outline_over_the_first(filled_cache: Path, chosen: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = drawn(opened(filled_cache, monkeypatch, "reward_model.py"), 0)["data"]
    app = opened(filled_cache, monkeypatch, "reward_model.py")
    app.selectbox(key="pick_with").select(chosen.base_scorer).run()
    assert not app.exception
    assert app.query_params["with"] == chosen.base_scorer
    both = drawn(app, 0)["data"]
    assert len(both) == 2 * len(alone)
    assert both[len(alone)]["marker"]["line"]["color"] == PAGES["light"][0]
    assert "meta" not in both[len(alone)]
    assert "in outline: untrained, in its own unit" in said(app)
    assert "without untrained: rewards of two reward models have no unit in common" in said(app)
    app.selectbox(key="pick_trained").select(chosen.base_scorer).run()
    assert not [button for button in app.button if button.key == "chip_beside"], "a model is not beside itself"
    assert not app.warning


def test_what_is_beside_has_the_bins_of_what_is_shown(con: Connection, chosen: Selection) -> None:
    """Bars of counts compare where they are as wide; above the highest of either is the room for what is written there."""
    shown = render(find("margins"), con, chosen)
    width = bin_width(shown)
    assert width is not None
    other = render(find("margins"), con, replace(chosen, trained_scorer=chosen.base_scorer, bin_width=width))
    ends = [mark["margin"] for mark in marks(other)]
    assert bin_width(other) == width
    assert [low / width for low, _high in ends] == pytest.approx([round(low / width) for low, _high in ends])
    assert outlined(shown, other)
    assert shown.layout.yaxis.range[1] >= 1.3 * max(max(bars.y) for bars in shown.data if bars.type == "bar")


def test_what_was_taken_off_stays_off(filled_cache: Path, chosen: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "reward_model.py")
    picked = app.selectbox(key="pick_with").select(chosen.base_scorer)
    sent = picked._widget_state
    picked.run()
    app.button(key="chip_beside").click()
    run_beside(app, sent)
    for page in ("reward_model.py", "length_bias.py"):
        run_beside(app.switch_page(f"views/{page}"), sent)
        assert not app.query_params.get("with")
        assert not [button for button in app.button if button.key == "chip_beside"]


def test_what_is_chosen_outlives_a_switch_of_the_language(filled_cache: Path, chosen: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "reward_model.py")
    picked = app.selectbox(key="pick_with").select(chosen.base_scorer)
    sent = picked._widget_state
    picked.run()
    for language in ("zh", "en"):
        app.segmented_control(key="language").set_value(language)
        run_beside(app, sent)
        run_beside(app, sent)
        assert not app.warning
        assert app.query_params["with"] == chosen.base_scorer


def test_a_condition_narrows_an_inverted_slice(chosen: Selection) -> None:
    """All but margin < 0 and a type of prompt: margin ≥ 0 of that type, which is less and not more."""
    kind = OneOf(field="prompt_type", values=("safety",))
    inverted = sliced(chosen, wrong(chosen), inverted=True)
    assert slices.narrowed(inverted, (kind,)) == sliced(chosen, wrong(chosen).model_copy(update={"not_": True}), kind)
    assert slices.narrowed(sliced(chosen, wrong(chosen), kind, inverted=True), (kind,)) == sliced(chosen, kind)
    assert named(inverted) == "all but margin < 0"


def test_half_scored_pairs_are_said_and_nothing_is_drawn_of_them(
    own_cache: Path, chosen: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "select chosen_id from pairs where split = 'validation' order by pair_id limit 1"
    with database.writing(own_cache) as con:
        con.execute(f"delete from rewards where scorer_id in ($trained, $untrained) and text_id in ({text})",
                    {"trained": chosen.trained_scorer, "untrained": chosen.base_scorer})  # fmt: skip
        database.recount(con, database.every_scorer(con))
    for page in ("reward_model.py", "length_bias.py"):
        app = opened(own_cache, monkeypatch, page)
        assert not app.exception
        assert not app.error
        assert "29 of 30 pairs are scored by reward model" in said(app)
        assert "ranked right" not in json.dumps([figure.proto.spec for figure in app.get("plotly_chart")])
    with database.writing(own_cache) as con:
        con.execute("delete from rewards where text_id in (select text_id from generations)")
        database.recount(con, database.every_scorer(con))
    assert "No reward model has scored both sets of answers" in said(opened(own_cache, monkeypatch, "dpo_vs_base.py"))


def test_a_word_and_points_of_the_map_become_conditions(con: Connection, chosen: Selection) -> None:
    """A bar of a word stands for the pairs that have it, a point of the map for its pair; both are found again in the slice."""
    words, points = marks(render(find("distinguishing_words"), con, chosen)), marks(render(find("response_map"), con, chosen))
    (word,) = slices.chosen(words[:1], words, chosen, None)
    assert word == Contains(text=words[0]["word"], word=True)
    assert slices.own(sliced(chosen, word), words, chosen, None) == (word,)
    assert [mark for mark in words if slices.holds(mark, (word,))] == words[:1]
    (pairs,) = slices.chosen(points[:3], points, chosen, None)
    assert isinstance(pairs, OneOf)
    assert pairs.field == "pair_id"
    assert {mark["pair_id"] for mark in points if slices.holds(mark, (pairs,))} == set(pairs.values)


def test_a_condition_on_the_length_of_a_response_says_which_lengths_there_are(
    filled_cache: Path, chosen: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words are counted here as the engine counts them, from the texts of the pairs."""
    with database.reading(filled_cache) as con:
        counted = sorted(words(text) for text in queries.sliced_pairs(con, chosen)["rejected"])
    app = opened(filled_cache, monkeypatch, "reward_model.py")
    app.selectbox(key="new_field").select("rejected_words").run()
    assert f"On validation from {counted[0]} to {counted[-1]}." in "".join(caption.value for caption in app.caption)
    app.number_input(key="new_low").set_value(float(counted[-1]))
    app.button(key="new_add").click().run()
    assert json.loads(app.query_params["slice"])["predicates"] == [Range(field="rejected_words", low=counted[-1]).as_values()]


def test_a_condition_typed_in_the_chip_counts_at_the_first_press(
    filled_cache: Path, chosen: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty ends, and an end below the beginning, are a sentence; nothing is narrowed by them."""
    app = opened(filled_cache, monkeypatch, "reward_model.py")
    app.selectbox(key="new_field").select("margin").run()
    app.button(key="new_add").click().run()
    assert "Say from where" in "".join(error.value for error in app.error)
    app.number_input(key="new_low").set_value(1.0)
    app.number_input(key="new_high").set_value(0.0)
    app.button(key="new_add").click().run()
    assert "expected low below high" in "".join(error.value for error in app.error)
    assert "slice" not in app.query_params
    app.number_input(key="new_high").set_value(0.0)
    app.button(key="new_add").click().run()
    assert json.loads(app.query_params["slice"])["predicates"] == [wrong(chosen).as_values()]
