"""Values of many sequences under one network, batch by batch, shared by the processes of a run."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from engine.errors import RunError
from engine.machine import processes
from engine.machine.device_plan import SCORING_TOKENS
from engine.model import networks
from engine.model.batches import Encoded, scoring_batches
from engine.model.packing import pack


@torch.no_grad()
def values_of(
    net: networks.RewardModel | networks.Policy,
    sequences: Sequence[Encoded],
    device: str,
    precision: str,
    read_at: str = "template_end",
    compiled: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> torch.Tensor:
    """What the network gives each sequence, in their order: rewards (N,) of a reward model, log-probabilities (N, 2) of a policy.

    compiled: how the layers run (`networks.scores_compiled`).
    Several processes share the batches, and every one gets all values; one that has none left in the last round does the first again,
    because the weights of a divided model come together in all processes or in none. Raises RunError when a value is not finite.
    """
    mine: list[tuple[int, Any]] = []
    batches = scoring_batches(sequences, SCORING_TOKENS[device])
    shared = processes.rounds(batches)
    # one autocast around all batches, so that layers as they are written cast their weights once
    with networks.layers(net.model, compiled), networks.autocast(precision, device):
        for number, batch in enumerate(shared, 1):
            packed = pack([sequences[i] for i in batch or batches[0]], read_at).to(device)
            found = net(packed).float().tolist()
            if batch is not None:
                mine.extend(zip(batch, found, strict=True))
            progress(round(number / len(shared) * len(sequences)), len(sequences))
    values = torch.tensor([value for _, value in sorted(processes.gathered(mine))])
    if not values.isfinite().all():
        raise RunError("the model gives numbers that are not finite: its weights are broken. Lower the learning rate or use fp32")
    return values
