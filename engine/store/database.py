"""The one DuckDB file: opened, used and closed again, so that every other process gets its turn.

Files under cache/ are the truth. `ingest` copies a folder's tables into the database, again and again with the same result;
`rebuild` makes the database anew from all folders.
"""

import errno
import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path

import duckdb
import polars as pl

from engine.errors import PrefscopeError, RunError, StoreError
from engine.store.flags import RULES, flag_answers
from engine.store.opening import REMADE, attached, connected, let_go, refuse_folder
from engine.store.opening import Connection as Connection
from engine.store.rundir import KINDS_OF_FOLDER, RunDir, is_locked, run_dirs, wait_for_lock
from engine.store.status import State

log = logging.getLogger("engine")
SCHEMA = (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")
SCHEMA_SHA256 = hashlib.sha256((SCHEMA + RULES).encode()).hexdigest()
DISK_FULL = [os.strerror(number) for number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)]
MADE_AFTER_INGEST = {  # {what it follows from: {table: the view of what it holds}}, in this order
    "generator_id": {"answers": "given", "answered": "asked_and_given"},
    "scorer_id": {"coverage": "counted", "scored_pairs": "ranked", "scored_answers": "judged", "scored_prompts": "averaged"},
}
WHO_SCORED = {  # {table of a folder: where its scorers are found, by which key of its rows}
    "rewards": ("scorers", "scorer_id"),
    "pairs": ("scorers_of_datasets", "dataset_id"),
    "generations": ("scorers_of_generators", "generator_id"),
}
METRIC_LINES = """
    from (
        select $run_id as run_id, step, split, unnest(map_keys("values")) as name, unnest(map_values("values")) as value, tokens, seconds
        from read_json($path, format = 'newline_delimited', ignore_errors = true, columns = {
            step: 'integer', split: 'varchar', tokens: 'bigint', seconds: 'double', "values": 'map(varchar, double)'})
    ) where step is not null and split is not null and value is not null
"""


def database_path(cache: Path) -> Path:
    return cache / "align.duckdb"


@contextmanager
def reading(cache: Path, deadline_seconds: float = 10) -> Iterator[Connection]:
    """A read-only connection; an empty database in memory when there is no file yet."""
    path = database_path(cache)
    if path.exists():
        with attached(path, deadline_seconds) as con:
            if schema_of(con) != SCHEMA_SHA256:
                raise StoreError(f"{path} was made by another version of Prefscope: {REMADE}")
            yield con
        return
    with closing(duckdb.connect()) as con:
        con.execute(SCHEMA)
        yield con


@contextmanager
def writing(cache: Path, deadline_seconds: float = 30) -> Iterator[Connection]:
    """A connection inside one transaction: committed when the block ends, rolled back when it raises. Raises StoreError."""
    path = database_path(cache)
    with turn_to_write(cache, deadline_seconds):
        con = opened_for_writing(cache, deadline_seconds)
        try:
            catch_up(con, cache)
            con.begin()
            yield con
            con.commit()
        except duckdb.Error as error:
            raise StoreError(f"{path} could not be written: {error}") from error
        finally:
            con.close()


