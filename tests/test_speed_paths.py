"""Every fast path equals its slow, obvious twin."""

from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import executed, metrics, pairs, policy_config, reward_config, table, tiny_chat, tiny_config, toy_dataset
from transformers import AutoModelForCausalLM

from engine.data.datasets_io import load_pairs
from engine.kinds.score import reward_scorer
from engine.model import tree
from engine.model.batches import Encoded, encode_pairs
from engine.model.decoding import CACHED_TOGETHER, GROWTH, STEP_ATTENTION, continued
from engine.model.networks import (
    RewardModel,
    best_precision,
    has_compiler,
    layers,
    load_policy,
    load_reward_model,
    load_tokenizer,
    scores_compiled,
    trains_compiled,
)
from engine.model.packing import LONGEST_SPAN, Span, pack
from engine.model.scoring import values_of
from engine.settings.config import SYSTEM_PROMPT, GenerateConfig, RewardConfig
from engine.settings.hyperparameters import DPO, KTO
from engine.store.rundir import RunDir

pytestmark = pytest.mark.slow
SIDES = [side for pair in encode_pairs(tiny_chat(), pairs(6)) for side in pair]


@pytest.fixture
def reward_model(tiny_llama: Path) -> RewardModel:
    tokenizer = load_tokenizer(tiny_llama.parent / "cache", str(tiny_llama))
    return RewardModel(load_reward_model(tiny_llama.parent / "cache", str(tiny_llama), tokenizer))


def gradients(net: RewardModel) -> dict[str, torch.Tensor]:
    net.zero_grad()
    net(pack(SIDES)).square().sum().backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


# Attention


LONG = [replace(side, response=side.response + array("i", [7] * 600)) for side in SIDES[:2]]  # more queries than one span takes


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sides", [SIDES, LONG], ids=["short", "long"])
def test_attention_by_spans_is_that_of_sequences_laid_out_with_its_gradient(kind: torch.dtype, sides: list[Encoded]) -> None:
    """bf16 has 8 bits: values of size 1 agree to about 2⁻⁷, sums over hundreds of tokens to ten times that."""
    packed = pack(sides)
    torch.manual_seed(0)
    q, k, v = ((torch.randn(heads, packed.tokens, 8) / 2).to(kind).requires_grad_() for heads in (2, 1, 1))
    each = [tree.for_each_query(x, q, 0) for x in (k, v)]
    found = []
    for out in (tree.on_spans(q, *each, packed.spans), tree.on_rows(q, k, v, packed.rows, packed.index)):
        found.append([out, *torch.autograd.grad(out.float().square().sum(), (q, k, v))])
    for one, two in zip(*found, strict=True):
        assert torch.allclose(one, two, atol=1e-4 if kind == torch.float32 else 0.1, rtol=0.05)


def test_no_span_holds_padding_or_too_many_queries() -> None:
    packed = pack([*SIDES, *LONG])
    spans = [Span(*fields) for fields in packed.spans.tolist()]
    assert [token for span in spans for token in range(span.start, span.end)] == list(range(packed.tokens))
    assert max(span.end - span.start for span in spans) == LONGEST_SPAN


# Compiled layers


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_layers_give_the_gradients_of_those_written(reward_model: RewardModel, precision: str) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        plain = gradients(reward_model)
        with layers(reward_model.model, compiled=True):
            compiled = gradients(reward_model)
    worst = {name: ((compiled[name] - g).norm() / g.norm()).item() for name, g in plain.items()}
    assert max(worst.values()) < (1e-4 if precision == "fp32" else 0.05), worst


def test_compiled_scoring_gives_what_written_layers_give_and_leaves_them_as_they_were(reward_model: RewardModel) -> None:
    """bf16 keeps 8 bits of numbers of about 1; outside the scoring, gradients are those of the layers as written, bit for bit."""
    with layers(reward_model.model, compiled=False):
        before = gradients(reward_model)
        written, compiled = (values_of(reward_model, SIDES, "cpu", "bf16", compiled=c) for c in (False, True))
        after = gradients(reward_model)
    exact = values_of(reward_model, SIDES, "cpu", "fp32")
    assert torch.allclose(compiled, exact, atol=0.05)
    assert torch.allclose(written, exact, atol=0.05)
    assert not torch.equal(compiled, written)
    assert all(torch.equal(after[name], g) for name, g in before.items())


