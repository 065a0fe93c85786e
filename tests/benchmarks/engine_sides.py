"""Our side: whole runs of the engine, in a fresh cache, with the clock in the progress that a run reports to."""

import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from engine.queue.jobs import new_run_id
from engine.queue.run import execute
from engine.settings.config import GenerateConfig, PolicyConfig, RewardConfig, RunConfig, ScoreConfig, TrainConfig, parse
from engine.store import rundir
from engine.store.metrics import complete_lines
from engine.store.progress import Progress
from engine.store.rundir import RunDir
from engine.store.status import State, Status

from .measure import Measured, Task, from_steps

REWARD_RUN = "benchmarked"
NEVER = 10**6  # steps


@dataclass
class Timed(Progress):
    """When each stage began, and when it last said that something was done."""

    stages: list[list[Any]] = field(default_factory=list)  # [name, began, last]

    def stage(self, name: str, steps: int = 0, unit: str = "steps", first: int = 0) -> None:
        super().stage(name, steps, unit, first)
        self.stages.append([name, time.perf_counter(), None])

    def advance(self, step: int, steps: int) -> None:
        self.stages[-1][2] = time.perf_counter()
        super().advance(step, steps)

    def seconds(self, stage: str) -> float:
        """How long a stage worked. Raises RuntimeError when there was none."""
        found = [last - began for name, began, last in self.stages if name == stage and last]
        if not found:
            raise RuntimeError(f"there was no stage {stage!r}, only {[name for name, *_ in self.stages]}")
        return float(sum(found))


def fresh_cache(task: Task) -> Path:
    """A cache with the workload's dataset and nothing else, so that nothing is found that an earlier measurement left."""
    cache = Path(tempfile.mkdtemp(prefix="cache-"))
    shutil.copytree(Path(task.work) / "cache" / "datasets", cache / "datasets")
    os.environ["PREFSCOPE_CACHE"] = str(cache)
    return cache


def executed(cache: Path, config: RunConfig) -> Timed:
    """The run, done. Raises RuntimeError with its sentence when it failed."""
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    asked = parse(config.model_dump(mode="json"))
    progress = Timed(cache, RunDir(cache / "runs" / new_run_id(asked.kind, asked.name)))
    progress.run.write_config(asked)
    progress.run.write_status(Status(submitted_at=rundir.now()))
    if execute(progress) != "done":
        raise RuntimeError(progress.run.written_status.error)
    return progress


def peak_of(progress: Timed) -> int:
    """The highest of the run's stages: each stage measures its peak anew, so the process's own says nothing of the earlier ones."""
    return progress.run.written_status.peak_bytes or 0


def dataset_of(task: Task) -> str:
    return next((Path(task.work) / "cache" / "datasets").iterdir()).name


def training(task: Task, kind: type[TrainConfig], model: str, **more: Any) -> Timed:
    """A run over the split, each pair once; twice when it is a check, so that the second loss tells of the first update."""
    config = kind.model_validate(
        {
            "name": "bench",
            "dataset": dataset_of(task),
            "model": str(Path(task.models) / model),
            "train_split": task.split,
            "validation_splits": (),
            **more,
            "batch_size": task.batch_size,
            "epochs": 2 if task.split == "train_check" else 1,
            "max_tokens": task.max_tokens,
            "seed": task.seed,
            "warmup": 0,
            "learning_rate": task.settings["learning_rate"],
            "precision": task.settings["precision"],
            "compile": task.settings["compile"],
            "checkpoint_every": NEVER,
        }
    )
    return executed(fresh_cache(task), config)


def steps_of(progress: Timed, task: Task, reference_seconds: float = 0.0, warmup_seconds: float = 0.0) -> Measured:
    """The run's own clock and tokens, step by step, and its first losses; beside them, what the reference took."""
    lines = [x for x in map(json.loads, complete_lines(progress.run.metrics_path)) if x["split"] == "train"]
    totals = [(0.0, 0), *((x["seconds"], x["tokens"]) for x in lines)]
    seconds = [b[0] - a[0] for a, b in pairwise(totals)]
    tokens = [b[1] - a[1] for a, b in pairwise(totals)]
    checks = {f"loss {i + 1}": x["values"]["loss"] for i, x in enumerate(lines[:2])}
    checks |= {k: lines[0]["values"][k] for k in ("logps/chosen", "logps/rejected") if k in lines[0]["values"]}
    found = from_steps(seconds, tokens, 0 if task.split == "train_check" else task.warmup, task.batch_size)
    found["seconds"] += reference_seconds * found["tokens"] / sum(tokens)
    found["warmup_seconds"] += warmup_seconds
    about = {"notes": progress.run.written_status.notes}
    return Measured(**found, peak_bytes=peak_of(progress), checks=checks, about=about)


