"""Losses equal numbers derived by hand."""

import inspect
import math
import re
from dataclasses import fields, replace
from typing import get_args

import pytest
import torch

from engine.kinds import losses
from engine.kinds.losses import POLICY_LOSSES, REWARD_LOSSES, Logps, Objective, bradley_terry, dpo, length_controlled, reference_point
from engine.settings.hyperparameters import DPO, IPO, AnyPolicyLoss, BradleyTerry, Frozen, LengthControl, OnPolicy


def logps(chosen: list[float], rejected: list[float], common: tuple[list[float], list[float]] | None = None) -> Logps:
    """Chosen responses have 7 tokens and rejected ones 3; what they have in common is stated or all of it."""
    ones = torch.ones(len(chosen))
    sides = torch.tensor(chosen, requires_grad=True), torch.tensor(rejected, requires_grad=True)
    first = sides if common is None else (torch.tensor(common[0]), torch.tensor(common[1]))
    return Logps(*sides, 7 * ones, 3 * ones, *first)


# The pair of most derivations below: Δ_c = −10 − (−12) = 2 nats, Δ_r = −20 − (−17) = −3 nats, so Δ_c − Δ_r = 5.
POLICY, REFERENCE = logps([-10.0], [-20.0]), logps([-12.0], [-17.0])


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


def test_centring_adds_half_the_squared_rewards() -> None:
    """r = (2, −1), λ = 0.1: 0.048587 + 0.1 / 2 · (4 + 1) = 0.298587."""
    found = bradley_terry(torch.tensor([2.0]), torch.tensor([-1.0]), centring=0.1)
    assert found.loss.item() == pytest.approx(0.298587, abs=1e-6)


def test_centring_is_align_anything_s_regularisation() -> None:
    """Theirs is λ · mean of the squares of all 2B rewards of a batch: rewards 2, −1, 3, 0 give 0.001 · (4 + 1 + 9 + 0) / 4 = 0.0035."""
    chosen, rejected = torch.tensor([2.0, 3.0]), torch.tensor([-1.0, 0.0])
    theirs = 0.001 * torch.stack([chosen, rejected]).square().mean()
    added = bradley_terry(chosen, rejected, centring=0.001).loss.mean() - bradley_terry(chosen, rejected).loss.mean()
    assert added.item() == pytest.approx(theirs.item(), abs=1e-7)
    assert added.item() == pytest.approx(0.0035, abs=1e-7)


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


def value(found: losses.PairLoss) -> float:
    return found.loss.item()


def test_smoothed_labels_pull_the_loss_towards_indifference() -> None:
    """d = 3, ε = 0.1: 0.9 · 0.048587 + 0.1 · 3.048587 = 0.348587."""
    found = bradley_terry(torch.tensor([2.0]), torch.tensor([-1.0]), label_smoothing=0.1)
    assert value(found) == pytest.approx(0.348587, abs=1e-6)


def test_conservative_dpo_by_hand() -> None:
    """h = 0.1 · 5 = 0.5, ε = 0.1: 0.9 · 0.474077 + 0.1 · 0.974077 = 0.524077."""
    assert value(dpo(POLICY, REFERENCE, beta=0.1, label_smoothing=0.1)) == pytest.approx(0.524077, abs=1e-6)


def test_robust_dpo_by_hand() -> None:
    """h = 0.5, ε = 0.1: (0.9 · 0.474077 − 0.1 · 0.974077) / 0.8 = 0.411577; without flips it is DPO."""
    assert value(losses.robust_dpo(POLICY, REFERENCE, beta=0.1, label_smoothing=0.1)) == pytest.approx(0.411577, abs=1e-6)
    assert value(losses.robust_dpo(POLICY, REFERENCE, beta=0.1, label_smoothing=0.0)) == pytest.approx(0.474077, abs=1e-6)


def test_robust_dpo_is_unbiased_under_flipped_labels() -> None:
    """A label flipped at rate ε: (1 − ε) L(c, r) + ε L(r, c) = DPO of the true label."""
    turned = (logps([-20.0], [-10.0]), logps([-17.0], [-12.0]))
    mean = 0.7 * value(losses.robust_dpo(POLICY, REFERENCE, label_smoothing=0.3)) + 0.3 * value(
        losses.robust_dpo(*turned, label_smoothing=0.3)
    )
    assert mean == pytest.approx(value(dpo(POLICY, REFERENCE)), abs=1e-5)


