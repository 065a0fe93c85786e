"""Prefscope and its anchors by turns, each measurement in a process of its own: `./run.sh bench` (--quick: only to see that it runs)."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.settings.config import EMBEDDED_MODEL
from engine.store.rundir import cache_path

from .measure import BudgetError, Measured, MeasurementError, Processes, Task, environment_of
from .plan import ANCHORS, STAGES, TABLES, Settings, Side, Stage, stages
from .results import Results, Row, rows_of, store, table
from .workloads import STARTER, Sizes, Workload, stated


def workload(text: str) -> Workload:
    """Raises argparse's own error."""
    try:
        return stated(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parsed() -> argparse.Namespace:
    top = argparse.ArgumentParser(prog="bench", description=__doc__)
    add = top.add_argument
    add("--quick", action="store_true", help="starter pairs, one repetition, two steps, not compiled: to see that it runs")
    add("--data", action="append", type=workload, default=[], metavar="NAME=FILE[:single|multi]", help="pairs of a file of your own")
    add("--anchor", choices=ANCHORS, help="training: only ours beside this one (default: beside all)")
    add("--no-starter", action="store_true", help="leave the starter pairs out")
    add("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    add("--repetitions", type=int, default=3, help="of every side, by turns; the median counts (default: %(default)s)")
    add("--steps", type=int, default=8, help="timed training steps (default: %(default)s)")
    add("--warmup", type=int, default=2, help="training steps before them (default: %(default)s)")
    add("--batch-size", type=int, default=8, help="pairs (default: %(default)s)")
    add("--max-tokens", type=int, default=512, help="of prompt and response (default: %(default)s)")
    add("--responses", type=int, default=256, help="to score (default: %(default)s)")
    add("--answers", type=int, default=128, help="to generate (default: %(default)s)")
    add("--longest", type=int, default=256, help="tokens of a real answer (default: %(default)s)")
    add("--table-pairs", type=int, default=30_430, help="pairs in the database of ingest and queries (default: %(default)s)")
    add("--model", default=EMBEDDED_MODEL, help="the embedded model, a folder or a hub name (default: %(default)s)")
    add("--compile", choices=("auto", "on", "off"), help="of our training (default: on with a C++ compiler and bf16, off otherwise)")
    add("--seed", type=int, default=0, help="of the choice of pairs (default: %(default)s)")
    add("--busy", action="store_true", help="the machine does other work: the anchors' threads do not spin either while they wait")
    add("--budget-minutes", type=float, help="start nothing after so many minutes, and end what is running then")
    found = top.parse_args()
    if found.quick:
        quick = {"repetitions": 1, "steps": 2, "warmup": 1, "responses": 16, "answers": 4, "longest": 16, "table_pairs": 60}
        top.set_defaults(**quick, compile="off")
        found = top.parse_args()
    if found.no_starter and not found.data:
        top.error("--no-starter needs --data")
    return found


@dataclass
class Bench:
    """One whole bench: its folder, its clock and what it has found."""

    options: argparse.Namespace
    folder: Path
    results: Results = field(default_factory=Results)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.processes = Processes(early=self.options.busy)

    def left(self) -> float | None:
        """Seconds of the budget, None when there is none. Raises BudgetError when it is used up."""
        if self.options.budget_minutes is None:
            return None
        seconds = self.options.budget_minutes * 60 - (time.monotonic() - self.began)
        if seconds <= 0:
            raise BudgetError("the time of --budget-minutes is over")
        return float(seconds)

    def task(self, call: str, workload: str, **changes: Any) -> Task:
        o = self.options
        sizes = {"batch_size": o.batch_size, "max_tokens": o.max_tokens, "warmup": o.warmup, "steps": o.steps, "seed": o.seed}
        return Task(call, str(self.folder / workload), str(self.folder / "models"), **{**sizes, **changes})

    def do(self, what: str, task: Task) -> Measured:
        """Raises MeasurementError."""
        began = time.monotonic()
        found = self.processes.measured(task, environment_of(task.call, self.options.busy), self.left())
        print(f"{what}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return found

    def prepare(self, workloads: list[Workload]) -> None:
        """Models, tokens and tables on disk. Raises MeasurementError."""
        o = self.options
        sizes = Sizes((o.warmup + o.steps) * o.batch_size, o.batch_size, o.responses // 2, o.answers)
        self.do("models", self.task("prepare:save_models", "models", settings={"model": o.model}))
        for w in workloads:
            (self.folder / w.name).mkdir()
            settings = {"name": w.name, "file": str(w.file), "part": w.part, "sizes": asdict(sizes)}
            self.do(f"tokens of {w.name}", self.task("prepare:encode", w.name, settings=settings))
        if {"ingest", "queries"} & set(o.stages):
            (self.folder / TABLES).mkdir()
            self.do("tables", self.task("table_sides:fill_tables", TABLES, settings={"pairs": o.table_pairs}))

    def tried(self, what: str, task: Task) -> Measured | None:
        """What was measured, or None after a sentence about why not. Raises BudgetError."""
        try:
            return self.do(what, task)
        except BudgetError:
            raise
        except MeasurementError as problem:
            self.problem(f"{what}: {problem}")
            return None

    def side(self, stage: Stage, workload: Workload, side: Side) -> None:
        split = "train_scored" if stage.name == "scoring" else "train"
        task = self.task(side.call, workload.name, settings={**side.settings, "file": str(workload.file)}, split=split)
        if found := self.tried(f"{stage.name}, {workload.name}, {side.name}", task):
            self.results.add(stage.name, workload.name, side.name, found)

    def check(self, stage: Stage, workload: Workload, precision: str) -> None:
        """One batch, twice, on both sides: the losses before and after the first update."""
        for side in stage.checked:
            task = self.task(side.call, workload.name, settings={**side.settings, "precision": precision}, split="train_check")
            if found := self.tried(f"{stage.name}, {workload.name}, {side.name}, losses in {precision}", task):
                self.results.checks[stage.name, workload.name, side.name, precision] = found.checks

    def problem(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)
        self.results.problems.append(sentence)

    def turn(self, stage: Stage, workload: Workload, precisions: set[str]) -> None:
        """Every side of a stage once; and, for each of the precisions, the losses. Raises BudgetError."""
        for side in stage.sides:
            self.side(stage, workload, side)
        for precision in sorted(precisions) if stage.checked else ():
            self.check(stage, workload, precision)

    def run(self, workloads: list[Workload]) -> tuple[dict[str, object], list[Row]]:
        """Repetition by repetition: a bench that ends early has something of everything. Raises MeasurementError when nothing began."""
        o, began = self.options, datetime.now(UTC)
        self.prepare(workloads)
        first = self.do("limit of matrix products", self.task("machine:limit", "models"))
        about, self.results.limits = first.about, [first]
        compiled = o.compile or ("on" if about["precision"] == "bf16" and shutil.which("g++") else "off")
        answers = {"longest": o.longest, "equal": min(96, o.longest)}
        settings = Settings(about["precision"], compiled, anchor=o.anchor, **answers)
        plan = [stages(settings)[name] for name in o.stages]
        precisions = {"fp32"} if o.quick else {"fp32", settings.precision}
        places = [(s, w) for s in plan for w in ([Workload(TABLES, self.folder)] if s.on_tables else workloads)]
        try:
            for repetition in range(o.repetitions):
                for stage, place in places:
                    self.turn(stage, place, precisions if repetition == 0 else set())
                if again := self.tried("limit of matrix products", self.task("machine:limit", "models")):
                    self.results.limits.append(again)
        except BudgetError as over:
            self.results.ended = f"{over}: repetition {repetition + 1} ended at {stage.name}, {place.name}"
        rows = [row for stage, place in places for row in rows_of(stage, place.name, self.results, o.batch_size)]
        chosen = {k: v for k, v in vars(o).items() if k != "data"} | {"compile": compiled, "workloads": [str(w) for w in workloads]}
        return {"began": began.isoformat(), "options": chosen, **about}, rows


def main() -> int:
    options = parsed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C does: the running process ends, the working folder goes
    target = cache_path() / "benchmarks"
    target.mkdir(parents=True, exist_ok=True)
    workloads = [*options.data] if options.no_starter else [STARTER, *options.data]
    with tempfile.TemporaryDirectory(dir=target, prefix=".working-") as folder:
        bench = Bench(options, Path(folder))
        try:
            about, rows = bench.run(workloads)
        except MeasurementError as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
        finally:
            bench.processes.end()
    path = target / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    store(path, about, rows, bench.results)
    print(f"{about['machine']} ({about['processor']}), {about['precision']}, median of {options.repetitions}, batch {options.batch_size}")
    print(table(rows), bench.results.ended, *bench.results.problems, f"stored in {path}", sep="\n")
    return 1 if bench.results.problems else 0


if __name__ == "__main__":
    sys.exit(main())
