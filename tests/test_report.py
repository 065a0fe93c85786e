"""The report: a document, its figures and tables, and everything that it was made from."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from choreographer.browsers import Chromium
from pypdf import PdfReader

from dashboard import figures, queries
from dashboard.figures.registry import LEFT_OUT
from dashboard.parts import report_page
from dashboard.queries import Selection, default_selection
from dashboard.report import content, document, export, pictures, typesetting
from dashboard.report.files import Shown, Tabled
from dashboard.report.latex import latex, latex_table
from dashboard.report.style import Style
from dashboard.report.tabular import csv_text
from dashboard.report.written import shares, shortened, written
from engine.settings.slices import OneOf, Range, Slice, parse_slice
from engine.statistics.claims import Sureness
from engine.statistics.estimate import Estimate, column
from engine.store import database

SOME = ("lengths", "preference_pair", "scores_trained")


def request(cache: Path, *formats: str, parts: tuple[str, ...] | None = None) -> content.Request:
    with database.reading(cache) as con:
        return content.Request(default_selection(con), content.preset("everything") if parts is None else parts, formats)


@pytest.fixture(scope="module")
def whole(filled_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of everything, without pictures."""
    out = tmp_path_factory.mktemp("report")
    export.write(filled_cache, request(filled_cache, "html", "csv", "tex", "json"), out)
    return out


@pytest.mark.slow
def test_a_report_holds_document_numbers_captions_settings_and_the_program_that_draws_it_again(whole: Path) -> None:
    made = {path.relative_to(whole).as_posix() for path in whole.rglob("*")}
    assert {"README.txt", "report.html", "report.tex", "references.bib", "redraw.py", "captions.json", "environment.json"} <= made
    assert {"data/table-preference-pair.csv", "tables/table-preference-pair.tex", "data/numbers.csv"} <= made
    assert {"data/fig-lengths.csv", "figures/fig-lengths.json"} <= made
    assert any(name.startswith("configurations/") for name in made)
    assert not any(path.name.startswith(".") for path in whole.iterdir())


def test_the_document_says_how_its_models_were_trained_and_groups_what_was_found(filled_cache: Path) -> None:
    """The filled cache's reward model and policy are of runs whose configurations are the defaults but for what is said."""
    made = content.read(filled_cache, request(filled_cache))
    facts, selection = dict(made.facts), request(filled_cache).selection
    with database.reading(filled_cache) as con:
        settings = {role: dict(of) for role, of in queries.settings_of_models(con, selection).items()}
    assert settings
    for of in settings.values():
        assert {"Model", "Loss", "Training pairs", "Batch size", "Seed"} <= of.keys()
        assert any(f"Seed: {of['Seed']}" in value for value in facts.values())
    pages, sentences = [page for page, _said in made.findings], [said for _page, found in made.findings for said in found]
    assert pages == [
        page for page in ("Overview", "Data", "Training", "Reward model", "Length bias", "DPO vs base", "Prompts") if page in pages
    ]
    assert len(sentences) == len(set(sentences)) > 3
    assert {detail.partition(") ")[0].removeprefix("(") for _sentence, detail in sentences} <= set(Sureness)


def test_only_what_chosen_figures_and_tables_show_was_found(filled_cache: Path) -> None:
    """Of one figure of the rewards what is said of the reward model; of a word cloud nothing."""
    of = {part: content.read(filled_cache, request(filled_cache, parts=(part,))).findings for part in ("margins", "words_chosen")}
    ((page, (ranks,)),) = of["margins"]
    assert page == "Reward model"
    assert ranks[0].startswith("The reward model ranks ")
    assert of["words_chosen"] == []


def test_what_was_found_can_be_left_out(filled_cache: Path) -> None:
    without = content.read(filled_cache, replace(request(filled_cache, parts=("margins",)), findings=False))
    assert without.findings == []
    assert "What was found" not in document.in_html(without)


def test_what_is_empty_is_left_out_and_named(whole: Path) -> None:
    told = json.loads((whole / "environment.json").read_text(encoding="utf-8"))["left_out"]
    captions = json.loads((whole / "captions.json").read_text(encoding="utf-8"))
    assert len(told) + len(captions) == len(content.registered())
    assert "".join(path.name for path in (whole / "data").iterdir()).count("marks") == sum(name.startswith("fig") for name in captions)


