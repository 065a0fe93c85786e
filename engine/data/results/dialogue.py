"""Dialogues decoded without their special tokens: what a ChatML template leaves of a conversation in a result file.

    system\\nYou are …\\nuser\\nWhat is …?\\nassistant\\nIt is …\\n

Frameworks save these instead of the answer, or cut them at a number of characters and leave a piece in front of the answer.
"""

import re

from engine.data.records import Turn
from engine.data.turns import checked_text
from engine.errors import RecordError

ROLE_LINE = re.compile(r"(?:^|\n)(system|user|assistant)\n")
SYSTEM = re.compile(r"system\n(.*?)\nuser\n", re.DOTALL)
WHOLE_PROMPT = re.compile(r"(system\n.*?\n)?user\n.*\nassistant\n?", re.DOTALL)
ANSWERS = "assistant\n"


def system_prompt(text: str) -> str | None:
    """The system prompt a decoded dialogue begins with."""
    found = SYSTEM.match(text)
    return found[1] if found else None


def turns_of(text: str) -> tuple[Turn, ...]:
    """The turns of a decoded dialogue, its system prompt left out. Raises RecordError for an empty turn."""
    _, *pieces = ROLE_LINE.split(text)
    turns = zip(pieces[::2], pieces[1::2], strict=True)
    return tuple(Turn(role, checked_text(content, f"turn {i}")) for i, (role, content) in enumerate(turns) if role != "system")


def prompt_of(text: str) -> tuple[Turn, ...]:
    """A question as one turn, or the turns of a prompt that was saved as a decoded dialogue up to `assistant`."""
    if not WHOLE_PROMPT.fullmatch(text):
        return (Turn("user", text),)
    return turns_of(text.removesuffix("\n").removesuffix("\nassistant"))


def split_dialogues(chosen: str, rejected: str) -> tuple[tuple[Turn, ...], str, str]:
    """Two whole decoded dialogues as prompt (what both share up to its last `assistant`), chosen and rejected.

    The line end that closes the answer's turn goes too. Raises RecordError when they share no prompt.
    """
    same = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(len(chosen), len(rejected)))
    shared = chosen[:same]
    end = shared.rfind("\n" + ANSWERS)
    if end < 0 or not ROLE_LINE.match(shared):
        raise RecordError(
            "no_prompt",
            f"the responses begin {chosen!r:.50} and {rejected!r:.50}, expected a field question or prompt, "
            "or the same decoded dialogue (system, user, assistant, each on its line) in front of both",
        )
    start = end + 1 + len(ANSWERS)
    return turns_of(shared[:end]), chosen[start:].removesuffix("\n"), rejected[start:].removesuffix("\n")


def unwrapped(text: str, turns: tuple[Turn, ...], systems: set[str]) -> tuple[str, bool] | None:
    """The answer behind the decoded prompt that `text` begins with, and whether all of the prompt was there; None without one.

    A piece counts when it is an exact end of system prompt, turns and `assistant` line, so an answer that merely says `assistant` is safe.
    systems: the system prompts seen in the same file.
    """
    asked = "".join(f"{t.role}\n{t.content}\n" for t in turns) + ANSWERS
    wrappers = [f"system\n{system}\n{asked}" for system in systems] or [asked]
    for found in reversed(list(re.finditer(ANSWERS, text))):
        head = text[: found.end()]
        if any(wrapper.endswith(head) for wrapper in wrappers):
            return text[found.end() :], head in wrappers
    return None
