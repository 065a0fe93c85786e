"""The page Report: a gallery to tick, captions to edit, the document's pages to look at, and the zip."""

import threading
from collections.abc import Callable

import polars as pl
import streamlit as st
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx

from dashboard import figures
from dashboard.parts import figure as figure_part
from dashboard.queries import Selection
from dashboard.report import content, export, pictures
from dashboard.report.style import LOOKS, WIDTHS_NAMED, Style
from dashboard.report.written import written
from dashboard.state import data
from dashboard.state.messages import _, counted, in_sentences, language, marked, of
from engine.errors import PrefscopeError
from engine.plain import shell_words
from engine.store.opening import let_go
from engine.store.rundir import cache_path

NAMES = {"pdf": "PDF", "svg": "SVG", "png": "PNG", "html": "HTML", "tex": "LaTeX", "csv": "CSV", "json": "JSON + redraw.py"}
FIRST_ROWS, ROW_PIXELS, CELL_PIXELS = 4, 28, 96  # of a table in the gallery
GONE = ("report_pages", "report_zip")  # what was made, and for which request


def chosen_parts() -> tuple[str, ...]:
    """The ticked figures and tables, in the order of the preset."""
    name = st.segmented_control(
        _("Start from"), list(content.PRESETS), default="assignment", format_func=of(PRESET_NAMES), required=True,
        key="report_preset", on_change=ticked_anew, persist_state="session",
    )  # fmt: skip
    st.caption(data.literal(_(content.PRESETS[name])))
    order = list(dict.fromkeys([*content.preset(name), *content.preset("everything")]))
    wanted = set(content.preset(name))
    return tuple(part for part in order if st.session_state.get(f"report_tick_{part}", part in wanted))


PRESET_NAMES = {"assignment": marked("Alignment assignment"), "overview": marked("Overview"), "everything": marked("Everything")}


def ticked_anew() -> None:
    """Another preset ticks its own parts."""
    wanted = content.preset(st.session_state["report_preset"])
    for part in content.registered():
        st.session_state[f"report_tick_{part}"] = part in wanted


def gallery(selection: Selection, wanted: tuple[str, ...]) -> None:
    """A small picture of every figure, the ticked ones first, each with its tick and number in the report; an empty one is left out."""
    known, present = content.registered(), list[figures.Figure | figures.Table]()
    with st.grid(min_column_width=240, gap="medium"):
        for name in dict.fromkeys([*wanted, *known]):
            part = known[name]
            rows = data.read(part.query, figures.seen_by(part, selection), key=name) if name in wanted else None
            if rows is not None and not rows.is_empty():
                present.append(part)
            with st.container(border=True):
                st.session_state.setdefault(f"report_tick_{name}", name in wanted)  # a preset sets it too
                label = titled(part, figures.numbered(present))
                st.checkbox(data.literal(label), key=f"report_tick_{name}", persist_state="session")
                if rows is None:
                    continue
                if rows.is_empty():
                    st.caption(data.literal(in_sentences((_("Nothing to show yet: it is left out."), _(part.empty)))))
                elif isinstance(part, figures.Figure):
                    figure_part.thumbnail(part, selection)
                else:
                    beginning(name, rows)


def beginning(name: str, rows: pl.DataFrame) -> None:
    """The first rows of a table as the report prints them, small."""
    table = written(rows)
    shown = pl.DataFrame(table.rows[:FIRST_ROWS], schema=table.head, orient="row")
    narrow = {heading: st.column_config.TextColumn(width=CELL_PIXELS) for heading in table.head}
    st.dataframe(shown, hide_index=True, row_height=ROW_PIXELS, column_config=narrow, key=f"small_table_{name}")
    st.caption(data.literal(counted(len(table.rows), "rows")))


def titled(part: figures.Figure | figures.Table, labels: dict[str, str]) -> str:
    """Figure 2: Are chosen responses longer? Of what the report does not have, the title alone."""
    return _("{label}: {title}").format(label=labels[part.name], title=_(part.title)) if part.name in labels else _(part.title)


def edited(selection: Selection) -> dict[str, str]:
    """What was written into captions of these data in this language, by name."""
    kept: dict[object, dict[str, str]] = st.session_state.setdefault("report_edited", {})
    return kept.setdefault((selection, language()), {})


def captions(request: content.Request) -> None:
    """The captions of the ticked parts, to be changed; those that were are kept, also while their part is not ticked."""
    kept = edited(request.selection)
    said = data.read(content.captions_of, request.selection, request.parts, cache_path())
    known = content.registered()
    labels = figures.numbered(known[name] for name in said)
    for name, caption in said.items():
        text = st.text_area(
            data.literal(titled(known[name], labels)),
            kept.get(name, caption),
            key=f"report_caption_{name}_{hash(caption)}",  # of other data, or in another language, it says something else
            height="content",
            max_chars=2000,
        )
        if text and text != caption:
            kept[name] = text
        else:
            kept.pop(name, None)


