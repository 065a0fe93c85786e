"""Losses equal numbers derived by hand."""

import inspect
import math

import pytest
import torch

from engine.config import DPO, BradleyTerry
from engine.losses import POLICY_LOSSES, REWARD_LOSSES, Logps, bradley_terry, dpo


def logps(chosen: list[float], rejected: list[float]) -> Logps:
    ones = torch.ones(len(chosen))
    return Logps(torch.tensor(chosen, requires_grad=True), torch.tensor(rejected, requires_grad=True), 7 * ones, 3 * ones)


def test_bradley_terry_by_hand() -> None:
    """−log σ(d) = log(1 + e^−d): d = 0 gives log 2 = 0.693147, d = 2 − (−1) = 3 gives log(1 + e^−3) = log 1.049787 = 0.048587,
    d = −1 gives log(1 + e) = 1.313262."""
    found = bradley_terry(torch.tensor([1.0, 2.0, 0.0]), torch.tensor([1.0, -1.0, 1.0]))
    assert found.loss.tolist() == pytest.approx([0.693147, 0.048587, 1.313262], abs=1e-6)


def test_margin_moves_the_point_of_indifference() -> None:
    """r_c − r_r = 0.5 and m = 0.5: σ(0), so log 2; m = 1.5: −log σ(−1) = 1.313262."""
    chosen, rejected = torch.tensor([0.75]), torch.tensor([0.25])
    assert bradley_terry(chosen, rejected, margin=0.5).loss.item() == pytest.approx(math.log(2))
    assert bradley_terry(chosen, rejected, margin=1.5).loss.item() == pytest.approx(1.313262, abs=1e-6)


def test_centring_adds_the_squared_rewards() -> None:
    """r = (2, −1), λ = 0.1: 0.048587 + 0.1 · (4 + 1) = 0.548587; align-anything's λ = 0.001: 0.048587 + 0.005 = 0.053587."""
    chosen, rejected = torch.tensor([2.0]), torch.tensor([-1.0])
    assert bradley_terry(chosen, rejected, centring=0.1).loss.item() == pytest.approx(0.548587, abs=1e-6)
    assert bradley_terry(chosen, rejected, centring=0.001).loss.item() == pytest.approx(0.053587, abs=1e-6)


def test_bradley_terry_pushes_by_the_probability_of_being_wrong() -> None:
    """dL/dr_c = −σ(r_r − r_c): −0.5 at d = 0, −1 / (1 + e³) = −0.047426 at d = 3; the rejected side gets the opposite."""
    chosen, rejected = torch.tensor([0.0, 2.0], requires_grad=True), torch.tensor([0.0, -1.0], requires_grad=True)
    bradley_terry(chosen, rejected).loss.sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert chosen.grad.tolist() == pytest.approx([-0.5, -0.047426], abs=1e-6)
    assert rejected.grad.tolist() == pytest.approx([0.5, 0.047426], abs=1e-6)


def test_dpo_by_hand() -> None:
    """β = 0.1, Δ_c = −10 − (−12) = 2, Δ_r = −20 − (−17) = −3: rewards 0.2 and −0.3, L = log(1 + e^−0.5) = log 1.606531 = 0.474077.
    The other way round L = log(1 + e^0.5) = 0.974077."""
    found = dpo(logps([-10.0, -20.0], [-20.0, -10.0]), logps([-12.0, -17.0], [-17.0, -12.0]), beta=0.1)
    assert found.loss.tolist() == pytest.approx([0.474077, 0.974077], abs=1e-6)
    assert found.chosen.tolist() == pytest.approx([0.2, -0.3])
    assert found.rejected.tolist() == pytest.approx([-0.3, 0.2])


def test_policy_equal_to_reference_gives_log_2() -> None:
    same = logps([-31.5, -2.0], [-40.0, -900.0])
    found = dpo(same, same, beta=0.7)
    assert found.loss.tolist() == pytest.approx([math.log(2)] * 2)
    assert found.chosen.tolist() == found.rejected.tolist() == [0.0, 0.0]


def test_dpo_does_not_divide_by_length() -> None:
    policy, reference = logps([-10.0], [-20.0]), logps([-12.0], [-17.0])
    longer = Logps(policy.chosen, policy.rejected, 100 * policy.chosen_tokens, policy.rejected_tokens)
    assert dpo(longer, reference).loss.item() == dpo(policy, reference).loss.item()


def test_rewards_carry_no_gradient() -> None:
    found = dpo(logps([-1.0], [-2.0]), logps([-1.5], [-2.5]))
    assert found.loss.requires_grad
    assert not found.chosen.requires_grad
    assert not found.rejected.requires_grad


@pytest.mark.parametrize("model", [BradleyTerry, DPO])
def test_configuration_models_name_each_loss_and_its_hyper_parameters(model: type[BradleyTerry] | type[DPO]) -> None:
    loss = {**REWARD_LOSSES, **POLICY_LOSSES}[model().name]
    keywords = {k: p.default for k, p in inspect.signature(loss).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert keywords == {name: field.default for name, field in model.model_fields.items() if name != "name"}


def test_every_loss_has_its_configuration_model() -> None:
    assert {*REWARD_LOSSES, *POLICY_LOSSES} == {BradleyTerry().name, DPO().name}
