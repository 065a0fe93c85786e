"""Several processes that do one run: who computes what, and how their parts come together. One process is the same code with one share.

Started by torchrun or `accelerate launch`, which set the environment that Accelerate reads.
"""

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import nn

Item = TypeVar("Item")


def joined(device: str) -> PartialState:
    """This process among those of the run; the first call connects them."""
    return PartialState(cpu=device == "cpu")


def leave() -> None:
    """Take the connection down, where there is one."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def beside() -> int:
    """The run's processes on this machine, which share its memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def index() -> int:
    """This process's number among those of the run, from 0."""
    return int(PartialState().process_index)


def many() -> bool:
    """Whether this run has more than one process."""
    return bool(PartialState().num_processes > 1)


def rounds(items: Sequence[Item]) -> list[Item | None]:
    """This process's items, one a round; None when a round has fewer items than processes, so that all count the same rounds."""
    state = PartialState()
    number, of = state.process_index, state.num_processes
    return [items[i] if i < len(items) else None for i in range(number, -(-len(items) // of) * of, of)]


def gathered(mine: list[Any]) -> list[Any]:
    """The items of every process, on every process; each exactly once."""
    found: list[Any] = gather_object(mine) if PartialState().num_processes > 1 else mine
    return found


def any_of(flag: bool) -> bool:
    """Whether it is so in any process: what all must do together is decided together."""
    return bool(most_of(int(flag)))


def most_of(number: int) -> int:
    """The largest of the processes' numbers."""
    state = PartialState()
    if state.num_processes == 1:
        return number
    largest = torch.tensor([number], device=state.device)
    torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
    return int(largest.item())


def mean_of(values: torch.Tensor) -> torch.Tensor:
    """The mean over the values of every process, which may have different numbers of them, a scalar."""
    state = PartialState()
    total = torch.stack([values.sum(), torch.tensor(float(len(values)), device=values.device)])
    if state.num_processes > 1:
        torch.distributed.all_reduce(total)
    return total[0] / total[1]


# One model divided among the processes


def divide(net: nn.Module, layers: Sequence[nn.Module], device: str) -> None:
    """Weights, and with them gradients and optimiser, in equal parts on the processes, in place: a layer is whole while it computes.

    Fully sharded data parallelism (Zhao et al. 2023). Each module goes to the device as it is divided, so the weights may still be in the
    processor's memory. From now on a forward pass is a work of all processes together.
    """
    from torch.distributed.device_mesh import init_device_mesh  # a second to import, which only a divided model costs
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device, (PartialState().num_processes,))
    for module in (*layers, net):
        fully_shard(module, mesh=mesh)


def is_divided(tensor: torch.Tensor) -> bool:
    return hasattr(tensor, "full_tensor")  # a DTensor


def whole(tensor: Any, wanted: bool = True) -> torch.Tensor:
    """A tensor out of its parts, in the processor's memory, where it is wanted; one that is not divided, as it is.

    All processes must call it together.
    """
    if not is_divided(tensor):
        return torch.as_tensor(tensor)
    together: torch.Tensor = tensor.full_tensor()
    return together.cpu() if wanted else together.new_empty(0)


def like(tensor: torch.Tensor, divided: Any) -> torch.Tensor:
    """This process's part of a whole tensor, when the other is divided and of the same shape."""
    if not is_divided(divided) or tensor.shape != divided.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, divided.device_mesh, divided.placements)
