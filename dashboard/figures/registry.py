"""The lists of figures and tables, and the one call that page and export share."""

import html
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal

import plotly.graph_objects as go
import polars as pl

from dashboard.figures.theme import caption, dressed, escaped, say, undressed
from dashboard.queries import Selection
from dashboard.state.messages import _, language, marked
from engine.store.database import Connection

Query = Callable[[Connection, Selection], pl.DataFrame]
Plot = go.Figure
Draw = Callable[[pl.DataFrame], go.Figure]
Size = Literal["large", "medium", "small", "strip"]
HEIGHTS: dict[Size, int] = {"large": 280, "medium": 300, "small": 260, "strip": 150}  # pixels of the drawing on a page
Role = Literal["trained_scorer", "base_scorer", "base_generator", "tuned_generator"]  # of a selection's models
Unit = Literal["rewards", "differences"]  # rewards of two models have no axis in common; differences begin at 0 under each
SCORERS: tuple[Role, ...] = ("trained_scorer", "base_scorer")
POLICIES: tuple[Role, ...] = ("base_generator", "tuned_generator")
JUDGED: tuple[Role, ...] = (*POLICIES, "trained_scorer")
LEFT_OUT = marked("conditions on rewards are left out: they would decide who is right")
FADED = 0.32  # opacity of what is not looked at, of its own


@dataclass(frozen=True, kw_only=True)
class About:
    """What is said of a figure above the function that draws it."""

    number: str = ""  # on the pages; empty for a figure beside the numbered ones
    name: str
    title: str
    page: str  # overview | data | training | reward_model | length_bias | dpo_vs_base
    query: Query
    empty: str  # what to do when there is nothing to draw
    size: Size = "medium"  # large: whole width, the one figure of a page that carries its answer
    scorer: Literal["trained", "untrained"] = "trained"  # whose rewards its marks stand for
    outcome: bool = False  # whether it shows who is right, which conditions on rewards would decide: it is drawn without them
    models: tuple[Role, ...] = ()  # whose numbers it shows
    own_unit: Unit | None = None  # what it has of a reward model's own unit


@dataclass(frozen=True, kw_only=True)
class Figure(About):
    """One query and the function that draws its result."""

    draw: Draw

    @property
    def label(self) -> str:
        """Its number on the pages, nothing where it has none."""
        return self.called(self.number) if self.number else ""

    def called(self, number: str | int) -> str:
        return _("Figure {number}").format(number=number)


@dataclass(frozen=True)
class Table:
    """One query whose result is shown as it is."""

    number: str
    name: str
    title: str
    page: str
    query: Query
    empty: str
    models: tuple[Role, ...] = ()  # whose numbers it shows
    outcome: bool = False  # as of a figure

    @property
    def label(self) -> str:
        return self.called(self.number)

    def called(self, number: str | int) -> str:
        return _("Table {number}").format(number=number)


FIGURES: list[Figure] = []
TABLES: list[Table] = []


def numbered(parts: Iterable[Figure | Table]) -> dict[str, str]:
    """What the parts of a text are called, by name: its figures and its tables are each counted from 1 in their order."""
    counts: Counter[type] = Counter()
    called: dict[str, str] = {}
    for part in parts:
        counts[type(part)] += 1
        called[part.name] = part.called(counts[type(part)])
    return called


def seen_by(made: Figure | Table, selection: Selection) -> Selection:
    """What a figure or table is made of: one of who is right of the slice without what it says about rewards."""
    return selection.undecided if made.outcome else selection


def left_out(made: Figure | Table, selection: Selection) -> str:
    """What is said below one that is not of all conditions of the slice; nothing below another."""
    return _(LEFT_OUT) if seen_by(made, selection) != selection else ""


class figure(About):  # noqa: N801 (a decorator, whose arguments mypy checks)
    """Register the function below it as the drawing of a figure."""

    def __call__(self, draw: Draw) -> Draw:
        FIGURES.append(Figure(**vars(self), draw=draw))
        return draw


def drawn(chosen: Figure, frame: pl.DataFrame, theme_name: str = "light", remark: str = "") -> go.Figure:
    """The figure of a frame that was queried before; axes and one sentence when the frame is empty. remark: added to its caption."""
    plot = say(_(chosen.empty)) if frame.is_empty() else chosen.draw(frame)
    return dressed(caption(plot, plot.layout.title.subtitle.text, escaped(remark)), _(chosen.title), theme_name)


def render(chosen: Figure, con: Connection, selection: Selection, theme_name: str = "light") -> go.Figure:
    """Query, draw and dress a figure: what the page shows and what the report prints."""
    return drawn(chosen, chosen.query(con, selection), theme_name)


