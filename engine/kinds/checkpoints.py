"""Checkpoints of a training run: saved whole or not at all, and restored."""

import json
import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from engine.errors import RunError
from engine.machine import disk, processes
from engine.store.progress import Progress
from engine.store.rundir import RunDir, write_json

log = logging.getLogger("engine")


@dataclass
class Done:
    """What a run has done so far: what a checkpoint remembers besides weights and optimiser."""

    step: int = 0  # optimiser steps
    seconds: float = 0.0  # of training
    tokens: int = 0  # packed tokens trained on


def checkpoints(run: RunDir) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted((run.path / "checkpoints").glob("step-*"))


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def save_checkpoint(run: RunDir, net: nn.Module, optimizer: Any, done: Done, kept: int) -> None:
    """Trained weights, optimiser and counters under a temporary name, then renamed; the last `kept` stay.

    Raises RunError when the disk is full.
    """
    folder = run.path / "checkpoints" / f"step-{done.step:07d}"
    part = folder.with_name(f".{folder.name}.part")
    weights = {name: processes.whole(p.detach(), run.writes).contiguous() for name, p in trained(net)}
    state = optimizer.state_dict()
    state["state"] = {i: {k: processes.whole(v, run.writes) for k, v in of.items()} for i, of in state["state"].items()}
    if folder.is_dir() or not run.writes:
        return
    for left in folder.parent.glob(".*.part"):  # by a killed process; the run's lock says that there is no other
        shutil.rmtree(left, ignore_errors=True)
    numbers = sum(w.numel() for w in weights.values())
    disk.check_disk(run.path, disk.needs_disk(0, numbers, 1))
    part.mkdir(parents=True)
    try:
        save_file(weights, part / "weights.safetensors")
        torch.save(state, part / "optimizer.pt")
        write_json(part / "state.json", asdict(done))
    except Exception as error:  # safetensors and torch each raise their own kind when a write fails
        shutil.rmtree(part, ignore_errors=True)
        free = shutil.disk_usage(run.path).free
        raise RunError(
            f"the checkpoint of step {done.step} could not be saved ({error}); {free / 1e9:.1f} GB are free for the cache"
        ) from error
    part.replace(folder)
    log.info("checkpoint at step %d", done.step)
    for old in checkpoints(run)[:-kept]:
        shutil.rmtree(old)


def trained(net: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """What a checkpoint holds of a network: the parameters that are trained, a tied one once."""
    return [(name, p) for name, p in net.named_parameters() if p.requires_grad]


def restore(progress: Progress, net: nn.Module, optimizer: Any) -> Done:
    """Load the last whole checkpoint, when there is one. A damaged one is removed, with a note, and the one before it is taken."""
    for folder in reversed(checkpoints(progress.run)):
        try:
            saved, state, done = read_checkpoint(folder, net)
        except Exception as error:  # safetensors, pickle and JSON each raise their own kind
            progress.note(f"checkpoint {folder.name} is damaged and left out ({type(error).__name__}: {error})")
            if progress.run.writes:
                shutil.rmtree(folder, ignore_errors=True)
            continue
        with torch.no_grad():
            for name, parameter in trained(net):
                parameter.copy_(processes.like(saved[name].to(parameter.device), parameter))
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        state["state"] = {i: {k: processes.like(v, parameters[i]) for k, v in of.items()} for i, of in state["state"].items()}
        optimizer.load_state_dict(state)
        log.info("resumed from step %d", done.step)
        return done
    return Done()


def read_checkpoint(folder: Path, net: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, Any], Done]:
    """Weights, the optimiser's state and the counters. Raises some error when one of its files is damaged or of another network."""
    saved = load_file(folder / "weights.safetensors")
    for name, parameter in trained(net):
        if saved[name].shape != parameter.shape:
            raise ValueError(f"{name} has the shape {tuple(saved[name].shape)}, expected {tuple(parameter.shape)}")
    state = torch.load(folder / "optimizer.pt", weights_only=True)
    if set(state) != {"state", "param_groups"}:
        raise ValueError("optimizer.pt holds no optimiser's state")
    return saved, state, Done(**json.loads((folder / "state.json").read_text(encoding="utf-8")))
