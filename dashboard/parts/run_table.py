"""Tables of runs: what differs in their configurations, how they ended, and where each stands; a chosen row is opened below.

One chosen run shows log, curve, configuration and what can be done with it; two show in what their configurations differ.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import streamlit as st

from dashboard import figures, queries
from dashboard.parts import drawings, retrain, widgets
from dashboard.parts import figure as figure_part
from dashboard.parts.run_settings import FIXED, KINDS, Settings, differing, setting, settings_of, title_of, unusual, written
from dashboard.queries import Selection
from dashboard.queries.curves import settings_key
from dashboard.queries.run_table import run_measures
from dashboard.state import address, data
from dashboard.state.data import Run
from dashboard.state.messages import _, counted, duration, estimated, marked, ours, reported, wording
from engine.plain import line
from engine.settings.config import CONFIGS, TrainConfig
from engine.statistics.estimate import Estimate
from engine.store.rundir import cache_path, find_run
from engine.store.status import GOING_ON, State

BLOCKS = {"reward": marked("Reward models"), "policy": marked("Policies")}
QUESTIONS = {
    "reward": marked("accuracy: chosen ranked above rejected"),
    "policy": marked("accuracy: the implicit reward ranks chosen above rejected"),
}
SHOWN, HIDDEN = ":material/visibility:", ":material/visibility_off:"
TAIL_LINES = 40
MOST_ROWS = 12  # of a table; more are scrolled
TWO_LINES = 57  # pixels of a row in which Streamlit breaks long cells: more than 4 rem


@dataclass(frozen=True)
class Row:
    """A run and what was measured of it."""

    run: Run
    settings: Settings
    index: int  # of its line in the figures
    steps: int | None = None
    split: str | None = None  # that the accuracy was measured on
    accuracy: Estimate | None = None

    @property
    def repeats(self) -> str:
        """The same for finished runs that differ in nothing but the seed, whose curves are one."""
        return settings_key(self.run.outline.model_dump()) if self.run.status.state is State.DONE else self.run.id

    @property
    def seconds(self) -> float | None:
        return widgets.seconds_of(self.run)

    @property
    def state(self) -> str:
        status = self.run.status
        if status.state is State.RUNNING and status.steps and not self.run.stopping:
            return _("{stage} {step} / {steps}").format(stage=reported(status.stage), step=status.step, steps=status.steps)
        return self.run.state


def rows_of(runs: Iterable[Run], selection: Selection) -> list[Row]:
    """The runs with their numbers, which are those of the database: one query for all."""
    known = {row["run_id"]: row for row in data.read(run_measures, replace(selection, slice=None)).iter_rows(named=True)}
    found = []
    for run in runs:
        row: dict[str, Any] = known.get(run.id, {})
        accuracy = Estimate(**row["accuracy"]) if row.get("accuracy") else None
        found.append(Row(run, settings_of(run), row.get("run_index") or 0, row.get("steps"), row.get("split"), accuracy))
    return found


# The table of training runs


def training(known: list[Run], selection: Selection) -> None:
    """Reward models and policies of the dataset, each in a block; the eye shows or hides a run's curves."""
    runs = [run for run in known if run.kind in BLOCKS and run.outline.dataset == selection.dataset_id]
    if not runs:
        st.info(_("No training run has begun on this dataset. The button starts one; its curves appear here while it trains."))
        retrain.where_missing("reward", known, selection)
        return
    under_way(runs)
    everything = st.toggle(_("All settings"), key="runs_all_settings", help=_("Off: only the settings in which the runs differ."))
    chosen: list[Row] = []
    for kind, label in BLOCKS.items():
        rows = rows_of([run for run in runs if run.kind == kind], selection)
        rows.sort(key=lambda row: row.run.ended and not row.steps)  # newest first, those that ended before their first step last
        if rows:
            st.markdown(f"**{data.literal(_(label))}** {data.literal(_(QUESTIONS[kind]))}")
            chosen += block(kind, rows, selection, everything)
    st.caption(
        _("Accuracy on the split that is looked at, 95 % interval by Wilson's method. Choose a row to open it, two to compare them.")
    )
    opened(chosen, selection)


