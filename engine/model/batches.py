"""Conversations to tokens, and tokens to packed rows in which what sequences begin with in common is encoded once."""

import hashlib
import math
import random
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from itertools import takewhile
from typing import Any, TypeAlias

import torch

from engine.data.records import PreferencePair, Turn
from engine.errors import ModelError

Tokens: TypeAlias = "array[int]"  # of 32 bits each
SHORTEST_PROMPT = 16  # tokens of the prompt's end that a long response never pushes out
MOST_BATCHES_SORTED = 16  # whose pairs are sorted by length together
FEWEST_STRETCHES = 4  # in which an epoch is sorted, where it has as many batches
LONGEST_SPAN = 256  # queries whose attention is computed at once on a CPU


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
        said = "\n".join(part for part in (self.system_prompt, f"Group: {group}" if group else "") if part)
        system = [{"role": "system", "content": said}] if said else []
        messages = [*system, *({"role": t.role, "content": t.content} for t in turns)]
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
        except Exception as error:  # templates are programs of the model's author and raise what they like
            raise ModelError(f"the chat template refused a conversation of {[m['role'] for m in messages]}: {error}") from None
        return str(text)

    def _ids(self, text: str) -> Tokens:
        return array("i", self.tokenizer(text, add_special_tokens=False)["input_ids"])


