"""Choose figures and tables, say what they show, and take the report away."""

from dataclasses import replace

import streamlit as st

from dashboard.parts import report_page, widgets
from dashboard.report.content import Request
from dashboard.state.messages import _

selection = widgets.heading(_("Report"))
st.write(_("A document with the figures and tables chosen here, and all that it was made from: pictures, data, captions, settings, LaTeX."))
parts = report_page.chosen_parts()
style, formats = report_page.style_and_formats()
asked = Request(selection, parts, formats, style, findings=report_page.with_findings())
with st.expander(_("Captions"), key="report_captions", on_change="rerun") as opened:
    if opened.open:
        report_page.captions(asked)
request = replace(asked, captions=report_page.edited_captions(asked))
report_page.make_and_take(request)
report_page.in_a_shell(request, st.session_state["report_preset"])
st.header(_("Figures and tables"), anchor=False)
report_page.gallery(selection, parts)
