"""Losses as pure functions of rewards or log-probabilities; each value has shape (B,), one number per pair.

Hyper-parameters are the fields of the model of the same name in config.py.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class PairLoss:
    """Loss and the rewards it implies, each (B,)."""

    loss: torch.Tensor
    chosen: torch.Tensor
    rejected: torch.Tensor


@dataclass(frozen=True)
class Logps:
    """Total log-probabilities of chosen and rejected in nats and their lengths in tokens, each (B,)."""

    chosen: torch.Tensor
    rejected: torch.Tensor
    chosen_tokens: torch.Tensor
    rejected_tokens: torch.Tensor


def bradley_terry(chosen: torch.Tensor, rejected: torch.Tensor, *, centring: float = 0.0, margin: float = 0.0) -> PairLoss:
    """Raise the chosen response's reward above the rejected one's.

    L = −log σ(r_c − r_r − m) + λ (r_c² + r_r²)
    Bradley and Terry 1952; Ouyang et al. 2022, Eq. 1; margin: Touvron et al. 2023, Eq. 2; the squared rewards are align-anything's
    regularisation, which holds the scale that the first term leaves free.
    chosen, rejected: rewards, each (B,).
    """
    loss = -logsigmoid(chosen - rejected - margin) + centring * (chosen**2 + rejected**2)
    return PairLoss(loss, chosen.detach(), rejected.detach())


def dpo(policy: Logps, reference: Logps, *, beta: float = 0.1) -> PairLoss:
    """Raise the chosen response's log-ratio to the reference above the rejected one's.

    L = −log σ(β (Δ_c − Δ_r)),  Δ = log π(y|x) − log π_ref(y|x)   [nats per response]
    Rafailov et al. 2023, Eq. 7; the rewards βΔ are its Eq. 5 without the term of the prompt.
    """
    chosen = beta * (policy.chosen - reference.chosen)
    rejected = beta * (policy.rejected - reference.rejected)
    return PairLoss(-logsigmoid(chosen - rejected), chosen.detach(), rejected.detach())


REWARD_LOSSES = {"bradley_terry": bradley_terry}
POLICY_LOSSES = {"dpo": dpo}
