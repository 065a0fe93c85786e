"""What several pages draw alike: a heading, a figure, a table, an estimate, a run."""

from collections.abc import Callable
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any, Literal

import polars as pl
import streamlit as st

from dashboard import figures, queries
from dashboard.figures import registry
from dashboard.figures.headings import in_our_words
from dashboard.parts import export_menu, verdict
from dashboard.parts import figure as figure_part
from dashboard.parts import slices as slice_parts
from dashboard.parts.columns import headed, readable, row_height
from dashboard.parts.run_settings import KINDS
from dashboard.queries import Selection
from dashboard.report.files import Tabled
from dashboard.state import data
from dashboard.state.data import Run
from dashboard.state.messages import _, duration, estimated, listed, marked, ours, reported, wording
from engine.errors import PrefscopeError
from engine.plain import line
from engine.queue import jobs, removal
from engine.queue.preset import load_preset
from engine.statistics.estimate import ESTIMATE, Estimate
from engine.statistics.wording import number
from engine.store.rundir import RunDir, cache_path
from engine.store.status import State

HERE = Path(__file__).parents[1]
STATE_COLOURS: dict[State, Literal["green", "blue", "red", "orange"]] = {
    State.DONE: "green",
    State.RUNNING: "blue",
    State.FINALISING: "blue",
    State.FAILED: "red",
    State.LOST: "orange",
}
STATES = {
    State.QUEUED: marked("It starts as soon as the runs before it are done and the device is free."),
    State.FINALISING: marked("Its results are being written into the database."),
    State.LOST: marked("Its process ended without a word: it was killed, or the computer was switched off."),
}
FLOW = (  # what stands in flow.svg
    marked("Preference pairs"), marked("chosen, rejected"), marked("Reward model"), marked("trained and untrained"), marked("Policy"),
    marked("DPO and its variants"), marked("Answers"), marked("base and tuned"), marked("Comparison"), marked("who wins, and why"),
)  # fmt: skip


def heading(title: str, needs_data: bool = True, page: str = "", question: str = "", most: int = 3) -> Selection:
    """The page's question and answer, and its first claims.

    Without a dataset it says how to begin, and stops there when the page needs one.
    """
    selection = data.selection()
    verdict.begin(page, question, title, most)
    if selection.dataset_id is None:
        welcome()
        if needs_data:
            st.stop()
    return selection


def welcome() -> None:
    """What this is and how to begin, when the cache is empty or has answers alone."""
    if names := data.read(queries.answered_by):
        st.header(_("Answers, but no pairs yet"), anchor=False)
        sentence = _(
            "Answers of {names} are here. They are compared on the prompts of a dataset: import preference pairs with these prompts."
        )
        st.info(data.literal(sentence.format(names=line(_(", ").join(names)))))
    else:
        st.header(_("Nothing here yet"), anchor=False)
    st.write(_("Train on preference data, compare trained with untrained, look at every answer, and take figures and tables for a report."))
    ink = {"light": "#1F2328", "dark": "#E8EAED"}[data.theme()]
    flow = _("Preference pairs train a reward model and a policy; base and tuned policy answer; the reward model scores both answers.")
    picture = (HERE / "flow.svg").read_text(encoding="utf-8").replace("currentColor", ink)
    for words in FLOW:
        picture = picture.replace(f">{words}<", f">{escape(_(words))}<")
    st.image(picture, alt=flow)
    with st.container(horizontal=True, vertical_alignment="center"):
        preset_button("starter", kind="primary", label=_("Try the demo"))
        if st.button(_("Import preference pairs"), key="welcome_import"):
            st.switch_page("views/data.py")
    st.caption(_("The demo trains a small reward model and a DPO policy on this computer, about a quarter of an hour without a GPU."))


def preset_button(name: str, kind: Literal["primary", "secondary"] = "secondary", label: str | None = None) -> None:
    """A button that submits every run of a preset; without a label of its own, it names the preset."""
    preset = load_preset(name)
    help = _("Runs: {runs}").format(runs=", ".join(preset.runs))
    named = label or _("Start: {title}").format(title=_(preset.title))
    if st.button(data.literal(named), key=f"preset_{name}_{kind}", type=kind, help=data.literal(help)):
        with st.spinner(data.literal(_("Importing the data and queueing {n} runs").format(n=len(preset.runs)))):
            jobs.submit_preset(cache_path(), preset)
        st.rerun()


def show_table(table: figures.Table, selection: Selection) -> None:
    """A table of the report; every cell is plain text."""
    rows = data.read(table.query, registry.seen_by(table, selection), key=table.name)
    st.subheader(data.literal(_(table.title)))
    if rows.is_empty():
        st.info(data.literal(_(table.empty)))
        return
    shown = readable(rows)
    st.dataframe(
        shown, hide_index=True, row_height=row_height(shown), column_config=headed(shown), placeholder="–", key=f"table_{table.name}"
    )
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(data.literal("\u00a0· ".join(filter(None, (table.label, registry.left_out(table, selection))))))
        exported(table, rows, selection)