@pytest.mark.slow
def test_figures_are_drawn_again_from_their_numbers_with_plotly_and_polars_alone(whole: Path, filled_cache: Path, tmp_path: Path) -> None:
    """Every one as it was printed, in a process that refuses every other library; a changed number is drawn changed."""
    shutil.copytree(whole, tmp_path / "r")
    marks = tmp_path / "r" / "data" / "fig-lengths.marks.csv"
    refused = ("engine", "dashboard", "duckdb", "streamlit", "torch", "kaleido", "PIL", "numpy", "pandas")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({refused})); import json, redraw; from pathlib import Path; "
        "print(len(redraw.main(Path('.')))); names = sorted(path.stem for path in Path('figures').glob('*.json')); "
        "print(json.dumps({name: json.loads(redraw.redrawn(Path('.'), name).to_json()) for name in names}))"
    )
    count, drawn = run(program, tmp_path / "r")
    asked = request(filled_cache)
    printed = {shown.stem: json.loads(shown.styled(asked.style).to_json()) for shown in content.read(filled_cache, asked).figures}
    for plot in printed.values():
        for part in (plot["layout"], *plot["data"]):
            part.pop("meta", None)  # what rows are called and a mark stands for: of pages alone
    assert json.loads(drawn) == printed
    assert int(count) == len(printed) > 5
    rows = pl.read_csv(marks, infer_schema=False)
    rows.with_columns(y=pl.lit("0.5")).write_csv(marks)
    assert set(json.loads(run(program, tmp_path / "r")[1])["fig-lengths"]["data"][0]["y"]) == {0.5}


def run(program: str, folder: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_figures_and_tables_are_numbered_in_their_order_and_found_by_their_numbers(filled_cache: Path, tmp_path: Path) -> None:
    """Of two figures and two tables, mixed: each kind counts for itself, in every format; LaTeX is left to count."""
    asked = request(filled_cache, "html", "tex", "csv", parts=("scores_trained", "answered_prompts", "lengths", "preference_pair"))
    export.write(filled_cache, asked, tmp_path)
    expected = {
        "Figure 1": "fig-scores-trained",
        "Table 1": "table-answered-prompts",
        "Figure 2": "fig-lengths",
        "Table 2": "table-preference-pair",
    }
    readme = (tmp_path / "README.txt").read_text(encoding="utf-8")
    assert dict(re.findall(r"^(\w+ \d+): .*\n    data/(\S+)\.csv$", readme, re.MULTILINE)) == expected
    assert all((tmp_path / path).is_file() for path in re.findall(r"^    (\S+)$", readme, re.MULTILINE))
    page = re.sub(r"<script.*?</script>", "", (tmp_path / "report.html").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r"<b>(\w+ \d+)\.</b> ", page) == list(expected)
    tex = (tmp_path / "report.tex").read_text(encoding="utf-8")
    assert re.findall(r"(?:figures|tables)/([\w-]+)}", tex) == list(expected.values())
    assert not re.findall(r"thefigure|setcounter", tex)
    assert r"\label{fig:scores-trained}" in tex


def test_numbers_carry_their_interval_and_n(whole: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((whole / "data" / "numbers.csv").read_text(encoding="utf-8"))))
    accuracies = [row for row in rows if row["statistic"] in ("accuracy", "length_rule")]
    assert len(accuracies) == 3
    assert all(float(r["low"]) <= float(r["value"]) <= float(r["high"]) and int(r["n"]) > 0 for r in accuracies)


def test_the_html_document_loads_nothing_and_says_whose_numbers_these_are(whole: Path, filled_cache: Path) -> None:
    page = (whole / "report.html").read_text(encoding="utf-8")
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=", own)
    with database.reading(filled_cache) as con:
        asked = default_selection(con)
    assert str(asked.split) in own
    assert all(word in own for word in ("Preference report", "<dt>Data</dt>", "<dt>Date</dt>", "<dt>Reward model</dt>", "n = "))


