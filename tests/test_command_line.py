"""The command line says what it did, and what went wrong in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filled import DATASET

from engine.__main__ import main
from engine.data.datasets_io import dataset_ids
from engine.data.formats import FORMATS
from engine.settings.config import CONFIGS, SET_BY_THE_QUEUE
from engine.store.rundir import run_dirs, wait_for_lock

ROOT = Path(__file__).parents[1]
RECORD = {"question": "How do I start?", "response_1": "Slowly.", "response_2": "Never.", "overall_response": 1}
REWARD_KEYS = {"name", "kind", "dataset", "split", "n", "accuracy", "reward_mean", "reward_std"}
POLICY_KEYS = {"name", "loss", "n", "win_rate", "reward_difference", "answers"}


@pytest.fixture
def cache(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command line's cache, empty."""
    monkeypatch.setenv("PREFSCOPE_CACHE", str(empty_cache))
    return empty_cache


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    records = [{**RECORD, "question": f"How do I start number {i}?"} for i in range(10)]
    path.write_text("".join(json.dumps(r) + "\n" for r in [*records, {**RECORD, "overall_response": 3}]))
    return path


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.usefixtures("cache")
def test_formats_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = outcome(capsys, "formats")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(FORMATS)


def test_where_the_locale_is_ascii_files_are_utf_8_all_the_same(tmp_path: Path) -> None:
    """Read and written so; what the terminal has no character for is printed as an escape."""
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({**RECORD, "question": "Où est-ce ?"}, ensure_ascii=False), encoding="utf-8")
    ascii_ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PREFSCOPE_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "engine", "sample", f"train={pairs}"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **ascii_}, capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    assert rb"O\u00f9 est-ce ?" in done.stdout


