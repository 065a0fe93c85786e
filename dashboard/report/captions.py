"""What stands below a figure or table in a text: what is drawn, n, intervals and their method, models and data."""

import html
from dataclasses import dataclass

import polars as pl

from dashboard import queries
from dashboard.figures import Figure, Table
from dashboard.figures.headings import HEADINGS, REWARD, read_by_people
from dashboard.figures.registry import Role
from dashboard.figures.theme import BETWEEN, excerpt
from dashboard.queries import Selection
from dashboard.report.written import TEXT_CHARS, shortened
from dashboard.state.messages import _, in_sentences, listed, marked, ours
from engine.plain import line
from engine.statistics.estimate import ESTIMATE, Estimate
from engine.statistics.registry import STATISTICS
from engine.store.database import Connection
from engine.store.slices import described

DEMO = marked("A small set written by a language model for demonstration, not human annotations.")
ROLES = {
    "trained_scorer": marked("reward model: {name}"),
    "base_scorer": marked("untrained reward model: {name}"),
    "base_generator": marked("base: {name}"),
    "tuned_generator": marked("tuned: {name}"),
}

SAME: dict[str, tuple[str, ...]] = {  # names that say of a model what its role says
    "trained_scorer": ("Reward model",),
    "base_scorer": ("untrained", "Untrained reward model"),
    "base_generator": ("Base",),
    "tuned_generator": ("Tuned",),
}


@dataclass(frozen=True)
class Sources:
    """Names of what a comparison compares; empty where there is none."""

    dataset: str
    split: str
    models: dict[str, str]  # by the field of the selection
    rows: str = ""  # the slice, in words
    about: str = ""  # what a reader must know of the dataset

    def said(self, models: tuple[Role, ...], training: bool = False) -> str:
        """Data: Starter pairs, validation. Models: reward model: …; tuned: …. A model that is called as its role is need not be named."""
        data = (_("Data: {dataset}.") if training else _("Data: {dataset}, {split}.")).format(dataset=self.dataset, split=self.split)
        called = {role: self.models.get(role, "") for role in models}
        named = [_(ROLES[role]).format(name=name) for role, name in called.items() if name and not says_its_role(role, name)]
        return in_sentences([data, _("Models: {models}.").format(models=_("; ").join(named)) if named else ""])

    def beside(self, models: tuple[Role, ...], below: str) -> str:
        """What stands below a figure, without the names of models that the caption names at its end."""
        named = {html.unescape(excerpt(self.models.get(role, ""), 40)) for role in models}
        return BETWEEN.join(part for part in html.unescape(below).split(BETWEEN) if part not in named)


def says_its_role(role: Role, name: str) -> bool:
    return name.casefold() in {ours(same).casefold() for same in SAME[role]}


def sources(con: Connection, selection: Selection) -> Sources:
    """What the comparison's ids are called; names are of whoever wrote them, and here lines of text."""
    known = queries.choices(con)
    names = {
        identity: ours(line(name))
        for rows in (known.datasets, known.scorers, known.generators)
        for identity, name in rows.select(rows.columns[0], "name").iter_rows()
    }
    models = {role: names.get(getattr(selection, role) or "", "") for role in ROLES}
    rows = _("slice: {words}").format(words=described(con, selection.slice)) if selection.slice else ""
    is_demo = queries.dataset(con, selection)["source"].to_list() == ["starter"]
    dataset, split = names.get(selection.dataset_id or "", ""), ours(line(selection.split or ""))
    return Sources(dataset, split, models, line(rows), _(DEMO) if is_demo else "")


def sentence(words: str) -> str:
    """A line of parts divided by middle dots, as it stands below a figure on a page, as one sentence."""
    return html.unescape(words).strip().replace(BETWEEN, _("; ")) + _(".") if words.strip() else ""


def of_figure(figure: Figure, below: str, known: Sources) -> str:
    """The caption of a figure. below: what stands below it on a page.

    The slice is named where the figure is about its rows; what was measured while training is of all pairs.
    """
    training = figure.page == "training"
    rows = "" if training else sentence(known.rows)
    seen = sentence(known.beside(figure.models, below))
    return in_sentences((_(figure.title), seen, known.said(figure.models, training), rows))


def of_table(table: Table, rows: pl.DataFrame, known: Sources, below: str = "") -> str:
    """The caption of a table, with how its intervals were made. below: what else is to be said of its rows."""
    rewards = any(REWARD in HEADINGS.get(name, ()) for name in read_by_people(rows))
    about = known.said(table.models), sentence(known.rows), sentence(below)
    cut = _("Texts of more than {n} characters end in an ellipsis; they stand whole in the table’s CSV.").format(n=TEXT_CHARS)
    return in_sentences((_(table.title), *computed(rows), _(REWARD) if rewards else "", cut if shortened(rows) else "", *about))


def computed(rows: pl.DataFrame) -> list[str]:
    """What each statistic means and how its interval was made."""
    found: dict[str, None] = {}
    for name in rows.columns:
        if rows[name].dtype == ESTIMATE and (cells := rows[name].drop_nulls()).len():
            methods = dict.fromkeys(_(Estimate(**cell).method) for cell in cells)
            about = STATISTICS.get(name)
            label = _("{label}: {title}").format(label=_(about.label), title=_(about.help)) if about else ""
            found[in_sentences((label, _("95 % interval: {methods}.").format(methods=listed(methods))))] = None
    return list(found)
