"""Log-probabilities under the frozen reference: computed once, kept by the content they depend on."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch

from engine.model.batches import Encoded
from engine.store.rundir import replacing


def fingerprint(model: torch.nn.Module) -> str:
    """SHA-256 over every weight, in order of name."""
    found = hashlib.sha256()
    for name, weight in sorted(model.named_parameters()):
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()


def path_of(cache: Path, weights: str, pairs: Sequence[tuple[Encoded, Encoded]], precision: str, compiled: bool) -> Path:
    """The file of these pairs' log-probabilities: its name hashes the model's weights, the arithmetic and every token."""
    found = hashlib.sha256(f"{weights} {precision} {compiled} {torch.__version__}".encode())
    for pair in pairs:
        for side in pair:
            found.update(repr((len(side.prompt), side.ends, side.common)).encode())
            found.update(side.prompt.tobytes() + side.response.tobytes())
    return cache / "references" / f"{found.hexdigest()[:32]}.parquet"


def read(path: Path) -> torch.Tensor | None:
    """(N, 2, 2): chosen and rejected, each of the whole response and of its common tokens, in nats; None when not computed yet."""
    if not path.is_file():
        return None
    return torch.tensor(pl.read_parquet(path).to_numpy(), dtype=torch.float32).view(-1, 2, 2)


def write(path: Path, logps: torch.Tensor) -> None:
    columns: dict[str, Any] = {
        name: logps.reshape(-1, 4)[:, i].tolist() for i, name in enumerate(("chosen", "chosen_common", "rejected", "rejected_common"))
    }
    with replacing(path) as file:
        pl.DataFrame(columns).write_parquet(file)
