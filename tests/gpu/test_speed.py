"""Tables of speed: training beside TRL where it is installed, scoring and answers beside plain transformers.

A random network of Qwen2.5-0.5B's shape and random tokens: the arithmetic is that of the real one. Nothing is asserted of the speed.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn
from transformers import TrainerCallback

from engine.kinds.loop import Task, fit
from engine.kinds.losses import bradley_terry, dpo
from engine.machine import memory
from engine.model.batches import pair_tokens
from engine.model.decoding import STEP_ATTENTION, continued
from engine.model.networks import Policy, RewardModel, autocast, decoder_layers
from engine.model.packing import pack
from engine.model.scoring import values_of
from engine.settings.config import GenerateConfig

from .random_models import Sequences, new_run, of_sides, policy_config, random_classifier, random_config, random_policy, random_sequences

QWEN = {  # config.json of Qwen/Qwen2.5-0.5B
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "initializer_range": 0.02,
}
TINY = {"initializer_range": 0.02}  # where there is no GPU, to see that this runs
WARMUP, STEPS = 3, 10
ROWS = 8192  # of the products that the limit is measured with


@dataclass
class Measured:
    """What one trainer did: seconds of its timed steps, and the most bytes it had."""

    seconds: float
    peak_bytes: int


def shape(device: str) -> Any:
    return random_config("qwen2", **(QWEN if device == "cuda" else TINY))


@pytest.fixture(scope="module")
def batch(device: str) -> int:
    return 16 if device == "cuda" else 2


@pytest.fixture(scope="module")
def sequences(device: str, batch: int) -> Sequences:
    """Pairs of about 120 prompt tokens and two responses of about 150."""
    return random_sequences(batch * (WARMUP + STEPS), prompt=230, vocabulary=shape(device).vocab_size)


@pytest.fixture(scope="module")
def table(device: str, batch: int) -> Iterator[list[str]]:
    """The lines of training, printed when all are there."""
    lines = [
        f"{card(device)}, batch {batch}",
        "| training | by | pairs/s | share of bf16 limit | peak GB |",
        "| --- | --- | --- | --- | --- |",
    ]
    yield lines
    print("\n" + "\n".join(lines))


@pytest.fixture(scope="module")
def forward_table(device: str) -> Iterator[list[str]]:
    """The lines of scoring and answering."""
    lines = [card(device), "| without gradients | by | a second | peak GB |", "| --- | --- | --- | --- |"]
    yield lines
    print("\n" + "\n".join(lines))


def card(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "CPU: only to see that this runs"


def settle(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def flops_per_second(device: str) -> float:
    """Of bf16 products (8192, 4096) · (4096, 4096): what the card does at most, here."""
    rows, width = (ROWS, 4096) if device == "cuda" else (64, 64)
    x, w = (torch.randn(n, width, device=device, dtype=torch.bfloat16) for n in (rows, width))
    seconds = []
    for _ in range(20):
        settle(device)
        began = time.perf_counter()
        torch.mm(x, w)
        settle(device)
        seconds.append(time.perf_counter() - began)
    return 2 * rows * width * width / statistics.median(seconds)


def linear_parameters(model: Any) -> int:
    """Weights of the layers' linear maps: a token costs two operations for each, forward."""
    return sum(m.weight.numel() for layer in decoder_layers(model) for m in layer.modules() if isinstance(m, nn.Linear))


def tokens_of(sequences: Sequences) -> list[int]:
    return [pair_tokens(pair) for pair in zip(sequences[0::2], sequences[1::2], strict=True)]


