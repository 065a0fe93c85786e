"""Delete runs and their weights, unless something still depends on them. Torch-free."""

import shutil
from pathlib import Path

from engine.errors import RunError
from engine.queue.jobs import dependants, engine_call
from engine.store.rundir import find_run, is_locked
from engine.store.status import State


def delete(cache: Path, run_id: str) -> None:
    """Remove a run's folder and its rows. Raises RunError while it runs or another run depends on it."""
    run = find_run(cache, run_id)
    if is_locked(run.path / "lock"):
        raise RunError(f"run {run_id} is running: cancel it first")
    used_by = [f"{r.id} ({r.outline.name})" for r in dependants(cache, run_id)]
    if used_by:
        raise RunError(f"run {run_id} is used by {', '.join(used_by)}: delete those first")
    gone = run.path.with_name(f".deleted-{run_id}")
    run.path.rename(gone)
    shutil.rmtree(gone)
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
