"""What a report says: its figures and tables in order, their captions, what was found, and where all of it comes from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from dashboard import figures, queries
from dashboard.figures import Figure, Table, registry
from dashboard.figures.findings import SHOWN_IN
from dashboard.figures.theme import BETWEEN
from dashboard.queries import Selection
from dashboard.report import captions
from dashboard.report.files import Shown, Tabled, captioned
from dashboard.report.style import Style
from dashboard.state.messages import _, listed, marked, ours, wording
from engine.plain import line
from engine.statistics.claims import Claim, claims
from engine.statistics.estimate import ESTIMATE
from engine.store import database
from engine.store.slices import selected, show_slice

PAGES = {
    "overview": marked("Overview"), "data": marked("Data"), "training": marked("Training"), "reward_model": marked("Reward model"),
    "length_bias": marked("Length bias"), "dpo_vs_base": marked("DPO vs base"), "prompts": marked("Prompts"),
}  # fmt: skip
NUMBERS = {"statistic": pl.String, "of": pl.String, **{f.name: f.dtype for f in ESTIMATE.fields}}
ASSIGNMENT = (
    "1",
    "table 1",
    "2",
    "3a",
    "3b",
    "3c",
    "3d",
    "4a",
    "4b",
    "5a",
    "5b",
    "6",
    "7",
    "table 2",
    "8a",
    "8b",
    "9a",
    "9b",
    "10a",
    "10b",
)
SHORT = ("11", "12", "4b", "14", "9a", "8a")
PRESETS = {
    "assignment": marked("Alignment assignment: the original's figures and tables, in its order"),
    "everything": marked("Everything"),
    "overview": marked("Overview: the answer in six figures"),
}


@dataclass(frozen=True)
class Request:
    """What is to be written: names of figures and tables in the order of the document, and by name the captions that were edited."""

    selection: Selection
    parts: tuple[str, ...]
    formats: tuple[str, ...]
    style: Style = field(default_factory=Style)
    captions: Mapping[str, str] = field(default_factory=dict)
    findings: bool = True  # whether it says what was found


@dataclass(frozen=True)
class Content:
    """Everything a report says, read from the database in one go."""

    title: str
    facts: list[tuple[str, str]]  # what, and its value
    findings: list[tuple[str, list[tuple[str, str]]]]  # of each page its title and sentences, each with what it rests on
    parts: list[tuple[Shown | Tabled, str]]  # with its caption
    left_out: list[str]  # parts that are empty
    numbers: list[dict[str, Any]]
    runs: pl.DataFrame
    pairs: pl.DataFrame | None = None  # those of the slice

    @cached_property
    def labels(self) -> dict[str, str]:
        """What its figures and tables are called, by name."""
        return registry.numbered(registered()[part.name] for part, _caption in self.parts)

    @property
    def figures(self) -> list[Shown]:
        return [part for part, _caption in self.parts if isinstance(part, Shown)]

    @property
    def tables(self) -> list[tuple[Tabled, str]]:
        return [(part, caption) for part, caption in self.parts if isinstance(part, Tabled)]


def registered() -> dict[str, Figure | Table]:
    """Every figure and table by its name."""
    parts: list[Figure | Table] = [*figures.FIGURES, *figures.TABLES]
    return {part.name: part for part in parts}


def preset(name: str) -> tuple[str, ...]:
    """The names of a preset's parts in their order. Raises KeyError for a preset that does not exist."""
    numbered = {f.number: f.name for f in figures.FIGURES if f.number} | {f"table {t.number}": t.name for t in figures.TABLES}
    orders = {"assignment": [numbered[n] for n in ASSIGNMENT], "overview": [numbered[n] for n in SHORT], "everything": list(registered())}
    return tuple(orders[name])


def read(cache: Path, request: Request) -> Content:
    """The frames of every part, their drawings and captions. Raises DataError when what the slice asks for is gone."""
    selection = request.selection
    with database.reading(cache) as con:
        database.show_live(con, cache)
        known = captions.sources(con, selection)
        asked = [registered()[name] for name in request.parts]
        rows = queried(con, selection, asked)
        pairs = selected(con, selection.slice) if selection.slice else None
        undecided = selection.undecided
        show_slice(con, undecided.slice)
        said = claims(con, undecided) if selection.dataset_id and request.findings else []
        counted, runs, trained = numbers(con, selection), queries.provenance(con, selection), queries.settings_of_models(con, selection)
    shown = {name for name, frame in rows.items() if not frame.is_empty()}
    found = found_on_pages(claim for claim in said if not shown.isdisjoint(SHOWN_IN[claim.name]))
    present = [made(part, rows[part.name], selection) for part in asked if part.name in shown]
    captioned_parts = [(part, request.captions.get(part.name) or captioned(part, known)) for part in present]
    left_out = [_(part.title) for part in asked if part.name not in shown]
    title = _("Preference report: {dataset}").format(dataset=known.dataset)
    return Content(title, facts(known, runs, trained, selection, found=bool(found)), found, captioned_parts, left_out, counted, runs, pairs)


