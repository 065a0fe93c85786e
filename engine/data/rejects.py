"""What an import refuses: every record is counted under its reason, the first of each reason are kept to be looked at."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from engine.data.files import Raw
from engine.errors import RecordError

KEPT = 1_000  # rejects of one reason that are written down
MAX_DETAIL = 500  # characters
MAX_EXCERPT = 300


@dataclass(frozen=True)
class Dropped:
    """How many records were refused for one reason, and the first of them."""

    reason: str
    records: int
    file: str
    line: int
    detail: str
    excerpt: str


@dataclass
class Rejects:
    """Exact counts by reason, and the first records of each with file, line, detail and beginning."""

    counts: Counter[str] = field(default_factory=Counter)
    kept: list[dict[str, Any]] = field(default_factory=list)

    def add(self, raw: Raw, error: RecordError) -> None:
        self.counts[error.reason] += 1
        if self.counts[error.reason] <= KEPT:
            where = {"file": raw.file, "line": raw.line, "reason": error.reason}
            self.kept.append({**where, "detail": shortened(str(error), MAX_DETAIL), "excerpt": excerpt_of(raw)})

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def by_reason(self) -> tuple[Dropped, ...]:
        """Each reason with its first record, the most frequent reason first."""
        first = {reject["reason"]: reject for reject in reversed(self.kept)}
        return tuple(Dropped(**{**first[reason], "records": n}) for reason, n in self.counts.most_common())

    @property
    def notes(self) -> list[str]:
        listed = f"rejects.jsonl lists {len(self.kept):,} of {self.total:,} refused records, the first {KEPT:,} of each reason"
        return [listed] if len(self.kept) < self.total else []

    def as_json_lines(self) -> str:
        """By file and line, also those that were found in a second look."""
        ordered = sorted(self.kept, key=lambda reject: (reject["file"], reject["line"]))
        return "".join(json.dumps(reject, ensure_ascii=True) + "\n" for reject in ordered)

    def in_words(self, shown: int = 3) -> str:
        """The counts on one line, then the first rejects on a line each; empty without any."""
        if not self.kept:
            return ""
        counts = ", ".join(f"{reason} {n:,}" for reason, n in self.counts.items())
        first = [f"  {r['file']} line {r['line']}: {shortened(r['detail'], 200)} ({r['reason']})" for r in self.kept[:shown]]
        return "\n".join([counts, *first])


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def excerpt_of(raw: Raw) -> str:
    """The beginning of a record, for people."""
    if raw.excerpt or isinstance(raw.content, RecordError):
        return raw.excerpt[:MAX_EXCERPT]
    return json.dumps(raw.content, ensure_ascii=True, default=str)[:MAX_EXCERPT]
