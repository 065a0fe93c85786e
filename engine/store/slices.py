"""Which rows a slice selects, and a connection that sees no others.

`show_slice` puts temporary views in front of pairs, answers and what was scored of them. DuckDB looks a name up among temporary objects
first, also inside the views of schema.sql, so that compared_answers follows; tests/test_slices.py holds it to that.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from weakref import WeakKeyDictionary

import polars as pl

from engine.errors import DataError, RunError
from engine.settings.slices import FIELDS, SOURCES, Contains, OneOf, Property, Range, Slice
from engine.store.database import Connection, frame, reading
from engine.store.opening import FILES
from engine.store.rundir import RunDir, write_table

REWARDS_OF_PAIRS = "scored_pairs where dataset_id = $dataset and scorer_id = $scorer{i}"
WORDS_OF_PAIRS = """(
    select pair_id, c.words as chosen_words, r.words as rejected_words, c.words - r.words as longer_by
    from pairs join texts c on c.text_id = chosen_id join texts r on r.text_id = rejected_id where dataset_id = $dataset
)"""
REWARDS_OF_ANSWERS = "compared_answers where base_id = $base{i} and tuned_id = $tuned{i} and scorer_id = $scorer{i}"
BOTH_ANSWERS = """(
    with one as (
        select generator_id, prompt_id, avg(tokens) as tokens, avg(words) as words,
               bool_or(finish_reason = 'length') filter (finish_reason in ('stop', 'length')) as cut  -- null: nobody knows
        from answers where generator_id in ($base{i}, $tuned{i}) group by generator_id, prompt_id
    )
    select prompt_id, b.words as base_words, t.words as tuned_words, b.tokens as base_tokens, t.tokens as tuned_tokens,
           case when bool_and(b.tokens is not null and t.tokens is not null) over () then t.tokens - b.tokens else t.words - b.words end
               as tuned_longer_by,
           b.cut as base_cut, t.cut as tuned_cut
    from one b join one t using (prompt_id) where b.generator_id = $base{i} and t.generator_id = $tuned{i}
)"""
FOUND_IN = {  # of each field the relation that has it, with the key of what it is a property of
    **dict.fromkeys(("margin", "chosen_reward", "rejected_reward"), REWARDS_OF_PAIRS),
    **dict.fromkeys(("longer_by", "chosen_words", "rejected_words"), WORDS_OF_PAIRS),
    **dict.fromkeys(("prompt_type", "source", "pair_id"), "pairs where dataset_id = $dataset"),
    **dict.fromkeys(("language", "prompt_id"), "prompts"),
    **dict.fromkeys(("difference", "base_reward", "tuned_reward"), REWARDS_OF_ANSWERS),
    **dict.fromkeys(("base_words", "tuned_words", "base_tokens", "tuned_tokens", "tuned_longer_by", "base_cut", "tuned_cut"), BOTH_ANSWERS),
}
TABLES = {
    "dataset": ("datasets", "dataset_id"),
    "scorer": ("scorers", "scorer_id"),
    **dict.fromkeys(("base", "tuned"), ("generators", "generator_id")),
}
SCORED_HERE = """
    select 1 from coverage
    where scorer_id = $name and dataset_id = $dataset and split = $split and generator_id is null and complete
"""
ANSWERED_HERE = """
    select 1 from answers join pairs using (prompt_id) where generator_id = $name and dataset_id = $dataset and split = $split limit 1
"""
MEASURED_HERE = {("pair", "scorer"): SCORED_HERE, ("prompt", "base"): ANSWERED_HERE, ("prompt", "tuned"): ANSWERED_HERE}
REWARD_RUNS = """
    select scorer_id, run_id from scorers join runs on run_id = model_id
    where scorer_id in (select unnest($scorers)) and runs.kind = 'reward' order by run_id
