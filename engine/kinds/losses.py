"""Losses as pure functions of rewards or log-probabilities; each value has shape (B,), one number per pair.

Hyper-parameters are the fields of the model of the same name in hyperparameters.py. A function takes `reference` only when it needs
one, `shift` when it needs the batch's reference point and `guide` when it needs a reward model's differences.
Notation: Δ = log π(y|x) − log π_ref(y|x) in nats, |y| = response tokens, subscripts c and r = chosen and rejected.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class PairLoss:
    """Loss and the rewards it implies, each (B,); the rewards carry no gradient."""

    loss: torch.Tensor
    chosen: torch.Tensor
    rejected: torch.Tensor


@dataclass(frozen=True)
class Logps:
    """Log-probabilities of chosen and rejected in nats, each (B,).

    chosen, rejected: of the whole response. *_tokens: its length. *_common: of its first min(|y_c|, |y_r|) tokens.
    """

    chosen: torch.Tensor
    rejected: torch.Tensor
    chosen_tokens: torch.Tensor
    rejected_tokens: torch.Tensor
    chosen_common: torch.Tensor
    rejected_common: torch.Tensor


def bradley_terry(
    chosen: torch.Tensor, rejected: torch.Tensor, *, centring: float = 0.0, margin: float = 0.0, label_smoothing: float = 0.0
) -> PairLoss:
    """Raise the chosen response's reward above the rejected one's.

    L = −(1 − ε) log σ(r_c − r_r − m) − ε log σ(r_r − r_c + m) + λ/2 (r_c² + r_r²)
    Bradley and Terry 1952; Ouyang et al. 2022, Eq. 1; margin: Touvron et al. 2023, Eq. 2; ε: label smoothing, as in conservative DPO.
    The last term is align-anything's regularisation, λ times the mean of a batch's squared rewards: the others do not fix r_c + r_r.
    chosen, rejected: rewards, each (B,).
    """
    loss = smoothed(chosen - rejected - margin, label_smoothing) + centring / 2 * (chosen**2 + rejected**2)
    return PairLoss(loss, chosen.detach(), rejected.detach())


def dpo(policy: Logps, reference: Logps, *, beta: float = 0.1, label_smoothing: float = 0.0) -> PairLoss:
    """Raise the chosen response's log-ratio to the reference above the rejected one's.

    L = −(1 − ε) log σ(β (Δ_c − Δ_r)) − ε log σ(−β (Δ_c − Δ_r))
    Rafailov et al. 2023, Eq. 7; the rewards βΔ are its Eq. 5 without the term of the prompt. ε > 0 is conservative DPO
    (Mitchell 2023, "A note on DPO with noisy preferences", Eq. 3).
    """
    chosen, rejected = log_ratios(policy, reference)
    return rewarded(smoothed(beta * (chosen - rejected), label_smoothing), beta * chosen, beta * rejected)


def robust_dpo(policy: Logps, reference: Logps, *, beta: float = 0.1, label_smoothing: float = 0.1) -> PairLoss:
    """DPO whose expectation under labels flipped at rate ε is the loss under the true labels.

    L = [−(1 − ε) log σ(h) + ε log σ(−h)] / (1 − 2ε),  h = β (Δ_c − Δ_r)
    Chowdhury et al. 2024 (Provably Robust DPO), the rDPO loss.
    """
    chosen, rejected = log_ratios(policy, reference)
    h = beta * (chosen - rejected)
    loss = (-(1 - label_smoothing) * logsigmoid(h) + label_smoothing * logsigmoid(-h)) / (1 - 2 * label_smoothing)
    return rewarded(loss, beta * chosen, beta * rejected)


def ipo(policy: Logps, reference: Logps, *, beta: float = 0.1, reduction: str = "mean") -> PairLoss:
    """Bring the log-ratios' difference to 1 / (2β).

    L = (h − 1 / (2β))²,  h = Δ_c − Δ_r (reduction sum) or Δ_c / |y_c| − Δ_r / |y_r| (reduction mean)
    Azar et al. 2023, Eq. 17 (its τ is β), which has the sum; the mean per token is what common implementations train.
    """
    chosen, rejected = log_ratios(policy, reference)
    if reduction == "mean":
        chosen, rejected = chosen / policy.chosen_tokens, rejected / policy.rejected_tokens
    return rewarded((chosen - rejected - 1 / (2 * beta)) ** 2, beta * chosen, beta * rejected)


def simpo(policy: Logps, *, beta: float = 2.0, gamma: float = 1.0) -> PairLoss:
    """Raise the chosen response's per-token log-probability above the rejected one's by a margin, without a reference.

    L = −log σ(β log π(y_c|x) / |y_c| − β log π(y_r|x) / |y_r| − γ)
    Meng et al. 2024, Eq. 6.
    """
    chosen, rejected = (beta * side for side in per_token(policy))
    return rewarded(-logsigmoid(chosen - rejected - gamma), chosen, rejected)


def orpo(policy: Logps, *, beta: float = 0.1) -> PairLoss:
    """Negative log-likelihood of the chosen response plus the log odds ratio of the two, without a reference.

    L = −p_c − β log σ(log odds_c − log odds_r),  p = log π(y|x) / |y|,  log odds = p − log(1 − e^p)
    Hong et al. 2024, Eq. 6 and 7 (its λ is β). Rewards: β p.
    """
    chosen, rejected = per_token(policy)
    odds = (chosen - log_of_rest(chosen)) - (rejected - log_of_rest(rejected))
    return rewarded(-chosen - beta * logsigmoid(odds), beta * chosen, beta * rejected)


def kto(
    policy: Logps, reference: Logps, shift: torch.Tensor, *, beta: float = 0.1, desirable: float = 1.0, undesirable: float = 1.0
) -> PairLoss:
    """A chosen response is a gain and a rejected one a loss, both measured from a reference point.

    L = λ_w (1 − σ(β (Δ_c − z₀))) + λ_l (1 − σ(β (z₀ − Δ_r)))
    Ethayarajh et al. 2024, Eq. 8, on pairs. shift: z₀, the `reference_point` of the whole effective batch, a scalar in nats.
    """
    chosen, rejected = log_ratios(policy, reference)
    gain = 1 - torch.sigmoid(beta * (chosen - shift))
    pain = 1 - torch.sigmoid(beta * (shift - rejected))
    return rewarded(desirable * gain + undesirable * pain, beta * chosen, beta * rejected)


def reference_point(ratios: torch.Tensor) -> torch.Tensor:
    """max(0, mean of Δ) over all responses of a batch: the estimate of KL(π ‖ π_ref) that KTO compares with, in nats.

    The paper estimates it on mismatched prompts and responses; on pairs the batch's own responses stand in for them. ratios: (2B,).
    """
    return ratios.detach().mean().clamp(min=0)


def dpop(policy: Logps, reference: Logps, *, beta: float = 0.1, penalty: float = 5.0) -> PairLoss:
    """DPO that is penalised when the chosen response becomes less probable than under the reference.

    L = −log σ(β (Δ_c − Δ_r − λ max(0, −Δ_c)))
    Pal et al. 2024 (Smaug), Eq. 3.
    """
    chosen, rejected = log_ratios(policy, reference)
    lost = torch.relu(-chosen)
    return rewarded(-logsigmoid(beta * (chosen - rejected - penalty * lost)), beta * chosen, beta * rejected)


def rpo(policy: Logps, reference: Logps, *, beta: float = 0.1, alpha: float = 1.0) -> PairLoss:
    """DPO plus the chosen response's negative log-likelihood per token.

    L = −log σ(β (Δ_c − Δ_r)) − α log π(y_c|x) / |y_c|
    Pang et al. 2024 (Iterative Reasoning Preference Optimization), Eq. 1.
    """
    found = dpo(policy, reference, beta=beta)
    return PairLoss(found.loss - alpha * policy.chosen / policy.chosen_tokens, found.chosen, found.rejected)


def ld_dpo(policy: Logps, reference: Logps, *, beta: float = 0.1, alpha: float = 0.5) -> PairLoss:
    """DPO in which what a response says beyond the other one's length counts less.

    Δ' = Δ of the first min(|y_c|, |y_r|) tokens + α Δ of the rest;  L = −log σ(β (Δ'_c − Δ'_r))
    Liu et al. 2024 (Length Desensitization in Direct Preference Optimization), the LD-DPO likelihood. Rewards: βΔ'.
    """
    whole, common = (
        log_ratios(policy, reference),
        (policy.chosen_common - reference.chosen_common, policy.rejected_common - reference.rejected_common),
    )
    chosen, rejected = (beta * (alpha * all_of_it + (1 - alpha) * first) for all_of_it, first in zip(whole, common, strict=True))
    return rewarded(-logsigmoid(chosen - rejected), chosen, rejected)


def r_dpo(policy: Logps, reference: Logps, *, beta: float = 0.1, alpha: float = 0.01) -> PairLoss:
    """DPO with a length regulariser.

    L = −log σ(β (Δ_c − Δ_r) + α (|y_c| − |y_r|))
    Park et al. 2024 (Disentangling Length from Quality in DPO), Eq. 9: the reward is βΔ + α |y|, so a longer chosen response is
    explained by its length in part and moves the policy less.
    """
    chosen, rejected = log_ratios(policy, reference)
    longer = policy.chosen_tokens - policy.rejected_tokens
    return rewarded(-logsigmoid(beta * (chosen - rejected) + alpha * longer), beta * chosen, beta * rejected)


def guided_dpo(policy: Logps, reference: Logps, guide: torch.Tensor, *, beta: float = 0.1, scale: float = 0.1) -> PairLoss:
    """DPO with an offset: how far a reward model holds the two apart is how far they must come apart.

    L = −log σ(β (Δ_c − Δ_r) − s (r_c − r_r))
    Amini et al. 2024 (DPO with an Offset), the ODPO loss, with a reward model's difference for the offset. guide: r_c − r_r, (B,).
    """
    chosen, rejected = log_ratios(policy, reference)
    return rewarded(-logsigmoid(beta * (chosen - rejected) - scale * guide), beta * chosen, beta * rejected)


def rewarded(loss: torch.Tensor, chosen: torch.Tensor, rejected: torch.Tensor) -> PairLoss:
    return PairLoss(loss, chosen.detach(), rejected.detach())


def smoothed(margin: torch.Tensor, share: float) -> torch.Tensor:
    """−(1 − ε) log σ(m) − ε log σ(−m)."""
    return -(1 - share) * logsigmoid(margin) - share * logsigmoid(-margin)


def log_ratios(policy: Logps, reference: Logps) -> tuple[torch.Tensor, torch.Tensor]:
    """Δ of chosen and rejected."""
    return policy.chosen - reference.chosen, policy.rejected - reference.rejected


def per_token(policy: Logps) -> tuple[torch.Tensor, torch.Tensor]:
    """log π(y|x) / |y| of chosen and rejected."""
    return policy.chosen / policy.chosen_tokens, policy.rejected / policy.rejected_tokens


def log_of_rest(p: torch.Tensor) -> torch.Tensor:
    """log(1 − e^p) for p ≤ 0, exact near zero too; a p that rounds to zero is taken as the smallest step below it."""
    return torch.log(-torch.expm1(p.clamp(max=-torch.finfo(p.dtype).eps)))


def length_controlled(
    rewards: torch.Tensor, tokens: torch.Tensor, *, divide: float | None = None, penalty: float = 0.0, target: int = 0
) -> torch.Tensor:
    """What length does to a reward: r / (α + |y|) − λ ||y| − L₀|, or without the division. rewards, tokens: (N,)."""
    scaled = rewards if divide is None else rewards / (divide + tokens)
    return scaled - penalty * (tokens - target).abs()


@dataclass(frozen=True)
class Objective:
    """A weighted sum of policy losses. Its rewards are those of the first term."""

    terms: tuple[tuple[float, Callable[..., PairLoss], dict[str, Any]], ...]

    @property
    def needs(self) -> set[str]:
        """What the terms ask for besides the policy: reference, shift, guide."""
        return {name for _, loss, _ in self.terms for name in signature(loss).parameters if name in ("reference", "shift", "guide")}

    def __call__(self, policy: Logps, **given: Any) -> PairLoss:
        """given: values for what the terms need; others are ignored."""
        found = [
            (weight, loss(policy, **{k: v for k, v in given.items() if k in signature(loss).parameters}, **settings))
            for weight, loss, settings in self.terms
        ]
        total = torch.stack([weight * one.loss for weight, one in found]).sum(0)
        return PairLoss(total, found[0][1].chosen, found[0][1].rejected)


REWARD_LOSSES = {"bradley_terry": bradley_terry}
POLICY_LOSSES = {f.__name__: f for f in (dpo, robust_dpo, ipo, simpo, orpo, kto, dpop, rpo, ld_dpo, r_dpo, guided_dpo)}
