"""Memory and disk as they are estimated before a run, from the shapes in a model's files."""

from pathlib import Path
from typing import Any

import pytest
from tiny import reward_config

from engine.errors import RunError
from engine.machine import device_plan, disk
from engine.model import folders
from engine.model.folders import Network
from engine.model.networks import load_policy, load_reward_model, load_tokenizer, prepared_for_training
from engine.planning import estimates
from engine.settings.config import GenerateConfig, PolicyConfig, RewardConfig
from engine.settings.hyperparameters import LoRA
from engine.store.rundir import run_dirs

# SmolLM2-135M: 30 layers of width 576 and inner width 1536, three key-value heads of 64, vocabulary 49,152
SMOL = Network(134_515_008, 30, 576, 1536, 49152, 192, {"model.layers.0.mlp.up_proj": (1536, 576)})
# 1000 parameters, two layers of width 10 and inner width 20, vocabulary 50
SMALL = Network(1000, 2, 10, 20, 50, 5, {"layers.0.q_proj": (10, 10), "layers.0.up_proj": (20, 10)})


def smol(**changes: Any) -> RewardConfig:
    return RewardConfig(**{"dataset": "d", "device": "cpu", "precision": "bf16", **changes})


@pytest.mark.parametrize("targets", [("all-linear",), ("q_proj", "up_proj")])
def test_parameters_are_counted_without_loading_a_tensor(tmp_path: Path, tiny_llama: Path, targets: tuple[str, ...]) -> None:
    """Against the loaded model and peft's adapters; a reward model's head (64 numbers) is trained whole beside them."""
    network = folders.network_of(tiny_llama)
    assert network is not None
    assert network.parameters == sum(p.numel() for p in load_policy(tmp_path, str(tiny_llama)).parameters())
    config = reward_config("d", tiny_llama, lora=LoRA(rank=4, targets=targets))
    model = load_reward_model(tmp_path, str(tiny_llama), load_tokenizer(tmp_path, str(tiny_llama)))
    prepared_for_training(model, config, "score")
    assert estimates.trained_parameters(network, config) == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_adapters_are_counted_from_the_shapes() -> None:
    """Rank 4: q_proj 4 × (10 + 10) = 80, up_proj 4 × (20 + 10) = 120; the reward head has 10."""
    assert estimates.adapter_parameters(SMALL, LoRA(rank=4)) == 200
    assert estimates.adapter_parameters(SMALL, LoRA(rank=4, targets=("up_proj",))) == 120
    assert estimates.trained_parameters(SMALL, smol(lora=LoRA(rank=4))) == 210


def test_training_memory_is_the_sum_of_its_parts() -> None:
    """A reward model of 1000 parameters and a head of 10, 3 tokens in one forward pass, beside the process.

    bf16: weights and copies 6 × 1000, gradient and moments 12 × 1010; a layer keeps 1.5 × (38 × 10 + 8 × 20) = 810 bytes of a token,
    two layers of 3 tokens 4860: 22,980. fp32: 4 × 1000 + 12,120 + 1.5 × (520 + 320) × 6 = 23,680.
    Checkpointing (bf16): 24 × 10 × 2 + 810 = 1290 of a token: 6000 + 12,120 + 3870 = 21,990.
    LoRA of rank 4 (bf16): 6000 + 12 × 210 + 4 × 210 + 4860 = 14,220. A policy (bf16) has no head, but 14 × 512 × 50 bytes of logits.
    """
    one = {
        "bf16": smol(),
        "fp32": smol(precision="fp32"),
        "checkpointing": smol(gradient_checkpointing=True),
        "lora": smol(lora=LoRA(rank=4)),
        "policy": PolicyConfig(dataset="d", device="cpu", precision="bf16"),
    }
    found = {name: estimates.training_memory(SMALL, config, 3) - estimates.PROCESS for name, config in one.items()}
    expected = {"bf16": 22_980, "fp32": 23_680, "checkpointing": 21_990, "lora": 14_220, "policy": 6000 + 12_000 + 4860 + 358_400}
    assert found == expected


