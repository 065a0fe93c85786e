"""Names and texts from outside reach pages, figures, terminals and spreadsheets as text and nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
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
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            for part in ast.walk(node.func):
                if isinstance(part, ast.Attribute) and (part.attr in MARKDOWN or ast.unparse(part.value) == "st"):
                    yield node, part.attr


def is_ours(text: ast.expr) -> bool:
    """Whether a text stands in the source, or went through `literal`."""
    match text:
        case ast.Constant():
            return True
        case ast.Call(func=ast.Name(id="_"), args=[ast.Constant()]):
            return True
        case ast.Call(func=ast.Name(id="literal") | ast.Attribute(attr="literal")):
            return True
        case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)):
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


@pytest.mark.parametrize("path", DRAWING, ids=lambda path: path.name)
def test_what_streamlit_reads_as_markdown_is_written_here_or_made_literal(path: Path) -> None:
    """No name, text or error is a link, an image or a formula on a page: what is not a constant gets there through `literal` only."""
    found = []
    for call, name in calls(path):
        texts = [call.args[place] for place in MARKDOWN.get(name, ()) if place < len(call.args)]
        texts += [keyword.value for keyword in call.keywords if keyword.arg in NAMED]
        found += [f"line {call.lineno}: st.{name}({ast.unparse(text)})" for text in texts if not is_ours(text)]
    assert not found, "\n".join(found)
