"""The playground's page without a browser: what it offers, and what it says where it cannot."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import opened, said

from dashboard import queries
from dashboard.parts.answers import Role
from dashboard.parts.playground import Played
from dashboard.parts.tokens import by_reward
from dashboard.queries import playground
from engine.data.datasets_io import import_dataset
from engine.data.records import Turn
from engine.store import database
from engine.store.rundir import run_dirs, take_lock
from engine.store.status import State


def asked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    app = opened(cache, monkeypatch, "playground.py")
    return app.text_area(key="play_prompt").set_value("How do I begin?").run()


def test_writers_and_judges_are_those_of_the_comparison(filled_cache: Path) -> None:
    with database.reading(filled_cache) as con:
        selection = queries.default_selection(con)
        writers, judges = playground.writers(con, selection), playground.judges(con, selection)
    assert writers["side"].to_list() == ["base", "tuned"]
    assert writers["generator_id"].to_list() == [selection.base_generator, selection.tuned_generator]
    assert judges["scorer_id"][0] == selection.trained_scorer


def test_the_other_of_a_response_is_its_pairs_or_the_other_generators(filled_cache: Path) -> None:
    with database.reading(filled_cache) as con:
        selection = queries.default_selection(con)
        pairs = database.frame(con, "select prompt_id, chosen_id, rejected_id, t.text from pairs join texts t on text_id = rejected_id")
        of: dict[str, object] = {"base": selection.base_generator, "tuned": selection.tuned_generator}
        answers = database.frame(
            con,
            """select b.prompt_id, b.text_id, t.text from answers b join answers a using (prompt_id) join texts t on t.text_id = a.text_id
               where b.generator_id = $base and a.generator_id = $tuned and b.text_id <> a.text_id""",
            of,
        )
        for rows, column in ((pairs, "chosen_id"), (answers, "text_id")):
            row = rows.row(0, named=True)
            found = playground.response(con, selection, row["prompt_id"], row[column])
            assert found["other"].to_list() == [row["text"]]


def test_a_model_without_weights_is_said_and_nothing_is_started(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = asked(own_cache, monkeypatch)
    assert "model" in app.error[0].value
    assert not (own_cache / "locks" / "serve.lock").exists()


def test_a_prompt_of_the_split_fills_the_field_with_what_was_said_before(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.reading(filled_cache) as con:
        row = playground.prompts_to_pick(con, queries.default_selection(con)).row(3, named=True)
    app = opened(filled_cache, monkeypatch, "playground.py", prompt=row["prompt_id"])
    assert app.text_area(key="play_prompt").value == row["text"]
    assert app.selectbox(key="play_picked").value == row["prompt_id"]
    assert "Nothing here yet" not in said(app)


def test_the_scorers_that_are_chosen_outlive_a_switch_of_the_language(toy_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(toy_cache, monkeypatch, "playground.py")
    before = app.multiselect(key="play_scorers").value
    app.multiselect(key="play_scorers").unselect(before[0]).run()
    for language in ("zh", "en"):
        app.segmented_control(key="language").set_value(language).run()
        assert app.multiselect(key="play_scorers").value == before[1:]


def test_a_run_that_goes_on_is_named_before_anything_is_asked(own_toy_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_dirs(own_toy_cache)[-1]
    lock = take_lock(run.path / "lock")
    assert lock is not None
    run.update(state=State.RUNNING, finished_at=None, pid=os.getpid())
    app = asked(own_toy_cache, monkeypatch)
    os.close(lock)
    assert [info.value.partition(":")[0] for info in app.info] == ["scores is going on"]
    assert app.button(key="play_go").disabled


def test_the_responses_to_a_prompt_are_offered_token_by_token_where_the_models_are(
    toy_cache: Path, filled_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of base, tuned, chosen and rejected; nothing is loaded before somebody asks. The seeded cache has no weights."""
    app = opened(toy_cache, monkeypatch, "prompts.py")
    assert not app.exception
    (choice,) = [group for group in app.segmented_control if group.label == "Which answer"]
    assert choice.options == ["Base", "Tuned", "Chosen", "Rejected"]
    assert [button.label for button in app.button if button.label.startswith("Load the models: about 0")]
    assert not (toy_cache / "locks" / "serve.lock").exists()
    app = opened(filled_cache, monkeypatch, "prompts.py")
    assert not [group for group in app.segmented_control if group.label == "Which answer"]


def test_scores_have_the_same_decimals_and_the_difference_its_place_among_the_margins(
    filled_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The differences are +0.86 and −0.0006: four decimals. A size of 1,000 is larger than every margin."""
    with database.reading(filled_cache) as con:
        run = playground.judges(con, queries.default_selection(con))["run_id"][0]
    app = opened(filled_cache, monkeypatch, "playground.py")
    lines: dict[Role, dict[str, Any]] = {"base": {"text": "So."}, "tuned": {"text": "Thus."}}
    scores = [{"name": "toy", "run": run, "trained": True, "rewards": [0.0, 1000.0], "truncated": [False, False]}]
    app.session_state["played"] = Played((Turn("user", "How?"),), {"base": "Base", "tuned": "DPO"}, lines, scores)
    app.run()
    assert "On validation, 100\u00a0% of pairs differ by less under this reward model." in said(app)
    rewards = [[0.0, 0.86], [0.0001, -0.0005]]
    app.session_state["played"].scores = [{**scores[0], "rewards": both, "trained": both[0] == 0} for both in rewards]
    app.run()
    assert "Differences are taken before rounding." not in said(app)
    assert app.dataframe[0].value.iloc[:, 1:].values.tolist() == [["0.0000", "0.8600", "+0.8600"], ["0.0001", "−0.0005", "−0.0006"]]


def test_the_reward_along_an_answer_says_where_its_arithmetic_is_not_exact() -> None:
    found = {"before": 0.0, "tokens": [{"text": "a", "reward": 1.0}], "truncated": False, "parts_at": None}
    exact, rounded = (by_reward({**found, "precision": precision})["notes"] for precision in ("fp32", "bf16"))
    assert exact == []
    assert len(rounded) == 1


def test_what_was_typed_and_picked_is_there_again_after_another_page(toy_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = asked(toy_cache, monkeypatch)
    app.number_input(key="play_tokens").set_value(64)
    kept = app.multiselect(key="play_scorers").value[:1]
    app.multiselect(key="play_scorers").set_value(kept).run()
    app.segmented_control(key="play_mode").set_value("paste").run()
    app.text_area(key="play_right").set_value("So.").run()
    app.switch_page("views/overview.py").run().switch_page("views/playground.py").run()
    assert not app.exception
    assert app.segmented_control(key="play_mode").value == "paste"
    assert [app.text_area(key=f"play_{field}").value for field in ("prompt", "left", "right")] == ["How do I begin?", "", "So."]
    assert app.multiselect(key="play_scorers").value == kept
    app.segmented_control(key="play_mode").set_value("answer").run()
    assert app.number_input(key="play_tokens").value == 64


def test_on_another_dataset_a_judge_is_named_with_what_it_was_trained_on(
    own_toy_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The toy model was trained on the toy set; the prompt of the other set has no answers, and so no policy."""
    file = tmp_path / "validation.jsonl"
    file.write_text(json.dumps({"prompt": "Why?", "chosen": "So.", "rejected": "No."}) + "\n")
    other = import_dataset(own_toy_cache, "mine", {"validation": str(file)}).dataset_id
    app = opened(own_toy_cache, monkeypatch, "playground.py", dataset=other)
    assert "trained on toy" in app.multiselect(key="play_scorers").options[0]
    assert "Let policies answer" in app.segmented_control(key="play_mode").options
