"""Records come out of every kind of file, folder and hub dataset, and a broken one does not take the others with it."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.datasets_io import import_dataset, preview
from engine.data.formats import REASONS
from engine.data.sources import Raw, open_source, parsed_line, read_file
from engine.errors import DataError

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
    assert preview(str(tmp_path / "b.json"), "align-anything").dropped_by["wrong_type"] == 1


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
    assert "DataError: dataset someone/none cannot be loaded" in done.stderr


def test_raw_record_says_where_it_stands(ten: Path) -> None:
    assert next(read_file(ten)) == Raw(str(ten), 1, record(0), lines(record(0)).strip())
