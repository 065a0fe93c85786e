"""Which words two texts share, so that a reader sees at once where they part."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

Piece = tuple[str, bool]  # a part of a text, and whether it is marked
WORD = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[^\W\u3400-\u4dbf\u4e00-\u9fff]+(?:['’]\w+)*")
TOKEN = re.compile(rf"\s*(?:{WORD.pattern}|[^\w\s])|\s+$")
ALIKE = 0.5  # share of words from which on differences are worth marking: of two independent texts nearly every word would be marked, so
# what they have in common is marked instead
SHORT = 3  # shared runs of fewer words between two changes as long are chance: "the", "of a"
LARGE = 1_000_000  # tokens of one text times those of the other; above it frequent words are no anchors, which keeps it under 0.3 s


def differences(left: str, right: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces that join to them again, marked where the other text lacks them.

    Words and signs are compared, blanks are not; a Han character is a word.
    """
    a, b = TOKEN.findall(left), TOKEN.findall(right)
    matcher = SequenceMatcher(None, [t.strip() for t in a], [t.strip() for t in b], autojunk=len(a) * len(b) > LARGE)
    pieces: tuple[list[Piece], list[Piece]] = ([], [])
    for shared, i1, i2, j1, j2 in runs(matcher):
        for tokens, found in ((a[i1:i2], pieces[0]), (b[j1:j2], pieces[1])):
            add(found, "".join(tokens), not shared)
    return pieces


def passages(pieces: list[Piece]) -> list[Piece]:
    """The pieces of a text's differences, marked where the other text has them too: runs of at least SHORT words."""
    found: list[Piece] = []
    for text, changed in pieces:
        add(found, text, not changed and len(WORD.findall(text)) >= SHORT)
    return found


def unmarked(left: list[Piece], right: list[Piece]) -> float:
    """Of all words of both texts, the share that is not marked; 1 where neither has a word."""
    pieces = [(len(WORD.findall(text)), marked) for text, marked in (*left, *right)]
    words = sum(n for n, _marked in pieces)
    return sum(n for n, marked in pieces if not marked) / words if words else 1.0


def runs(matcher: SequenceMatcher[str]) -> Iterator[tuple[bool, int, int, int, int]]:
    """(shared, first and end in the left, first and end in the right), where short shared runs between changes as long are changes."""
    codes = [(tag == "equal", i1, i2, j1, j2) for tag, i1, i2, j1, j2 in matcher.get_opcodes()]
    for number, (shared, i1, i2, j1, j2) in enumerate(codes):
        around = [max(c[2] - c[1], c[4] - c[3]) for c in (*codes[max(number - 1, 0) : number], *codes[number + 1 : number + 2])]
        chance = len(around) == 2 and i2 - i1 < SHORT and i2 - i1 <= min(around)
        yield shared and not chance, i1, i2, j1, j2


def add(pieces: list[Piece], text: str, marked: bool) -> None:
    if pieces and pieces[-1][1] == marked:
        text = pieces.pop()[0] + text
    if text:
        pieces.append((text, marked))
