"""A figure on a page: its number and title, the drawing in which marks can be selected, what it shows in words, and its numbers."""

import html
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl
import streamlit as st

from dashboard import figures
from dashboard.figures import clouds, dots, registry
from dashboard.parts import export_menu
from dashboard.parts import slices as slice_parts
from dashboard.queries import Selection
from dashboard.report.captions import computed
from dashboard.report.files import Shown
from dashboard.state import data, slices
from dashboard.state.messages import _

TITLE = (
    '<h{level} style="font-size:1rem;font-weight:700;line-height:1.45;margin:0;padding:0">'
    '<span style="font-weight:400;opacity:.72">{number}</span> {title}</h{level}>'
)
THUMBNAIL_PIXELS, NARROWEST = 190, 200  # height and least width of a thumbnail
OURS = ["zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "toImage"]  # tools that stand over the drawing
CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": OURS, "showSendToCloud": False}


def show(figure: figures.Figure, selection: Selection, second: data.Second | None = None, level: int = 3) -> None:
    """A figure as the report prints it; while there is nothing to draw, how to get it.

    Along what its own marks stand for it shows all rows, those that are not looked at faint; the slice applies to the rest.
    second: another comparison, drawn in outline over the first. level: of its title among the page's headings: 2 where no section is above.
    """
    rows, plot, below, own = drawn(figure, selection)
    if plot is not None and second is not None:
        below = "\u00a0· ".join(filter(None, (below, laid_over(plot, figure, selection, second))))
    with st.container(gap="xsmall", key=f"figure_box_{figure.name}"):
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
            heading(figure.label, _(figure.title), level)
            hint = "" if plot is None else acting(plot, figure)
            if plot is not None:
                how_computed(figure, rows)
                with st.container(width="content"):  # a fragment alone would take half of the line
                    export_menu.menu(Shown(figure, plot, rows, below), selection)
        if plot is None:
            st.caption(data.literal(below))
            return
        key = f"figure_{figure.name}_{hash((selection.slice, own))}"
        acts: dict[str, Any] = (
            {"on_select": partial(act, key, figure, selection, plot), "selection_mode": ("points", "box")} if hint else {}
        )
        st.plotly_chart(plot, theme=None, key=key, alt=f"{_(figure.title)} {below}", config=CONFIG, **acts)
        st.caption(data.literal(f"{below}\u00a0· {hint}" if hint else below))


def laid_over(plot: registry.Plot, figure: figures.Figure, selection: Selection, second: data.Second) -> str:
    """Draw a second comparison in outline over a figure; what its caption says of that, nothing where it does not differ."""
    judges = "trained_scorer" in figure.models and second.selection.trained_scorer != selection.trained_scorer
    if judges and figure.own_unit == "rewards":
        return _("without {name}: rewards of two reward models have no unit in common").format(name=second.name)
    other = drawn(figure, replace(second.selection, bin_width=registry.bin_width(plot)))[1]
    if other is None or not registry.outlined(plot, other):
        return ""
    said = _("in outline: {name}, in its own unit") if judges and figure.own_unit else _("in outline: {name}")
    return said.format(name=second.name)


def heading(number: str, title: str, level: int = 3) -> None:
    """Number and title above a figure or a table. level: its place among the page's headings."""
    st.html(TITLE.format(level=html.escape(str(level)), number=html.escape(number), title=html.escape(title)))


def acting(plot: registry.Plot, figure: figures.Figure) -> str:
    """Let bars and points of a map be selected by dragging, dots by a click; says how, nothing without marks that stand for rows."""
    marked = [trace for trace in plot.data if registry.marks_of(trace)]
    if not marked:
        return ""
    bars = any(trace.type == "bar" and trace.orientation != "h" for trace in marked)
    if not bars and not any("pair_id" in mark for mark in registry.marks(plot)):
        plot.update_layout(dragmode="pan", selectdirection="any", clickmode="event+select")
        plot.update_xaxes(fixedrange=True)
        plot.update_yaxes(fixedrange=True)
        return _("Click to select.")
    plot.update_layout(dragmode="select" if figure.size == "small" else dragging(figure.name))
    plot.update_layout(selectdirection="h" if bars else "any", uirevision=figure.name)  # what was zoomed into stays while it is selected in
    plot.update_yaxes(fixedrange=bars)  # counts begin at 0, also of a part
    return _("Drag to select.") if plot.layout.dragmode == "select" else _("Drag to zoom, double-click for all.")


def dragging(name: str) -> str:
    """A small switch: what dragging in a figure does."""
    modes = {"select": _("Select"), "zoom": _("Zoom")}
    with st.container(width="content", key=f"drag_{name}"):
        return st.segmented_control(
            _("Dragging"), list(modes), default="select", required=True, format_func=modes.__getitem__, key=f"dragging_{name}",
            label_visibility="collapsed",
        )  # fmt: skip


def drawn(figure: figures.Figure, selection: Selection) -> tuple[pl.DataFrame, registry.Plot | None, str, tuple[Any, ...]]:
    """The rows of a figure, its drawing, what stands below it, and the predicates about its own marks.

    Without a drawing, None, what stands there is how to get one.
    """
    seen = registry.seen_by(figure, selection)
    rows = data.read(figure.query, seen, key=figure.name)
    whole = rows if seen.slice is None or not rows.is_empty() else data.read(figure.query, replace(seen, slice=None), key=figure.name)
    if whole.is_empty():
        return rows, None, _(figure.empty), ()
    scorer = selection.base_scorer if figure.scorer == "untrained" else selection.trained_scorer
    plot, below = registry.on_screen(figure, whole, data.theme())
    own = slices.own(selection.slice, registry.marks(plot), seen, scorer)
    if own:
        rest = slices.without(seen.slice, [slices.subject(p) for p in own])
        wider = data.read(figure.query, replace(seen, slice=rest), key=figure.name)
        if wider.is_empty():
            return rows, None, slice_parts.nothing(selection), ()
        plot, below = registry.on_screen(figure, wider, data.theme())
        registry.faded(plot, lambda mark: slices.holds(mark, own))
    elif rows.is_empty():
        return rows, None, slice_parts.nothing(selection), ()
    if said := registry.left_out(figure, selection):
        below = f"{below}\u00a0· {said}"
    return rows, plot, below, own


def act(key: str, figure: figures.Figure, selection: Selection, plot: registry.Plot) -> None:
    """What was selected in a figure becomes a predicate of the slice."""
    event = st.session_state.get(key)
    points = event["selection"]["points"] if event else []
    picked = [
        registry.marks_of(plot.data[p["curve_number"]])[p["point_index"]] for p in points if registry.marks_of(plot.data[p["curve_number"]])
    ]
    scorer = selection.base_scorer if figure.scorer == "untrained" else selection.trained_scorer
    slices.add(selection, slices.chosen(picked, registry.marks(plot), selection, scorer))


def how_computed(figure: figures.Figure, rows: pl.DataFrame) -> None:
    """What each statistic of a figure means and how its interval was made, for whoever asks."""
    if methods := computed(rows):
        with st.popover(_("How computed"), icon=":material/info:", type="tertiary", key=f"how_{figure.name}"):
            for sentence in methods:
                st.caption(data.literal(sentence))


def side_by_side(
    names: Sequence[str], selection: Selection, second: data.Second | None = None, min_width: int = 430, level: int = 3
) -> None:
    """Figures by name in columns where there is room."""
    with st.grid(len(names), min_column_width=min_width, gap="medium"):
        for name in names:
            with st.container():
                show(figures.find(name), selection, second, level)


def thumbnail(figure: figures.Figure, selection: Selection, beside: str = "") -> None:
    """A figure small and without words, beside a sentence, named by `beside`, that says what it shows."""
    _rows, plot, _below, _own = drawn(figure, selection)
    if plot is None:
        return
    plot.update_layout(height=min(plot.layout.height or THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), showlegend=False, margin={"t": 16, "b": 4})
    plot.update_yaxes(title_text=None).update_xaxes(title_text=None)
    clouds.fitted(dots.small(plot), NARROWEST, THUMBNAIL_PIXELS - 20)
    still = {"staticPlot": True, "displayModeBar": False}
    st.plotly_chart(plot, theme=None, key=f"small_{figure.name}_{beside}", alt=_(figure.title), config=still)