@contextmanager
def turn_to_write(cache: Path, deadline_seconds: float) -> Iterator[None]:
    """One writer at a time, so that nobody commits to a file that a rebuild is about to replace. Raises StoreError."""
    let_go()
    path = cache / "locks" / "database.lock"
    try:
        lock = wait_for_lock(path, deadline_seconds)
    except RunError:
        holder = path.read_text(encoding="utf-8") or "another process"
        raise StoreError(f"{database_path(cache)} was busy for {deadline_seconds:.0f} s: {holder} is writing") from None
    try:
        os.truncate(lock, 0)
        os.pwrite(lock, f"PID {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(lock)


def opened_for_writing(cache: Path, deadline_seconds: float) -> Connection:
    """A connection to the database, which is made anew first when it is absent or of another schema."""
    path = database_path(cache)
    if path.exists():
        con = connected(path, deadline_seconds)
        if schema_of(con) == SCHEMA_SHA256:
            return con
        con.close()
    make_anew(cache)
    return connected(path, deadline_seconds)


def schema_of(con: Connection) -> str | None:
    """All rows are fetched, since an unfinished result blocks the connection."""
    try:
        rows = con.execute("select value from about where name = 'schema_sha256'").fetchall()
    except duckdb.Error:
        return None
    return str(rows[0][0]) if rows else None


def ingest(cache: Path, folder: Path) -> None:
    """Copy a folder's tables into the database, in one transaction; and before it, what other folders still lack there."""
    with writing(cache) as con:
        if con.execute("select stamp from ingested where folder = ?", [name_of(folder)]).fetchall() == [(stamp(folder),)]:
            return
        ingest_into(con, folder)
        recount(con, scorers_touched(con, folder), generators_touched(con, folder))


def ingest_into(con: Connection, folder: Path) -> None:
    for table in tables(con):
        path = folder / f"{table}.parquet"
        if path.is_file():
            try:
                con.execute(f"insert or replace into {table} by name select * from read_parquet(?)", [str(path)])
            except duckdb.Error as error:
                if any(text in str(error) for text in DISK_FULL):
                    raise
                raise StoreError(f"{path} does not fit the table {table}: {error}") from None
    if (folder / "status.json").is_file():
        insert_run(con, RunDir(folder))
    con.execute("insert or replace into ingested values (?, ?)", [name_of(folder), stamp(folder)])


def scorers_touched(con: Connection, folder: Path) -> list[str]:
    """Who scored something in a folder, or elsewhere its pairs or answers of its generators."""
    found: set[str] = set()
    for name, (scorers, key) in WHO_SCORED.items():
        path = folder / f"{name}.parquet"
        if path.is_file():
            query = f"select distinct scorer_id from {scorers} where {key} in (select {key} from read_parquet(?))"
            found |= {scorer for (scorer,) in con.execute(query, [str(path)]).fetchall()}
    return sorted(found)


def generators_touched(con: Connection, folder: Path) -> list[str]:
    """Who answered something in a folder, or elsewhere prompts of its pairs."""
    queries = {
        "generations": "select generator_id from read_parquet(?)",
        "pairs": "select generator_id from generations where prompt_id in (select prompt_id from read_parquet(?))",
    }
    files = {query: folder / f"{name}.parquet" for name, query in queries.items()}
    found = [con.execute(f"select distinct * from ({query})", [str(path)]).fetchall() for query, path in files.items() if path.is_file()]
    return sorted({generator for rows in found for (generator,) in rows})


def every_scorer(con: Connection) -> list[str]:
    return [scorer for (scorer,) in con.execute("select scorer_id from scorers").fetchall()]


def recount(con: Connection, scorers: list[str], generators: list[str] | None = None) -> None:
    """Make anew what follows from these generators' answers, None: all, and these scorers' rewards.

    One after the other, so that each reads its own rows only.
    """
    if generators is None:
        generators = [generator for (generator,) in con.execute("select distinct generator_id from generations").fetchall()]
    flag_answers(con, generators)
    for (key, made), ids in zip(MADE_AFTER_INGEST.items(), (generators, scorers), strict=True):
        for name in ids:
            for table, view in made.items():
                con.execute(f"delete from {table} where {key} = ?", [name])
                con.execute(f"insert into {table} by name select * from {view} where {key} = ? order by all", [name])


def insert_run(con: Connection, run: RunDir) -> None:
    outline, status = run.outline, run.status.model_dump(mode="json") | {"state": run.outcome}
    row = {
        "run_id": run.id,
        "kind": outline.kind,
        "name": outline.name,
        "parents": json.dumps(outline.parents),
        "study_id": outline.study,
        "configuration": outline.configuration,
        "config": json.dumps(run.config_values, ensure_ascii=False),
        "dataset_id": outline.dataset,
        "versions": json.dumps(status["versions"]),
        "stage_peaks": json.dumps(status["stage_peaks"]),
        **{k: status[k] for k in ("state", "reason", "error", "pairs_sha256", "started_at", "finished_at", "device", "peak_bytes")},
    }
    con.register("new_run", pl.DataFrame([row]).to_arrow())
    con.execute("insert or replace into runs by name select * from new_run")
    con.unregister("new_run")
    con.execute("delete from metrics where run_id = ?", [run.id])
    if run.metrics_path.is_file() and run.metrics_path.stat().st_size:
        con.execute(f"insert or replace into metrics by name {METRIC_LINES}", {"run_id": run.id, "path": str(run.metrics_path)})


def frame(con: Connection, query: str, values: dict[str, object] | None = None) -> pl.DataFrame:
    """The result of a query as a Polars frame; $name in the query stands for values[name]."""
    found: pl.DataFrame = con.sql(query, params=values or {}).pl()
    return found


def tables(con: Connection) -> list[str]:
    query = "select table_name from information_schema.tables where table_type = 'BASE TABLE' and table_catalog = current_database()"
    return [name for (name,) in con.execute(query).fetchall()]


@lru_cache(maxsize=1)
def declared_columns() -> dict[str, dict[str, bool]]:
    """{table: {column: whether it may be empty}} of schema.sql."""
    con = duckdb.connect()
    con.execute(SCHEMA)
    query = "select table_name, column_name, is_nullable = 'YES' from information_schema.columns"
    found: dict[str, dict[str, bool]] = {}
    for table, column, may_be_empty in con.execute(query).fetchall():
        found.setdefault(table, {})[column] = may_be_empty
    con.close()
    return found


def rebuild(cache: Path) -> list[str]:
    """Make the database anew from every folder, beside the old one, and put it in its place; what was left out. Raises StoreError."""
    with turn_to_write(cache, 30):
        return make_anew(cache)


def make_anew(cache: Path) -> list[str]:
    """A damaged folder is left out, with a sentence. The old file's write-ahead log goes with it: the new one would not open beside it.

    The caller has the turn to write. Raises StoreError when the file cannot be written; the old one then stays.
    """
    path, fresh = database_path(cache), cache / ".align.duckdb.new"
    refuse_folder(path)
    try:
        discard(fresh)
        for old in cache.glob(".align.*.duckdb*"):  # of a version that called them by their process, and was killed
            old.unlink(missing_ok=True)
        left_out = filled(fresh, cache)
        log_of(path).unlink(missing_ok=True)
        os.replace(fresh, path)
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"{path} could not be made anew: {error}") from None
    finally:
        discard(fresh)
    for why in left_out:
        log.warning("left out of the database: %s", why)
    return left_out


