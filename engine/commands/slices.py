"""The command that lists saved slices and deletes one."""

import argparse
from collections.abc import Callable
from typing import Any

from engine.errors import PrefscopeError
from engine.plain import say
from engine.store.rundir import cache_path


def add(command: Callable[[str, Any, str], argparse.ArgumentParser]) -> None:
    """The command `slices`."""
    saved = command("slices", slices, "list the saved slices with their pairs, or delete one: slices delete NAME")
    saved.add_argument("action", nargs="?", choices=["delete"])
    saved.add_argument("slice", nargs="?")


def slices(options: argparse.Namespace) -> None:
    """List the saved slices, or delete one."""
    from engine.store.database import reading
    from engine.store.saved_slices import damaged_slices, delete, saved
    from engine.store.slices import counts, described

    cache = cache_path()
    if options.action:
        if not options.slice:
            raise PrefscopeError("slices delete needs the name of a slice")
        delete(cache, options.slice)
        say(f"delete: {options.slice}")
        return
    with reading(cache) as con:
        for wanted in saved(cache):
            try:
                words = described(con, wanted)
            except PrefscopeError as error:
                say(f"{wanted.name}: {error}")
                continue
            parts = ", ".join(f"{pairs:,} of {of:,} {split}" for split, (pairs, of) in counts(con, wanted).items())
            say(f"{words} ({wanted.dataset_id}): {parts}")
    for path, why in damaged_slices(cache).items():
        say(f"{path.name}: damaged: {why}")
