"""Every sentence on the pages goes through `_`: English in the source, other languages in dashboard/locale."""

import gettext
from pathlib import Path

from engine.statistics.wording import Wording

LOCALE = Path(__file__).parent / "locale"


def _(text: str) -> str:
    """The sentence in the language of LANGUAGE, LC_ALL, LC_MESSAGES or LANG; as written when there is no translation."""
    return gettext.translation("prefscope", LOCALE, fallback=True).gettext(text)


def wording() -> Wording:
    """How sentences with numbers are written for the viewer."""
    return Wording(translate=_)
