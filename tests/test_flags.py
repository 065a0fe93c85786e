"""What stands out in an answer: the rules, on texts short enough to count."""

import pytest

from engine.store.flags import flags, refuses, repeated_share, repeats_itself


def test_the_repeated_share_counts_runs_of_four_words() -> None:
    """a b c d a b c d a b has 7 runs, 4 different: abcd, bcda, cdab, dabc; 1 − 4/7."""
    assert repeated_share("a b c d a B c d\na b") == pytest.approx(3 / 7)
    assert repeated_share("a b c d e f") == 0
    assert repeated_share("a b c") == 0


def test_chinese_is_counted_by_characters() -> None:
    """我们我们我们 has 3 runs of four characters, 2 different."""
    assert repeated_share("我们我们我们") == pytest.approx(1 / 3)


def test_a_quarter_of_repeated_runs_is_a_repetition() -> None:
    """Words 1 to 11 and then 1 to 6 again: 14 runs, of which 1234, 2345 and 3456 are repeated, 3/14; one word more makes 4/15."""
    words = [f"w{n}" for n in range(1, 12)]
    assert not repeats_itself(" ".join(words + words[:6]))
    assert repeats_itself(" ".join(words + words[:7]))


def test_an_answer_that_ends_in_a_loop_repeats_itself() -> None:
    """The last whole clause stands there three times; what was cut off after it does not count, nor do short ones."""
    start = "There are many ways to look at this question and nobody has tried them all in one day."
    assert repeats_itself(f"{start} Ask a friend. Walk on. Ask a friend; see more of it, ask a friend. As")
    assert not repeats_itself(f"{start} Ask a friend. Walk on. Ask a friend.")
    assert not repeats_itself(f"{start} Yes. Walk on, yes, and see more of it: yes.")


@pytest.mark.parametrize("text", [
    "I'm sorry, but I can't help with that.", "I’m sorry, but no.", "  \"I cannot do this.", "As an AI language model, I have no opinion.",
    "I’m sorry for any misunderstanding, but as a chatbot, I’m not equipped to help with money.",
    "I'm sorry to inform you, but I cannot do this.", "Sorry, I'm unable to help.", "很抱歉，我不能提供这种信息。", "我无法回答这个问题。",
])  # fmt: skip
def test_an_answer_that_begins_by_declining_refuses(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize("text", [
    "I'm sorry to hear that you lost it. First, call the bank.", "You cannot return it.",
    "I'm sorry for your loss. I'm happy to help.", "I'm sorry for the wait, but as promised here it is.", "Sorry, I'm late with your dues.",
    "Sure! I cannot recommend it enough.",
    "对不起，我来晚了。", "",
])  # fmt: skip
def test_an_answer_that_only_holds_such_words_does_not_refuse(text: str) -> None:
    assert not refuses(text)


def test_flags_are_independent() -> None:
    found = flags("I can't say. " * 5)
    assert (found.repeats, found.refuses) == (True, True)
