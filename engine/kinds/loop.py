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
from safetensors.torch import load_file, save_file
from torch import nn

from engine.errors import RunError, TooLargeError
from engine.machine import disk, memory, processes
from engine.machine.device_plan import FORWARD_TOKENS, steps_of
from engine.model.batches import in_parts, training_order
from engine.settings.config import TrainConfig
from engine.store.progress import Cancelled, Progress
from engine.store.rundir import RunDir, write_json

log = logging.getLogger("engine")
STEPS_BETWEEN_RELEASES = 10

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
    loss: Callable[[nn.Module, list[int], Any], tuple[torch.Tensor, Values]]  # each pair's loss, (B,), given what `whole` found
    evaluate: Callable[[int, float], None]  # (optimiser steps done, seconds trained)
    whole: Callable[[nn.Module, list[list[int]]], Any] = lambda net, parts: None  # what a loss must know of a step's whole batch


def rate_at(step: int, steps: int, warmup: float) -> float:
    """Share of the highest learning rate at step 0, 1, …: a linear rise over the warm-up, then a half cosine to zero."""
    rise = math.ceil(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))


def fit(progress: Progress, config: TrainConfig, task: Task, device: str) -> None:
    """Train the task's network through all epochs, from the last checkpoint when there is one.

    Raises RunError when the loss is not finite or a pair does not fit in memory, and Cancelled, after a checkpoint, when asked to stop.
    """
    accelerator = connected(device)
    processes_, mine = accelerator.num_processes, accelerator.process_index
    optimizer = torch.optim.AdamW(task.groups, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True)
    highest = [group["lr"] for group in optimizer.param_groups]
    net = task.net if config.shard else accelerator.prepare(task.net)
    optimizer = accelerator.prepare(optimizer)
    per_epoch = steps_of(len(task.tokens), config, processes_)
    steps = per_epoch * config.epochs
    run = progress.run
    done = restore(run, task.net, optimizer)
    run.cut_metrics(done.step)
    room = Room(progress, config, device)
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
            batches = order[index * config.accumulation * processes_ :][: config.accumulation * processes_]
            torch.manual_seed(config.seed * 1_000_003 + step)  # dropout, where there is any, is the same after a resume
            measured = room.fitting(
                lambda parts: optimiser_step(accelerator, net, optimizer, parts, task, config.max_grad_norm),
                batches[mine::processes_],
                task,
            )
            if not all(math.isfinite(measured[name]) for name in ("loss", "grad_norm")):
                raise RunError(not_finite(run, step + 1))
            room.held(optimizer.step)
            optimizer.zero_grad(set_to_none=True)
            took = time.monotonic() - began
            done = Done(step + 1, done.seconds + took, done.tokens + sum(task.tokens[i] for batch in batches for i in batch))
            rates = {"learning_rate": highest[0] * share, "epoch": done.step / per_epoch, "pairs_per_second": sum(map(len, batches)) / took}
            if done.step % STEPS_BETWEEN_RELEASES == 0:
                memory.release()  # steps of different lengths leave holes behind that the allocator would keep
            run.append_metrics(done.step, "train", {**measured, **rates}, done.tokens, done.seconds)
            progress.advance(done.step, steps)
            if done.step % config.checkpoint_every == 0 and done.step < steps:
                save_checkpoint(run, task.net, optimizer, done, config.kept_checkpoints)
        task.evaluate(steps, done.seconds)
    except Cancelled:
        if done.step:
            save_checkpoint(run, task.net, optimizer, done, config.kept_checkpoints)
        raise


def connected(device: str) -> Accelerator:
    """This process among those of the run. Raises RunError under a launcher's own way to divide a model."""
    accelerator = Accelerator(cpu=device == "cpu")
    launched = accelerator.distributed_type.value
    if launched in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise RunError(f"{launched} is not supported as a launcher's setting: the run's own field `shard` divides a model among processes")
    return accelerator


def own_memory(config: TrainConfig) -> int | None:
    """Bytes this process may have on a CPU: its part of `memory_gb`, or what it has and its part of what is free; None when unknown."""
    sharing = processes.beside()
    free = memory.free()
    if config.memory_gb:
        return int(config.memory_gb * 1e9) // sharing
    return memory.resident() + free // sharing if free else None