def edited_captions(request: content.Request) -> dict[str, str]:
    """What was written into the captions of its parts."""
    return {name: text for name, text in edited(request.selection).items() if name in request.parts}


def style_and_formats() -> tuple[Style, tuple[str, ...]]:
    """How the figures look, and what is made of them."""
    with st.container(horizontal=True):
        look = st.segmented_control(
            _("Style"), list(LOOKS), default="sans", format_func=of(LOOKS), required=True, key="report_look", persist_state="session"
        )
        width = st.segmented_control(
            _("Width"), list(WIDTHS_NAMED), default="page", format_func=of(WIDTHS_NAMED), required=True, key="report_width",
            persist_state="session",
        )  # fmt: skip
    offered, usual = pictures.makeable(export.FORMATS), pictures.makeable(export.USUAL)
    forms = st.pills(
        _("Formats"), offered, selection_mode="multi", default=usual, format_func=NAMES.__getitem__, key="report_formats", wrap=True,
        persist_state="session",
    )  # fmt: skip
    if sentence := pictures.missing():
        st.info(data.literal(sentence))
    return Style(look, width), export.made_of(forms or ())


def with_findings() -> bool:
    """Whether the document says what was found."""
    return st.checkbox(_("Say what was found"), True, key="report_findings", persist_state="session")


def making(make: Callable[[pictures.Begun], object]) -> object | None:
    """Make something under a bar that names what is being made; a failure is its sentence."""
    let_go()
    bar, here = st.progress(0.0, _("Reading")), get_script_run_ctx()

    def begun(name: str, share: float) -> None:
        add_script_run_ctx(threading.current_thread(), here)  # pictures are made in a thread of their own, which must know this page
        bar.progress(share, data.literal(_("Making {name}").format(name=name)))

    try:
        return make(begun)
    except PrefscopeError as error:
        data.refuse(error)
        return None
    finally:
        bar.empty()


def make_and_take(request: content.Request) -> None:
    """Buttons for the document's pages and for the zip; what was made of another request is gone."""
    cache = cache_path()
    if st.session_state.get("report_of") != request:
        st.session_state["report_of"] = request
        for name in GONE:
            st.session_state.pop(name, None)
    with st.container(horizontal=True):
        make = st.button(_("Make the report"), type="primary", disabled=not (request.parts and request.formats), key="report_make")
        look = st.button(_("Look at its pages"), disabled=not (request.parts and pictures.can_draw()), key="report_look_at")
    if make:
        st.session_state["report_zip"] = making(lambda begun: export.zipped(cache, request, begun))
    if look:
        st.session_state["report_pages"] = making(lambda begun: export.preview(cache, request, begun))
    if made := st.session_state.get("report_zip"):
        st.download_button(
            _("Download the report (zip)"), made, "prefscope-report.zip", "application/zip", on_click="ignore", key="report_download"
        )
    for page in st.session_state.get("report_pages") or []:
        with st.container(border=True, width="content"):
            st.image(page, alt=_("A page of the report"), width=720)


def in_a_shell(request: content.Request, preset: str) -> None:
    """The command that writes this report with its captions as they are made, from the newest models."""
    st.caption(_("The same in a shell, of the newest finished models and with captions as they are made:"))
    st.code(f"./run.sh {shell_words(arguments(request, preset))}", language=None, wrap_lines=True)


def arguments(request: content.Request, preset: str) -> list[str]:
    """What the command line is given for a request; what it takes by itself is left out."""
    selection, style, usual = request.selection, request.style, Style()
    asked = ["report", "--out", "report"]
    if request.parts == content.preset(preset):
        asked += ["--preset", preset]
    else:
        asked += [word for name in request.parts for word in ("--part", name)]
    if set(request.formats) != set(pictures.makeable(export.USUAL)):
        asked += [word for form in request.formats for word in ("--format", form)]
    if selection.slice:
        asked += ["--slice", selection.slice.as_json()]
    else:
        asked += ["--dataset", selection.dataset_id or ""]
    asked += ["--split", selection.split] if selection.split else []
    asked += ["--language", language()] if language() != "en" else []
    asked += [] if request.findings else ["--no-findings"]
    asked += ["--look", style.look] if style.look != usual.look else []
    return [*asked, *(("--width", style.width) if style.width != usual.width else ())]
