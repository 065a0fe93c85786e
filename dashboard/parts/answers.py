"""Answers side by side, alone or beside a list of prompts: one component of ours, which sets text from outside as text only."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from dashboard.parts.differences import ALIKE, Piece, differences, passages, unmarked
from dashboard.state import address
from dashboard.state.messages import _, marked, ours, wording
from engine.plain import line
from engine.statistics.wording import adds_up, number, percent
from engine.store.flags import flags

MARKS = "marks"  # in the address: whether two answers are marked; else only those that share most words, where the others stand out
HERE = Path(__file__).parent / "answers_component"
Role = Literal["chosen", "rejected", "base", "tuned", "left", "right", "other"]
TITLES: dict[Role, str] = {
    "chosen": marked("Chosen"),
    "rejected": marked("Rejected"),
    "base": marked("Base"),
    "tuned": marked("Tuned"),
    "left": marked("First answer"),  # two that somebody gave
    "right": marked("Second answer"),
    "other": marked("Answer"),
}
FLAGS = {  # as a row of the list has room for, by whose answer it is
    "cut": {"base": marked("base cut"), "tuned": marked("tuned cut"), "both": marked("both cut")},
    "repeats": {"base": marked("base repeats"), "tuned": marked("tuned repeats"), "both": marked("both repeat")},
    "refuses": {"base": marked("base refuses"), "tuned": marked("tuned refuses"), "both": marked("both refuse")},
}
ABOUT_BAR = marked(
    "Each bar is drawn against the largest difference under its own reward model: rewards of two reward models have no unit in common."
)
component = st.components.v2.component(
    "prefscope_answers",
    html='<div class="answers"></div>\n',
    css=(HERE / "answers.css").read_text(encoding="utf-8"),
    js=(HERE / "answers.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Answer:
    """A text that answers a prompt, and what is known of it."""

    role: Role
    text: str
    by: str = ""  # the generator's name
    reward: float | None = None  # of one scorer, in its own unit
    tokens: float | None = None
    words: int | None = None
    cut: bool = False  # by the limit of new tokens


@dataclass(frozen=True)
class Score:
    """What one scorer says of both answers; share: of its largest difference anywhere, −1 to 1."""

    scorer: str
    base: float
    tuned: float
    share: float


@dataclass(frozen=True)
class Fold:
    """Answers that are shown when somebody opens them, and the words to open them by, each in a role's colour or in grey."""

    title: Sequence[tuple[Role | None, str]]
    answers: Sequence[Answer]


@dataclass(frozen=True)
class Detail:
    """Everything about one prompt."""

    id: str
    turns: Sequence[tuple[str, str]]  # role and text
    answers: Sequence[Answer] = ()
    scores: Sequence[Score] = ()
    folds: Sequence[Fold] = ()
    about: str = ""
    place: str = ""  # "3 of 200 · 160 with both answers"


@dataclass(frozen=True)
class Row:
    """A line of the list of prompts; share: of the largest difference, −1 to 1."""

    prompt: str
    text: str
    about: str = ""
    difference: float | None = None
    share: float | None = None
    flags: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Listed:
    """A page of the list. first: place of its first row among `total`, from 0; size: rows of a page."""

    asked: str  # changes with what is asked for, so that what was shown of something else is forgotten
    rows: Sequence[Row]
    first: int
    total: int
    size: int
    prompt: str | None  # the one that is shown
    opened: bool  # whether somebody opened it; otherwise a narrow screen shows the list
    answered: str = ""  # how many of all have both answers, where not all have
    found: str = ""  # what was searched for, which is lit in prompts and answers


def beside(answers: Sequence[Answer], turns: Sequence[tuple[str, str]], *, key: str, brief: bool = False) -> None:
    """Answers beside each other, with their rewards, under their prompt; two alike marked where they differ.

    At a press, two that have little in common are marked where they agree.

    Of what is long the beginning stands there, and a button shows all of it; brief: of all the beginning only.
    """
    detail = drawn(Detail(key, turns, answers))
    component(key=key, data={"words": words(), "list": None, "marks": None, "brief": brief, "details": [detail]})


def browse(listed: Listed, details: Sequence[Detail], *, key: str, search: str, on_go: Callable[[], None]) -> None:
    """A list of prompts beside one of them. `details` has the one that is shown, and neighbours that will then be there at once.

    search: CSS selector of the field to which `/` leads. on_go is called when the viewer goes elsewhere; st.session_state[key].go then
    is {"prompt": id}, {"place": n}, {"page": n}, {"close": True} or {"marks": "all", "none" or ""}.
    """
    last = listed.first + len(listed.rows)
    places = {"first": min(listed.first + 1, last), "last": last, "total": listed.total}
    shown_range = wording().fill(_("{first} to {last} of {total}"), places)
    shown = {
        **vars(listed),
        "rows": [drawn_row(row) for row in listed.rows],
        "range": "\u00a0· ".join(filter(None, (shown_range, listed.answered))),
        "search": search,
    }
    marks = next(iter(address.asked(MARKS)), None)
    data = {"words": words(), "list": shown, "marks": marks, "details": [drawn(detail) for detail in details]}
    component(key=key, data=data, on_go_change=on_go)


