"""Tokenizers, policies and reward models as they are loaded and trained. Weights come from safetensors; no code in a folder runs."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch._inductor.config
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from engine.errors import ModelError
from engine.machine import processes
from engine.model.folders import source_of
from engine.model.logps import logps_by_token, response_logps
from engine.model.packing import Packed
from engine.model.tree import ATTENTION
from engine.settings.config import TrainConfig

# Tokens on a CPU after which compiled layers have won back their first warm-up: 20 to 40 s of training, 23 s of forward passes
WORTH_COMPILING = 40_000
WORTH_COMPILING_TO_SCORE = 100_000
MOST_COMPILERS = 4  # C++ compilers at once, of some 0.3 GB each


def load_tokenizer(cache: Path, name: str) -> Any:
    """The tokenizer, with a chat template and a padding token that is not the end-of-turn token. Raises ModelError."""
    source = source_of(cache, name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"no tokenizer could be loaded from {name}: {first_line(error)}") from None
    if not tokenizer.chat_template:
        raise ModelError(f"the tokenizer of {name} has no chat template: expected a chat or instruct model")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.pad_token = spare_token(tokenizer, name)
    return tokenizer


def spare_token(tokenizer: Any, name: str) -> str:
    """A special token that never ends a turn, to pad with: a reward is read from the last token that is not padding."""
    taken = {tokenizer.eos_token_id, tokenizer.bos_token_id}
    spare = [t.content for i, t in sorted(tokenizer.added_tokens_decoder.items()) if t.special and i not in taken]
    if not spare:
        raise ModelError(f"the tokenizer of {name} pads with its end-of-turn token and has no other special token: add one and save it")
    return str(spare[0])


def load_policy(cache: Path, name: str, attention: str = ATTENTION) -> Any:
    """A causal language model in fp32. Raises ModelError."""
    return loaded(AutoModelForCausalLM, cache, name, attn_implementation=attention)


def load_reward_model(cache: Path, name: str, tokenizer: Any, attention: str = ATTENTION) -> Any:
    """A sequence classifier with one label in fp32; its head is new when `name` is a language model. Raises ModelError."""
    model = loaded(AutoModelForSequenceClassification, cache, name, attn_implementation=attention, num_labels=1)
    if not isinstance(getattr(model, "score", None), nn.Linear):
        raise ModelError(f"{name}: {type(model).__name__} has no linear head named `score`")
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.problem_type = "regression"  # transformers' pipeline then gives the reward itself, not its sigmoid
    return model


def loaded(auto: Any, cache: Path, name: str, **options: Any) -> Any:
    try:
        model = auto.from_pretrained(source_of(cache, name), dtype=torch.float32, use_safetensors=True, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{name} could not be loaded: {first_line(error)}") from None
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # a reward or a log-probability is never a random number
    return model


def untrain_head(model: Any, seed: int) -> None:
    """Draw the head from N(0, initializer_range²) with a generator of its own: the base reward model of this seed."""
    weight = model.score.weight
    std = getattr(model.config, "initializer_range", 0.02)
    draw = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)) * std
    with torch.no_grad():
        weight.copy_(draw)
        if model.score.bias is not None:
            model.score.bias.zero_()


class RewardModel(nn.Module):
    """Rewards of packed sequences: the head, in fp32, on the hidden state at each response's reading position."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, packed: Packed) -> torch.Tensor:
        """Rewards, (N,) in fp32."""
        hidden = hidden_states(self.model.base_model, packed)[packed.read_at]
        with torch.autocast(hidden.device.type, enabled=False):
            rewards: torch.Tensor = self.model.score(hidden.float())[:, 0]
        return rewards