def folded(table: figures.Table, selection: Selection) -> None:
    """The same under its title, made when it is unfolded."""
    with st.expander(
        data.literal(_("{label}: {title}").format(label=table.label, title=_(table.title))), key=f"fold_{table.name}", on_change="rerun"
    ) as opened:
        if opened.open:
            show_table(table, selection)


def show_estimates(table: figures.Table, selection: Selection) -> None:
    """A small table of the report whose cells are estimates, each written with its interval, beside the n they rest on."""
    rows = data.read(table.query, registry.seen_by(table, selection), key=table.name)
    figure_part.heading(table.label, _(table.title))
    if rows.is_empty():
        st.caption(data.literal(slice_parts.nothing(selection) if selection.slice else _(table.empty)))
        return
    names = [name for name in rows.columns if rows[name].dtype == ESTIMATE]
    sizes = rows.select(pl.coalesce(pl.col(name).struct.field("n") for name in names))
    shown = in_our_words(rows).with_columns(
        sizes.to_series().alias("n"),
        *(pl.Series(name, [estimated(Estimate(**cell)) if cell else None for cell in rows[name]], dtype=pl.String) for name in names),
    )
    st.dataframe(shown, hide_index=True, row_height=32, column_config=headed(shown), placeholder="–", key=f"table_{table.name}")
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right"):
        if below := registry.left_out(table, selection):
            st.caption(data.literal(below))
        exported(table, rows, selection)


def exported(table: figures.Table, rows: pl.DataFrame, selection: Selection) -> None:
    """The menu Export of a table, no wider than its word."""
    with st.container(width="content"):
        export_menu.menu(Tabled(table, rows, registry.left_out(table, selection)), selection)


def page_key(*asked: object) -> str:
    """A key for a list's page number that is another one when something else is asked for, so that a new search begins on page 1."""
    return f"page_{hash(asked)}"


def pages(total: int, rows: int, key: str) -> None:
    """Which `rows` of `total` a list shows, between buttons to the page before and the next one; the page, from 1, stands under `key`."""
    page = st.session_state.setdefault(key, 1)
    ends = {"first": (page - 1) * rows + 1, "last": min(page * rows, total), "total": total}
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        if total > rows:
            st.button("‹", key=f"{key}_before", help=_("The page before"), disabled=page == 1, on_click=turn, args=(key, page - 1))
        st.caption(data.literal(wording().fill(_("{first} to {last} of {total}"), ends)), width="content")
        if total > rows:
            last = ends["last"] == total
            st.button("›", key=f"{key}_after", help=_("The next page"), disabled=last, on_click=turn, args=(key, page + 1))


def turn(key: str, page: int) -> None:
    st.session_state[key] = page


def live(part: Callable[[list[Run]], None]) -> None:
    """Draw a part of the page again every two seconds while a run is going on, and the whole page when a run ends or begins.

    part: is given every run, newest first, so that their folders are read once each time that it is drawn.
    """
    first = data.runs()

    def watch() -> list[Run]:
        runs = data.runs()
        if states(runs) != states(first):
            st.rerun()
        return runs

    def draw(runs: list[Run]) -> None:
        try:
            part(runs)
        except PrefscopeError as error:
            data.refuse(error)

    def watch_and_draw() -> None:
        draw(watch())

    if data.alive(first):
        st.fragment(watch_and_draw, run_every=2)()
    else:
        draw(first)
        st.fragment(watch, run_every=5)()


def states(runs: list[Run]) -> list[tuple[str, str]]:
    return [(run.id, run.status.state) for run in runs]


