"""Memory of this process and of its device: what is free, what was taken at most, and a limit. torch is used only where it is loaded."""

import ctypes
import gc
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

VMSTAT = Path("/proc/vmstat")
UNLIMITED = 2**62  # cgroup v1 writes "no limit" as a number near 2^63
SENTENCES = (
    "can't allocate memory",  # torch's CPU allocator
    "not enough memory",
    "Cannot allocate memory",
    "std::bad_alloc",
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def torch_on_cuda() -> Any:
    """torch when it is loaded and this process works on a GPU, else None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_initialized() else None


def free(device: str = "cpu") -> int | None:
    """Bytes that can still be taken: of the machine or of this process's control group, whichever has less, or of the GPU.

    None for a GPU while torch is not loaded.
    """
    if device == "cuda":
        torch = sys.modules.get("torch")
        return int(torch.cuda.mem_get_info()[0]) if torch is not None and torch.cuda.is_available() else None
    machine = int(psutil.virtual_memory().available)
    room = cgroup_room(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return machine if room is None else min(machine, room)


def cgroup_room(membership: Path, mount: Path) -> int | None:
    """Bytes left under the tightest memory limit of the control groups a process is in; None without a limit.

    membership: /proc/<pid>/cgroup, lines `id:controllers:path`, where version 2 names no controllers. A group's parents count too.
    """
    rooms: list[int] = []
    for line in membership.read_text(encoding="utf-8").splitlines() if membership.is_file() else []:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = mount / "memory" if controllers else mount
        folder = top / path.lstrip("/")
        groups = [g for g in (folder, *folder.parents) if g == top or top in g.parents]
        rooms += [room for g in groups if (room := group_room(g, version_1=bool(controllers))) is not None]
    return min(rooms, default=None)


def group_room(group: Path, version_1: bool) -> int | None:
    """A control group's limit less its use; file pages that nobody touched lately are given back when needed and do not count."""
    names = ("limit_in_bytes", "usage_in_bytes", "total_inactive_file") if version_1 else ("max", "current", "inactive_file")
    try:
        limit, use = ((group / f"memory.{name}").read_text(encoding="utf-8").strip() for name in names[:2])
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return None
    if limit == "max" or int(limit) >= UNLIMITED:
        return None
    return max(0, int(limit) - int(use) + int(stat.get(names[2], 0)))


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(psutil.Process().memory_info().rss)


def mark() -> None:
    """Begin to measure the peak anew. Where the system cannot, the peak stays that of the whole process."""
    torch = torch_on_cuda()
    if torch:
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # proc(5): resets VmHWM to the current resident set


def peak() -> int:
    """Most bytes since the last mark: allocated on the GPU where this process works on one, else resident."""
    torch = torch_on_cuda()
    return int(torch.cuda.max_memory_allocated()) if torch else resident_peak()


def resident_peak() -> int:
    """Most bytes resident at once since the last mark."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def limit() -> int | None:
    """Bytes this process may have: those of the GPU it works on, or the limit that was set; None when there is none."""
    torch = torch_on_cuda()
    if torch:
        return int(torch.cuda.get_device_properties(0).total_memory)
    soft = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def needs(most: int | None = None) -> str:
    """The beginning of the sentence for a run that ran out of memory, under a limit of `most` bytes or the machine's own."""
    limit_ = most or limit()
    return f"needs more than {peak() / 1e9:.1f} GB" + (f", the limit is {limit_ / 1e9:.1f} GB" if limit_ else "")


def oom_kills() -> int | None:
    """Processes this system has killed for want of memory since it started; None where it does not say (Linux 4.13 and later do)."""
    try:
        counters = dict(line.split() for line in VMSTAT.read_text(encoding="utf-8").splitlines())
        return int(counters["oom_kill"])
    except (OSError, KeyError, ValueError):
        return None


def may_have_killed(before: int | None) -> bool:
    """Whether the system killed a process for want of memory after it had killed `before`; True where it does not say."""
    now = oom_kills()
    return before is None or now is None or now > before


def limit_memory(most: int) -> None:
    """From now on an allocation that would take this process beyond `most` bytes fails, and the process is not killed for it.

    RLIMIT_DATA counts private writable memory (Linux 4.7 and later): what is resident and not read from files, and what is reserved.
    torch then raises RuntimeError "DefaultCPUAllocator: can't allocate memory", Python MemoryError.
    """
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


@contextmanager
def limited(most: int | None) -> Iterator[None]:
    """Inside, allocations fail that would take this process beyond `most` resident bytes; None: no limit.

    For the arithmetic alone: libraries that start threads or keep arenas of their own hang or die when they meet the limit.
    Raises MemoryError when memory ran out, whatever error said so.
    """
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    now = psutil.Process().memory_info()
    if most is not None:
        limit_memory(now.data + max(most - now.rss, 0))
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryError(str(error).strip()) from error
        raise
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def release() -> None:
    """Give back what nobody refers to any more, to the device and to the system."""
    gc.collect()
    torch = torch_on_cuda()
    if torch:
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    if trim is not None:
        trim(0)


@contextmanager
def frozen() -> Iterator[None]:
    """Inside, garbage collection passes over every object there is now.

    For long loops after a model and its data are loaded: looking through 415,000 objects took 0.55 s at every collection.
    What was frozen before stays frozen afterwards.
    """
    outermost = gc.get_freeze_count() == 0
    gc.collect()  # what is garbage by now would stay until the end
    gc.freeze()
    try:
        yield
    finally:
        if outermost:
            gc.unfreeze()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the device or in this process."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(sentence in str(error) for sentence in SENTENCES)