"""
OF_PAIR, OF_PROMPT = "dataset_id, split, pair_id", "prompt_id"  # keys
SLICED = {  # {table: its key}
    **dict.fromkeys(("pairs", "scored_pairs"), OF_PAIR),
    **dict.fromkeys(("answers", "scored_answers", "scored_prompts"), OF_PROMPT),
}
SEEN = "create temp view {name} as from {database}.main.{name} semi join temp.main.slice_pairs using ({key})"
UNSLICED = ";".join([*(f"drop view if exists temp.main.{name}" for name in SLICED), "drop table if exists temp.main.slice_pairs"])
SHOWN: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()  # the slice that a connection sees, as JSON
PINNED = "slice_pairs"  # of a run's folder
NAMES = {"base": "generator of base answers", "tuned": "generator of tuned answers"}
KEYS = {"pair": "pair_id", "prompt": "prompt_id"}
FOLDED = "lower(replace({}, '’', ''''))"  # in either case, with either apostrophe
MENTION = """(
    pair_id in (
        select pair_id from pairs join prompts p using (prompt_id)
        join texts c on c.text_id = chosen_id join texts r on r.text_id = rejected_id
        where dataset_id = $dataset and ({p} or {c} or {r})
    ) or prompt_id in (
        select prompt_id from answers join texts a using (text_id) where generator_id in ($base{i}, $tuned{i}) and {a}
    )
)"""
EDGE = r"[^\p{L}\p{N}_]|\p{Han}"  # of a word; Chinese has no blanks
SPACED = re.compile(r"[^\W\u3400-\u9fff]")  # a letter of a word that ends at an edge
MOST_KEPT, MOST_BYTES = 256, 500_000_000  # results of queries that are kept, and of all of them together
Bound = dict[str, object]


def rows(wanted: Slice) -> tuple[str, Bound]:
    """A SELECT of dataset_id, split, pair_id, prompt_id of a slice's pairs, and the values bound in it.

    A predicate over prompts selects all their pairs. Of a pair or prompt that was not measured neither a predicate nor its contrary holds.
    """
    values: Bound = {"dataset": wanted.dataset_id}
    conditions = ["true"]
    for i, predicate in enumerate(wanted.predicates):
        condition, bound = condition_of(predicate, i)
        conditions.append(condition)
        values |= {f"{name}{i}": value for name, value in bound.items()}
    holds = f"{'not ' if wanted.inverted else ''}({' and '.join(conditions)})"
    return f"select dataset_id, split, pair_id, prompt_id from pairs where dataset_id = $dataset and {holds}", values


def condition_of(predicate: Range | OneOf | Contains, i: int) -> tuple[str, Bound]:
    """What a predicate asks of a row of `pairs`, and the values bound in it, to whose names the number i is added."""
    no = "not " if predicate.not_ else ""
    if isinstance(predicate, Contains):
        holds, bound = mention_of(predicate, i)
        return f"{no}{holds}", bound
    holds, bound = range_of(predicate, i) if isinstance(predicate, Range) else one_of(predicate, i)
    relation, key = FOUND_IN[predicate.field].format(i=i), KEYS[FIELDS[predicate.field].of]
    bound |= {who: getattr(predicate, who) for who in FIELDS[predicate.field].needs}
    return f"{key} in (select {key} from (from {relation}) where {no}({holds}))", bound


def span(con: Connection, about: Range, dataset_id: str | None, split: str | None) -> tuple[float, float] | None:
    """The lowest and the highest value on a split of what a range is about; None where nothing was measured."""
    relation, key = FOUND_IN[about.field].format(i=0), KEYS[FIELDS[about.field].of]
    here = f"{key} in (select {key} from pairs where dataset_id = $dataset and split = $split)"
    bound = {f"{who}0": getattr(about, who) for who in FIELDS[about.field].needs}
    query = f"select min({about.field}) as low, max({about.field}) as high from (from {relation}) where {here}"
    low, high = frame(con, query, {"dataset": dataset_id, "split": split, **bound}).row(0)
    return None if low is None else (low, high)


def range_of(predicate: Range, i: int) -> tuple[str, Bound]:
    ends = {"low": (">=", predicate.low), "high": ("<", predicate.high)}
    given = {name: (sign, value) for name, (sign, value) in ends.items() if value is not None}
    holds = [f"{predicate.field} {sign} ${name}{i}" for name, (sign, _) in given.items()]
    return " and ".join(holds) or f"{predicate.field} = {predicate.field}", {name: value for name, (_, value) in given.items()}


def one_of(predicate: OneOf, i: int) -> tuple[str, Bound]:
    """A text that is not given is one of the values when None is; a flag that is not known is neither true nor false."""
    given = [value for value in predicate.values if value is not None]
    if FIELDS[predicate.field].values == "flag":
        return f"list_contains(cast($values{i} as boolean[]), {predicate.field})", {"values": given}
    holds = f"coalesce(list_contains(cast($values{i} as varchar[]), {predicate.field}), $none{i})"
    return holds, {"values": given, "none": None in predicate.values}


def mention_of(predicate: Contains, i: int) -> tuple[str, Bound]:
    """A word ends where no letter or digit goes on; a Chinese one anywhere."""
    text, ends = FOLDED.format(f"$text{i}"), predicate.text[0] + predicate.text[-1]
    bound: Bound = {"text": predicate.text, "base": predicate.base, "tuned": predicate.tuned}
    found = f"contains({{column}}, {text})"
    if predicate.word:
        found = f"regexp_matches({{column}}, $before{i} || regexp_escape({text}) || $after{i})"
        bound |= {
            name: f"(?:{end}|{EDGE})" if SPACED.match(c) else "" for name, end, c in zip(("before", "after"), "^$", ends, strict=True)
        }
    sides = {side: found.format(column=FOLDED.format(f"{side}.text")) for side in "pcra"}
    return MENTION.format(i=i, **sides), bound


def show_slice(con: Connection, wanted: Slice | None) -> None:
    """From now on the connection sees only the slice's pairs and the answers to their prompts; all of them again when it is None.

    Nothing is written. What was counted before (coverage, word_counts) and maps stay whole; `whole` names what lies behind a view.
    """
    con.execute(UNSLICED)
    SHOWN.pop(con, None)
    if wanted is None:
        return
    con.register("selected", selected(con, wanted).to_arrow())
    con.execute("create temp table slice_pairs as from selected")
    con.unregister("selected")
    SHOWN[con] = wanted.as_json()
    database = database_of(con)
    con.execute(";".join(SEEN.format(database=database, name=name, key=key) for name, key in SLICED.items()))


def database_of(con: Connection) -> str:
    ((name,),) = con.execute("select current_database()").fetchall()
    return f'"{name}"'


def whole(con: Connection, name: str) -> str:
    """A table or view of the database by its full name, which no slice hides."""
    return f"{database_of(con)}.main.{name}"


def selected(con: Connection, wanted: Slice) -> pl.DataFrame:
    """dataset_id, split, pair_id, prompt_id of a slice's pairs, found once for each state of the database."""
    file, _said = seen(con)
    return selected_of(file, wanted) if file else frame(con, *rows(wanted))


