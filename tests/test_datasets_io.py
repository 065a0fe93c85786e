"""Files, folders and hub datasets become tables: all or nothing, repeatable, every rejected record accounted for."""

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.data.datasets_io import Import, dataset_ids, import_dataset, load_pairs
from engine.data.formats import REASONS
from engine.data.rejects import KEPT
from engine.data.sources import STARTER
from engine.errors import DataError
from engine.store import database

ROOT = Path(__file__).parents[1]
SHARED = Path(__file__).parents[2] / "shared" / "data"


def record(n: int, **changes: Any) -> dict[str, Any]:
    return {"question": f"Question {n}?", "response_1": f"Yes {n}.", "response_2": f"No {n}.", "overall_response": 1, **changes}


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(r) + "\n" for r in records)


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    path = tmp_path / "ten.jsonl"
    path.write_text(lines(*map(record, range(10))))
    return path


def rejects(done: Import) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (done.path / "rejects.jsonl").read_text().splitlines()]


# Importing


def test_import_fills_the_tables(empty_cache: Path, ten: Path) -> None:
    done = import_dataset(empty_cache, "Ten pairs!", {"train": str(ten)}, licence="MIT")
    assert done.dataset_id.startswith("ten-pairs-")
    assert (done.kept, done.dropped, done.splits, done.format) == (10, 0, {"train": 10}, "align-anything")
    with database.reading(empty_cache) as con:
        counts = [con.execute(f"select count(*) from {t}").fetchone() for t in ("datasets", "prompts", "texts", "pairs")]
        joined = con.execute("select count(*) from pairs join prompts using (prompt_id) join texts on chosen_id = text_id").fetchone()
    assert counts == [(1,), (10,), (20,), (10,)]
    assert joined == (10,)


