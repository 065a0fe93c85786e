"""What this machine can do at most, what it is, and how much memory a process took."""

import platform
import resource
import statistics
import time
from pathlib import Path

import psutil
import torch
from torch import nn

from engine.model import networks
from engine.queue.run import described_device, versions
from engine.store.rundir import cache_path

from .measure import Measured, Task

ROWS = 1024  # tokens in the matrix products that the limit is measured with


def limit(task: Task) -> Measured:
    """FLOP/s of this machine in the matrix products of one layer's linear maps, forward and backward, and what the machine is.

    A product (m, k) · (k, n) is 2mkn FLOP; forward Y = X Wᵀ, backward dX = dY W and dW = dYᵀ X.
    """
    device = networks.best_device("auto")
    network = networks.load_policy(cache_path(), str(Path(task.models) / "policy"), "sdpa")
    layers = networks.decoder_layers(network)
    shapes = [tuple(m.weight.shape) for m in layers[0].modules() if isinstance(m, nn.Linear)]
    linear = sum(m.weight.numel() for layer in layers for m in layer.modules() if isinstance(m, nn.Linear))
    del network, layers
    precision = networks.best_precision("auto", device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    seconds = sum(statistics.median(products(out, into, dtype, device) for _ in range(10)) for out, into in shapes)
    flops = 6 * ROWS * sum(out * into for out, into in shapes)
    machine = {"machine": described_device("auto"), "processor": processor(), "precision": precision, "memory_gb": memory_gb()}
    about = {**machine, "versions": versions(), "linear_parameters": linear, "flop_per_second": flops / seconds}
    return Measured(ROWS, ROWS, seconds, about=about)


def products(out: int, into: int, dtype: torch.dtype, device: str) -> float:
    x, w, dy = (torch.randn(shape, device=device).to(dtype) for shape in ((ROWS, into), (out, into), (ROWS, out)))
    settle()
    began = time.perf_counter()
    torch.mm(x, w.T), torch.mm(dy, w), torch.mm(dy.T, x)
    settle()
    return time.perf_counter() - began


def settle() -> None:
    """Wait for the GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def memory_gb() -> float:
    return round(float(psutil.virtual_memory().total) / 1e9, 1)


def peak_bytes() -> int:
    """Of this process so far: resident memory, or device memory on CUDA."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
