"""Every format gives the pair that is meant, and refuses the rest with a reason."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.formats import FORMATS, REASONS, detect, parser, remarks
from engine.data.records import PreferencePair, Turn
from engine.errors import DataError, RecordError

ALIGN = {"question": "Why is the sky blue?", "response_1": "Scattering.", "response_2": "Magic.", "overall_response": 1}
PKU = {"prompt": "Hi", "response_0": "helpful", "response_1": "safe", "better_response_id": 0, "safer_response_id": 1}
HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: How?\n\nAssistant: So.",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: How?\n\nAssistant: No.",
}
MAPPING = {"question": "q", "response_1": "a", "response_2": "b", "label": "winner", "first": "A", "second": "B"}


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def reason(format: str, record: dict[str, Any], **options: Any) -> str:
    with pytest.raises(RecordError) as caught:
        parser(format, options)(record, 1)
    assert caught.value.reason in REASONS
    return caught.value.reason


def texts(pair: PreferencePair) -> tuple[str, str, str]:
    return pair.turns[-1].content, pair.chosen, pair.rejected


def test_overall_response_names_the_chosen_one() -> None:
    assert texts(parser("align-anything")(ALIGN, 7)) == ("Why is the sky blue?", "Scattering.", "Magic.")
    assert parser("align-anything")({**ALIGN, "overall_response": 2}, 7).chosen == "Magic."


def test_pair_carries_line_group_and_source() -> None:
    pair = parser("align-anything")({**ALIGN, "prompt_type": "science", "source": "a book"}, 7)
    assert (pair.line, pair.prompt_type, pair.source) == (7, "science", "a book")


@pytest.mark.parametrize("label", [1, "1", 1.0, " 1 ", "1.0"])
def test_label_may_be_number_or_text(label: object) -> None:
    assert parser("align-anything")({**ALIGN, "overall_response": label}, 1).chosen == "Scattering."


@pytest.mark.parametrize("label", [0, 3, True, "yes", -1, 1.5, [1]])
def test_label_outside_the_allowed_set_is_refused(label: object) -> None:
    assert reason("align-anything", {**ALIGN, "overall_response": label}) == "bad_label"


def test_error_says_field_found_and_expected() -> None:
    with pytest.raises(RecordError, match="overall_response is 3, expected 1 or 2"):
        parser("align-anything")({**ALIGN, "overall_response": 3}, 1)


def test_faults_have_their_reasons() -> None:
    assert reason("align-anything", {**ALIGN, "question": None}) == "missing_key"
    assert reason("align-anything", {**ALIGN, "response_1": 5}) == "wrong_type"
    assert reason("align-anything", {**ALIGN, "response_1": " \n"}) == "empty_text"
    assert reason("align-anything", {**ALIGN, "response_2": " Scattering.\n"}) == "equal_responses"
    assert reason("align-anything", {**ALIGN, "question": "\ud800"}) == "broken_utf8"


def test_dialogue_in_a_question_becomes_turns_when_asked() -> None:
    record = {**ALIGN, "question": "Human: Hi\n\nAssistant: Hello\n\nHuman: How?"}
    turns = parser("align-anything", {"transcripts": "true"})(record, 1).turns
    assert turns == (Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("user", "How?"))
    assert len(parser("align-anything")(record, 1).turns) == 1
    assert "transcripts=true" in remarks(record, parser("align-anything")(record, 1))[0]


def test_saferlhf_label_is_better_or_safer() -> None:
    assert parser("pku-saferlhf")(PKU, 1).chosen == "helpful"
    assert parser("pku-saferlhf", {"label": "safer"})(PKU, 1).chosen == "safe"
    assert reason("pku-saferlhf", {**PKU, "better_response_id": 2}) == "bad_label"


def test_common_turns_of_transcripts_become_the_prompt() -> None:
    pair = parser("hh-rlhf")(HH, 1)
    assert pair.turns == (Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("user", "How?"))
    assert (pair.chosen, pair.rejected) == ("So.", "No.")


def test_transcripts_that_part_early_are_refused() -> None:
    assert reason("hh-rlhf", {**HH, "rejected": "\n\nHuman: Hi\n\nAssistant: Bye"}) == "diverging_turns"
    assert reason("hh-rlhf", {**HH, "rejected": HH["chosen"]}) == "equal_responses"
    assert reason("hh-rlhf", {k: v.replace("\n\nHuman: How?", "") for k, v in HH.items()}) == "bad_turns"
    assert reason("hh-rlhf", {**HH, "chosen": "\n\nHuman: Hi\n\nAssistant:"}) == "empty_text"


line_text = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20).filter(lambda t: ":" not in t)


@given(st.lists(st.tuples(line_text, line_text), max_size=3), line_text, st.lists(line_text, min_size=2, max_size=2, unique=True))
def test_written_transcript_is_read_back(before: list[tuple[str, str]], question: str, answers: list[str]) -> None:
    shared = "".join(f"\n\nHuman: {q}\n\nAssistant: {a}" for q, a in before) + f"\n\nHuman: {question}\n\nAssistant: "
    pair = parser("hh-rlhf")({"chosen": shared + answers[0], "rejected": shared + answers[1]}, 1)
    assert [t.content for t in pair.turns] == [text for exchange in before for text in exchange] + [question]
    assert [pair.chosen, pair.rejected] == answers


@given(line_text, st.lists(line_text, min_size=2, max_size=2, unique=True))
def test_three_shapes_of_trl_give_the_same_pair(question: str, answers: list[str]) -> None:
    user, replies = [said("user", question)], [[said("assistant", a)] for a in answers]
    plain = {"prompt": question, "chosen": answers[0], "rejected": answers[1]}
    explicit = {"prompt": user, "chosen": replies[0], "rejected": replies[1]}
    implicit = {"chosen": user + replies[0], "rejected": user + replies[1]}
    assert parser("trl")(plain, 1) == parser("trl")(explicit, 1) == parser("trl")(implicit, 1)


def test_implicit_prompt_of_plain_strings_ends_between_words() -> None:
    pair = parser("trl")({"chosen": "The sky is blue.", "rejected": "The sky is black."}, 1)
    assert texts(pair) == ("The sky is", "blue.", "black.")
    assert reason("trl", {"chosen": "Yes", "rejected": "No"}) == "empty_text"


def test_leading_system_message_is_left_out_and_mentioned() -> None:
    record = {"prompt": [said("system", "Be brief."), said("user", "Hi")], "chosen": "a", "rejected": "b"}
    pair = parser("trl")(record, 1)
    assert pair.turns == (Turn("user", "Hi"),)
    assert "system message" in remarks(record, pair)[0]


def test_turns_by_others_are_refused() -> None:
    tool = [said("user", "Hi"), said("tool", "3"), said("user", "So?")]
    assert reason("trl", {"prompt": tool, "chosen": "a", "rejected": "b"}) == "bad_turns"
    assert reason("trl", {"prompt": [said("assistant", "Hi")], "chosen": "a", "rejected": "b"}) == "bad_turns"
    assert reason("trl", {"prompt": "Hi", "chosen": [said("user", "a")], "rejected": "b"}) == "bad_turns"
    assert reason("trl", {"prompt": [said("user", [{"type": "image"}])], "chosen": "a", "rejected": "b"}) == "wrong_type"


def test_a_prompt_may_be_called_question_where_chosen_and_rejected_stand_beside_it() -> None:
    """It was read as if there were no prompt: the common beginning "I like " became it."""
    record = {"question": "Which?", "chosen": "I like a", "rejected": "I like b"}
    assert texts(parser("trl")(record, 1)) == ("Which?", "I like a", "I like b")
    single = {**record, "chosen": [said("assistant", "a")], "rejected": [said("assistant", "b")]}
    assert texts(parser("trl")(single, 1)) == ("Which?", "a", "b")


def test_ultrafeedback_scores_must_agree_with_the_choice() -> None:
    talks = [[said("user", "Hi"), said("assistant", a)] for a in ("good", "bad")]
    record = {"prompt": "Hi", "chosen": talks[0], "rejected": talks[1], "score_chosen": 8.0, "score_rejected": 7.5}
    assert detect(record) == "ultrafeedback-binarized"
    assert texts(parser("ultrafeedback-binarized")(record, 1)) == ("Hi", "good", "bad")
    assert reason("ultrafeedback-binarized", record, min_gap=1) == "bad_label"
    assert reason("ultrafeedback-binarized", {**record, "score_chosen": 7}) == "bad_label"
    for score in (10**400, float("inf"), True, "high"):  # 10^400 is no number of 64 bits
        assert reason("ultrafeedback-binarized", {**record, "score_chosen": score}) == "wrong_type"


def test_columns_can_be_mapped() -> None:
    assert parser("mapped", MAPPING)({"q": "Hi", "a": "x", "b": "y", "winner": "b"}, 1).chosen == "y"
    assert parser("mapped", {"question": "q", "chosen": "c", "rejected": "r"})({"q": "Hi", "c": "x", "r": "y"}, 1).rejected == "y"
    with pytest.raises(DataError, match="needs the options"):
        parser("mapped", {"question": "q", "chosen": "c"})({"q": "Hi", "c": "x"}, 1)


def test_two_scores_name_the_higher_response() -> None:
    named = {"question": "q", "response_1": "a", "response_2": "b", "score_1": "s", "score_2": "t"}
    record = {"q": "Hi", "a": "x", "b": "y", "s": "3.5", "t": 4}
    assert texts(parser("mapped", named)(record, 1)) == ("Hi", "y", "x")
    assert reason("mapped", {**record, "t": 3.5}, **named) == "bad_label"
    assert reason("mapped", {**record, "t": "high"}, **named) == "wrong_type"


def test_a_system_text_goes_in_front_of_the_question_and_an_input_behind_it() -> None:
    """Of a conversation in front of its first turn and behind its last one; an empty text changes nothing."""
    named = {"question": "q", "chosen": "c", "rejected": "r", "system": "s", "input": "i"}
    sides = {"c": "x", "r": "y"}
    assert (
        texts(parser("mapped", named)({"q": "Translate.", "s": "Be brief.", "i": "Hund", **sides}, 1))[0] == "Be brief.\n\nTranslate.\nHund"
    )
    assert parser("mapped", named)({"q": "Translate.", "s": "", "i": None, **sides}, 1).turns == (Turn("user", "Translate."),)
    talk = [said("user", "Hi"), said("assistant", "Hello"), said("user", "So?")]
    turns = parser("mapped", named)({"q": talk, "s": "Be brief.", "i": "Now.", **sides}, 1).turns
    assert [turn.content for turn in turns] == ["Be brief.\n\nHi", "Hello", "So?\nNow."]


def test_without_a_question_two_conversations_share_their_prompt() -> None:
    """The way Chatbot Arena has them: the label names a model, and the two conversations begin alike."""
    talks = {side: [said("user", "Hi"), said("assistant", side)] for side in ("a", "b")}
    named = {"response_1": "a", "response_2": "b", "label": "winner", "first": "model_a", "second": "model_b"}
    assert texts(parser("mapped", named)({**talks, "winner": "model_b"}, 1)) == ("Hi", "b", "a")
    assert reason("mapped", {**talks, "winner": "tie"}, **named) == "bad_label"


@pytest.mark.parametrize(("record", "name"), [(ALIGN, "align-anything"), (PKU, "pku-saferlhf"), (HH, "hh-rlhf")])
def test_format_is_detected_from_keys_and_shapes(record: dict[str, Any], name: str) -> None:
    assert detect({**record, "more": 1}) == name


def test_transcript_with_its_own_prompt_is_trl() -> None:
    assert detect({"prompt": "Hi", **HH}) == "trl"


@pytest.mark.parametrize("more", [{"instruction": "Hi", "input": ""}, {"question": "Hi", "system": "Be brief."}])
def test_what_trl_would_leave_out_is_no_trl(more: dict[str, str]) -> None:
    """LLaMA-Factory's instruction, and a system text of each record: read as trl the prompt would be lost, or its half."""
    with pytest.raises(DataError, match="no format has the keys"):
        detect({**more, "chosen": "I like a", "rejected": "I like b"})