def ours(folder: Path, device: str, net: nn.Module, sequences: Sequences, batch: int, losses: Callable[..., Any]) -> Measured:
    """Steps of the engine's own loop, in bf16."""

    def of_part(net: nn.Module, part: list[int], whole: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        sides = [sequences[i] for pair in part for i in (2 * pair, 2 * pair + 1)]
        with autocast("bf16", device):
            return losses(net, sides, part), {}

    began: list[float] = []
    config = policy_config(batch_size=batch, device=device, precision="bf16", learning_rate=1e-5)
    task = Task(net, [{"params": list(net.parameters()), "lr": 1e-5}], tokens_of(sequences), of_part, lambda step, seconds: None)
    progress = new_run(folder, config)

    def advance(step: int, steps: int) -> None:
        settle(device)
        began.append(time.perf_counter())

    progress.advance = advance  # type: ignore[method-assign]  # only the clock: nothing is written
    memory.mark()
    fit(progress, config, task, device)
    return Measured(began[-1] - began[WARMUP - 1], memory.peak())


def row(stage: str, who: str, found: Measured, batch: int, share: float) -> str:
    """share: of the limit, for one pair a second."""
    pairs = batch * STEPS / found.seconds
    return f"| {stage} | {who} | {pairs:,.1f} | {100 * pairs * share:.1f} % | {found.peak_bytes / 1e9:.1f} |"


@pytest.mark.parametrize("stage", ["reward model", "DPO"])
def test_training_beside_trl(tmp_path: Path, device: str, batch: int, sequences: Sequences, table: list[str], stage: str) -> None:
    """Forward and backward cost 6 operations a parameter of the layers and token, a pair's prompt counted once; DPO's reference is scored
    before the clock starts on both sides.
    """
    config, made = shape(device), reward_model if stage == "reward model" else direct_preference
    trained, losses = made(config, device, sequences)
    tokens = statistics.mean(tokens_of(sequences))
    share = 6 * linear_parameters(trained.model) * tokens / flops_per_second(device)
    table.append(row(stage, "Prefscope", ours(tmp_path, device, trained, sequences, batch, losses), batch, share))
    del trained, losses
    memory.release()
    if find_spec("trl") is None:
        table.append(f"| {stage} | TRL is not installed | | | |")
        return
    table.append(row(stage, "TRL", by_trl(tmp_path, device, sequences, batch, config, stage), batch, share))
    memory.release()


def reward_model(config: Any, device: str, sequences: Sequences) -> tuple[Any, Callable[..., torch.Tensor]]:
    """The network, and the losses of a part of the batch."""

    def losses(net: nn.Module, sides: Sequences, part: list[int]) -> torch.Tensor:
        rewards = net(pack(sides).to(device))
        return bradley_terry(rewards[0::2], rewards[1::2]).loss

    return RewardModel(random_classifier(config, device)), losses


def direct_preference(config: Any, device: str, sequences: Sequences) -> tuple[Any, Callable[..., torch.Tensor]]:
    """The same for DPO; its reference is the policy before the first step, scored once, as a run does."""
    policy = Policy(random_policy(config, device))
    reference = values_of(policy.eval(), sequences, device, "bf16", "last_target").view(-1, 2, 2)

    def losses(net: nn.Module, sides: Sequences, part: list[int]) -> torch.Tensor:
        before = of_sides(reference[part].view(-1, 2).to(device), sides)
        return dpo(of_sides(net(pack(sides, "last_target").to(device)), sides), before).loss

    return policy, losses


class Clock(TrainerCallback):  # type: ignore[misc]
    """When each of TRL's steps ended."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.ended: list[float] = []

    def on_step_end(self, *given: Any, **named: Any) -> None:
        settle(self.device)
        self.ended.append(time.perf_counter())


def by_trl(folder: Path, device: str, sequences: Sequences, batch: int, config: Any, stage: str) -> Measured:
    """TRL's trainer on the same tokens in bf16, without gradient checkpointing; DPO's reference is scored beforehand."""
    import trl  # type: ignore[import-not-found, unused-ignore]
    from datasets import Dataset

    pairs = zip(sequences[0::2], sequences[1::2], strict=True)
    if stage == "DPO":
        made, trainer, model = trl.DPOConfig, trl.DPOTrainer, random_policy(config, attention="sdpa")
        rows = [
            {"prompt_ids": [*c.prompt], "chosen_ids": [*c.response[: c.ends]], "rejected_ids": [*r.response[: r.ends]]} for c, r in pairs
        ]
        more = {"precompute_ref_log_probs": True}
    else:
        made, trainer, model = trl.RewardConfig, trl.RewardTrainer, random_classifier(config, attention="sdpa")
        rows = [{"chosen_ids": [*c.prompt, *c.response], "rejected_ids": [*r.prompt, *r.response]} for c, r in pairs]
        more = {}
    arguments = made(
        output_dir=str(folder / "trl"), per_device_train_batch_size=batch, num_train_epochs=1, bf16=True, use_cpu=device == "cpu",
        learning_rate=1e-5, gradient_checkpointing=False, logging_steps=1000, save_strategy="no", report_to="none", disable_tqdm=True,
        remove_unused_columns=False, max_length=None, **more,
    )  # fmt: skip

    class Tokenised(trainer):  # type: ignore[misc, valid-type]
        def _prepare_dataset(self, dataset: Any, *given: Any) -> Any:
            return dataset

    clock = Clock(device)
    memory.mark()
    Tokenised(model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer(), callbacks=[clock]).train()
    AcceleratorState._reset_state(reset_partial_state=True)  # which all of a process share, and which now says bf16
    return Measured(clock.ended[-1] - clock.ended[WARMUP - 1], memory.peak())


def tokenizer() -> Any:
    """TRL asks for one, and for its tokens to pad and end with."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<begin>": 1, "<end>": 2}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", bos_token="<begin>", eos_token="<end>")


