"""Figures tell what was queried, whatever it is: nothing, one row, many, hostile text."""

import re
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import polars as pl
import pytest
from filled import TINY, fill, write_curves, write_run

from dashboard import queries
from dashboard.figures import FIGURES, NUMBERS, TABLES, Figure, drawn, find, on_page, render
from dashboard.figures.clouds import HEIGHT, WIDTH, layout
from dashboard.figures.dots import small
from dashboard.figures.registry import outlined
from dashboard.figures.theme import COLOURS, PAGES, TITLE_CHARS, escaped, excerpt, paragraph, template
from dashboard.queries import Selection
from dashboard.queries.curves import units_of
from dashboard.state.messages import speaking
from engine.settings.config import PolicyConfig, RewardConfig
from engine.settings.hyperparameters import DPO, IPO, KTO, SimPO, Weighted
from engine.statistics.wording import percent
from engine.store import database
from engine.store.database import Connection
from engine.store.status import State

IDS = [f.name for f in FIGURES]


def sentences(plot: go.Figure) -> str:
    return " ".join(note.text.replace("<br>", " ") for note in plot.layout.annotations)


def test_counts_on_bars_stand_on_paper(con: Connection, chosen: Selection) -> None:
    """Those of Figure 14 take what the template says of notes on marks, which without such a note shows none."""
    plot = render(find("win_tie_loss"), con, chosen, "dark")
    (on_marks,) = plot.layout.template.layout.annotations
    counts = [note.text for note in plot.layout.annotations if note.templateitemname == on_marks.name]
    rows = queries.win_tie_loss(con, chosen).select("won", "tied", "lost").unpivot()["value"]
    assert sorted(counts) == sorted(str(n) for n in rows if n)
    assert (on_marks.bgcolor, on_marks.visible, on_marks.showarrow) == (PAGES["dark"][3], False, False)


def test_numbers_on_axes_are_written_as_in_the_sentences_of_each_language() -> None:
    with speaking("zh"):
        assert template("light").layout.separators == ".,"
    with speaking("en"):
        assert template("light").layout.separators == ".\u202f"


def test_figures_stand_in_report_order() -> None:
    assert tuple(f.number for f in FIGURES if f.number) == NUMBERS
    assert [t.label for t in TABLES] == ["Table 1", "Table 2", "Table 3", "Table 4", "Table 5"]
    assert len({f.name for f in FIGURES}) == len(FIGURES)


def test_every_page_has_figures() -> None:
    assert all(on_page(page) for page in ("data", "training", "reward_model", "length_bias", "dpo_vs_base"))


@pytest.mark.parametrize("made", FIGURES, ids=IDS)
def test_title_asks_a_question_that_fits_a_narrow_screen(made: Figure) -> None:
    assert made.title.endswith("?")
    assert len(made.title) <= TITLE_CHARS


@pytest.mark.parametrize("made", FIGURES, ids=IDS)
def test_no_rows_draw_axes_and_what_to_do(made: Figure, con: Connection) -> None:
    plot = render(made, con, Selection())
    assert sentences(plot) == made.empty
    assert not plot.data


@pytest.mark.parametrize("made", FIGURES, ids=IDS)
def test_one_row_is_drawn(made: Figure, con: Connection, chosen: Selection) -> None:
    """Something of the row itself is among what is drawn, and the sentence for no rows is not."""
    (row,) = (frame := made.query(con, chosen).head(1)).rows()
    plot = drawn(made, frame)
    assert made.empty not in sentences(plot)
    known = {str(value) for value in row if value is not None} | {f"{value:.3g}" for value in row if isinstance(value, float)}
    traces = {str(value) for trace in plot.data for values in trace.to_plotly_json().values() for value in np.atleast_1d(values).flat}
    assert known & traces or sentences(plot).startswith("Too few words")


