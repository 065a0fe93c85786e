"""What stands out in an answer without anybody judging it: it was cut, it repeats itself, it refuses.

Heuristics for finding answers to read, not measurements: what a rule says is right most of the time, and its rule is written at it.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from engine.store.opening import Connection

N_GRAM = 4
REPEATED_SHARE = 0.25
"""Share of repeated 4-grams from which on an answer counts as repeating itself. Text that people wrote has 0.005 and greedy decoding
of a language model 0.44 (Welleck et al. 2020, Neural Text Generation With Unlikelihood Training, Table 2: seq-rep-4)."""
CLAUSES = 3  # times that the last clause stands in an answer that ends in a loop
CLAUSE_CHARS = 8  # shorter ones, "Yes" or "OK", come back in any text

WORD = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[^\s\u3400-\u4dbf\u4e00-\u9fff]+")
PLAIN_MARKS = str.maketrans("’，", "',")
CLAUSE = re.compile(r"[.,;:!?\n。，；：！？、]+")
REFUSALS = tuple(
    opening
    for line in (
        "i cannot|i can't|i can not|i could not|i won't|i will not|i must decline|i'm unable|i am unable|i'm not able|i am not able",
        "i'm sorry, but|i am sorry, but|i'm really sorry, but|i'm very sorry, but|i'm so sorry, but|i'm sorry, i|i am sorry, i|sorry, but",
        "sorry, i c|sorry, i'm unable|sorry, i'm not able|sorry, i'm afraid",
        "i apologize, but|i apologise, but|unfortunately, i|i'm afraid i|i'm not comfortable|we cannot|we can't",
        "as an ai|as a language model|as a responsible|it is not appropriate",
        "我不能|我无法|我不可以|我没有办法|我没办法|抱歉,我|很抱歉,我|非常抱歉,我|抱歉,但|很抱歉,但|对不起,我不|对不起,我无|对不起,但",
        "不好意思,我不|不好意思,我无|作为一个人工智能|作为人工智能|作为一个ai|作为ai|作为一个语言模型|作为一名ai",
    )
    for opening in line.split("|")
)
"""How answers begin that decline, in lower case; after Zou et al. 2023 (Universal and Transferable Adversarial Attacks on Aligned
Language Models, Appendix B), who look for such phrases anywhere."""
SORRY = re.compile(
    r"(?:i'm|i am) (?:\w+ )?sorry (?:for|about|to) [^.!?\n]{1,60},? but "
    r"(?:as an? |i can't|i cannot|i could not|(?:i'm|i am) (?:unable|not able) |i don't have )"
)
"""The same with what they are sorry for: "I'm sorry for any confusion, but as a chatbot"."""


RULES = Path(__file__).read_text(encoding="utf-8")  # the database holds what they say, and is made anew when they change
UNFLAGGED = """
    select text_id, text from texts
    where text_id in (select text_id from generations where list_contains(cast($generators as varchar[]), generator_id))
      and text_id not in (select text_id from flags)
"""
FLAGGED = {"text_id": pl.String, "repeats": pl.Boolean, "refuses": pl.Boolean}
AT_ONCE = 10_000  # texts


@dataclass(frozen=True)
class Flags:
    """What stands out in one text."""

    repeats: bool
    refuses: bool


def flags(text: str) -> Flags:
    return Flags(repeats_itself(text), refuses(text))


def repeats_itself(text: str) -> bool:
    """Whether a quarter of its 4-grams are repeated ones, or its last clause stands in it three times."""
    return repeated_share(text) >= REPEATED_SHARE or ends_in_a_loop(text)


def repeated_share(text: str) -> float:
    """seq-rep-4 = 1 − |different 4-grams| / |4-grams|, of words in lower case; each Han character is a word. 0 of fewer than 4 words."""
    words = WORD.findall(text.lower())
    grams = list(zip(*(words[i:] for i in range(N_GRAM)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def ends_in_a_loop(text: str) -> bool:
    """Whether the last whole clause stands in the text three times; the one after it may have been cut off."""
    clauses = [clause.strip().lower() for clause in CLAUSE.split(text)]
    counted = Counter(clause for clause in clauses if len(clause) >= CLAUSE_CHARS)
    return any(counted[clause] >= CLAUSES for clause in clauses[-2:])


def refuses(text: str) -> bool:
    """Whether it begins as answers do that decline, in English or Chinese. A refusal in other words is not found."""
    opening = text.translate(PLAIN_MARKS).lower().lstrip(" \t\n\"'*")
    return opening.startswith(REFUSALS) or SORRY.match(opening) is not None


def flag_answers(con: Connection, generators: list[str]) -> None:
    """Write into the table `flags` what stands out in the answers of these generators, where it is not known yet: 33 µs a text."""
    texts = con.execute(UNFLAGGED, {"generators": generators})
    rows: list[tuple[str, bool, bool]] = []
    while some := texts.fetchmany(AT_ONCE):
        rows += [(text_id, repeats_itself(text), refuses(text)) for text_id, text in some]
    con.register("new_flags", pl.DataFrame(rows, schema=FLAGGED, orient="row").to_arrow())
    con.execute("insert into flags by name select * from new_flags")
    con.unregister("new_flags")