class File(NamedTuple):
    """The database's file in one state."""

    path: Path
    changed_ns: int
    bytes: int


def file_of(path: Path) -> File:
    stat = path.stat()
    return File(path, stat.st_mtime_ns, stat.st_size)


def seen(con: Connection) -> tuple[File | None, str | None]:
    """What a connection reads, None of one in memory or for writing; and the slice that it sees, as JSON."""
    path = FILES.get(con)
    return None if path is None else file_of(path), SHOWN.get(con)


@lru_cache(maxsize=8)
def selected_of(file: File, wanted: Slice) -> pl.DataFrame:
    with reading(file.path.parent) as con:
        return frame(con, *rows(wanted))


@dataclass(frozen=True)
class Asked:
    """A function of a connection, its other arguments, and what the connection sees."""

    file: File
    slice: str | None  # as JSON
    asks: Callable[..., pl.DataFrame]
    values: tuple[Hashable, ...]


kept: OrderedDict[Asked, pl.DataFrame] = OrderedDict()  # the latest used last
ONE_AT_A_TIME = Lock()


def once(con: Connection, asks: Callable[..., pl.DataFrame], *values: Hashable) -> pl.DataFrame:
    """asks(con, *values), kept for whoever asks the same of the same rows."""
    file, said = seen(con)
    if file is None:
        return asks(con, *values)
    asked = Asked(file, said, asks, values)
    with ONE_AT_A_TIME:
        if asked in kept:
            kept.move_to_end(asked)
            return kept[asked]
    found = asks(con, *values)
    keep(asked, found)
    return found


def keep(asked: Asked, found: pl.DataFrame) -> None:
    """Keep a frame, in the place of those that were not asked for longest where there are too many or they are too large."""
    with ONE_AT_A_TIME:
        kept[asked] = found
        while len(kept) > MOST_KEPT or (len(kept) > 1 and sum(rows.estimated_size() for rows in kept.values()) > MOST_BYTES):
            kept.popitem(last=False)


def frame_once(con: Connection, query: str, values: Mapping[str, object] | None = None) -> pl.DataFrame:
    """The result of a query as `frame` gives it, kept in the same way."""
    return once(con, queried, query, tuple((values or {}).items()))


def queried(con: Connection, query: str, values: tuple[tuple[str, object], ...]) -> pl.DataFrame:
    return frame(con, query, dict(values))


def pairs_of(cache: Path, wanted: Slice) -> pl.DataFrame:
    """dataset_id, split, pair_id, prompt_id of a slice's pairs. Raises StoreError."""
    with reading(cache) as con:
        return selected(con, wanted)


def pairs_for(cache: Path, wanted: Slice, split: str) -> pl.DataFrame:
    """The same for a run that works on a split. Raises RunError, with why, when none of the slice's pairs is in it."""
    with reading(cache) as con:
        found = selected(con, wanted)
        if not found["split"].eq(split).any():
            why = gone(con, wanted) or unmeasured(con, wanted, split) or part_of(found, split)
            raise RunError(f"the slice leaves nothing of split {split!r}: {why}")
    return found