@pytest.mark.parametrize("made", FIGURES, ids=IDS)
def test_many_rows_are_drawn_with_n_and_named_axes(made: Figure, con: Connection, chosen: Selection) -> None:
    plot = render(made, con, chosen, "dark")
    subtitle = plot.layout.title.subtitle.text
    assert plot.data
    assert re.search(r"n = \d|\d steps × |\d+ most|Monroe", subtitle), subtitle
    if made.number not in ("3c", "3d", "5a", "5b", "9a", "9b"):
        assert any(axis.title.text for axis in plot.select_xaxes())


@pytest.mark.parametrize("made", FIGURES, ids=IDS)
def test_shown_equals_exported(made: Figure, con: Connection, chosen: Selection) -> None:
    con.execute("set threads = 1")  # threads add floats in any order, which changes their last digit
    assert render(made, con, chosen).to_json() == drawn(made, made.query(con, chosen)).to_json()


def test_the_same_thing_has_the_same_colour_in_every_figure(con: Connection, chosen: Selection) -> None:
    for name in ("lengths", "scores_base", "scores_trained", "response_map"):
        colours = {trace.name: trace.marker.color for trace in render(find(name), con, chosen).data}
        assert colours == {side: COLOURS[side] for side in ("chosen", "rejected")}, name


def test_chosen_and_rejected_differ_in_grey_too(con: Connection, chosen: Selection) -> None:
    patterns = {trace.name: trace.marker.pattern.shape for trace in render(find("scores_trained"), con, chosen).data}
    assert patterns["chosen"] != patterns["rejected"]


def test_bars_are_the_shares_that_were_queried(con: Connection, chosen: Selection) -> None:
    bins = queries.trained_scores(con, chosen)
    bars = {trace.name: list(trace.y) for trace in render(find("scores_trained"), con, chosen).data}
    assert bars == {side: bins.filter(pl.col("series") == side)["share"].to_list() for side in ("chosen", "rejected")}


def test_runs_keep_their_colour_when_another_is_taken_away(con: Connection, chosen: Selection) -> None:
    both = {t.name: t.line.color for t in render(find("reward_training_compared"), con, chosen).data if t.showlegend}
    one = {t.name: t.line.color for t in render(find("reward_training"), con, chosen).data if t.showlegend}
    assert one.items() <= both.items()


def test_learning_rate_has_its_own_panel_and_is_not_smoothed(con: Connection, chosen: Selection) -> None:
    plot = render(find("reward_training"), con, chosen)
    rate = [t for t in plot.data if t.yaxis == "y2"]
    assert len(rate) == 1
    assert not any(axis.overlaying for axis in plot.select_yaxes())


LOSSES = {"dpo": DPO(), "kto": KTO(), "ipo": IPO(), "simpo": SimPO()}


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a policy run of each of four losses."""
    cache, rng = tmp_path_factory.mktemp("policies") / "cache", np.random.default_rng(3)
    for name, loss in LOSSES.items():
        write_curves(write_run(cache, f"20260102-000200-{name}", PolicyConfig(name=name, dataset="d", loss=loss)), rng, 4, policy=True)
    database.rebuild(cache)
    return cache


def drawn_of(cache: Path, figure: str, *names: str) -> go.Figure:
    with database.reading(cache) as con:
        database.show_live(con, cache)
        return render(find(figure), con, Selection(policy_runs=tuple(f"20260102-000200-{name}" for name in names)))


def axes(plot: go.Figure) -> list[tuple[str, list[str]]]:
    """Each vertical axis's title and the names of the curves on it."""
    titled = {axis.plotly_name.replace("axis", ""): axis.title.text.replace("<br>", " ") for axis in plot.select_yaxes()}
    return [(title, [t.name for t in plot.data if (t.yaxis or "y") == name and list(t.x) != [None]]) for name, title in titled.items()]