def test_conditions_on_rewards_do_not_decide_who_is_right(filled_cache: Path) -> None:
    """Of the pairs with a margin below 0 none is ranked right: what was found, and figures of who is right, are of the other conditions."""
    with database.reading(filled_cache) as con:
        chosen = default_selection(con)
    wrong = Range(field="margin", high=0.0, scorer=chosen.trained_scorer)
    advice = OneOf(field="prompt_type", values=("advice",))
    parts = ("accuracy_by_length", "lengths")
    both, one = (
        content.read(
            filled_cache, content.Request(replace(chosen, slice=Slice(dataset_id=str(chosen.dataset_id), predicates=said)), parts, ())
        )
        for said in ((advice, wrong), (advice,))
    )
    assert both.findings == one.findings
    assert both.numbers == one.numbers
    assert both.figures[0].rows.equals(one.figures[0].rows)
    assert LEFT_OUT in both.parts[0][1]
    assert LEFT_OUT not in one.parts[0][1]
    assert both.figures[1].rows["n"][0] < one.figures[1].rows["n"][0]
    assert both.pairs is not None
    assert len(both.pairs) == both.figures[1].rows["n"][0]


def test_names_and_answers_are_text_in_every_document() -> None:
    hostile = r"<script>alert(1)</script> #eval \input{/etc/passwd} $x$ & %"
    rows = pl.DataFrame({"answer": [hostile]})
    part = Tabled(figures.TABLES[0], rows)
    said = content.Content(
        hostile, [(hostile, hostile)], [(hostile, [(hostile, hostile)])], [(part, hostile)], [hostile], [], pl.DataFrame({"config": []})
    )
    assert "<script>alert" not in document.in_html(said)
    tex = "".join(document.in_latex(said, content.Request(Selection(), (), ()).style).values())
    assert r"\input{/etc" not in tex
    assert r"\textbackslash{}input\{" in tex
    assert json.loads(document.in_json(said, content.Request(Selection(), (), ()).style))["title"] == hostile


def test_the_pdf_document_sets_texts_as_they_are(tmp_path: Path) -> None:
    """Typst reads them as strings of a JSON file: nothing in them is run or set as markup."""
    hostile = "#eval(1) *stars* $x$ <label> 中文"
    part = Tabled(figures.TABLES[0], pl.DataFrame({"answer": [hostile]}))
    said = content.Content("Title", [("Data", hostile)], [], [(part, "caption")], ["Figure 99: nothing"], [], pl.DataFrame())
    (tmp_path / "report.json").write_text(document.in_json(said, content.Request(Selection(), (), ()).style), encoding="utf-8")
    (tmp_path / "report.pdf").write_bytes(document.typeset(tmp_path))
    read = PdfReader(tmp_path / "report.pdf").pages[0].extract_text()
    assert "#eval(1) *stars* $x$ <label>" in read
    assert "Figure 99: nothing" in read
    assert [page[:4] for page in document.typeset_pages(tmp_path)] == [b"\x89PNG"]


