"""The database: made anew from the files at any time, shared by processes, and never ahead of what is on disk."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from filled import write_run

from engine.errors import StoreError
from engine.settings.config import RewardConfig
from engine.store import database, settling
from engine.store.rundir import RunDir, write_table, write_text
from engine.store.status import State

ROOT = Path(__file__).parents[1]
HOLD = """
import sys, duckdb
con = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reader")
print("open", flush=True)
sys.stdin.readline()
"""
INGEST = "import sys, pathlib; from engine.store import database; database.ingest(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))"


def contents(cache: Path) -> dict[str, pl.DataFrame]:
    with database.reading(cache) as con:
        return {name: database.frame(con, f"from {name} order by all") for name in sorted(database.tables(con))}


def assert_same(left: dict[str, pl.DataFrame], right: dict[str, pl.DataFrame]) -> None:
    assert left.keys() == right.keys()
    for name, frame in left.items():
        assert frame.equals(right[name]), name


def run_with_metrics(cache: Path, run_id: str = "20260101-000000-a", state: State = State.RUNNING, text: str = "") -> RunDir:
    run = write_run(cache, run_id, RewardConfig(dataset="d"), state)
    for step in (1, 2, 3):
        run.append_metrics(step, "train", {"loss": step / 10, "accuracy": 0.5}, step * 100, step * 1.5)
    with run.metrics_path.open("a") as file:
        file.write(text)
    return run


def curve(cache: Path) -> list[tuple[int, float]]:
    with database.reading(cache) as con:
        database.show_live(con, cache)
        return con.execute("select step, value from curves where name = 'loss' order by step").fetchall()


@pytest.fixture
def copy(toy_cache: Path, tmp_path: Path) -> Path:
    """A copy of a cache the engine has worked in, to be changed."""
    return Path(shutil.copytree(toy_cache, tmp_path / "copy"))


# Files are the truth


@pytest.mark.parametrize("made", ["toy_cache", "filled_cache"])
def test_deleted_database_comes_back_with_every_table_equal(made: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    cache = Path(shutil.copytree(request.getfixturevalue(made), tmp_path / "copy"))
    before = contents(cache)
    database.database_path(cache).unlink()
    database.rebuild(cache)
    assert_same(contents(cache), before)
    assert sum(frame.height > 0 for frame in before.values()) >= 12


def test_ingesting_again_changes_nothing(copy: Path) -> None:
    before = contents(copy)
    for folder in database.folders(copy):
        database.ingest(copy, folder)
    assert_same(contents(copy), before)


def test_a_repeated_measurement_of_an_answer_is_averaged_when_it_comes(copy: Path) -> None:
    """1 and then 3 and 5 of the same answer: 1, then 3."""
    about = {"scorer_id": "s", **contents(copy)["generations"].select("prompt_id", "text_id").row(0, named=True)}
    run = write_run(copy, "20260101-000000-again", RewardConfig(dataset="d"))
    write_table(run.path, "scorers", [{"scorer_id": "s", "name": "s", "kind": "imported"}])
    found = []
    for rewards in ([1.0], [1.0, 3.0, 5.0]):
        write_table(run.path, "rewards", [{**about, "reward": r, "record": i} for i, r in enumerate(rewards)])
        database.ingest(copy, run.path)
        found.append(contents(copy)["scored_answers"].filter(scorer_id="s")["reward"].to_list())
    assert found == [[1.0], [3.0]]


def test_unfinished_folders_are_not_read(copy: Path) -> None:
    write_table(copy / "datasets" / ".unfinished", "texts", [{"text_id": "x", "text": "x", "chars": 1, "words": 1, "language": "other"}])
    before = contents(copy)
    database.rebuild(copy)
    assert_same(contents(copy), before)


def test_no_database_reads_as_empty_tables(empty_cache: Path) -> None:
    assert all(frame.is_empty() for name, frame in contents(empty_cache).items() if name != "about")
    assert not empty_cache.exists()


def test_rows_that_do_not_fit_the_schema_leave_nothing_behind(copy: Path) -> None:
    before, run = contents(copy), write_run(copy, "20260101-000000-bad", RewardConfig(dataset="d"))
    write_table(run.path, "models", [{"model_id": "m", "kind": "reward", "base_model": "b"}])
    write_table(run.path, "rewards", [{"scorer_id": "s", "no_such_column": 1}])
    with pytest.raises(StoreError, match=r"rewards\.parquet does not fit the table rewards"):
        database.ingest(copy, run.path)
    assert_same(contents(copy), before)


# Versions


def test_database_of_another_version_is_refused_with_a_sentence_and_made_anew_by_a_writer(copy: Path) -> None:
    with database.writing(copy) as con:
        con.execute("update about set value = 'older' where name = 'schema_sha256'")
    with (
        pytest.raises(StoreError, match=r"was made by another version of Prefscope: run `\./run\.sh engine rebuild`"),
        database.reading(copy),
    ):
        pass
    database.ingest(copy, database.folders(copy)[0])
    assert contents(copy)["runs"].height == 5


def test_starting_makes_the_database_of_another_version_anew_and_leaves_a_broken_one(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What `./run.sh` does before it opens the dashboard, so that an update needs no other command."""
    with database.writing(copy) as con:
        con.execute("update about set value = 'older' where name = 'schema_sha256'")
    settling.renew(copy)
    assert contents(copy)["runs"].height == 5
    database.database_path(copy).write_text("not a database, but long enough to have a header to look at" * 100)
    settling.renew(copy)
    assert "cannot be opened" in caplog.text
    assert database.database_path(copy).read_text().startswith("not a database")


