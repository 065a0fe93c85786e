"""What was read as rows of the tables, and the folder they are put in."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from engine.data.records import PreferencePair, Turn, digest, prompt_row, text_row
from engine.data.results.shapes import Answer, Label, Reading
from engine.errors import DataError
from engine.store.damage import damage_of
from engine.store.rundir import read_table

Naming = str | Mapping[str, str] | None  # one name, or {name in the file: name}
Row = dict[str, Any]
NULLABLE = {"prompt_type": pl.String, "licence": pl.String}


@dataclass(frozen=True)
class Names:
    """What generators and scorers are called.

    A name that a person or the file gives means the same one in every import. Without one it is called after field and file, and is
    this import's own.
    """

    kind: str  # generator | scorer
    import_id: str
    stem: str
    given: Naming

    def __call__(self, label: Label) -> tuple[str, str]:
        """(id, name)"""
        chosen = self.given if isinstance(self.given, str) else (self.given or {}).get(label.text)
        if chosen or label.is_name:
            name = chosen or label.text
            return digest(f"imported {self.kind}", name), name
        return digest(f"imported {self.kind}", self.import_id, label.text), f"{label.text} ({self.stem})"

    def check(self, labels: list[Label]) -> None:
        """Raises DataError when the names given do not fit what the file holds."""
        found = list(dict.fromkeys(label.text for label in labels))
        unknown = [key for key in self.given if key not in found] if isinstance(self.given, Mapping) else []
        if unknown:
            raise DataError(f"{self.kind} {unknown[0]!r} is not in the file, found {', '.join(found) or '(none)'}")
        if isinstance(self.given, str) and len(found) != 1:
            raise DataError(f"{self.kind} is {self.given!r}, the file has {', '.join(found) or 'none'}: expected a name for each")


@dataclass
class Tables:
    """Rows by table, each once."""

    prompts: dict[tuple[Turn, ...], Row] = field(default_factory=dict)
    texts: dict[str, Row] = field(default_factory=dict)
    generators: dict[str, Row] = field(default_factory=dict)
    scorers: dict[str, Row] = field(default_factory=dict)
    generations: list[Row] = field(default_factory=list)
    rewards: list[Row] = field(default_factory=list)
    pairs: dict[str, Row] = field(default_factory=dict)
    datasets: list[Row] = field(default_factory=list)
    raw_texts: list[Row] = field(default_factory=list)
    seen: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def prompt_id(self, turns: tuple[Turn, ...]) -> str:
        return str(self.prompts.setdefault(turns, prompt_row(turns))["prompt_id"])

    def text_id(self, text: str) -> str:
        if text not in self.texts:
            self.texts[text] = text_row(text)
        return str(self.texts[text]["text_id"])

    def record(self, *key: str) -> int:
        """How often the same thing was seen before."""
        self.seen[key] += 1
        return self.seen[key] - 1

    def add(self, reading: Reading, generator: Names, scorer: Names) -> None:
        for answer in reading.answers:
            key = self.prompt_id(reading.turns), self.text_id(answer.text)
            if answer.generator:
                self.add_generation(answer.generator, generator, *key)
            if answer.scorer and answer.reward is not None:
                self.add_reward(answer, answer.scorer, scorer, *key)
            if answer.raw is not None:
                self.raw_texts.append({"text_id": key[1], "raw": answer.raw, "line": reading.line})

    def add_generation(self, label: Label, names: Names, prompt_id: str, text_id: str) -> None:
        id, name = names(label)
        settings = json.dumps({"file": names.stem, "field": label.text}, ensure_ascii=False)
        self.generators.setdefault(
            id, {"generator_id": id, "import_id": names.import_id, "name": name, "kind": "imported", "settings": settings}
        )
        row = {"generator_id": id, "prompt_id": prompt_id, "text_id": text_id, "finish_reason": "imported"}
        self.generations.append({"generation_id": digest(id, prompt_id, text_id, str(self.record(id, prompt_id, text_id))), **row})

    def add_reward(self, answer: Answer, label: Label, names: Names, prompt_id: str, text_id: str) -> None:
        id, name = names(label)
        self.scorers.setdefault(id, {"scorer_id": id, "name": name, "kind": "imported"})
        key = {"scorer_id": id, "prompt_id": prompt_id, "text_id": text_id}
        self.rewards.append({**key, "reward": answer.reward, "record": self.record(id, prompt_id, text_id)})

    def add_pair(self, dataset_id: str, pair: PreferencePair) -> None:
        ids = {"prompt_id": self.prompt_id(pair.turns), "chosen_id": self.text_id(pair.chosen), "rejected_id": self.text_id(pair.rejected)}
        row = {"pair_id": pair.pair_id, "dataset_id": dataset_id, "split": "validation", **ids}
        self.pairs.setdefault(pair.pair_id, {**row, "prompt_type": pair.prompt_type, "line": pair.line})

    def add_dataset(self, import_id: str, name: str, shape: str, source: str, sha256: str, skipped: dict[str, int]) -> None:
        if not self.pairs:
            return
        about = {"name": name, "format": f"results: {shape}", "source": source, "licence": None, "sha256": sha256}
        counts = {"kept": len(self.pairs), "dropped": sum(skipped.values()), "dropped_by": json.dumps(skipped)}
        splits = json.dumps({"validation": len(self.pairs)})
        created_at = datetime.now(UTC).replace(tzinfo=None)
        self.datasets.append({"dataset_id": import_id, **about, **counts, "splits": splits, "created_at": created_at})

    def keep_only_referenced_texts(self) -> None:
        used = {row["text_id"] for row in (*self.generations, *self.rewards)}
        self.texts = {text: row for text, row in self.texts.items() if row["text_id"] in used}
        self.raw_texts = [row for row in self.raw_texts if row["text_id"] in used]

    def agree_with(self, cache: Path) -> None:
        """Fit in with earlier imports: a shared generator keeps its row, and a shared scorer's further rewards get further records.

        So the database holds the same rows in whatever order the folders are ingested.
        """
        for generators in earlier(cache, "generators"):
            rows = {row["generator_id"]: row for row in generators.iter_rows(named=True)}
            self.generators |= {id: rows[id] for id in self.generators if id in rows}
        taken: dict[tuple[str, ...], int] = {}
        for rewards in earlier(cache, "rewards"):
            shared = rewards.filter(pl.col("scorer_id").is_in(list(self.scorers)))
            for *key, record in shared.select("scorer_id", "prompt_id", "text_id", "record").iter_rows():
                taken[tuple(key)] = max(record + 1, taken.get(tuple(key), 0))
        for row in self.rewards:
            row["record"] += taken.get((row["scorer_id"], row["prompt_id"], row["text_id"]), 0)

    def frames(self) -> dict[str, pl.DataFrame]:
        """The tables that have rows."""
        rows = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "seen"}
        lists = {name: list(r.values()) if isinstance(r, dict) else r for name, r in rows.items()}
        return {name: pl.DataFrame(r, infer_schema_length=None, schema_overrides=overrides(r[0])) for name, r in lists.items() if r}


def earlier(cache: Path, table: str) -> list[pl.DataFrame]:
    """The table of every import there is."""
    whole = [folder for folder in sorted((cache / "results").glob("[!.]*/")) if not damage_of(folder)]
    return [frame for folder in whole if (frame := read_table(folder, table)) is not None]


def overrides(row: Row) -> dict[str, Any]:
    return {column: kind for column, kind in NULLABLE.items() if column in row}
