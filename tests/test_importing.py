"""The steps of an import on the Data page: what was dropped is seen, assigned, checked and opened; what cannot be is a sentence."""

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.parts import importing
from dashboard.state.data import keep_upload
from engine.data.datasets_io import dataset_ids, load_pairs, splits_in
from engine.errors import DataError, RunError
from engine.queue.jobs import engine_call

pytestmark = pytest.mark.slow
APP = Path(__file__).parents[1] / "dashboard" / "app.py"
ROWS = [{"prompt": f"Question {i}?", "good": f"Yes {i}.", "bad": f"No {i}."} for i in range(20)]
PAIR = {"question": "Why?", "response_1": "Because.", "response_2": "No.", "overall_response": 1}


@pytest.fixture
def page(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(empty_cache))
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.switch_page("views/data.py")
    return app.run()


def as_lines(*records: dict[str, Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def as_file(kind: str) -> bytes:
    frame, file = pl.DataFrame(ROWS), io.BytesIO()
    if kind == "parquet":
        frame.write_parquet(file)
        return file.getvalue()
    return as_lines(*ROWS) if kind == "jsonl" else frame.write_csv().encode()


def dropped(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    app.file_uploader(key="dropped_files").set_value([(name, content, "") for name, content in files])
    app.run()
    assert not app.exception
    return app


def imported(app: AppTest) -> AppTest:
    app.button(key="import_do").click().run()
    assert not app.exception
    assert not app.error
    return app


def shown(app: AppTest, column: str) -> Any:
    """The table with this column."""
    return next(table.value for table in app.dataframe if column in table.value)


def errors(app: AppTest) -> str:
    return " ".join(error.value.replace("\\", "") for error in app.error)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_of_prompt_good_and_bad_needs_no_answer(page: AppTest, empty_cache: Path, kind: str) -> None:
    """Dropped, seen, guessed, imported: the dataset is what is looked at then."""
    app = dropped(page, (f"mine.{kind}", as_file(kind)))
    assert [app.selectbox(key=f"import_{name}").value for name in ("question", "chosen", "rejected")] == ["prompt", "good", "bad"]
    assert shown(app, "good").iloc[0].tolist() == ["Question 0?", "Yes 0.", "No 0."]
    imported(app)
    (dataset_id,) = dataset_ids(empty_cache)
    assert dataset_id.startswith("mine-")
    assert app.query_params["dataset"] in (dataset_id, [dataset_id])
    assert app.query_params["split"] in ("validation", ["validation"]), "pages judge on what is held out"
    assert "20\u00a0pairs kept" in app.success[0].value
    assert {pair.chosen[:3] for split in ("train", "validation") for pair in load_pairs(empty_cache, dataset_id, split)} == {"Yes"}


def test_what_was_read_is_said_in_words_and_too_few_pairs_to_validate_are_a_warning(page: AppTest) -> None:
    """Wilson's interval around 3 of 4 right is 65.4 points wide."""
    dropped(page, ("mine.csv", as_file("csv")))
    assert any("JSON, JSONL, CSV" in caption.value for caption in page.caption)
    assert page.warning[0].value.endswith("The share is set above, under Held out for validation (%).")
    page.number_input(key="import_share").set_value(20)
    page.button(key="import_do").click().run()
    columns = "question from column prompt, chosen from column good, rejected from column bad"
    assert f"mine.csv was read by its columns: {columns}" in [caption.value for caption in page.caption]
    assert "accuracy can hardly be measured on them" in page.warning[0].value


def test_columns_that_say_nothing_are_assigned_by_hand(page: AppTest, empty_cache: Path) -> None:
    app = dropped(page, ("x.jsonl", as_lines({"u": "Why?", "v": "Because.", "w": "No."})))
    assert "Assign the columns: Chosen, Rejected" in app.info[0].value
    for name, column in (("question", "u"), ("chosen", "w"), ("rejected", "w")):
        app.selectbox(key=f"import_{name}").set_value(column).run()
    assert "expected two different columns" in errors(app)
    app.selectbox(key="import_rejected").set_value("v").run()
    imported(app)
    assert load_pairs(empty_cache, dataset_ids(empty_cache)[0], "train")[0].chosen == "No."


def test_a_label_and_two_scores_are_ways_to_tell_what_is_preferred(page: AppTest, empty_cache: Path) -> None:
    """The same record is read by its label and then, when it is told so, by its scores, which say the opposite."""
    record = {"prompt": "Why?", "answer_a": "x", "answer_b": "y", "winner": "A", "score_a": 1, "score_b": 2}
    app = dropped(page, ("x.jsonl", as_lines(record)))
    assert app.selectbox(key="import_label").value == "winner"
    assert shown(app, "Chosen")["Chosen"].tolist() == ["x"]
    app.segmented_control(key="import_way").set_value("scores").run()
    for name, column in (("score_1", "score_a"), ("score_2", "score_b")):
        app.selectbox(key=f"import_{name}").set_value(column).run()
    assert shown(app, "Chosen")["Chosen"].tolist() == ["y"]


def test_what_is_left_out_is_counted_by_reason_with_an_example(page: AppTest) -> None:
    app = dropped(page, ("x.jsonl", as_lines(PAIR, {**PAIR, "overall_response": 3}, {**PAIR, "response_2": "Because."}, PAIR)))
    table = shown(app, "Left out because")
    assert table["Records"].tolist() == [1, 1, 1]
    assert any("overall_response is 3, expected 1 or 2" in detail for detail in table["For instance"])


def test_files_dropped_together_are_the_splits_their_names_say(page: AppTest, empty_cache: Path) -> None:
    other = {**PAIR, "question": "How?"}
    app = dropped(page, ("my_train.jsonl", as_lines(PAIR)), ("my_val.jsonl", as_lines(other)))
    imported(app)
    assert splits_in(empty_cache, dataset_ids(empty_cache)[0]) == {"train": 1, "validation": 1}


def test_two_files_of_one_split_are_a_sentence_until_one_is_another(page: AppTest, empty_cache: Path) -> None:
    app = dropped(page, ("a.jsonl", as_lines(PAIR)), ("b.jsonl", as_lines({**PAIR, "question": "How?"})))
    second = next(box for box in app.selectbox if str(box.key).endswith("b.jsonl"))
    second.set_value("train").run()
    assert "Two files have the same split" in errors(app)
    next(box for box in app.selectbox if str(box.key).endswith("b.jsonl")).set_value("test").run()
    imported(app)
    assert splits_in(empty_cache, dataset_ids(empty_cache)[0]) == {"train": 1, "test": 1}


def test_a_whole_file_can_be_one_split(page: AppTest, empty_cache: Path) -> None:
    app = dropped(page, ("x.jsonl", as_lines(PAIR)))
    next(box for box in app.selectbox if "split" in str(box.key)).set_value("validation").run()
    imported(app)
    assert splits_in(empty_cache, dataset_ids(empty_cache)[0]) == {"validation": 1}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("..", b"x", "expected a name of 1 to 255 bytes"),
        ("notes.pdf", b"x", "the name ends in .pdf"),
        ("empty.jsonl", b"", "holds no records"),
        ("bad.parquet", b"PAR1 nothing", "cannot be read"),
        ("twice.csv", b"a,a\n1,2\n", "names the column"),
    ],
)
def test_a_wrong_file_is_one_sentence_and_another_may_follow(page: AppTest, name: str, content: bytes, sentence: str) -> None:
    app = dropped(page, (name, content))
    assert sentence in errors(app)
    assert len(app.error) == 1
    dropped(app, ("x.jsonl", as_lines(PAIR)))
    assert not app.error
    assert app.button(key="import_do")


def test_a_file_of_which_nothing_would_be_kept_cannot_be_imported(page: AppTest) -> None:
    app = dropped(page, ("x.jsonl", as_lines({**PAIR, "overall_response": 3})))
    assert "0 of 1\u00a0record kept" in errors(app)
    assert not [button for button in app.button if button.key == "import_do"]


def test_a_path_that_is_named_is_imported_beside_what_is_there(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows the new dataset then, and its reason for what was left out."""
    (tmp_path / "tea.jsonl").write_bytes(as_lines(PAIR, {**PAIR, "question": "How?", "overall_response": 7}))
    monkeypatch.setenv("PREFSCOPE_CACHE", str(own_cache))
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.switch_page("views/data.py")
    app.session_state["data_tab_0"] = "Import"
    app.run()
    app.text_input(key="named_source").set_value(str(tmp_path / "tea.jsonl")).run()
    imported(app)
    assert app.session_state["selection"].dataset_id.startswith("tea-")
    assert app.session_state["data_tab_1"] == "Pairs"
    assert shown(app, "Reason")["In rejects.jsonl"].tolist() == ["bad_label"]


@pytest.mark.parametrize("typed", ["/no/such/file.jsonl", "train=a.jsonl b.jsonl", "'unbalanced", "train=a.jsonl train=b.jsonl"])
def test_a_name_of_nothing_is_a_sentence(page: AppTest, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    page.text_input(key="named_source").set_value(typed).run()
    assert not page.exception
    assert page.error


def test_answers_stay_when_another_page_is_opened_in_between(page: AppTest) -> None:
    app = dropped(page, ("x.jsonl", as_lines({"u": "Why?", "v": "Because.", "w": "No."})))
    app.selectbox(key="import_chosen").set_value("w").run()
    app.switch_page("views/runs.py")
    app.run()
    app.switch_page("views/data.py")
    app.run()
    assert app.selectbox(key="import_chosen").value == "w"


def test_rewards_made_elsewhere_are_recognised_and_opened(page: AppTest, empty_cache: Path) -> None:
    record = {"question": "Why?", "better_response": "a", "worse_response": "b", "prediction": "c", "reward_score": 0.5}
    app = dropped(page, ("scored.jsonl", as_lines(record, {**record, "question": "How?"})))
    assert app.segmented_control(key="import_kind").value == "results"
    app.text_input(key="import_generator_prediction").set_value("our policy").run()
    imported(app)
    assert "2\u00a0pairs" in app.success[0].value
    assert str(app.query_params["dataset"]).strip("[]'").startswith("scored-")


def test_a_table_of_answers_is_assigned_by_its_names(page: AppTest) -> None:
    app = dropped(page, ("a.csv", b"instruction,output,rating\nHi,Hello,0.5\n"))
    app.segmented_control(key="import_kind").set_value("results").run()
    assert [app.selectbox(key=f"import_results_{name}").value for name in ("question", "response", "reward")] == [
        "instruction",
        "output",
        "rating",
    ]
    imported(app)
    assert "1\u00a0reward" in app.success[0].value


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
        assert keep_upload(name, b"x") == empty_cache / "uploads" / "x_1.jsonl"
    (empty_cache / "uploads" / "folder").mkdir()
    with pytest.raises(DataError, match=r"uploads/folder cannot be written: Is a directory"):
        keep_upload("folder", b"")


@pytest.mark.parametrize("argument", ["a\0b", "x" * 200_000])
def test_an_argument_no_process_can_be_given_is_a_sentence(empty_cache: Path, argument: str) -> None:
    with pytest.raises(RunError, match="the engine cannot be called: "):
        engine_call(["import", argument], empty_cache)


@pytest.mark.parametrize(
    ("splits", "opened"),
    [
        ({"train": 9, "validation": 1}, "validation"),
        ({"train_prefs": 9, "test_prefs": 2, "test_gen": 1}, "test_prefs"),
        ({"train": 9, "train_2": 10}, "train_2"),
    ],
)
def test_an_import_opens_what_is_not_trained_on_where_there_is_any(splits: dict[str, int], opened: str) -> None:
    assert importing.held_out(splits) == opened
