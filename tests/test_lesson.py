"""The lesson: its cells run, each text is there in English and in Chinese, and the stored notebook is made of the source."""

import re
from typing import Any

import nbformat
import pytest

from docs.lesson import NOTEBOOK, cells, executed
from engine.data.records import HAN

FORMULA = re.compile(r"^\$\$.*?\$\$\n?", re.M | re.S)


def paragraphs(text: str) -> list[str]:
    """Of a text cell, without headings, displayed formulas and lists."""
    parts = FORMULA.sub("", text).split("\n\n")
    return [part for part in parts if part.strip() and not part.startswith(("#", "- ", "**References"))]


def outputs(notebook: Any) -> str:
    return "".join(output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)


def test_every_paragraph_is_followed_by_its_translation() -> None:
    for cell in cells().cells:
        if cell.cell_type == "markdown":
            languages = [bool(HAN.search(part)) for part in paragraphs(cell.source)]
            assert languages == [False, True] * (len(languages) // 2), cell.source


def test_every_heading_is_bilingual() -> None:
    headings = [h for cell in cells().cells if cell.cell_type == "markdown" for h in re.findall(r"^#+ (.+)$", cell.source, re.M)]
    assert len(headings) >= 12
    assert all(re.fullmatch(r".*[A-Za-z].* · .*", heading) and HAN.search(heading) for heading in headings)


def test_stored_notebook_is_the_source_with_outputs() -> None:
    stored = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(stored)
    assert [(c.cell_type, c.source) for c in stored.cells] == [(c.cell_type, c.source) for c in cells().cells]
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert "loss at the start [0.6931" in outputs(stored)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_cell_runs() -> None:
    """Cells assert what the text claims, so that running them is the test; a figure is drawn where one is stored."""
    stored, made = nbformat.read(NOTEBOOK, as_version=4), executed()
    kinds = [[[o.output_type for o in c.get("outputs", [])] for c in notebook.cells] for notebook in (stored, made)]
    assert kinds[0] == kinds[1]
    assert outputs(made).count("loss") == outputs(stored).count("loss")
