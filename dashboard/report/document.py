"""The report as one document: HTML that opens anywhere, LaTeX, and what Typst makes a PDF and its preview of. No text in it is markup."""

import html
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from dashboard.report import typesetting
from dashboard.report.content import Content, registered
from dashboard.report.files import INTERACTIVE, Shown, Tabled
from dashboard.report.latex import document, latex_figure
from dashboard.report.style import Style
from dashboard.report.written import written
from dashboard.state.messages import _, in_sentences, language
from engine.errors import PrefscopeError
from engine.plain import line

TEMPLATE = Path(__file__).with_name("document.typ")
PAGE_INCHES = 6.69  # between the margins of an A4 page
CITED = {  # keys of references.bib, and what a document says that rests on them
    "wilson1927probable": "Wilson",
    "student1908probable": "Student",
    "monroe2008fightin": "Monroe",
    "benjamini1995controlling": "Benjamini",
    "mcinnes2018umap": "UMAP",
}
LOSSES = {
    "bradley_terry": "bradley1952rank",
    "dpo": "rafailov2023direct",
    "simpo": "meng2024simpo",
    "orpo": "hong2024orpo",
    "kto": "ethayarajh2024kto",
}  # by a run's loss
CSS = """
body{font:15px/1.5 'Liberation Sans',Arial,'Noto Sans CJK SC','PingFang SC','Microsoft YaHei',sans-serif}
body{color:#1f2328;background:#fff}
body{max-width:56rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}
h3{font-size:1rem;margin:1.2rem 0 .3rem}ul{margin:.3rem 0}
figure{margin:2rem 0}figcaption,caption{font-size:.87rem;color:#59636e;text-align:left}
figcaption b,caption b{color:#1f2328}.table{overflow-x:auto;margin:2rem 0}table{border-collapse:collapse;font-size:.85rem}
.number{text-align:right;font-variant-numeric:tabular-nums}
td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #e3e6ea;overflow-wrap:anywhere;min-width:4rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#59636e}dd{margin:0;overflow-wrap:anywhere}
tbody{break-inside:avoid}@media print{figure{break-inside:avoid}}
"""


def words() -> dict[str, str]:
    """The headings of a document."""
    return {
        "findings": _("What was found"),
        "parts": _("Figures and tables"),
        "left_out": _("Left out: nothing to show yet"),
    }


def in_html(content: Content) -> str:
    """One file with all figures, to hover and zoom, and the tables; it loads nothing and fits every screen."""
    title = html.escape(content.title)
    parts = [
        f"<!doctype html><html lang='{language()}'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>{title}</title><style>{CSS}</style><script>{get_plotlyjs()}</script></head><body><h1>{title}</h1><dl>",
        *(f"<dt>{html.escape(label)}</dt><dd>{html.escape(value)}</dd>" for label, value in content.facts),
        "</dl>",
        *([f"<h2>{html.escape(words()['findings'])}</h2>"] if content.findings else []),
        *(html_findings(page, found) for page, found in content.findings),
        f"<h2>{html.escape(words()['parts'])}</h2>",
        *(html_part(part, content.labels[part.name], caption) for part, caption in content.parts),
    ]
    if content.left_out:
        parts += [
            f"<h2>{html.escape(words()['left_out'])}</h2><ul>",
            *(f"<li>{html.escape(name)}</li>" for name in content.left_out),
            "</ul>",
        ]
    return "\n".join([*parts, "</body></html>"])


def html_findings(page: str, found: list[tuple[str, str]]) -> str:
    said = "".join(f"<li>{in_sentences((f'<b>{html.escape(sentence)}</b>', html.escape(detail)))}</li>" for sentence, detail in found)
    return f"<h3>{html.escape(page)}</h3><ul>{said}</ul>"


def html_part(part: Shown | Tabled, label: str, caption: str) -> str:
    below = f"<b>{html.escape(label)}.</b> {html.escape(caption)}"
    if isinstance(part, Shown):
        plot = part.styled(Style("screen")).update_layout(width=None, autosize=True)
        drawing = plot.to_html(full_html=False, include_plotlyjs=False, config={**INTERACTIVE, "responsive": True})
        return f"<figure>{drawing}<figcaption>{below}</figcaption></figure>"
    table = written(part.rows)
    kinds = [" class='number'" if number else "" for number in table.numbers]
    top = "".join(f"<th{kind}>{html.escape(name)}</th>" for name, kind in zip(table.head, kinds, strict=True))
    body = "".join(html_rows(group, kinds, table.common) for group in table.groups)
    return f"<div class='table'><table><caption>{below}</caption><thead><tr>{top}</tr></thead>{body}</table></div>"


def html_rows(group: list[list[str]], kinds: list[str], common: list[bool]) -> str:
    """Rows that stand together; what is common to them is one cell beside them all."""
    spans = [f" rowspan='{len(group)}'" if shared else "" for shared in common]
    first, *others = (
        [f"<td{kind}{span}>{html.escape(cell)}</td>" for cell, kind, span in zip(row, kinds, spans, strict=True)] for row in group
    )
    rest = ["".join(cell for cell, shared in zip(row, common, strict=True) if not shared) for row in others]
    return f"<tbody>{''.join(f'<tr>{row}</tr>' for row in (''.join(first), *rest))}</tbody>"


def readme(content: Content, folder: Path) -> str:
    """Which files of the folder hold what the document calls Figure 1, Table 1 …"""
    about = _("Numbers follow the order of this report. Names are the same in every report, so that papers which include a file find it.")
    lines = [content.title, "", about]
    for part, _caption in content.parts:
        lines += ["", f"{content.labels[part.name]}: {_(registered()[part.name].title)}"]
        lines += [f"    {path.relative_to(folder)}" for path in sorted(folder.glob(f"*/{part.stem}.*"))]
    return "\n".join([*lines, ""])


def in_latex(content: Content, style: Style) -> dict[str, str]:
    """report.tex, and the file of each table, by path."""
    tables = {f"tables/{part.stem}.tex": part.in_latex(caption) for part, caption in content.tables}
    body = [
        latex_figure(f"figures/{part.stem}", caption, style.inches) if isinstance(part, Shown) else rf"\input{{tables/{part.stem}}}"
        for part, caption in content.parts
    ]
    named = {"figure": _("Figure"), "table": _("Table"), "ref": _("References")}
    return {
        "report.tex": document(content.title, content.facts, words()["findings"], content.findings, body, cited(content), named),
        **tables,
    }


def cited(content: Content) -> list[str]:
    """What the methods named in captions, and the losses of the runs, are cited by."""
    said = " ".join(caption for _part, caption in content.parts)
    trained = {(json.loads(config).get("loss") or {}).get("name") for config in content.runs["config"]}
    return [key for key, word in CITED.items() if word in said] + [key for loss, key in LOSSES.items() if loss in trained]


def in_json(content: Content, style: Style, form: str = "pdf") -> str:
    """What the Typst template sets: the same words, and the pictures by their paths."""
    parts: list[dict[str, Any]] = []
    for part, caption in content.parts:
        said = {"label": content.labels[part.name], "caption": line(caption)}
        if isinstance(part, Shown):
            parts.append({"kind": "figure", "file": f"figures/{part.stem}.{form}", "share": 100 * style.inches / PAGE_INCHES, **said})
        else:
            parts.append({"kind": "table", **asdict(written(part.rows)), **said})
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
