"""Every figure and table as files: `python -m dashboard.report --out DIR`, and the zip of the Report page.

What is printed is what the pages show: the same queries and the same drawing, in the theme that was asked for.
"""

import argparse
import html
import io
import os
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import kaleido
import plotly.graph_objects as go
import plotly.io as pio
import polars as pl
from choreographer.browsers import Chromium

from dashboard import figures, queries
from dashboard.figures import Figure, Table
from dashboard.queries import Selection
from dashboard.report.latex import latex_table
from dashboard.report.tabular import csv_text, html_table
from dashboard.state.messages import _
from engine.errors import DataError, PrefscopeError, StoreError
from engine.plain import say
from engine.statistics.estimate import ESTIMATE
from engine.store import database
from engine.store.rundir import cache_path, write_text
from engine.store.saved_slices import slice_from
from engine.store.slices import described, selected, show_slice

PICTURES = ("svg", "pdf", "png")
OTHERS = ("html", "json", "csv", "tex")
THEMES = ("print", "light", "dark")
WIDTH, HEIGHT = 900, 500  # pixels of a picture whose figure states no height
NUMBERS = {"statistic": pl.String, "of": pl.String, **{field.name: field.dtype for field in ESTIMATE.fields}}
FORMULAS = _(
    "In the CSV files a text that begins like a formula (with =, +, -, @ or a tab) has an apostrophe before it, so that no spreadsheet "
    "computes it; numbers stay as they are."
)
ONE_AT_A_TIME = threading.Lock()  # the picture maker is not thread-safe


@dataclass(frozen=True)
class Request:
    """What is to be written; parts are names of figures and tables."""

    selection: Selection
    parts: tuple[str, ...]
    formats: tuple[str, ...]
    theme: str = "print"


@dataclass(frozen=True)
class Content:
    """Everything a report says, read from the database in one go."""

    figures: list[tuple[Figure, pl.DataFrame]]
    tables: list[tuple[Table, pl.DataFrame]]
    numbers: list[dict[str, Any]]
    slice: str = ""  # which rows all of it is about, in words; empty: all
    pairs: pl.DataFrame | None = None  # those of the slice

    def slice_of(self, figure: Figure) -> str:
        """The slice in words, when the figure is about its rows; what was measured while training is of all pairs."""
        return "" if figure.page == "training" else self.slice


def formats_here() -> tuple[str, ...]:
    """The formats that can be made on this computer: pictures need a Chrome or Chromium."""
    return (*PICTURES, *OTHERS) if Chromium.find_browser(skip_local=False) else OTHERS


def missing() -> str | None:
    """What cannot be made here and how to get it, in one sentence."""
    if formats_here() != OTHERS:
        return None
    return _(
        "SVG, PDF and PNG need Chrome or Chromium: install it (Debian: apt-get install chromium) and try again. "
        "Until then there are HTML, JSON, CSV and LaTeX."
    )


def everything() -> tuple[str, ...]:
    return (*(figure.name for figure in figures.FIGURES), *(table.name for table in figures.TABLES))


def read(cache: Path, request: Request) -> Content:
    """The frames of every part, and the headline numbers. Raises DataError when what the slice asks for is gone."""
    selection = request.selection
    with database.reading(cache) as con:
        database.show_live(con, cache)
        words = _("slice: {words}").format(words=described(con, selection.slice)) if selection.slice else ""
        show_slice(con, selection.slice)
        return Content(
            [(f, f.query(con, selection)) for f in figures.FIGURES if f.name in request.parts],
            [(t, t.query(con, selection)) for t in figures.TABLES if t.name in request.parts],
            numbers(con, selection),
            words,
            selected(con, selection.slice) if selection.slice else None,
        )


def numbers(con: database.Connection, selection: Selection) -> list[dict[str, Any]]:
    """The headline numbers in long form: statistic, of what, and the fields of the estimate."""
    sources = [
        (queries.length_rule(con, selection), ""),
        (queries.reward_summaries(con, selection), "scorer"),
        (queries.accuracy_gain(con, selection), ""),
        (queries.win_rates(con, selection), "scorer"),
        (queries.answer_length_summary(con, selection), "generator"),
    ]
    return [
        {"statistic": name, "of": row.get(of, ""), **row[name]}
        for rows, of in sources
        for row in rows.iter_rows(named=True)
        for name, kind in rows.schema.items()
        if kind == ESTIMATE
    ]


def stem(part: Figure | Table) -> str:
    """A part's file name without ending: fig-4a-base-scores, table-1."""
    if isinstance(part, Table):
        return f"table-{part.number}"
    return "-".join(["fig", *([part.number] if part.number else []), part.name.replace("_", "-")])


def write(cache: Path, request: Request, out: Path) -> list[Path]:
    """Write the parts in all formats asked for into `out`; each file appears there whole. Raises StoreError, or OSError of the folder."""
    content = read(cache, request)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".report-") as name:
        folder = Path(name)
        drawn = {stem(f): figures.drawn(f, frame, request.theme, content.slice_of(f)) for f, frame in content.figures}
        write_figures(folder, drawn, request)
        write_tables(folder, content, request)
        if "html" in request.formats:
            write_text(folder / "index.html", index(content, drawn))
        for path in sorted(folder.iterdir()):
            os.replace(path, out / path.name)
    return sorted(out.iterdir())