def run_card(run: Run) -> None:
    """A run's state, progress, error, notes, and what can be done with it."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                st.text(run.name)
                state = run.status.state
                help = _(STATES.get(state, "")) or None
                if run.stopping:
                    help = _("It ends at its next step, and keeps what it has done.")
                elif run.barred:
                    help = _("A run that it waits for has stopped or is being cancelled.")
                st.badge(data.literal(run.state), color=STATE_COLOURS.get(state, "gray"), help=data.literal(help))
                st.caption(data.literal(about(run)), width="content", help=data.literal(_("Run {id}").format(id=run.id)))
            actions(run)
        progress(run)
        if run.status.error:
            (st.info if run.is_result else st.error)(data.literal(data.why(run.status)))
        for note in map(reported, run.status.notes):
            st.caption(data.literal(note))
        memory(run)


def memory(run: Run) -> None:
    """The highest memory of each stage of a run, for whoever asks."""
    peaks = run.status.stage_peaks
    if not peaks:
        return
    with st.expander(data.literal(_("Memory: at most {size:.1f} GB").format(size=max(peaks.values()) / 1e9))):
        rows = pl.DataFrame({_("While"): list(peaks), _("Highest memory (GB)"): [round(size / 1e9, 2) for size in peaks.values()]})
        st.dataframe(rows, hide_index=True, width="content", key=f"memory_{run.id}")


def about(run: Run) -> str:
    """What a run does, when it started, and how long it took."""
    status, parts = run.status, [_(KINDS[run.kind])]
    if status.started_at:
        parts.append(_("started {time}").format(time=f"{local(status.started_at):%H:%M, %d %b}"))
    if (seconds := seconds_of(run)) is not None:
        parts.append(_("took {time}").format(time=duration(seconds)))
    return "\u00a0· ".join(parts)


def seconds_of(run: Run) -> float | None:
    """From the start of a run to its end; None before that."""
    status = run.status
    if not (status.started_at and status.finished_at):
        return None
    return (datetime.fromisoformat(status.finished_at) - datetime.fromisoformat(status.started_at)).total_seconds()


def local(moment: str) -> datetime:
    """A stored moment, which is in UTC, by the viewer's clock."""
    return datetime.fromisoformat(moment) - timedelta(minutes=st.context.timezone_offset or 0)


def progress(run: Run) -> None:
    """A bar with step of steps, rate and time left, for a run that is going on or stopped on its way."""
    status = run.status
    if status.steps and status.state is not State.DONE:
        st.progress(min(1.0, status.step / status.steps), data.literal(progress_text(run)))
    elif status.stage and not run.ended:
        st.caption(data.literal(reported(status.stage)))


def progress_text(run: Run) -> str:
    status = run.status
    parts = [
        run.state if run.stopping else reported(status.stage),
        _("{step:,} of {steps:,} {unit}").format(step=status.step, steps=status.steps, unit=_(status.unit)) if status.steps else "",
    ]
    if run.to_come and status.rate:
        rate, each = (status.rate, _("second")) if status.rate >= 1 else (60 * status.rate, _("minute"))
        parts.append(_("{rate} {unit} a {each}").format(rate=number(rate, 0 if rate >= 10 else 1), unit=_(status.unit), each=each))
    if run.to_come and status.eta_seconds is not None:
        parts.append(_("{time} left").format(time=duration(status.eta_seconds)))
    return listed(p for p in parts if p)


def actions(run: Run) -> None:
    """Buttons for what is possible now; deleting and freeing ask first, and cancelling does when it concerns other runs."""
    cache = cache_path()
    labels = {
        "resume": _("Resume"),
        "retry": _("Run again"),
        "delete": _("Delete"),
        "free_weights": _("Free the weights"),
    }
    warnings = {
        "delete": _("The run's folder with all its results is removed for good."),
        "free_weights": _("The model's weights are removed; curves, rewards and answers stay. It can then no longer score or answer."),
    }
    calls = {"resume": jobs.resume, "retry": jobs.retry, "delete": removal.delete, "free_weights": removal.free_weights}
    with st.container(horizontal=True, width="content"):
        for action in jobs.actions(run.dir):
            if action == "cancel":
                cancel_button(run)
                continue
            asks = action in warnings
            with st.popover(data.literal(labels[action]), key=f"ask_{action}_{run.id}") if asks else st.container(width="content"):
                if asks:
                    st.write(data.literal(warnings[action]))
                if st.button(_("Yes") if asks else data.literal(labels[action]), key=f"{action}_{run.id}"):
                    calls[action](cache, run.id)
                    st.rerun()


def cancel_button(run: Run) -> None:
    """Cancel a run; where others belong to it, say which go with it, and ask whether those queued only for it do."""
    waiting, others = (names(found(cache_path(), run.id)) for found in (jobs.waiting_for, jobs.queued_only_for))
    key = f"cancel_{run.id}"
    pressed: dict[str, Any] = {"key": key, "on_click": cancel, "args": (run.id, f"together_{key}")}
    if not (waiting or others):
        st.button(_("Cancel"), **pressed)
        return
    with st.popover(_("Cancel"), key=f"ask_{key}"):
        if waiting:
            text = _("These runs wait for it and are not started: {names}. They wait again when it is resumed.")
            st.write(data.literal(text.format(names=waiting)))
        if others:
            st.checkbox(data.literal(_("Also cancel {names}, queued only for it").format(names=others)), True, key=f"together_{key}")
        st.button(data.literal(_("Cancel {name}").format(name=run.name)), **pressed)


def cancel(run_id: str, too: str) -> None:
    """Before the part of the page is drawn again, which says so at once. too: the key of the box that cancels others with it."""
    try:
        jobs.cancel(cache_path(), run_id, bool(st.session_state.get(too)))
    except PrefscopeError as error:  # it has ended meanwhile
        st.toast(data.literal(data.told(str(error))))


def names(runs: list[RunDir]) -> str:
    return listed(ours(line(run.outline.name)) for run in runs)
