"""Parquet and Arrow, batch by batch; every batch is checked whole, since a damaged one would crash the process when it is read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.data.files import MAX_BYTES, MAX_RECORDS, Raw, require_file
from engine.errors import DataError
from engine.plain import printable

ROWS = 1_000  # read at a time
SUFFIXES = (".parquet", ".arrow", ".feather")


def arrow_records(path: Path) -> Iterator[Raw]:
    """The rows of a file. Raises DataError when it is damaged, too large, or names a column twice."""
    from pyarrow import ArrowException  # here and below, because importing it takes half a second

    require_file(path)
    name, read = printable(path), 0
    try:
        for batch in parquet_batches(path) if path.suffix.lower() == ".parquet" else arrow_batches(path):
            batch.validate(full=True)
            if twice := {c for c in batch.schema.names if batch.schema.names.count(c) > 1}:
                raise DataError(f"file {name} names the column {min(twice)!r:.60} twice, expected each once")
            for line, record in enumerate(batch.to_pylist(), read + 1):
                yield Raw(name, line, record)
            read += batch.num_rows
    except (OSError, ValueError, ArrowException) as error:
        raise DataError(f"file {name} cannot be read: {error}") from None


def parquet_batches(path: Path) -> Iterator[Any]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        about = file.metadata
        unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        if about.num_rows > MAX_RECORDS or unpacked > MAX_BYTES:
            found = f"has {about.num_rows:,} rows of {unpacked / 2**20:,.0f} MiB"
            raise DataError(f"file {printable(path)} {found}, expected at most {MAX_RECORDS:,} of {MAX_BYTES >> 20:,} MiB")
        yield from file.iter_batches(ROWS)


def arrow_batches(path: Path) -> Iterator[Any]:
    """`datasets` writes Arrow as a stream, others as a file that begins with ARROW1."""
    from pyarrow import ipc, memory_map

    with memory_map(str(path)) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        if is_file:
            file = ipc.open_file(source)
            yield from (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            yield from ipc.open_stream(source)
