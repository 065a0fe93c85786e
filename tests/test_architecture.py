"""Who may import whom, one home per library, and ceilings for the length of files, functions and pages."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for folder in ("engine", "dashboard") for p in (ROOT / folder).rglob("*.py"))
TORCH = ("torch", "transformers", "accelerate", "safetensors", "peft")
ROOMS = (
    "commands",
    "queue",
    "serve",
    "planning",
    "kinds",
    "model",
    "data",
    "statistics",
    "store",
    "machine",
    "settings",
)  # each uses those after it
STREAMLIT = ("dashboard/app", "dashboard/state/", "dashboard/parts/", "dashboard/views/")
HOMES = {
    "streamlit": STREAMLIT,
    "plotly": ("dashboard/figures/", "dashboard/report/"),
    "duckdb": ("engine/store/",),
    "datasets": ("engine/data/sources",),
    "pyarrow": ("engine/data/arrow_files",),
    "umap": ("engine/kinds/embed",),
    "sklearn": ("engine/kinds/embed",),
    "wordcloud": ("dashboard/figures/clouds",),
    "kaleido": ("dashboard/report/",),
    "babel": ("dashboard/state/messages",),
    "typst": ("dashboard/report/typesetting",),
    "subprocess": ("engine/queue/", "engine/serve/client"),
    "fcntl": ("engine/store/rundir",),
    "psutil": ("engine/machine/", "engine/planning/held"),
    **dict.fromkeys(
        TORCH,
        (
            *("engine/model/", "engine/kinds/", "engine/machine/processes", "engine/queue/run", "engine/queue/process"),
            *("engine/serve/replies", "engine/serve/__main__"),
        ),
    ),
}
EVERYWHERE = ("engine.errors", "engine.plain")
STORED = ("engine.store", "engine.statistics")
# left may import these of the right, and itself
LAYERS = {
    **{f"engine.{room}": (*(f"engine.{below}" for below in ROOMS[place + 1 :]), *EVERYWHERE) for place, room in enumerate(ROOMS)},
    "engine.errors": (),
    "engine.plain": (),
    "engine.kinds.losses": (),
    "engine.statistics.estimate": (),
    "engine.statistics.intervals": ("engine.statistics.estimate",),
    "engine.statistics.registry": ("engine.statistics.estimate",),
    "engine.statistics.words": (),
    "engine.data.records": (),
    "dashboard.views": ("dashboard", "engine"),
    "dashboard.parts": ("dashboard.state", "dashboard.figures", "dashboard.queries", "dashboard.report", "engine"),
    "dashboard.report": (
        "dashboard.state.messages",
        "dashboard.figures",
        "dashboard.queries",
        "engine.settings.slices",
        *STORED,
        *EVERYWHERE,
    ),
    "dashboard.state": ("dashboard.queries", "engine"),
    "dashboard.figures": (
        "dashboard.state.messages",
        "dashboard.queries",
        "engine.statistics",
        "engine.store",
        "engine.plain",
    ),  # the store for a type
    "dashboard.queries": ("engine.store", "engine.statistics", "engine.settings", "engine.data.records", *EVERYWHERE),
    "dashboard.figures.theme": ("dashboard.state.messages", "engine.plain"),
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every module a file imports, wherever in the file it does so."""
    return imported(ast.walk(tree_of(path)))


def imported(nodes: Iterable[ast.AST]) -> tuple[str, ...]:
    found: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names if (ROOT / node.module.replace(".", "/")).is_dir()]
    return tuple(found)


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in packages)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_engine_never_imports_the_dashboard(path: Path) -> None:
    if within(name_of(path), ("engine",)):
        assert not [m for m in imports(path) if within(m, ("dashboard",))]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_each_room_imports_only_what_is_below_it(path: Path) -> None:
    for layer, allowed in LAYERS.items():
        if within(name_of(path), (layer,)):
            ours = {m for m in imports(path) if within(m, ("engine", "dashboard")) and m not in ("engine", "dashboard", "engine.ROOT")}
            assert not [m for m in ours if not within(m, (layer, *allowed))]


def test_every_file_can_be_imported_first() -> None:
    """None imports itself by way of others at their tops."""
    ours = {name_of(path): path for path in SOURCES}
    below = {
        name: {m for m in imported(tree_of(path).body) if m in ours.keys() - {name, name.rpartition(".")[0]}} for name, path in ours.items()
    }
    assert len(list(TopologicalSorter(below).static_order())) == len(ours)


def test_every_engine_file_stands_in_a_room() -> None:
    folders = {path.relative_to(ROOT / "engine").parts[0] for path in SOURCES if path.is_relative_to(ROOT / "engine")}
    assert folders - {"__init__.py", "__main__.py", "errors.py", "plain.py"} <= set(ROOMS)


@pytest.mark.parametrize("library", HOMES)
def test_library_has_one_home(library: str) -> None:
    users = {path.relative_to(ROOT).with_suffix("").as_posix() for path in SOURCES if any(within(m, (library,)) for m in imports(path))}
    assert users, f"nothing imports {library}: take it out of this list"
    assert not [u for u in users if not any(u == home or (home.endswith("/") and u.startswith(home)) for home in HOMES[library])]


def test_pages_and_queue_work_without_torch() -> None:
    modules = (
        "dashboard.state.data, dashboard.queries, dashboard.figures, dashboard.report.export, "
        "engine.queue.jobs, engine.queue.study, engine.queue.process, engine.settings.config, engine.store.database, "
        "engine.statistics.summary, engine.planning.preflight, engine.serve.client, engine.serve.needs"
    )
    heavy = ("torch", "transformers", "datasets", "umap", "sklearn")
    program = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_outgrows_its_ceiling(path: Path) -> None:
    """300 lines a file without blank ones, 60 a function, 80 a page."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= (80 if path.parent.name == "views" else 300)
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]
    assert not [f"{f.name} has {length} lines" for f in functions if (length := (f.end_lineno or 0) - f.lineno + 1) > 60]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


def test_no_module_has_an_empty_name() -> None:
    assert not {p.stem for p in SOURCES} & {"utils", "helpers", "common", "base", "manager", "misc"}


def test_tables_are_declared_in_one_place() -> None:
    assert not [name_of(p) for p in SOURCES if "create table " in p.read_text().lower().replace("or replace ", "") and p.stem != "database"]


def test_only_the_views_read_rewards() -> None:
    """How a pair or an answer meets its rewards is written once, in schema.sql; everything else reads its views."""
    reading = re.compile(r"\b(?:from|join|into|update)\s+rewards\b", re.IGNORECASE)
    files = [p for folder in ("engine", "dashboard") for end in ("py", "sql") for p in (ROOT / folder).rglob(f"*.{end}")]
    assert [p.name for p in files if reading.search(p.read_text()) and p.name != "database.py"] == ["schema.sql"]
