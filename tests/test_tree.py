"""One packed row with shared prompts gives what separate runs with the library's own attention give."""

from typing import Any

import pytest
import torch
from tiny import pairs, tiny_chat, tiny_config
from transformers import AutoModel

from engine.errors import ModelError
from engine.model.batches import encode_pairs
from engine.model.networks import hidden_states
from engine.model.packing import pack
from engine.model.tree import ATTENTION

SIDES = [side for pair in encode_pairs(tiny_chat(), pairs(4)) for side in pair]


@pytest.fixture(params=["llama", "qwen2"])
def backbone(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(1)
    return AutoModel.from_config(tiny_config(request.param), attn_implementation=ATTENTION).eval()


def apart(backbone: Any, implementation: str) -> list[torch.Tensor]:
    """The hidden states of each response, every sequence run alone, (L, d) each."""
    backbone.set_attn_implementation(implementation)
    found = [backbone(input_ids=torch.tensor([[*s.prompt, *s.response]])).last_hidden_state[0, len(s.prompt) :] for s in SIDES]
    backbone.set_attn_implementation(ATTENTION)
    return found


def together(backbone: Any) -> list[torch.Tensor]:
    packed = pack(SIDES)
    hidden = hidden_states(backbone, packed)
    return [hidden[packed.rows[n, len(s.prompt) : len(s)]] for n, s in enumerate(SIDES)]


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_packed_row_equals_separate_runs(backbone: Any, implementation: str) -> None:
    with torch.no_grad():
        for packed, alone in zip(together(backbone), apart(backbone, implementation), strict=True):
            assert torch.allclose(packed, alone, atol=5e-5)


def test_gradients_equal_separate_runs(backbone: Any) -> None:
    """The shared prompt's gradient is the sum of what each response sends back."""
    gradients = []
    for run in (together, lambda b: apart(b, "eager")):
        backbone.zero_grad()
        sum((h.square().sum() for h in run(backbone)), torch.zeros(())).backward()
        gradients.append({name: p.grad.clone() for name, p in backbone.named_parameters()})
    for name, packed in gradients[0].items():
        assert torch.allclose(packed, gradients[1][name], atol=1e-3, rtol=1e-3), name


def test_a_response_does_not_see_its_sibling(backbone: Any) -> None:
    first, second = SIDES[:2]
    with torch.no_grad():
        pair = hidden_states(backbone, packed := pack([first, second]))
        twins = hidden_states(backbone, same := pack([first, first]))
    assert torch.allclose(pair[packed.rows[0, : len(first)]], twins[same.rows[0, : len(first)]], atol=1e-5)


def test_sliding_window_shorter_than_a_sequence_is_refused() -> None:
    config = tiny_config("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=0)
    model = AutoModel.from_config(config, attn_implementation=ATTENTION)
    with pytest.raises(ModelError, match="attends within 8 tokens only"):
        hidden_states(model, pack(SIDES))


def test_row_without_its_layout_is_refused(backbone: Any) -> None:
    with pytest.raises(ModelError, match="does not pass the packed layout on"):
        backbone(input_ids=torch.tensor([[1, 2, 3]]))
