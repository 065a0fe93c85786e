"""Memory is measured by stage, read from where the tightest limit is, and a run that outgrows its limit gets an exception."""

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import executed, listening, prepared, reward_config, toy_dataset

from engine.kinds.loop import Task, fit
from engine.machine import memory
from engine.queue.run import unforeseen
from engine.store import database
from engine.store.status import Reason

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
MB = 2**20


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"memory.{name}").write_text(content)


def in_child(program: str) -> str:
    """What a process of its own prints; RLIMIT_DATA of this one stays as it is."""
    call = [sys.executable, "-c", f"from engine.machine import memory\n{program}"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Kills


@pytest.mark.parametrize(("vmstat", "before", "expected"), [
    ("pgfault 1\noom_kill 3\n", 3, False),
    ("pgfault 1\noom_kill 3\n", 2, True),
    ("pgfault 1\noom_kill 3\n", None, True),
    ("pgfault 1\n", 3, True),
    ("oom_kill 0\n", 3, False),
], ids=["no kill since", "one since", "not known then", "not known now", "started anew since"])  # fmt: skip
def test_a_kill_is_for_want_of_memory_only_where_the_system_may_have_done_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vmstat: str, before: int | None, expected: bool
) -> None:
    (tmp_path / "vmstat").write_text(vmstat)
    monkeypatch.setattr(memory, "VMSTAT", tmp_path / "vmstat")
    assert memory.may_have_killed(before) is expected


# Free memory


def test_free_memory_is_at_most_what_the_machine_has() -> None:
    found = memory.free()
    assert found is not None
    assert (
        0
        < found
        < int(next(x for x in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines() if x.startswith("MemTotal")).split()[1]) * 1024
    )


def test_room_is_that_of_the_tightest_control_group(tmp_path: Path) -> None:
    """Version 2: the job may have 1000 and uses 700, 200 of it file pages nobody touched: 500. Its parent has 800 − 450 = 350 left."""
    (tmp_path / "cgroup").write_text("0::/user/job\n")
    group(tmp_path / "fs" / "user", max="800\n", current="450\n", stat="anon 450\ninactive_file 0\n")
    group(tmp_path / "fs" / "user" / "job", max="1000\n", current="700\n", stat="anon 500\ninactive_file 200\n")
    assert memory.cgroup_room(tmp_path / "cgroup", tmp_path / "fs") == 350
    group(tmp_path / "fs" / "user", max="max\n")
    assert memory.cgroup_room(tmp_path / "cgroup", tmp_path / "fs") == 500


def test_room_is_read_from_version_1_groups_too(tmp_path: Path) -> None:
    """4096 may be used, 1096 are, 96 of them inactive file pages: 3096 are left. The root's near-2^63 means no limit."""
    (tmp_path / "cgroup").write_text("5:cpu,cpuacct:/box\n4:memory:/box\n0::/\n")
    group(tmp_path / "fs" / "memory", limit_in_bytes="9223372036854771712", usage_in_bytes="5", stat="total_inactive_file 0")
    group(tmp_path / "fs" / "memory" / "box", limit_in_bytes="4096", usage_in_bytes="1096", stat="total_inactive_file 96\n")
    assert memory.cgroup_room(tmp_path / "cgroup", tmp_path / "fs") == 3096


