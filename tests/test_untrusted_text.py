"""Names and texts from outside reach pages, figures, terminals and spreadsheets as text and nothing else."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import polars as pl
import pytest
from hostile import attack, fill_hostile
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from dashboard import figures, queries
from dashboard.figures import registry
from dashboard.parts import chips
from dashboard.report import captions, files, pictures
from dashboard.report.captions import Sources
from dashboard.report.files import Shown
from dashboard.report.style import Style
from engine.__main__ import main
from engine.plain import UNSEEN, line, printable, shell_words
from engine.store import database
from engine.store.rundir import run_dirs

ROOT = Path(__file__).parents[1]
ADDRESS = "http://127.0.0.1:9"
DRAWING = sorted(p for place in ("app.py", "parts/*.py", "state/*.py", "views/*.py") for p in (ROOT / "dashboard").glob(place))
MARKDOWN = {  # what Streamlit 1.67 reads as Markdown: which positional arguments of which call
    **dict.fromkeys(("markdown", "write", "caption", "title", "header", "subheader", "info", "warning", "error", "success", "toast"), (0,)),
    **dict.fromkeys(("expander", "popover", "status", "spinner", "tabs", "badge", "table", "html", "latex", "dialog", "chat_input"), (0,)),
    **dict.fromkeys(("button", "download_button", "form_submit_button", "link_button", "menu_button", "checkbox", "toggle"), (0,)),
    **dict.fromkeys(("text_input", "text_area", "number_input", "selectbox", "multiselect", "slider", "select_slider", "radio"), (0,)),
    **dict.fromkeys(("pills", "segmented_control", "file_uploader", "date_input", "color_picker", "data_editor", "feedback"), (0,)),
    "metric": (0, 1, 2), "progress": (1,), "page_link": (1,),
}  # fmt: skip
NAMED = ("label", "body", "text", "help", "delta", "captions")  # and these keywords of every call


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Every call of something of Streamlit's, or of a place on the page such as a column."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            for part in ast.walk(node.func):
                if isinstance(part, ast.Attribute) and (part.attr in MARKDOWN or ast.unparse(part.value) == "st"):
                    yield node, part.attr


MADE = {  # Markdown and HTML of several parts, each of which goes through `literal` or is a number, where they are made
    "forms.py": ("question.label", "question.help"),
    "retrain.py": ("heading(asker, _(TITLES[title]), telling, here, part)",),
    "before_start.py": ("bar(usual.phases)",),
}


def is_ours(text: ast.expr) -> bool:
    """Whether a text stands in the source, or went through `literal`."""
    match text:
        case ast.Constant():
            return True
        case ast.Call(func=ast.Name(id="_"), args=[ast.Constant()]):
            return True
        case ast.Call(func=ast.Name(id="literal") | ast.Attribute(attr="literal")):
            return True
        case ast.Call(func=ast.Attribute(value=sentence, attr="format"), args=[], keywords=filled):
            return is_ours(sentence) and all(is_ours(keyword.value) for keyword in filled)
        case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)) | ast.Attribute(attr=name):
            return name.isupper()
        case ast.IfExp(body=one, orelse=other):
            return is_ours(one) and is_ours(other)
        case ast.BinOp(left=one, right=other):
            return is_ours(one) and is_ours(other)
        case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.JoinedStr(values=parts):
            return all(map(is_ours, parts))
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="join"), args=[ast.GeneratorExp(elt=one)]):
            return is_ours(one)
        case ast.FormattedValue(value=one) | ast.Starred(value=one):
            return is_ours(one)
        case _:
            return False


class EscapedMadeConstant(ast.NodeTransformer):
    """html.escape(…) of anything is safe where HTML is expected, and there only."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if ast.unparse(node.func) == "html.escape":
            return ast.Constant("")
        return cast(ast.expr, self.generic_visit(node))


def escaped_made_constant(text: ast.expr) -> ast.expr:
    return cast(ast.expr, EscapedMadeConstant().visit(text))


