"""Draws the figures of this folder again from their numbers: `python redraw.py`; with `pdf`, `svg` or `png` where kaleido is installed.

It needs Python 3.11, plotly and polars, and nothing else. data/NAME.marks.csv holds what is drawn: a row for each mark, a column for
each of its properties, each cell written as JSON; figures/NAME.json holds axes, colours and words. Change a number and draw again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl


def redrawn(folder: Path, name: str) -> go.Figure:
    """One figure, put together from its style and its numbers."""
    spec = json.loads((folder / "figures" / f"{name}.json").read_text(encoding="utf-8"))
    marks = pl.read_csv(folder / "data" / f"{name}.marks.csv", infer_schema=False)
    for number, trace in enumerate(spec["data"]):
        own = marks.filter(pl.col("trace") == str(number))
        for column in trace.pop("columns"):
            put(trace, column.split("."), [json.loads(cell) for cell in own[column].drop_nulls()])
    return go.Figure(spec)


def put(trace: dict[str, Any], path: list[str], values: list[Any]) -> None:
    """Set a property that may stand within others: error_x.array."""
    for step in path[:-1]:
        trace = trace.setdefault(step, {})
    trace[path[-1]] = values


def main(folder: Path, form: str = "html") -> list[Path]:
    """Draw every figure into the folder `redrawn`."""
    out = folder / "redrawn"
    out.mkdir(exist_ok=True)
    made = []
    for drawing in sorted((folder / "figures").glob("*.json")):
        plot, path = redrawn(folder, drawing.stem), out / f"{drawing.stem}.{form}"
        if form == "html":
            plot.write_html(path, include_plotlyjs="directory", config={"showSendToCloud": False})
        else:
            plot.write_image(path)
        made.append(path)
    return made


if __name__ == "__main__":
    main(Path(__file__).resolve().parent, *sys.argv[1:2])
