"""The one way from a page to the database and to the runs: read, briefly, and remember until something changes."""

import json
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, overload

import streamlit as st

from dashboard.queries import Selection
from dashboard.queries.curves import LIVE
from dashboard.state.messages import _, ours, reported
from engine.errors import DataError, PrefscopeError, StoreError
from engine.plain import line
from engine.settings.config import RunConfig
from engine.settings.files import Outline
from engine.settings.slices import Slice
from engine.statistics.comparison import Comparison
from engine.store import database
from engine.store.rundir import RunDir, cache_path, run_dirs
from engine.store.seeing import seeing
from engine.store.status import ENDED, GOING_ON, STOPPED, Reason, State, Status

RUN_ID = re.compile(r"\d{8}-\d{6}-")  # how one begins
Result = TypeVar("Result")
Revision = tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """A run's folder together with one look at its status and configuration."""

    dir: RunDir
    status: Status
    outline: Outline
    barred: bool = False  # it waits for a run that has stopped, or is being cancelled: it will not start

    @property
    def id(self) -> str:
        return self.dir.id

    @property
    def name(self) -> str:
        return ours(line(self.outline.name))

    @property
    def kind(self) -> str:
        return self.outline.kind

    @property
    def ended(self) -> bool:
        return self.status.state in ENDED

    @property
    def state(self) -> str:
        """Where it is in its life, in a word: its state, that it was asked to stop, or that it will not start."""
        return _("cancelling …") if self.stopping else _("will not start") if self.barred else _(self.status.state)

    @property
    def stopping(self) -> bool:
        """Whether it is going on and was asked to stop."""
        return self.dir.stopping

    @property
    def to_come(self) -> bool:
        """Whether it is queued or going on, and nobody has cancelled it or what it waits for."""
        return not (self.ended or self.barred or self.stopping)

    @property
    def is_result(self) -> bool:
        """Whether it ended as it should: done, or a study's run that found out what memory it needs."""
        return self.status.state is State.DONE or (self.outline.study is not None and self.status.reason is Reason.DID_NOT_FIT)


def revision(cache: Path, drawn: Iterable[str] = ()) -> Revision:
    """A number that changes whenever the database does, or the curve of a run that is drawn."""
    path = database.database_path(cache)
    stat = path.stat() if path.is_file() else None
    curves = (RunDir(cache / "runs" / run).metrics_path for run in drawn)
    measured = sum(curve.stat().st_size for curve in curves if curve.is_file())
    return (stat.st_mtime_ns, stat.st_size, measured) if stat else (0, 0, measured)


@st.cache_data(max_entries=400, show_spinner=False)
def remembered(
    cache: str, revision: Revision, key: str, values: tuple[object, ...], named: dict[str, object], _query: Callable[..., Any]
) -> Any:
    with seeing(Path(cache), slice_of(*values, *named.values())) as con:
        if _query in LIVE:
            database.show_live(con, Path(cache), curves_of(*values, *named.values()))
        return _query(con, *values, **named)


def slice_of(*values: object) -> Slice | None:
    """The slice of what is looked at, when that is among the values."""
    return next((value.slice for value in values if isinstance(value, Comparison)), None)


def curves_of(*values: object) -> tuple[str, ...]:
    """The runs whose curves are drawn of what is looked at."""
    return next((value.reward_runs + value.policy_runs for value in values if isinstance(value, Selection)), ())


def read(query: Callable[..., Result], *values: object, key: str = "", **named: object) -> Result:
    """query(connection, *values, **named), remembered until the database changes, or a live curve where the query reads curves.

    The connection sees the rows of the slice alone when a value is a comparison with one.
    key: names the query when its function has no name that is its own. A busy or unreadable database stops the page with its sentence.
    """
    cache = cache_path()
    try:
        now = revision(cache, curves_of(*values, *named.values()) if query in LIVE else ())
        result = remembered(str(cache), now, own_name(query) or key, values, named, query)
    except StoreError as error:
        refuse(error)
        st.stop()
    return cast(Result, result)


def own_name(query: Callable[..., object]) -> str:
    """Module and name of a function that stands in a module, so that all who ask it share the answer; "" for one made in another."""
    name = getattr(query, "__qualname__", "<")
    return "" if "<" in name else f"{query.__module__}.{name}"


@dataclass(frozen=True)
class Second:
    """Another comparison, drawn in outline over the one that is looked at."""

    selection: Selection
    name: str  # of the scorer, or of the answers, in which it differs