def test_file_that_is_no_database_is_refused_with_a_sentence(empty_cache: Path) -> None:
    empty_cache.mkdir()
    database.database_path(empty_cache).write_text("not a database, but long enough to have a header to look at" * 100)
    with pytest.raises(StoreError, match="cannot be opened"), database.reading(empty_cache):
        pass


# Killed processes, full disks


DIE_WRITING = """
import os, sys, duckdb
con = duckdb.connect(sys.argv[1])
con.execute("insert into about values ('half', 'done')")
os.kill(os.getpid(), 9)
"""
DIE_IN_A_FILE = """
import os, sys, pathlib
from engine.store.rundir import replacing, placing
with placing(pathlib.Path(sys.argv[1]) / "folder") as folder, replacing(pathlib.Path(sys.argv[1]) / "table.parquet") as file:
    if sys.argv[2] == "die":
        os.kill(os.getpid(), 9)
    print("open", flush=True)
    sys.stdin.readline()
"""
FULL_DISK = """
import resource, sys, pathlib
from engine.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
sys.exit(main(["rebuild"]))
"""


def killed_while_writing(cache: Path) -> None:
    subprocess.run([sys.executable, "-c", DIE_WRITING, str(database.database_path(cache))], check=False)
    assert database.log_of(database.database_path(cache)).stat().st_size > 0


def test_rebuilding_after_a_kill_leaves_a_database_that_opens(copy: Path) -> None:
    """The killed writer's log does not belong to the new file."""
    before = contents(copy)
    killed_while_writing(copy)
    database.rebuild(copy)
    assert_same(contents(copy), before)
    database.ingest(copy, database.folders(copy)[0])


def test_change_of_the_schema_after_a_kill_leaves_a_database_that_opens(copy: Path) -> None:
    before = contents(copy)
    with database.writing(copy) as con:
        con.execute("update about set value = 'older' where name = 'schema_sha256'")
    killed_while_writing(copy)
    database.ingest(copy, database.folders(copy)[0])
    assert_same(contents(copy), before)


def test_writing_goes_on_after_a_kill(copy: Path) -> None:
    killed_while_writing(copy)
    database.ingest(copy, database.folders(copy)[0])
    assert contents(copy)["runs"].height == 5


def test_rebuild_on_a_full_disk_is_a_sentence_and_the_old_database_stays(copy: Path) -> None:
    before = contents(copy)
    environment = {**os.environ, "PREFSCOPE_CACHE": str(copy)}
    done = subprocess.run([sys.executable, "-c", FULL_DISK], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "align.duckdb could not be made anew: " in done.stderr
    assert_same(contents(copy), before)
    assert not [*copy.glob(".align*")]


def test_database_path_that_is_a_folder_is_a_sentence(empty_cache: Path) -> None:
    database.database_path(empty_cache).mkdir(parents=True)
    for attempt in (database.reading(empty_cache), database.writing(empty_cache)):
        with pytest.raises(StoreError, match=r"align\.duckdb is a folder, expected the database's file"), attempt:
            pass


def unfinished(folder: Path) -> list[Path]:
    """What is being written there, made to look two minutes old."""
    found = [p for p in folder.iterdir() if p.name.startswith(".")]
    for path in found:
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 120))
    return found


