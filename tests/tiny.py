"""Two-layer random chat models and a tokenizer made in code, so that the whole engine runs on them in about a second."""

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

from engine.data.datasets_io import import_dataset
from engine.data.records import PreferencePair, Turn
from engine.model.batches import Chat
from engine.queue.jobs import new_run_id
from engine.queue.run import execute
from engine.settings.config import GenerateConfig, PolicyConfig, RewardConfig, RunConfig, ScoreConfig, parse
from engine.store import rundir
from engine.store.metrics import complete_lines
from engine.store.progress import Progress
from engine.store.rundir import RunDir
from engine.store.status import Status

torch.set_num_threads(1)  # threads of a tiny model wait for each other longer than they compute

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CLOCK = ("seconds", "pairs_per_second")  # what differs between two equal runs
NOUNS = ("bread", "a bicycle", "the garden", "tea", "a train", "sleep", "money", "a letter", "snow", "music")
ASKS = ("How do I begin with {}?", "What can go wrong with {}?", "Tell me about {} in one line.")


def tiny_tokenizer(template: str | None = CHATML, pad: str = "<|im_end|>", special: list[str] = SPECIAL) -> Any:
    """Byte-level BPE with 64 merges; like SmolLM2's it pads with its end-of-turn token and has <|endoftext|> to spare."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320 + len(special), special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator([text for p in pairs(20) for text in (p.turns[0].content, p.chosen, p.rejected)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token=pad)
    tokenizer.chat_template = template
    return tokenizer


def tiny_config(kind: str, **changes: Any) -> LlamaConfig | Qwen2Config:
    """Two layers, hidden size 64, four heads over two key-value heads; weights large enough for attention to matter."""
    made = LlamaConfig if kind == "llama" else Qwen2Config
    sizes = {"vocab_size": 336, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    own = {"num_key_value_heads": 2, "max_position_embeddings": 1024, "initializer_range": 0.1, "tie_word_embeddings": True}
    return made(**{**sizes, **tokens, **own, **changes})


def save_tiny(folder: Path, kind: str = "llama", tokenizer: Any = None) -> Path:
    """A model folder in the transformers format."""
    torch.manual_seed(7)
    AutoModelForCausalLM.from_config(tiny_config(kind)).save_pretrained(folder)
    (tokenizer or tiny_tokenizer()).save_pretrained(folder)
    return folder


def pairs(count: int) -> list[PreferencePair]:
    """Seeded pairs of different lengths; every third has a conversation of three turns."""
    rng, found = random.Random(3), []
    for i in range(count):
        noun = NOUNS[i % len(NOUNS)]
        turns = [Turn("user", f"{ASKS[i % len(ASKS)].format(noun)} ({i})")]
        if i % 3 == 2:
            turns = [Turn("user", f"Hello {i}"), Turn("assistant", "Hello! What is it?"), *turns]
        chosen = f"Start small with {noun}. " + "Take your time. " * rng.randint(0, 4)
        rejected = f"Never mind {noun}, guess. " + "Do not ask again! " * rng.randint(0, 4)
        found.append(PreferencePair(tuple(turns), chosen, rejected))
    return found


def toy_dataset(cache: Path, train: int = 12, validation: int = 6) -> str:
    """Import seeded pairs; the dataset's id."""
    files, found = {}, pairs(train + validation)
    for split, part in (("train", found[:train]), ("validation", found[train:])):
        files[split] = cache.parent / f"{cache.name}-{split}.jsonl"
        files[split].write_text("".join(json.dumps(trl_record(p)) + "\n" for p in part))
    return import_dataset(cache, "toy", {split: str(path) for split, path in files.items()}).dataset_id


def trl_record(pair: PreferencePair) -> dict[str, Any]:
    said = [{"role": t.role, "content": t.content} for t in pair.turns]
    return {"prompt": said, **{side: [{"role": "assistant", "content": getattr(pair, side)}] for side in ("chosen", "rejected")}}