@pytest.mark.parametrize(
    ("name", "loss", "reward"),
    [
        ("dpo", "loss [nats]", "β × log-ratio to the reference [nats]"),
        ("kto", "loss", "β × log-ratio to the reference [nats]"),
        ("ipo", "loss [(nats per token)²]", "β × mean log-ratio to the reference [nats per token]"),
        ("simpo", "loss [nats]", "β × mean log-probability [nats per token]"),
    ],
)
def test_axes_are_those_of_the_run_s_loss(policies: Path, name: str, loss: str, reward: str) -> None:
    assert axes(drawn_of(policies, "dpo_training", name)) == [(loss, [name]), (reward, [name])]
    assert axes(drawn_of(policies, "dpo_rewards", name)) == [(reward, ["chosen", "rejected"])]


def test_losses_and_rewards_of_different_units_stand_in_different_panels(policies: Path) -> None:
    assert axes(drawn_of(policies, "dpo_training", *LOSSES)) == [
        ("loss [nats]", ["dpo", "simpo"]),
        ("loss", ["kto"]),
        ("loss [(nats per token)²]", ["ipo"]),
        ("β × log-ratio to the reference [nats]", ["dpo", "kto"]),
        ("β × mean log-ratio to the reference [nats per token]", ["ipo"]),
        ("β × mean log-probability [nats per token]", ["simpo"]),
    ]
    rewards = [axis for axis, _ in axes(drawn_of(policies, "dpo_rewards", *LOSSES))]
    assert rewards == [axis for axis, _ in axes(drawn_of(policies, "dpo_training", *LOSSES))[3:]]


def test_several_panels_name_each_run_once(policies: Path) -> None:
    legend = [t.name for t in drawn_of(policies, "dpo_training", *LOSSES).data if t.showlegend]
    assert sorted(legend) == sorted(LOSSES)


def test_a_sum_of_losses_of_different_units_has_no_unit() -> None:
    config = PolicyConfig(dataset="d", loss=DPO(), added=(Weighted(loss=KTO()),)).model_dump(mode="json")
    assert units_of(config) == {"loss_unit": "", "reward": DPO().reward.label, "reward_unit": "nats"}


@pytest.mark.parametrize("text", [TINY, "$\\alpha$", "&lt;", "a<br>b", "%{x}", "right\u202eleft"])
def test_untrusted_text_is_shown_and_never_interpreted(text: str) -> None:
    for made in (escaped(text), excerpt(text, 200), paragraph(text, 400)):
        assert not re.search(r"[<>$\u202e]|%\{|&(?!(amp|lt|gt|#36|#37);)", made)


def test_a_hostile_response_reaches_no_figure_unescaped(con: Connection, chosen: Selection) -> None:
    assert all("<script" not in render(made, con, chosen).to_json().replace("\\u003c", "<") for made in FIGURES)


def test_a_hostile_run_name_is_escaped_in_the_legend(con: Connection, chosen: Selection) -> None:
    frame = queries.reward_curves(con, chosen).with_columns(run=pl.lit("<a href='x'>run</a>"))
    assert {t.name for t in drawn(find("reward_training"), frame).data if t.showlegend} == {"&lt;a href='x'&gt;run&lt;/a&gt;"}


def test_cloud_words_lie_inside_and_are_always_the_same() -> None:
    counts = {"bread": 9, "oven": 5, "面包": 4, "yeast": 2}
    words = layout(tuple(counts.items()))
    assert {w for w, *_ in words} == set(counts)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for _, _, x, y in words)
    assert layout.__wrapped__(tuple(counts.items())) == words


@pytest.mark.parametrize("name", PAGES)
def test_templates_owe_nothing_to_the_default_one(name: str) -> None:
    pio.templates.default = "plotly_dark"
    try:
        assert template(name).layout.paper_bgcolor == PAGES[name][3]
        assert drawn(FIGURES[0], pl.DataFrame(), name).layout.template == template(name)
    finally:
        pio.templates.default = "plotly"