def test_ipo_by_hand() -> None:
    """β = 0.1, so the target is 5. Sum: (5 − 5)² = 0. Mean: 2/7 − (−3/3) = 1.285714, (1.285714 − 5)² = 13.795918."""
    assert value(losses.ipo(POLICY, REFERENCE, beta=0.1, reduction="sum")) == pytest.approx(0.0, abs=1e-6)
    found = losses.ipo(POLICY, REFERENCE, beta=0.1, reduction="mean")
    assert value(found) == pytest.approx(13.795918, abs=1e-5)
    assert (found.chosen.item(), found.rejected.item()) == pytest.approx((0.2 / 7, -0.1))


def test_simpo_by_hand() -> None:
    """Per token −10/7 = −1.428571 and −20/3 = −6.666667; β = 2: difference 10.476190; γ = 10: −log σ(0.476190) = 0.483133."""
    found = losses.simpo(POLICY, beta=2.0, gamma=10.0)
    assert value(found) == pytest.approx(0.483133, abs=1e-5)
    assert found.chosen.item() == pytest.approx(-20 / 7)


def test_simpo_s_gamma_is_beta_times_the_authors_gamma_beta_ratio() -> None:
    """Their code: −log σ(β (p_c − p_r − gamma_beta_ratio)); p_c − p_r = −20/7 + 10/3 = 0.476190, β = 2, ratio 0.5: −log σ(−0.047619)."""
    policy = logps([-20.0], [-10.0])
    theirs = -torch.nn.functional.logsigmoid(2 * (torch.tensor(-20 / 7) - torch.tensor(-10 / 3) - 0.5))
    assert value(losses.simpo(policy, beta=2.0, gamma=2 * 0.5)) == pytest.approx(theirs.item())


def test_orpo_by_hand() -> None:
    """p_c = log 0.5, p_r = log 0.2 (7 and 3 tokens): odds 1 and 1/4, log odds ratio log 4; −log σ(log 4) = log(5/4) = 0.223144.
    L = log 2 + 0.1 · 0.223144 = 0.715462."""
    policy = logps([7 * math.log(0.5)], [3 * math.log(0.2)])
    assert value(losses.orpo(policy, beta=0.1)) == pytest.approx(0.715462, abs=1e-6)


@pytest.mark.parametrize("chosen", [-1e-6, 0.0])
def test_orpo_stays_finite_near_certainty(chosen: float) -> None:
    policy = logps([chosen], [-900.0])
    found = losses.orpo(policy)
    found.loss.sum().backward()
    assert math.isfinite(value(found))
    assert policy.chosen.grad is not None
    assert torch.isfinite(policy.chosen.grad).all()


def test_kto_by_hand() -> None:
    """z₀ = 0.1 · 1: chosen 1 − σ(0.2 − 0.1) = 0.475021, rejected 1 − σ(0.1 + 0.3) = 0.401312; weights 1 and 2: 1.277645."""
    found = losses.kto(POLICY, REFERENCE, torch.tensor(1.0), beta=0.1, desirable=1.0, undesirable=2.0)
    assert value(found) == pytest.approx(0.475021 + 2 * 0.401312, abs=1e-5)


def test_kto_begins_with_half_of_dpo_s_gradient() -> None:
    """At the reference and z₀ = 0 both terms are ½; a side's gradient is β σ(0) (1 − σ(0)) = β/4, DPO's is β σ(0) = β/2."""
    found = {}
    for name in ("kto", "dpo"):
        policy = logps([-12.0], [-17.0])
        objective = Objective(((1.0, POLICY_LOSSES[name], {"beta": 0.1}),))
        objective(policy, reference=REFERENCE, shift=torch.tensor(0.0)).loss.sum().backward()
        assert policy.chosen.grad is not None
        found[name] = policy.chosen.grad.item()
    assert found == pytest.approx({"kto": -0.025, "dpo": -0.05})


def test_kto_s_reference_point_is_the_mean_log_ratio_but_never_negative() -> None:
    """Δ = 2 and −3: mean −0.5, so 0; Δ = 2 and −1: 0.5. No gradient flows through it."""
    assert reference_point(torch.tensor([2.0, -3.0])).item() == 0.0
    assert reference_point(torch.tensor([2.0, -1.0], requires_grad=True)).item() == 0.5
    assert not reference_point(torch.tensor([2.0, -1.0], requires_grad=True)).requires_grad


def test_dpop_by_hand() -> None:
    """Chosen gained, no penalty: DPO. Δ_c = −2, Δ_r = −7, λ = 0.5: h = 0.1 · (5 − 0.5 · 2) = 0.4, L = log(1 + e^−0.4) = 0.513015."""
    assert value(losses.dpop(POLICY, REFERENCE, penalty=50.0)) == pytest.approx(0.474077, abs=1e-6)
    lost = logps([-14.0], [-24.0])
    assert value(losses.dpop(lost, REFERENCE, beta=0.1, penalty=0.5)) == pytest.approx(0.513015, abs=1e-6)


