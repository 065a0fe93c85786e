"""Many queries one after the other, each of the rows that it is to see."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from engine.settings.slices import Slice
from engine.store.database import Connection, database_path, reading
from engine.store.opening import HELD, let_go
from engine.store.slices import file_of, seen, show_slice


@contextmanager
def seeing(cache: Path, wanted: Slice | None) -> Iterator[Connection]:
    """A connection that reads the database and sees the slice's rows alone; inside `kept_open` one for all who ask for the same rows.

    A file that was written or replaced since is opened again. Raises StoreError.
    """
    held, path = HELD.get(), database_path(cache)
    if held is None or not path.exists():
        with reading(cache) as con:
            show_slice(con, wanted)
            yield con
        return
    asked = file_of(path), wanted
    if any(opened[0] != asked[0] for opened in held):
        let_go()
    if asked not in held:
        with ExitStack() as closing:
            held[asked] = closing.enter_context(reading(cache)), closing.pop_all()
    con, _ = held[asked]
    if seen(con)[1] != (wanted and wanted.as_json()):  # new, or left so by a query that shows itself other slices
        show_slice(con, wanted)
    yield con
