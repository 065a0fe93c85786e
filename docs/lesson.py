"""The lesson docs/dpo.ipynb from its source docs/dpo.py: `python -m docs.lesson` executes every cell and writes it with its outputs.

Texts and code are edited in the source, whose changes can be read line by line; its cells are those of jupytext's percent format.
"""

import os
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

SOURCE = Path(__file__).with_name("dpo.py")
NOTEBOOK = SOURCE.with_suffix(".ipynb")
SECONDS_A_CELL = 900  # on a machine that does much else beside


def cells() -> Any:
    """The source as a notebook without outputs; a cell's id is its number, so that ids never change by themselves."""
    notebook = jupytext.read(SOURCE)
    notebook.metadata = {name: notebook.metadata[name] for name in ("kernelspec",)}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


def executed() -> Any:
    """The notebook with its outputs, computed by one thread, so that they do not depend on the number of cores.

    Raises nbclient's CellExecutionError when a cell does.
    """
    notebook = cells()
    inline = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}  # whatever backend the caller's process has chosen
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", **inline}
    NotebookClient(
        notebook, timeout=SECONDS_A_CELL, resources={"metadata": {"path": SOURCE.parent}}, record_timing=False, coalesce_streams=True
    ).execute(env=environment)
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