def tiny_chat(max_tokens: int = 512, system_prompt: str = "Be brief.", **options: Any) -> Chat:
    return Chat(tiny_tokenizer(**options), system_prompt, max_tokens)


def reward_config(dataset: str, model: Path | str, **changes: Any) -> RewardConfig:
    """A reward run of a few short steps in fp32."""
    sizes = {"batch_size": 4, "learning_rate": 1e-3, "precision": "fp32", "device": "cpu", "max_tokens": 256}
    return RewardConfig(**{"name": "toy", "dataset": dataset, "model": str(model), **sizes, **changes})


def policy_config(dataset: str, model: Path | str, **changes: Any) -> PolicyConfig:
    """A policy run of a few short steps in fp32."""
    sizes = {"batch_size": 4, "learning_rate": 1e-3, "precision": "fp32", "device": "cpu", "max_tokens": 256}
    return PolicyConfig(**{"dataset": dataset, "model": str(model), **sizes, **changes})


def prepared(cache: Path, config: RunConfig) -> RunDir:
    """A queued run that no process has been started for."""
    run = RunDir(cache / "runs" / new_run_id(config.kind, config.name))
    run.write_config(parse(config.model_dump(mode="json")))
    run.write_status(Status(submitted_at=rundir.now()))
    return run


def listening(cache: Path, run: RunDir) -> Progress:
    """The progress of a run in this process, which SIGTERM stops."""
    progress = Progress(cache, run)
    progress.listen()
    return progress


class Unrecorded(Progress):
    """The progress of a run whose files are the subject: they do not go into the database, which takes half of a toy run's time."""

    def milestone(self) -> str | None:
        return None


def executed(cache: Path, config: RunConfig, *, recorded: bool = False) -> RunDir:
    """A run done in this process, its tables brought into the database when `recorded`."""
    run = prepared(cache, config)
    progress = Progress(cache, run) if recorded else Unrecorded(cache, run)
    progress.listen()
    execute(progress)
    return run


def toy_experiment(cache: Path, model: Path) -> dict[str, RunDir]:
    """Reward model, policy, answers of base and policy, and their scores, on seeded pairs: {kind or side: run}."""
    dataset = toy_dataset(cache)
    common: dict[str, Any] = {"dataset": dataset, "device": "cpu", "max_tokens": 256, "system_prompt": "Be brief."}
    reward = executed(cache, reward_config(dataset, model, evaluate_every=2, checkpoint_every=2, system_prompt="Be brief."), recorded=True)
    trained = {"batch_size": 4, "precision": "fp32", "learning_rate": 1e-3, "model": str(model)}
    policy = executed(cache, PolicyConfig(name="tuned policy", **common, **trained), recorded=True)
    short = {"max_new_tokens": 8, "batch_size": 3, "precision": "fp32"}
    base = executed(cache, GenerateConfig(name="base answers", policy=str(model), **common, **short), recorded=True)
    tuned = executed(cache, GenerateConfig(name="tuned answers", policy=policy.id, parents=(policy.id,), **common, **short), recorded=True)
    asked = {"reward_models": (reward.id,), "generations": (base.id, tuned.id), "parents": (reward.id, base.id, tuned.id)}
    scores = executed(cache, ScoreConfig(name="scores", splits=("validation",), **common, **asked), recorded=True)
    return {"reward": reward, "policy": policy, "base": base, "tuned": tuned, "scores": scores}


def table(run: RunDir, name: str) -> pl.DataFrame:
    """A table the run must have."""
    found = run.table(name)
    assert found is not None
    return found


def metrics(run: RunDir) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without the clock."""
    lines = [json.loads(line) for line in complete_lines(run.metrics_path)]
    return [
        {"values": {k: v for k, v in x["values"].items() if k not in CLOCK}, **{k: x[k] for k in ("step", "split", "tokens")}}
        for x in lines
    ]
