"""One figure as a file: its page, its type, its size, and that it holds what is drawn."""

import html
import itertools
import re
from pathlib import Path

import polars as pl
import pytest
from pypdf import PdfReader

from dashboard import figures
from dashboard.figures import registry
from dashboard.queries import Selection, default_selection
from dashboard.report import captions, files, pictures
from dashboard.report.captions import Sources
from dashboard.report.files import Shown, Tabled
from dashboard.report.latex import latex
from dashboard.report.style import WIDTHS, Style
from dashboard.state.messages import ours, speaking
from engine.store import database

pytestmark = pytest.mark.slow
KNOWN = Sources("Pairs & <b>more</b> 50%", "validation", {"trained_scorer": "RM_1", "base_scorer": "Net_0"}, "slice: margin below 0")
WITH_BROWSER = pytest.mark.skipif(not pictures.can_draw(), reason="no Chrome or Chromium on this computer")


@pytest.fixture(scope="module")
def shown(filled_cache: Path) -> dict[str, Shown]:
    """Every figure that has something to draw, as the pages show it."""
    with database.reading(filled_cache) as con:
        database.show_live(con, filled_cache)
        selection = default_selection(con)
        rows = {figure: figure.query(con, selection) for figure in figures.FIGURES}
    return {f.name: Shown(f, *drawing(f, frame)) for f, frame in rows.items() if not frame.is_empty()}


def drawing(figure: figures.Figure, rows: pl.DataFrame) -> tuple[registry.Plot, pl.DataFrame, str]:
    plot, below = registry.on_screen(figure, rows, "light")
    return plot, rows, below


@WITH_BROWSER
def test_a_pdf_is_as_wide_as_the_column_in_the_type_of_the_text_and_small(shown: dict[str, Shown], tmp_path: Path) -> None:
    """Hatching, dots that are seen through, curves: 3.3 in are 237.6 pt, 4 px are 3 pt. What stands lowest is on the page."""
    lowest = {
        "scores_trained": "reward [the reward model's own unit]",
        "margin_by_length": "chosen longer by [words]",
        "reward_training": "optimiser steps",
        "generators_under_scorers": "tuned",
    }
    style = Style("serif", "column")
    asked = {name: pictures.Picture(tmp_path / f"{name}.pdf", shown[name].styled(style), style) for name in lowest}
    pictures.draw(asked.values())
    for name, made in asked.items():
        (page,) = PdfReader(made.path).pages
        fonts = set(page._get_fonts()[0])
        assert lowest[name] in page.extract_text().replace("\xa0", " ")  # some browsers keep blanks together
        assert abs(float(page.mediabox.width) - 3.3 * 72) < 0.1
        assert abs(float(page.mediabox.height) - made.plot.layout.height * 0.75) < 1
        assert made.path.stat().st_size < 150_000
        assert fonts
        assert all("Serif" in font for font in fonts)


@WITH_BROWSER
def test_a_slide_has_larger_type_and_a_png_300_dots_to_the_inch(shown: dict[str, Shown], tmp_path: Path) -> None:
    """10 in × 96 = 960 px; a column of 3.3 in at 300 dpi is 990 dots wide; bytes 16 to 19 of a PNG are its width."""
    slide, column = Style("sans", "slide"), Style("sans", "column")
    asked = {tmp_path / "lengths.svg": slide, tmp_path / "lengths.png": column}
    pictures.draw([pictures.Picture(path, shown["lengths"].styled(style), style) for path, style in asked.items()])
    svg = (tmp_path / "lengths.svg").read_text(encoding="utf-8")
    assert 'width="960"' in svg[:400]
    assert "words per response" in svg
    assert abs(int.from_bytes((tmp_path / "lengths.png").read_bytes()[16:20]) - 990) <= 2


@WITH_BROWSER
def test_what_is_hatched_on_the_page_is_hatched_in_print_and_its_pdf(shown: dict[str, Shown], tmp_path: Path) -> None:
    """Rejected is hatched and chosen is not; in the PDF the hatching is one pattern (PatternType 1, a tile), not a drawing of each line."""
    style = Style()
    plot = shown["scores_trained"].styled(style)
    assert [bool(trace.marker.pattern.shape) for trace in plot.data if trace.type == "bar"] == [False, True]
    pictures.draw([pictures.Picture(tmp_path / "scores.pdf", plot, style)])
    assert re.search(rb"/PatternType 1\b", (tmp_path / "scores.pdf").read_bytes())


def test_every_figure_stands_with_and_without_its_title(shown: dict[str, Shown]) -> None:
    for one, width in zip(shown.values(), itertools.cycle(WIDTHS), strict=False):
        plain, titled = (one.styled(Style("sans", width, on)) for on in (False, True))
        assert plain.layout.title.text is None
        assert titled.layout.title.text.replace("<br>", " ") == one.figure.title
        assert titled.layout.height > plain.layout.height > plain.layout.margin.t