def test_rpo_adds_the_chosen_response_s_likelihood() -> None:
    """0.474077 + 0.5 · 10 / 7 = 1.188363."""
    assert value(losses.rpo(POLICY, REFERENCE, beta=0.1, alpha=0.5)) == pytest.approx(1.188363, abs=1e-6)


def test_length_desensitised_dpo_by_hand() -> None:
    """The first 3 tokens: policy −4, reference −5, so Δ = 1; the other 4 have Δ = 1. Rejected: all 3 in common, Δ = −3.
    α = 0.5: Δ'_c = 1.5; β = 0.1: rewards 0.15 and −0.3, L = log(1 + e^−0.45) = 0.493249. α = 1 is DPO."""
    policy, reference = logps([-10.0], [-20.0], ([-4.0], [-20.0])), logps([-12.0], [-17.0], ([-5.0], [-17.0]))
    found = losses.ld_dpo(policy, reference, beta=0.1, alpha=0.5)
    assert (found.chosen.item(), found.rejected.item()) == pytest.approx((0.15, -0.3))
    assert value(found) == pytest.approx(0.493249, abs=1e-6)
    assert value(losses.ld_dpo(policy, reference, alpha=1.0)) == pytest.approx(value(dpo(policy, reference)))


def test_length_regularised_dpo_by_hand() -> None:
    """h = 0.5 + 0.05 · (7 − 3) = 0.7: L = log(1 + e^−0.7) = 0.403186; the gradient is smaller than DPO's."""
    assert value(losses.r_dpo(POLICY, REFERENCE, beta=0.1, alpha=0.05)) == pytest.approx(0.403186, abs=1e-6)


def test_guided_dpo_asks_for_the_reward_model_s_margin() -> None:
    """h = 0.5 − 0.1 · 5 = 0: log 2; guide −5: h = 1, L = 0.313262."""
    assert value(losses.guided_dpo(POLICY, REFERENCE, torch.tensor([5.0]), scale=0.1)) == pytest.approx(math.log(2))
    assert value(losses.guided_dpo(POLICY, REFERENCE, torch.tensor([-5.0]), scale=0.1)) == pytest.approx(0.313262, abs=1e-6)


SAME = logps([-31.5, -2.0], [-40.0, -9.0])
AT_REFERENCE = {
    "dpo": math.log(2),
    "robust_dpo": math.log(2),  # (−0.9 + 0.1) log ½ / 0.8
    "ipo": 25.0,  # (1 / 0.2)²
    "kto": 1.0,  # two halves
    "dpop": math.log(2),
    "ld_dpo": math.log(2),
    "guided_dpo": math.log(2),  # guide 0
    "r_dpo": math.log(1 + math.exp(-0.04)),  # 0.01 · (7 − 3)
}


@pytest.mark.parametrize("name", AT_REFERENCE)
def test_policy_equal_to_reference_gives_the_closed_form(name: str) -> None:
    objective = Objective(((1.0, POLICY_LOSSES[name], {}),))
    found = objective(SAME, reference=SAME, shift=torch.tensor(0.0), guide=torch.zeros(2))
    assert found.loss.tolist() == pytest.approx([AT_REFERENCE[name]] * 2)
    assert found.chosen.tolist() == found.rejected.tolist() == [0.0, 0.0]


def test_rpo_at_the_reference_is_log_2_and_the_likelihood() -> None:
    """log 2 + 31.5 / 7 = 5.193147."""
    assert losses.rpo(SAME, SAME).loss[0].item() == pytest.approx(5.193147, abs=1e-6)


@pytest.mark.parametrize("name", POLICY_LOSSES)
def test_every_loss_raises_chosen_above_rejected(name: str) -> None:
    """From the reference, a small step against the gradient widens the margin of log-probabilities."""
    policy, reference = logps([-31.5], [-12.0]), logps([-31.5], [-12.0])
    whole = Logps(policy.chosen, policy.rejected, policy.chosen_tokens, policy.rejected_tokens, policy.chosen * 0.5, policy.rejected)
    Objective(((1.0, POLICY_LOSSES[name], {}),))(
        whole, reference=reference, shift=torch.tensor(0.0), guide=torch.zeros(1)
    ).loss.sum().backward()
    assert policy.chosen.grad is not None
    assert policy.chosen.grad.item() < 0
    assert policy.rejected.grad is None or policy.rejected.grad.item() >= 0