def words() -> dict[str, str]:
    """What the component itself says."""
    return {
        "prompts": _("Prompts"),
        "nothing": _("No prompt matches. Search for something else, or take a filter away."),
        "before": _("Earlier prompts"),
        "after": _("Further prompts"),
        "list": _("← List"),
        "previous": _("Previous prompt"),
        "next": _("Next prompt"),
        "copy": _("Copy link"),
        "copied": _("Copied"),
        "differences": _("Differences"),
        "common": _("In common"),
        "plain": _("Plain"),
        "all": _("Show all of it"),
        "less": _("Show less"),
    }


def drawn_row(row: Row) -> dict[str, Any]:
    difference = "" if row.difference is None else number(row.difference, signed=True)
    return {**vars(row), "text": line(row.text), "about": line(row.about), "difference": difference, "flags": list(row.flags)}


def drawn(detail: Detail) -> dict[str, Any]:
    """A detail as the component takes it: numbers in words, texts in pieces."""
    names = {"user": _("User"), "assistant": _("Assistant")}
    told, scores = len(detail.turns) > 1, [drawn_score(score) for score in detail.scores]
    return {
        "id": detail.id,
        "turns": [{"role": names.get(role, line(role)) if told else "", "text": text} for role, text in detail.turns],
        "heads": {
            "scorer": _("Reward model"),
            "base": _(TITLES["base"]),
            "tuned": _(TITLES["tuned"]),
            "difference": _("Tuned − base"),
            "bar": _("each row its own scale"),
            "about_bar": _(ABOUT_BAR),
        },
        "scores": scores,
        "rounding": rounding((score["base"], score["tuned"], score["difference"]) for score in scores),
        "sides": drawn_sides(detail.answers),
        "folds": [{"title": list(fold.title), "sides": drawn_sides(fold.answers)} for fold in detail.folds],
        "about": line(detail.about),
        "place": detail.place,
    }


def drawn_score(score: Score) -> dict[str, Any]:
    rewards = {"base": number(score.base), "tuned": number(score.tuned), "difference": number(score.tuned - score.base, signed=True)}
    return {"scorer": ours(line(score.scorer)), **rewards, "share": score.share}


def rounding(written: Iterable[tuple[str, str, str]]) -> str:
    """What a table says under two numbers and their difference where one, as it is written, is not the others’."""
    return "" if all(adds_up(*row) for row in written) else _("Differences are taken before rounding.")


def drawn_sides(answers: Sequence[Answer]) -> dict[str, Any]:
    """Two are compared: of those that share most of their words the differences can be marked, of others what both have in common.

    about: that, for as long as they are not marked and for as long as they are. One or several answers stand for themselves.
    """
    if len(answers) != 2:
        return {"answers": [drawn_answer(answer, [(answer.text, False)]) for answer in answers], "alike": True, "about": ["", ""]}
    texts, about = differences(*(answer.text for answer in answers)), ("", "")
    alike = unmarked(*texts) >= ALIKE
    if not alike:
        texts = (passages(texts[0]), passages(texts[1]))
        about = said_of_common(1 - unmarked(*texts))
    drawn = [drawn_answer(answer, pieces) for answer, pieces in zip(answers, texts, strict=True)]
    return {"answers": drawn, "alike": alike, "about": about}


def said_of_common(share: float) -> tuple[str, str]:
    """What is said of two answers that have little in common, their passages in common not marked and marked."""
    if not share:
        nothing = _("No longer passage stands in both answers: nothing is marked.")
        return nothing, nothing
    plain = _("The two have too little in common to mark differences.")
    marked = _("Marked are the longer passages that stand in both answers: {share} of their words.")
    return plain, marked.format(share=percent(share, 0))


def drawn_answer(answer: Answer, pieces: list[Piece]) -> dict[str, Any]:
    found = flags(answer.text)
    cut = _("cut at {n:.0f}").format(n=answer.tokens) if answer.tokens else _("cut")
    stands_out = [(answer.cut, cut), (found.repeats, _("repeats itself")), (found.refuses, _("refuses"))]
    return {
        "role": answer.role,
        "title": _(TITLES[answer.role]),
        "by": "" if says_role(answer.by, answer.role) else line(answer.by),
        "reward": "" if answer.reward is None else number(answer.reward),
        "facts": size(answer),
        "flags": [text for holds, text in stands_out if holds],
        "pieces": pieces,
    }


def says_role(name: str, role: Role) -> bool:
    """Whether a name is only what its place is called already."""
    return name.casefold() in (TITLES[role].casefold(), _(TITLES[role]).casefold())


def size(answer: Answer) -> list[str]:
    """How long an answer is: in tokens where they were counted, else in words."""
    if answer.tokens is not None:
        return [wording().fill(_("{n} tokens"), {"n": round(answer.tokens)})]
    return [] if answer.words is None else [wording().fill(_("{n} words"), {"n": answer.words})]
