"""The database's file: opened for as long as somebody reads or writes, and what is said while somebody else has it."""

import random
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TypeVar
from weakref import WeakKeyDictionary

import duckdb

from engine.errors import StoreError

Connection = duckdb.DuckDBPyConnection
Opened = TypeVar("Opened")
REMADE = "run `./run.sh engine rebuild`, which makes it anew from the files"
BUSY = ("could not set lock", "different configuration", "already attached")  # what DuckDB says then, in lower case
ONE_AT_A_TIME = Lock()
readers: Counter[Path] = Counter()  # connections of this process to a file
FILES: WeakKeyDictionary[Connection, Path] = WeakKeyDictionary()  # what a connection reads, for whoever keeps what was read
Held = dict[tuple[Hashable, ...], tuple[Connection, ExitStack]]  # connections by what they were opened for, each with how it is closed
HELD: ContextVar[Held | None] = ContextVar("HELD", default=None)  # by this thread, inside `kept_open`


def connected(path: Path, deadline_seconds: float) -> Connection:
    """Open the file for writing, waiting for others to close it. Raises StoreError naming the holder after the deadline."""
    return patiently(lambda: duckdb.connect(str(path)), path, deadline_seconds)


@contextmanager
def attached(path: Path, deadline_seconds: float) -> Iterator[Connection]:
    """A connection that reads the file, and keeps it from being written meanwhile. Raises StoreError as `connected`.

    All of a process's readers share one DuckDB, to which the file is attached while there are any: making one anew takes ten times as long.
    """
    file = path.resolve()  # one under another name, by a link, is the same file
    con = patiently(lambda: joined(file), path, deadline_seconds)
    try:
        con.execute(f"use {name_of(file)}")
        FILES[con] = file
        yield con
    finally:
        con.close()
        leave(file)


@contextmanager
def kept_open() -> Iterator[None]:
    """What this thread reads with `seeing` inside the block is opened once and stays open until the block ends, or until `let_go`.

    Writers wait meanwhile, so it is for short work that reads many times: the drawing of a page, or of a part by itself.
    """
    if HELD.get() is not None:  # the page does that
        yield
        return
    token = HELD.set({})
    try:
        yield
    finally:
        let_go()
        HELD.reset(token)


def let_go() -> None:
    """Close what this thread keeps open: before it writes, or waits for anybody who may."""
    held = HELD.get() or {}
    while held:
        held.popitem()[1][1].close()


def joined(path: Path) -> Connection:
    with ONE_AT_A_TIME:
        if not readers[path]:
            file = str(path).replace("'", "''")
            instance().execute(f"attach '{file}' as {name_of(path)} (read_only)")
        readers[path] += 1
        return instance().cursor()


def leave(path: Path) -> None:
    with ONE_AT_A_TIME:
        readers[path] -= 1
        if not readers[path]:
            instance().execute(f"detach {name_of(path)}")


@cache
def instance() -> Connection:
    return duckdb.connect()


@cache
def name_of(path: Path) -> str:
    """What the file is called inside DuckDB: its place among those this process has read."""
    return f"cache_{name_of.cache_info().currsize}"


def patiently(opened: Callable[[], Opened], path: Path, deadline_seconds: float) -> Opened:
    """What `opened` returns, tried again while the file is busy. Raises StoreError."""
    refuse_folder(path)
    deadline = time.monotonic() + deadline_seconds
    while True:
        try:
            return opened()
        except duckdb.Error as error:
            if not any(words in str(error).lower() for words in BUSY):
                raise StoreError(f"{path} cannot be opened: {error}: {REMADE}") from None
            if time.monotonic() > deadline:
                raise StoreError(f"{path} was busy for {deadline_seconds:.0f} s: {error}") from None
            time.sleep(random.uniform(0.01, 0.2))


def refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise StoreError(f"{path} is a folder, expected the database's file: move it away, and the database is made anew")
