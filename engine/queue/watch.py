"""Progress of queued runs in a terminal: one bar per stage, until the last has ended."""

import sys
import time
from pathlib import Path

from tqdm import tqdm

from engine.plain import line, say
from engine.queue import jobs
from engine.store.rundir import find_run
from engine.store.status import ENDED, State


def watch(cache: Path, run_ids: list[str]) -> int:
    """Show each run's stages as they pass; 0 when all are done, 1 when one is not."""
    failed = False
    seconds = 0.5 if sys.stderr.isatty() else 60  # a log file gets a line a minute
    for number, run_id in enumerate(run_ids, 1):
        run = find_run(cache, run_id)
        label = f"[{number}/{len(run_ids)}] {line(run.outline.name)}"
        bar: tqdm | None = None
        while (status := run.status).state not in ENDED:
            stage = line(f"{label}: {status.stage}")
            if status.stage and (bar is None or bar.desc != stage):
                if bar is not None:
                    bar.close()
                unit = f" {line(status.unit)}"
                bar = tqdm(desc=stage, unit=unit, file=sys.stderr, dynamic_ncols=True, mininterval=seconds)
            if bar is not None:
                bar.total = status.steps or None
                bar.update(status.step - bar.n)
            jobs.start_next(cache)
            time.sleep(0.5)
        if bar is not None:
            bar.n = bar.total or bar.n
            bar.close()
        why = f": {status.sentence}" if status.error else ""
        say(f"{label}: {status.state}{why}", sys.stderr)
        failed |= status.state is not State.DONE
    return int(failed)
