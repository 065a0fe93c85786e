"""A figure on a page: its number and title, the drawing in which marks can be selected, what it shows in words, and its numbers."""

import html
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl
import streamlit as st

from dashboard import figures
from dashboard.figures import registry
from dashboard.queries import Selection
from dashboard.report.tabular import csv_text
from dashboard.state import data, slices
from dashboard.state.messages import _
from engine.statistics.estimate import ESTIMATE, Estimate
from engine.statistics.registry import STATISTICS

TITLE = (
    '<h3 style="font-size:1rem;font-weight:700;line-height:1.45;margin:0;padding:0">'
    '<span style="font-weight:400;opacity:.72">{number}</span> {title}</h3>'
)
CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "autoScale2d", "toImage"], "showSendToCloud": False}


def show(figure: figures.Figure, selection: Selection, second: Selection | None = None) -> None:
    """A figure as the report prints it; while there is nothing to draw, how to get it.

    Along what its own marks stand for it shows all rows, those that are not looked at faint; the slice applies to the rest.
    second: another comparison, drawn in outline over the first.
    """
    rows, plot, below, own = drawn(figure, selection)
    with st.container(gap="xsmall", key=f"figure_box_{figure.name}"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.html(TITLE.format(number=html.escape(figure.label if figure.number else ""), title=html.escape(_(figure.title))))
            if not rows.is_empty():
                tools(figure, rows)
        if plot is None:
            st.caption(data.literal(_(figure.empty)))
            return
        if second is not None:
            other = drawn(figure, second)[1]
            plot = registry.outlined(plot, other) if other is not None else plot
        marked = bool(registry.marks(plot))
        key = f"figure_{figure.name}_{hash((selection.slice, own))}"
        acts: dict[str, Any] = (
            {"on_select": partial(act, key, figure, selection, plot), "selection_mode": ("points", "box")} if marked else {}
        )
        if marked:
            plot.update_layout(dragmode="select", selectdirection="h", clickmode="event+select")
        st.plotly_chart(plot, theme=None, key=key, alt=f"{_(figure.title)} {below}", config=CONFIG, **acts)
        hint = _("Drag or click to select.") if marked else ""
        st.caption(data.literal(f"{below}\u00a0· {hint}" if hint else below))


def drawn(figure: figures.Figure, selection: Selection) -> tuple[pl.DataFrame, registry.Plot | None, str, tuple[Any, ...]]:
    """The rows of a figure, its drawing (None where there is nothing), its caption, and the predicates about its own marks."""
    rows = data.read(figure.query, selection, key=figure.name)
    if rows.is_empty() and selection.slice is None:
        return rows, None, "", ()
    scorer = selection.base_scorer if figure.scorer == "untrained" else selection.trained_scorer
    whole = rows if not rows.is_empty() else data.read(figure.query, replace(selection, slice=None), key=figure.name)
    if whole.is_empty():
        return rows, None, "", ()
    plot, below = registry.on_screen(figure, whole, data.theme())
    own = slices.own(selection.slice, registry.marks(plot), selection, scorer)
    if own:
        rest = slices.without(selection.slice, [slices.subject(p) for p in own])
        wider = data.read(figure.query, replace(selection, slice=rest), key=figure.name)
        plot, below = registry.on_screen(figure, wider, data.theme())
        registry.faded(plot, lambda mark: slices.holds(mark, own))
    elif rows.is_empty():
        return rows, None, "", ()
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


def tools(figure: figures.Figure, rows: pl.DataFrame) -> None:
    """The figure's numbers as CSV, and how they were computed."""
    with st.container(horizontal=True, width="content", gap="xsmall"):
        if methods := computed(rows):
            with st.popover(_("How computed"), type="tertiary", key=f"how_{figure.name}"):
                for sentence in methods:
                    st.caption(data.literal(sentence))
        st.download_button(
            _("CSV"), lambda: csv_text(rows), f"{figure.name}.csv", "text/csv", key=f"csv_{figure.name}", on_click="ignore", type="tertiary"
        )


def computed(rows: pl.DataFrame) -> list[str]:
    """What each statistic of a figure means and how its interval was made."""
    found: dict[str, None] = {}
    for name in rows.columns:
        if rows[name].dtype == ESTIMATE and (cells := rows[name].drop_nulls()).len():
            methods = dict.fromkeys(_(Estimate(**cell).method) for cell in cells)
            about = STATISTICS.get(name)
            label = f"{_(about.label)}: {_(about.help)} " if about else ""
            found[label + _("95 % interval: {methods}.").format(methods=", ".join(methods))] = None
    return list(found)


def side_by_side(names: Iterable[str], selection: Selection, second: Selection | None = None, min_width: int = 430) -> None:
    """Figures by name in columns where there is room."""
    with st.grid(min_column_width=min_width, gap="medium"):
        for name in names:
            with st.container():
                show(figures.find(name), selection, second)