def test_no_control_group_is_no_limit(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("4:memory:/elsewhere\n0::/\n")
    assert memory.cgroup_room(tmp_path / "cgroup", tmp_path / "fs") is None
    assert memory.cgroup_room(tmp_path / "absent", tmp_path / "fs") is None


def test_free_memory_of_a_gpu_is_unknown_without_torch() -> None:
    assert in_child("import sys; print(memory.free('cuda'), 'torch' in sys.modules)") == "None False\n"


# Peaks


def test_peak_is_measured_anew_after_a_mark() -> None:
    """300 MB come and go; after the mark they no longer count, and 100 MB do."""
    program = """
        first = memory.resident()
        held = b'x' * (300 * 2**20)
        del held
        before = memory.peak() - first
        memory.mark()
        least = memory.peak() - first
        held = b'x' * (100 * 2**20)
        print(before // 2**20, least // 2**20, (memory.peak() - first) // 2**20)
    """
    before, least, after = map(int, in_child("\n".join(line.strip() for line in program.splitlines())).split())
    assert 295 <= before <= 320
    assert least <= 20
    assert 95 <= after <= 130


def test_run_records_the_peak_of_every_stage(tmp_path: Path, tiny_llama: Path) -> None:
    """Evaluations after steps 1, 2 and 3 are one stage; the run's peak is that of its highest stage, and it is in the database."""
    cache = tmp_path / "cache"
    run = executed(cache, reward_config(toy_dataset(cache), tiny_llama, evaluate_every=1), recorded=True)
    status = run.status
    assert status.error is None
    stages = ["loading the model", "tokenising", "scoring validation before training", "training", "scoring validation", "saving the model"]
    assert list(status.stage_peaks) == stages
    assert all(100 * MB < peak < 20_000 * MB for peak in status.stage_peaks.values())
    assert status.peak_bytes == max(status.stage_peaks.values())
    with database.reading(cache) as con:
        assert con.execute("select cast(stage_peaks ->> 'training' as bigint), peak_bytes from runs").fetchone() == (
            status.stage_peaks["training"],
            status.peak_bytes,
        )


def test_repeated_stage_keeps_its_highest_peak(tmp_path: Path) -> None:
    progress = listening(tmp_path, prepared(tmp_path, reward_config("d", "m")))
    progress.stage("working")
    first = memory.resident()
    held = b"x" * (200 * MB)
    progress.stage("resting")
    del held
    progress.stage("working")
    progress.stage("resting")
    peaks = progress.run.status.stage_peaks
    assert peaks["working"] >= first + 150 * MB
    assert peaks == {**peaks, **progress.stage_peaks(), "resting": peaks["resting"]}


# Limits


@pytest.mark.parametrize("grow", ["torch.ones(500_000_000)", "b'x' * 2_000_000_000"])
def test_process_that_outgrows_its_limit_gets_an_exception_and_goes_on(grow: str) -> None:
    """2 GB under a limit of 1 GB: torch raises its allocator's RuntimeError and Python MemoryError; 100 MB are still to be had."""
    program = f"""
import torch
memory.limit_memory(1_000_000_000)
try:
    {grow}
except Exception as error:
    print(memory.is_out_of_memory(error), memory.limit(), torch.ones(25_000_000).numel())
"""
    assert in_child(program) == "True 1000000000 25000000\n"


def test_process_without_a_limit_says_so() -> None:
    assert in_child("print(memory.limit())") == "None\n"


@pytest.mark.parametrize(
    ("error", "out"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of range"), False),
    ],
)
def test_lack_of_memory_is_told_from_other_errors(error: Exception, out: bool, tmp_path: Path) -> None:
    assert memory.is_out_of_memory(error) is out
    failure = unforeseen(error, prepared(tmp_path, reward_config("d", "m")))
    assert (failure.reason is Reason.DID_NOT_FIT, failure.error.startswith("needs more than ")) == (out, out)


def test_released_memory_goes_back_to_the_system() -> None:
    """20,000 pieces of 10 kB lie below the size from which the allocator maps memory by itself."""
    program = "held = [b'x' * 10_000 for _ in range(20_000)]; full = memory.resident(); held = None; memory.release()\n"
    assert int(in_child(f"{program}print((full - memory.resident()) // 10**6)")) > 150


# Garbage collection


class Cycle:
    """Refers to itself, so that only the garbage collector can free it."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def nothing_frozen() -> Iterator[None]:
    """As in a process of the engine; tests begin with what they loaded frozen (conftest.py)."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.mark.usefixtures("nothing_frozen")
def test_garbage_made_while_the_rest_is_frozen_is_collected() -> None:
    with memory.frozen():
        assert gc.get_freeze_count() > 10_000
        made = weakref.ref(Cycle())
        assert made() is not None
        memory.release()
        assert made() is None
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("nothing_frozen")
def test_training_does_not_look_through_what_was_loaded_at_every_collection(tmp_path: Path) -> None:
    net, frozen = torch.nn.Linear(2, 1), list[int]()
    progress = listening(tmp_path, prepared(tmp_path, reward_config("d", "m")))

    def loss(net: torch.nn.Module, part: list[int], of_batch: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        frozen.append(gc.get_freeze_count())
        return net(torch.ones(len(part), 2)).flatten(), {}

    task = Task(net, [{"params": [*net.parameters()], "lr": 0.1}], [1] * 12, loss, lambda step, seconds: None)
    fit(progress, reward_config("d", "m"), task, "cpu")
    assert len(frozen) == 3
    assert min(frozen) > 10_000
    assert gc.get_freeze_count() == 0