def block(kind: str, rows: list[Row], selection: Selection, everything: bool) -> list[Row]:
    """The table of one kind; the chosen rows."""
    drawn = selection.reward_runs if kind == "reward" else selection.policy_runs
    others = [name for name in (rows[0].settings if everything else differing([row.settings for row in rows])) if name not in FIXED]
    lines = lines_of(rows, drawn)
    table: dict[str, list[Any]] = {
        "eye": [SHOWN if row.run.id in drawn else HIDDEN for row in rows],
        "line": [drawings.line_sample(index) for index in lines],
        "run": [row.run.name for row in rows],
        "accuracy": [estimated(row.accuracy) if row.accuracy else None for row in rows],
        "interval": [drawings.interval(row.accuracy, index) for row, index in zip(rows, lines, strict=True)],
        "n": [row.accuracy.n if row.accuracy else None for row in rows],
        **{name: [written(row.settings.get(name) or (_("all") if name == "pairs" else None)) for row in rows] for name in FIXED},
        **{name: [setting(row.run.kind, row.settings, name) for row in rows] for name in others},
        "steps": [row.steps for row in rows],
        "time": [None if row.seconds is None else duration(row.seconds) for row in rows],
        "state": [row.state for row in rows],
    }
    eye = f"eye_{kind}"
    headings = {
        "eye": st.column_config.ButtonColumn("", width=36, type="tertiary", key=eye, on_click=toggle, args=(eye, kind, drawn, ids(rows))),
        "line": st.column_config.ImageColumn("", width=52),
        "run": st.column_config.TextColumn(_("Run")),
        **{name: st.column_config.TextColumn(_(title), alignment="right") for name, title in FIXED.items()},
        **{name: st.column_config.TextColumn(title_of(kind, name)) for name in others},
        "steps": st.column_config.NumberColumn(_("Steps")),
        "accuracy": st.column_config.TextColumn(_("Validation accuracy")),
        "interval": st.column_config.ImageColumn(_("40 to 100 %"), width=136),
        "n": st.column_config.NumberColumn(_("n")),
        "time": st.column_config.TextColumn(_("Time"), alignment="right", width=96),
        "state": state_column(rows),
    }
    return shown(table, headings, rows, f"runs_{kind}")


def state_column(rows: list[Row]) -> Any:
    """As wide as the stage of a run that is going on needs, where one is."""
    return st.column_config.TextColumn(_("State"), width=150 if any(row.run.status.state in GOING_ON for row in rows) else 90)


def lines_of(rows: list[Row], drawn: tuple[str, ...]) -> list[int]:
    """The line that each run has in the figures: of runs that are drawn as one, the first one's."""
    known = {row.run.id: row for row in rows}
    first: dict[str, int] = {}
    for row in (known[run_id] for run_id in drawn if run_id in known):
        first.setdefault(row.repeats, row.index)
    return [first.get(row.repeats, row.index) if row.run.id in drawn else row.index for row in rows]


def toggle(key: str, kind: str, drawn: tuple[str, ...], run_ids: tuple[str, ...]) -> None:
    """Show or hide the curves of the run whose eye was pressed."""
    run_id = run_ids[st.session_state[key]["row"]]
    kept = [run for run in drawn if run != run_id] if run_id in drawn else [*drawn, run_id]
    address.put(f"{kind}_runs", kept)


