"""Every sentence that a person reads goes through `_`: English in the source, other languages in dashboard/locale.

`docs/catalogue.py` gathers the sentences for translation, and tests/test_translation.py says which are missing.
"""

import gettext
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TypeVar

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from engine.statistics import wording as words_of
from engine.statistics.estimate import Estimate
from engine.statistics.wording import THIN, Wording

LOCALE = Path(__file__).parents[1] / "locale"
LANGUAGES = {"en": "English", "zh": "中文"}
COUNTED = "counted"  # gettext's context of what is counted, 3 pairs: in Chinese with its measure word
REPORTED = "reported"  # gettext's context of the engine's own sentences, which come with their values filled in
PLACE = re.compile(r"\{(\w+)\}")
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


def _(text: str) -> str:
    """The sentence in the language that is spoken now; as written when there is no translation."""
    return catalogue(language()).gettext(text) if text else ""


def plural(one: str, many: str, n: int) -> str:
    """The form for n things."""
    return catalogue(language()).ngettext(one, many, n)


def things(one: str, many: str, n: int) -> str:
    """The word behind a number: pair, pairs."""
    return catalogue(language()).npgettext(COUNTED, one, many, int(n))  # a mean of measurements comes as a float


def marked(text: str) -> str:
    """A sentence that is gathered for translation here and goes through `_` where it is shown: what a module says when it is loaded."""
    return text


def wording() -> Wording:
    """How sentences with numbers are written for the viewer."""
    return Wording(thousands="," if language() == "zh" else THIN, translate=_, plural=things)


@cache
def reports(name: str) -> list[tuple[re.Pattern[str], list[str], str]]:
    """The engine's own sentences: how to recognise each, the most telling first, the names of its values, and its translation."""
    found = [(str(message.id), str(message.string)) for message in read(name) if message.context == REPORTED and message.string]
    found.sort(key=lambda pair: -len(PLACE.sub("", pair[0])))
    parts = [(PLACE.split(text)[::2], PLACE.findall(text), translation) for text, translation in found]
    return [(re.compile("(.+?)".join(map(re.escape, fixed)), re.DOTALL), names, translation) for fixed, names, translation in parts]


def reported(sentence: str) -> str:
    """A sentence of the engine's, with its values in it, in the language that is spoken now; as it is where it is not known."""
    for known, names, translation in reports(language()):
        if values := known.fullmatch(sentence):
            return filled(translation, dict(zip(names, map(reported, values.groups()), strict=True)))
    return sentence


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with a value in each place; braces that are none stay."""
    return PLACE.sub(lambda place: values[place[1]], template)


def counted(n: int, things: str) -> str:
    """200 pairs."""
    spoken = wording()
    return words_of.counted(n, things, spoken.thousands, spoken.plural)


def estimated(estimate: Estimate) -> str:
    """81.0 % [75.0, 85.8]."""
    return words_of.estimated(estimate, _)


def of(words: Mapping[Key, str]) -> Callable[[Key], str]:
    """What a widget shows of a key whose words are marked."""
    return lambda key: _(words[key])
