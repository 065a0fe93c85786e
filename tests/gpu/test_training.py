"""Steps of the training loop on the device: the gradient of every loss, batches in parts, and resuming."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.kinds.loop import Task, Training, fit
from engine.kinds.losses import POLICY_LOSSES, Logps, Objective, bradley_terry
from engine.model.batches import pair_tokens
from engine.model.networks import Policy, RewardModel
from engine.model.packing import pack
from engine.settings.config import PolicyConfig
from engine.store.progress import Cancelled

from .random_models import (
    Sequences,
    new_run,
    of_sides,
    plain_logps,
    plain_reward,
    policy_config,
    random_classifier,
    random_config,
    random_policy,
    random_sequences,
)

PAIRS = random_sequences(4, longest=60)
HUGE = 2**47  # bytes, which no device has
REFERENCE = of_sides(torch.linspace(-180, -90, 16).view(8, 2), PAIRS)
GUIDE, SHIFT = torch.linspace(-1, 2, 4), torch.tensor(0.3)

Losses = Callable[[nn.Module, list[int], Any], tuple[torch.Tensor, dict[str, torch.Tensor]]]


def sides(part: list[int]) -> Sequences:
    return [PAIRS[i] for pair in part for i in (2 * pair, 2 * pair + 1)]


def known(part: list[int], device: str) -> dict[str, Any]:
    """What the losses are given of some pairs besides the policy: made-up numbers of a fitting size."""
    reference = Logps(**{name: values[part].to(device) for name, values in vars(REFERENCE).items()})
    return {"reference": reference, "guide": GUIDE[part].to(device), "shift": SHIFT.to(device)}


def policy_losses(name: str, device: str) -> Losses:
    objective = Objective(((1.0, POLICY_LOSSES[name], {}),))

    def losses(net: nn.Module, part: list[int], whole: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        values = net(pack(sides(part), "last_target").to(device))
        return objective(of_sides(values, sides(part)), **known(part, device)).loss, {}

    return losses


def task_of(net: nn.Module, losses: Losses) -> Task:
    tokens = [pair_tokens((chosen, rejected)) for chosen, rejected in zip(PAIRS[0::2], PAIRS[1::2], strict=True)]
    return Task(net, [{"params": list(net.parameters()), "lr": 1e-3}], tokens, losses, lambda step, seconds: None)


def measured(folder: Path) -> list[dict[str, float]]:
    """Loss and gradient norm of each step."""
    lines = [json.loads(line)["values"] for line in (folder / "runs" / "random" / "metrics.jsonl").read_text().splitlines()]
    return [{name: values[name] for name in ("loss", "grad_norm")} for values in lines]


def assert_one_step(tmp_path: Path, device: str, net: nn.Module, losses: Losses, expected: torch.Tensor, plain: Any) -> None:
    """The loop's step has the loss of single sequences on the CPU and their gradient, clipped to the norm 1, and moves the weights."""
    expected.mean().backward()
    gradients = {name: p.grad for name, p in plain.named_parameters() if p.grad is not None}
    norm = torch.stack([g.norm() for g in gradients.values()]).norm().item()
    config = policy_config(dataset="random", device=device)
    training = Training(new_run(tmp_path, config), config, task_of(net, losses), device)
    training.gradients([[0, 1], [2, 3]])
    for name, parameter in net.named_parameters():
        wanted = gradients[name.removeprefix("model.")] / max(norm, 1.0)
        assert parameter.grad is not None
        assert (parameter.grad.cpu() - wanted).norm() < 2e-3 * max(wanted.norm().item(), 1e-2), name
    before = [p.detach().clone() for p in net.parameters()]
    training.optimizer.zero_grad()
    training.take_step(0)
    assert measured(tmp_path) == [pytest.approx({"loss": expected.mean().item(), "grad_norm": norm}, rel=2e-3)]
    assert all(not torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))


@pytest.mark.parametrize("name", POLICY_LOSSES)
def test_a_step_of_each_policy_loss_has_the_gradient_of_single_sequences(tmp_path: Path, device: str, name: str) -> None:
    config = random_config("llama")
    plain = random_policy(config, attention="eager")
    values = torch.stack([plain_logps(plain, s) for s in PAIRS])
    expected = Objective(((1.0, POLICY_LOSSES[name], {}),))(of_sides(values, PAIRS), **known([0, 1, 2, 3], "cpu")).loss
    assert_one_step(tmp_path, device, Policy(random_policy(config, device)), policy_losses(name, device), expected, plain)


def test_a_step_of_the_reward_loss_has_the_gradient_of_single_sequences(tmp_path: Path, device: str) -> None:
    def losses(net: nn.Module, part: list[int], whole: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        rewards = net(pack(sides(part)).to(device))
        return bradley_terry(rewards[0::2], rewards[1::2]).loss, {}

    config = random_config("qwen2")
    plain = random_classifier(config, attention="eager")
    rewards = torch.stack([plain_reward(plain, s) for s in PAIRS])
    expected = bradley_terry(rewards[0::2], rewards[1::2]).loss
    assert_one_step(tmp_path, device, RewardModel(random_classifier(config, device)), losses, expected, plain)


def trained(folder: Path, device: str, losses: Losses, config: PolicyConfig, net: nn.Module | None = None) -> nn.Module:
    """A policy after the configuration's epochs of one step."""
    net = net or Policy(random_policy(random_config("llama"), device))
    fit(new_run(folder, config), config, task_of(net, losses), device)
    return net


def test_a_batch_that_does_not_fit_is_computed_in_parts_with_the_same_result(tmp_path: Path, device: str) -> None:
    """More than two pairs at once ask the device for 2⁴⁷ bytes, which its own allocator refuses."""
    plain = policy_losses("dpo", device)

    def large(net: nn.Module, part: list[int], whole: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if len(part) > 2:
            torch.empty(HUGE, dtype=torch.uint8, device=device)
        return plain(net, part, whole)

    config = policy_config(device=device, epochs=2)
    trained(tmp_path / "whole", device, plain, config)
    trained(tmp_path / "parts", device, large, config)
    for one, two in zip(measured(tmp_path / "whole"), measured(tmp_path / "parts"), strict=True):
        assert two == pytest.approx(one, rel=2e-3)
    status = json.loads((tmp_path / "parts" / "runs" / "random" / "status.json").read_text())
    assert status["forward_tokens"] < sum(task_of(nn.Linear(1, 1), plain).tokens)
    assert status["notes"][0].startswith("out of memory with")


def test_a_resumed_run_gives_the_numbers_of_one_that_was_not_stopped(tmp_path: Path, device: str) -> None:
    losses = policy_losses("dpo", device)
    config = policy_config(device=device, epochs=4)
    whole = trained(tmp_path / "whole", device, losses, config)
    progress = new_run(tmp_path / "stopped", config)
    seen: list[int] = []

    def stopping(net: nn.Module, part: list[int], of_batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        seen.append(1)
        progress.stopping = len(seen) == 2  # after the second step
        return losses(net, part, of_batch)

    with pytest.raises(Cancelled):
        fit(progress, config, task_of(Policy(random_policy(random_config("llama"), device)), stopping), device)
    progress.stopping = False
    resumed = Policy(random_policy(random_config("llama"), device))
    fit(progress, config, task_of(resumed, losses), device)
    for one, two in zip(measured(tmp_path / "whole"), measured(tmp_path / "stopped"), strict=True):
        assert two == pytest.approx(one, rel=2e-3)
    for kept, again in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.allclose(kept, again, atol=1e-3 if device == "cuda" else 1e-6)
