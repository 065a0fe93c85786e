"""TRL's trainers on the engine's own tokens: same pairs, batch, precision and first weights; everything else as TRL has it."""

import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer  # type: ignore[import-not-found, unused-ignore]

from .machine import peak_bytes, settle
from .measure import Measured, Task, from_steps

Pair = dict[str, Any]


class Clock(TrainerCallback):  # type: ignore[misc]
    """Seconds of each optimiser step, without reading the batch and without logging."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.began = 0.0

    def on_step_begin(self, *given: Any, **named: Any) -> None:
        settle()
        self.began = time.perf_counter()

    def on_step_end(self, *given: Any, **named: Any) -> None:
        settle()
        self.seconds.append(time.perf_counter() - self.began)


def pairs_of(task: Task) -> list[Pair]:
    found: list[Pair] = json.loads((Path(task.work) / "encoded.json").read_text())[task.split]
    return found


def recording(trainer: type) -> Any:
    """The trainer, which takes tokens as they are and remembers each step's loss and log-probabilities."""

    class Recording(trainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Dataset, *given: Any) -> Dataset:
            return dataset

        def compute_loss(self, *given: Any, **named: Any) -> Any:
            found = super().compute_loss(*given, **named)
            self.seen = [*getattr(self, "seen", []), (found[0] if isinstance(found, tuple) else found).detach()]
            return found

    return Recording


def reward(task: Task) -> Measured:
    rows = [{"chosen_ids": p["prompt"] + p["chosen"], "rejected_ids": p["prompt"] + p["rejected"]} for p in pairs_of(task)]
    model = AutoModelForSequenceClassification.from_pretrained(Path(task.models) / "reward", num_labels=1, dtype=torch.float32)
    return trained(task, RewardTrainer, RewardConfig, model, rows, {"max_length": None})


def dpo(task: Task) -> Measured:
    """The reference is scored in every step: TRL's default. Responses end with their end-of-turn token, as ours are counted."""
    rows = [
        {"prompt_ids": p["prompt"], "chosen_ids": p["chosen"][: p["ends"][0]], "rejected_ids": p["rejected"][: p["ends"][1]]}
        for p in pairs_of(task)
    ]
    model = AutoModelForCausalLM.from_pretrained(Path(task.models) / "policy", dtype=torch.float32)
    return trained(task, DPOTrainer, DPOConfig, model, rows, {"max_length": task.max_tokens})


def trained(task: Task, trainer: type, config: Any, model: Any, rows: list[Pair], limits: dict[str, Any]) -> Measured:
    """So many steps, twice over the pairs when it is a check; `length` is what TRL may group by."""
    warnings.filterwarnings("ignore")
    pairs, check, clock = pairs_of(task), task.split == "train_check", Clock()
    lengths = [len(p["prompt"]) + max(len(p["chosen"]), len(p["rejected"])) for p in pairs]
    data = Dataset.from_list([{**row, "length": n} for row, n in zip(rows, lengths, strict=True)])
    given = {k: v for k, v in task.settings.items() if k in ("gradient_checkpointing", "train_sampling_strategy", "learning_rate")}
    arguments = config(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=task.batch_size, num_train_epochs=2 if check else 1, seed=task.seed,
        bf16=task.settings["precision"] == "bf16", use_cpu=not torch.cuda.is_available(), lr_scheduler_type="constant",
        logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True, remove_unused_columns=False, **limits, **given,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(Path(task.models) / "policy")
    made = recording(trainer)(model=model, args=arguments, train_dataset=data, processing_class=tokenizer, callbacks=[clock])
    tokens = counting(made, {tuple(row["chosen_ids"] + row["rejected_ids"]): p["tokens"] for row, p in zip(rows, pairs, strict=True)})
    made.train()
    found = from_steps(clock.seconds, tokens[: len(clock.seconds)], 0 if check else task.warmup, task.batch_size)
    logged = made.state.log_history[0]
    checks = {f"loss {i + 1}": float(loss) for i, loss in enumerate(made.seen[:2])}
    checks |= {k: logged[k] for k in ("logps/chosen", "logps/rejected") if k in logged}
    return Measured(**found, peak_bytes=peak_bytes(), checks=checks)


def counting(trainer: Any, known: dict[tuple[int, ...], int]) -> list[int]:
    """Tokens of each batch that the trainer will read, in order, as its collator meets them."""
    tokens: list[int] = []
    collate = trainer.data_collator

    def collated(examples: list[Pair]) -> Any:
        tokens.append(sum(known[tuple(e["chosen_ids"] + e["rejected_ids"])] for e in examples))
        return collate(examples)

    trainer.data_collator = collated
    return tokens