@torch.no_grad()
def timed(device: str, work: Callable[[], Any]) -> tuple[Any, Measured]:
    """What the second of two calls gives, and its seconds: the first warms up."""
    work()
    memory.release()
    memory.mark()
    settle(device)
    began = time.perf_counter()
    found = work()
    settle(device)
    return found, Measured(time.perf_counter() - began, memory.peak())


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_scoring_beside_transformers(device: str, sequences: Sequences, forward_table: list[str], precision: str) -> None:
    """Rewards of all responses, by transformers from padded batches of like length; both sides give the same ones."""

    def by_us() -> torch.Tensor:
        return values_of(RewardModel(ours).eval(), sequences, device, precision)

    def by_transformers() -> torch.Tensor:
        return padded_rewards(theirs, sequences, device)

    ours = random_classifier(shape(device), device)
    theirs = random_classifier(shape(device), device, "sdpa").to(torch.bfloat16 if precision == "bf16" else torch.float32)
    rewards = []
    for who, score in (("Prefscope", by_us), ("transformers", by_transformers)):
        values, found = timed(device, score)
        rewards.append(values)
        forward_table.append(forward_row(f"scoring, {precision}, responses", who, len(sequences), found))
    assert torch.allclose(rewards[0], rewards[1], atol=0.1 if precision == "bf16" else 1e-3)


def padded_rewards(model: Any, sequences: Sequences, device: str, batch: int = 32) -> torch.Tensor:
    """(N,) in their order, from batches padded at the right."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    rewards = torch.empty(len(order))
    for begin in range(0, len(order), batch):
        chosen = order[begin : begin + batch]
        rows = [torch.tensor([*sequences[i].prompt, *sequences[i].response]) for i in chosen]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        mask = torch.arange(ids.shape[1], device=device) < lengths[:, None]
        hidden = model.base_model(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state
        last = hidden[torch.arange(len(rows), device=device), lengths - 1]
        rewards[chosen] = model.score(last)[:, 0].float().cpu()
    return rewards


def test_answers_beside_transformers(device: str, forward_table: list[str]) -> None:
    """Greedy answers to prompts of many lengths, in bf16. No token ends one, so that both sides write equally many."""
    count, new = (128, 128) if device == "cuda" else (4, 4)
    config = shape(device)
    prompts = [list(s.prompt) for s in random_sequences(count, prompt=230, vocabulary=config.vocab_size)[::2]]
    settings = GenerateConfig(dataset="random", max_new_tokens=new)
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)

    def by_us() -> list[list[int]]:
        return continued(ours, prompts, [], settings, device)

    def by_transformers() -> Any:
        return theirs.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=new, pad_token_id=0)[:, width:]

    ours, theirs = (random_policy(config, device, attention).to(torch.bfloat16) for attention in (STEP_ATTENTION, "sdpa"))
    theirs.generation_config.eos_token_id = None
    for who, write in (("Prefscope", by_us), ("transformers", by_transformers)):
        written, found = timed(device, write)
        assert [len(answer) for answer in written] == [new] * count
        forward_table.append(forward_row("answers, bf16, tokens", who, count * new, found))


def forward_row(stage: str, who: str, count: int, found: Measured) -> str:
    return f"| {stage} | {who} | {count / found.seconds:,.0f} | {found.peak_bytes / 1e9:.1f} |"
