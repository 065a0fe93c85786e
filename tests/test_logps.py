"""Log-probabilities of packed responses equal a loop over single tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import pairs, tiny_chat
from torch.nn.functional import cross_entropy

from engine.errors import ModelError
from engine.model.batches import Encoded, encode_pairs
from engine.model.logps import TargetLogps, response_logps
from engine.model.networks import Policy, hidden_states, load_policy
from engine.model.packing import pack

SIDES = [side for pair in encode_pairs(tiny_chat(), pairs(4)) for side in pair]


@pytest.fixture(params=["tiny_llama", "tiny_qwen"])
def policy(request: pytest.FixtureRequest) -> Policy:
    folder: Path = request.getfixturevalue(request.param)
    return Policy(load_policy(folder.parent / "cache", str(folder))).eval()


def naive(policy: Policy, side: Encoded) -> torch.Tensor:
    """Σ_t log softmax(logits_{t−1})[y_t], of all tokens and of those in common, one token at a time, with the library's own attention."""
    policy.model.set_attn_implementation("eager")
    ids = torch.tensor([[*side.prompt, *side.response]])
    logits: Any = policy.model(input_ids=ids).logits[0]
    policy.model.set_attn_implementation("prefscope_tree")
    start = len(side.prompt)
    each = torch.stack([logits[t - 1].log_softmax(-1)[ids[0, t]] for t in range(start, start + side.ends)])
    return torch.stack([each.sum(), each[: side.common].sum()])


def test_packed_equals_the_naive_loop(policy: Policy) -> None:
    with torch.no_grad():
        assert torch.allclose(policy(pack(SIDES)), torch.stack([naive(policy, s) for s in SIDES]), atol=1e-4)


def test_gradient_equals_the_naive_loop_s(policy: Policy) -> None:
    weights = torch.linspace(-1, 1, 2 * len(SIDES)).view(-1, 2)
    (policy(pack(SIDES)) * weights).sum().backward()
    packed = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    sum((naive(policy, s) * w).sum() for s, w in zip(SIDES, weights, strict=True)).backward()
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(packed[name], parameter.grad, atol=1e-3, rtol=1e-3), name


def test_first_token_and_end_of_turn_are_counted(policy: Policy) -> None:
    """What is summed over a response of one token and its end of turn is exactly these two, not the newline after them."""
    one = tiny_chat().encode(pairs(1)[0].turns, "x")
    assert one.ends == 2
    assert len(one.response) == 3
    with torch.no_grad():
        states = hidden_states(policy.model.base_model, packed := pack([one]))
        logits = policy.model.get_output_embeddings()(states).log_softmax(-1)
    start = len(one.prompt)
    expected = logits[start - 1, one.response[0]] + logits[start, one.response[1]]
    assert policy(packed)[0, 0].item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_chunk_size_changes_neither_values_nor_gradients(policy: Policy, chunk: int) -> None:
    packed, head = pack(SIDES), policy.model.get_output_embeddings()
    with torch.no_grad():
        states = hidden_states(policy.model.base_model, packed)
    found = []
    for size in (chunk, len(packed.targets)):
        hidden = states.clone().requires_grad_()
        values = response_logps(hidden, head, packed, size)
        found.append((values.detach(), *torch.autograd.grad(values[:, 0].sum(), (hidden, head.weight))))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*found, strict=True))


def test_logits_of_every_chunk_but_the_last_are_computed_again(policy: Policy) -> None:
    """Of S response tokens in chunks of 7, the S mod 7 first ones make the first chunk and 7 the last, which the head sees once."""
    packed, head = pack(SIDES), policy.model.get_output_embeddings()
    met: list[int] = []
    with head.register_forward_hook(lambda module, given, out: met.append(len(out))):
        response_logps(torch.ones(packed.tokens, head.in_features, requires_grad=True), head, packed, 7).sum().backward()
    total = len(packed.targets)
    forward = [total % 7 or 7] + [7] * ((total - 1) // 7)
    assert met == forward + forward[-2::-1]


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_gradient_of_log_probabilities_is_the_library_s(kind: torch.dtype) -> None:
    """Both round to the precision of the logits, 2⁻⁹ relative in bf16; the target's own entry too where its p is 1 − 10⁻⁴."""
    torch.manual_seed(0)
    targets, weights = torch.randint(0, 300, (150,)), torch.randn(150)
    logits = torch.randn(150, 300).scatter_(1, targets[:75, None], 15.0).to(kind)
    found = []
    for function in (TargetLogps.apply, lambda z, y: -cross_entropy(z.float(), y, reduction="none")):
        z = logits.clone().requires_grad_()
        values = function(z, targets)
        values.backward(weights)
        assert z.grad is not None
        found.append((values, z.grad))
    (values, gradient), (expected, its_gradient) = found
    assert torch.allclose(values, expected)
    assert torch.allclose(gradient, its_gradient, rtol=1e-5 if kind == torch.float32 else 0.02, atol=1e-7)


def test_neighbours_in_the_batch_and_tokens_after_the_last_target_change_nothing(policy: Policy) -> None:
    with torch.no_grad():
        together = policy(pack(SIDES))
        assert torch.allclose(together, torch.cat([policy(pack([s])) for s in SIDES]), atol=1e-4)
        assert torch.allclose(together.flip(0), policy(pack(SIDES[::-1])), atol=1e-4)
        assert torch.allclose(together, policy(pack(SIDES, "last_target")), atol=1e-4)


def test_policy_that_rescales_its_logits_is_refused(tiny_llama: Path) -> None:
    model = load_policy(tiny_llama.parent / "cache", str(tiny_llama))
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(ModelError, match="rescales its logits"):
        Policy(model)
