"""Where two answers part, word by word."""

from hypothesis import given
from hypothesis import strategies as st

from dashboard.parts.answers import Answer, drawn_sides
from dashboard.parts.differences import differences, passages, unmarked

TEXT = st.text(alphabet=st.sampled_from("ab,. \n我们é'<"), max_size=40)


def test_shared_words_are_not_marked_and_the_others_are() -> None:
    left, right = differences("Arrive early for the interview, please.", "Arrive late for the interview, please.")
    assert left == [("Arrive", False), (" early", True), (" for the interview, please.", False)]
    assert right == [("Arrive", False), (" late", True), (" for the interview, please.", False)]


def test_a_short_run_between_longer_changes_is_chance() -> None:
    """ "of" is shared, but three words before it and after it are not."""
    left, right = differences("one two three of four five six", "seven eight nine of ten eleven twelve")
    assert left == [("one two three of four five six", True)]
    assert right == [("seven eight nine of ten eleven twelve", True)]


def test_line_breaks_and_blanks_are_no_difference() -> None:
    left, right = differences("First,\n\nsecond", "First, second")
    assert [changed for _text, changed in left + right] == [False, False]


def test_the_share_of_words_that_are_not_marked() -> None:
    """Five of six words of both are shared, and none of seven and seven, where "of" is chance."""
    assert unmarked(*differences("Arrive early for the interview, please.", "Arrive late for the interview, please.")) == 5 / 6
    assert unmarked(*differences("one two three of four five six", "seven eight nine of ten eleven twelve")) == 0
    assert unmarked(*differences("", "…")) == 1


def test_of_texts_with_little_in_common_the_longer_common_passages_are_marked_and_no_single_word() -> None:
    """Three words stand in both; "the" and the full stop, at an end where nothing says that they are chance, are no passage."""
    left, right = differences("the cat sat on a mat all of a winter day.", "the dogs and birds sat on a rug for years.")
    assert passages(left) == [("the cat", False), (" sat on a", True), (" mat all of a winter day.", False)]
    assert passages(right) == [("the dogs and birds", False), (" sat on a", True), (" rug for years.", False)]


def test_what_is_marked_of_two_answers_is_said_with_the_share_of_words_that_it_has() -> None:
    """ "sat on a" are 3 of 9 and 3 of 9 words: a third, less than half, so that it is marked and the differences are not."""
    told = Answer("base", "the cat sat on a mat all of winter."), Answer("tuned", "the dogs and birds sat on a rug forever")
    drawn = drawn_sides(told)
    assert not drawn["alike"]
    assert [text for side in drawn["answers"] for text, marked in side["pieces"] if marked] == [" sat on a"] * 2
    assert ["33\u00a0% of their words" in text for text in drawn["about"]] == [False, True]


def test_chinese_is_compared_by_characters() -> None:
    left, right = differences("我们不能这样做", "我们可以这样做")
    assert left == [("我们", False), ("不能", True), ("这样做", False)]
    assert right == [("我们", False), ("可以", True), ("这样做", False)]


@given(TEXT, TEXT)
def test_pieces_join_to_the_texts_again_and_swap_with_them(left: str, right: str) -> None:
    a, b = differences(left, right)
    assert ("".join(text for text, _changed in a), "".join(text for text, _changed in b)) == (left, right)
    assert all(text for text, _changed in a + b)


@given(TEXT)
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    assert differences(text, text)[0] == ([(text, False)] if text else [])