class Room:
    """How many packed tokens one forward pass may have, and what happens when that is too many for the memory."""

    def __init__(self, progress: Progress, config: TrainConfig, device: str) -> None:
        self.progress, self.config = progress, config
        status = progress.run.written_status
        self.tokens = status.forward_tokens or config.forward_tokens or FORWARD_TOKENS[device]
        self.most = own_memory(config) if device == "cpu" else None
        if status.killed and config.on_oom == "split":
            self.lower(self.tokens // 2, "the run was killed while it trained, most likely for memory")

    def fitting(self, step: Callable[[list[list[int]]], dict[str, float]], batches: list[list[int]], task: Task) -> dict[str, float]:
        """The step's values; a step that does not fit is done again, whole, in parts of half the size. Raises RunError."""
        while True:
            parts = [part for batch in batches for part in in_parts(batch, task.tokens, self.tokens)]
            if self.config.shard:
                parts = halved(parts, processes.most_of(len(parts)))
            try:
                with memory.limited(self.most):
                    return step(parts)
            except MemoryError as error:
                log.warning("out of memory: %s", str(error).partition("\n")[0])
            # outside the handler, whose traceback held the tensors
            for group in task.groups:
                for parameter in group["params"]:
                    parameter.grad = None
            memory.release()
            largest = max(parts, key=lambda part: sum(task.tokens[i] for i in part))
            size = sum(task.tokens[i] for i in largest)
            if self.config.on_oom == "fail" or len(largest) == 1 or processes.many():
                raise TooLargeError(self.refusal(size, len(largest)))
            self.lower(size // 2, f"out of memory with {size:,} tokens in one forward pass")

    def held(self, step: Callable[[], object]) -> None:
        """The optimiser's step, whose first makes its two moments. Raises RunError when they do not fit."""
        try:
            with memory.limited(self.most):
                step()
        except MemoryError as error:
            raise TooLargeError(f"{memory.needs(self.most)} for the optimiser's moments: take LoRA or a smaller model") from error

    def lower(self, tokens: int, why: str) -> None:
        self.tokens = max(tokens, 64)
        self.progress.run.update(forward_tokens=self.tokens)
        self.progress.note(f"{why}: from now on at most {self.tokens:,} tokens at once; batch size and result are unchanged")

    def refusal(self, tokens: int, pairs: int) -> str:
        needs = memory.needs(self.most)
        if pairs == 1:
            return f"{needs}. One pair alone has {tokens:,} tokens: lower max_tokens, or turn gradient checkpointing or LoRA on"
        return f"{needs}, with {tokens:,} tokens in one forward pass: lower forward_tokens (the result is unchanged)"


def optimiser_step(
    accelerator: Accelerator, net: nn.Module, optimizer: Any, parts: list[list[int]], task: Task, max_norm: float
) -> dict[str, float]:
    """Gradients of one optimiser step, part by part, clipped; the mean of each value over the step's pairs, and the gradient's norm."""
    pairs = sum(map(len, parts))
    net.train()
    found = task.whole(net, parts)
    collected: list[Values] = []
    for k, part in enumerate(parts):
        with accelerator.no_sync(net) if k < len(parts) - 1 else nullcontext():
            losses, values = task.loss(net, part, found)
            accelerator.backward(losses.sum() / pairs)
        collected.append({"loss": losses.detach(), **values})
    means = {name: accelerator.gather(torch.cat([c[name] for c in collected])).float().mean().item() for name in collected[0]}
    return {**means, "grad_norm": float(accelerator.clip_grad_norm_(net.parameters(), max_norm))}


def halved(parts: list[list[int]], count: int) -> list[list[int]]:
    """`count` parts, the largest halved first: processes that divide one model must compute equally many."""
    parts = list(parts)
    while len(parts) < count:
        at = max(range(len(parts)), key=lambda i: len(parts[i]))
        middle = len(parts[at]) // 2
        parts[at : at + 1] = [parts[at][:middle], parts[at][middle:]]
    return parts


def not_finite(run: RunDir, step: int) -> str:
    kept = checkpoints(run)
    where = f"the last good checkpoint is step {step_of(kept[-1])}" if kept else "there is no checkpoint yet"
    return f"the loss or its gradient is not a finite number at step {step}: {where}. Lower the learning rate or use fp32"


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
    shutil.rmtree(part, ignore_errors=True)
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
            f"the checkpoint of step {done.step} could not be saved ({error}); {free / 1e9:.1f} GB are free in {run.path}"
        ) from error
    part.replace(folder)
    log.info("checkpoint at step %d", done.step)
    for old in checkpoints(run)[:-kept]:
        shutil.rmtree(old)


def trained(net: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """What a checkpoint holds: the parameters that are trained, a tied one once."""
    return [(name, p) for name, p in net.named_parameters() if p.requires_grad]


def restore(run: RunDir, net: nn.Module, optimizer: Any) -> Done:
    """Load the last checkpoint, when there is one."""
    kept = checkpoints(run)
    if not kept:
        return Done()
    saved = load_file(kept[-1] / "weights.safetensors")
    with torch.no_grad():
        for name, parameter in trained(net):
            parameter.copy_(processes.like(saved[name].to(parameter.device), parameter))
    state = torch.load(kept[-1] / "optimizer.pt", weights_only=True)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state["state"] = {i: {k: processes.like(v, parameters[i]) for k, v in of.items()} for i, of in state["state"].items()}
    optimizer.load_state_dict(state)
    done = Done(**json.loads((kept[-1] / "state.json").read_text()))
    log.info("resumed from step %d", done.step)
    return done
