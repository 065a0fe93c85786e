"""What a preference pair is, and the identities that every table joins on."""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Turn:
    """One message of a conversation; role is user or assistant, never system."""

    role: str
    content: str


@dataclass(frozen=True)
class PreferencePair:
    """A prompt (one or more turns, the last by the user) and two answers, one preferred to the other."""

    turns: tuple[Turn, ...]
    chosen: str
    rejected: str
    prompt_type: str | None = None
    source: str | None = None
    line: int | None = None  # line or record number in its file, from 1

    @cached_property
    def prompt_id(self) -> str:
        return prompt_id(self.turns)

    @cached_property
    def pair_id(self) -> str:
        return digest(self.prompt_id, text_id(self.chosen), text_id(self.rejected))


def digest(*parts: str) -> str:
    """16 hexadecimal digits of SHA-256 over the parts; 64 bits, so 10 million rows collide with probability 3e-6."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:16]


def text_id(text: str) -> str:
    return digest("text", text)


def prompt_id(turns: tuple[Turn, ...]) -> str:
    return digest("prompt", turns_json(turns))


def turns_json(turns: tuple[Turn, ...]) -> str:
    return json.dumps([{"role": t.role, "content": t.content} for t in turns], ensure_ascii=False)


def turns_from_json(text: str) -> tuple[Turn, ...]:
    return tuple(Turn(t["role"], t["content"]) for t in json.loads(text))


def words(text: str) -> int:
    """Runs of non-space; Chinese has no spaces, so each Han character counts as one word."""
    return len(HAN.sub(" ", text).split()) + len(HAN.findall(text))


def language(text: str) -> str:
    """'zh' when more than half of the letters are Han characters, otherwise 'other'."""
    return "zh" if 2 * len(HAN.findall(text)) > len(LETTER.findall(text)) else "other"


def prompt_row(turns: tuple[Turn, ...]) -> dict[str, str]:
    """The row of a prompt in the table `prompts`."""
    last = turns[-1].content
    return {"prompt_id": prompt_id(turns), "turns": turns_json(turns), "text": last, "language": language(last)}


def text_row(text: str) -> dict[str, str | int]:
    """The row of a response in the table `texts`."""
    return {
        "text_id": text_id(text),
        "text": text,
        "chars": len(text),
        "words": words(text),
        "language": language(text),
    }
