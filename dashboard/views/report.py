"""Choose figures and tables and take them away as files."""

import streamlit as st

from dashboard import figures
from dashboard.parts import widgets
from dashboard.report import export
from dashboard.state import data
from dashboard.state.messages import _
from engine.store.rundir import cache_path

NAMES = {"svg": "SVG", "pdf": "PDF", "png": "PNG", "html": "HTML", "json": "JSON", "csv": "CSV", "tex": "LaTeX"}

selection = widgets.heading(_("Report"))
st.write(_("What is printed is what the pages show: the same figures of the same selection, in the theme chosen here."))
labels = {f.name: f"{f.label}: {f.title}" for f in figures.FIGURES} | {t.name: f"Table {t.number}: {t.title}" for t in figures.TABLES}
everything = st.checkbox(_("All figures and tables"), True, key="report_everything")
chosen = list(labels) if everything else st.multiselect(_("Figures and tables"), list(labels), [], labels.__getitem__, key="report_parts")
offered = export.formats_here()
usual = [f for f in ("svg", "html", "csv") if f in offered]
named = NAMES.__getitem__
formats = st.pills(_("Formats"), offered, selection_mode="multi", default=usual, format_func=named, key="report_formats", wrap=True)
theme = st.segmented_control(_("Theme"), export.THEMES, default="print", format_func=str.capitalize, required=True, key="report_theme")
if sentence := export.missing():
    st.info(data.literal(sentence))
request = export.Request(selection, tuple(chosen), tuple(formats or ()), theme or "print")
st.caption(_("Making the files takes about half a second for each figure and picture format."))
st.download_button(
    _("Download the report (zip)"),
    lambda: export.zipped(cache_path(), request),
    "prefscope-report.zip",
    "application/zip",
    type="primary",
    on_click="ignore",
    disabled=not (chosen and formats),
)
