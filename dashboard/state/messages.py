"""Every sentence that a person reads goes through `_`: English in the source, other languages in dashboard/locale.

`docs/catalogue.py` gathers the sentences for translation, and tests/test_translation.py says which are missing.
"""

import gettext
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, TypeVar

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from engine.statistics import wording as words_of
from engine.statistics.estimate import Estimate
from engine.statistics.wording import THIN, Value, Wording
from engine.store.status import State

LOCALE = Path(__file__).parents[1] / "locale"
LANGUAGES = {"en": "English", "zh": "中文"}
COUNTED = "counted"  # gettext's context of what is counted, 3 pairs: in Chinese with its measure word
NAMED = "named"  # gettext's context of names that are ours: of presets' runs, of what is made from them, of splits, of the demo's types
REPORTED = "reported"  # gettext's context of the engine's own sentences, which come with their values filled in
PLACE = re.compile(r"\{(\w+)\}")
BEGIN, END = "\x02", "\x03"  # around a value while a Chinese sentence is filled
WIDE = "\u4e00-\u9fff\u3000-\u303f\uff00-\uffef“”"  # Chinese characters and punctuation
BLANK_BETWEEN = re.compile(f"(?<=[{WIDE}])(?:{END} {BEGIN}?| {BEGIN})(?=[{WIDE}])")
Key = TypeVar("Key")

chosen: ContextVar[str | None] = ContextVar("chosen", default=None)  # for one report
asked_by: list[Callable[[], str]] = []  # what knows the language of who looks at a page, where pages are shown


def language() -> str:
    """A key of LANGUAGES: the one that was asked for, else that of who looks at the page, else English."""
    return chosen.get() or (asked_by[0]() if asked_by else "en")


@contextmanager
def speaking(name: str) -> Iterator[None]:
    """Everything within is said in this language."""
    before = chosen.set(name)
    try:
        yield
    finally:
        chosen.reset(before)


@cache
def read(name: str) -> Catalog:
    """The .po file of a language; of English, which needs none, an empty one."""
    path = LOCALE / name / "LC_MESSAGES" / "messages.po"
    if not path.is_file():
        return Catalog(name)
    with path.open("rb") as file:
        return read_po(file, name)


@cache
def catalogue(name: str) -> gettext.GNUTranslations:
    """The same as gettext looks sentences up in."""
    compiled = io.BytesIO()
    write_mo(compiled, read(name))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


class Template(str):
    """A Chinese sentence with places for values, each with blanks around it, which a Chinese value does not want."""

    __slots__ = ()

    def format(self, *values: Any, **named: Any) -> str:
        return closed_up(Marking().vformat(self, values, named))


class Marking(Formatter):
    """Marks where each value begins and ends."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return f"{BEGIN}{super().format_field(value, format_spec)}{END}"


class ChineseWording(Wording):
    """The same of sentences with estimates."""

    def fill(self, template: str, values: Mapping[str, Value]) -> str:
        return closed_up(super().fill(template, values))

    def format_field(self, value: Value, format_spec: str) -> str:
        said = duration(value) if format_spec == "duration" and isinstance(value, float | int) else super().format_field(value, format_spec)
        return f"{BEGIN}{said}{END}"


def closed_up(sentence: str) -> str:
    """The sentence without its marks, and without blanks between a Chinese value and Chinese words beside it."""
    return BLANK_BETWEEN.sub("", sentence).replace(BEGIN, "").replace(END, "")


def _(text: str) -> str:
    """The sentence in the language that is spoken now; as written when there is no translation."""
    said = catalogue(language()).gettext(text) if text else ""
    return Template(said) if "{" in said and language() == "zh" else said


def plural(one: str, many: str, n: int) -> str:
    """The form for n things."""
    return catalogue(language()).ngettext(one, many, n)


def things(one: str, many: str, n: int) -> str:
    """The word behind a number: pair, pairs."""
    return catalogue(language()).npgettext(COUNTED, one, many, int(n))  # a mean of measurements comes as a float


def marked(text: str) -> str:
    """A sentence that is gathered for translation here and goes through `_` where it is shown: what a module says when it is loaded."""
    return text


def ours(name: str) -> str:
    """A name that nobody gave, such as that of a preset's run, in the language that is spoken now; any other as it is."""
    known = catalogue(language())
    if language() == "en" or not name:
        return name
    if (said := known.pgettext(NAMED, name)) != name:
        return said
    for pattern, places, translation in named(language()):
        if values := pattern.fullmatch(name):
            return filled(translation, dict(zip(places, map(ours, values.groups()), strict=True)))
    before, _blank, number = name.rpartition(" ")  # Reward model 2
    return f"{ours(before)} {number}" if number.isdecimal() and ours(before) != before else name


def wording() -> Wording:
    """How sentences with numbers are written for the viewer."""
    if language() == "zh":
        return ChineseWording(thousands=",", translate=_, plural=things, named=ours)
    return Wording(thousands=THIN, translate=_, plural=things, named=ours)


Pattern = tuple[re.Pattern[str], list[str], str]  # how a filled sentence is recognised, the names of its values, and its translation


@cache
def reports(name: str) -> list[Pattern]:
    """The engine's own sentences, the most telling first."""
    return patterns(name, REPORTED)


@cache
def named(name: str) -> list[Pattern]:
    """The names of ours that are made from others, as Scores of {run}."""
    return [pattern for pattern in patterns(name, NAMED) if pattern[1]]


def patterns(name: str, context: str) -> list[Pattern]:
    found = [(str(message.id), str(message.string)) for message in read(name) if message.context == context and message.string]
    found.sort(key=lambda pair: -len(PLACE.sub("", pair[0])))
    parts = [(PLACE.split(text)[::2], PLACE.findall(text), translation) for text, translation in found]
    return [(re.compile("(.+?)".join(map(re.escape, fixed)), re.DOTALL), names, translation) for fixed, names, translation in parts]


def reported(sentence: str) -> str:
    """A sentence of the engine's, with its values in it, in the language that is spoken now; as it is where it is not known."""
    for known, names, translation in reports(language()):
        if values := known.fullmatch(sentence):
            return filled(translation, dict(zip(names, map(reported, values.groups()), strict=True)))
    return _(sentence) if sentence in [*State] else ours(sentence)


def filled(template: str, values: Mapping[str, str]) -> str:
    """The Chinese template with a value in each place; braces that are none stay."""
    return closed_up(PLACE.sub(lambda place: f"{BEGIN}{values[place[1]]}{END}", template))


def counted(n: int, things: str) -> str:
    """200 pairs."""
    spoken = wording()
    return words_of.counted(n, things, spoken.thousands, spoken.plural)


def duration(seconds: float) -> str:
    """43 s; 3 min 49 s; 1 h 05 min."""
    units = {"s": _("s"), "min": _("min"), "h": _("h")}
    return re.sub("[a-z]+", lambda unit: units[unit[0]], words_of.duration(seconds))


def estimated(estimate: Estimate) -> str:
    """81.0 % [75.0, 85.8]."""
    return words_of.estimated(estimate, _)


def listed(parts: Iterable[str]) -> str:
    """Wilson's interval, bootstrap-t."""
    return _(", ").join(part for part in parts if part)


def in_sentences(parts: Iterable[str]) -> str:
    """Sentences one after the other; after a Chinese full stop there is no blank."""
    return ("" if language() == "zh" else " ").join(part for part in parts if part)


def of(words: Mapping[Key, str]) -> Callable[[Key], str]:
    """What a widget shows of a key whose words are marked."""
    return lambda key: _(words[key])