def on_screen(chosen: Figure, frame: pl.DataFrame, theme_name: str) -> tuple[go.Figure, str]:
    """The drawing without its title, which stands above it on a page, and what stands below it in plain text.

    A figure of its own that is made of what was drawn of the same rows: Plotly checked that, which is most of the work, and does not again.
    """
    drawing, below = drawn_once(Asked(chosen, theme_name, language(), blake2b(pickle.dumps(frame)).digest(), frame))
    return go.Figure(drawing, _validate=False), below


@dataclass(frozen=True)
class Asked:
    """A figure of certain rows, for a viewer."""

    figure: Figure
    theme: str
    language: str
    content: bytes  # hash of the rows
    rows: pl.DataFrame = field(compare=False)


@lru_cache(maxsize=200)
def drawn_once(asked: Asked) -> tuple[dict[str, Any], str]:
    plot = asked.figure.draw(asked.rows)
    below = html.unescape((plot.layout.title.subtitle.text or "").replace("<br>", " "))
    return undressed(plot, asked.theme, HEIGHTS[asked.figure.size]), below


Mark = Mapping[str, Any]  # {field: [low, high]} or {field: value}, fields of engine.settings.slices


def stands_for(trace: Any, marks: Iterable[Mark]) -> None:
    """Say of each bar, dot or box of a trace which rows it stands for, so that selecting it selects them."""
    trace.meta = {"marks": [dict(mark) for mark in marks]}


def marks_of(trace: Any) -> list[Mark]:
    return list(trace.meta["marks"]) if isinstance(trace.meta, dict) and "marks" in trace.meta else []


def marks(plot: go.Figure) -> list[Mark]:
    return [mark for trace in plot.data for mark in marks_of(trace)]


def faded(plot: go.Figure, looked_at: Callable[[Mark], bool]) -> go.Figure:
    """Marks that do not stand for what is looked at are drawn faint, not left out."""
    for trace in plot.data:
        if (named := marks_of(trace)) and trace.marker is not None:
            full = 1.0 if trace.marker.opacity is None else trace.marker.opacity
            trace.marker.opacity = [full if looked_at(mark) else full * FADED for mark in named]
    return plot


def outlined(plot: go.Figure, second: go.Figure) -> bool:
    """Draw the same figure of a second comparison over the first: bars as outlines in the text's colour, dots hollow, lines dotted.

    Returns whether anything differs.
    What has a name on an axis stands where the first figure has that name. Stacked bars would stand on those of the first: left out.
    """
    kinds = ("scatter", "scattergl") if plot.layout.barmode == "stack" else ("bar", "scatter", "scattergl")
    shown, new = [places(trace) for trace in plot.data], False
    for trace in second.data:
        for axis in ("x", "y"):
            moved(trace, axis, plot.layout[f"{axis}axis"], second.layout[f"{axis}axis"])
        if trace.type not in kinds or places(trace) in shown:
            continue
        trace.update(showlegend=False, legendgroup=None, meta=None)
        if trace.type == "bar":
            outline = {"width": 2, "color": plot.layout.template.layout.font.color}
            trace.update(marker={"color": "rgba(0,0,0,0)", "opacity": 1, "pattern": None, "line": outline})
        else:
            trace.update(opacity=0.9, marker={"symbol": "diamond-open"}, line={"dash": "dot"})
        plot.add_trace(trace)
        new = True
    ends = plot.layout.yaxis.range, second.layout.yaxis.range
    if all(ends) and any(columns(plot)):
        plot.update_yaxes(range=[0, max(ends[0][1], ends[1][1])])  # room above the higher bars for what is written there
    return new


def columns(plot: go.Figure) -> list[go.Bar]:
    """The bars that stand upright."""
    return [trace for trace in plot.data if trace.type == "bar" and trace.orientation != "h"]


def bin_width(plot: go.Figure) -> float | None:
    """Of the bars of a histogram, a round number; None of another figure."""
    ends = next((trace.customdata[0] for trace in columns(plot) if trace.customdata is not None), None)
    return None if ends is None else float(f"{ends[1] - ends[0]:.6g}")


def places(trace: Any) -> tuple[Any, ...]:
    """Where the marks of a trace stand."""
    return trace.type, *(list(trace[axis]) if axis in trace and trace[axis] is not None else [] for axis in ("x", "y"))


def moved(trace: Any, axis: str, to: Any, of: Any) -> None:
    """Move marks from where their axis has their names to where the other axis has them; both have the same ones, in any order."""
    there, here = ({text.split("<br>")[0]: value for text, value in zip(a.ticktext or (), a.tickvals or (), strict=True)} for a in (to, of))
    if there == here or there.keys() != here.keys() or len(here) < len(of.ticktext) or trace[axis] is None:
        return
    nearest = [min(here, key=lambda name: abs(here[name] - value)) for value in trace[axis]]
    trace[axis] = [value + there[name] - here[name] for value, name in zip(trace[axis], nearest, strict=True)]
