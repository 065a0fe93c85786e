"""Tokens to packed rows, in which what sequences begin with in common is encoded once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from itertools import takewhile
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

from engine.model.batches import Encoded, Tokens

LONGEST_SPAN = 256  # queries whose attention is computed at once on a CPU
NOWHERE = range(0)


class Span(NamedTuple):
    """Neighbouring queries of one sequence; each sees the prefix, its prompt, and from its sequence's own first token to itself.

    A row of `Packed.spans`, since a compiled operation takes tensors. Ends are those of a range: the place after the last.
    """

    start: int
    end: int
    own_start: int  # the first token of the prompt or response the queries belong to
    prompt_start: int  # of a response's prompt; of a prompt itself, start and end are the same
    prompt_end: int
    prefix_end: int
    block: int  # the number of the product it is computed in


class Row(NamedTuple):
    """Where the tokens of one sequence stand in the packed row: the prefix all share, the rest of its prompt, its response."""

    prefix: range
    prompt: range
    response: range

    @property
    def places(self) -> list[int]:
        return [*self.prefix, *self.prompt, *self.response]

    @property
    def last(self) -> int:
        return (self.response or self.prompt)[-1]


@dataclass(frozen=True)
class Packed:
    """N sequences in one row of T tokens: what all prompts begin with once (the prefix), then each distinct prompt once."""

    input_ids: torch.Tensor  # (1, T)
    position_ids: torch.Tensor  # (1, T), each response's positions continue its prompt's, a prompt's the prefix's
    rows: torch.Tensor  # (N, L) place in the packed row of each sequence's tokens; what is beyond its end points to 0
    index: torch.Tensor  # (T,) place in rows.flatten() of each token
    spans: torch.Tensor  # (K, 7) the fields of each Span
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


def pack(sequences: Sequence[Encoded], read_at: str = "template_end") -> Packed:
    """Lay the sequences out in one row, a beginning all prompts share once and each distinct prompt once.

    read_at: the last token that is needed of a response. A reward is read at "template_end" or "end_of_turn"; "last_target" is for
    log-probabilities, where the end of turn is predicted but nothing after it.
    """
    layout = Layout()
    shared = shared_beginning([s.prompt for s in sequences])
    prefix = layout.append(sequences[0].prompt[:shared], 0)
    prompts: dict[bytes, range] = {}
    rows: list[Row] = []
    for s in sequences:
        key = s.prompt.tobytes()
        if key not in prompts:
            prompts[key] = layout.append(s.prompt[shared:], shared, prefix)
        rows.append(Row(prefix, prompts[key], layout.append(needed(s, read_at), len(s.prompt), prefix, prompts[key])))
    return Packed(
        input_ids=torch.tensor([layout.ids]),
        position_ids=torch.tensor([layout.positions]),
        spans=torch.tensor(in_blocks(layout.spans)),
        read_at=torch.tensor([row.last for row in rows]),
        **indices(rows, len(layout.ids)),
        **response_targets(sequences, rows),
    )


@dataclass
class Layout:
    """A packed row while it is written."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    def append(self, tokens: Tokens, position: int, prefix: range = NOWHERE, prompt: range = NOWHERE) -> range:
        """Add tokens, the first at `position` of its sequence, which see prefix, prompt and themselves; where they stand now."""
        places = range(len(self.ids), len(self.ids) + len(tokens))
        self.ids.extend(tokens)
        self.positions.extend(range(position, position + len(tokens)))
        for start in places[::LONGEST_SPAN]:
            end = min(start + LONGEST_SPAN, places.stop)
            self.spans.append(Span(start, end, places.start, prompt.start, prompt.stop, prefix.stop, block=-1))
        return places


def needed(sequence: Encoded, read_at: str) -> Tokens:
    """A response's tokens up to the last that is needed (see `pack`)."""
    last = {"template_end": len(sequence.response), "end_of_turn": sequence.ends, "last_target": sequence.ends - 1}
    return sequence.response[: last[read_at]]


def shared_beginning(prompts: Collection[Tokens]) -> int:
    """Tokens with which all of several distinct prompts begin: system prompt and template, mostly. Each keeps one of its own."""
    first, last = min(prompts), max(prompts)
    same = sum(1 for _ in takewhile(lambda ab: ab[0] == ab[1], zip(first, last, strict=False)))
    return min(same, len(first) - 1) if first != last else 0


def in_blocks(spans: list[Span]) -> list[Span]:
    """The spans with the number of their block: a prompt and the responses after it share one while they are few tokens."""
    numbered: list[Span] = []
    begin = block = -1
    for span in spans:
        of_this_prompt = span.prompt_start == begin and span.prompt_start < span.prompt_end
        if not (of_this_prompt and span.end - begin <= LONGEST_SPAN):
            begin, block = span.start, block + 1
        numbered.append(span._replace(block=block))
    return numbered


def indices(rows: Sequence[Row], tokens: int) -> dict[str, torch.Tensor]:
    """`rows` and `index` of a packed row: from sequences to their tokens' places and back."""
    places = [torch.tensor(row.places) for row in rows]
    laid_out = pad_sequence(places, batch_first=True)
    index = torch.zeros(tokens, dtype=torch.long)
    for n, place in enumerate(places):
        index[place] = n * laid_out.shape[1] + torch.arange(len(place))
    return {"rows": laid_out, "index": index}


def response_targets(sequences: Sequence[Encoded], rows: Sequence[Row]) -> dict[str, Any]:
    """What log-probabilities need of every response token: the token before it, itself, its sequence, and whether it is in common."""
    before: list[int] = []
    targets: list[int] = []
    owner: list[int] = []
    common: list[bool] = []
    for n, (s, row) in enumerate(zip(sequences, rows, strict=True)):
        before.extend([row.prompt[-1], *row.response][: s.ends])
        targets.extend(s.response[: s.ends])
        owner.extend([n] * s.ends)
        common.extend([True] * s.common + [False] * (s.ends - s.common))
    columns = {"before": before, "targets": targets, "owner": owner}
    return {**{name: torch.tensor(values, dtype=torch.long) for name, values in columns.items()}, "common": torch.tensor(common).bool()}
