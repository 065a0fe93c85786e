"""What stands below a figure or table in a text: what is drawn, n, intervals and their method, models and data."""

import html
from dataclasses import dataclass

import polars as pl

from dashboard import queries
from dashboard.figures import Figure, Table
from dashboard.queries import Selection
from dashboard.state.messages import _, marked
from engine.statistics.estimate import ESTIMATE, Estimate
from engine.statistics.registry import STATISTICS
from engine.store.database import Connection

MODELS_OF = {  # whose numbers the figures of a page are
    "overview": ("trained_scorer", "base_scorer"),
    "reward_model": ("trained_scorer", "base_scorer"),
    "length_bias": ("trained_scorer",),
    "dpo_vs_base": ("base_generator", "tuned_generator", "trained_scorer"),
}
ROLES = {
    "trained_scorer": marked("trained scorer: {name}"),
    "base_scorer": marked("untrained scorer: {name}"),
    "base_generator": marked("base: {name}"),
    "tuned_generator": marked("tuned: {name}"),
}


@dataclass(frozen=True)
class Sources:
    """Names of what a comparison compares; empty where there is none."""

    dataset: str
    split: str
    models: dict[str, str]  # by the field of the selection

    def said(self, page: str) -> str:
        """Data: Starter pairs, validation. Models: trained scorer: …; base: …."""
        data = _("Data: {dataset}, {split}.").format(dataset=self.dataset, split=self.split)
        named = [_(ROLES[role]).format(name=self.models[role]) for role in MODELS_OF.get(page, ()) if self.models.get(role)]
        return " ".join([data, _("Models: {models}.").format(models="; ".join(named))] if named else [data])


def sources(con: Connection, selection: Selection) -> Sources:
    """What the comparison's ids are called."""
    known = queries.choices(con)
    names = {
        identity: name
        for rows in (known.datasets, known.scorers, known.generators)
        for identity, name in rows.select(rows.columns[0], "name").iter_rows()
    }
    models = {role: names.get(getattr(selection, role) or "", "") for role in ROLES}
    return Sources(names.get(selection.dataset_id or "", ""), selection.split or "", models)


def sentence(words: str) -> str:
    """A line of parts divided by middle dots, as it stands below a figure on a page, as one sentence."""
    plain = html.unescape(words).strip()
    return "; ".join(part.strip("\u00a0 ") for part in plain.replace("\u00a0·", "·").split("·")) + "." if plain else ""


def of_figure(figure: Figure, below: str, known: Sources, remark: str = "") -> str:
    """The caption of a figure. below: what stands below it on a page."""
    return " ".join(part for part in (_(figure.title), sentence(below), known.said(figure.page), sentence(remark)) if part)


def of_table(table: Table, rows: pl.DataFrame, known: Sources, remark: str = "") -> str:
    """The caption of a table, with how its intervals were made."""
    return " ".join(part for part in (_(table.title), *computed(rows), known.said(table.page), sentence(remark)) if part)


def computed(rows: pl.DataFrame) -> list[str]:
    """What each statistic means and how its interval was made."""
    found: dict[str, None] = {}
    for name in rows.columns:
        if rows[name].dtype == ESTIMATE and (cells := rows[name].drop_nulls()).len():
            methods = dict.fromkeys(_(Estimate(**cell).method) for cell in cells)
            about = STATISTICS.get(name)
            label = f"{_(about.label)}: {_(about.help)} " if about else ""
            found[label + _("95 % interval: {methods}.").format(methods=", ".join(methods))] = None
    return list(found)
