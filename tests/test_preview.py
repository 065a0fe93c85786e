"""What a page and `import --dry-run` show of a source before anything is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.data import preview
from engine.data.datasets_io import dataset_ids, import_dataset
from engine.data.preview import as_json, check, from_json, sample
from engine.errors import DataError

GOOD_BAD = "prompt,good,bad\nWhy?,Because.,No.\nHow?,So.,Not.\nWho?,Me.,Me.\n,Yes.,No.\nWhy?,Because.,No.\n"
REASONS = [("equal_responses", 1, 4), ("empty_text", 1, 5), ("duplicate_pair", 1, 6)]  # reason, records, line of the first


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(GOOD_BAD)
    return path


def lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_first_rows_and_columns_are_seen_before_anything_is_imported(table: Path) -> None:
    seen = sample(str(table))
    assert (seen.columns, seen.whole, seen.format()) == (["prompt", "good", "bad"], True, "mapped")
    assert seen.first_rows(1) == [{"prompt": "Why?", "good": "Because.", "bad": "No."}]
    assert seen.guess() == {"question": "prompt", "chosen": "good", "rejected": "bad"}


def test_a_check_says_what_is_kept_and_why_not_with_an_example_of_each_reason(table: Path) -> None:
    """Five records: two pairs, one with equal responses, one without a prompt, and the first one again."""
    found = check(sample(str(table)))
    assert (found.records, len(found.kept), sum(found.splits.values())) == (5, 2, 2)
    assert sorted((d.reason, d.records, d.line) for d in found.dropped) == sorted(REASONS)


def test_a_check_keeps_what_the_import_keeps(table: Path, empty_cache: Path) -> None:
    before, after = (
        check(sample(str(table)), validation_share=0.5, seed=3),
        import_dataset(empty_cache, "t", str(table), validation_share=0.5, seed=3),
    )
    assert before.splits == after.splits
    assert {d.reason: d.records for d in before.dropped} == after.dropped_by


def test_only_the_first_records_are_read_and_that_is_said(tmp_path: Path) -> None:
    path = lines(tmp_path / "many.jsonl", [{"prompt": f"Q{i}", "chosen": "a", "rejected": "b"} for i in range(30)])
    assert (len(sample(str(path), 10).records), sample(str(path), 10).whole) == (10, False)
    assert (len(sample(str(path), 30).records), sample(str(path), 30).whole) == (30, True)


def test_long_records_end_a_sample_before_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lines(tmp_path / "long.jsonl", [{"prompt": f"{i}" * 100, "chosen": "a", "rejected": "b"} for i in range(9)])
    monkeypatch.setattr(preview, "MOST_CHARS", 250)
    assert (len(sample(str(path)).records), sample(str(path)).whole) == (2, False)


def test_a_question_in_two_splits_is_seen_before_the_import(tmp_path: Path) -> None:
    pair = {"prompt": "Why?", "chosen": "a", "rejected": "b"}
    train = lines(tmp_path / "train.jsonl", [pair, {**pair, "prompt": "How?"}])
    found = check(sample({"train": str(train), "validation": str(lines(tmp_path / "held.jsonl", [pair]))}))
    assert found.splits == {"train": 1, "validation": 1}
    assert [d.reason for d in found.dropped] == ["in_train_and_validation"]


def test_a_sample_goes_to_a_page_and_comes_back_the_same(table: Path) -> None:
    assert from_json(as_json(sample(str(table)))) == sample(str(table))


UNREADABLE = [
    ("x.jsonl", "", "holds no records"),
    ("x.pdf", "x", "the name ends in .pdf"),
    ("x.csv", "a,a\n1,2\n", "names the column"),
    ("x.parquet", "x", "cannot be read"),
]


@pytest.mark.parametrize(("name", "text", "message"), UNREADABLE)
def test_a_file_that_cannot_be_looked_at_is_a_sentence(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        sample(str(tmp_path / name))


def test_columns_without_meaning_are_shown_and_not_guessed(tmp_path: Path) -> None:
    seen = sample(str(lines(tmp_path / "x.jsonl", [{"u": "Hi", "v": "x", "w": "y"}])))
    assert (seen.format(), seen.guess(), seen.columns) == (None, {}, ["u", "v", "w"])
    with pytest.raises(DataError, match="no format has the keys u, v, w"):
        check(seen)
    assert len(check(seen, "mapped", {"question": "u", "chosen": "v", "rejected": "w"}).kept) == 1


def test_the_command_line_guesses_the_same_columns(table: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(empty_cache))
    assert main(["import", str(table), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "of the first 5 records 2 would be kept" in said
    assert "question from column prompt, chosen from column good, rejected from column bad" in said
    assert dataset_ids(empty_cache) == []
    assert main(["import", str(table), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["kept"], made["dropped"], dataset_ids(empty_cache)) == (2, 3, [made["dataset_id"]])


def test_a_column_named_on_the_command_line_goes_before_the_guess(tmp_path: Path, empty_cache: Path) -> None:
    """`bad` is the better one here: naming a side ends the guess of sides, not that of the prompt."""
    path = tmp_path / "x.csv"
    path.write_text("prompt,good,bad\nWhy?,x,y\n")
    import_dataset(empty_cache, "x", str(path), options={"chosen": "bad", "rejected": "good"})
    assert [k.pair.chosen for k in check(sample(str(path)), None, {"chosen": "bad", "rejected": "good"}).kept] == ["y"]
    assert [k.pair.chosen for k in check(sample(str(path)), "mapped").kept] == ["x"]


def test_the_first_records_are_printed_as_json(table: Path, capsys: Any) -> None:
    assert main(["sample", str(table), "--records", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"][0][1][0][2]["good"] == "Because."
