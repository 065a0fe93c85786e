"""How much work a run is, before torch is loaded: its device, its processes, its steps, the tokens of one forward pass. Torch-free."""

import os
import re
from importlib.metadata import version
from pathlib import Path

from engine.errors import RunError
from engine.settings.config import RunConfig, TrainConfig

FORWARD_TOKENS = {"cpu": 1024, "cuda": 16384}  # packed tokens of one forward pass, where the configuration leaves it open
SCORING_TOKENS = {"cpu": 4096, "cuda": 16384}  # packed tokens of one forward pass without gradients
LOGIT_CHUNK = 512  # response tokens whose logits exist at once
# How long OpenMP's threads spin before they sleep when they wait for each other. Its default takes the processor from what else runs
# (a step then takes up to five times as long); none at all makes a step a third longer where nothing else does.
WAITING = {"GOMP_SPINCOUNT": "2000"}
NVIDIA = Path("/proc/driver/nvidia")
CPU_BUILD = re.compile(r"\+cpu")  # in torch's version


def steps_of(pairs: int, config: TrainConfig, processes: int = 1) -> int:
    """Optimiser steps of one epoch: floor(n / (batch × accumulation × processes)). Raises RunError when there is none."""
    need = config.batch_size * config.accumulation * processes
    if pairs < need:
        shared = f" × processes {processes}" if processes > 1 else ""
        raise RunError(
            f"split {config.train_split!r} has {pairs} training pair(s), and one optimiser step takes {need} "
            f"(batch {config.batch_size} × accumulation {config.accumulation}{shared}): lower the batch size or add pairs"
        )
    return pairs // need


def has_cuda() -> bool:
    """Whether there are a driver and a torch for a GPU."""
    return NVIDIA.exists() and not CPU_BUILD.search(version("torch"))


def expected_device(wanted: str) -> str:
    """The device a run will most likely get: cuda where it is asked for, or allowed and there are a driver and a torch for it."""
    return "cuda" if wanted == "cuda" or (wanted == "auto" and has_cuda()) else "cpu"


def expected_processes(config: RunConfig) -> int:
    """The processes a run will have: those configured, or one for each GPU that is visible, or one."""
    if config.processes or expected_device(config.device) == "cpu":
        return config.processes or 1
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = [d for d in listed.split(",") if d.strip()] if listed is not None else list((NVIDIA / "gpus").glob("*"))
    return max(len(visible), 1)


def expected_precision(wanted: str, device: str) -> str:
    """auto: bf16 on a GPU and on a processor that multiplies it, else fp32."""
    if wanted != "auto":
        return wanted
    processor = Path("/proc/cpuinfo")
    flags = processor.read_text(encoding="utf-8") if processor.is_file() else ""
    return "bf16" if device == "cuda" or any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16")) else "fp32"