def test_short_runs_and_fp32_are_not_compiled_unless_asked(tiny_llama: Path) -> None:
    config = reward_config("d", tiny_llama)
    for decide in (trains_compiled, scores_compiled):
        assert not decide(config, "bf16", "cpu", 1_000)
        assert not decide(config, "fp32", "cpu", 10**9)
        assert not decide(config.model_copy(update={"compile": "off"}), "bf16", "cpu", 10**9)
        assert decide(config, "bf16", "cpu", 10**9) == has_compiler()


def test_scoring_in_fp32_is_never_compiled(tiny_llama: Path) -> None:
    asked = reward_config("d", tiny_llama, compile="on")
    assert not scores_compiled(asked, "fp32", "cpu", 10**9)
    assert scores_compiled(asked, "bf16", "cpu", 1) == has_compiler()


# Memory for time


def test_gradient_checkpointing_changes_no_number(cache: Path, dataset: str, tiny_llama: Path) -> None:
    kept, again = (executed(cache, reward_config(dataset, tiny_llama, gradient_checkpointing=g)) for g in (False, True))
    for one, two in zip(metrics(kept), metrics(again), strict=True):
        assert two["values"] == pytest.approx(one["values"], abs=1e-4)


# The reference


def stages(run: RunDir) -> list[str]:
    return [line.split(" (")[0] for line in (run.path / "log.txt").read_text().splitlines()]


def test_reference_is_scored_once_for_the_same_model_and_pairs(cache: Path, dataset: str, tiny_llama: Path) -> None:
    first = executed(cache, policy_config(dataset, tiny_llama))
    kept = {p.name: p.stat().st_mtime_ns for p in (cache / "references").iterdir()}
    second = executed(cache, policy_config(dataset, tiny_llama, loss=DPO(beta=0.5)))
    assert {p.name: p.stat().st_mtime_ns for p in (cache / "references").iterdir()} == kept
    assert len(kept) == 2  # the two splits
    assert metrics(second)[1]["values"]["logps/chosen"] == metrics(first)[1]["values"]["logps/chosen"]


def test_other_tokens_are_another_reference(cache: Path, dataset: str, tiny_llama: Path, tiny_qwen: Path) -> None:
    executed(cache, policy_config(dataset, tiny_llama))
    executed(cache, policy_config(dataset, tiny_llama, system_prompt="Be long."))
    executed(cache, policy_config(dataset, tiny_qwen))
    assert len(list((cache / "references").iterdir())) == 6


def test_kto_s_reference_point_is_that_of_the_whole_batch_however_it_is_parted(cache: Path, tiny_llama: Path) -> None:
    dataset = toy_dataset(cache, train=4, validation=2)
    whole = executed(cache, policy_config(dataset, tiny_llama, loss=KTO(), epochs=3))
    parts = executed(cache, policy_config(dataset, tiny_llama, loss=KTO(), epochs=3, forward_tokens=128))
    several = executed(cache, policy_config(dataset, tiny_llama, loss=KTO(), epochs=3, batch_size=2, accumulation=2))
    for other in (parts, several):
        for one, two in zip(metrics(whole)[2:], metrics(other)[2:], strict=True):
            assert two["values"] == pytest.approx(one["values"], abs=5e-4)


# Generation


@pytest.mark.parametrize("longest", [1, GROWTH + 8])
def test_rows_that_leave_the_batch_get_what_the_library_s_own_loop_gives(tiny_llama: Path, longest: int) -> None:
    """A third of the vocabulary ends an answer, so that rows leave at different steps, and caches grow."""
    model, plain = (load_policy(tiny_llama.parent / "cache", str(tiny_llama), attention=a).eval() for a in (STEP_ATTENTION, "sdpa"))
    prompts = [list(s.prompt)[cut:] for cut in range(24) for s in SIDES[::2]]
    assert len(prompts) > 2 * CACHED_TOGETHER
    ends, config = list(range(0, 336, 3)), GenerateConfig(dataset="d", max_new_tokens=longest)
    found = continued(model, prompts, ends, config, "cpu")
    assert longest == 1 or len({len(tokens) for tokens in found}) > 1
    assert found == by_the_library(plain, prompts, ends, longest)


