"""One training loop, for reward models and policies."""

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_model, save_model
from torch import nn

from engine.batches import in_parts, training_order
from engine.config import TrainConfig
from engine.errors import RunError
from engine.progress import Cancelled, Progress
from engine.rundir import RunDir, write_json

log = logging.getLogger("engine")
KEPT_CHECKPOINTS = 2
FORWARD_TOKENS = {"cpu": 1024, "cuda": 16384}  # packed tokens of one forward pass, where the configuration leaves it open

Values = dict[str, torch.Tensor]  # per-pair values by metric name, each (B,)


@dataclass
class Done:
    """What a run has done so far: what a checkpoint remembers besides weights and optimiser."""

    step: int = 0  # optimiser steps
    seconds: float = 0.0  # of training
    tokens: int = 0  # packed tokens trained on


@dataclass
class Task:
    """What the loop trains: a network, its parameter groups (each with its highest learning rate), and a loss of pair indices."""

    net: nn.Module
    groups: list[dict[str, Any]]
    tokens: Sequence[int]  # packed tokens of each training pair
    loss: Callable[[nn.Module, list[int]], tuple[torch.Tensor, Values]]  # each pair's loss, (B,)
    evaluate: Callable[[int, float], None]  # (optimiser steps done, seconds trained)


def steps_of(pairs: int, config: TrainConfig, processes: int = 1) -> int:
    """Optimiser steps of one epoch: floor(n / (batch × accumulation × processes)). Raises RunError when there is none."""
    need = config.batch_size * config.accumulation * processes
    if pairs < need:
        raise RunError(
            f"split {config.train_split!r} has {pairs} training pair(s), and one optimiser step takes {need} "
            f"(batch {config.batch_size} × accumulation {config.accumulation}): lower the batch size or add pairs"
        )
    return pairs // need


def rate_at(step: int, steps: int, warmup: float) -> float:
    """Share of the highest learning rate at step 0, 1, …: a linear rise over the warm-up, then a half cosine to zero."""
    rise = math.ceil(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))


def fit(progress: Progress, config: TrainConfig, task: Task, device: str) -> None:
    """Train the task's network through all epochs, from the last checkpoint when there is one.

    Raises RunError when the loss is not finite, Cancelled after a checkpoint when the run was asked to stop.
    """
    accelerator = Accelerator(cpu=device == "cpu")
    optimizer = torch.optim.AdamW(task.groups, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=device == "cuda")
    highest = [group["lr"] for group in optimizer.param_groups]
    net, optimizer = accelerator.prepare(task.net, optimizer)
    per_epoch = steps_of(len(task.tokens), config, accelerator.num_processes)
    steps = per_epoch * config.epochs
    run = progress.run
    done = restore(run, task.net, optimizer)
    run.cut_metrics(done.step)
    forward_tokens = config.forward_tokens or FORWARD_TOKENS[device]
    order: list[list[int]] = []
    try:
        for step in range(done.step, steps):
            due = step == 0 or (config.evaluate_every and step % config.evaluate_every == 0)
            if due:
                task.evaluate(step, done.seconds)
            if due or not order:
                progress.stage("training", steps, first=step)
            began = time.monotonic()
            epoch, index = divmod(step, per_epoch)
            if index == 0 or not order:
                order = training_order(task.tokens, config.batch_size, config.seed, epoch)
            share = rate_at(step, steps, config.warmup)
            for group, rate in zip(optimizer.param_groups, highest, strict=True):
                group["lr"] = rate * share
            places = [
                (index * config.accumulation + k) * accelerator.num_processes + accelerator.process_index
                for k in range(config.accumulation)
            ]
            batches = [order[place] for place in places]
            parts = [part for batch in batches for part in in_parts(batch, task.tokens, forward_tokens)]
            measured = optimiser_step(accelerator, net, optimizer, parts, task.loss, config.max_grad_norm)
            if not all(math.isfinite(measured[name]) for name in ("loss", "grad_norm")):
                raise RunError(not_finite(run, step + 1))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            took = time.monotonic() - began
            done = Done(step + 1, done.seconds + took, done.tokens + sum(task.tokens[i] for batch in batches for i in batch))
            values = {
                **measured,
                "learning_rate": highest[0] * share,
                "epoch": done.step / per_epoch,
                "pairs_per_second": config.batch_size * config.accumulation * accelerator.num_processes / took,
            }
            run.append_metrics(done.step, "train", values, done.tokens, done.seconds)
            progress.advance(done.step, steps)
            if done.step % config.checkpoint_every == 0 and done.step < steps:
                save_checkpoint(run, task.net, optimizer, done)
        task.evaluate(steps, done.seconds)
    except Cancelled:
        if done.step:
            save_checkpoint(run, task.net, optimizer, done)
        raise


def optimiser_step(
    accelerator: Accelerator, net: nn.Module, optimizer: Any, parts: list[list[int]], loss: Any, max_norm: float
) -> dict[str, float]:
    """Gradients of one optimiser step, part by part, clipped; the mean of each value over the step's pairs, and the gradient's norm."""
    pairs = sum(map(len, parts))
    collected: list[Values] = []
    for k, part in enumerate(parts):
        with accelerator.no_sync(net) if k < len(parts) - 1 else nullcontext():
            losses, values = loss(net, part)
            accelerator.backward(losses.sum() / pairs)
        collected.append({"loss": losses.detach(), **values})
    means = {name: accelerator.gather(torch.cat([c[name] for c in collected])).float().mean().item() for name in collected[0]}
    return {**means, "grad_norm": float(accelerator.clip_grad_norm_(net.parameters(), max_norm))}


def not_finite(run: RunDir, step: int) -> str:
    kept = checkpoints(run)
    where = f"the last good checkpoint is step {step_of(kept[-1])}" if kept else "there is no checkpoint yet"
    return f"the loss or its gradient is not a finite number at step {step}: {where}. Lower the learning rate or use fp32"


def checkpoints(run: RunDir) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted((run.path / "checkpoints").glob("step-*"))


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def save_checkpoint(run: RunDir, net: nn.Module, optimizer: Any, done: Done) -> None:
    """Weights, optimiser and counters under a temporary name, then renamed; the last two stay. Raises RunError when the disk is full."""
    folder = run.path / "checkpoints" / f"step-{done.step:07d}"
    if folder.is_dir():
        return
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        save_model(net, str(part / "weights.safetensors"))
        torch.save(optimizer.state_dict(), part / "optimizer.pt")
        write_json(part / "state.json", asdict(done))
    except Exception as error:  # safetensors and torch each raise their own kind when a write fails
        shutil.rmtree(part, ignore_errors=True)
        free = shutil.disk_usage(run.path).free
        raise RunError(
            f"the checkpoint of step {done.step} could not be saved ({error}); {free / 1e9:.1f} GB are free in {run.path}"
        ) from error
    part.replace(folder)
    log.info("checkpoint at step %d", done.step)
    for old in checkpoints(run)[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old)


def restore(run: RunDir, net: nn.Module, optimizer: Any) -> Done:
    """Load the last checkpoint, when there is one."""
    kept = checkpoints(run)
    if not kept:
        return Done()
    load_model(net, str(kept[-1] / "weights.safetensors"))
    optimizer.load_state_dict(torch.load(kept[-1] / "optimizer.pt", weights_only=True))
    done = Done(**json.loads((kept[-1] / "state.json").read_text()))
    log.info("resumed from step %d", done.step)
    return done
