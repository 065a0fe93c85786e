"""The report as a folder or a zip: `python -m dashboard.report --out DIR`, and the page Report.

What is printed is what the pages show: the same queries and the same drawings, in the style that was asked for.
"""

import argparse
import io
import json
import os
import platform
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go
import polars as pl

import engine
from dashboard import queries
from dashboard.report import document, pictures
from dashboard.report.content import NUMBERS, PRESETS, Content, Request, preset, read, registered
from dashboard.report.drawing import taken_apart
from dashboard.report.pictures import Begun
from dashboard.report.style import LOOKS, WIDTHS, Style
from dashboard.report.tabular import csv_text
from dashboard.state.messages import LANGUAGES, _, speaking
from engine.errors import DataError, PrefscopeError, StoreError
from engine.plain import say
from engine.store import database
from engine.store.rundir import cache_path, write_text
from engine.store.saved_slices import slice_from

FORMATS = ("pdf", "svg", "png", "html", "tex", "csv", "json")
USUAL = ("pdf", "svg", "html", "tex", "csv", "json")
HERE = Path(__file__).parent


def made_of(formats: Iterable[str]) -> tuple[str, ...]:
    """The formats that are made here when these are asked for; LaTeX includes its figures as PDF."""
    asked = list(formats)
    return pictures.makeable([*asked, *(["pdf"] if "tex" in asked and "pdf" not in asked else [])])


PICTURED, SET = 0.9, 0.95  # how much of a report is made when its pictures are, and when its pages are to be set


def write(cache: Path, request: Request, out: Path, begun: Begun = pictures.quiet) -> list[Path]:
    """Write the report into `out`; each file appears there whole. Raises PrefscopeError, or OSError of the folder.

    begun: is told each thing that is being made, and how much was made before it. Returns the files.
    """
    content = read(cache, request)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".report-") as name:
        folder = Path(name)
        fill(folder, content, request, begun)
        made = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        for path in made:
            (out / path).parent.mkdir(exist_ok=True)
            os.replace(folder / path, out / path)
    return [out / path for path in made]


def fill(folder: Path, content: Content, request: Request, begun: Begun) -> None:
    """Everything that was asked for, in a new folder."""
    for name in ("figures", "data", "tables", "configurations"):
        (folder / name).mkdir()
    styled = in_style(content, request) if {*pictures.PICTURES, "json"} & {*request.formats} else {}
    write_pictures(folder, styled, request, begun)
    write_json(folder / "captions.json", {part.stem: caption for part, caption in content.parts})
    write_origin(folder, content)
    if "csv" in request.formats:
        write_numbers(folder, content)
    if "json" in request.formats:
        write_drawings(folder, styled)
    if "tex" in request.formats:
        for path, text in document.in_latex(content, request.style).items():
            write_text(folder / path, text)
        shutil.copy(HERE / "references.bib", folder)
    if "html" in request.formats:
        begun("report.html", PICTURED)
        write_text(folder / "report.html", document.in_html(content))
    if "pdf" in request.formats:
        begun("report.pdf", SET)
        write_text(folder / "report.json", document.in_json(content, request.style))
        (folder / "report.pdf").write_bytes(document.typeset(folder))
        (folder / "report.json").unlink()
    write_text(folder / "README.txt", document.readme(content, folder))


def in_style(content: Content, request: Request) -> dict[str, go.Figure]:
    """Every figure as it is printed, by the name of its files."""
    return {shown.stem: shown.styled(request.style) for shown in content.figures}


def write_pictures(folder: Path, styled: dict[str, go.Figure], request: Request, begun: Begun) -> None:
    forms = [form for form in request.formats if form in pictures.PICTURES]
    asked = [
        pictures.Picture(folder / "figures" / f"{name}.{form}", plot, request.style) for name, plot in styled.items() for form in forms
    ]
    if asked:
        pictures.draw(asked, lambda name, share: begun(name, PICTURED * share))


def write_numbers(folder: Path, content: Content) -> None:
    """What is shown as CSV, the headline numbers, and the pairs of a slice."""
    for part, _caption in content.parts:
        write_text(folder / "data" / f"{part.stem}.csv", csv_text(part.rows))
    write_text(folder / "data" / "numbers.csv", csv_text(pl.DataFrame(content.numbers, schema=NUMBERS)))
    if content.pairs is not None:
        write_text(folder / "data" / "slice.csv", csv_text(content.pairs))


