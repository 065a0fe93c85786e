"""transformers without TRL: its pipeline, its generate, and a plain padded training loop for where TRL is not installed."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from engine.model import networks
from engine.settings.hyperparameters import DPO

from .machine import peak_bytes, settle
from .measure import Measured, Task, from_steps

Pair = dict[str, Any]
Ids = Sequence[int]


def encoded(task: Task) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(task.work) / "encoded.json").read_text())
    return found


def padded(rows: Sequence[Ids], pad: int, left: bool = False) -> dict[str, torch.Tensor]:
    longest, device = max(map(len, rows)), networks.best_device("auto")
    blank = [longest - len(row) for row in rows]
    ids = [[*[pad] * n, *row] if left else [*row, *[pad] * n] for row, n in zip(rows, blank, strict=True)]
    mask = [[0] * n + [1] * len(row) if left else [1] * len(row) + [0] * n for row, n in zip(rows, blank, strict=True)]
    return {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}


def reward(task: Task) -> Measured:
    """L = −log σ(r_chosen − r_rejected) over right-padded rows."""
    device = networks.best_device("auto")
    model = AutoModelForSequenceClassification.from_pretrained(Path(task.models) / "reward", num_labels=1, dtype=torch.float32).to(device)
    pad = model.config.pad_token_id

    def loss(batch: list[Pair]) -> torch.Tensor:
        rows = [p["prompt"] + p[side] for side in ("chosen", "rejected") for p in batch]
        chosen, rejected = model(**padded(rows, pad)).logits[:, 0].float().chunk(2)
        return -logsigmoid(chosen - rejected).mean()

    return trained(task, model, loss)


def dpo(task: Task) -> Measured:
    """L = −log σ(β ((log π − log π_ref)(chosen) − (log π − log π_ref)(rejected))) with the reference scored in every step."""
    device, folder = networks.best_device("auto"), Path(task.models) / "policy"
    policy, reference = (AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device) for _ in range(2))
    pad = AutoTokenizer.from_pretrained(folder).pad_token_id

    def loss(batch: list[Pair]) -> torch.Tensor:
        sides = [(p["prompt"], p[side][: p["ends"][i]]) for i, side in enumerate(("chosen", "rejected")) for p in batch]
        rows = padded([prompt + response for prompt, response in sides], pad)
        with torch.no_grad():
            before = response_logps(reference(**rows).logits, rows["input_ids"], sides)
        chosen, rejected = (response_logps(policy(**rows).logits, rows["input_ids"], sides) - before).chunk(2)
        return -logsigmoid(DPO().beta * (chosen - rejected)).mean()

    return trained(task, policy, loss)


def response_logps(logits: torch.Tensor, ids: torch.Tensor, sides: Sequence[tuple[Ids, Ids]]) -> torch.Tensor:
    """Sum of log π over each response, (N,) in nats, from logits (N, T, vocabulary)."""
    logps = torch.log_softmax(logits[:, :-1].float(), -1).gather(2, ids[:, 1:, None])[:, :, 0]
    return torch.stack([row[len(p) - 1 : len(p) + len(r) - 1].sum() for row, (p, r) in zip(logps, sides, strict=True)])


def trained(task: Task, model: Any, loss: Callable[[list[Pair]], torch.Tensor]) -> Measured:
    """AdamW over the pairs in their order, batch by batch."""
    pairs, check, device = encoded(task)[task.split], task.split == "train_check", networks.best_device("auto")
    optimizer = torch.optim.AdamW(model.parameters(), lr=task.settings["learning_rate"], weight_decay=0.0, fused=True)
    batches = [pairs[i : i + task.batch_size] for i in range(0, len(pairs), task.batch_size)] * (2 if check else 1)
    seconds, losses = [], []
    for batch in batches:
        began = time.perf_counter()
        with networks.autocast(task.settings["precision"], device):
            value = loss(batch)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(value.item())
        settle()
        seconds.append(time.perf_counter() - began)
    found = from_steps(seconds, [sum(p["tokens"] for p in b) for b in batches], 0 if check else task.warmup, task.batch_size)
    return Measured(**found, peak_bytes=peak_bytes(), checks={f"loss {i + 1}": value for i, value in enumerate(losses[:2])})


def scoring(task: Task) -> Measured:
    """The text-classification pipeline, in batches of 16; the prompt's beginning goes first when a text is too long."""
    folder, texts = Path(task.models) / "reward", encoded(task)["texts"]
    tokenizer = AutoTokenizer.from_pretrained(folder, truncation_side="left")
    dtype = torch.bfloat16 if task.settings["precision"] == "bf16" else torch.float32
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=dtype)
    classify = pipeline(
        "text-classification", model=model, tokenizer=tokenizer, device=networks.best_device("auto"), function_to_apply="none",
        batch_size=16, truncation=True, max_length=task.max_tokens, add_special_tokens=False,
    )  # fmt: skip
    began = time.perf_counter()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i])) if task.settings["sorted"] else range(len(texts))
    found = dict(zip(order, classify([texts[i] for i in order]), strict=True))
    seconds = time.perf_counter() - began
    tokens = sum(p["tokens"] for p in encoded(task)[task.split])
    return Measured(len(texts), tokens, seconds, peak_bytes=peak_bytes(), values=[found[i]["score"] for i in range(len(texts))])


@torch.no_grad()
def generation(task: Task) -> Measured:
    """Greedy answers by transformers' generate, prompts padded at the left."""
    folder, prompts = Path(task.models) / task.settings["model"], encoded(task)["prompts"]
    tokenizer, device, size = AutoTokenizer.from_pretrained(folder), networks.best_device("auto"), task.settings["batch_size"]
    dtype = torch.bfloat16 if task.settings["precision"] == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
    stated = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(stated if isinstance(stated, list) else [stated])}
    longest, tokens, texts = task.settings["max_new_tokens"], 0, []
    began = time.perf_counter()
    for start in range(0, len(prompts), size):
        rows = padded(prompts[start : start + size], tokenizer.pad_token_id, left=True)
        out = model.generate(**rows, max_new_tokens=longest, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        for new in out[:, rows["input_ids"].shape[1] :].tolist():
            stop = next((i for i, token in enumerate(new) if token in ends), None)
            tokens += len(new) if stop is None else stop + 1
            texts.append(tokenizer.decode(new[:stop], skip_special_tokens=True).strip())
    return Measured(tokens, tokens, time.perf_counter() - began, peak_bytes=peak_bytes(), values=texts)