def filled(path: Path, cache: Path) -> list[str]:
    """Write a database of what the folders hold; why some were left out."""
    con = duckdb.connect(str(path))
    try:
        con.execute(SCHEMA)
        con.execute("insert into about values ('schema_sha256', ?)", [SCHEMA_SHA256])
        left_out = [why for folder in folders(cache) if (why := left_out_of(con, folder))]
        con.begin()
        recount(con, every_scorer(con))
        con.commit()
        return left_out
    finally:
        con.close()


def discard(path: Path) -> None:
    for part in (path, log_of(path)):
        part.unlink(missing_ok=True)


def log_of(path: Path) -> Path:
    """DuckDB's write-ahead log of a database file."""
    return path.with_name(f"{path.name}.wal")


def left_out_of(con: Connection, folder: Path) -> str | None:
    """Ingest a folder whole, or nothing of it when it is damaged; why not."""
    con.begin()
    try:
        ingest_into(con, folder)
    except PrefscopeError as error:
        con.rollback()
        return str(error)
    con.commit()
    return None


def catch_up(con: Connection, cache: Path) -> None:
    """Ingest what the database lacks: folders that changed since, or came, while it was held open or their process was killed.

    A run that is going on ingests itself.
    """
    known = dict(con.execute("select folder, stamp from ingested").fetchall())
    for folder in folders(cache):
        if known.get(name_of(folder)) == stamp(folder) or is_locked(folder / "lock"):
            continue
        if why := left_out_of(con, folder):
            log.warning("left out of the database: %s", why)
            continue
        recount(con, scorers_touched(con, folder), generators_touched(con, folder))
        if (folder / "status.json").is_file():
            RunDir(folder).settle()


def name_of(folder: Path) -> str:
    """A folder as it is called below the cache: runs/<id>, …"""
    return f"{folder.parent.name}/{folder.name}"


def stamp(folder: Path) -> str:
    """Changes whenever what is ingested of a folder does; of a status its state alone."""
    files = [*sorted(folder.glob("*.parquet")), folder / "metrics.jsonl"]
    parts = [f"{p.name} {(stat := p.stat()).st_size} {stat.st_mtime_ns}" for p in files if p.is_file()]
    if (folder / "status.json").is_file():
        run = RunDir(folder)
        parts.append(run.damage or run.outcome)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def folders(cache: Path) -> list[Path]:
    """Every folder that holds tables. Unfinished ones have a name beginning with a dot."""
    return [p for kind in KINDS_OF_FOLDER for p in sorted((cache / kind).glob("[!.]*")) if p.is_dir()]


def show_live(con: Connection, cache: Path, drawn: Collection[str] | None = None) -> list[str]:
    """Temporary view `curves`: metrics from the database, and those it lacks from the runs' files, each step once.

    Only a run that is going on, or has ended and is not ingested yet, is read from its file. Returns these runs' ids.
    drawn: the runs whose curves will be asked for; None: all.
    """
    known = dict(con.execute("select folder, stamp from ingested").fetchall())
    ahead = [
        run
        for run in run_dirs(cache)
        if (drawn is None or run.id in drawn)
        and run.metrics_path.is_file()
        and run.metrics_path.stat().st_size
        and run.written_status.state is not State.DONE
        and known.get(name_of(run.path)) != stamp(run.path)
    ]
    con.execute("create or replace temp table live_metrics as select * from metrics limit 0")
    for run in ahead:
        con.execute(f"insert into live_metrics by name {METRIC_LINES}", {"run_id": run.id, "path": str(run.metrics_path)})
    con.execute("""
        create or replace temp view curves as
        from live_metrics union all from metrics where run_id not in (select run_id from live_metrics)
    """)
    return [run.id for run in ahead]
