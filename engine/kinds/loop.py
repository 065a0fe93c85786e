"""One training loop, for reward models and policies."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from engine.errors import RunError, TooLargeError
from engine.kinds.checkpoints import Done, checkpoints, restore, save_checkpoint, step_of
from engine.machine import memory, processes
from engine.machine.device_plan import FORWARD_TOKENS, steps_of
from engine.model.batches import in_parts, training_order
from engine.settings.config import TrainConfig
from engine.store.progress import Cancelled, Progress
from engine.store.rundir import RunDir

log = logging.getLogger("engine")
STEPS_BETWEEN_RELEASES = 10

Values = dict[str, torch.Tensor]  # per-pair values by metric name, each (B,)


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
    """The learning-rate schedule at step 0, 1, …, as a share of the highest rate: a linear rise, then a half cosine to zero."""
    rise = math.ceil(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))


def fit(progress: Progress, config: TrainConfig, task: Task, device: str) -> None:
    """Train the task's network through all epochs, from the last checkpoint when there is one.

    Raises RunError when the loss is not finite or a pair does not fit in memory, and Cancelled, after a checkpoint, when asked to stop.
    """
    training = Training(progress, config, task, device)
    progress.run.cut_metrics(training.done.step)
    try:
        with memory.frozen():
            for step in range(training.done.step, training.steps):
                training.evaluate_when_due(step)
                training.take_step(step)
                training.save_when_due()
            task.evaluate(training.steps, training.done.seconds)
    except Cancelled:
        training.save()
        raise


class Training:
    """A task in training: its optimiser, its order of pairs, and how far it has come."""

    def __init__(self, progress: Progress, config: TrainConfig, task: Task, device: str) -> None:
        self.progress, self.config, self.task = progress, config, task
        self.accelerator, self.on_cpu = connected(device), device == "cpu"
        self.processes = self.accelerator.num_processes
        optimizer = torch.optim.AdamW(task.groups, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True)
        self.highest_rates = [group["lr"] for group in optimizer.param_groups]
        self.net = task.net if config.shard else self.accelerator.prepare(task.net)
        self.optimizer = self.accelerator.prepare(optimizer)
        self.budget = TokenBudget(progress, config, device)
        self.steps_per_epoch = steps_of(len(task.tokens), config, self.processes)
        self.steps = self.steps_per_epoch * config.epochs
        self.done = restore(progress, task.net, self.optimizer)
        self.first_step = self.done.step
        self.epoch, self.order = -1, list[list[int]]()

    def evaluate_when_due(self, step: int) -> None:
        """Evaluate before the first step and every `evaluate_every` steps; then, or after a resume, the stage is training again."""
        every = self.config.evaluate_every
        due = step == 0 or (every > 0 and step % every == 0)
        if due:
            self.task.evaluate(step, self.done.seconds)
        if due or step == self.first_step:
            self.progress.stage("training", self.steps, first=step)

    def take_step(self, step: int) -> None:
        """One optimiser step, from its batches to its line of metrics. Raises RunError when its loss or gradient is not finite."""
        began = time.monotonic()
        batches = self.batches_of(step)
        share = rate_at(step, self.steps, self.config.warmup)
        for group, highest in zip(self.optimizer.param_groups, self.highest_rates, strict=True):
            group["lr"] = highest * share
        torch.manual_seed(self.config.seed * 1_000_003 + step)  # dropout, where there is any, is the same after a resume
        mine = batches[self.accelerator.process_index :: self.processes]
        measured = self.budget.fitting(self.gradients, mine, self.task)
        if not all(math.isfinite(measured[name]) for name in ("loss", "grad_norm")):
            raise RunError(not_finite(self.progress.run, step + 1))
        self.budget.held(self.optimizer.step)
        self.optimizer.zero_grad(set_to_none=True)
        self.record(measured, batches, time.monotonic() - began)

    def batches_of(self, step: int) -> list[list[int]]:
        """The batches of one optimiser step, those of all processes, as pair indices."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, training_order(self.task.tokens, self.config.batch_size, self.config.seed, epoch)
        each = self.config.accumulation * self.processes
        return self.order[index * each : (index + 1) * each]

    def gradients(self, parts: list[list[int]]) -> dict[str, float]:
        """Gradients of one optimiser step, part by part, clipped; the mean of each value over the step's pairs, and the gradient's norm."""
        pairs = sum(map(len, parts))
        self.net.train()
        of_batch = self.task.whole(self.net, parts)
        collected: list[Values] = []
        for k, part in enumerate(parts):
            with self.accelerator.no_sync(self.net) if k < len(parts) - 1 else nullcontext():
                losses, values = self.task.loss(self.net, part, of_batch)
                self.accelerator.backward(losses.sum() / pairs)
            collected.append({"loss": losses.detach(), **values})
        means = {name: self.mean_over_processes([values[name] for values in collected]) for name in collected[0]}
        return {**means, "grad_norm": float(self.accelerator.clip_grad_norm_(self.net.parameters(), self.config.max_grad_norm))}

    def mean_over_processes(self, values: list[torch.Tensor]) -> float:
        return float(self.accelerator.gather(torch.cat(values)).float().mean().item())

    def record(self, measured: dict[str, float], batches: list[list[int]], seconds: float) -> None:
        """Count the step, and write its line of metrics. Raises Cancelled when the run was asked to stop."""
        done = self.done
        tokens = sum(self.task.tokens[i] for batch in batches for i in batch)
        self.done = done = Done(done.step + 1, done.seconds + seconds, done.tokens + tokens)
        rates = {
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "epoch": done.step / self.steps_per_epoch,
            "pairs_per_second": sum(map(len, batches)) / seconds,
        }
        if self.on_cpu and done.step % STEPS_BETWEEN_RELEASES == 0:
            memory.release()  # between steps of different lengths the allocator would keep what it has; CUDA's grows its segments instead
        self.progress.run.append_metrics(done.step, "train", {**measured, **rates}, done.tokens, done.seconds)
        self.progress.advance(done.step, self.steps)

    def save_when_due(self) -> None:
        if self.done.step % self.config.checkpoint_every == 0 and self.done.step < self.steps:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of what is done, if anything is."""
        if self.done.step:
            save_checkpoint(self.progress.run, self.task.net, self.optimizer, self.done, self.config.kept_checkpoints)


def connected(device: str) -> Accelerator:
    """This process among those of the run. Raises RunError under a launcher's own way to divide a model."""
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="no")  # the run's own field says it, not the launcher's setting
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


class TokenBudget:
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