@pytest.mark.parametrize("path", DRAWING, ids=lambda path: path.name)
def test_what_streamlit_reads_as_markdown_is_written_here_or_made_literal(path: Path) -> None:
    """No name, text or error is a link, an image or a formula on a page: what is not a constant gets there through `literal` only."""
    found, made = [], MADE.get(path.name, ())
    for call, name in calls(path):
        texts = [call.args[place] for place in MARKDOWN.get(name, ()) if place < len(call.args)]
        texts += [keyword.value for keyword in call.keywords if keyword.arg in NAMED]
        texts = [escaped_made_constant(text) for text in texts] if name == "html" else texts
        found += [
            f"line {call.lineno}: st.{name}({ast.unparse(text)})" for text in texts if not (is_ours(text) or ast.unparse(text) in made)
        ]
    assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def hostile_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill_hostile(tmp_path_factory.mktemp("hostile") / "cache", ADDRESS)


def texts_in(value: object) -> Iterator[str]:
    """Every text in a figure, wherever it stands."""
    if isinstance(value, str):
        yield value
    parts = (
        [part for name, part in value.items() if name != "meta"] if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    for part in parts:  # meta is what marks stand for: no template of ours names it
        yield from texts_in(part)


@pytest.mark.parametrize("name", [figure.name for figure in figures.FIGURES])
def test_a_figure_holds_no_markup_but_its_own_line_breaks(hostile_cache: Path, name: str) -> None:
    """Plotly reads <a>, <b> and the like, entities, and $…$ as a formula, in every title, label, legend and hover box."""
    with database.reading(hostile_cache) as con:
        database.show_live(con, hostile_cache)
        drawn = figures.render(figures.find(name), con, queries.default_selection(con), "light")
    found = list(texts_in(json.loads(drawn.to_json())))
    assert not [text for text in found if "<" in text.replace("<br>", "") or "$" in text or re.search(f"[{UNSEEN}]", text)]


def shown_of(cache: Path, *names: str) -> tuple[list[Shown], Sources]:
    """Figures with something to show, as the pages show them, and what their captions call data and models."""
    with database.reading(cache) as con:
        database.show_live(con, cache)
        selection = queries.default_selection(con)
        rows = {figure: figure.query(con, selection) for figure in (map(figures.find, names) if names else figures.FIGURES)}
        known = captions.sources(con, selection)
    drawn = ((f, frame, registry.on_screen(f, frame, "light")) for f, frame in rows.items() if not frame.is_empty())
    return [Shown(figure, plot, frame, below) for figure, frame, (plot, below) in drawn], known


@pytest.mark.slow
@pytest.mark.parametrize("form", ["html", "tex", "txt", "csv"])
def test_an_attack_is_text_in_every_file_of_a_figure(hostile_cache: Path, form: str) -> None:
    """No tag but plotly's own, no command, nothing unseen, and nothing that a spreadsheet computes."""
    shown, known = shown_of(hostile_cache)
    said = "".join(files.content(one, form, Style(), known).decode() for one in shown)
    if form == "csv":
        assert not re.search(r'(?:^|,)"(?:[=+@]|-\D)', said, re.MULTILINE)
        return
    assert not re.search(f"[{UNSEEN}]", re.sub(r"<script.*?</script>", "", said, flags=re.DOTALL).replace("\n", ""))
    if form == "html":
        assert f"<img src='{ADDRESS}" not in said
        assert f"<a href='{ADDRESS}" not in said
    if form == "tex":
        assert "![x](" in said.replace("{[}", "[").replace("{]}", "]")
        assert "$x^2$" not in said


@pytest.mark.slow
@pytest.mark.skipif(not pictures.can_draw(), reason="no Chrome or Chromium on this computer")
def test_an_attack_is_text_in_pictures(hostile_cache: Path, tmp_path: Path) -> None:
    """An SVG without links, images and scripts of the attack; a PDF without anything to click on or to open."""
    shown, _known = shown_of(hostile_cache, "scores_trained", "distinguishing_words", "accuracy_of_groups")
    asked = [pictures.Picture(tmp_path / f"{one.stem}.{form}", one.styled(Style()), Style()) for one in shown for form in ("svg", "pdf")]
    pictures.draw(asked)
    for path in tmp_path.glob("*.svg"):
        parts = list(ElementTree.parse(path).iter())
        assert not {part.tag.rpartition("}")[2] for part in parts} & {"a", "image", "script", "foreignObject"}
        assert not [part for part in parts for name, value in part.items() if name.rpartition("}")[2] == "href" and ADDRESS in value]
    for path in tmp_path.glob("*.pdf"):
        (page,) = PdfReader(path).pages
        assert "/Annots" not in page
        assert "![x](" in page.extract_text() or "groups" not in path.stem  # where a name is drawn, it is text
    assert len(list(tmp_path.iterdir())) == 2 * len(shown) > 0


def test_lines_are_texts_without_breaks_and_without_what_cannot_be_seen() -> None:
    assert line("\ta\n b\x1b[31m\u202ec\u200b\ud800 ") == "a b[31mc"
    assert line("می\u200cخواهم 👩\u200d🔬 n\u00a0=\u00a03") == "می\u200cخواهم 👩\u200d🔬 n\u00a0=\u00a03"


@given(st.text())
def test_printable_text_obeys_nothing_and_json_reads_it_back(text: str) -> None:
    r"""Inside JSON \u009b is the character again, so that nothing is lost where a program reads the output."""
    shown = printable(json.dumps(text, ensure_ascii=False))
    assert not re.search(f"[{UNSEEN}]", shown)
    assert json.loads(shown) == text


@pytest.mark.parametrize("command", [["runs"], ["summary"], ["summary", "--json"], ["groups"], ["study", "show", "batch"]])
def test_terminal_output_has_no_control_characters_and_one_line_for_each_row(
    hostile_cache: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(hostile_cache))
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "![x](" in out
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", out)
    if command == ["runs"]:
        assert len(out.splitlines()) == len(run_dirs(hostile_cache))


def test_names_to_pick_from_are_lines_and_stay_apart() -> None:
    """Two names that look alike get the ends of their ids."""
    rows = pl.DataFrame({"scorer_id": ["s-0001", "s-0002", "s-0003"], "name": ["a\tb", "a \u202eb", "c"]})
    assert chips.names(rows, "scorer_id") == {"s-0001": "a b (0001)", "s-0002": "a b (0002)", "s-0003": "c"}


def test_only_say_prints() -> None:
    """The edge of the terminal is one function (a port number is the other thing that is printed)."""
    sources = [p for folder in ("engine", "dashboard") for p in (ROOT / folder).rglob("*.py") if p.stem not in ("plain", "ports")]
    calls = [(path, node) for path in sources for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not [f"{path}, line {call.lineno}" for path, call in calls if ast.unparse(call.func) == "print"]


def test_an_error_shows_what_a_file_or_an_option_holds_without_obeying_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "\x1b[2J.jsonl").write_text(json.dumps({"question": attack(ADDRESS), "response_1": "a", "overall_response": 1}))
    assert main(["import", str(tmp_path / "\x1b[2J.jsonl")]) == 1
    with pytest.raises(SystemExit):
        main(["summary", "\x1b[2J"])
    told = capsys.readouterr().err
    assert "\\u001b[2J" in told
    assert "\x1b" not in told


@pytest.mark.parametrize("name", ["\u202egnp.exe", "it's \\ a\u2066 $(id) `id`", "two\nlines\x1b[31m", "plain", ""])
def test_a_command_shows_what_cannot_be_seen_and_bash_reads_the_name_from_it(name: str) -> None:
    """The Retrain drawer and the page Report show such commands with names in them."""
    command = shell_words(["printf", "%s", name])
    assert not re.search(f"[{UNSEEN}]", command)
    assert subprocess.run(["bash", "-c", command], capture_output=True, env={"LC_ALL": "C.UTF-8"}).stdout.decode() == name
