"""Text from outside as text and nothing else: what a terminal or a page would obey is taken out or written as an escape."""

import codecs
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from io import TextIOWrapper
from typing import Any, TextIO

BREAKS = "\t\n\v\f\r \x1c-\x1f\x85\u2028\u2029"  # white space but for the blanks that do not break a line
UNSEEN = "\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
"""Control characters, marks that turn the direction of writing, characters without width (but for the joiners that Persian, Hindi
and emoji need), lone surrogates, and the tags in which a text can be hidden."""


def line(text: object) -> str:
    """The text on one line: white space as single blanks, without what cannot be seen."""
    return re.sub(f"[{UNSEEN}]", "", re.sub(f"[{BREAKS}]+", " ", str(text))).strip(" ")


def on_one_line(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table, every text in it on one line."""
    return {name: line(value) if isinstance(value, str) else value for name, value in row.items()}


def printable(text: object) -> str:
    r"""The text for a terminal: every unseen character but tab and line feed as \u001b, which JSON reads as that character again."""
    return re.sub(f"[{UNSEEN}]", lambda found: found[0] if found[0] in "\t\n" else escape(ord(found[0])), str(text))


def escape(code: int) -> str:
    r"""\u0007; two of them, as JSON has it, above \uffff."""
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def shell_words(words: Iterable[str]) -> str:
    r"""A command as one types it into bash: quoted where that is needed, and what cannot be seen as an escape, $'\u202e'."""
    return " ".join(shell_word(word) for word in words)


def shell_word(word: str) -> str:
    if not re.search(f"[{UNSEEN}]", word):
        return shlex.quote(word)
    plain = re.sub(r"[\\']", r"\\\g<0>", word)
    return "$'" + re.sub(f"[{UNSEEN}]", lambda found: f"\\U{ord(found[0]):08x}", plain) + "'"


def escape_unknown(streams: Iterable[TextIO]) -> None:
    """From now on a character that a terminal's encoding lacks is printed as an escape, which JSON reads as that character."""
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)


def say(text: object, file: TextIO | None = None) -> None:
    """Print a text in which names, file contents and errors may stand: a terminal shows it and obeys nothing in it."""
    print(printable(text), file=file or sys.stdout)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(escape(ord(character)) for character in error.object[error.start : error.end]), error.end


ESCAPED = "prefscope_escaped"
codecs.register_error(ESCAPED, _escaped)
