"""Delete runs, their weights, datasets, imported results and studies, unless something still depends on them. Torch-free."""

import shutil
from pathlib import Path

from engine.errors import RunError
from engine.queue.jobs import dependants, engine_call
from engine.store.rundir import RunDir, find_run, folder_of_run, is_locked, remove_folder, run_dirs
from engine.store.status import State


def delete(cache: Path, run_id: str) -> None:
    """Remove a run's folder, damaged or not, and its rows. Raises RunError while it runs or another run depends on it."""
    run = folder_of_run(cache, run_id)
    if is_locked(run.path / "lock"):
        raise RunError(f"run {run_id} is running: cancel it first")
    refuse_used(f"run {run_id}", dependants(cache, run_id))
    remove(cache, run.path)


def delete_import(cache: Path, import_id: str) -> None:
    """Remove a dataset or imported results, damaged or not, and their rows. Raises RunError while a run is about it."""
    folder = folder_called(cache, "dataset", import_id, "datasets", "results")
    refuse_used(f"dataset {import_id}", [run for run in run_dirs(cache) if run.outline.dataset == import_id])
    remove(cache, folder)


def delete_study(cache: Path, name: str) -> None:
    """Remove what a study declares, damaged or not; its runs stay, each on its own. Raises RunError when there is none of this name."""
    remove(cache, folder_called(cache, "study", name, "studies"))


def folder_called(cache: Path, what: str, name: str, *kinds: str) -> Path:
    """A folder below the cache, damaged or not, by its own name. Raises RunError."""
    for kind in kinds:
        for folder in (cache / kind).glob("[!.]*/"):
            if folder.name == name:
                return folder
    raise RunError(f"{what} {name!r} not found in the cache")


def refuse_used(what: str, users: list[RunDir]) -> None:
    if users:
        names = ", ".join(f"{run.id} ({run.outline.name})" for run in users)
        raise RunError(f"{what} is used by {names}: delete those first")


def remove(cache: Path, folder: Path) -> None:
    """Out of the cache, then out of the database."""
    remove_folder(folder)
    engine_call(["rebuild"], cache)


def free_weights(cache: Path, run_id: str) -> None:
    """Delete a run's model and checkpoints; its tables stay. Raises RunError while it runs or an unfinished run needs the model."""
    run = find_run(cache, run_id)
    if is_locked(run.path / "lock"):
        raise RunError(f"run {run_id} is running: cancel it first")
    waiting = [r.id for r in dependants(cache, run_id) if r.status.state is not State.DONE]
    if waiting:
        raise RunError(f"run {run_id} is needed by {', '.join(waiting)}, not finished yet")
    for name in ("model", "checkpoints"):
        shutil.rmtree(run.path / name, ignore_errors=True)
