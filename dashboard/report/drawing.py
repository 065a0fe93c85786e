"""A drawing taken apart: what is drawn as a table of marks, and how as JSON; `redraw.py` puts the two together again."""

import json
from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go
import polars as pl

STAYS = ("colorscale", "meta", "uid")  # lists that are no marks, and what only a page needs


def taken_apart(plot: go.Figure) -> tuple[str, str]:
    """The style as JSON, and the marks as CSV: a row for each mark, and each cell JSON, so that it comes back as it was."""
    spec = json.loads(plot.to_json())
    spec["layout"].pop("meta", None)
    rows: list[dict[str, Any]] = []
    for number, trace in enumerate(spec["data"]):
        for name in ("meta", "uid"):
            trace.pop(name, None)
        columns = dict(arrays(trace, ""))
        for path in columns:
            remove(trace, path.split("."))
        trace["columns"] = list(columns)
        for place in range(max(map(len, columns.values()), default=0)):
            cells = {path: json.dumps(values[place], ensure_ascii=False) for path, values in columns.items() if place < len(values)}
            rows.append({"trace": str(number), **cells})
    paths = list(dict.fromkeys(path for trace in spec["data"] for path in trace["columns"]))
    marks = pl.DataFrame(rows, schema=dict.fromkeys(["trace", *paths], pl.String))
    return json.dumps(spec, ensure_ascii=False), marks.write_csv()


def arrays(part: dict[str, Any], prefix: str) -> Iterator[tuple[str, list[Any]]]:
    """Every list within, by the names that lead to it."""
    for name, value in part.items():
        if isinstance(value, dict):
            yield from arrays(value, f"{prefix}{name}.")
        elif isinstance(value, list) and name not in STAYS:
            yield f"{prefix}{name}", value


def remove(part: dict[str, Any], path: list[str]) -> None:
    for step in path[:-1]:
        part = part[step]
    del part[path[-1]]
