"""Conversations to tokens, and pairs of tokens to batches."""

import hashlib
import math
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from engine.data.records import PreferencePair, Turn
from engine.errors import ModelError

Tokens: TypeAlias = "array[int]"  # of 32 bits each
SHORTEST_PROMPT = 16  # tokens of the prompt's end that a long response never pushes out
MOST_BATCHES_SORTED = 16  # whose pairs are sorted by length together
FEWEST_SAMPLES = 4  # in which an epoch is sorted, where it has as many batches


@dataclass(frozen=True)
class Encoded:
    """One prompt and response as tokens, four bytes each: the pairs of a long run stay small beside its model.

    ends: the response's tokens up to and with its end-of-turn token. common: those its pair's other response is long enough to have.
    """

    prompt: Tokens
    response: Tokens
    ends: int
    truncated: bool
    common: int = 0

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)


class Chat:
    """A model's chat template around a system prompt: the one way a conversation becomes tokens.

    Prompt and response are tokenised apart and joined, so that the boundary is the same in training, scoring and generation.
    """

    def __init__(self, tokenizer: Any, system_prompt: str, max_tokens: int) -> None:
        self.tokenizer, self.system_prompt, self.max_tokens = tokenizer, system_prompt, max_tokens
        self.template_hash = hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()[:16]

    def prompt_text(self, turns: Sequence[Turn], group: str | None = None) -> str:
        return self._applied(turns, group, add_generation_prompt=True)

    def response_text(self, turns: Sequence[Turn], response: str, group: str | None = None) -> str:
        """What the template puts after the prompt: the response, the end of turn and whatever follows it."""
        prompt = self.prompt_text(turns, group)
        whole = self._applied([*turns, Turn("assistant", response)], group, add_generation_prompt=False)
        if not whole.startswith(prompt):
            raise ModelError("the chat template changes the prompt once a response follows it, so the two cannot be told apart")
        return whole[len(prompt) :]

    def prompt(self, turns: Sequence[Turn]) -> Tokens:
        """Prompt tokens, the last max_tokens of them."""
        return self._ids(self.prompt_text(turns))[-self.max_tokens :]

    def cuts(self, turns: Sequence[Turn]) -> bool:
        """Whether a prompt is longer than max_tokens."""
        return len(self._ids(self.prompt_text(turns))) > self.max_tokens

    def encode(self, turns: Sequence[Turn], response: str, group: str | None = None) -> Encoded:
        """Tokens of prompt and response, at most max_tokens together; a group is named in the system prompt.

        A prompt too long loses its beginning; a response too long for the rest loses its end, but keeps its end-of-turn token.
        """
        prompt, answer = self._ids(self.prompt_text(turns, group)), self._ids(self.response_text(turns, response, group))
        tail = self._tail(answer)
        longest = self.max_tokens - min(len(prompt), SHORTEST_PROMPT)
        cut = answer if len(answer) <= longest else answer[: longest - len(tail)] + tail
        kept = prompt[-(self.max_tokens - len(cut)) :]
        ends = len(cut) - len(tail) + 1
        return Encoded(kept, cut, ends, len(kept) + len(cut) < len(prompt) + len(answer))

    def _tail(self, answer: Tokens) -> Tokens:
        """The end-of-turn token and what the template writes after it (a newline, mostly)."""
        end = self.tokenizer.eos_token_id
        if end not in answer:
            raise ModelError(
                f"the chat template does not end a response with {self.tokenizer.eos_token!r}, the tokenizer's end-of-turn token"
            )
        last = len(answer) - 1 - answer[::-1].index(end)
        return answer[last:]

    def _applied(self, turns: Sequence[Turn], group: str | None, add_generation_prompt: bool) -> str:
        content = "\n".join(part for part in (self.system_prompt, f"Group: {group}" if group else "") if part)
        system = [{"role": "system", "content": content}] if content else []
        messages = [*system, *({"role": t.role, "content": t.content} for t in turns)]
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
        except Exception as error:  # templates are programs of the model's author and raise what they like
            raise ModelError(f"the chat template refused a conversation of {[m['role'] for m in messages]}: {error}") from None
        return str(text)

    def _ids(self, text: str) -> Tokens:
        return array("i", self.tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_pairs(chat: Chat, pairs: Sequence[PreferencePair], group_by: str | None = None) -> list[tuple[Encoded, Encoded]]:
    """(chosen, rejected) of each pair; the system prompt names the pair's group when `group_by` says which field holds it."""
    groups = [getattr(p, group_by) if group_by else None for p in pairs]
    return [paired(chat.encode(p.turns, p.chosen, g), chat.encode(p.turns, p.rejected, g)) for p, g in zip(pairs, groups, strict=True)]


def paired(chosen: Encoded, rejected: Encoded) -> tuple[Encoded, Encoded]:
    """The two, each knowing how many of its tokens stand where the other has one too."""
    common = min(chosen.ends, rejected.ends)
    prompt = chosen.prompt if chosen.prompt == rejected.prompt else rejected.prompt
    return replace(chosen, common=common), replace(rejected, common=common, prompt=prompt)


def pair_tokens(pair: tuple[Encoded, Encoded]) -> int:
    chosen, rejected = pair
    shared = 0 if chosen.prompt != rejected.prompt else len(chosen.prompt)
    return len(chosen) + len(rejected) - shared


def training_order(tokens: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Micro-batches of pair indices: the pairs are shuffled, sorted by length within samples of them, and the batches shuffled again.

    Batches hold pairs of like length, and as each sample is random, which pairs share a batch changes from epoch to epoch. What does not
    fill a batch is left out before any sorting, so that whether a pair is left out does not depend on its length.
    """
    rng = random.Random(f"{seed}-{epoch}")
    batches = len(tokens) // batch_size
    order = rng.sample(range(len(tokens)), batches * batch_size)
    sample = batch_size * max(1, min(MOST_BATCHES_SORTED, math.ceil(batches / FEWEST_SAMPLES)))
    sorted_ = [i for at in range(0, len(order), sample) for i in sorted(order[at : at + sample], key=lambda i: tokens[i])]
    made = [sorted_[at : at + batch_size] for at in range(0, len(sorted_), batch_size)]
    rng.shuffle(made)
    return made


def in_parts(batch: Sequence[int], tokens: Sequence[int], most: int) -> list[list[int]]:
    """A batch of pair indices in consecutive parts of at most `most` packed tokens each, or a single pair."""
    parts: list[list[int]] = []
    left = 0  # tokens that still fit the last part
    for i in sorted(batch, key=lambda i: tokens[i]):
        if not parts or tokens[i] > left:
            parts.append([])
            left = most
        parts[-1].append(i)
        left -= tokens[i]
    return parts


def scoring_batches(sequences: Sequence[Encoded], max_tokens: int) -> list[list[int]]:
    """Indices of sequences, those of one prompt side by side and shortest first, in batches of at most `max_tokens` packed tokens."""
    order = sorted(range(len(sequences)), key=lambda i: (len(sequences[i].prompt), sequences[i].prompt.tobytes(), len(sequences[i])))
    batches: list[list[int]] = []
    left = 0  # tokens that still fit the last batch
    last: Tokens | None = None
    for i in order:
        s = sequences[i]
        need = len(s.response) + (0 if s.prompt == last else len(s.prompt))
        if not batches or need > left:
            batches.append([])
            left, need = max_tokens, len(s)
        batches[-1].append(i)
        left, last = left - need, s.prompt
    return batches
