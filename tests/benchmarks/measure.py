"""A thing to measure, the process of its own that does it, and what came out. Imports no torch, so that processes start small."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine import ROOT
from engine.machine.device_plan import WAITING


class MeasurementError(Exception):
    """A side's process failed; one sentence."""


class BudgetError(MeasurementError):
    """The time that the whole bench may take is over."""


@dataclass(frozen=True)
class Task:
    """One call of one side: everything its process needs to know."""

    call: str  # module:function of tests.benchmarks
    work: str  # folder of the workload
    models: str  # folder of the prepared models: policy, reward, endless
    settings: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 8  # pairs
    max_tokens: int = 512
    warmup: int = 2  # steps
    steps: int = 8  # timed steps
    split: str = "train"
    seed: int = 0


@dataclass(frozen=True)
class Measured:
    """What one call took."""

    units: float  # pairs, responses, answers, records or rows done in `seconds`
    tokens: int  # of those units, every prompt counted once and no padding
    seconds: float  # without loading the model and without `warmup_seconds`
    warmup_seconds: float = 0.0  # what the first steps took beyond their share: compiling, first allocations
    peak_bytes: int = 0  # resident, of the whole process; device memory on CUDA
    checks: dict[str, float] = field(default_factory=dict)  # losses by name
    values: list[Any] = field(default_factory=list)  # rewards or answers, to compare with the other side's
    about: dict[str, Any] = field(default_factory=dict)


def from_steps(seconds: Sequence[float], tokens: Sequence[int], warmup: int, batch_size: int) -> dict[str, Any]:
    """units, tokens, seconds and warmup_seconds of training steps, of which the first `warmup` are not timed.

    A side may meet short pairs in its warm-up and long ones later, so pairs are counted as tokens over the mean tokens of a pair.
    """
    timed, counted = sum(seconds[warmup:]), sum(tokens[warmup:])
    mean = sum(tokens) / (len(tokens) * batch_size)
    beyond = sum(seconds[:warmup]) - sum(tokens[:warmup]) * timed / counted
    return {"units": counted / mean, "tokens": counted, "seconds": timed, "warmup_seconds": max(beyond, 0.0)}


@dataclass
class Processes:
    """One process for each environment asked for, which imports the libraries once and forks for every task (child.py).

    With `early` the modules of the sides too; a later side then has those of an earlier one in its memory.
    """

    early: bool = False
    waiting: dict[tuple[tuple[str, str], ...], subprocess.Popen[str]] = field(default_factory=dict)

    def measured(self, task: Task, environment: dict[str, str], timeout_seconds: float | None) -> Measured:
        """Do the task in a fresh process, with a compile cache of its own. Raises MeasurementError, BudgetError."""
        with tempfile.TemporaryDirectory(dir=Path(task.models).parent, prefix="child-") as folder:
            asked, answer, log = (Path(folder) / name for name in ("task.json", "answer.json", "log.txt"))
            asked.write_text(json.dumps(asdict(task)))
            own = {"TORCHINDUCTOR_CACHE_DIR": str(Path(folder) / "compiled"), "TMPDIR": folder}
            question = {"asked": str(asked), "answer": str(answer), "log": str(log), "environment": own, "early": self.early}
            status = self.answered(environment, json.dumps(question), timeout_seconds)
            if status != "0" or not answer.is_file():
                said = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
                raise MeasurementError(f"{task.call} failed: {said[-1] if said else f'exit status {status}'}")
            return Measured(**json.loads(answer.read_text()))

    def answered(self, environment: dict[str, str], question: str, timeout_seconds: float | None) -> str:
        """The exit status in words; empty when the process that forks is gone."""
        key = tuple(sorted(environment.items()))
        process = self.waiting.get(key) or self.waiting.setdefault(key, started(environment))
        assert process.stdin is not None
        assert process.stdout is not None
        print(question, file=process.stdin, flush=True)
        if not select.select([process.stdout], [], [], timeout_seconds)[0]:
            raise BudgetError("the time of --budget-minutes is over")
        return process.stdout.readline().strip()

    def end(self) -> None:
        """End them all, with the task that is running."""
        for process in self.waiting.values():
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        self.waiting = {}


def started(environment: dict[str, str]) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, [str(ROOT / "tests"), os.environ.get("PYTHONPATH")]))
    own = {"PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.child"], cwd=ROOT, env={**os.environ, **own, **environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def environment_of(call: str, busy: bool) -> dict[str, str]:
    """Our runs wait as the engine's processes do; the others as their libraries' defaults have it, unless the machine is busy."""
    return dict(WAITING) if busy or call.startswith("engine_sides:") else {}