def write_figures(folder: Path, drawn: dict[str, go.Figure], request: Request) -> None:
    for name, plot in drawn.items():
        if "json" in request.formats:
            write_text(folder / f"{name}.json", plot.to_json())
        if "html" in request.formats:
            plot.write_html(folder / f"{name}.html", include_plotlyjs="directory", config={"showSendToCloud": False})
    pictures = [form for form in request.formats if form in PICTURES]
    if pictures and drawn:
        write_pictures(folder, drawn, pictures)


def write_pictures(folder: Path, drawn: dict[str, go.Figure], formats: list[str]) -> None:
    """All pictures with one browser. Raises PrefscopeError with the browser's first complaint."""
    jobs = [
        {
            "fig": plot,
            "path": folder / f"{name}.{form}",
            "opts": {"format": form, "width": WIDTH, "height": plot.layout.height or HEIGHT, "scale": 2},
        }
        for name, plot in drawn.items()
        for form in formats
    ]
    with ONE_AT_A_TIME:
        try:
            errors = kaleido.write_fig_from_object_sync(jobs, kopts={"n": 1})
        except Exception as error:  # the browser's and the library's own, of many kinds
            raise PrefscopeError(_("The pictures could not be made: {error}").format(error=error)) from error
    if errors:
        raise PrefscopeError(_("The pictures could not be made: {error}").format(error=errors[0]))


def write_tables(folder: Path, content: Content, request: Request) -> None:
    if "csv" in request.formats:
        frames = {stem(f): frame for f, frame in content.figures} | {stem(t): frame for t, frame in content.tables}
        for name, frame in frames.items():
            write_text(folder / f"{name}.csv", csv_text(frame))
        write_text(folder / "numbers.csv", csv_text(pl.DataFrame(content.numbers, schema=NUMBERS)))
        if content.pairs is not None:
            write_text(folder / "slice.csv", csv_text(content.pairs))
    if "tex" in request.formats:
        for table, frame in content.tables:
            write_text(folder / f"{stem(table)}.tex", latex_table(frame, table.title, f"tab:{table.name}"))


def index(content: Content, drawn: dict[str, go.Figure]) -> str:
    """One page with all figures, their captions, and the tables; it opens without a network."""
    parts = [
        "<!doctype html><html><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>Prefscope</title>",
        "<style>body{font-family:'Liberation Sans',Arial,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;"
        "vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #ddd;white-space:pre-wrap}figure{margin:2rem 0}</style>",
        "<script src='plotly.min.js'></script></head><body><h1>Prefscope</h1>",
        *([f"<p>{html.escape(content.slice)}</p>"] if content.slice else []),
        html_table(pl.DataFrame(content.numbers, schema=NUMBERS)),
        f"<p>{html.escape(FORMULAS)}</p>",
    ]
    for figure, _rows in content.figures:
        plot = pio.to_html(drawn[stem(figure)], full_html=False, include_plotlyjs=False, config={"showSendToCloud": False})
        parts.append(f"<figure>{plot}<figcaption>{html.escape(f'{figure.label}: {figure.title}')}</figcaption></figure>")
    for table, frame in content.tables:
        parts.append(f"<h2>{html.escape(f'Table {table.number}: {table.title}')}</h2>{html_table(frame)}")
    return "\n".join([*parts, "</body></html>"])


def zipped(cache: Path, request: Request) -> bytes:
    """The report as one zip."""
    content = io.BytesIO()
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in write(cache, request, Path(name)):
            archive.write(path, f"prefscope-report/{path.name}")
    return content.getvalue()


def asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="report", description="Write every figure and table of the newest experiment as files.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into; it is made when absent")
    parser.add_argument("--format", action="append", choices=(*PICTURES, *OTHERS), help="may be repeated; all that can be made when absent")
    parser.add_argument("--theme", choices=THEMES, default="print")
    parser.add_argument("--cache", type=Path, default=cache_path(), help="the cache to read")
    parser.add_argument("--dataset", help="dataset id; the newest with finished runs when absent")
    parser.add_argument("--split", help="split of the dataset")
    parser.add_argument("--slice", metavar="NAME", help="only the rows of a slice of the dataset: a saved one, or one as JSON")
    return parser.parse_args(arguments)


def lines(arguments: list[str] | None) -> Iterator[str]:
    """Do what the command line asks and say it."""
    options = asked(arguments)
    wanted = slice_from(options.cache, options.slice) if options.slice else None
    if wanted and options.dataset not in (None, wanted.dataset_id):
        raise DataError(_("the slice is of dataset {found}, expected {dataset}").format(found=wanted.dataset_id, dataset=options.dataset))
    with database.reading(options.cache) as con:
        dataset = wanted.dataset_id if wanted else options.dataset
        selection = replace(queries.default_selection(con, dataset, options.split), slice=wanted)
    if selection.dataset_id is None:
        raise StoreError(_("{cache} holds no dataset: import one or run the starter experiment first").format(cache=options.cache))
    formats = [f for f in options.format or formats_here() if f in formats_here()]
    files = write(options.cache, Request(selection, everything(), tuple(formats), options.theme), options.out)
    yield _("{n} files in {folder}").format(n=len(files), folder=options.out)
    if sentence := missing():
        yield sentence


def main(arguments: list[str] | None = None) -> int:
    try:
        for sentence in lines(arguments):
            say(sentence)
    except (PrefscopeError, OSError) as error:
        say(f"report: {error}", sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
