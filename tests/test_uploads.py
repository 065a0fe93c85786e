"""The import forms: an uploaded file becomes a dataset, and what cannot be imported is a sentence on the page."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.state.data import keep_upload
from engine.data.datasets_io import dataset_ids
from engine.errors import DataError, RunError
from engine.queue.jobs import engine_call

APP = Path(__file__).parents[1] / "dashboard" / "app.py"
PAIR = json.dumps({"question": "Why?", "response_1": "Because.", "response_2": "No.", "overall_response": 1}).encode()


def page(cache: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.switch_page("views/data.py")
    return app.run()


def import_button(app: AppTest, form: str) -> None:
    next(button for button in app.button if button.form_id == form).click().run()


@pytest.mark.parametrize("name", ["", ".", "..", "a/..", "a\\..", "x\0.jsonl", "é" * 128])
def test_an_upload_by_a_name_no_file_can_have_is_refused(empty_cache: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """128 letters of 2 bytes are 256, one more than a name has."""
    monkeypatch.setenv("PREFSCOPE_CACHE", str(empty_cache))
    with pytest.raises(DataError, match=r"the uploaded file is called .*, expected a name of 1 to 255 bytes: rename it"):
        keep_upload(name, b"")
    assert not empty_cache.exists()


def test_an_upload_keeps_the_last_part_of_its_name(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(empty_cache))
    for name in ("../../x=1.jsonl", "C:\\data\\x=1.jsonl", "x=1.jsonl"):
        assert keep_upload(name, PAIR) == empty_cache / "uploads" / "x_1.jsonl"
    (empty_cache / "uploads" / "folder").mkdir()
    with pytest.raises(DataError, match=r"uploads/folder cannot be written: Is a directory"):
        keep_upload("folder", b"")


def test_an_uploaded_file_becomes_a_dataset_and_a_bad_name_a_sentence(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(empty_cache, monkeypatch)
    app.file_uploader(key="data_file").set_value(("..", PAIR, "application/json"))
    import_button(app, "import_data")
    assert "expected a name of 1 to 255 bytes" in app.error[0].value
    app.file_uploader(key="data_file").set_value(("pair.jsonl", PAIR, "application/json"))
    import_button(app, "import_data")
    assert not app.exception
    assert [name.startswith("pair-") for name in dataset_ids(empty_cache)] == [True]


def test_a_file_of_which_nothing_is_kept_shows_its_first_rejects(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(empty_cache, monkeypatch)
    app.file_uploader(key="data_file").set_value(("x.jsonl", PAIR.replace(b": 1}", b": 3}"), "application/json"))
    import_button(app, "import_data")
    assert not app.exception
    assert "bad\\_label 1" in app.error[0].value
    assert "line 1" in app.error[1].value


def test_options_of_any_form_are_a_sentence(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(empty_cache, monkeypatch)
    app.text_input(key="data_source").set_value("starter")
    app.text_input(key="data_options").set_value("--x")
    import_button(app, "import_data")
    assert not app.exception
    assert "expected KEY" in app.error[0].value


@pytest.mark.parametrize("argument", ["a\0b", "x" * 200_000])
def test_an_argument_no_process_can_be_given_is_a_sentence(empty_cache: Path, argument: str) -> None:
    with pytest.raises(RunError, match="the engine cannot be called: "):
        engine_call(["import", argument], empty_cache)
