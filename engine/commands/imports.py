"""The commands that bring data in: preference pairs, and results made elsewhere."""

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.errors import PrefscopeError
from engine.plain import printable, say
from engine.store.damage import damaged
from engine.store.rundir import cache_path


def add(command: Callable[[str, Any, str], argparse.ArgumentParser]) -> None:
    """The commands `formats`, `import`, `sample`, `results` and `datasets`."""
    command("formats", formats, "list the formats of preference data that are recognised")
    data = command("import", import_data, "import preference pairs: SOURCE, or SPLIT=SOURCE several times")
    data.add_argument("sources", nargs="+", metavar="[SPLIT=]SOURCE", help="'starter', a file, a folder or a hub name")
    data.add_argument("--name", help="what to call the dataset (default: after the source)")
    data.add_argument("--format", help="one of `engine formats` (default: detected)")
    data.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the format, such as label=safer or question=my_column",
    )
    data.add_argument("--validation-share", type=float, default=0.1, help="share of the questions set aside when the source has no splits")
    data.add_argument("--seed", type=int, default=0, help="of that division")
    data.add_argument("--licence", help="kept with the dataset")
    data.add_argument("--strict", action="store_true", help="fail on the first record that is refused")
    answer = data.add_mutually_exclusive_group()
    answer.add_argument("--dry-run", action="store_true", help="say what would be kept of the first records and what not; import nothing")
    answer.add_argument("--json", action="store_true")
    first = command("sample", show_sample, "the first records of what could be imported, as JSON: SOURCE, or SPLIT=SOURCE several times")
    first.add_argument("sources", nargs="+", metavar="[SPLIT=]SOURCE")
    first.add_argument("--records", type=int, default=5, help="of each split")
    results = command("results", import_finished, "import results made elsewhere: results import FILE")
    results.add_argument("action", choices=["import"])
    results.add_argument("file", type=Path)
    results.add_argument("--name", help="what to call the import (default: after the file)")
    results.add_argument("--generator", nargs="+", action="extend", default=[], metavar="[FIELD=]NAME", help="whose answers these are")
    results.add_argument("--scorer", nargs="+", action="extend", default=[], metavar="[FIELD=]NAME", help="whose rewards these are")
    results.add_argument("--dataset", help="an imported dataset whose prompts these answers belong to")
    results.add_argument(
        "--map",
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN=FIELD",
        help="our column and the file's field, such as response=output",
    )
    results.add_argument("--json", action="store_true")
    imported = command("datasets", datasets, "list what was imported, or delete one: datasets delete DATASET")
    imported.add_argument("action", nargs="?", choices=["delete"])
    imported.add_argument("dataset", nargs="?")


def formats(options: argparse.Namespace) -> None:
    from engine.data.formats import FORMATS

    for name, made in FORMATS.items():
        say(f"{name:24} {made.description}")


def import_data(options: argparse.Namespace) -> None:
    from engine.data.datasets_io import import_dataset

    sources, format = sources_of(options.sources), by_key("--option", "KEY=VALUE", options.option)
    if options.dry_run:
        from engine.data.preview import as_text, check, sample

        return say(as_text(check(sample(sources), options.format, format, options.validation_share, options.seed)))
    first = sources if isinstance(sources, str) else next(iter(sources.values()))
    made = import_dataset(
        cache_path(), options.name or printable(Path(first).name.split(".")[0]), sources, format=options.format,
        options=format, validation_share=options.validation_share,
        seed=options.seed, strict=options.strict, licence=options.licence,
    )  # fmt: skip
    say(json.dumps(asdict(made), default=str) if options.json else made.describe())


def sources_of(words: list[str]) -> str | dict[str, str]:
    """One source, or {split: source}."""
    named = [re.fullmatch(r"\w+=.*", source, re.DOTALL) for source in words]
    if len(named) > 1 and not all(named):
        raise PrefscopeError("several sources need a split each: train=FILE validation=FILE")
    return by_key("source", "SPLIT=SOURCE", words) if named[0] else words[0]


def show_sample(options: argparse.Namespace) -> None:
    from engine.data.preview import as_json, sample

    say(as_json(sample(sources_of(options.sources), options.records)))


def by_key(option: str, expected: str, words: list[str]) -> dict[str, str]:
    """KEY=VALUE words as a dictionary. Raises PrefscopeError for a word that is none, and for a key that is given twice."""
    found: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if not key or not value:
            raise PrefscopeError(f"{option} is {word!r}, expected {expected}")
        if key in found:
            raise PrefscopeError(f"{option} {key}= is given twice, as {found[key]!r} and {value!r}: expected it once")
        found[key] = value
    return found


def import_finished(options: argparse.Namespace) -> None:
    from engine.data.results import import_results

    made = import_results(
        cache_path(), options.file, name=options.name, generator=one_or_several("--generator", options.generator),
        scorer=one_or_several("--scorer", options.scorer),
        dataset=options.dataset, mapping=by_key("--map", "COLUMN=FIELD", options.map) or None,
    )  # fmt: skip
    say(json.dumps(asdict(made), default=str) if options.json else made.describe())


def one_or_several(option: str, names: list[str]) -> str | dict[str, str] | None:
    """Nothing, one name, or {name in the file: name}."""
    if len(names) == 1 and "=" not in names[0]:
        return names[0]
    return by_key(option, "one NAME, or FIELD=NAME for each", names) or None


def datasets(options: argparse.Namespace) -> None:
    """List what was imported, or delete one import."""
    from engine.data.datasets_io import imports
    from engine.queue.removal import delete_import

    if options.action and not options.dataset:
        raise PrefscopeError("datasets delete needs the id of a dataset")
    if options.action:
        delete_import(cache_path(), options.dataset)
        say(f"delete: {options.dataset}")
        return
    for dataset_id, splits in imports(cache_path()).items():
        say(f"{dataset_id:40} " + (", ".join(f"{count} {split}" for split, count in splits.items()) or "answers and rewards only"))
    for folder, why in damaged(cache_path(), "datasets", "results").items():
        say(f"{folder.name:40} damaged: {why}")
