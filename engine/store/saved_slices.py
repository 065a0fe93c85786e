"""Slices saved under a name: cache/slices/<hash of the name>.json. A damaged file is named, left out, and blocks no other."""

import hashlib
import json
from pathlib import Path

from engine.errors import ConfigError, DataError, PrefscopeError
from engine.plain import line
from engine.settings.slices import Slice, parse_slice
from engine.store.rundir import write_json

FORMAT = 1  # of a file
MOST_BYTES = 10_000_000  # of a file


def save(cache: Path, wanted: Slice, replace: bool = False) -> Path:
    """Keep a slice under its name. Raises DataError for a name that cannot be, and, unless it may `replace` it, for one that is taken."""
    name = wanted.name
    check_name(name, "the slice")
    taken = files(cache).get(name)
    if taken and not replace and read(taken) != wanted:
        raise DataError(f"a slice called {name!r} is there already: take another name, or delete it first")
    path = taken or cache / "slices" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
    write_json(path, {"format": FORMAT, "slice": wanted.as_values()})
    return path


def saved(cache: Path) -> list[Slice]:
    """Every saved slice that can be read, by name."""
    return [read(path) for _, path in sorted(files(cache).items())]


def named(cache: Path, name: str) -> Slice:
    """The slice of this name. Raises DataError naming those that there are."""
    return read(file_of(cache, name))


def slice_from(cache: Path, text: str) -> Slice:
    """A saved slice by its name, or one written as JSON. Raises ConfigError or DataError."""
    return parse_slice(text) if text.lstrip().startswith("{") else named(cache, text)


def rename(cache: Path, name: str, new: str) -> None:
    """Raises DataError when there is none of this name, or already one of the new name."""
    old = file_of(cache, name)
    if new != name:
        save(cache, read(old).model_copy(update={"name": new}))
        old.unlink(missing_ok=True)


def delete(cache: Path, name: str) -> None:
    """Remove a saved slice by its name, or a damaged file by the file's. Raises DataError when there is neither."""
    broken = {path.name: path for path in damaged_slices(cache)}
    (broken[name] if name in broken else file_of(cache, name)).unlink(missing_ok=True)


def damaged_slices(cache: Path) -> dict[Path, str]:
    """{file: what is wrong with it} of those that cannot be read."""
    found = {}
    for path in paths(cache):
        try:
            read(path)
        except PrefscopeError as error:
            found[path] = str(error)
    return found


def files(cache: Path) -> dict[str, Path]:
    """{name: file} of all that can be read."""
    broken = damaged_slices(cache)
    return {read(path).name: path for path in paths(cache) if path not in broken}


def check_name(name: str, where: str) -> None:
    """Raises DataError for a name that is empty, not on one line, or would be taken for JSON."""
    if not name or line(name) != name or name.startswith("{"):
        raise DataError(f"{where} is called {name!r:.80}, expected a name on one line that does not begin with {{")


def paths(cache: Path) -> list[Path]:
    return sorted((cache / "slices").glob("[!.]*.json"))


def file_of(cache: Path, name: str) -> Path:
    known = files(cache)
    if name not in known:
        there = ", ".join(sorted(known)) or "(none is saved yet)"
        raise DataError(f"slice {name!r:.80} not found in the cache, expected one of {there}")
    return known[name]


def read(path: Path) -> Slice:
    """Raises DataError in one sentence that names the file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes, expected {MOST_BYTES:,} at most")
        values = json.loads(path.read_bytes())
        if not isinstance(values, dict) or not isinstance(values.get("format"), int) or not isinstance(values.get("slice"), dict):
            raise DataError(f"{path} has no format number and slice, expected a JSON object with both")
        if values["format"] > FORMAT:
            raise DataError(f"{path} is of format {values['format']}, which a later version wrote: this one reads {FORMAT}")
        found = parse_slice(json.dumps(values["slice"]))
        check_name(found.name, f"the slice in {path}")
        return found
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
