"""What is imported is declared, what is declared is pinned, and an installed package has its data and its command."""

import ast
import fnmatch
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import dashboard.__main__

ROOT = Path(__file__).parents[1]
OWN = {"engine", "dashboard", "tests", "docs", *(path.stem for folder in ("tests", "docs") for path in (ROOT / folder).rglob("*"))}
OPTIONAL = {"vllm", "trl"}  # used where somebody has installed them
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def declared(*files: str) -> dict[str, str]:
    """{name: version} of requirements files."""
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in (line.partition("==") for line in lines)}


def imported(*folders: str) -> set[str]:
    """The top-level modules that are not Python's own."""
    found: set[str] = set()
    for tree in (ast.parse(path.read_text()) for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found |= {name.partition(".")[0] for name in names}
    return found - set(sys.stdlib_module_names) - OWN - OPTIONAL


@pytest.mark.parametrize(
    ("folders", "files"),
    [
        (("engine", "dashboard"), ("requirements.txt",)),
        (("tests", "docs"), ("requirements.txt", "requirements-dev.txt")),
    ],
)
def test_every_imported_library_is_declared(folders: tuple[str, ...], files: tuple[str, ...]) -> None:
    distributions = {module: {re.sub(r"[-_.]+", "-", d).lower() for d in found} for module, found in packages_distributions().items()}
    assert not {module for module in imported(*folders) if not distributions[module] & declared(*files).keys()}


def test_every_declared_library_is_pinned_to_one_version_in_one_file() -> None:
    product, development = declared("requirements.txt"), declared("requirements-dev.txt")
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in (product | development).values())
    assert not product.keys() & development.keys()


def test_every_data_file_of_engine_and_dashboard_is_part_of_the_package() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    patterns = [f"{package.replace('.', '/')}/{pattern}" for package, found in data.items() for pattern in found]
    found = [path for folder in ("engine", "dashboard") for path in (ROOT / folder).rglob("*") if path.is_file()]
    loose = [path for path in found if path.suffix != ".py" or not (path.parent / "__init__.py").is_file()]
    names = [path.relative_to(ROOT).as_posix() for path in loose if path.parent.name != "__pycache__"]
    assert names
    assert not [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]


def test_the_command_prefscope_is_the_engine_s_with_dashboard_and_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert PROJECT["project"]["scripts"] == {"prefscope": "dashboard.__main__:main"}
    monkeypatch.setattr(sys, "argv", ["prefscope", "formats"])
    assert dashboard.__main__.main() == 0
    assert "align-anything" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["prefscope", "report", "--help"])
    with pytest.raises(SystemExit):
        dashboard.__main__.main()
    assert "--out" in capsys.readouterr().out


def test_versions_agree(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The engine's own is the one that pyproject.toml reads, and the newest in the changelog."""
    from engine import __version__

    monkeypatch.setattr(sys, "argv", ["prefscope", "--version"])
    with pytest.raises(SystemExit):
        dashboard.__main__.main()
    assert capsys.readouterr().out == f"prefscope {__version__}\n"
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "engine.__version__"}
    newest = re.search(r"(?m)^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text())
    assert newest is not None
    assert newest[1] == __version__
