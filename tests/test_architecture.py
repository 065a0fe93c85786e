"""Who may import whom, one home per library, and ceilings for the length of files, functions and pages."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for folder in ("engine", "dashboard") for p in (ROOT / folder).rglob("*.py"))
TORCH = ("torch", "transformers", "accelerate", "safetensors", "peft")
MODEL_FILES = (
    "batches", "decoding", "embed", "generate", "logps", "losses", "models", "policy", "processes",
    "reference", "reward", "run", "score", "train", "tree",
)  # fmt: skip
STREAMLIT = tuple(f"dashboard/{name}" for name in ("app", "data", "widgets", "forms", "sidebar", "uploads", "columns", "views/"))
HOMES = {
    "streamlit": STREAMLIT,
    "plotly": ("dashboard/figures/", "dashboard/theme", "dashboard/report"),
    "duckdb": ("engine/store",),
    "datasets": ("engine/sources",),
    "umap": ("engine/embed",),
    "sklearn": ("engine/embed", "engine/metrics/words"),
    "wordcloud": ("dashboard/figures/clouds",),
    "kaleido": ("dashboard/report",),
    "subprocess": ("engine/jobs", "engine/launcher", "engine/run"),
    "fcntl": ("engine/rundir",),
    "psutil": ("engine/memory", "engine/preflight"),
    **dict.fromkeys(TORCH, ("engine/__main__", *(f"engine/{name}" for name in MODEL_FILES))),
}
# left may import these of the right, and itself
LAYERS = {
    "dashboard.views": ("dashboard", "engine"),
    "dashboard.figures": (
        "dashboard.queries",
        "dashboard.theme",
        "engine.metrics",
        "engine.store",
    ),  # the store for its type of a connection
    "dashboard.queries": (
        "engine.store",
        "engine.metrics",
        "engine.config",
        "engine.records",
        "engine.comparisons",
    ),  # comparisons: what the command line prints too
    "engine.comparisons": ("engine.store", "engine.metrics", "engine.errors"),
    "dashboard.theme": (),
    "engine.metrics": (),
    "engine.records": (),
    "engine.errors": (),
    "engine.hyperparameters": (),
    "engine.config": ("engine.errors", "engine.hyperparameters"),
    "engine.rundir": ("engine.config", "engine.errors", "engine.records"),
    "engine.store": ("engine.rundir", "engine.errors"),
    "engine.losses": (),
    "engine.schedule": ("engine.config", "engine.errors"),
    "engine.logps": ("engine.batches", "engine.schedule"),
    "engine.tree": ("engine.batches", "engine.errors"),
    "engine.memory": ("engine.errors",),
    "engine.decoding": ("engine.batches", "engine.tree"),
    "engine.weights": ("engine.config", "engine.errors"),
    "engine.batches": ("engine.errors", "engine.records"),
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if (ROOT / node.module.replace(".", "/")).is_dir())


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in packages)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_engine_never_imports_the_dashboard(path: Path) -> None:
    if within(name_of(path), ("engine",)):
        assert not [m for m in imports(path) if within(m, ("dashboard",))]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_each_layer_imports_only_what_is_below_it(path: Path) -> None:
    for layer, allowed in LAYERS.items():
        if within(name_of(path), (layer,)):
            ours = {m for m in imports(path) if within(m, ("engine", "dashboard")) and m not in ("engine", "dashboard")}
            assert not [m for m in ours if not within(m, (layer, *allowed))]


@pytest.mark.parametrize("library", HOMES)
def test_library_has_one_home(library: str) -> None:
    users = {path.relative_to(ROOT).with_suffix("").as_posix() for path in SOURCES if any(within(m, (library,)) for m in imports(path))}
    assert users, f"nothing imports {library}: take it out of this list"
    assert not [u for u in users if not any(u == home or (home.endswith("/") and u.startswith(home)) for home in HOMES[library])]


def test_pages_and_queue_work_without_torch() -> None:
    modules = (
        "dashboard.data, dashboard.queries, dashboard.figures, dashboard.report, "
        "engine.jobs, engine.config, engine.store, engine.summary, engine.preflight"
    )
    heavy = ("torch", "transformers", "datasets", "umap", "sklearn")
    program = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_outgrows_its_ceiling(path: Path) -> None:
    """300 lines a file without blank ones, 60 a function, 80 a page."""
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) <= (80 if path.parent.name == "views" else 300)
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert not [f"{f.name} has {length} lines" for f in functions if (length := (f.end_lineno or 0) - f.lineno + 1) > 60]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_module_has_an_empty_name() -> None:
    assert not {p.stem for p in SOURCES} & {"utils", "helpers", "common", "base", "manager", "misc"}


def test_tables_are_declared_in_one_place() -> None:
    assert not [name_of(p) for p in SOURCES if "create table " in p.read_text().lower().replace("or replace ", "") and p.stem != "store"]