def test_words_are_counted_at_import_and_of_an_older_dataset_at_rebuild(
    empty_cache: Path, ten: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten responses say yes, ten no, which is too short a word."""
    monkeypatch.setenv("PREFSCOPE_CACHE", str(empty_cache))
    counts = "select split, word, chosen, rejected from word_counts"
    done = import_dataset(empty_cache, "ten", {"train": str(ten)})
    with database.reading(empty_cache) as con:
        assert con.execute(counts).fetchall() == [("train", "yes", 10, 0)]
    (done.path / "word_counts.parquet").unlink()
    database.rebuild(empty_cache)
    with database.reading(empty_cache) as con:
        assert con.execute(counts).fetchall() == []
    assert main(["rebuild"]) == 0
    with database.reading(empty_cache) as con:
        assert con.execute(counts).fetchall() == [("train", "yes", 10, 0)]


def test_importing_twice_changes_nothing(empty_cache: Path, ten: Path) -> None:
    first = import_dataset(empty_cache, "ten", str(ten))
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in first.path.iterdir()}
    second = import_dataset(empty_cache, "ten", str(ten))
    assert (second.dataset_id, second.existed, first.existed) == (first.dataset_id, True, False)
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in second.path.iterdir()} == before
    assert dataset_ids(empty_cache) == [first.dataset_id]


def test_other_content_is_another_dataset(empty_cache: Path, ten: Path) -> None:
    first = import_dataset(empty_cache, "ten", {"train": str(ten)})
    assert import_dataset(empty_cache, "ten", {"validation": str(ten)}).dataset_id != first.dataset_id


def test_database_is_rebuilt_from_the_files(empty_cache: Path, ten: Path) -> None:
    import_dataset(empty_cache, "ten", str(ten))
    database.database_path(empty_cache).unlink()
    database.rebuild(empty_cache)
    with database.reading(empty_cache) as con:
        assert con.execute("select count(*) from pairs").fetchone() == (10,)


def test_pairs_come_back_in_order(empty_cache: Path, ten: Path) -> None:
    done = import_dataset(empty_cache, "ten", {"train": str(ten)})
    pairs = load_pairs(empty_cache, done.dataset_id, "train")
    assert [p.line for p in pairs] == list(range(1, 11))
    assert (pairs[3].turns[0].content, pairs[3].chosen, pairs[3].rejected) == ("Question 3?", "Yes 3.", "No 3.")


def test_missing_dataset_and_split_are_named(empty_cache: Path, ten: Path) -> None:
    done = import_dataset(empty_cache, "ten", {"train": str(ten)})
    with pytest.raises(DataError, match=f"'nope' not found, expected one of {done.dataset_id}"):
        load_pairs(empty_cache, "nope", "train")
    with pytest.raises(DataError, match="no split 'test', expected one of train"):
        load_pairs(empty_cache, done.dataset_id, "test")


def test_dataset_with_one_pair_is_imported(empty_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(lines(record(1)))
    assert import_dataset(empty_cache, "one", {"train": str(tmp_path / "one.jsonl")}).kept == 1


def test_texts_survive_unchanged(empty_cache: Path, tmp_path: Path) -> None:
    text = ' 你好 <b>"x"</b>\r\n\u0000\t=1+1 🙂 '
    (tmp_path / "odd.jsonl").write_text(lines(record(1, response_1=text)))
    done = import_dataset(empty_cache, "odd", {"train": str(tmp_path / "odd.jsonl")})
    assert load_pairs(empty_cache, done.dataset_id, "train")[0].chosen == text
    with database.reading(empty_cache) as con:
        assert con.execute("select count(*) from texts where text = ?", [text]).fetchone() == (1,)


# Checks


def test_every_rejected_record_has_reason_and_line(empty_cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    bad = [record(2, response_2="Yes 2."), record(3, question=" "), record(4, overall_response=3), {"question": "x"}]
    bad += [record(1), record(6, question="x" * 101)]
    path.write_bytes(lines(record(1), *bad).encode() + b'{"question": "\xff"}\n' + b"{broken}\n[1]\n" + b'{"question": "tr')
    done = import_dataset(empty_cache, "faults", {"train": str(path)}, max_chars=100)
    found = [(r["line"], r["reason"]) for r in rejects(done)]
    named = ["equal_responses", "empty_text", "bad_label", "missing_key", "duplicate_pair", "too_long"]
    assert found == list(enumerate([*named, "broken_utf8", "broken_json", "wrong_type", "truncated_last_line"], 2))
    assert done.kept == 1
    assert done.dropped == sum(done.dropped_by.values()) == 10
    assert rejects(done)[2]["detail"] == "overall_response is 3, expected 1 or 2"


def test_strict_fails_on_the_first_with_file_and_line(empty_cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    path.write_text(lines(record(1), record(2, overall_response=3)))
    with pytest.raises(DataError, match=r"faults.jsonl line 2: overall_response is 3, expected 1 or 2 \(bad_label\)"):
        import_dataset(empty_cache, "faults", str(path), strict=True)
    assert dataset_ids(empty_cache) == []


def test_training_never_contains_a_validation_question(empty_cache: Path, tmp_path: Path, ten: Path) -> None:
    other = tmp_path / "validation.jsonl"
    other.write_text(lines(record(1, question="question 3"), record(2, question="New")))
    done = import_dataset(empty_cache, "both", {"train": str(ten), "validation": str(other)})
    assert (done.splits, done.dropped_by) == ({"train": 9, "validation": 2}, {"in_train_and_validation": 1})
    assert rejects(done)[0]["line"] == 4
    assert "validation.jsonl line 1" in rejects(done)[0]["detail"]


def test_several_validation_files_keep_their_names(empty_cache: Path, ten: Path, tmp_path: Path) -> None:
    for name, numbers in (("b", (20, 21)), ("c", (21, 22, 23))):
        (tmp_path / f"{name}.jsonl").write_text(lines(*map(record, numbers)))
    sources = {"train": str(ten), "validation": str(tmp_path / "b.jsonl"), "validation_other": str(tmp_path / "c.jsonl")}
    assert import_dataset(empty_cache, "three", sources).splits == {"train": 10, "validation": 2, "validation_other": 3}


def test_one_source_is_split_by_question_and_seed(empty_cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text(lines(*(record(n // 2, response_1=f"answer {n}") for n in range(600))))
    done = import_dataset(empty_cache, "many", str(path), validation_share=0.2, seed=1)
    sides = [{p.prompt_id for p in load_pairs(empty_cache, done.dataset_id, s)} for s in ("train", "validation")]
    assert not sides[0] & sides[1]
    assert 40 <= len(sides[1]) <= 80
    assert import_dataset(empty_cache, "many", str(path), validation_share=0.2, seed=2).dataset_id != done.dataset_id
    assert import_dataset(empty_cache, "all", str(path), validation_share=0).splits == {"train": 600}


def test_contradicting_pairs_are_mentioned(empty_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(lines(record(1), record(1, overall_response=2)))
    assert "2 pairs are also there with the opposite preference" in import_dataset(empty_cache, "x", str(tmp_path / "x.jsonl")).notes


def test_format_is_recognised_behind_a_broken_start(empty_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{\n" + lines({"other": 1}, record(1)))
    done = import_dataset(empty_cache, "x", str(tmp_path / "x.jsonl"))
    assert (done.kept, done.dropped_by) == (1, {"missing_key": 1, "broken_json": 1})


def test_source_without_pairs_is_refused_and_leaves_nothing(empty_cache: Path, tmp_path: Path) -> None:
    for text, message in (("", "holds no records"), ("{\n", "broken_json 1"), (lines({"a": 1}), "no format has the keys a")):
        (tmp_path / "x.jsonl").write_text(text)
        with pytest.raises(DataError, match=message):
            import_dataset(empty_cache, "x", str(tmp_path / "x.jsonl"))
    assert not (empty_cache / "datasets").exists()


def test_rejects_are_all_counted_and_the_first_of_each_reason_written_down(empty_cache: Path, tmp_path: Path) -> None:
    """One more than is kept of each reason: 1,001 of two reasons are 2,002 refused and 2,000 written."""
    bad = [record(1, overall_response=3), record(2, question=" " * 2_000)] * (KEPT + 1)
    (tmp_path / "x.jsonl").write_text(lines(record(0), *bad))
    done = import_dataset(empty_cache, "x", {"train": str(tmp_path / "x.jsonl")})
    assert done.dropped_by == {"bad_label": KEPT + 1, "empty_text": KEPT + 1}
    assert len(rejects(done)) == 2 * KEPT
    assert "rejects.jsonl lists 2,000 of 2,002 refused records, the first 1,000 of each reason" in done.notes


def test_a_reject_is_short_however_long_its_record_is(empty_cache: Path, tmp_path: Path) -> None:
    """A missing key names the record's keys: of 10,000 the first 20, each cut."""
    keys = {f"{'k' * 1_000}{i}": "v" * 100 for i in range(10_000)}
    (tmp_path / "x.jsonl").write_text(lines(record(0), keys))
    (reject,) = rejects(import_dataset(empty_cache, "x", {"train": str(tmp_path / "x.jsonl")}))
    assert (len(reject["detail"]), len(reject["excerpt"])) == (500, 300)


@pytest.mark.parametrize("held_out", ["", "{\n", lines(record(1, overall_response=3))])
def test_a_split_of_which_nothing_is_kept_is_refused(empty_cache: Path, tmp_path: Path, ten: Path, held_out: str) -> None:
    (tmp_path / "held.jsonl").write_text(held_out)
    why = "it holds no records" if not held_out else r"(broken_json|bad_label) 1\n .*held.jsonl line 1: "
    with pytest.raises(DataError, match=rf"no pair of the split validation \(.*held.jsonl\) was kept: {why}"):
        import_dataset(empty_cache, "x", {"train": str(ten), "validation": str(tmp_path / "held.jsonl")})
    assert dataset_ids(empty_cache) == []


def test_training_pairs_that_are_all_in_the_validation_split_are_refused(empty_cache: Path, ten: Path) -> None:
    with pytest.raises(DataError, match=r"no pair of the split train \(.*ten.jsonl\) was kept: in_train_and_validation 10\n"):
        import_dataset(empty_cache, "x", {"train": str(ten), "validation": str(ten)})


def test_a_source_without_pairs_shows_the_first_rejects_with_line_and_reason(empty_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{\n" + lines(*(record(i, overall_response=i + 3) for i in range(9))))
    with pytest.raises(DataError) as caught:
        import_dataset(empty_cache, "x", str(tmp_path / "x.jsonl"))
    said = str(caught.value).splitlines()
    assert said[0].endswith("was kept: broken_json 1, bad_label 9")
    assert [line.split("x.jsonl ")[1] for line in said[2:]] == [
        "line 2: overall_response is 3, expected 1 or 2 (bad_label)",
        "line 3: overall_response is 4, expected 1 or 2 (bad_label)",
    ]


def test_a_format_is_recognised_behind_any_number_of_broken_lines(empty_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{\n" * 100 + lines(record(1)))
    done = import_dataset(empty_cache, "x", {"train": str(tmp_path / "x.jsonl")})
    assert (done.kept, done.dropped_by) == (1, {"broken_json": 100})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"question": "\ud800"}, "broken_utf8"),
        ({"prompt_type": "\ud800"}, "broken_utf8"),
        ({"source": "\udfff"}, "broken_utf8"),
        ({"overall_response": 10**400}, "bad_label"),
        ({"question": [{"role": "\ud800", "content": "x"}]}, "bad_turns"),
    ],
)
def test_a_value_that_cannot_be_stored_is_one_refused_record(
    empty_cache: Path, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    (tmp_path / "x.jsonl").write_text(lines(record(1), record(2, **change)))
    done = import_dataset(empty_cache, "x", {"train": str(tmp_path / "x.jsonl")})
    assert (done.kept, done.dropped_by) == (1, {reason: 1})


def test_names_that_no_table_can_hold_are_refused_and_long_ones_cut(empty_cache: Path, ten: Path) -> None:
    with pytest.raises(DataError, match=r"name is 'caf\\udce9', expected UTF-8 text"):
        import_dataset(empty_cache, "caf\udce9", str(ten))
    with pytest.raises(DataError, match=r"licence is '\\udcff', expected UTF-8 text"):
        import_dataset(empty_cache, "x", str(ten), licence="\udcff")
    assert len(import_dataset(empty_cache, "n" * 300, str(ten)).dataset_id) == 80 + len("-12345678")


def test_a_file_whose_name_is_not_utf_8_is_imported(empty_cache: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.jsonl")
    path.write_text(lines(record(1), {"other": 1}))
    done = import_dataset(empty_cache, "x", {"train": str(path)})
    assert r"caf\udce9.jsonl" in rejects(done)[0]["file"]
    with database.reading(empty_cache) as con:
        ((source,),) = con.execute("select source from datasets").fetchall()
    assert json.loads(source)["train"].endswith(r"caf\udce9.jsonl")


def test_cache_that_cannot_be_written_is_a_sentence(tmp_path: Path, ten: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        import_dataset(tmp_path / "file", "ten", str(ten))


def test_disk_that_fills_up_leaves_no_half_dataset(empty_cache: Path, ten: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, old[1]))  # no file may grow beyond 100 bytes
    try:
        with pytest.raises(DataError, match="cannot be written"):
            import_dataset(empty_cache, "ten", str(ten))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list((empty_cache / "datasets").iterdir()) == []


@pytest.mark.skipif(not any(STARTER.glob("*.jsonl")), reason="engine/data/starter holds no pairs yet")
def test_starter_is_a_source(empty_cache: Path) -> None:
    done = import_dataset(empty_cache, "starter", "starter")
    assert (set(done.splits), done.dropped_by) == ({"train", "validation"}, {})


def test_documentation_names_every_reason() -> None:
    text = (ROOT / "docs" / "formats.md").read_text()
    assert [reason for reason in REASONS if f"`{reason}`" not in text] == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="the larger real data is not beside the repository")
@pytest.mark.parametrize(
    ("file", "options", "name", "kept", "dropped_by"),
    [
        ("validation_align_anything.jsonl", {}, "align-anything", 475, {}),
        ("validation_align_anything.parquet", {}, "align-anything", 475, {}),
        ("pku_saferlhf_raw_sample.jsonl", {"label": "safer"}, "pku-saferlhf", 60, {}),
        ("hh_rlhf_harmless_raw.jsonl.gz", {}, "hh-rlhf", 1202, {"empty_text": 2, "bad_turns": 3, "diverging_turns": 4}),
        ("train_hh_multiturn.jsonl.gz", {"transcripts": True}, "align-anything", 1586, {"bad_turns": 8}),
    ],
)
def test_real_files_are_kept(
    empty_cache: Path, file: str, options: dict[str, Any], name: str, kept: int, dropped_by: dict[str, int]
) -> None:
    done = import_dataset(empty_cache, "real", str(SHARED / file), options=options)
    assert (done.format, done.kept, done.dropped_by) == (name, kept, dropped_by)