def test_figures_as_wide_as_a_column_stand_two_beside_each_other(tmp_path: Path) -> None:
    """Of three the first two have their captions on one line; a wide one, 100 % of the text, has its own."""
    (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="300" height="100"/>', encoding="utf-8")
    parts = [{"kind": "figure", "file": "a.svg", "share": share, "label": f"No{n}", "caption": ""} for n, share in enumerate((49, 49, 100))]
    whole = {"title": "T", "facts": [], "findings": [], "parts": parts, "left_out": [], "words": {"parts": "P"}, "lang": "en"}
    (tmp_path / "report.json").write_text(json.dumps(whole), encoding="utf-8")
    (tmp_path / "report.pdf").write_bytes(document.typeset(tmp_path))
    heights: dict[str, float] = {}
    page = PdfReader(tmp_path / "report.pdf").pages[0]
    page.extract_text(visitor_text=lambda text, cm, tm, *_font: heights.update(dict.fromkeys(re.findall(r"No\d", text), cm[5] + tm[5])))
    assert heights["No0"] == pytest.approx(heights["No1"])
    assert heights["No2"] != pytest.approx(heights["No0"])


@pytest.mark.slow
@pytest.mark.skipif(not pictures.can_draw(), reason="no Chrome or Chromium on this computer")
def test_the_zip_holds_the_document_as_pdf_with_its_pictures_and_says_what_is_being_made(filled_cache: Path) -> None:
    told: list[tuple[str, float]] = []
    asked = content.Request(request(filled_cache).selection, SOME, ("pdf",), captions={"lengths": "A caption of our own"})
    archive = zipfile.ZipFile(io.BytesIO(export.zipped(filled_cache, asked, lambda *begun: told.append(begun))))
    assert archive.testzip() is None
    pages = PdfReader(io.BytesIO(archive.read("prefscope-report/report.pdf"))).pages
    words = " ".join(page.extract_text() for page in pages)
    assert "A caption of our own" in words
    assert "Figure 2. Does the trained model" in words
    assert "Table 1. How do both" in words
    pictures_of = [f"fig-{name}.{form}" for form in ("svg", "pdf") for name in ("lengths", "scores-trained")]
    assert [name for name, _share in told] == [*pictures_of, "report.pdf"]
    assert [share for _name, share in told] == pytest.approx([0, 0.225, 0.45, 0.675, 0.95])
    figures_of = [name for name in archive.namelist() if "/figures/" in name]
    assert figures_of == [f"prefscope-report/figures/{name}.pdf" for name in ("fig-lengths", "fig-scores-trained")]


@pytest.mark.parametrize(
    ("parts", "formats", "style"),
    [
        (content.preset("overview"), export.made_of(export.USUAL), Style()),
        (("margins", "preference_pair"), ("html", "csv"), Style("serif", "column")),
    ],
)
def test_the_page_s_command_asks_for_what_is_ticked(parts: tuple[str, ...], formats: tuple[str, ...], style: Style) -> None:
    slice = Slice(dataset_id="d", name="it's wrong", predicates=(Range(field="margin", high=0.0, scorer="s"),))
    for chosen in (None, slice):
        request = content.Request(Selection("d", "validation", slice=chosen), parts, formats, style, findings=chosen is None)
        name, *words = report_page.arguments(request, "overview")
        options = export.asked(words)
        assert name == "report"
        assert tuple(options.part or content.preset(options.preset)) == parts
        assert export.made_of(options.format or export.USUAL) == formats
        assert options.no_findings is (chosen is not None)
        assert (options.look, options.width, options.split) == (style.look, style.width, "validation")
        assert (parse_slice(options.slice) if options.slice else None, options.dataset) == (chosen, None if chosen else "d")


def test_a_preset_keeps_the_order_of_the_original() -> None:
    names = content.preset("assignment")
    assert names[:3] == ("reward_training", "preference_pair", "reward_training_compared")
    assert names[-1] == "answers_trained_scorer"
    assert len(set(names)) == 20
    assert set(content.preset("everything")) == set(content.registered())


def test_without_a_browser_there_is_a_sentence_and_the_other_formats(
    filled_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Chromium, "find_browser", lambda skip_local: None)
    assert export.main(["--out", str(tmp_path / "out"), "--cache", str(filled_cache), "--preset", "overview"]) == 0
    assert "need Chrome or Chromium" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").is_file()
    assert not list((tmp_path / "out").rglob("*.svg"))


def test_an_empty_cache_is_a_sentence(empty_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["--out", str(tmp_path / "out"), "--cache", str(empty_cache)]) == 1
    assert "holds no dataset" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_empty_selection_names_everything_as_left_out(empty_cache: Path, tmp_path: Path) -> None:
    export.write(empty_cache, content.Request(Selection(), content.preset("everything"), ("html", "tex", "csv", "json")), tmp_path)
    assert len(json.loads((tmp_path / "environment.json").read_text(encoding="utf-8"))["left_out"]) == len(content.registered())


def test_latex_escapes_every_special_character() -> None:
    assert latex("50% of $x_1 & {y}\n\\#~^") == r"50\% of \$x\_1 \& \{y\} \textbackslash{}\#\textasciitilde{}\textasciicircum{}"
    assert latex("a -- b ``c'' ?`d\x1b[0m\u202e") == "a -{}- b `{}`c'{}' ?{}`d{[}0m"


def test_characters_that_latex_has_no_glyph_for_are_marked_for_another_font() -> None:
    assert latex("a 中文 β −1\u202f000") == r"a \other{中文} $\beta$ $-$1\,000"


def test_a_table_says_what_the_page_says_with_units_and_intervals() -> None:
    """0.8 of 200 is 80.0 %, its interval as the page writes it; ids are no columns; n stands beside what rests on it."""
    cell = Estimate(0.8, 0.739, 0.85, 200, "pairs", "share", "Wilson's interval")
    rows = pl.DataFrame([pl.Series("pair_id", ["p1"]), column("trained_accuracy", [cell]), pl.Series("base_words", [1200])])
    table = written(rows)
    assert table.head == ["Base words", "Trained accuracy", "Pairs"]
    assert table.rows == [["1\u202f200", "80.0\u00a0%\u00a0[73.9,\u00a085.0]", "200"]]
    assert table.numbers == [True, True, True]
    tex = latex_table(table, "Accuracy", "tab:a")
    assert r"\toprule Base words & Trained accuracy & Pairs \\ \midrule" in tex
    assert r"80.0~\%~{[}73.9,~85.0{]} & 200 \\ \addlinespace" in tex


def test_two_answers_to_a_prompt_stand_under_each_other() -> None:
    """A prompt and the difference are common to both rows, between which LaTeX breaks no page."""
    long = "many words " * 30
    rows = pl.DataFrame(
        {
            "prompt": [f"P{n}" for n in range(40)],
            "difference": [0.5] * 40,
            "base_answer": [f"B{n} {long}" for n in range(40)],
            "tuned_answer": [f"T{n} {long}" for n in range(40)],
            "base_trained": [-1.0] * 40,
            "tuned_trained": [-0.5] * 40,
        }
    )
    table = written(rows)
    assert table.head == ["Prompt", "Tuned − base", "Policy", "Answer", "Reward, trained"]
    assert [row[:3] for row in table.rows[2:4]] == [["P1", "0.50", "base"], ["", "", "tuned"]]
    assert (table.common, table.together) == ([True, True, False, False, False], 2)
    assert shortened(rows)
    assert r"P1 & 0.50 & base & B1" in (tex := latex_table(table, "", "tab:a"))
    assert tex.count(r" \\* ") == 40


def test_rows_of_a_table_are_torn_by_no_page(tmp_path: Path) -> None:
    """Each page of the PDF has as many prompts as base answers and tuned ones, of the same numbers."""
    long = "many words " * 20
    rows = pl.DataFrame(
        {
            "prompt": [f"P{n}" for n in range(30)],
            "base_answer": [f"B{n} {long}" for n in range(30)],
            "tuned_answer": [f"T{n} {long}" for n in range(30)],
        }
    )
    said = content.Content("Title", [], [], [(Tabled(figures.find_table("answered_prompts"), rows), "")], [], [], pl.DataFrame())
    (tmp_path / "report.json").write_text(document.in_json(said, Style()), encoding="utf-8")
    (tmp_path / "report.pdf").write_bytes(document.typeset(tmp_path))
    pages = [page.extract_text() for page in PdfReader(tmp_path / "report.pdf").pages]
    found = [[re.findall(rf"\b{letter}(\d+)\b", page) for letter in "PBT"] for page in pages]
    assert len(pages) > 2
    assert all(prompts == base == tuned for prompts, base, tuned in found)
    assert [n for prompts, *_answers in found for n in prompts] == [str(n) for n in range(30)]


def test_a_heading_in_chinese_breaks_anywhere_and_takes_nothing_from_texts() -> None:
    """Eleven characters are as wide as 22, and stand on three lines of 8: 10 of 120 with the gap. The text has the rest that it wants."""
    number, text = shares([["基础，训练后的打分模型", "−1.20"], ["Answer", "many words " * 30]])
    assert (number, text) == pytest.approx((10 / 120, 60 / 120))


def test_columns_of_a_table_fill_the_line_and_no_more() -> None:
    """A column of flags beside two of long texts: each has its longest word, and the texts share the rest."""
    flags, texts = ["cut", "yes"], ["answer", "many words " * 30]
    flag, first, second = shares([flags, texts, texts])
    assert flag == pytest.approx(5 / 120)
    assert first == second == pytest.approx(57.5 / 120, abs=0.03)
    assert sum(shares([["a" * 40, "b"]] * 30)) == pytest.approx(1)


TEX = next((name for name in ("xelatex", "lualatex", "pdflatex", "tectonic") if shutil.which(name)), None)


def hostile_content() -> content.Content:
    """A report whose every name, caption and cell tries to be LaTeX, or what its fonts do not have."""
    said = r"\input{/etc/passwd} $x_1^2$ 50% & # ~ {a} \\ <b>bold</b> -- ``q'' ?` [x] |y| 中文 😀 β ħ \u202eleft \x00\x1b[0m"
    rows = pl.DataFrame({"answer": [said, said * 9], "reward": [-1.5, 2.0], "base_cut": [True, None]})
    parts: list[tuple[Shown | Tabled, str]] = [(Tabled(figures.TABLES[0], rows), said)]
    runs = pl.DataFrame({"config": ['{"loss": {"name": "dpo"}}']})
    return content.Content(said, [(said, said)], [(said, [(said, said)])], parts, [], [], runs)


def test_the_latex_document_holds_together(whole: Path) -> None:
    """What it includes is there, what begins ends, what is cited stands in references.bib: without TeX, that is what can be seen."""
    tex = (whole / "report.tex").read_text(encoding="utf-8")
    tables = [whole / f"{name}.tex" for name in re.findall(r"\\input\{([^}]+)\}", tex)]
    assert len(tables) > 3
    for text in (tex, *(path.read_text(encoding="utf-8") for path in tables)):
        begun, ended = (re.findall(rf"(?<!\\)\\{word}\{{([^}}]+)\}}", text) for word in ("begin", "end"))
        assert sorted(begun) == sorted(ended)
        bare = re.sub(r"\\[{}]", "", text)
        assert bare.count("{") == bare.count("}")
    cited = re.findall(r"\\nocite\{([^}]+)\}", tex)[0].split(",")
    assert {"bradley1952rank", "rafailov2023direct", "wilson1927probable"} <= set(cited)
    assert set(cited) <= set(re.findall(r"@\w+\{(\w+),", (whole / "references.bib").read_text(encoding="utf-8")))


@pytest.mark.skipif(TEX is None, reason="no TeX on this computer")
def test_the_latex_document_compiles_whatever_stands_in_it(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "whole")
    (tmp_path / "hostile" / "tables").mkdir(parents=True)
    for path, text in document.in_latex(hostile_content(), content.Request(Selection(), (), ()).style).items():
        (tmp_path / "hostile" / path).write_text(text, encoding="utf-8")
    for folder in (tmp_path / "whole", tmp_path / "hostile"):
        for name in re.findall(r"\\includegraphics\[[^]]*\]\{([^}]+)\}", (folder / "report.tex").read_text(encoding="utf-8")):
            (folder / f"{name}.pdf").write_bytes(
                typesetting.pdf(tmp_path, "#set page(width: 3in, height: 2in)\n")
            )  # in place of the picture
        quiet = [] if TEX == "tectonic" else ["-interaction=nonstopmode", "-halt-on-error"]
        done = subprocess.run([str(TEX), *quiet, "report.tex"], cwd=folder, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        words = "".join(page.extract_text() for page in PdfReader(folder / "report.pdf").pages)
        assert "Table 1" in words


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_a_spreadsheet_computes_no_text_of_a_csv_file_and_numbers_stay_as_they_are(begin: str) -> None:
    frame = pl.DataFrame({"answer": [f"{begin}HYPERLINK(1)", "a;=1+1", None], "reward": [-1.5, 2.0, None], "n": [-3, 4, None]})
    rows = csv.reader(io.StringIO(csv_text(frame), newline=""))
    assert list(rows)[1:] == [[f"'{begin}HYPERLINK(1)", "-1.5", "-3"], ["a;=1+1", "2.0", "4"], ["", "", ""]]
    assert '"a;=1+1"' in csv_text(frame)  # a semicolon separates nothing within quotes


def test_lists_of_texts_are_made_harmless_and_lists_of_numbers_are_not() -> None:
    frame = pl.DataFrame({"names": [["=a", "b"]], "outliers": [[-1.5, 2.0]]})
    assert csv_text(frame).splitlines()[1] == '"\'=a b","-1.5 2.0"'
