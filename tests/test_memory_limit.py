"""Training under a memory limit, in a process of its own: the limit is the kernel's and the allocations that fail are real."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import executed, metrics, pairs, prepared, reward_config, trl_record

from engine.data.datasets_io import import_dataset
from engine.data.records import PreferencePair, Turn
from engine.store.rundir import RunDir
from engine.store.status import Reason

pytestmark = pytest.mark.slow
# Loads what a run loads, then does each run in a process of its own that is allowed so many bytes more.
PROGRAM = """
import os, sys, torch, peft, engine.kinds.reward
from pathlib import Path
from engine.machine import memory
from engine.store.progress import Progress
from engine.queue.run import execute
from engine.store.rundir import RunDir, write_json
cache = Path(sys.argv[1])
for run_id, room in zip(sys.argv[2::2], sys.argv[3::2]):
    child = os.fork()
    if not child:
        torch.set_num_threads(1)
        run = RunDir(cache / "runs" / run_id)
        write_json(run.path / "config.json", {**run.config_values, "memory_gb": (memory.resident() + int(room)) / 1e9})
        execute(Progress(cache, run))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
LONG = "One thing after another, and then the next thing again. " * 30


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("limited") / "cache"


@pytest.fixture(scope="module")
def dataset(cache: Path) -> str:
    """Sixteen pairs of about 2,000 tokens each."""
    made = [
        PreferencePair((Turn("user", f"{p.turns[0].content} {i}"),), p.chosen + LONG, p.rejected + LONG) for i, p in enumerate(pairs(18))
    ]
    files = {}
    for split, part in (("train", made[:16]), ("validation", made[16:])):
        files[split] = str(cache.parent / f"long-{split}.jsonl")
        Path(files[split]).write_text("".join(json.dumps(trl_record(p)) + "\n" for p in part), encoding="utf-8")
    return import_dataset(cache, "long", files).dataset_id


@pytest.fixture(scope="module")
def limited(cache: Path, dataset: str, tiny_llama: Path) -> dict[str, RunDir]:
    """A run with room for a part of a step, the same told to fail, and one with room for not even one pair."""
    config = reward_config(dataset, tiny_llama, batch_size=16, forward_tokens=100_000, max_tokens=1024)
    told = config.model_copy(update={"on_oom": "fail"})
    asked = {"parts": (config, 220_000_000), "told": (told, 220_000_000), "one pair": (config, 4_000_000)}
    runs = {name: prepared(cache, config) for name, (config, _) in asked.items()}
    words = [word for name, run in runs.items() for word in (run.id, str(asked[name][1]))]
    subprocess.run([sys.executable, "-c", PROGRAM, str(cache), *words], check=True, capture_output=True, timeout=300)
    return runs


def test_a_step_that_does_not_fit_is_done_in_parts_with_the_same_result(
    cache: Path, dataset: str, tiny_llama: Path, limited: dict[str, RunDir]
) -> None:
    whole = executed(cache, reward_config(dataset, tiny_llama, batch_size=16, forward_tokens=100_000, max_tokens=1024))
    run = limited["parts"]
    assert run.status.error is None
    assert "out of memory with" in run.status.notes[-1]
    assert "batch size and result are unchanged" in run.status.notes[-1]
    assert run.status.forward_tokens is not None
    assert run.config_values["forward_tokens"] == 100_000
    for one, two in zip(metrics(whole), metrics(run), strict=True):
        assert two["values"] == pytest.approx(one["values"], abs=1e-3)


def test_a_run_told_to_fail_says_what_it_needs(limited: dict[str, RunDir]) -> None:
    run = limited["told"]
    assert run.status.state == "failed"
    assert str(run.status.sentence).startswith("did not fit: needs more than")
    assert "tokens in one forward pass" in str(run.status.error)


def test_one_pair_that_does_not_fit_ends_the_run_with_that_sentence(limited: dict[str, RunDir]) -> None:
    run = limited["one pair"]
    assert run.status.state == "failed"
    assert run.status.reason is Reason.DID_NOT_FIT


def test_a_run_killed_while_it_trained_goes_on_in_smaller_parts(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = prepared(cache, reward_config(dataset, tiny_llama, batch_size=8, forward_tokens=4096, max_tokens=1024))
    run.update(killed=True)
    from tiny import listening

    from engine.queue.run import execute

    execute(listening(cache, run))
    assert run.status.forward_tokens == 2048
    assert run.status.notes[-1].startswith("the run was killed while it trained, most likely for memory: from now on at most 2,048 tokens")