@dataclass(frozen=True)
class Packed:
    """N sequences in one row of T tokens: what all prompts begin with once (the stem), then each distinct prompt once."""

    input_ids: torch.Tensor  # (1, T)
    position_ids: torch.Tensor  # (1, T), each response's positions continue its prompt's, a prompt's the stem's
    rows: torch.Tensor  # (N, L) place in the row of each sequence's tokens; what is beyond its end points to 0
    home: torch.Tensor  # (T,) place in rows.flatten() of each token
    spans: torch.Tensor  # (K, 7) queries from, to; own keys from; the prompt's keys from, to; the stem's to; the block
    read_at: torch.Tensor  # (N,) place of the token a reward is read from
    before: torch.Tensor  # (S,) place of the token before each response token
    targets: torch.Tensor  # (S,) the response tokens, to the end of turn
    owner: torch.Tensor  # (S,) the sequence each belongs to
    common: torch.Tensor  # (S,) whether the pair's other response has a token at this place too

    @property
    def tokens(self) -> int:
        return self.input_ids.shape[1]

    @property
    def lengths(self) -> torch.Tensor:
        """Response tokens of each sequence to its end of turn, (N,)."""
        return torch.bincount(self.owner, minlength=len(self.rows))

    def to(self, device: str | torch.device) -> "Packed":
        return Packed(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def spans_of(start: int, end: int, prompt: range, stem: int) -> list[tuple[int, ...]]:
    """The tokens from start to end as stretches of queries; each sees the stem, the prompt, and from start to its own last token."""
    return [(at, min(at + LONGEST_SPAN, end), start, prompt.start, prompt.stop, stem) for at in range(start, end, LONGEST_SPAN)]


def in_blocks(spans: list[tuple[int, ...]]) -> torch.Tensor:
    """The spans, each with the number of the block it is computed in: a prompt and the responses after it while they are few tokens."""
    numbered: list[tuple[int, ...]] = []
    begin = block = -1
    for span in spans:
        _, end, _, first, last, _ = span
        if not (first == begin and first < last and end - begin <= LONGEST_SPAN):
            begin, block = span[0], block + 1
        numbered.append((*span, block))
    return torch.tensor(numbered)


def shared_beginning(prompts: Collection[Tokens]) -> int:
    """Tokens with which all of several distinct prompts begin: system prompt and template, mostly. Each keeps one of its own."""
    first, last = min(prompts), max(prompts)
    same = sum(1 for _ in takewhile(lambda ab: ab[0] == ab[1], zip(first, last, strict=False)))
    return min(same, len(first) - 1) if first != last else 0


def pack(sequences: Sequence[Encoded], read_at: str = "template_end") -> Packed:
    """Lay the sequences out in one row, a beginning all prompts share once and each distinct prompt once.

    read_at: the last token that is needed of a response. A reward is read at "template_end" or "end_of_turn"; "last_target" is for
    log-probabilities, where the end of turn is predicted but nothing after it.
    """
    stem = shared_beginning([s.prompt for s in sequences])
    ids: list[int] = [*sequences[0].prompt[:stem]]
    positions: list[int] = [*range(stem)]
    spans = spans_of(0, stem, range(0), 0)
    prompts: dict[bytes, range] = {}
    rows: list[list[int]] = []
    last: list[int] = []
    before: list[int] = []
    targets: list[int] = []
    owner: list[int] = []
    common: list[bool] = []
    for n, s in enumerate(sequences):
        key = s.prompt.tobytes()
        if key not in prompts:
            prompts[key] = range(len(ids), len(ids) + len(s.prompt) - stem)
            ids.extend(s.prompt[stem:])
            positions.extend(range(stem, len(s.prompt)))
            spans.extend(spans_of(prompts[key].start, len(ids), range(0), stem))
        prompt, start = prompts[key], len(ids)
        response = s.response[: {"template_end": len(s.response), "end_of_turn": s.ends, "last_target": s.ends - 1}[read_at]]
        ids.extend(response)
        positions.extend(range(len(s.prompt), len(s.prompt) + len(response)))
        spans.extend(spans_of(start, len(ids), prompt, stem))
        rows.append([*range(stem), *prompt, *range(start, len(ids))])
        last.append(rows[-1][-1])
        before.extend([prompt[-1], *range(start, start + s.ends - 1)])
        targets.extend(s.response[: s.ends])
        owner.extend([n] * s.ends)
        common.extend(place < s.common for place in range(s.ends))
    longest = max(map(len, rows))
    home = torch.zeros(len(ids), dtype=torch.long)
    for n, row in enumerate(rows):
        home[torch.tensor(row)] = torch.arange(n * longest, n * longest + len(row))
    padded = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    columns = map(torch.tensor, ([ids], [positions], last, before, targets, owner, common))
    input_ids, position_ids, *places = columns
    return Packed(input_ids, position_ids, padded, home, in_blocks(spans), *places)


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
    """Micro-batches of pair indices: the pairs are shuffled, sorted by length within stretches of them, and the batches shuffled again.

    Batches hold pairs of like length, and as a stretch is a random sample, which pairs share a batch changes from epoch to epoch. What
    does not fill a batch is left out before any sorting, so that whether a pair is left out does not depend on its length.
    """
    rng = random.Random(f"{seed}-{epoch}")
    batches = len(tokens) // batch_size
    order = rng.sample(range(len(tokens)), batches * batch_size)
    stretch = batch_size * max(1, min(MOST_BATCHES_SORTED, math.ceil(batches / FEWEST_STRETCHES)))
    sorted_ = [i for at in range(0, len(order), stretch) for i in sorted(order[at : at + stretch], key=lambda i: tokens[i])]
    made = [sorted_[at : at + batch_size] for at in range(0, len(sorted_), batch_size)]
    rng.shuffle(made)
    return made


def in_parts(batch: Sequence[int], tokens: Sequence[int], most: int) -> list[list[int]]:
    """A batch of pair indices in consecutive parts of at most `most` packed tokens each, or a single pair."""
    parts: list[list[int]] = []
    room = 0
    for i in sorted(batch, key=lambda i: tokens[i]):
        if not parts or tokens[i] > room:
            parts.append([])
            room = most
        parts[-1].append(i)
        room -= tokens[i]
    return parts


def scoring_batches(sequences: Sequence[Encoded], max_tokens: int) -> list[list[int]]:
    """Indices of sequences, those of one prompt side by side and shortest first, in batches of at most `max_tokens` packed tokens."""
    order = sorted(range(len(sequences)), key=lambda i: (len(sequences[i].prompt), sequences[i].prompt.tobytes(), len(sequences[i])))
    batches: list[list[int]] = []
    room = 0
    last: Tokens | None = None
    for i in order:
        s = sequences[i]
        need = len(s.response) + (0 if s.prompt == last else len(s.prompt))
        if not batches or need > room:
            batches.append([])
            room, need = max_tokens, len(s)
        batches[-1].append(i)
        room, last = room - need, s.prompt
    return batches
