"""Slices under a name, and runs that work on a slice."""

import json
from pathlib import Path

import pytest
from filled import DATASET
from tiny import Unrecorded, executed, reward_config, table

from engine.__main__ import main
from engine.data.datasets_io import load_pairs
from engine.data.records import words
from engine.errors import ConfigError, DataError, RunError
from engine.planning.preflight import preflight
from engine.queue import jobs
from engine.queue.run import execute
from engine.settings.config import GenerateConfig, RewardConfig, parse
from engine.settings.slices import OneOf, Range, Slice
from engine.store import database
from engine.store.saved_slices import damaged_slices, delete, named, rename, save, saved, slice_from

HARD = Slice(dataset_id="d", predicates=(Range(field="margin", high=0, scorer="s"),), name="hard")
NAMES = ["hard", "../../etc/passwd", "x" * 80, "先難しい", "[link](http://a) <b> $x$", "a/b.json", "con", "' or 1=1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_slice_is_found_under_its_name_whatever_the_name(cache: Path, name: str) -> None:
    kept = HARD.model_copy(update={"name": name})
    path = save(cache, kept)
    assert path.parent == cache / "slices"
    assert (saved(cache), slice_from(cache, name)) == ([kept], kept)
    rename(cache, name, "other")
    assert [found.name for found in saved(cache)] == ["other"]
    delete(cache, "other")
    assert list((cache / "slices").iterdir()) == []


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "\x1b[31m", "{}", " padded"])
def test_a_name_that_would_be_taken_for_something_else_is_refused(cache: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"expected a name on one line that does not begin with \{"):
        save(cache, HARD.model_copy(update={"name": name}))
    assert saved(cache) == []


def test_another_slice_under_a_taken_name_is_refused_unless_it_may_replace_it(cache: Path) -> None:
    other = HARD.model_copy(update={"inverted": True})
    save(cache, HARD)
    save(cache, HARD)
    with pytest.raises(DataError, match="a slice called 'hard' is there already"):
        save(cache, other)
    save(cache, other, replace=True)
    assert saved(cache) == [other]
    with pytest.raises(DataError, match=r"slice 'soft' not found in .*, expected one of hard"):
        named(cache, "soft")


DAMAGED = {
    "{": "cannot be read",
    "[]": "has no format number and slice",
    '{"format": 1}': "has no format number and slice",
    '{"format": 2, "slice": {}}': "is of format 2, which a later version wrote: this one reads 1",
    '{"format": 1, "slice": {"dataset_id": "d", "name": "x", "predicates": [{"kind": "like"}]}}': "'like'",
    '{"format": 1, "slice": {"dataset_id": "d"}}': "is called ''",
    '{"format": 1, "slice": {"dataset_id": "d", "name": "\\ud800"}}': "cannot be read",
    "[" * 100_000: "cannot be read",
    "\x00\xff": "cannot be read",
}


def test_damaged_files_are_named_and_block_no_other(cache: Path) -> None:
    save(cache, HARD)
    for number, content in enumerate(DAMAGED):
        (cache / "slices" / f"{number}.json").write_text(content, encoding="latin-1")
    found = damaged_slices(cache)
    for number, sentence in enumerate(DAMAGED.values()):
        path = cache / "slices" / f"{number}.json"
        assert str(path) in found[path]
        assert sentence in found[path]
        assert "\n" not in found[path]
    assert saved(cache) == [HARD]
    delete(cache, "0.json")
    assert len(damaged_slices(cache)) == len(DAMAGED) - 1


def test_unknown_keys_of_a_file_are_ignored(cache: Path) -> None:
    path = save(cache, HARD)
    path.write_text(json.dumps({**json.loads(path.read_text()), "made_by": "somebody"}))
    assert saved(cache) == [HARD]


# Runs


def longer(dataset: str) -> Slice:
    """The chosen response is at most five words shorter: two thirds of the toy pairs."""
    return Slice(dataset_id=dataset, predicates=(Range(field="longer_by", low=-5),), name="longer")


def longer_pairs(cache: Path, dataset: str, split: str) -> list[str]:
    return [p.pair_id for p in load_pairs(cache, dataset, split) if words(p.chosen) - words(p.rejected) >= -5]