def test_output_that_nobody_reads_to_its_end_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "engine", "formats"]
    environment = {**os.environ, "PREFSCOPE_CACHE": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.stderr == b""


def test_import_says_what_was_kept_and_why_the_rest_was_dropped(cache: Path, pairs_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = outcome(capsys, "import", f"train={pairs_file}", "--name", "ten", "--licence", "MIT")
    (dataset,) = dataset_ids(cache)
    assert status == 0
    assert out.splitlines()[0] == f"{dataset}: format align-anything, kept 10 pairs 10 train"
    assert "  dropped 1: bad_label" in out.splitlines()
    assert str(cache / "datasets" / dataset / "rejects.jsonl") in out


def test_import_keeps_the_stated_splits(cache: Path, pairs_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "held.jsonl").write_text(json.dumps({**RECORD, "question": "Another?"}) + "\n")
    status, out, _ = outcome(capsys, "import", f"train={pairs_file}", f"validation={tmp_path / 'held.jsonl'}", "--name", "two")
    assert status == 0
    assert "10 train, 1 validation" in out
    assert len(dataset_ids(cache)) == 1


def test_strict_import_fails_on_the_first_refused_record(cache: Path, pairs_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = outcome(capsys, "import", str(pairs_file), "--strict")
    assert status == 1
    assert err == f"error: {pairs_file} line 11: overall_response is 3, expected 1 or 2 (bad_label)\n"
    assert dataset_ids(cache) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["import", "no/such/file.jsonl"], "no/such/file.jsonl"),
        (["import", "a.jsonl", "b.jsonl"], "several sources need a split each"),
        (["results", "import", "no-such-file.json"], "no-such-file.json"),
        (["results", "import", "/dev/zero"], "it is a device, expected a regular file"),
        (["results", "import", "."], "it is a folder, expected a regular file"),
        (["results", "import", "x", "--map", "x"], "--map is 'x', expected COLUMN=FIELD"),
        (["results", "import", "x", "--map", "=x"], "--map is '=x', expected COLUMN=FIELD"),
        (["results", "import", "x", "--map", "a=b", "--map", "a=c"], "--map a= is given twice, as 'b' and 'c'"),
        (["results", "import", "x", "--generator", "a", "b"], "--generator is 'a', expected one NAME, or FIELD=NAME for each"),
        (["results", "import", "x", "--scorer", "a=b", "a=c"], "--scorer a= is given twice, as 'b' and 'c'"),
        (["results", "import", "\udcff.jsonl"], r"\udcff.jsonl cannot be read: no such file"),
        (["import", "starter", "--option", "x"], "--option is 'x', expected KEY=VALUE"),
        (["import", "starter", "--option", "label=a", "--option", "label=b"], "--option label= is given twice, as 'a' and 'b'"),
        (["import", "train=a.jsonl", "train=b.jsonl"], "source train= is given twice, as 'a.jsonl' and 'b.jsonl'"),
        (["import", "train="], "source is 'train=', expected SPLIT=SOURCE"),
        (["import", ""], "the source is empty"),
        (["import", "/dev/zero"], "is a device, expected a regular file or a folder"),
        (["import", "\udcff.jsonl"], r"source \udcff.jsonl: no such file or folder"),
        (["import", "starter", "--name", "\udcff"], r"name is '\udcff', expected UTF-8 text"),
        (["import", "starter", "--licence", "\udcff"], r"licence is '\udcff', expected UTF-8 text"),
        (["import", "starter", "--format", "\udcff"], r"format is '\udcff', expected one of"),
        (["experiment", "no-such-preset"], "preset 'no-such-preset' not found: expected one of"),
        (["runs", "cancel", "nowhere"], "run 'nowhere' not found"),
        (["runs", "cancel"], "runs cancel needs the id of a run"),
        (["run", "../x"], "run '../x' not found"),
        (["reward", "--dataset", "d", "--batch-size", "0", "--learning-rate", "fast"], "batch_size is '0'"),
        (["score", "--dataset", "d", "--reward-models", "x", "--max-tokens", "3"], "max_tokens is '3'"),
    ],
)
@pytest.mark.usefixtures("cache")
def test_what_is_wrong_is_one_line_and_status_1(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = outcome(capsys, *arguments)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["import", "starter"], ["rebuild"], ["embed", "--dataset", "d"]])
def test_cache_that_cannot_be_a_folder_is_one_line(tmp_path: Path, pairs_file: Path, arguments: list[str]) -> None:
    """As with a folder without rights: a file stands where the cache should be. A process of its own shows no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "engine", *arguments],
        cwd=ROOT, env={**os.environ, "PREFSCOPE_CACHE": str(pairs_file)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert str(pairs_file) in done.stderr


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_field_of_a_run_is_an_option(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([kind, "--help"])
    said = capsys.readouterr().out
    for name in CONFIGS[kind].model_fields:
        assert name in SET_BY_THE_QUEUE or f"--{name.replace('_', '-')}" in said


def test_submitted_run_has_the_stated_values_and_its_parents(
    cache: Path, pairs_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = wait_for_lock(cache / "locks" / "cpu.lock", 5)
    for split in "ab":
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({**RECORD, "question": f"What is {split}?"}) + "\n")
    outcome(capsys, "import", f"train={pairs_file}", f"a={tmp_path / 'a.jsonl'}", f"b={tmp_path / 'b.jsonl'}")
    common = ["--dataset", dataset_ids(cache)[0], "--device", "cpu"]
    asked = ["--model", "nobody/has-this-model", "--loss.beta", "0.3", "--validation-splits", "a", "b"]
    policy = outcome(capsys, "policy", *common, *asked)[1].strip()
    outcome(capsys, "generate", *common, "--split", "a", "--policy", policy)
    first, second = run_dirs(cache)
    assert first.id == policy
    assert first.config_values["loss"] == {"name": "dpo", "beta": 0.3, "label_smoothing": 0.0}
    assert first.config_values["validation_splits"] == ["a", "b"]
    assert second.config.parents == (policy,)
    status, out, _ = outcome(capsys, "runs")
    assert status == 0
    assert [line.split()[:3] for line in out.splitlines()] == [[policy, "policy", "queued"], [second.id, "generate", "queued"]]
    os.close(lock)


def test_summary_of_nothing_says_so(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing has been scored yet" in outcome(capsys, "summary")[1]
    assert not any(json.loads(outcome(capsys, "summary", "--json")[1]).values())
    assert not cache.exists()


@pytest.mark.parametrize("made", ["filled_cache", "toy_cache"])
def test_summary_holds_every_model_and_policy_with_intervals(
    made: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(request.getfixturevalue(made)))
    found = json.loads(outcome(capsys, "summary", "--json")[1])
    assert {r["kind"] for r in found["reward_models"]} >= {"head", "untrained_head"}
    for r in found["reward_models"]:
        assert set(r) >= REWARD_KEYS
        assert r["accuracy"]["low"] <= r["accuracy"]["value"] <= r["accuracy"]["high"]
        assert "interval" in r["accuracy"]["method"] or "bootstrap" in r["accuracy"]["method"]
        assert (r["reward_mean"]["n"], r["reward_mean"]["counted"]) == (2 * r["n"], "rewards")
    assert {p["scorer_kind"] for p in found["policies"]} == {"head", "untrained_head"}
    for p in found["policies"]:
        assert set(p) >= POLICY_KEYS
        assert p["loss"] == "dpo"
        assert p["win_rate"]["low"] <= p["win_rate"]["value"] <= p["win_rate"]["high"]


def test_summary_is_a_table_for_people(filled_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(filled_cache))
    said = outcome(capsys, "summary")[1]
    assert "untrained" in said
    assert f"{DATASET.split('-')[0]} / validation" in said
    assert "win rate" in said
    assert "Wilson's interval" in said


def test_implicit_rewards_carry_their_unit(toy_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """DPO's is 0.1 times a sum over the response's tokens; a head's is its own."""
    monkeypatch.setenv("PREFSCOPE_CACHE", str(toy_cache))
    lines = outcome(capsys, "summary")[1].splitlines()
    assert [line for line in lines if "implicit reward" in line and line.endswith("0.1 × sum of nats")]
    assert [line for line in lines if line.startswith("toy ") and line.endswith("own")]
