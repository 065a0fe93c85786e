"""A table nobody described is read right when its columns say what they hold, and left to a person when they do not."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.columns import guess, has_prompt, is_whole
from engine.data.formats import parser
from engine.errors import RecordError

TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def guessed(*columns: str, **values: Any) -> dict[str, str]:
    """What is guessed of one record whose columns hold texts, unless a value is given."""
    return guess([{**{column: f"text of {column}" for column in columns}, **values}])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("prompt", "good", "bad"), ("prompt", "good", "bad")),
        (("bad_answer", "good_answer", "Question"), ("Question", "good_answer", "bad_answer")),
        (("instruction", "preferredResponse", "dispreferredResponse"), ("instruction", "preferredResponse", "dispreferredResponse")),
        (("id", "query", "response_chosen", "response_rejected"), ("query", "response_chosen", "response_rejected")),
    ],
)
def test_chosen_and_rejected_are_known_by_their_names(columns: tuple[str, ...], expected: tuple[str, str, str]) -> None:
    found = guessed(*columns)
    assert tuple(found[option] for option in ("question", "chosen", "rejected")) == expected
    assert is_whole(found)


def test_of_a_pair_of_names_the_texts_count_and_not_who_wrote_them() -> None:
    """Chatbot Arena names the model beside its conversation."""
    found = guessed("model_a", "model_b", conversation_a=TALK, conversation_b=TALK, winner="model_b")
    assert (found["response_1"], found["response_2"]) == ("conversation_a", "conversation_b")
    assert (found["label"], found["first"], found["second"]) == ("winner", "model_a", "model_b")
    assert has_prompt({"conversation_a": TALK}, found)


@pytest.mark.parametrize(
    ("columns", "labels", "expected"),
    [
        (("response_1", "response_2"), (1, 2), ("1", "2")),
        (("response_0", "response_1"), (0, 1), ("0", "1")),
        (("answer_a", "answer_b"), ("A", "B"), ("a", "b")),
        (("answer_a", "answer_b"), (0, 1), ("0", "1")),
        (("completionA", "completionB"), ("completionB", "tie", "completionA"), ("completiona", "completionb")),
        (("response_1", "response_2"), (2.0, 2.0), ("1", "2")),
    ],
)
def test_a_label_is_read_by_the_values_it_has(columns: tuple[str, str], labels: tuple[Any, ...], expected: tuple[str, str]) -> None:
    records = [{"prompt": "Hi", columns[0]: "x", columns[1]: "y", "preference": label} for label in labels]
    found = guess(records)
    assert (found["label"], found["first"], found["second"]) == ("preference", *expected)
    assert parser("mapped", found)(records[0], 1).chosen == ("y" if labels[0] in (2.0, "completionB") else "x")


def test_two_scores_stand_in_for_a_label() -> None:
    found = guessed("prompt", "output_1", "output_2", score_1=2, score_2="3")
    assert (found["score_1"], found["score_2"]) == ("score_1", "score_2")
    assert is_whole(found)


def test_what_groups_and_surrounds_the_prompt_is_found_too() -> None:
    found = guessed("instruction", "input", "system_prompt", "category", "dataset", "chosen", "rejected")
    options = ("question", "input", "system", "prompt_type", "source")
    assert [found[option] for option in options] == ["instruction", "input", "system_prompt", "category", "dataset"]


def test_nothing_is_made_up() -> None:
    """A question and one answer are no pair; two answers without a label are none yet; an empty column is no input."""
    assert guessed("prompt", "response") == {"question": "prompt"}
    assert not is_whole(guessed("prompt", "response_a", "response_b"))
    assert "input" not in guessed("instruction", "chosen", "rejected", input="")
    assert not has_prompt({"good": "I like a"}, guessed("good", "bad"))


names = st.sampled_from(
    ["prompt", "good", "bad", "response_1", "response_2", "A", "b", "label", "score_1", "score 2", "input", "", "_", "é1"]
)
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text("aB1 ", max_size=3) | st.lists(st.just(TALK[0]), max_size=2)


@given(st.lists(st.dictionaries(names, values, max_size=8), max_size=4))
def test_a_guess_names_columns_that_are_there_and_can_be_read(records: list[dict[str, Any]]) -> None:
    found = guess(records)
    there = {column for record in records for column in record}
    assert {column for option, column in found.items() if option not in ("first", "second")} <= there
    for record in records if is_whole(found) else []:
        with suppress(RecordError):
            assert parser("mapped", found)(record, 1).chosen