def test_losses_add_up_with_their_weights_and_the_first_gives_the_rewards() -> None:
    """DPO + 0.2 · ORPO."""
    objective = Objective(((1.0, dpo, {"beta": 0.1}), (0.2, losses.orpo, {})))
    found = objective(POLICY, reference=REFERENCE)
    assert value(found) == pytest.approx(value(dpo(POLICY, REFERENCE)) + 0.2 * value(losses.orpo(POLICY)))
    assert found.chosen.item() == pytest.approx(0.2)
    assert objective.needs == {"reference"}


def test_only_losses_that_compare_with_a_reference_ask_for_one() -> None:
    free = {name for name, loss in POLICY_LOSSES.items() if "reference" not in Objective(((1.0, loss, {}),)).needs}
    assert free == {"simpo", "orpo"}


def test_length_control_by_hand() -> None:
    """r = 6, 10 tokens: 6 / (2 + 10) = 0.5; penalty 0.1 · |10 − 4| = 0.6, so −0.1; without division 6 − 0.6 = 5.4."""
    reward, tokens = torch.tensor([6.0]), torch.tensor([10])
    assert length_controlled(reward, tokens, divide=2.0, penalty=0.1, target=4).item() == pytest.approx(-0.1)
    assert length_controlled(reward, tokens, penalty=0.1, target=4).item() == pytest.approx(5.4)
    assert length_controlled(reward, tokens).item() == 6.0


def test_dpo_does_not_divide_by_length() -> None:
    longer = replace(POLICY, chosen_tokens=100 * POLICY.chosen_tokens)
    assert dpo(longer, REFERENCE).loss.item() == dpo(POLICY, REFERENCE).loss.item()


def test_rewards_carry_no_gradient() -> None:
    found = dpo(logps([-1.0], [-2.0]), logps([-1.5], [-2.5]))
    assert found.loss.requires_grad
    assert not found.chosen.requires_grad
    assert not found.rejected.requires_grad


MODELS = (BradleyTerry, *get_args(AnyPolicyLoss))


@pytest.mark.parametrize("model", MODELS)
def test_configuration_models_name_each_loss_and_its_hyper_parameters(model: type[Frozen]) -> None:
    loss = {**REWARD_LOSSES, **POLICY_LOSSES}[model.model_fields["name"].default]
    keywords = {k: p.default for k, p in inspect.signature(loss).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert keywords == {name: field.default for name, field in model.model_fields.items() if name != "name"}


@pytest.mark.parametrize("model", get_args(AnyPolicyLoss))
def test_the_reward_a_loss_declares_is_the_one_it_gives(model: type[OnPolicy]) -> None:
    """A response of twice the tokens, each as probable as before, has twice the log-ratio and the same mean; β scales every reward."""
    declared = model()
    loss, reward = POLICY_LOSSES[declared.model_dump()["name"]], declared.reward

    def chosen(times: int, beta: float, reference: Logps = REFERENCE) -> float:
        sides = [replace(one, **{f.name: times * getattr(one, f.name) for f in fields(one)}) for one in (POLICY, reference)]
        given = {"reference": sides[1], "shift": torch.tensor(0.0), "guide": torch.zeros(1)}
        return Objective(((1.0, loss, {"beta": beta}),))(sides[0], **given).chosen.item()

    assert chosen(2, 0.1) == pytest.approx((1 if declared.per_token else 2) * chosen(1, 0.1))
    assert chosen(1, 0.2) == pytest.approx(2 * chosen(1, 0.1))
    assert (reward.unit == "nats per token") is declared.per_token
    assert ("reference" in reward.label) is (chosen(1, 0.1) != chosen(1, 0.1, logps([-15.0], [-17.0])))


def test_losses_that_are_not_nats_say_so() -> None:
    """IPO squares a difference of log-ratios; KTO's value is one less a probability."""
    units = {str(model.model_fields["name"].default): model().loss_unit for model in get_args(AnyPolicyLoss)}
    assert {name: unit for name, unit in units.items() if unit != "nats"} == {"ipo": "(nats per token)²", "kto": ""}
    assert IPO(reduction="sum").loss_unit == "nats²"
    assert IPO(reduction="sum").reward == DPO().reward


def test_every_loss_has_its_configuration_model() -> None:
    assert {*REWARD_LOSSES, *POLICY_LOSSES} == {model.model_fields["name"].default for model in MODELS}


def test_length_control_has_its_configuration_model() -> None:
    keywords = {k for k, p in inspect.signature(length_controlled).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert keywords == {*LengthControl.model_fields} - {"when"}


@pytest.mark.parametrize("loss", [*POLICY_LOSSES.values(), bradley_terry])
def test_every_loss_states_its_formula_and_source(loss: object) -> None:
    assert "L = " in str(loss.__doc__)
    assert re.search(r"et al\. \d{4}|Terry 1952", str(loss.__doc__))
