"""Random networks and tokens, and their rewards and log-probabilities by the library's own code, one sequence at a time."""

import random
from array import array
from pathlib import Path
from typing import Any, TypeAlias

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig, Qwen2Config

from engine.kinds.losses import Logps
from engine.model.batches import Encoded, paired
from engine.model.tree import ATTENTION
from engine.settings.config import PolicyConfig
from engine.store.progress import Progress
from engine.store.rundir import RunDir, write_json
from engine.store.status import Status

Sequences: TypeAlias = list[Encoded]
VOCABULARY, END = 336, 2
CONFIGS = {"llama": LlamaConfig, "qwen2": Qwen2Config}


def random_sequences(count: int, prompt: int = 60, longest: int = 300, vocabulary: int = VOCABULARY) -> Sequences:
    """Pairs whose prompts begin with the same twelve tokens; responses of 5 to `longest` tokens end with the end of turn and one more."""
    rng = random.Random(3)

    def tokens(length: int) -> list[int]:
        return rng.choices(range(3, vocabulary), k=length)

    prefix = tokens(12)
    found: Sequences = []
    for _ in range(count):
        asked = array("i", prefix + tokens(rng.randint(5, prompt)))
        sides = [array("i", [*tokens(rng.randint(4, longest - 1)), END, 5]) for _ in range(2)]
        found += paired(*(Encoded(asked, side, len(side) - 1, False) for side in sides))
    return found


def random_config(kind: str, **changes: Any) -> Any:
    """Two layers, four heads over two key-value heads; weights large enough for attention to matter."""
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    own = {"num_key_value_heads": 2, "max_position_embeddings": 2048, "initializer_range": 0.1, "tie_word_embeddings": True}
    tokens = {"bos_token_id": 1, "eos_token_id": END, "pad_token_id": 0}
    return CONFIGS[kind](**{**sizes, **own, **tokens, **changes})


def random_policy(config: Any, device: str = "cpu", attention: str = ATTENTION) -> Any:
    """The same weights for the same configuration on every device."""
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention).to(device).eval()


def random_classifier(config: Any, device: str = "cpu", attention: str = ATTENTION) -> Any:
    torch.manual_seed(1)
    config.num_labels = 1
    return AutoModelForSequenceClassification.from_config(config, attn_implementation=attention).to(device).eval()


def plain_logps(model: Any, sequence: Encoded) -> torch.Tensor:
    """Σ_t log softmax(logits_{t−1})[y_t] of a whole response and of its tokens in common, (2,)."""
    ids = torch.tensor([[*sequence.prompt, *sequence.response]])
    logps = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    start = len(sequence.prompt) - 1
    return torch.stack([logps[start : start + sequence.ends].sum(), logps[start : start + sequence.common].sum()])


def plain_reward(model: Any, sequence: Encoded) -> torch.Tensor:
    """The head on the last hidden state."""
    hidden = model.base_model(input_ids=torch.tensor([[*sequence.prompt, *sequence.response]])).last_hidden_state
    reward: torch.Tensor = model.score(hidden[0, -1])[0]
    return reward


def of_sides(values: torch.Tensor, sequences: Sequences) -> Logps:
    """(2B, 2) of chosen and rejected by turns, with the responses' lengths."""
    lengths = torch.tensor([s.ends for s in sequences], device=values.device)
    return Logps(values[0::2, 0], values[1::2, 0], lengths[0::2], lengths[1::2], values[0::2, 1], values[1::2, 1])


def policy_config(**changes: Any) -> PolicyConfig:
    sizes = {"batch_size": 4, "learning_rate": 1e-3, "precision": "fp32", "warmup": 0}
    return PolicyConfig.model_validate({"dataset": "random", **sizes, **changes})


def new_run(folder: Path, config: PolicyConfig) -> Progress:
    """A run's folder, for what the training loop reports and keeps."""
    run = RunDir(folder / "runs" / "random")
    write_json(run.path / "config.json", config.model_dump(mode="json"))
    run.write_status(Status())
    return Progress(folder, run)
