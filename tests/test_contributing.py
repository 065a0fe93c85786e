"""What CONTRIBUTING.md says about where things are added is where the things are."""

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from dashboard.figures import FIGURES, TABLES
from dashboard.figures.findings import SHOWN_IN
from docs.screenshots import PAGES
from engine.data.formats import FORMATS
from engine.kinds.losses import POLICY_LOSSES
from engine.kinds.table import KINDS
from engine.queue.preset import PRESETS
from engine.queue.study import STUDIES
from engine.settings.config import CONFIGS
from engine.settings.hyperparameters import AnyPolicyLoss
from engine.settings.slices import FIELDS
from engine.statistics.claims.claim import CLAIMS
from engine.statistics.registry import STATISTICS
from engine.store.slices import FOUND_IN

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
ROWS = dict(re.findall(r"^\| an? ([\w ]+) \| (.+) \|$", TEXT, re.M))
PLACES = [place for row in ROWS.values() for place in re.findall(r"`([\w./-]+)`(?: \(`(\w+)`\))?", row)]


def file_of(thing: Callable[..., object]) -> str:
    return Path(inspect.getsourcefile(thing) or "").relative_to(ROOT).as_posix()


def paths(what: str) -> list[str]:
    """The files and folders that the row of a thing names."""
    return re.findall(r"`([\w-]+/[\w./-]+)`", ROWS[what])


def test_the_table_names_everything_that_can_be_added() -> None:
    things = {
        "loss",
        "figure",
        "statistic",
        "claim",
        "kind of run",
        "page",
        "format of preference data",
        "preset",
        "study",
        "library",
        "field of slices",
    }
    assert ROWS.keys() == things
    assert len(PLACES) >= 20


@pytest.mark.parametrize(("path", "name"), PLACES)
def test_every_place_is_there(path: str, name: str) -> None:
    assert (ROOT / path).exists()
    if name:
        defined = {n.id for n in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        defined |= {n.name for n in ast.parse((ROOT / path).read_text()).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        assert name in defined


def test_losses_are_where_the_table_says() -> None:
    functions, models, documented, tested = paths("loss")
    assert {file_of(loss) for loss in POLICY_LOSSES.values()} == {functions}
    assert {file_of(model) for model in get_args(AnyPolicyLoss)} == {models}
    assert {get_args(model.model_fields["name"].annotation)[0] for model in get_args(AnyPolicyLoss)} == POLICY_LOSSES.keys()
    for name in POLICY_LOSSES:
        assert f"`{name}`" in (ROOT / documented).read_text()
        assert re.search(rf"\b{name}\b", (ROOT / tested).read_text())


def test_figures_are_where_the_table_says() -> None:
    queries, drawings, _ = (Path(path).parent.as_posix() for path in paths("figure"))
    assert {Path(file_of(figure.query)).parent.as_posix() for figure in FIGURES} == {queries}
    assert {Path(file_of(figure.draw)).parent.as_posix() for figure in FIGURES} == {drawings}


def test_statistics_are_where_the_table_says() -> None:
    _, *functions, _ = paths("statistic")
    assert {file_of(made.measure) for made in STATISTICS.values()} == {*functions}


def test_claims_are_where_the_table_says() -> None:
    place = Path(paths("claim")[0]).parent.as_posix()
    assert {Path(file_of(stating.state)).parent.as_posix() for stating in CLAIMS.values()} == {place}


def test_every_claim_names_figures_and_tables_that_show_it() -> None:
    """A card of the Overview shows the first of them, which is a figure then."""
    drawn = {figure.name for figure in FIGURES}
    assert SHOWN_IN.keys() == CLAIMS.keys()
    assert {name for names in SHOWN_IN.values() for name in names} <= drawn | {table.name for table in TABLES}
    assert {SHOWN_IN[name][0] for name, claim in CLAIMS.items() if claim.finding} <= drawn


def test_kinds_of_run_are_where_the_table_says() -> None:
    configurations, table, titles = paths("kind of run")
    assert {file_of(model) for model in CONFIGS.values()} == {configurations}
    assert {Path(file_of(work)).parent for work in KINDS.values()} == {Path(table).parent}
    assert KINDS.keys() == CONFIGS.keys()
    assert all(f'"{kind}": marked(' in (ROOT / titles).read_text() for kind in KINDS)


def test_pages_are_where_the_table_says() -> None:
    folder, app, _ = paths("page")
    scripts = {path.stem for path in (ROOT / folder).glob("*.py")}
    assert scripts == set(PAGES)
    assert scripts == set(re.findall(r'"(\w+)": _\(', (ROOT / app).read_text()))


def test_formats_presets_and_studies_are_where_the_table_says() -> None:
    functions, documented, tested = paths("format of preference data")
    assert {file_of(made.parse) for made in FORMATS.values()} == {functions}
    for name in FORMATS:
        assert f"**{name}**" in (ROOT / documented).read_text()
        assert name in (ROOT / tested).read_text()
    assert [ROOT / path for what in ("preset", "study") for path in paths(what)] == [PRESETS, STUDIES]


def test_fields_of_slices_are_where_the_table_says() -> None:
    assert FIELDS.keys() == FOUND_IN.keys()
    tested = (ROOT / paths("field of slices")[-1]).read_text()
    assert all(f'field="{name}"' in tested for name in FIELDS)


def test_commands_that_are_named_are_commands() -> None:
    """Of run.sh, in the documents that a reader begins with."""
    known = set(re.findall(r"^    ([\w-]+)\)", (ROOT / "run.sh").read_text(), re.M))
    texts = [
        (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md", ".pre-commit-config.yaml", ".github/workflows/test.yml")
    ]
    named = {word for text in texts for word in re.findall(r"\./run\.sh ([a-z]+)", text)}
    assert named <= known, "run.sh has no such command"
    assert {"test", "lint"} <= named


def anchors(text: str) -> set[str]:
    """Of the headings, as a forge makes them."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.M)}


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))])
def test_links_between_documents_lead_somewhere(path: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", (ROOT / path).read_text()):
        file, _, anchor = target.partition("#")
        found = (ROOT / path).parent / file if file else ROOT / path
        assert found.exists(), target
        assert not anchor or anchor in anchors(found.read_text()), target
