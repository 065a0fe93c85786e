"""Tests of what CUDA computes, against one sequence at a time on the CPU. Without a GPU they are skipped.

PREFSCOPE_GPU_DEVICE=cpu runs them on the CPU instead, to see that they run: what they say of CUDA is then not tested.
"""

import os
from pathlib import Path

import pytest
import torch

from .random_models import Sequences, random_sequences


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def device() -> str:
    wanted = os.environ.get("PREFSCOPE_GPU_DEVICE", "cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device (PREFSCOPE_GPU_DEVICE=cpu runs this test on the CPU)")
    return wanted


@pytest.fixture(scope="session")
def pairs() -> Sequences:
    """Eight pairs of random tokens, chosen and rejected by turns."""
    return random_sequences(8)
