"""The report as one document: HTML that opens anywhere, LaTeX, and what Typst makes a PDF and its preview of. No text in it is markup."""

import html
import json
from pathlib import Path
from typing import Any

import polars as pl
from plotly.offline import get_plotlyjs

from dashboard.figures.headings import heading, in_our_words
from dashboard.report import typesetting
from dashboard.report.content import Content, Tabled
from dashboard.report.files import INTERACTIVE, Shown
from dashboard.report.latex import document, latex_figure, latex_table
from dashboard.report.style import Style
from dashboard.state.messages import _, estimated, language
from engine.errors import PrefscopeError
from engine.plain import line
from engine.statistics.estimate import Estimate
from engine.statistics.wording import UNKNOWN, number

TEMPLATE = Path(__file__).with_name("document.typ")
TEXT_CHARS = 280  # of a table's cell; the whole text stands in its CSV
PAGE_INCHES = 6.69  # between the margins of an A4 page
HIDDEN = ("pair_id", "prompt_id", "scorer_id", "run_id")  # columns that nobody reads in a document
CSS = """
body{font:15px/1.5 'Liberation Sans',Arial,'Noto Sans CJK SC','PingFang SC','Microsoft YaHei',sans-serif}
body{color:#1f2328;background:#fff}
body{max-width:56rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}
figure{margin:2rem 0}figcaption,caption{font-size:.87rem;color:#59636e;text-align:left}
figcaption b,caption b{color:#1f2328}.table{overflow-x:auto;margin:2rem 0}table{border-collapse:collapse;font-size:.85rem}
td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #e3e6ea;overflow-wrap:anywhere;min-width:4rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#59636e}dd{margin:0;overflow-wrap:anywhere}
@media print{figure{break-inside:avoid}}
"""


def words() -> dict[str, str]:
    """The headings of a document."""
    return {
        "findings": _("What was found"),
        "parts": _("Figures and tables"),
        "left_out": _("Left out: nothing to show yet"),
    }


def in_words(value: Any) -> str:
    """A table's cell: an estimate with its interval, a number of two decimals, a text on one line."""
    if value is None:
        return UNKNOWN
    if isinstance(value, dict):
        return estimated(Estimate(**value))
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float):
        return number(value)
    plain = line(", ".join(map(str, value)) if isinstance(value, list) else value)
    return plain if len(plain) <= TEXT_CHARS else f"{plain[: TEXT_CHARS - 1]}…"


def readable(rows: pl.DataFrame) -> tuple[list[str], list[bool], list[list[str]]]:
    """Headings, which columns hold long texts, and rows in words."""
    shown = in_our_words(rows.drop(HIDDEN, strict=False))
    cells = [[in_words(value) for value in row] for row in shown.iter_rows()]
    wide = [any(len(row[place]) > 40 for row in cells) for place in range(shown.width)]
    return [heading(name) for name in shown.columns], wide, cells


def label_of(part: Shown | Tabled) -> str:
    return part.figure.label if isinstance(part, Shown) else part.table.label


def in_html(content: Content) -> str:
    """One file with all figures, to hover and zoom, and the tables; it loads nothing and fits every screen."""
    title = html.escape(content.title)
    parts = [
        f"<!doctype html><html lang='{language()}'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>{title}</title><style>{CSS}</style><script>{get_plotlyjs()}</script></head><body><h1>{title}</h1><dl>",
        *(f"<dt>{html.escape(label)}</dt><dd>{html.escape(value)}</dd>" for label, value in content.facts),
        f"</dl><h2>{html.escape(words()['findings'])}</h2><ul>",
        *(f"<li><b>{html.escape(found)}</b> {html.escape(detail)}</li>" for found, detail in content.findings),
        f"</ul><h2>{html.escape(words()['parts'])}</h2>",
        *(html_part(part, caption) for part, caption in content.parts),
    ]
    if content.left_out:
        parts += [
            f"<h2>{html.escape(words()['left_out'])}</h2><ul>",
            *(f"<li>{html.escape(name)}</li>" for name in content.left_out),
            "</ul>",
        ]
    return "\n".join([*parts, "</body></html>"])


def html_part(part: Shown | Tabled, caption: str) -> str:
    below = f"<b>{html.escape(label_of(part))}.</b> {html.escape(caption)}"
    if isinstance(part, Shown):
        plot = part.styled(Style("screen")).update_layout(width=None, autosize=True)
        drawing = plot.to_html(full_html=False, include_plotlyjs=False, config={**INTERACTIVE, "responsive": True})
        return f"<figure>{drawing}<figcaption>{below}</figcaption></figure>"
    head, _wide, rows = readable(part.rows)
    cells = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return f"<div class='table'><table><caption>{below}</caption><tr>{top}</tr>{cells}</table></div>"


def in_latex(content: Content, style: Style) -> dict[str, str]:
    """report.tex, and the file of each table, by path."""
    tables = {
        f"tables/{part.stem}.tex": latex_table(part.rows.drop(HIDDEN, strict=False), caption, f"tab:{part.table.name}")
        for part, caption in content.tables
    }
    body = [
        latex_figure(f"figures/{part.stem}", caption, style.inches) if isinstance(part, Shown) else rf"\input{{tables/{part.stem}}}"
        for part, caption in content.parts
    ]
    return {"report.tex": document(content.title, content.facts, words()["findings"], content.findings, body), **tables}


def in_json(content: Content, style: Style, form: str = "pdf") -> str:
    """What the Typst template sets: the same words, and the pictures by their paths."""
    parts: list[dict[str, Any]] = []
    for part, caption in content.parts:
        said = {"label": label_of(part), "caption": line(caption)}
        if isinstance(part, Shown):
            parts.append({"kind": "figure", "file": f"figures/{part.stem}.{form}", "share": 100 * style.inches / PAGE_INCHES, **said})
        else:
            head, wide, rows = readable(part.rows)
            parts.append({"kind": "table", "head": head, "wide": wide, "rows": rows, **said})
    whole = {"title": content.title, "facts": content.facts, "findings": content.findings, "parts": parts}
    return json.dumps({**whole, "left_out": content.left_out, "words": words(), "lang": language()}, ensure_ascii=False)


def typeset(folder: Path) -> bytes:
    """The document in a folder with report.json and figures, as PDF. Raises PrefscopeError."""
    return typesetting.pdf(folder, template())


def typeset_pages(folder: Path) -> list[bytes]:
    """The same as a PNG of each page."""
    return typesetting.pages(folder, template())


def template() -> str:
    """The document's source. Raises PrefscopeError where its characters have no font."""
    if sentence := typesetting.missing_font(typesetting.fonts()):
        raise PrefscopeError(sentence)
    return TEMPLATE.read_text(encoding="utf-8")
