"""Records come out of every kind of file, folder and hub dataset, and a broken one does not take the others with it."""

import contextlib
import csv
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data import files, json_files
from engine.data.datasets_io import import_dataset
from engine.data.files import Raw
from engine.data.formats import REASONS
from engine.data.json_files import parsed_line
from engine.data.preview import check, sample
from engine.data.sources import open_source, read_file
from engine.errors import DataError, RecordError

ROOT = Path(__file__).parents[1]


def record(n: int, **changes: Any) -> dict[str, Any]:
    return {"question": f"Question {n}?", "response_1": f"Yes {n}.", "response_2": f"No {n}.", "overall_response": 1, **changes}


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(r) + "\n" for r in records)


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    path = tmp_path / "ten.jsonl"
    path.write_text(lines(*map(record, range(10))))
    return path


def contents(path: Path) -> list[Any]:
    return [raw.content for raw in read_file(path)]


def as_csv(path: Path) -> None:
    pl.DataFrame([record(n, response_1='a "quoted",\nbroken line') for n in range(10)]).write_csv(path)


def as_ipc_stream(path: Path) -> None:
    pl.DataFrame([record(n) for n in range(10)]).write_ipc_stream(path)


WRITERS: dict[str, Callable[[Path], object]] = {
    "x.json": lambda p: p.write_text(json.dumps([record(n) for n in range(10)], indent=2)),
    "lines.json": lambda p: p.write_text(lines(*map(record, range(10)))),
    "x.jsonl.gz": lambda p: p.write_bytes(gzip.compress(lines(*map(record, range(10))).encode())),
    "bom.jsonl": lambda p: p.write_text(lines(*map(record, range(10))), encoding="utf-8-sig"),
    "x.csv": as_csv,
    "x.parquet": lambda p: pl.DataFrame([record(n) for n in range(10)]).write_parquet(p),
    "x.arrow": lambda p: pl.DataFrame([record(n) for n in range(10)]).write_ipc(p),
    "stream.arrow": as_ipc_stream,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_is_read(empty_cache: Path, tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert import_dataset(empty_cache, "x", {"train": str(tmp_path / name)}).kept == 10


def test_message_lists_come_out_of_parquet(empty_cache: Path, tmp_path: Path) -> None:
    talk = [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": a}] for a in "ab"]
    pl.DataFrame([{"chosen": talk[0], "rejected": talk[1]}]).write_parquet(tmp_path / "x.parquet")
    assert import_dataset(empty_cache, "x", {"train": str(tmp_path / "x.parquet")}).format == "trl"


def test_torn_files_give_what_is_whole(tmp_path: Path) -> None:
    whole = lines(*map(record, range(200))).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(whole)[:-400])
    (tmp_path / "b.json").write_text(json.dumps([record(n) for n in range(3)])[:-20])
    (tmp_path / "c.csv").write_text("question,chosen,rejected\nq,a,b\nq,a")
    for name in ("a.jsonl.gz", "b.json", "c.csv"):
        *good, last = contents(tmp_path / name)
        assert good
        assert all(isinstance(c, dict) for c in good)
        assert getattr(last, "reason", "") == "truncated_last_line"


def test_faults_of_json_and_csv_files_are_records_too(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_bytes(b'[{"question": "\xff"}, 3, {]')
    (tmp_path / "c.csv").write_text('question,chosen\nq,a,b\n"q')
    assert [getattr(c, "reason", "") for c in contents(tmp_path / "b.json")] == ["", "wrong_type", "broken_json"]
    assert [getattr(c, "reason", "") for c in contents(tmp_path / "c.csv")] == ["broken_csv", "truncated_last_line"]
    assert ("wrong_type", 1) in [(d.reason, d.records) for d in check(sample(str(tmp_path / "b.json")), "align-anything").dropped]


def test_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    for name in ("x.parquet", "x.arrow", "x.jsonl.gz"):
        (tmp_path / name).write_text("not what the name says")
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            contents(tmp_path / name)
    (tmp_path / "x.docx").write_text("")
    with pytest.raises(DataError, match=r"ends in .docx, expected .jsonl"):
        contents(tmp_path / "x.docx")


@given(st.binary(max_size=60))
def test_any_line_is_a_record_or_a_known_reason(line: bytes) -> None:
    found = parsed_line(line)
    assert isinstance(found, dict) or found.reason in REASONS


# One bad record does not take the good ones with it

GOOD = ["plain", 'a, "quoted" one', "over\ntwo lines, with a comma", '""']  # texts of which rows are made, in turns


def as_rows(*rows: list[str]) -> list[str]:
    """Each row as CSV writes it."""
    written = []
    for row in rows:
        csv.writer(file := io.StringIO(newline=""), lineterminator="\n").writerow(row)
        written.append(file.getvalue())
    return written


def good_rows(n: int) -> list[str]:
    return as_rows(*([f"question {i}", f"yes {GOOD[i % 4]}", f"no {i}"] for i in range(n)))


BROKEN_ROWS = [
    'stray,"quote,x\n',  # opens a field that no quote closes before the next row's
    '"stray" quote,a,b\n',
    "too,few\n",
    "too,many,fields,x\n",
    '"two lines\n and a stray "quote"",a,b\n',
    '"a closed field\n over two lines"\n',
    '"\n',
]


@pytest.mark.parametrize("bad", BROKEN_ROWS)
@given(n=st.integers(2, 12), data=st.data())
def test_a_broken_row_of_a_csv_costs_no_other_row(tmp_path_factory: pytest.TempPathFactory, bad: str, n: int, data: st.DataObject) -> None:
    rows = good_rows(n)
    place = data.draw(st.integers(0, n))
    path = tmp_path_factory.getbasetemp() / "broken.csv"
    path.write_text("".join(["question,chosen,rejected\n", *rows[:place], bad, *rows[place:]]), newline="")
    found = contents(path)
    kept = [c for c in found if isinstance(c, dict)]
    assert [c["question"] for c in kept] == [f"question {i}" for i in range(n)]
    assert len(found) == n + 1


def test_a_stray_quote_in_row_10_of_1000_costs_one_row_and_says_which_lines(tmp_path: Path) -> None:
    """The header is line 1, so row 10 is line 11; its quote would swallow every row to the end."""
    rows = [f"q{i},a,b\n" for i in range(1000)]
    rows[9] = 'q9,"a,b\n'
    (tmp_path / "x.csv").write_text("question,chosen,rejected\n" + "".join(rows))
    found = list(read_file(tmp_path / "x.csv"))
    (bad,) = [raw for raw in found if isinstance(raw.content, RecordError)]
    assert len(found) == 1000
    assert (bad.line, bad.content.reason, bad.excerpt) == (11, "broken_csv", 'q9,"a,b')  # type: ignore[union-attr]


def test_lines_of_prose_do_not_become_rows(tmp_path: Path) -> None:
    """The quotes within the text are not doubled; its second line has two commas as a row has, the row behind it is read."""
    text = '"He said "no" and left.\nFirst, second, third.\nThe end.",b,c\n'
    (tmp_path / "x.csv").write_text(f"question,chosen,rejected\n{text}q,a,b\nq2,a,b\n")
    bad, *good = list(read_file(tmp_path / "x.csv"))
    assert [raw.line for raw in good] == [5, 6]
    assert isinstance(bad.content, RecordError)
    assert str(bad.content).endswith("lines 2 to 4 were skipped")


BROKEN_ITEMS = [
    '{"question": "a stray " quote", "response_1": "x"}',
    '{"question": "never ends',
    '{"question": "a", }',
    '{"question": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}, {"role": "user", "content": "z"}',
    "{question: 1}",
    "}",
    '{"a": 1, "a": 2}',
    '"' + "[" * 2_000 + '"]' + "[" * 2_000,
]


@pytest.mark.parametrize("bad", BROKEN_ITEMS)
@given(n=st.integers(1, 8), data=st.data(), indent=st.sampled_from([None, 2]))
def test_a_broken_item_of_a_json_array_costs_no_other_item(
    tmp_path_factory: pytest.TempPathFactory, bad: str, n: int, data: st.DataObject, indent: int | None
) -> None:
    talk = [{"role": "user", "content": 'so "be" it, {'}, {"role": "assistant", "content": "]"}]
    items = [json.dumps({"question": f"q{i}", "talk": talk}, indent=indent) for i in range(n)]
    items.insert(data.draw(st.integers(0, n)), bad)
    path = tmp_path_factory.getbasetemp() / "broken.json"
    path.write_text("[" + ",\n".join(items) + "]")
    found = contents(path)
    assert [c["question"] for c in found if isinstance(c, dict) and "question" in c] == [f"q{i}" for i in range(n)]
    assert any(isinstance(c, RecordError) for c in found)


def test_a_fault_in_a_json_array_says_how_much_was_skipped(tmp_path: Path) -> None:
    """The broken item and what divides it from the next are 16 characters: `{"a": "x" "y"}, `."""
    (tmp_path / "x.json").write_text('[{"a": 1}, {"a": "x" "y"}, {"a": 3}] and more')
    first, bad, third, rest = contents(tmp_path / "x.json")
    assert (first, third) == ({"a": 1}, {"a": 3})
    assert str(bad).endswith("16 characters were skipped, up to the next object")
    assert "10 characters were skipped, up to the end" in str(rest)


def test_a_key_or_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """One of its two values would be lost."""
    (tmp_path / "x.jsonl").write_text('{"a": 1, "a": 2}\n{"a": {"b": 1, "b": 1}}\n{"a": 1}\n')
    (tmp_path / "x.csv").write_text("question,chosen,chosen\nq,a,b\n")
    assert [getattr(c, "reason", c) for c in contents(tmp_path / "x.jsonl")] == ["broken_json", "broken_json", {"a": 1}]
    with pytest.raises(DataError, match=r"x.csv line 1: the header names the column 'chosen' twice"):
        contents(tmp_path / "x.csv")


# Limits


def test_deep_json_is_one_refused_record(tmp_path: Path) -> None:
    """100 objects within each other are read, 101 and 20,000 are not."""
    deep = ['{"a":' * n + "1" + "}" * n for n in (100, 101, 20_000)]
    (tmp_path / "x.jsonl").write_text("\n".join(deep) + "\n")
    (tmp_path / "x.json").write_text("[" + ",".join(deep) + "]")
    (tmp_path / "one.json").write_text(deep[2])
    for name, kept in (("x.jsonl", 1), ("x.json", 1), ("one.json", 0)):
        found = contents(tmp_path / name)
        assert sum(isinstance(c, dict) for c in found) == kept
        assert {c.reason for c in found if isinstance(c, RecordError)} == {"broken_json"}
        assert "more than 100 deep" in str(found[-1])


def test_a_gzip_bomb_and_a_large_file_are_refused_before_they_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "UNPACKED_FREELY", 10_000)
    (tmp_path / "bomb.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 100_000))
    with pytest.raises(
        DataError, match=r"bomb.jsonl.gz unpacks to more than .* MiB, from .* MiB; expected at most .* 100 times its own size"
    ):
        contents(tmp_path / "bomb.jsonl.gz")
    monkeypatch.setattr(files, "MAX_BYTES", 10_000)
    (tmp_path / "large.csv").write_bytes(b"a,b\n" * 2_501)
    with pytest.raises(DataError, match=r"large.csv has .* MiB; expected at most"):
        contents(tmp_path / "large.csv")


def test_a_file_in_utf_16_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("question\tchosen\trejected\n", encoding="utf-16")
    with pytest.raises(DataError, match=r"x.tsv is written in UTF-16, expected UTF-8"):
        contents(tmp_path / "x.tsv")


def test_a_line_that_is_too_long_is_one_refused_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 100)
    monkeypatch.setattr(json_files, "MAX_LINE_BYTES", 100)
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n' + "x" * 250 + '\n{"a": 3}\n')
    found = list(read_file(tmp_path / "x.jsonl"))
    assert [(raw.line, getattr(raw.content, "reason", "")) for raw in found] == [(1, ""), (2, "too_long"), (3, "")]


def test_more_records_than_an_import_takes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.data.sources.MAX_RECORDS", 9)
    monkeypatch.setattr("engine.data.arrow_files.MAX_RECORDS", 9)
    (tmp_path / "x.jsonl").write_text(lines(*map(record, range(10))))
    pl.DataFrame([record(n) for n in range(10)]).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x.jsonl has more than 9 records"):
        contents(tmp_path / "x.jsonl")
    with pytest.raises(DataError, match=r"x.parquet has 10 rows of 0 MiB, expected at most 9"):
        contents(tmp_path / "x.parquet")


def test_fifos_devices_and_sockets_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl")
    for source, found in ((str(tmp_path / "x.jsonl"), "a FIFO"), ("/dev/zero", "a device")):
        with pytest.raises(DataError, match=f"is {found}, expected a regular file or a folder"):
            open_source(source)
    with pytest.raises(DataError, match=r"x.jsonl cannot be read: it is a FIFO, expected a regular file"):
        contents(tmp_path / "x.jsonl")


@pytest.mark.parametrize("source", ["", " ", "~nobody-of-this-name/x.jsonl", "a\0b.jsonl", "x" * 300])
def test_a_source_that_cannot_be_a_path_is_a_sentence(source: str) -> None:
    with pytest.raises(DataError, match=r"source|cannot be opened"):
        open_source(source)


def test_what_a_folder_holds_beside_its_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(lines(record(1)))
    (tmp_path / "validation.jsonl.zst").write_bytes(b"")
    (tmp_path / "test.jsonl").symlink_to(tmp_path / "missing.jsonl")
    assert open_source(str(tmp_path)).notes == [
        "test.jsonl was not read: it is no regular file",
        "validation.jsonl.zst was not read: its name ends in .zst",
    ]


# Parquet and Arrow


def test_nested_columns_and_odd_types_come_out_as_records(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a"}]
    frame = pl.DataFrame({"talk": [talk], "day": [date(2026, 1, 2)], "bytes": [b"\xff"], "kind": ["x"], "none": [None]})
    frame.with_columns(pl.col("kind").cast(pl.Categorical)).write_parquet(tmp_path / "x.parquet")
    assert contents(tmp_path / "x.parquet") == [{"talk": talk, "day": date(2026, 1, 2), "bytes": b"\xff", "kind": "x", "none": None}]


def test_an_empty_table_has_no_records_and_an_empty_file_is_no_table(tmp_path: Path) -> None:
    for name in ("x.parquet", "x.arrow"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            contents(tmp_path / name)
    pl.DataFrame({"question": []}).write_parquet(tmp_path / "x.parquet")
    assert contents(tmp_path / "x.parquet") == []


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "stream.arrow"])
@given(data=st.data())
def test_damaged_tables_are_a_sentence_and_never_end_the_process(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """Reading a damaged Arrow file without checking it first ends the process: polars aborts, pyarrow reads beyond its memory."""
    path = tmp_path_factory.getbasetemp() / name
    WRITERS[name](path)
    whole = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with contextlib.suppress(DataError):
        contents(path)


# Folders and the hub


def test_folder_keeps_its_splits(empty_cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    (folder / "data").mkdir(parents=True)
    for shard in range(2):
        pl.DataFrame([record(shard * 5 + n) for n in range(5)]).write_parquet(folder / "data" / f"train-0000{shard}-of-00002.parquet")
    (folder / "data" / "val.jsonl").write_text(lines(record(20)))
    (folder / "extra.jsonl").write_text(lines(record(30)))
    done = import_dataset(empty_cache, "repo", str(folder))
    assert done.splits == {"train": 10, "validation": 1}
    assert "extra.jsonl was not read: its name states no split" in done.notes


def test_missing_source_is_a_sentence(empty_cache: Path, tmp_path: Path) -> None:
    for source in ("missing.jsonl", "/no/where", str(tmp_path / "no such folder")):
        with pytest.raises(DataError, match="no such file or folder"):
            import_dataset(empty_cache, "x", source)
    with pytest.raises(DataError, match="holds no"):
        import_dataset(empty_cache, "x", str(tmp_path))


CARD = """---
license: mit
configs:
- config_name: text
  data_files:
  - split: train
    path: a/*.jsonl
  - split: validation
    path: b/*.jsonl
---
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset repository as it is downloaded from the hub; the library's own cache goes beside it."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    folder = tmp_path / "pairs"
    for part, numbers in (("a", range(10)), ("b", range(10, 13))):
        (folder / part).mkdir(parents=True)
        (folder / part / "x.jsonl").write_text(lines(*map(record, numbers)))
    (folder / "README.md").write_text(CARD)
    return folder


def test_repository_is_read_as_its_card_says(empty_cache: Path, repository: Path) -> None:
    assert import_dataset(empty_cache, "x", str(repository)).splits == {"train": 10, "validation": 3}
    assert import_dataset(empty_cache, "y", {"validation": f"{repository}:text@train"}).splits == {"validation": 10}
    assert import_dataset(empty_cache, "z", {"validation": f"{repository}:text"}).splits == {"validation": 3}
    with pytest.raises(DataError, match="cannot be loaded: BuilderConfig 'nope' not found"):
        open_source(f"{repository}:nope")


def test_hub_name_is_taken_from_the_local_cache_when_offline(tmp_path: Path, repository: Path) -> None:
    list(open_source(str(repository)).splits)
    shutil.move(tmp_path / "hf" / "pairs", tmp_path / "hf" / "someone___pairs")  # where the library keeps someone/pairs
    code = "from engine.data.sources import open_source as o\nprint(sorted(o('someone/pairs:text').splits))\no('someone/none')"
    settings = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "hf")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=settings, capture_output=True, text=True)
    assert done.stdout == "['train', 'validation']\n"
    assert "DataError: dataset someone/none cannot be loaded: Couldn't reach 'someone/none' on the Hub" in done.stderr
    assert "nor is there a file or folder of this name" in done.stderr


def test_raw_record_says_where_it_stands(ten: Path) -> None:
    assert next(read_file(ten)) == Raw(str(ten), 1, record(0), lines(record(0)).strip())