def test_unknown_keys_are_named() -> None:
    with pytest.raises(DataError, match="no format has the keys instruction, output"):
        detect({"instruction": "x", "output": "y"})


def test_wrong_options_are_refused_before_reading() -> None:
    for name, options, message in [
        ("nope", {}, "format is 'nope'"),
        ("hh-rlhf", {"label": "safer"}, "no option 'label'"),
        ("pku-saferlhf", {"label": "kinder"}, "option label is 'kinder'"),
    ]:
        with pytest.raises(DataError, match=message):
            parser(name, options)


short = st.text("aB é\ud800", max_size=4)
message = st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": short | st.none()})
anything = st.none() | st.booleans() | st.integers() | st.floats() | short | st.lists(st.integers() | message, max_size=3)
keys = st.sampled_from(sorted({key for f in FORMATS.values() for key in f.keys} | {"prompt", "safer_response_id"}))


@given(st.dictionaries(keys, anything), st.sampled_from([f for f in FORMATS if f != "mapped"]))
def test_any_record_gives_a_pair_or_a_known_reason(record: dict[str, Any], name: str) -> None:
    try:
        pair = parser(name)(record, 1)
    except RecordError as error:
        if error.reason not in REASONS:
            raise
    else:
        assert pair.chosen.strip() != pair.rejected.strip()