def write_drawings(folder: Path, styled: dict[str, go.Figure]) -> None:
    """Style and marks of every figure, and the program that draws it again from them."""
    for name, plot in styled.items():
        style, marks = taken_apart(plot)
        write_text(folder / "figures" / f"{name}.json", style)
        write_text(folder / "data" / f"{name}.marks.csv", marks)
    shutil.copy(HERE / "redraw.py", folder)


def write_origin(folder: Path, content: Content) -> None:
    """Which versions and settings the numbers come from."""
    runs = content.runs.to_dicts()
    for run in runs:
        write_text(
            folder / "configurations" / f"{run['run_id']}.json", json.dumps(json.loads(run.pop("config")), indent=1, ensure_ascii=False)
        )
        run["versions"] = json.loads(run["versions"] or "null")
    made_with = {"prefscope": engine.__version__, "python": platform.python_version(), "system": platform.platform()}
    whole = {"made_with": made_with, "facts": dict(content.facts), "left_out": content.left_out, "runs": runs}
    write_json(folder / "environment.json", whole)


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, default=str))


def zipped(cache: Path, request: Request, begun: Begun = pictures.quiet) -> bytes:
    """The report as one zip."""
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in write(cache, request, Path(name), begun):
            archive.write(path, f"prefscope-report/{path.relative_to(name)}")
    return packed.getvalue()


def preview(cache: Path, request: Request, begun: Begun = pictures.quiet) -> list[bytes]:
    """A PNG of each page of the document. Raises PrefscopeError."""
    content = read(cache, request)
    with tempfile.TemporaryDirectory(prefix="prefscope-") as name:
        folder = Path(name)
        (folder / "figures").mkdir()
        write_pictures(folder, in_style(content, request), replace(request, formats=("svg",)), begun)
        begun("report.pdf", PICTURED)
        write_text(folder / "report.json", document.in_json(content, request.style, "svg"))
        return document.typeset_pages(folder)


def asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="report", description="Write the newest experiment as a document, with its figures, tables and data."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write into; it is made when absent")
    parser.add_argument("--preset", choices=PRESETS, default="everything", help="which figures and tables, and in which order")
    parser.add_argument(
        "--part",
        action="append",
        choices=registered(),
        metavar="NAME",
        help="a figure or table in place of a preset's; may be repeated, in order",
    )
    parser.add_argument("--format", action="append", choices=FORMATS, help="may be repeated; all but png when absent")
    parser.add_argument("--no-findings", action="store_true", help="leave out the sentences of what was found")
    parser.add_argument("--look", choices=LOOKS, default="sans")
    parser.add_argument("--width", choices=WIDTHS, default="page", help="of a figure: column 3.3 in, page 6.9 in, slide 10 in")
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="of the document, its captions and its figures")
    parser.add_argument("--cache", type=Path, default=cache_path(), help="the cache to read")
    parser.add_argument("--dataset", help="dataset id; the newest with finished runs when absent")
    parser.add_argument("--split", help="split of the dataset")
    parser.add_argument("--slice", metavar="NAME", help="only the rows of a slice of the dataset: a saved one, or one as JSON")
    return parser.parse_args(arguments)


def lines(options: argparse.Namespace) -> Iterator[str]:
    """Do what the command line asks and say it."""
    wanted = slice_from(options.cache, options.slice) if options.slice else None
    if wanted and options.dataset not in (None, wanted.dataset_id):
        raise DataError(_("the slice is of dataset {found}, expected {dataset}").format(found=wanted.dataset_id, dataset=options.dataset))
    with database.reading(options.cache) as con:
        dataset = wanted.dataset_id if wanted else options.dataset
        selection = replace(queries.default_selection(con, dataset, options.split), slice=wanted)
    if selection.dataset_id is None:
        raise StoreError(_("{cache} holds no dataset: import one or run the starter experiment first").format(cache=options.cache))
    formats = made_of(options.format or USUAL)
    parts, style = tuple(options.part or preset(options.preset)), Style(options.look, options.width)
    request = Request(selection, parts, formats, style, findings=not options.no_findings)
    files = write(options.cache, request, options.out)
    yield _("{n} files in {folder}").format(n=len(files), folder=options.out)
    left_out = json.loads((options.out / "environment.json").read_text(encoding="utf-8"))["left_out"]
    if left_out:
        yield _("left out, because there is nothing to show yet: {names}").format(names="; ".join(left_out))
    if sentence := pictures.missing():
        yield sentence


def main(arguments: list[str] | None = None) -> int:
    options = asked(arguments)
    try:
        with speaking(options.language):
            for sentence in lines(options):
                say(sentence)
    except (PrefscopeError, OSError) as error:
        say(f"report: {error}", sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
