"""The command that lists saved slices, keeps one, and deletes one."""

import argparse
from collections.abc import Callable
from typing import Any

from engine.errors import PrefscopeError
from engine.plain import say
from engine.store.rundir import cache_path


def add(command: Callable[[str, Any, str], argparse.ArgumentParser]) -> None:
    """The command `slices`."""
    saved = command("slices", slices, "list the saved slices with their pairs, or act on one: slices save JSON, slices delete NAME")
    saved.add_argument("action", nargs="?", choices=["save", "delete"])
    saved.add_argument("slice", nargs="?")


def slices(options: argparse.Namespace) -> None:
    """List the saved slices, keep one that is written as JSON, or delete one."""
    from engine.settings.slices import parse_slice
    from engine.store.database import reading
    from engine.store.saved_slices import damaged_slices, delete, save, saved
    from engine.store.slices import counts, described

    cache = cache_path()
    if options.action and not options.slice:
        raise PrefscopeError(f"slices {options.action} needs {'a slice as JSON' if options.action == 'save' else 'the name of a slice'}")
    if options.action == "delete":
        delete(cache, options.slice)
        say(f"delete: {options.slice}")
        return
    with reading(cache) as con:
        if options.action == "save":
            wanted = parse_slice(options.slice)
            words = described(con, wanted)
            save(cache, wanted)
            say(f"saved: {words}")
            return
        for wanted in saved(cache):
            try:
                words = described(con, wanted)
            except PrefscopeError as error:
                say(error)
                continue
            parts = ", ".join(f"{pairs:,} of {of:,} {split}" for split, (pairs, of) in counts(con, wanted).items())
            say(f"{words} ({wanted.dataset_id}): {parts}")
    for path, why in damaged_slices(cache).items():
        say(f"{path.name}: damaged: {why}")