def contrast(one: str, other: str) -> float:
    """(L₁ + 0.05) / (L₂ + 0.05), WCAG 2.2."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("page", PAGES)
def test_every_colour_stands_out_from_the_page(page: str) -> None:
    assert min(contrast(colour, PAGES[page][3]) for colour in COLOURS.values()) >= 3


@pytest.mark.parametrize("name", ["boxes_trained", "generators_under_scorers", "scorers_on_generators"])
def test_a_boxs_median_is_drawn_with_the_interval_that_its_caption_names(name: str, con: Connection, chosen: Selection) -> None:
    """The notch of 1.57 IQR/√n covers 87 to 91 %, so that it is no 95 % interval of a median; order statistics are."""
    rows, plot = find(name).query(con, chosen), render(find(name), con, chosen)
    marks = [t for t in plot.data if t.type == "scatter"]
    value, bars = ("x", "error_x") if name == "boxes_trained" else ("y", "error_y")  # these lie on their side
    ends = sorted((t[value][0] - t[bars].arrayminus[0], t[value][0] + t[bars].array[0]) for t in marks)
    assert ends == [pytest.approx(pair) for pair in sorted((m["low"], m["high"]) for m in rows["median"])]
    caption = plot.layout.title.subtitle.text.replace("<br>", " ")
    assert "order statistics" in caption
    assert "±" not in caption
    assert ("differ where notches do not overlap" in caption) == (name != "scorers_on_generators")


def test_a_small_plot_of_dots_names_its_rows_alone_and_its_headings_end_at_the_edge(con: Connection, chosen: Selection) -> None:
    made = find("far_from_guessing")
    whole, little = render(made, con, chosen), small(render(made, con, chosen))
    for long, short in zip(whole.layout.yaxis.ticktext, little.layout.yaxis.ticktext, strict=True):
        name, n, _size = long.partition("<br>n = ")
        assert n
        assert len(short) <= 16
        assert name.startswith(short.rstrip("…"))
    headings = [note for note in little.layout.annotations if note.font.weight]
    assert [note.text for note in headings] == ["Pairs ranked right", "Tuned answer preferred"]
    assert {(note.x, note.xanchor) for note in headings} == {(1, "right")}


def test_a_tie_is_on_neither_side_of_the_differences(empty_cache: Path) -> None:
    """Where every reward is 1 all prompts are ties."""
    fill(empty_cache)
    with database.writing(empty_cache) as con:
        con.execute("update scored_prompts set reward = 1")
        chosen = queries.default_selection(con)
        plot, (n,) = render(find("reward_differences"), con, chosen), queries.reward_differences(con, chosen)["tied"]
    assert sorted(sentences(plot).split(" better: ")) == ["0", "0 tuned", "base"]
    assert n > 1
    assert f"{n} ties" in plot.layout.title.subtitle.text.replace("<br>", " ")


@pytest.mark.parametrize("name", ["words_chosen", "distinguishing_words"])
def test_fewer_than_five_words_are_a_sentence(name: str, con: Connection, chosen: Selection) -> None:
    plot = drawn(find(name), pl.DataFrame({"word": ["<b>", "oven"], "count": [3, 2], "z": [2.0, 3.0]}))
    assert not plot.data
    assert "&lt;b&gt;, oven." in sentences(plot)
    assert drawn(find(name), find(name).query(con, chosen)).data


@pytest.mark.parametrize(
    "name", ["answer_lengths", "reward_differences", "generators_under_scorers", "scorers_on_generators", "answers_trained_scorer"]
)
def test_captions_of_lengths_and_win_rates_give_the_share_of_answers_cut(name: str, con: Connection, chosen: Selection) -> None:
    shares = {who: queries.win_rates(con, chosen)[f"{who}_cut"][0]["value"] for who in ("base", "tuned")}
    caption = render(find(name), con, chosen).layout.title.subtitle.text.replace("<br>", " ").replace("\u00a0", " ")
    assert f"answers cut by the token limit: base {shares['base']:.1%}, tuned".replace("%", " %") in caption


def test_the_axis_of_lengths_says_where_answers_were_cut(con: Connection, chosen: Selection) -> None:
    assert render(find("answer_lengths"), con, chosen).layout.xaxis.title.text == "new tokens per answer, at most 28"


def named_rows(names: list[str], shares: list[float]) -> go.Figure:
    """Shares in rows from above, as `dots` draws them."""
    plot = go.Figure(go.Scatter(x=shares, y=list(range(len(names))), mode="markers"))
    return plot.update_yaxes(tickvals=list(range(len(names))), ticktext=[f"{name}<br>n = 9 pairs" for name in names])


def test_what_is_seen_beside_stands_in_the_row_of_its_name() -> None:
    """The second one has b above a: its 0.8 of b goes to the row of b, which is the lower one of the first."""
    shown = named_rows(["a", "b"], [0.5, 0.6])
    assert outlined(shown, named_rows(["b", "a"], [0.8, 0.7]))
    assert (shown.data[1].x, shown.data[1].y) == ((0.8, 0.7), (1, 0))


def test_the_same_marks_and_stacked_bars_are_not_drawn_twice() -> None:
    assert not outlined(named_rows(["a", "b"], [0.5, 0.6]), named_rows(["a", "b"], [0.5, 0.6]))
    stacked = go.Figure(go.Bar(x=[1, 2], y=["a", "b"], orientation="h"), layout={"barmode": "stack"})
    assert not outlined(stacked, go.Figure(go.Bar(x=[2, 1], y=["a", "b"], orientation="h")))


@pytest.mark.parametrize("page", ["light", "dark", "print"])
def test_axes_write_per_cent_as_sentences_do(page: str) -> None:
    for axis in (template(page).layout.xaxis, template(page).layout.yaxis):
        assert axis.labelalias == {f"{n}%": percent(n / 100, 0) for n in range(101)}


@pytest.mark.parametrize("figure", FIGURES, ids=IDS)
def test_hover_boxes_write_per_cent_as_sentences_do(figure: Figure, con: Connection, chosen: Selection) -> None:
    """81.0 % with its blank is written by Python: Plotly's own format, as in %{y:.1%}, knows none."""
    assert not [trace.hovertemplate for trace in render(figure, con, chosen).data if "%}" in (trace.hovertemplate or "")]


