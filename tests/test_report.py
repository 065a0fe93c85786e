"""The report's files."""

import csv
import io
import json
import zipfile
from pathlib import Path

import polars as pl
import pytest
from choreographer.browsers import Chromium

from dashboard import figures
from dashboard.queries import Selection, default_selection
from dashboard.report import export
from dashboard.report.latex import latex, latex_table
from dashboard.report.tabular import csv_text, html_table
from engine.store import database


def request(cache: Path, *formats: str, parts: tuple[str, ...] | None = None) -> export.Request:
    with database.reading(cache) as con:
        return export.Request(default_selection(con), parts or export.everything(), formats)


def test_every_figure_and_table_is_written(filled_cache: Path, tmp_path: Path) -> None:
    names = {path.name for path in export.write(filled_cache, request(filled_cache, "html", "csv", "tex"), tmp_path / "out")}
    assert {f"{export.stem(f)}.html" for f in figures.FIGURES} <= names
    assert {f"{export.stem(f)}.csv" for f in figures.FIGURES} <= names
    assert {"table-1.csv", "table-1.tex", "table-2.csv", "table-2.tex", "numbers.csv", "index.html", "plotly.min.js"} <= names
    assert not any(name.startswith(".") for name in names)


def test_printed_figure_equals_the_shown_one(filled_cache: Path, tmp_path: Path) -> None:
    asked = request(filled_cache, "json", parts=("scores_trained",))
    (path,) = export.write(filled_cache, asked, tmp_path)
    with database.reading(filled_cache) as con:
        shown = figures.render(figures.find("scores_trained"), con, asked.selection, "print")
    assert json.loads(path.read_text()) == json.loads(shown.to_json())


def test_numbers_carry_their_interval_and_n(filled_cache: Path, tmp_path: Path) -> None:
    export.write(filled_cache, request(filled_cache, "csv", parts=()), tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "numbers.csv").read_text())))
    accuracies = [row for row in rows if row["statistic"] in ("accuracy", "length_rule")]
    assert len(accuracies) == 3
    assert all(float(r["low"]) <= float(r["value"]) <= float(r["high"]) and int(r["n"]) > 0 for r in accuracies)


def test_zip_holds_whole_files(filled_cache: Path) -> None:
    content = export.zipped(filled_cache, request(filled_cache, "html", "csv", parts=("lengths", "preference_pair")))
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    assert {"prefscope-report/fig-3a-lengths.csv", "prefscope-report/index.html"} <= set(archive.namelist())


@pytest.mark.skipif("svg" not in export.formats_here(), reason="no Chrome or Chromium on this computer")
def test_pictures_are_made_in_the_size_of_the_figure(filled_cache: Path, tmp_path: Path) -> None:
    export.write(filled_cache, request(filled_cache, "svg", "pdf", parts=("scores_base",)), tmp_path)
    assert 'width="900"' in (tmp_path / "fig-4a-scores-base.svg").read_text()[:400]
    assert (tmp_path / "fig-4a-scores-base.pdf").read_bytes().startswith(b"%PDF")


def test_without_a_browser_there_is_a_sentence_and_the_other_formats(
    filled_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Chromium, "find_browser", lambda skip_local: None)
    assert export.main(["--out", str(tmp_path / "out"), "--cache", str(filled_cache)]) == 0
    assert "need Chrome or Chromium" in capsys.readouterr().out
    assert (tmp_path / "out" / "index.html").is_file()
    assert not list((tmp_path / "out").glob("*.svg"))


def test_an_empty_cache_is_a_sentence(empty_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["--out", str(tmp_path / "out"), "--cache", str(empty_cache)]) == 1
    assert "holds no dataset" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_empty_selection_writes_figures_that_say_what_to_do(empty_cache: Path, tmp_path: Path) -> None:
    files = export.write(empty_cache, export.Request(Selection(), export.everything(), ("json",)), tmp_path)
    assert len(files) == len(figures.FIGURES)


def test_latex_escapes_every_special_character() -> None:
    assert latex("50% of $x_1 & {y}\n\\#~^") == r"50\% of \$x\_1 \& \{y\} \textbackslash{}\#\textasciitilde{}\textasciicircum{}"
    assert latex("a -- b ``c'' ?`d\x1b[0m\u202e") == "a -{}- b `{}`c'{}' ?{}`d{[}0m"
    table = latex_table(pl.DataFrame({"answer": ["a & b"], "reward": [1.23456]}), "Answers", "tab:a")
    assert r"a \& b & 1.235 \\" in table


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_a_spreadsheet_computes_no_text_of_a_csv_file_and_numbers_stay_as_they_are(begin: str) -> None:
    frame = pl.DataFrame({"answer": [f"{begin}HYPERLINK(1)", "a;=1+1", None], "reward": [-1.5, 2.0, None], "n": [-3, 4, None]})
    rows = csv.reader(io.StringIO(csv_text(frame), newline=""))
    assert list(rows)[1:] == [[f"'{begin}HYPERLINK(1)", "-1.5", "-3"], ["a;=1+1", "2.0", "4"], ["", "", ""]]
    assert '"a;=1+1"' in csv_text(frame)  # a semicolon separates nothing within quotes


def test_lists_of_texts_are_made_harmless_and_lists_of_numbers_are_not() -> None:
    frame = pl.DataFrame({"names": [["=a", "b"]], "outliers": [[-1.5, 2.0]]})
    assert csv_text(frame).splitlines()[1] == '"\'=a b","-1.5 2.0"'


def test_html_tables_hold_text_only() -> None:
    assert "<script>" not in html_table(pl.DataFrame({"answer": ["<script>alert(1)</script>"]}))