def by_the_library(model: Any, prompts: list[list[int]], ends: list[int], longest: int) -> list[list[int]]:
    """Greedy answers, one prompt at a time."""
    found = []
    for prompt in prompts:
        alone = model.generate(
            input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
            max_new_tokens=longest, eos_token_id=ends, pad_token_id=0,
        )  # fmt: skip
        found.append(alone[0, len(prompt) :].tolist())
    return found


def test_a_model_that_sees_a_window_of_keys_answers_as_in_the_library(tmp_path: Path) -> None:
    """The window is eight tokens longer than the longest prompt and answers are twenty: it slides, beside prompts of five tokens too."""
    prompts = [list(s.prompt)[-kept:] for kept in (5, 5, 5, 500) for s in SIDES[::2]]
    torch.manual_seed(0)
    config = tiny_config(
        "qwen2", use_sliding_window=True, sliding_window=max(map(len, prompts)) + 8, max_window_layers=1, initializer_range=0.4
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    ours, plain = (load_policy(tmp_path, str(tmp_path / "model"), attention=a).eval() for a in (STEP_ATTENTION, "sdpa"))
    found = continued(ours, prompts, [2], GenerateConfig(dataset="d", max_new_tokens=20), "cpu")
    assert found == by_the_library(plain, prompts, [2], 20)


def test_sampled_answers_stay_in_the_top_p_set(tiny_llama: Path) -> None:
    """top_p → 0 leaves the most probable token, whatever the temperature."""
    model = load_policy(tiny_llama.parent / "cache", str(tiny_llama), attention=STEP_ATTENTION).eval()
    prompts = [list(s.prompt) for s in SIDES[::2]]
    greedy = continued(model, prompts, [2], GenerateConfig(dataset="d", max_new_tokens=6), "cpu")
    narrow = GenerateConfig(dataset="d", max_new_tokens=6, temperature=1.5, top_p=1e-6)
    assert continued(model, prompts, [2], narrow, "cpu") == greedy


def test_answers_of_a_run_end_at_the_end_of_turn_or_at_the_longest(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = executed(cache, GenerateConfig(dataset=dataset, policy=str(tiny_llama), max_new_tokens=5, precision="fp32", device="cpu"))
    rows = table(run, "generations")
    assert set(rows["finish_reason"]) <= {"stop", "length"}
    assert max(rows["tokens"]) <= 5


def test_prompts_that_are_cut_are_counted(cache: Path, dataset: str, tiny_llama: Path) -> None:
    chat = tiny_chat(10_000, SYSTEM_PROMPT)
    lengths = [len(chat.prompt(p.turns)) for p in load_pairs(cache, dataset, "validation")]
    middle = sorted(lengths)[3]
    config = GenerateConfig(dataset=dataset, policy=str(tiny_llama), max_new_tokens=1, precision="fp32", device="cpu", max_tokens=middle)
    longer = sum(n > middle for n in lengths)
    assert executed(cache, config).status.notes[0].startswith(f"{longer} of {len(lengths)} prompts were cut to the maximum of {middle} ")
    assert 0 < longer < len(lengths)


def test_auto_precision_is_bf16_where_the_processor_multiplies_it() -> None:
    capable = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert best_precision("auto", "cpu") == ("bf16" if capable else "fp32")


def test_a_scorer_names_the_arithmetic_that_auto_became() -> None:
    """What scores alike is one scorer, whether its precision was asked for or found."""
    automatic, asked = (
        reward_scorer(RewardConfig(dataset="d", score_precision=wanted), "run", "template", True, "cpu")
        for wanted in ("auto", best_precision("auto", "cpu"))
    )
    assert automatic == asked


def test_vllm_is_refused_where_there_is_no_gpu(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = executed(cache, GenerateConfig(dataset=dataset, policy=str(tiny_llama), backend="vllm", device="cpu"))
    assert str(run.status.error).startswith("backend is 'vllm', which needs a GPU")