def test_a_run_of_a_slice_trains_on_its_training_pairs_and_a_resumed_one_on_the_same(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """Which pairs these are is found when it begins: without a database nothing of a slice could be found the second time."""
    trained, left_out = (longer_pairs(cache, dataset, split) for split in ("train", "validation"))
    run = executed(cache, reward_config(dataset, tiny_llama, slice=longer(dataset)))
    database.database_path(cache).unlink()
    progress = Unrecorded(cache, run)
    progress.listen()
    execute(progress)
    assert run.status.error is None
    assert table(run, "trained_on")["pair_id"].to_list() == trained
    assert 0 < len(trained) < 12
    assert f"{len(trained)} pairs of the slice are in train; left out: {len(left_out)} of validation" in run.status.notes


def test_a_generation_run_of_a_slice_answers_its_prompts(cache: Path, dataset: str, tiny_llama: Path) -> None:
    asked = {"policy": str(tiny_llama), "max_new_tokens": 2, "device": "cpu", "precision": "fp32", "slice": longer(dataset)}
    run = executed(cache, GenerateConfig.model_validate({"dataset": dataset, **asked}))
    expected = {p.prompt_id for p in load_pairs(cache, dataset, "validation") if p.pair_id in longer_pairs(cache, dataset, "validation")}
    assert set(table(run, "generations")["prompt_id"]) == expected
    assert expected


def test_what_is_left_of_a_slice_is_said_before_the_run(
    cache: Path, dataset: str, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the saved slice's name, on the command line; and the list of slices says the same."""
    monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
    assert main(["slices", "save", longer(dataset).as_json()]) == 0
    train, validation = (len(longer_pairs(cache, dataset, split)) for split in ("train", "validation"))
    assert main(["reward", "--dataset", dataset, "--model", str(tiny_llama), "--batch-size", "2", "--slice", "longer", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"work    {train} pairs" in said
    assert f"slice   {train} pairs of the slice are in train; left out: {validation} of validation" in said
    assert main(["slices"]) == 0
    assert f": {train} of 12 train, {validation} of 6 validation" in capsys.readouterr().out
    assert main(["slices", "delete", "longer"]) == 0
    assert saved(cache) == []
    assert main(["summary", "--slice", "longer"]) == 1
    assert "slice 'longer' not found" in capsys.readouterr().err


def test_a_slice_without_a_training_pair_is_refused_before_the_run_is_queued(filled_cache: Path) -> None:
    """Its scorer has scored the validation pairs alone."""
    with database.reading(filled_cache) as con:
        ((scorer,),) = con.execute("select scorer_id from scorers where kind = 'head'").fetchall()
    wrong = Slice(dataset_id=DATASET, predicates=(Range(field="margin", high=0, scorer=scorer),))
    sentence = "the slice leaves nothing of split 'train': reward model has not scored split 'train', on which “margin” depends"
    config = RewardConfig(dataset=DATASET, slice=wrong)
    assert any(problem.startswith(sentence) for problem in preflight(filled_cache, config, tokens=False).problems)
    with pytest.raises(RunError, match=sentence):
        jobs.submit_one(filled_cache, config)
    nobody = Slice(dataset_id=DATASET, predicates=(OneOf(field="source", values=("nowhere",)),))
    with pytest.raises(RunError, match=r"0 pairs of the slice are in train$"):
        jobs.submit_one(filled_cache, RewardConfig(dataset=DATASET, slice=nobody))


def test_a_slice_of_another_dataset_is_refused() -> None:
    with pytest.raises(ConfigError, match="slice is of dataset 'd', expected the run's own, 'e'"):
        parse({"kind": "reward", "dataset": "e", "slice": HARD.as_json()})
    with pytest.raises(ConfigError, match="slice: margin has no scorer"):
        parse({"kind": "reward", "dataset": "d", "slice": HARD.as_json().replace(',"scorer":"s"', "")})
    written = parse({"kind": "reward", "dataset": "d", "slice": HARD.as_json()})
    assert parse(written.model_dump(mode="json")) == written