def test_what_a_killed_process_left_unfinished_is_swept_at_the_next_write(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIE_IN_A_FILE, str(tmp_path), "die"], cwd=ROOT, check=False)
    assert len(unfinished(tmp_path)) == 2
    write_text(tmp_path / "other.json", "{}")
    assert [p.name for p in tmp_path.iterdir()] == ["other.json"]


def test_what_a_killed_process_left_of_a_deleted_folder_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".deleted-run" / "model").mkdir(parents=True)
    assert len(unfinished(tmp_path)) == 1
    write_text(tmp_path / "other.json", "{}")
    assert [p.name for p in tmp_path.iterdir()] == ["other.json"]


def test_what_an_earlier_version_left_of_a_database_goes_with_the_next_rebuild(empty_cache: Path) -> None:
    empty_cache.mkdir()
    for name in (".align.4711.duckdb", ".align.4711.duckdb.wal"):
        (empty_cache / name).touch()
    database.rebuild(empty_cache)
    assert sorted(p.name for p in empty_cache.iterdir()) == ["align.duckdb", "locks"]


def test_what_a_living_process_writes_is_never_swept(tmp_path: Path) -> None:
    call = [sys.executable, "-c", DIE_IN_A_FILE, str(tmp_path), "live"]
    with subprocess.Popen(call, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert len(unfinished(tmp_path)) == 2
        write_text(tmp_path / "other.json", "{}")
        writer.communicate("\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "other.json", "table.parquet"]


# What could not be ingested in time


def test_next_write_ingests_what_is_missing(copy: Path) -> None:
    """A run ended while the database was held open: its tables are in its folder only."""
    late, other = (run_with_metrics(copy, f"20260101-00000{i}-late", State.DONE) for i in range(2))
    write_table(late.path, "models", [{"model_id": "m", "kind": "reward", "base_model": "b"}])
    database.ingest(copy, other.path)
    assert contents(copy)["models"].filter(model_id="m").height == 1
    assert contents(copy)["metrics"].filter(run_id=late.id).height == 6


def test_run_is_done_only_when_its_tables_are_in_the_database(copy: Path) -> None:
    """Its work is done and nobody holds its lock: it waits for the database, and is not lost."""
    run = run_with_metrics(copy, "20260101-000000-late", State.FINALISING)
    assert (run.status.state, run.id in contents(copy)["runs"]["run_id"].to_list()) == ("finalising", False)
    settling.settle_waiting(copy)
    assert run.status.state == "done"
    assert contents(copy)["runs"].filter(run_id=run.id)["state"].to_list() == ["done"]


def test_damaged_folder_does_not_keep_others_from_being_ingested(copy: Path) -> None:
    damaged, whole = (run_with_metrics(copy, f"20260101-00000{i}-r", State.DONE) for i in range(2))
    write_table(damaged.path, "rewards", [{"scorer_id": "s", "no_such_column": 1}])
    database.ingest(copy, whole.path)
    assert contents(copy)["metrics"].select("run_id").unique().filter(pl.col("run_id").is_in([damaged.id, whole.id])).height == 1


# Several processes


def holder(cache: Path, kind: str) -> subprocess.Popen[str]:
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database.database_path(cache)), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert held.stdout is not None
    assert held.stdout.readline() == "open\n"
    return held


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_writer_waits_and_then_says_who_holds_the_database(copy: Path, kind: str) -> None:
    held = holder(copy, kind)
    with pytest.raises(StoreError, match=rf"was busy for 0 s: .*PID {held.pid}"), database.writing(copy, deadline_seconds=0.3):
        pass
    held.communicate("\n")
    with database.writing(copy, deadline_seconds=5) as con:
        assert con.execute("select count(*) from runs").fetchone() == (5,)


def test_readers_do_not_wait_for_readers(copy: Path) -> None:
    held = holder(copy, "reader")
    assert contents(copy)["runs"].height == 5
    held.communicate("\n")


def test_one_file_under_two_names_is_read_under_both_at_once(copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.symlink_to(copy)
    with database.reading(copy, deadline_seconds=0), database.reading(other, deadline_seconds=0) as con:
        assert con.execute("select count(*) from runs").fetchall() == [(5,)]


@pytest.mark.slow
def test_processes_writing_at_once_lose_nothing(empty_cache: Path) -> None:
    """Five processes, each with its own run, meet on a cache that has no database yet."""
    runs = [run_with_metrics(empty_cache, f"20260101-00000{i}-r", State.DONE) for i in range(5)]
    hidden = {run: run.path.rename(empty_cache / f"waiting-{run.id}") for run in runs}
    starters = []
    for run, away in hidden.items():
        away.rename(run.path)
        starters.append(subprocess.Popen([sys.executable, "-c", INGEST, str(empty_cache), str(run.path)], cwd=ROOT))
    assert [p.wait() for p in starters] == [0] * 5
    found = contents(empty_cache)
    assert found["runs"]["run_id"].to_list() == [run.id for run in runs]
    assert found["metrics"].height == 5 * 3 * 2


@pytest.mark.slow
def test_rebuilding_waits_for_a_writer(copy: Path) -> None:
    """What a writer commits while somebody rebuilds is in the new file, not in the one that was replaced."""
    run = run_with_metrics(copy, "20260101-000000-late", State.DONE)
    with database.writing(copy) as con:
        call = [
            sys.executable,
            "-c",
            "import sys, pathlib; from engine.store import database; database.rebuild(pathlib.Path(sys.argv[1]))",
            str(copy),
        ]
        rebuilding = subprocess.Popen(call, cwd=ROOT)
        database.ingest_into(con, run.path)
        with pytest.raises(subprocess.TimeoutExpired):
            rebuilding.wait(1.5)
    assert rebuilding.wait() == 0
    assert run.id in contents(copy)["runs"]["run_id"].to_list()


# Live curves


@pytest.mark.parametrize("torn", ["", '{"step": 4, "split": "train", "tok', '{"step": 4, "split": "train", "tokens": 1, "seconds": 1'])
def test_torn_last_line_is_left_out(empty_cache: Path, torn: str) -> None:
    run = run_with_metrics(empty_cache, text=torn)
    database.ingest(empty_cache, run.path)
    assert curve(empty_cache) == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert contents(empty_cache)["metrics"].height == 6


@pytest.mark.parametrize("state", [State.RUNNING, State.FAILED, State.DONE])
def test_each_step_counts_once_whichever_place_it_came_from(empty_cache: Path, state: State) -> None:
    run = run_with_metrics(empty_cache, state=state)
    database.ingest(empty_cache, run.path)
    if state != "done":
        run.append_metrics(4, "train", {"loss": 0.4}, 400, 6.0)
    assert curve(empty_cache) == [(1, 0.1), (2, 0.2), (3, 0.3)] + [(4, 0.4)] * (state != "done")


def test_only_files_that_the_database_lacks_are_read(empty_cache: Path) -> None:
    """Of a done, a failed, a cancelled and a running run with the same steps, only the one that has gone on since they were ingested."""
    states = (State.DONE, State.FAILED, State.CANCELLED, State.RUNNING)
    runs = [run_with_metrics(empty_cache, f"20260101-000000-{n}", state) for n, state in enumerate(states)]
    for run in runs:
        database.ingest(empty_cache, run.path)
    runs[3].append_metrics(4, "train", {"loss": 0.4}, 400, 6.0)
    with database.reading(empty_cache) as con:
        assert database.show_live(con, empty_cache, drawn=[runs[0].id]) == []
        assert database.show_live(con, empty_cache) == [runs[3].id]
        steps = con.execute("select count(*) from curves where name = 'loss' group by run_id order by run_id").fetchall()
    assert steps == [(3,), (3,), (3,), (4,)]


def test_live_curve_needs_no_database(empty_cache: Path) -> None:
    run_with_metrics(empty_cache)
    assert curve(empty_cache) == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_lines_cut_by_a_resume_leave_the_curve(empty_cache: Path) -> None:
    run = run_with_metrics(empty_cache)
    database.ingest(empty_cache, run.path)
    run.cut_metrics(1)
    assert curve(empty_cache) == [(1, 0.1)]


def test_resumed_and_shorter_run_leaves_no_old_steps_in_the_database(empty_cache: Path) -> None:
    run = run_with_metrics(empty_cache)
    database.ingest(empty_cache, run.path)
    run.cut_metrics(1)
    run.update(state=State.DONE)
    database.ingest(empty_cache, run.path)
    assert curve(empty_cache) == [(1, 0.1)]


def test_values_keep_their_digits(empty_cache: Path) -> None:
    run = run_with_metrics(empty_cache, state=State.DONE)
    run.append_metrics(4, "train", {"loss": 0.1234567890123456}, 400, 6.0)
    database.ingest(empty_cache, run.path)
    assert curve(empty_cache)[-1] == (4, 0.1234567890123456)
    assert json.loads(run.metrics_path.read_text().splitlines()[-1])["values"]["loss"] == 0.1234567890123456