def ids(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(row.run.id for row in rows)


def shown(
    table: Mapping[str, list[Any]], headings: Mapping[str, Any], rows: list[Row], key: str, pixels: int = drawings.ROW_PIXELS
) -> list[Row]:
    """Draw a table of runs; the chosen rows. A run stays chosen when it moves to another row."""
    order, before = ids(rows), st.session_state.get(f"{key}_order")
    if before not in (None, order) and key in st.session_state:
        chosen = [before[place] for place in st.session_state[key]["selection"]["rows"] if place < len(before)]
        st.session_state[key] = {"selection": {"rows": [place for place, run_id in enumerate(order) if run_id in chosen]}}
    st.session_state[f"{key}_order"] = order
    event = st.dataframe(
        pl.DataFrame(table, strict=False, infer_schema_length=None), hide_index=True, row_height=pixels, column_config=dict(headings),
        placeholder="–", on_select="rerun", selection_mode="multi-row", key=key,
        height="content" if len(rows) <= MOST_ROWS else MOST_ROWS * pixels,
    )  # fmt: skip
    return [rows[place] for place in event["selection"]["rows"] if place < len(rows)]


# The table of all runs


def everything(known: list[Run], selection: Selection) -> None:
    """Every run: those to come in their order, then the ended ones, newest first. One that the address names is opened too."""
    runs = [*(run for run in reversed(known) if not run.ended), *(run for run in known if run.ended)]
    rows = rows_of(runs, selection)
    under_way(runs)
    names = dict(data.read(queries.choices).datasets.select("dataset_id", "name").iter_rows())
    table: dict[str, list[Any]] = {
        "run": [row.run.name for row in rows],
        "state": [row.state for row in rows],
        "started": [widgets.local(row.run.status.started_at) if row.run.status.started_at else None for row in rows],
        "time": [None if row.seconds is None else duration(row.seconds) for row in rows],
        "settings": [unusual(row.run.kind, row.settings) for row in rows],
        "result": [result(row) for row in rows],
        "kind": [_(KINDS.get(row.run.kind, row.run.kind)) for row in rows],
        "dataset": [ours(line(names.get(row.run.outline.dataset, row.run.outline.dataset))) for row in rows],
    }
    headings = {
        "run": st.column_config.TextColumn(_("Run")),
        "state": state_column(rows),
        "started": st.column_config.DatetimeColumn(_("Started"), format="YYYY-MM-DD HH:mm", width=126),
        "time": st.column_config.TextColumn(_("Took"), alignment="right", width=84),
        "settings": st.column_config.TextColumn(_("Changed settings"), width=310),
        "result": st.column_config.TextColumn(_("Result"), width=184),
        "kind": st.column_config.TextColumn(_("Kind"), width=108),
        "dataset": st.column_config.TextColumn(_("Dataset"), width=80),
    }
    st.caption(
        data.literal(_("{runs}. Choose a row to open it, two to compare them.").format(runs=counted(len(rows), "runs")))
        if rows
        else _("No run yet.")
    )
    chosen = shown(table, headings, rows, "runs_all", TWO_LINES) if rows else []
    asked = address.asked("run")
    opened(chosen or [row for row in rows if row.run.id in asked], selection)


def result(row: Row) -> str | None:
    """What came out: the accuracy, on which split and on how many of its pairs, how much was answered or scored, or why it stopped."""
    status = row.run.status
    if row.accuracy:
        said = _("accuracy {accuracy} on {split}, n = {n}")
        return wording().fill(said, {"accuracy": estimated(row.accuracy), "split": ours(row.split or ""), "n": row.accuracy.n})
    if status.error:
        return line(data.why(status))
    done = {"generate": (_("{items} answered"), "prompts"), "score": (_("{items} scored"), "different responses")}.get(row.run.kind)
    return done[0].format(items=counted(status.steps, done[1])) if done and status.state is State.DONE else None


def under_way(runs: Iterable[Run]) -> None:
    """The runs that are going on, with their progress."""
    for run in runs:
        if run.status.state in GOING_ON:
            widgets.run_card(run)


# What a chosen row opens


def opened(rows: list[Row], selection: Selection) -> None:
    """One run in full, or in what two differ."""
    if len(rows) == 2:
        st.subheader(_("What differs"), anchor=False)
        compared(rows)
    elif len(rows) > 2:
        st.caption(_("Choose two runs to compare their configurations."))
    elif rows:
        details(rows[0], selection)


def compared(rows: list[Row]) -> None:
    """The settings in which two runs differ, side by side."""
    names = differing([row.settings for row in rows])
    if not names:
        st.caption(_("The two have the same settings."))
        return
    labels = [row.run.name for row in rows]
    if labels[0] == labels[1]:
        labels = [f"{row.run.name} ({row.run.id[-4:]})" for row in rows]
    columns = {label: [setting(row.run.kind, row.settings, name) for name in names] for label, row in zip(labels, rows, strict=True)}
    titles = [title_of(next(row.run.kind for row in rows if name in row.settings), name) for name in names]
    st.dataframe(pl.DataFrame({_("Setting"): titles, **columns}), hide_index=True, key="runs_differ")


def details(row: Row, selection: Selection) -> None:
    """State and actions of a run; then its log, its curve or its configuration, one at a time."""
    run = row.run
    if run.status.state not in GOING_ON:  # else it stands under way
        widgets.run_card(run)
    trains = issubclass(CONFIGS.get(run.kind, object), TrainConfig)
    parts = [_("Log"), *([_("Curve")] if trains else []), _("Configuration")]
    part = st.segmented_control(
        _("Of this run"), parts, default=parts[0], key=f"part_{run.id}", label_visibility="collapsed", required=True
    )
    if part == _("Log"):
        log(run)
    elif part == _("Curve"):
        name = "reward_training" if run.kind == "reward" else "dpo_training"
        alone = replace(selection, reward_runs=(run.id,), policy_runs=(run.id,), slice=None)
        figure_part.show(figures.find(name), alone)
    else:
        values = {title_of(run.kind, name): setting(row.run.kind, row.settings, name) for name in row.settings}
        st.dataframe(
            pl.DataFrame({_("Setting"): list(values), _("Value"): list(values.values())}), hide_index=True, key=f"settings_{run.id}"
        )


def log(run: Run) -> None:
    """The last lines of a run's log."""
    path = find_run(cache_path(), run.id).path / "log.txt"
    lines = path.read_text(errors="replace", encoding="utf-8").splitlines()[-TAIL_LINES:] if path.is_file() else []
    st.code("\n".join(lines) or _("The log is empty."), language=None, wrap_lines=True, height="content")