def pinned(cache: Path, run: RunDir, wanted: Slice, split: str) -> pl.DataFrame:
    """The same of a run that begins: written into its folder the first time, so that a resumed run works on the same pairs.

    Raises RunError as `pairs_for` does.
    """
    found = run.table(PINNED)
    if found is None:
        found = pairs_for(cache, wanted, split)
        if run.writes:
            write_table(run.path, PINNED, found)
    return found


def part_of(found: pl.DataFrame, split: str) -> str:
    """How much of a slice's pairs is in a split, and what is left out."""
    others = found.filter(pl.col("split") != split).group_by("split").len().sort("split")
    left_out = ", ".join(f"{pairs:,} of {other}" for other, pairs in others.iter_rows())
    here = found.filter(pl.col("split") == split).height
    return f"{here:,} pairs of the slice are in {split}" + (f"; left out: {left_out}" if left_out else "")


def unmeasured(con: Connection, wanted: Slice, split: str) -> str | None:
    """Why a slice can have no pair of a split: what its predicates ask for was not measured there. One sentence, or None."""
    for field, who, name in missing(con, wanted, split):
        done = "scored" if who == "scorer" else "answered"
        return f"{called(con, who, name)} has not {done} split {split!r}, on which “{field.label}” depends: have it {done} first"
    return None


def missing(con: Connection, wanted: Slice, split: str) -> Iterator[tuple[Property, str, str]]:
    """(field; scorer, base or tuned; its id) of what the predicates ask for and nobody has measured on a split."""
    for predicate in wanted.predicates:
        if isinstance(predicate, Contains):
            continue
        field = FIELDS[predicate.field]
        for who in field.needs:
            name, here = getattr(predicate, who), MEASURED_HERE.get((field.of, who))
            if here and frame(con, here, {"dataset": wanted.dataset_id, "split": split, "name": name}).is_empty():
                yield field, who, name


def to_score(con: Connection, wanted: Slice, split: str) -> tuple[str, ...]:
    """The reward runs whose models have to score a split before the slice can be found in it.

    None when nothing is missing, and when scoring with runs of this cache would not give all that is.
    """
    lacking = {(who, name) for _, who, name in missing(con, wanted, split)}
    known = dict(frame(con, REWARD_RUNS, {"scorers": [name for _, name in lacking]}).iter_rows())
    scorable = all(who == "scorer" and name in known for who, name in lacking)
    return tuple(dict.fromkeys(known.values())) if scorable else ()


def called(con: Connection, who: str, name: str) -> str:
    """The name of a scorer or generator."""
    table, key = TABLES[who]
    found = frame(con, f"select name from {table} where {key} = $name", {"name": name})
    return str(found.item()) if found.height else name


def counts(con: Connection, wanted: Slice) -> dict[str, tuple[int, int]]:
    """{split: (pairs of the slice, pairs)} of the slice's dataset."""
    found = dict(selected(con, wanted).group_by("split").len().iter_rows())
    every = f"select split, count(*) from {whole(con, 'pairs')} where dataset_id = $dataset group by split order by split"
    return {split: (found.get(split, 0), pairs) for split, pairs in frame(con, every, {"dataset": wanted.dataset_id}).iter_rows()}


def gone(con: Connection, wanted: Slice) -> str | None:
    """What the slice asks for and is not here any more, in one sentence; None when all of it is."""
    needed = [("dataset", wanted.dataset_id), *sources_of(wanted)]
    for who, name in needed:
        table, key = TABLES[who]
        if frame(con, f"select 1 from {table} where {key} = $name", {"name": name}).is_empty():
            return f"the slice ({wanted.words()}) asks for the {NAMES.get(who, who)} {name!r:.80}, which is not here"
    return None


def described(con: Connection, wanted: Slice) -> str:
    """The slice in words, with the names of its scorers. Raises DataError when what it asks for is gone."""
    if why := gone(con, wanted):
        raise DataError(why)
    names = "select scorer_id, name from named_scorers where scorer_id in (select unnest($ids))"
    ids = [name for who, name in sources_of(wanted) if who == "scorer"]
    return wanted.words(dict(frame(con, names, {"ids": ids}).iter_rows()))


def sources_of(wanted: Slice) -> list[tuple[str, str]]:
    """(scorer, base or tuned, its id) of everything that measured what the predicates are about."""
    return [(who, name) for p in wanted.predicates for who in SOURCES if (name := getattr(p, who, None)) is not None]
