"""Several processes that do one run: who computes what, and how their parts come together. One process is the same code with one share.

Started by torchrun or `accelerate launch`, which set the environment that Accelerate reads.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

Item = TypeVar("Item")


def joined(device: str) -> PartialState:
    """This process among those of the run; the first call connects them."""
    return PartialState(cpu=device == "cpu")


def leave() -> None:
    """Take the connection down, where there is one."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


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
    state = PartialState()
    if state.num_processes == 1:
        return flag
    told = torch.tensor([float(flag)], device=state.device)
    torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
    return bool(told.item())


def mean_of(values: torch.Tensor) -> torch.Tensor:
    """The mean over the values of every process, which may have different numbers of them, a scalar."""
    state = PartialState()
    total = torch.stack([values.sum(), torch.tensor(float(len(values)), device=values.device)])
    if state.num_processes > 1:
        torch.distributed.all_reduce(total)
    return total[0] / total[1]
