"""The import forms: a file or a name goes in, a short engine process imports it, and what it printed is shown."""

import shlex

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard.state import data
from dashboard.state.messages import _
from engine.data import formats
from engine.errors import PrefscopeError
from engine.queue import jobs
from engine.store.rundir import cache_path


def import_data() -> None:
    """Preference pairs: an uploaded file, or paths or a Hugging Face name."""
    st.write(_("JSON, JSONL, CSV, Parquet or Arrow, also compressed with gzip. Every record that is not kept is counted with its reason."))
    several = _("Several splits: train=a.jsonl validation=b.jsonl. Put a path with blanks into quotes.")
    columns = _("For instance question=my_column chosen=good rejected=bad, or label=safer; see the formats' page of the manual.")
    with st.form("import_data"):
        file = st.file_uploader(_("File"), key="data_file")
        source = st.text_input(_("or a path, folder or Hugging Face name"), key="data_source", help=data.literal(several))
        name = st.text_input(_("Name"), key="data_name", help=_("What pages and reports call this dataset."))
        kind = st.selectbox(_("Format"), list(formats.FORMATS), None, placeholder=_("detect"), key="data_format")
        options = st.text_input(_("Options of the format"), key="data_options", help=data.literal(columns))
        strict = st.checkbox(_("Refuse everything at the first bad record"), key="data_strict")
        sent = st.form_submit_button(_("Import"), type="primary")
    if sent and (places := chosen(file, source)):
        named = [*given("--name", name), *given("--format", kind), *(["--strict"] if strict else [])]
        call(["import", *named, *(f"--option={option}" for option in words(options)), "--", *places])


def import_results() -> None:
    """Answers and rewards computed elsewhere."""
    st.write(
        _("Answers and rewards that were computed elsewhere, on a cluster for instance: they get all the pages without training here.")
    )
    with st.form("import_results"):
        file = st.file_uploader(_("File"), key="results_file")
        source = st.text_input(_("or a path"), key="results_source")
        generator = st.text_input(
            _("Generator"), key="results_generator", help=_("Who wrote the answers; named after the file when empty.")
        )
        scorer = st.text_input(_("Scorer"), key="results_scorer", help=_("Who gave the rewards; named after the field when empty."))
        sent = st.form_submit_button(_("Import"), type="primary")
    if sent and (places := chosen(file, source)):
        call(["results", *given("--generator", generator), *given("--scorer", scorer), "--", "import", *places])


def given(option: str, value: str | None) -> list[str]:
    return [f"{option}={value}"] if value else []


def words(text: str) -> list[str]:
    """The words of a line as a shell divides them; the line as it is when its quotes do not match."""
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def chosen(file: UploadedFile | None, source: str) -> list[str]:
    """Where the uploaded file was put, or the sources that were typed."""
    if file is not None:
        try:
            return [str(data.keep_upload(file.name, file.getvalue()))]
        except PrefscopeError as error:
            data.refuse(error)
            return []
    if not source.strip():
        st.error(_("Choose a file or name a source first."))
    return words(source)


def call(arguments: list[str]) -> None:
    """Run the engine; what it printed is shown when the page is drawn again with the new entries, an error at once."""
    with st.spinner(_("Importing")):
        try:
            st.session_state["imported"] = jobs.engine_call(arguments, cache_path())
        except PrefscopeError as error:
            data.refuse(error)
            return
    st.rerun()


def say_imported() -> None:
    """What the last import printed, once."""
    if printed := st.session_state.pop("imported", None):
        st.success(_("Imported. It can be picked in the sidebar."))
        st.code(printed, language=None, wrap_lines=True)
