"""Attention, log-probabilities, rewards and answers on the device are those of single sequences on the CPU."""

from typing import Any

import pytest
import torch

from engine.model import tree
from engine.model.decoding import STEP_ATTENTION, continued
from engine.model.networks import Policy, RewardModel, autocast
from engine.model.packing import pack
from engine.model.scoring import values_of
from engine.settings.config import GenerateConfig

from .random_models import END, VOCABULARY, Sequences, plain_logps, plain_reward, random_classifier, random_config, random_policy

FP32 = 2e-4  # of values of about 1
FP32_SUM = 2e-3  # of sums over some hundred tokens
BF16 = 0.05  # of a reward, and of a token's log-probability: bf16 has 8 bits, 2⁻⁹ for each of some ten roundings of values up to 5


@pytest.fixture(params=["llama", "qwen2"])
def config(request: pytest.FixtureRequest) -> Any:
    return random_config(request.param)


def test_attention_of_sequences_laid_out_is_attention_by_spans_with_its_gradient(device: str, pairs: Sequences) -> None:
    packed = pack(pairs)
    torch.manual_seed(0)
    inputs = [(torch.randn(heads, packed.tokens, 16) / 2).requires_grad_() for heads in (2, 1, 1)]
    expected = tree.on_spans(*(tree.for_each_query(x, inputs[0], 0) for x in inputs), packed.spans)
    there = [x.detach().to(device).requires_grad_() for x in inputs]
    found = tree.on_rows(*there, *(x.to(device) for x in (packed.rows, packed.index)))
    assert torch.allclose(found.cpu(), expected, atol=FP32)
    gradients = (torch.autograd.grad(out.square().sum(), of) for out, of in ((found, there), (expected, inputs)))
    for one, two in zip(*gradients, strict=True):
        assert torch.allclose(one.cpu(), two, atol=FP32_SUM)


def test_log_probabilities_are_those_of_one_sequence_at_a_time(device: str, config: Any, pairs: Sequences) -> None:
    plain = random_policy(config, attention="eager")
    with torch.no_grad():
        expected = torch.stack([plain_logps(plain, s) for s in pairs])
        found = Policy(random_policy(config, device))(pack(pairs).to(device)).cpu()
    assert torch.allclose(found, expected, atol=FP32_SUM)


def test_log_probabilities_in_bf16_stay_within_their_bound(device: str, config: Any, pairs: Sequences) -> None:
    plain, lengths = random_policy(config, attention="eager"), torch.tensor([s.ends for s in pairs])
    with torch.no_grad():
        expected = torch.stack([plain_logps(plain, s) for s in pairs])[:, 0] / lengths
        with autocast("bf16", device):
            found = Policy(random_policy(config, device))(pack(pairs).to(device)).cpu()[:, 0] / lengths
    assert FP32 / 100 < (found - expected).abs().max() < BF16


@pytest.mark.parametrize(("precision", "bound"), [("fp32", FP32), ("bf16", BF16)])
def test_rewards_are_those_of_one_sequence_at_a_time(device: str, config: Any, pairs: Sequences, precision: str, bound: float) -> None:
    plain = random_classifier(config, attention="eager")
    with torch.no_grad():
        expected = torch.stack([plain_reward(plain, s) for s in pairs])
    found = values_of(RewardModel(random_classifier(config, device)).eval(), pairs, device, precision)
    assert torch.allclose(found, expected, atol=bound)


def test_greedy_answers_are_the_library_s(device: str, config: Any, pairs: Sequences) -> None:
    """A third of the vocabulary ends an answer, so that rows leave the batch at different steps."""
    ends, prompts = [END, *range(3, VOCABULARY, 3)], [list(s.prompt) for s in pairs[::2]]
    plain = random_policy(config, attention="sdpa")
    expected = []
    for prompt in prompts:
        alone = plain.generate(
            input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
            max_new_tokens=40, eos_token_id=ends, pad_token_id=0,
        )  # fmt: skip
        expected.append(alone[0, len(prompt) :].tolist())
    model = random_policy(config, device, STEP_ATTENTION)
    assert continued(model, prompts, ends, GenerateConfig(dataset="random", max_new_tokens=40), device) == expected
    assert len({len(answer) for answer in expected}) > 1