def selection() -> Selection:
    """What the chips over the page show as selected."""
    return cast(Selection, st.session_state.get("selection", Selection()))


def second() -> Second | None:
    """What is seen beside it."""
    return cast(Second | None, st.session_state.get("second"))


def runs() -> list[Run]:
    """Every run that can be read, newest first."""
    found: list[Run] = []
    stopped = set[str]()  # and what waits for those: a run is younger than what it waits for
    for folder in run_dirs(cache_path()):
        try:
            status, outline = folder.status, folder.outline
        except PrefscopeError as error:
            refuse(error)
            continue
        barred = status.state is State.QUEUED and not stopped.isdisjoint(outline.parents)
        if barred or status.state in STOPPED or (status.state in GOING_ON and folder.stopping):
            stopped.add(folder.id)
        found.append(Run(folder, status, outline, barred))
    return found[::-1]


def theme() -> str:
    """The viewer's theme: light or dark."""
    return "dark" if st.context.theme.type == "dark" else "light"


def alive(runs: list[Run]) -> bool:
    """Whether one of the runs is queued or going on, so that the page must look again."""
    return any(not run.ended for run in runs)


def submit(config: RunConfig) -> str:
    """Queue one run. Returns its id."""
    from engine.queue import jobs

    return jobs.submit_one(cache_path(), config)


def preflight(config: RunConfig) -> dict[str, Any]:
    """What a run would need and what stands in its way: engine.planning.preflight.Preflight, and its facts in words."""
    from engine.queue import jobs

    found: dict[str, Any] = json.loads(jobs.engine_call(["preflight", config.model_dump_json()], cache_path()))
    return found


MAX_NAME_BYTES = 255  # of a file's name, on the file systems in use


def keep_upload(name: str, content: bytes) -> Path:
    """Put an uploaded file under cache/uploads, by the last part of its name; `=` would name a split.

    Raises DataError for a name that no file can have, and when the folder cannot be written.
    """
    file = name.replace("\\", "/").rsplit("/", 1)[-1].replace("=", "_")
    if file in ("", ".", "..") or "\0" in file or len(file.encode(errors="replace")) > MAX_NAME_BYTES:
        raise DataError(f"the uploaded file is called {name!r:.80}, expected a name of 1 to {MAX_NAME_BYTES} bytes: rename it")
    path = cache_path() / "uploads" / file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
    return path


def words(text: str) -> list[str]:
    """The words of a line as a shell divides them; the line as it is when its quotes do not match."""
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def refuse(error: PrefscopeError) -> None:
    """Show an error's sentences; nothing in them is taken for Markdown."""
    for sentence in str(error).splitlines() or [""]:
        st.error(literal(told(sentence)))


def told(sentence: str) -> str:
    """A sentence of the engine's as a page says it: in the viewer's language, and with the names of runs in place of their ids."""
    text = reported(sentence)
    for run in run_dirs(cache_path()) if RUN_ID.search(text) else ():
        name = line(run.outline.name)
        text = text.replace(f"{run.id} ({name})", run.id).replace(run.id, ours(name))
    return text


def why(status: Status) -> str:
    """Why a run ended so, as a page says it."""
    sentence = told(status.error or "")
    return _("{reason}: {sentence}").format(reason=_(status.reason), sentence=sentence) if status.reason and sentence else sentence


SPECIAL = str.maketrans({c: f"\\{c}" for c in r"\`*_{}[]<>#|$~&!"})
ALONE = re.compile(r":(?=\S)|@|(?<=www)\.|[<>~=-](?=[<>~=-])|(?<=[<>~=-])[<>~=-]|^[+-](?= |$)|^\d+(?=[.)](?: |$))", re.IGNORECASE)
"""What Streamlit would make links, emoji, icons, arrows or lists of although it is escaped, because it looks again at the parsed text."""


@overload
def literal(text: str) -> str: ...


@overload
def literal(text: None) -> None: ...


def literal(text: str | None) -> str | None:
    """The text, on one line, for a place that reads Markdown (every label, caption, alert, tooltip), so that it appears as it was written.

    Special characters are escaped; a piece of ALONE is put into a `:color[…]` without a colour, which is a plain <span>: cut off from
    what stands around it, it is no link any more.
    """
    if text is None:
        return None
    plain, end = line(text), 0
    parts: list[str] = []
    for found in ALONE.finditer(plain):
        parts += [plain[end : found.start()].translate(SPECIAL), f":color[{found[0].translate(SPECIAL)}]"]
        end = found.end()
    return "".join([*parts, plain[end:].translate(SPECIAL)])