@pytest.mark.parametrize(
    ("config", "tokens", "measured"),
    [
        (smol(), 564, 3.92),
        (smol(), 945, 4.49),
        (smol(), 1012, 4.63),
        (smol(precision="fp32"), 564, 4.19),
        (smol(gradient_checkpointing=True), 1012, 3.57),
        (PolicyConfig(dataset="d", device="cpu", precision="bf16"), 1012, 5.00),
    ],
)
def test_estimate_is_near_what_was_measured(config: Any, tokens: int, measured: float) -> None:
    """Resident peaks of steps of SmolLM2-135M on a CPU, without torch.compile, in GB."""
    assert estimates.training_memory(SMOL, config, tokens) / 1e9 == pytest.approx(measured, rel=0.05)


def test_forward_pass_has_what_is_configured_or_a_batch_or_one_pair() -> None:
    """1,024 on a CPU; four pairs of at most 2 × 64 tokens are 512; a pair of 1,500 tokens is never divided."""
    assert estimates.forward_tokens(smol()) == 1024
    assert estimates.forward_tokens(smol(batch_size=4, max_tokens=64)) == 512
    assert estimates.forward_tokens(smol(), longest=1500) == 1500
    assert estimates.forward_tokens(smol(batch_size=2, forward_tokens=4096), longest=100) == 200


def test_answers_take_weights_keys_values_and_logits() -> None:
    """One prompt of 6 tokens and 4 new ones in fp32: keys and values 2 × 2 layers × 5 × 4 bytes × 10 = 800, the pass over the prompt
    6 × 4 × (10 × 10 + 3 × 20) = 3840, logits 12 × 50 = 600, weights 4000: 9240. In bf16 1000 parameters weigh 2000, and the rest
    400 + 1920 + 600: 4920, more than the 4000 they are loaded with.
    """
    config = GenerateConfig(dataset="d", device="cpu", precision="fp32", batch_size=1, max_new_tokens=4)
    assert estimates.answering_memory(SMALL, config, 6) - estimates.PROCESS == 9240
    assert estimates.answering_memory(SMALL, config.model_copy(update={"precision": "bf16"}), 6) - estimates.PROCESS == 4920


def test_scoring_takes_the_weights_and_in_bf16_their_copies_with_half_of_the_rest() -> None:
    """6 tokens in fp32: 4 × 1000 + 4 × 6 × (10 × 10 + 3 × 20) = 7840. In bf16 the weights stay and have copies, 6 × 1000, and the pass
    takes 2 × 6 × 160 = 1920: 7920. Of SmolLM2-135M bf16 was measured to take 0.14 GB more, 4,096 tokens at a time.
    """
    found = [estimates.scoring_memory(SMALL, "cpu", precision, 6) - estimates.PROCESS for precision in ("fp32", "bf16")]
    assert found == [7840, 7920]
    fp32, bf16 = (estimates.scoring_memory(SMOL, "cpu", precision) for precision in ("fp32", "bf16"))
    assert (bf16 - fp32) / 1e9 == pytest.approx(0.14, abs=0.05)


# Disk


def test_disk_holds_the_model_and_the_checkpoints() -> None:
    """Model 4 × 1000; a checkpoint of full training 12 × 1010 with the head. Two are kept while a third is written: 4000 + 3 × 12,120."""
    assert disk.needs_disk(1000, 1010, 3) == 40_360
    assert [estimates.checkpoints_of(smol(checkpoint_every=10), steps) for steps in (5, 10, 11, 20, 21, 900)] == [1, 1, 2, 2, 3, 3]
    assert estimates.checkpoints_of(smol(checkpoint_every=1, kept_checkpoints=5), 900) == 6


def test_disk_that_is_too_full_is_refused(tmp_path: Path) -> None:
    disk.check_disk(tmp_path / "not" / "there", 1)
    with pytest.raises(RunError, match=r"the disk is too full: needs about 1180591620717\.4 GB, .* GB are free for "):
        disk.check_disk(tmp_path, 2**70)


def test_saved_model_is_as_large_as_estimated(toy_cache: Path) -> None:
    run = next(r for r in run_dirs(toy_cache) if r.config.name == "tuned policy")
    network = folders.network_of(run.path / "model")
    assert network is not None
    assert (run.path / "model" / "model.safetensors").stat().st_size == pytest.approx(4 * network.parameters, rel=0.05)


# Processes


def test_processes_are_those_stated_or_one_for_each_visible_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_plan.expected_processes(smol(processes=3)) == 3
    assert device_plan.expected_processes(smol()) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    assert device_plan.expected_processes(RewardConfig(dataset="d", device="cuda")) == 2
