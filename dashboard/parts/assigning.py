"""Which column is what: drop-downs that begin with the guess, for preference pairs and for finished results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

import streamlit as st

from dashboard.state import data
from dashboard.state.messages import _
from engine.data.formats import FORMATS
from engine.data.preview import Sample

SIDES, LABEL, SCORES = "sides", "label", "scores"
MARKED, LOOKED_AT = "Human:", 200


@dataclass
class Answers:
    """What was answered so far. It outlives the widgets, which Streamlit forgets when another page is opened."""

    given: dict[str, Any] = field(default_factory=dict)

    def ask(self, name: str, default: Any, widget: Callable[..., Any], *values: Any, **options: Any) -> Any:
        """The widget, beginning with what was answered before."""
        key = f"import_{name}"
        st.session_state.setdefault(key, self.given.get(name, default))
        self.given[name] = widget(*values, key=key, **options)
        return self.given[name]

    def column(self, name: str, label: str, guess: str | None, columns: Sequence[str], help: str | None = None) -> str | None:
        """One column, or none."""
        choice = self.ask(
            name, guess if guess in columns else None, st.selectbox, label, [None, *columns], format_func=named, help=help, placeholder="–"
        )
        return None if choice is None else str(choice)


def named(column: str | None) -> str:
    return "–" if column is None else column


def pairs(sample: Sample, answers: Answers) -> tuple[str, dict[str, Any]] | None:
    """The format and its options; None while a column is missing, which is said."""
    detected = sample.format() or "mapped"
    names = [detected, *(name for name in FORMATS if name != detected)]
    help = "\n".join(f"- {data.literal(f'{name}: {_(FORMATS[name].description)}')}" for name in names)
    format = answers.ask("format", detected, st.selectbox, _("Read as"), names, format_func=format_name, help=help)
    if format == "mapped":
        found = assigned(sample, answers)
        return ("mapped", found) if found else None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        options = {name: option(format, name, p.annotation, p.default, answers) for name, p in FORMATS[format].options.items()}
    return format, options


def format_name(name: str) -> str:
    return _("columns, each assigned by name") if name == "mapped" else name


def option(format: str, name: str, kind: Any, default: Any, answers: Answers) -> Any:
    """A format's own option by its type."""
    labels = {
        "transcripts": _("Split prompts written as Human: … Assistant: … into turns"),
        "label": _("Take the response that is"),
        "min_gap": _("Least difference of the two scores"),
    }
    key, label = f"{format}_{name}", data.literal(labels.get(name, name))
    if get_origin(kind) is Literal:
        return answers.ask(key, default, st.selectbox, label, list(get_args(kind)))
    return answers.ask(key, default, st.toggle if kind is bool else st.number_input, label)


def assigned(sample: Sample, answers: Answers) -> dict[str, Any] | None:
    """The options of the format `mapped`."""
    guess, columns = sample.guess(), sample.columns
    guessed_way = SCORES if "score_1" in guess else LABEL if "response_1" in guess else SIDES
    ways = {SIDES: _("A chosen and a rejected one"), LABEL: _("A label that names the better one"), SCORES: _("Two scores")}
    way = answers.ask(
        "way", guessed_way, st.segmented_control, _("Which response is better is told by"), list(ways), format_func=ways.get, required=True
    )
    with st.grid(min_column_width=170):
        prompt = _("A text, or a list of messages. Without one, it is what both responses begin with.")
        found: dict[str, Any] = {"question": answers.column("question", _("Prompt"), guess.get("question"), columns, prompt)}
        for name, label in needed(way).items():
            found[name] = answers.column(name, label, guess.get(name), columns)
        if way == LABEL:
            found |= label_values(sample, found["label"], guess, answers)
    found |= optional(guess, columns, answers)
    missing = [label for name, label in needed(way).items() if not found[name]]
    if missing:
        st.info(data.literal(_("Assign the columns: {columns}").format(columns=", ".join(missing))))
        return None
    sides = [found[name] for name in list(needed(way))[:2]]
    if sides[0] == sides[1]:
        st.error(data.literal(_("Both responses are the column {column}: expected two different columns").format(column=sides[0])))
        return None
    found["transcripts"] = turns_marked(sample, found["question"], answers)
    return {name: value for name, value in found.items() if value}


def needed(way: str) -> dict[str, str]:
    """{option: label} of the columns without which there is no pair, the two responses first."""
    if way == SIDES:
        return {"chosen": _("Chosen"), "rejected": _("Rejected")}
    two = {"response_1": _("Response 1"), "response_2": _("Response 2")}
    return {**two, "label": _("Better")} if way == LABEL else {**two, "score_1": _("Score 1"), "score_2": _("Score 2")}


def label_values(sample: Sample, column: str | None, guess: dict[str, str], answers: Answers) -> dict[str, str]:
    """What the label says when the first, and when the second response is the better one."""
    seen = {value.casefold(): value for value in sample.values(column)}
    found = {}
    for name, default, label in (("first", "1", _("Says response 1 with")), ("second", "2", _("Says response 2 with"))):
        guessed = seen.get(guess.get(name, default), guess.get(name, default))
        choices = list(dict.fromkeys([*seen.values(), guessed]))
        found[name] = answers.ask(f"{name}_{column}", guessed, st.selectbox, label, choices, accept_new_options=True)
    return found


def optional(guess: dict[str, str], columns: Sequence[str], answers: Answers) -> dict[str, str | None]:
    """Columns that a pair may do without."""
    known = {
        "prompt_type": (_("Type"), _("Groups the pairs, such as a topic.")),
        "source": (_("Source"), _("Groups the pairs by where they come from.")),
        "system": (_("System text"), _("Goes in front of the prompt.")),
        "input": (_("Input"), _("Goes behind the prompt, on a line of its own.")),
    }
    with (
        st.expander(_("Also: type, source, system text, input"), expanded="system" in guess or "input" in guess),
        st.grid(min_column_width=170),
    ):
        return {name: answers.column(name, label, guess.get(name), columns, help) for name, (label, help) in known.items()}


def turns_marked(sample: Sample, question: str | None, answers: Answers) -> bool:
    """Whether prompts written as dialogues become turns; asked where there are any."""
    if not question or not any(MARKED in str(record.get(question)) for record in sample.records[:LOOKED_AT]):
        return False
    return bool(answers.ask("transcripts", False, st.toggle, _("Split prompts written as Human: … Assistant: … into turns")))


def results(sample: Sample, answers: Answers) -> dict[str, str] | None:
    """{our column: the file's} where no shape of results is recognised or columns are assigned by hand; None while one is missing."""
    shape = sample.shape()
    by_hand = answers.ask("by_hand", shape is None, st.toggle, _("Assign the columns here"))
    if not by_hand:
        if shape:
            st.caption(data.literal(_("Recognised as: {shape}").format(shape=shape)))
        return {}
    columns, guess = sample.columns, sample.guess_answers()
    labels = {"question": _("Prompt"), "response": _("Answer"), "reward": _("Reward"), "source": _("Answered by"), "scorer": _("Scored by")}
    with st.grid(min_column_width=170):
        found = {name: answers.column(f"results_{name}", label, guess.get(name), columns) for name, label in labels.items()}
    missing = [labels[name] for name in ("question", "response") if not found[name]]
    if missing:
        st.info(data.literal(_("Assign the columns: {columns}").format(columns=", ".join(missing))))
        return None
    return {ours: theirs for ours, theirs in found.items() if theirs and ours != theirs}
