"""One damaged folder is named and left out; every command and page works as if it were not there, and it can be deleted."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from streamlit.testing.v1 import AppTest
from tiny import executed, listening, metrics, prepared, reward_config

from engine.__main__ import main
from engine.data.datasets_io import count_missing_words, import_dataset, load_pairs
from engine.errors import DataError, RunError
from engine.kinds.checkpoints import Done, checkpoints, read_checkpoint, save_checkpoint, step_of
from engine.planning.preflight import preflight
from engine.queue import removal
from engine.queue.run import execute
from engine.settings.config import ScoreConfig
from engine.store import database
from engine.store.damage import damaged
from engine.store.rundir import RunDir, run_dirs, write_json

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
PAGES = sorted(path.name for path in (ROOT / "dashboard" / "views").glob("*.py"))

Way = Callable[[bytes], bytes]


def with_json(**changes: Any) -> Way:
    """The object with other values; a key whose value is ... is taken out."""

    def changed(content: bytes) -> bytes:
        values = {**json.loads(content), **changes}
        return json.dumps({name: value for name, value in values.items() if value is not ...}).encode()

    return changed


def with_table(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Way:
    def changed(content: bytes) -> bytes:
        written = io.BytesIO()
        change(pl.read_parquet(io.BytesIO(content))).write_parquet(written)
        return written.getvalue()

    return changed


BROKEN: dict[str, Way] = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "a list": lambda content: b"[]",
    "bytes": lambda content: bytes(range(256)),
}
CONFIG = BROKEN | {
    "null": lambda content: b"null",
    "no kind": with_json(kind=...),
    "no dataset": with_json(dataset=...),
    "kind a list": with_json(kind=["reward"]),
    "parents a number": with_json(parents=3),
}
STATUS = BROKEN | {
    "no state": with_json(state=...),
    "unknown state": with_json(state="asleep"),
    "pid a word": with_json(pid="x"),
    "notes a number": with_json(notes=7),
}
COLUMNS = {
    "a column less": with_table(lambda rows: rows.drop(rows.columns[0])),
    "a column more": with_table(lambda rows: rows.with_columns(pl.lit(1).alias("surprise"))),
    "empty keys": with_table(lambda rows: rows.with_columns(pl.lit(None, pl.String).alias(rows.columns[0]))),
}
TABLE = BROKEN | {"middle lost": lambda content: content[:8] + bytes(len(content) - 16) + content[-8:]}
FILES: dict[str, dict[str, Way]] = {
    "runs/20260102-000100-rm/config.json": CONFIG,
    "runs/20260102-000100-rm/status.json": STATUS,
    "runs/20260102-000600-score/rewards.parquet": TABLE | COLUMNS,
    "datasets/kitchen-0a1b2c3d/datasets.parquet": TABLE | COLUMNS,
    "datasets/kitchen-0a1b2c3d/pairs.parquet": TABLE | COLUMNS,
    "studies/batch/studies.parquet": TABLE | COLUMNS,
}
CASES = [(file, way) for file, ways in FILES.items() for way in ways]
SILENT = {"empty keys"}  # only a table's contents tell


def folder_of(cache: Path, file: str, way: str) -> Path:
    """Where the copy of a file's folder lies that was damaged in this way."""
    folder = cache / Path(file).parent
    return folder.with_name(f"{folder.name}-{Path(file).stem}-{way.replace(' ', '-')}")