class Policy(nn.Module):
    """Log-probabilities of packed responses under a causal language model."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        for name in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
            if getattr(model.config, name, None) not in (None, 1, 1.0):
                raise ModelError(f"{type(model).__name__} rescales its logits ({name}), which Prefscope's log-probabilities do not")

    def forward(self, packed: Packed) -> torch.Tensor:
        """Sum of log π(y_t | x, y_<t) over each response, first token to end of turn, and over its tokens in common, (N, 2) in nats."""
        hidden = hidden_states(self.model.base_model, packed)
        return response_logps(hidden, self.model.get_output_embeddings(), packed)

    def by_token(self, packed: Packed) -> torch.Tensor:
        """log π(y_t | x, y_<t) of every response token, (S,) in nats."""
        hidden = hidden_states(self.model.base_model, packed)
        return logps_by_token(hidden, self.model.get_output_embeddings(), packed)


def hidden_states(backbone: Any, packed: Packed) -> torch.Tensor:
    """The last hidden states of a packed row, (T, d)."""
    output = backbone(input_ids=packed.input_ids, position_ids=packed.position_ids, use_cache=False, tree=packed)
    hidden: torch.Tensor = output.last_hidden_state[0]
    return hidden


def place(net: nn.Module, model: Any, config: TrainConfig, device: str) -> None:
    """Bring the network to its device, in place: divided among the processes where the configuration asks for it and there are several.

    A divided one goes there layer by layer, so that no device ever holds it whole.
    """
    if config.shard and processes.many():
        processes.divide(net, decoder_layers(model), device)
    else:
        net.to(device)


def base_row(model: str) -> dict[str, Any]:
    """The row in `models` of a model that no run trained."""
    return {"model_id": model, "kind": "base", "base_model": model, "run_id": None, "checkpoint_step": None, "path": None, "bytes": None}


def best_device(wanted: str) -> str:
    """cuda when there is one and `wanted` allows it. Raises ModelError when CUDA is asked for and absent."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError("device is 'cuda', but this torch sees no GPU")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def best_precision(wanted: str, device: str) -> str:
    """auto: bf16 where the hardware multiplies it, fp32 elsewhere."""
    if wanted != "auto":
        return wanted
    fast = torch.cuda.is_bf16_supported() if device == "cuda" else has_cpu_bf16()
    return "bf16" if fast else "fp32"


def reported_precision(config: TrainConfig, device: str) -> str:
    """The precision of the rewards that a run, and whoever scores with its model, reports."""
    return best_precision(config.score_precision, device)


def has_cpu_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def prepared_for_training(model: Any, config: TrainConfig, head: str | None = None) -> Any:
    """Low-rank adapters and gradient checkpointing where the configuration asks for them, in place; the adapters' own model, or None.

    head: a layer that is trained whole beside the adapters. Raises ModelError when a target names no layer.
    """
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if config.lora is None:
        return None
    targets = config.lora.targets
    settings = LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=targets[0] if targets == ("all-linear",) else list(targets),
        modules_to_save=[head] if head else None,
        task_type="SEQ_CLS" if head else "CAUSAL_LM",
    )
    torch.manual_seed(config.seed)  # the adapters' first weights
    try:
        return get_peft_model(model, settings)
    except ValueError as error:
        raise ModelError(f"lora.targets {', '.join(targets)}: {first_line(error)}") from None


def trains_compiled(config: TrainConfig, precision: str, device: str, tokens: int) -> bool:
    """Whether training on `tokens` runs compiled layers. Raises ModelError when it is asked for and there is no compiler."""
    if config.compile == "on" and device == "cpu" and not has_compiler():
        raise ModelError("compile is 'on', but this machine has no C++ compiler (g++ or clang++)")
    return config.compile == "on" or (config.compile == "auto" and tokens >= WORTH_COMPILING and compiling_pays(config, precision, device))


def scores_compiled(config: TrainConfig, precision: str, device: str, tokens: int) -> bool:
    """Whether forward passes over `tokens` run compiled layers; never in fp32, so that what is reported does not depend on a compiler."""
    long = config.compile == "on" or (config.compile == "auto" and tokens >= WORTH_COMPILING_TO_SCORE)
    return long and compiling_pays(config, precision, device)


def compiling_pays(config: TrainConfig, precision: str, device: str) -> bool:
    """Where compiled layers were measured to be faster: bf16 on a CPU with a C++ compiler, every layer trained whole."""
    plain = config.gradient_checkpointing or config.lora is not None or config.shard
    return device == "cpu" and precision == "bf16" and has_compiler() and not plain


def has_compiler() -> bool:
    return bool(shutil.which("g++") or shutil.which("clang++"))


@contextmanager
def layers(model: Any, compiled: bool) -> Iterator[None]:
    """Decoder layers run compiled, one graph for all layers and lengths, or as they are written, whatever they do outside."""
    if compiled:
        on_cpu = next(model.parameters()).device.type == "cpu"  # there from threads; elsewhere from processes, which outlive a killed run
        torch._inductor.config.compile_threads = min(torch.get_num_threads(), MOST_COMPILERS) if on_cpu else 1
        for layer in decoder_layers(model):
            layer.compile(dynamic=True)
    with torch.compiler.set_stance("default" if compiled else "force_eager"):
        yield


def decoder_layers(model: Any) -> list[nn.Module]:
    """The blocks a transformers model repeats. Raises ModelError when it has no such list."""
    found = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == model.config.num_hidden_layers]
    if not found:
        raise ModelError(f"{type(model).__name__} has no list of {model.config.num_hidden_layers} layers to compile or divide")
    return list(found[0])


def autocast(precision: str, device: str) -> torch.autocast:
    """bf16 arithmetic around fp32 weights, or nothing."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16")


def first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