def reward(task: Task) -> Measured:
    return steps_of(training(task, RewardConfig, "reward"), task)


def dpo(task: Task) -> Measured:
    """The reference pass over all pairs counts in proportion to the timed ones.

    Compiled, it is warmed up by the one over the pairs of the check, which are then validated in the same precision.
    """
    warms_up = task.settings["compile"] != "off" and task.split != "train_check"
    more = {"validation_splits": ("train_check",), "score_precision": task.settings["precision"]} if warms_up else {}
    progress = training(task, PolicyConfig, "policy", **more)
    warmup = progress.seconds("reference on train_check") if warms_up else 0.0
    return steps_of(progress, task, progress.seconds(f"reference on {task.split}"), warmup)


def scoring(task: Task) -> Measured:
    """A score run over a done reward run; it scores under the model and under its untrained twin, which is the same work twice.

    The second is timed; what the first took beyond it is the warm-up.
    """
    cache, dataset = fresh_cache(task), dataset_of(task)
    model = Path(task.models) / "reward"
    config = RewardConfig(
        name="bench", dataset=dataset, model=str(model), max_tokens=task.max_tokens, seed=task.seed,
        score_precision=task.settings["precision"], compile=task.settings["compile"],
    )  # fmt: skip
    run = RunDir(cache / "runs" / REWARD_RUN)
    run.write_config(config)
    run.write_status(Status(state=State.DONE))
    (run.path / "model").symlink_to(model)
    progress = executed(cache, ScoreConfig(name="bench", dataset=dataset, reward_models=(REWARD_RUN,), splits=(task.split,)))
    rewards, scorers = progress.run.table("rewards"), progress.run.table("scorers")
    assert rewards is not None
    assert scorers is not None
    found = {(p, t): r for s, p, t, r in rewards.select("scorer_id", "prompt_id", "text_id", "reward").iter_rows()}
    tokens = sum(pair["tokens"] for pair in json.loads((Path(task.work) / "encoded.json").read_text())[task.split])
    first, second = (progress.seconds(f"scoring with “{name}”") for name in (f"untrained (seed {task.seed})", "bench"))
    return Measured(
        units=rewards.height / 2,
        tokens=tokens,
        seconds=second,
        warmup_seconds=max(first - second, 0.0),
        peak_bytes=peak_of(progress),
        values=[found[key] for key in answer_keys(cache, dataset, task.split)],
    )


def answer_keys(cache: Path, dataset: str, split: str) -> list[tuple[str, str]]:
    """(prompt, text) of chosen and rejected by turns."""
    from engine.data.datasets_io import load_pairs
    from engine.kinds.score import answers_of

    return [a.key for a in answers_of(load_pairs(cache, dataset, split))]


def generation(task: Task) -> Measured:
    """Greedy answers; in the order of the prompts."""
    cache, dataset = fresh_cache(task), dataset_of(task)
    config = GenerateConfig(
        name="bench", dataset=dataset, policy=str(Path(task.models) / task.settings["model"]), split="train_prompts",
        max_new_tokens=task.settings["max_new_tokens"], max_tokens=task.max_tokens, precision=task.settings["precision"],
    )  # fmt: skip
    progress = executed(cache, config)
    rows, texts = progress.run.table("generations"), progress.run.table("texts")
    assert rows is not None
    assert texts is not None
    text = dict(texts.select("text_id", "text").iter_rows())
    answer = {p: text[t] for p, t in rows.select("prompt_id", "text_id").iter_rows()}
    tokens = int(rows["tokens"].sum())
    values = [answer[key] for key in dict.fromkeys(p for p, _ in answer_keys(cache, dataset, "train_prompts"))]
    return Measured(tokens, tokens, progress.seconds("answering"), peak_bytes=peak_of(progress), values=values)