def found_on_pages(said: Iterable[Claim]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Under each page's title its sentences, each with how sure one may be of it, none twice."""
    pages: dict[str, dict[tuple[str, str], None]] = {}
    seen: set[tuple[str, str]] = set()
    for claim in said:
        sentence = claim.text(wording()), _("({sureness}) {detail}").format(sureness=_(claim.sureness), detail=claim.detail_text(wording()))
        if sentence not in seen:
            pages.setdefault(claim.page, {})[sentence] = None
            seen.add(sentence)
    return [(_(PAGES[page]), list(sentences)) for page, sentences in pages.items()]


def queried(con: database.Connection, selection: Selection, parts: Iterable[Figure | Table]) -> dict[str, pl.DataFrame]:
    """The rows of each part, of the slice; of who is right, as on its page, without what the slice says about rewards."""
    rows: dict[str, pl.DataFrame] = {}
    for part in parts:
        seen = registry.seen_by(part, selection)
        show_slice(con, seen.slice)
        rows[part.name] = part.query(con, seen)
    return rows


def captions_of(con: database.Connection, selection: Selection, parts: tuple[str, ...], cache: Path) -> dict[str, str]:
    """The captions of those parts that have something to show, by name."""
    database.show_live(con, cache)
    known = captions.sources(con, selection)
    rows = queried(con, selection, [registered()[name] for name in parts])
    return {name: captioned(made(registered()[name], found, selection), known) for name, found in rows.items() if not found.is_empty()}


def made(part: Figure | Table, rows: pl.DataFrame, selection: Selection) -> Shown | Tabled:
    """A figure drawn as the pages show it; a table with its rows."""
    left_out = registry.left_out(part, selection)
    if isinstance(part, Table):
        return Tabled(part, rows, left_out)
    plot, below = registry.on_screen(part, rows, "light")
    return Shown(part, plot, rows, f"{below}{BETWEEN}{left_out}" if left_out else below)


def facts(
    known: captions.Sources, runs: pl.DataFrame, trained: dict[str, list[tuple[str, Any]]], selection: Selection, *, found: bool
) -> list[tuple[str, str]]:
    """Whose numbers these are: data, models and how they were trained, runs, date. found: whether the report says what was found."""
    roles = {
        "trained_scorer": _("Reward model"), "base_scorer": _("Untrained reward model"),
        "base_generator": _("Base"), "tuned_generator": _("Tuned"),
    }  # fmt: skip
    said = [(_("Data"), known.dataset), (_("About the data"), known.about), (_("Split"), known.split), (_("Rows"), known.rows)]
    said += [(label, with_settings(known.models[role], trained.get(role, []))) for role, label in roles.items()]
    said += [
        (_("Finished runs on these data"), listed(ours(line(name)) for name in runs["name"])),
        (_("Date"), f"{datetime.now(UTC):%Y-%m-%d} UTC"),
    ]
    if found and selection.undecided != selection:
        said += [(_("What was found"), _(registry.LEFT_OUT))]
    said += [(_("Intervals"), _("95 % throughout; each caption names the method"))]
    return [(label, value) for label, value in said if value]


def with_settings(name: str, settings: list[tuple[str, Any]]) -> str:
    """DPO (Model: smollm2-135m-instruct; Loss: DPO; Beta: 0.1; …); of what no run here has trained the name alone."""
    said = [_("{label}: {title}").format(label=_(title), title=setting(value)) for title, value in settings]
    return _("{name} ({settings})").format(name=name, settings=_("; ").join(said)) if name and said else name


def setting(value: object) -> str:
    """3e−05; all; smollm2-135m-instruct."""
    return f"{value:g}".replace("-", "−") if isinstance(value, float) else _(line(str(value)))


def numbers(con: database.Connection, selection: Selection) -> list[dict[str, Any]]:
    """The headline numbers in long form: statistic, of what, and the fields of the estimate."""
    sources = [
        (queries.length_rule(con, selection), ""),
        (queries.reward_summaries(con, selection), "scorer"),
        (queries.accuracy_gain(con, selection), ""),
        (queries.win_rates(con, selection), "scorer"),
        (queries.answer_length_summary(con, selection), "generator"),
    ]
    return [
        {"statistic": name, "of": row.get(of, ""), **row[name]}
        for rows, of in sources
        for row in rows.iter_rows(named=True)
        for name, kind in rows.schema.items()
        if kind == ESTIMATE
    ]