def test_a_hover_box_says_the_share_of_its_bar(con: Connection, chosen: Selection) -> None:
    plot = render(find("win_tie_loss"), con, chosen)
    bars = [trace for trace in plot.data if trace.type == "bar"]
    assert [said for bar in bars for _count, said in bar.customdata] == [percent(share) for bar in bars for share in bar.x]


def test_two_measurements_are_not_joined_and_each_run_says_on_how_many_pairs(empty_cache: Path) -> None:
    """A reward model measures twice on 200 pairs, a policy three times on 100: it alone has a line."""
    reward, policy = RewardConfig(name="Mine", dataset="d"), PolicyConfig(name="Tuned", dataset="d")
    for config, accuracy, n, steps in ((reward, "accuracy", 200, (0, 40)), (policy, "rewards/accuracies", 100, (0, 20, 40))):
        run = write_run(empty_cache, config.name, config, State.DONE)
        for step in steps:
            run.append_metrics(step, "validation", {accuracy: 0.7, "n": n}, 10, 1.0)
        database.ingest(empty_cache, run.path)
    with database.reading(empty_cache) as con:
        database.show_live(con, empty_cache)
        plot = render(find("validation_accuracy"), con, Selection(reward_runs=("Mine",), policy_runs=("Tuned",)))
    assert [trace.mode for trace in plot.data] == ["markers", "lines+markers"]
    said = plot.layout.title.subtitle.text.replace("<br>", " ")
    assert "validation: n = 200 (Mine), n = 100 (Tuned)" in said
    assert "measured at steps 0, 40 only (Mine)" in said