def test_as_on_screen_is_what_the_page_draws(shown: dict[str, Shown]) -> None:
    one = shown["scores_trained"]
    assert one.styled(Style("screen")).data == one.plot.data


def test_the_html_of_a_figure_loads_nothing_from_outside(shown: dict[str, Shown]) -> None:
    page = files.content(shown["lengths"], "html", Style(), KNOWN).decode()
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=", page)


def test_a_caption_says_n_interval_method_models_and_data(shown: dict[str, Shown]) -> None:
    words = files.content(shown["scores_trained"], "txt", Style(), KNOWN).decode()
    for part in ("n = ", "accuracy ", "[", "Wilson", "Data: Pairs & <b>more</b> 50%, validation.", "reward model: RM_1", "slice: margin"):
        assert part in words
    assert "Net_0" not in words  # it is in Figure 4a, not in this one
    curves = files.content(shown["reward_training"], "txt", Style(), KNOWN).decode()
    assert "Data: Pairs & <b>more</b> 50%." in curves  # neither the validation split nor its slice is what was trained on
    assert "slice" not in curves


def test_a_caption_names_no_model_that_is_called_as_its_role_is() -> None:
    """Whatever its capitals; one with another name stays, and without any the part is gone, in both languages."""
    usual = {"trained_scorer": "Reward model", "base_scorer": "Untrained", "base_generator": "base", "tuned_generator": "DPO"}
    assert Sources("Pairs", "dev", usual).said((*registry.POLICIES, *registry.SCORERS)) == "Data: Pairs, dev. Models: tuned: DPO."
    assert Sources("Pairs", "dev", usual).said(registry.SCORERS) == "Data: Pairs, dev."
    second = {"trained_scorer": "Reward model 2", "base_scorer": "untrained (seed 1)"}
    expected = "Data: Pairs, dev. Models: reward model: Reward model 2; untrained reward model: untrained (seed 1)."
    assert Sources("Pairs", "dev", second).said(registry.SCORERS) == expected
    with speaking("zh"):
        chinese = Sources("Pairs", "dev", {role: ours(name) for role, name in {**usual, "base_generator": "Base"}.items()})
        assert chinese.said(registry.JUDGED).count("DPO") == 1
        assert "基础" not in chinese.said(registry.JUDGED)


def test_latex_holds_the_caption_and_nothing_of_a_name_is_a_command(shown: dict[str, Shown]) -> None:
    tex = files.content(shown["scores_trained"], "tex", Style(width="column"), KNOWN).decode()
    assert tex.count(r"\begin{figure}") == tex.count(r"\end{figure}") == 1
    assert r"\label{fig:scores-trained}" in tex
    assert "3.3in" in tex
    assert r"Pairs \& \textless{}b\textgreater{}more\textless{}/b\textgreater{} 50\%" in tex
    assert r"RM\_1" in tex


def test_a_csv_holds_the_numbers_that_are_drawn(shown: dict[str, Shown]) -> None:
    one = shown["scores_trained"]
    read = pl.read_csv(files.content(one, "csv", Style(), KNOWN))
    drawn = [y for trace in one.plot.data if trace.type == "bar" for y in trace.y]
    assert read["share"].to_list() == pytest.approx(drawn)


def test_a_table_is_exported_by_the_report_s_name_as_its_numbers_its_latex_and_its_caption(filled_cache: Path) -> None:
    with database.reading(filled_cache) as con:
        table = next(t for t in figures.TABLES if t.name == "accuracy_of_lengths")
        rows = table.query(con, default_selection(con))
    part = Tabled(table, rows)
    made = {form: files.content(part, form, Style(), KNOWN).decode() for form in files.OF_TABLES}
    assert part.stem == "table-accuracy-of-lengths"
    assert pl.read_csv(made["csv"].encode())["trained_accuracy_n"].to_list() == rows["trained_accuracy"].struct.field("n").to_list()
    assert made["tex"].count(r" \\ \addlinespace") == len(rows)
    assert rf"\caption{{{latex(made['txt'])}}}" in made["tex"]
    assert made["txt"].startswith("Is it right where length cannot decide?")
    assert "95 % interval" in made["txt"]


def test_without_a_browser_there_are_no_pictures_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("choreographer.browsers.Chromium.find_browser", lambda skip_local: None)
    assert pictures.makeable(files.FORMATS) == ("html", "csv", "tex", "txt")
    assert "need Chrome or Chromium" in (pictures.missing() or "")


def test_the_browser_s_page_loads_nothing_from_a_network() -> None:
    assert re.findall(r'src="(\w+):', pictures.PAGE.generate_index()) == ["file", "file"]


def test_sources_are_called_by_their_names(filled_cache: Path) -> None:
    with database.reading(filled_cache) as con:
        known = captions.sources(con, default_selection(con))
        assert captions.sources(con, Selection()) == Sources("", "", dict.fromkeys(known.models, ""))
    assert all([known.dataset, known.split, *known.models.values()])
    assert html.escape(known.dataset) in html.escape(known.said(()))
