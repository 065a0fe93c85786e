"""Pages made by Typst, with the fonts of this computer and nothing from a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import cast

import typst

from dashboard.state.messages import _, language
from engine.errors import PrefscopeError

CHINESE = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei")  # as document.typ names them
PICTURE = '#set page(width: auto, height: auto, margin: 0pt)\n#image("{name}", width: {inches}in)\n'


@cache
def fonts() -> typst.Fonts:
    """Looked for once in a process: that takes longer than setting a page."""
    return typst.Fonts()


def missing_font(found: typst.Fonts) -> str | None:
    """What a document in Chinese lacks here and how to get it, in one sentence; without it the characters would be boxes."""
    if language() != "zh" or not set(CHINESE).isdisjoint(found.families()):
        return None
    return _("A document in Chinese needs a Chinese font: install Noto Sans CJK (Debian: apt-get install fonts-noto-cjk) and try again.")


def pdf(folder: Path, source: str) -> bytes:
    """A Typst source as PDF; it reads files of the folder alone. Raises PrefscopeError with Typst's complaint."""
    with written(folder, source) as main:
        return typst.compile(main, root=folder, font_paths=fonts(), format="pdf")


def pages(folder: Path, source: str, dots_per_inch: float = 90.0) -> list[bytes]:
    """The same as a PNG of each page."""
    with written(folder, source) as main:
        made: object = typst.compile(main, root=folder, font_paths=fonts(), format="png", ppi=dots_per_inch)
    return made if isinstance(made, list) else [cast(bytes, made)]  # one page comes alone


@contextmanager
def written(folder: Path, source: str) -> Iterator[Path]:
    """The source as a file beside what it names, for as long as it is read."""
    main = folder / "main.typ"
    main.write_text(source, encoding="utf-8")
    try:
        yield main
    except typst.TypstError as error:
        raise PrefscopeError(_("The document could not be made: {error}").format(error=error)) from error
    finally:
        main.unlink()


def picture_pdf(svg: Path, inches: float) -> bytes:
    """An SVG as a PDF page of its own, so wide: with its text as text, and all of it.

    A browser's own PDF of a figure is shrunk by 3 %, moved by 9 pixels and cut at the bottom (kaleido 1.5), and has
    megabytes of hatching; Typst keeps the pattern of the SVG, in a few hundred bytes.
    """
    return pdf(svg.parent, PICTURE.format(name=svg.name, inches=inches))