@pytest.fixture(scope="module")
def damaged_cache(filled_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole experiment, and beside each folder copies of it, each with one file damaged in one way."""
    cache = Path(shutil.copytree(filled_cache, tmp_path_factory.mktemp("damaged") / "cache"))
    for file, way in CASES:
        copy = Path(shutil.copytree(cache / Path(file).parent, folder_of(cache, file, way)))
        path = copy / Path(file).name
        path.write_bytes(FILES[file][way](path.read_bytes()))
    return cache


@pytest.fixture(scope="module")
def named(damaged_cache: Path) -> list[str]:
    """What a rebuild leaves out. Every folder that is whole is in the database afterwards."""
    count_missing_words(damaged_cache)
    return database.rebuild(damaged_cache)


@pytest.mark.parametrize(("file", "way"), CASES, ids=[f"{Path(file).name} {way}" for file, way in CASES])
def test_a_damaged_file_is_named_wherever_folders_are_listed(file: str, way: str, damaged_cache: Path, named: list[str]) -> None:
    path = folder_of(damaged_cache, file, way) / Path(file).name
    assert [why for why in named if str(path) in why or f"{path.parent} " in why]
    listed = damaged(damaged_cache)
    assert way in SILENT or str(path) in listed[path.parent]


def test_nothing_whole_is_left_out(damaged_cache: Path, filled_cache: Path, named: list[str]) -> None:
    assert len(named) == len(CASES)
    assert not damaged(filled_cache)
    with database.reading(damaged_cache) as con, database.reading(filled_cache) as whole:
        for table in database.tables(con):
            if table != "about":
                counted = f"select count(*) from {table}"
                assert con.execute(counted).fetchone() == whole.execute(counted).fetchone(), table


@pytest.mark.parametrize("command", [["summary", "--json"], ["groups", "--json"], ["study", "show", "batch", "--json"]])
def test_numbers_are_those_of_the_whole_folders(
    command: list[str],
    damaged_cache: Path,
    filled_cache: Path,
    named: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = []
    for cache in (damaged_cache, Path(shutil.copytree(filled_cache, damaged_cache.parent / command[0]))):
        monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
        assert main(command) == 0
        answers.append(json.loads(capsys.readouterr().out, parse_float=lambda number: round(float(number), 9)))
    assert answers[0] == answers[1]


def test_lists_show_the_whole_and_name_the_damaged(
    damaged_cache: Path, filled_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(damaged_cache))
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for run in run_dirs(filled_cache):
        assert any(line.startswith(f"{run.id} ") and " damaged " not in line for line in lines)
    wrong = [line for line in lines if " damaged " in line]
    assert len(wrong) == len([case for case in CASES if case[0].startswith("runs/") and case[1] not in SILENT])
    assert main(["datasets"]) == 0
    out = capsys.readouterr().out
    assert "kitchen-0a1b2c3d  " in out
    assert out.count("damaged: ") == len([case for case in CASES if case[0].startswith("datasets/") and case[1] not in SILENT])


def test_another_run_is_checked_and_a_damaged_dataset_or_run_is_refused_with_its_file(
    damaged_cache: Path, tiny_llama: Path, filled_cache: Path
) -> None:
    config = reward_config("kitchen-0a1b2c3d", tiny_llama, batch_size=2, validation_splits=("validation",))
    assert preflight(damaged_cache, config).problems == ()
    assert preflight(damaged_cache, config).items == preflight(filled_cache, config).items
    for file, way in CASES:
        folder = folder_of(damaged_cache, file, way)
        if "datasets.parquet" in file and way not in ("a column more", "a column less", "empty keys"):
            assert str(folder) in preflight(damaged_cache, config.model_copy(update={"dataset": folder.name}), tokens=False).problems[0]
        if folder.parent.name == "runs" and "rewards" not in file:
            score = ScoreConfig(dataset="kitchen-0a1b2c3d", reward_models=(folder.name,), splits=("validation",))
            assert str(folder) in preflight(damaged_cache, score, tokens=False).problems[0]


@pytest.mark.parametrize("page", PAGES)
def test_pages_show_the_whole_and_name_the_damaged(
    page: str, damaged_cache: Path, named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(damaged_cache))
    app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=60)
    app.switch_page(f"views/{page}")
    app.run()
    assert not app.exception
    assert not app.error
    kinds = {"runs.py": ("runs", "studies"), "data.py": ("datasets", "results")}.get(page)
    assert len(app.warning) == (len(damaged(damaged_cache, *kinds)) if kinds else 0)


# Deleting


def test_a_damaged_run_is_deleted(own_cache: Path) -> None:
    run = RunDir(own_cache / "runs" / "20260102-000700-map")
    (run.path / "config.json").write_text("[]")
    (run.path / "status.json").unlink()
    removal.delete(own_cache, run.id)
    assert not run.path.exists()
    with pytest.raises(RunError, match="not found"):
        removal.delete(own_cache, run.id)


def test_a_damaged_dataset_is_deleted_once_no_run_is_about_it(own_cache: Path) -> None:
    folder = own_cache / "datasets" / "kitchen-0a1b2c3d"
    (folder / "pairs.parquet").write_bytes(b"")
    with pytest.raises(RunError, match=r"is used by .*rm \(reward model\)"):
        removal.delete_import(own_cache, folder.name)
    shutil.rmtree(own_cache / "runs")
    removal.delete_import(own_cache, folder.name)
    assert not folder.exists()
    for name in ("nowhere", "..", "../datasets/kitchen-0a1b2c3d"):
        with pytest.raises(RunError, match="not found"):
            removal.delete_import(own_cache, name)


def test_a_damaged_study_is_deleted_and_its_runs_stay(own_cache: Path) -> None:
    (own_cache / "studies" / "batch" / "studies.parquet").write_bytes(b"")
    runs = len(run_dirs(own_cache))
    removal.delete_study(own_cache, "batch")
    assert (list((own_cache / "studies").iterdir()), len(run_dirs(own_cache))) == ([], runs)
    for name in ("batch", "..", "../runs"):
        with pytest.raises(RunError, match="not found"):
            removal.delete_study(own_cache, name)


def test_a_damaged_dataset_is_replaced_when_it_is_imported_again(cache: Path, dataset: str) -> None:
    pairs = load_pairs(cache, dataset, "train")
    (cache / "datasets" / dataset / "texts.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"texts\.parquet cannot be read"):
        load_pairs(cache, dataset, "train")
    sources = {split: str(cache.parent / f"{cache.name}-{split}.jsonl") for split in ("train", "validation")}
    made = import_dataset(cache, "toy", sources)
    assert "was damaged and is replaced" in made.notes[-1]
    assert load_pairs(cache, dataset, "train") == pairs


# Curves and checkpoints

LINES = [
    b"garbage",
    b"[]",
    b"\xff\xfe\x00",
    b'{"step": "x"}',
    b'{"step": 2, "split": null, "values": {"a": 1}}',
    b'{"step": 2, "split": "train", "values": {"a": null}}',
    b'{"step": 2, "split": "train", "values": {"a": "x"}}',
    b'{"step": 2, "split": "train"',
]


@pytest.mark.parametrize("line", LINES)
def test_a_damaged_line_of_the_metrics_is_named_and_the_rest_kept(line: bytes, cache: Path, dataset: str) -> None:
    run = prepared(cache, reward_config(dataset, "m"))
    for step in (1, 3):
        run.append_metrics(step, "train", {"loss": 0.5}, 9, 1.0)
    first, last = run.metrics_path.read_bytes().splitlines()
    run.metrics_path.write_bytes(b"\n".join([first, line, last, b""]))
    database.ingest(cache, run.path)
    with database.reading(cache) as con:
        database.show_live(con, cache)
        assert con.execute("select step from metrics order by step").fetchall() == [(1,), (3,)]
        assert con.execute("select step from curves order by step").fetchall() == [(1,), (3,)]
    assert damaged(cache) == {run.path: f"{run.metrics_path} line 2: no measurement, left out"}
    run.cut_metrics(2)
    assert [x.step for x in run.measured] == [1]


DAMAGED_CHECKPOINTS: dict[str, dict[str, Way]] = {
    "weights.safetensors": BROKEN,
    "optimizer.pt": BROKEN,
    "state.json": BROKEN | {"other keys": lambda content: b'{"stop": 1}'},
}


@pytest.mark.parametrize("file", DAMAGED_CHECKPOINTS)
def test_a_damaged_checkpoint_is_not_read(file: str, cache: Path) -> None:
    run, net = prepared(cache, reward_config("d", "m")), torch.nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(3)).backward()
    optimizer.step()
    save_checkpoint(run, net, optimizer, Done(1), 2)
    path = checkpoints(run)[-1] / file
    content = path.read_bytes()
    assert read_checkpoint(path.parent, net)[2] == Done(1)
    for damage in DAMAGED_CHECKPOINTS[file].values():
        path.write_bytes(damage(content))
        with pytest.raises(Exception):  # noqa: B017, PT011 -- each library raises its own
            read_checkpoint(path.parent, net)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="weight has the shape"):
        read_checkpoint(path.parent, torch.nn.Linear(4, 1))


def test_resuming_falls_back_to_the_older_whole_checkpoint(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """12 pairs, batch 3: 4 steps, a checkpoint after each; stopped after 3. The end is that of a run that nobody stopped."""
    config = reward_config(dataset, tiny_llama, batch_size=3, checkpoint_every=1)
    whole, run = executed(cache, config), prepared(cache, config)
    progress = listening(cache, run)
    advance = progress.advance

    def stop_after_three(step: int, steps: int) -> None:
        advance(step, steps)
        progress.stopping = progress.stopping or (progress.run.status.stage == "training" and step == 2)  # noticed at the next step

    progress.advance = stop_after_three  # type: ignore[method-assign]
    assert execute(progress) == "cancelled"
    assert [step_of(folder) for folder in checkpoints(run)] == [2, 3]
    (checkpoints(run)[-1] / "weights.safetensors").write_bytes(b"")
    assert execute(listening(cache, run)) == "done"
    assert "checkpoint step-0000003 is damaged and left out" in run.status.notes[-1]
    assert metrics(run) == metrics(whole)


def test_without_a_whole_checkpoint_a_run_begins_anew(cache: Path, dataset: str, tiny_llama: Path) -> None:
    config = reward_config(dataset, tiny_llama, checkpoint_every=1)
    whole, run = executed(cache, config), prepared(cache, config)
    write_json(run.path / "checkpoints" / "step-0000001" / "state.json", {"step": 1})
    assert execute(listening(cache, run)) == "done"
    assert metrics(run) == metrics(whole)
