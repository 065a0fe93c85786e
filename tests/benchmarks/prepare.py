"""What both sides read: the models as folders, and each workload's tokens, made once by the engine's own template code."""

import json
import shutil
from pathlib import Path
from typing import Any

from engine.data.datasets_io import import_dataset, load_pairs
from engine.model import networks, saving
from engine.model.batches import Chat, Encoded, encode_pairs, pair_tokens
from engine.settings.config import SYSTEM_PROMPT
from engine.store.rundir import cache_path

from .measure import Measured, Task
from .workloads import Sizes, Workload, candidates, splits_of, write

NOTHING = Measured(0, 0, 0)


def save_models(task: Task) -> Measured:
    """Three folders: the policy; the reward model, whose untrained head both sides then load; the policy that does not end its answers."""
    folder, name = Path(task.models), task.settings["model"]
    tokenizer = networks.load_tokenizer(cache_path(), name)
    policy = networks.load_policy(cache_path(), name, "sdpa")
    saving.save(policy, tokenizer, folder / "policy")
    reward = networks.load_reward_model(cache_path(), name, tokenizer, "sdpa")
    networks.untrain_head(reward, task.seed)
    saving.save(reward, tokenizer, folder / "reward")
    shutil.copytree(folder / "policy", folder / "endless")
    tokenizer.eos_token = unused_token(tokenizer)
    tokenizer.save_pretrained(folder / "endless")
    policy.generation_config.eos_token_id = tokenizer.eos_token_id
    policy.generation_config.save_pretrained(folder / "endless")
    return NOTHING


def unused_token(tokenizer: Any) -> str:
    """A special token that an answer hardly ever holds: with it as the end of turn all answers get the full length."""
    special = [t.content for _, t in sorted(tokenizer.added_tokens_decoder.items()) if t.special]
    return str([t for t in special if t not in (tokenizer.eos_token, tokenizer.pad_token)][-1])


def encode(task: Task) -> Measured:
    """Import the workload's pairs, and write tokens of every split, texts to score and prompts to answer to encoded.json.

    A pair whose two responses leave their prompt different room below max_tokens is left out: TRL knows one prompt per pair.
    """
    work = Path(task.work)
    chat = Chat(networks.load_tokenizer(cache_path(), str(Path(task.models) / "policy")), SYSTEM_PROMPT, task.max_tokens)
    workload = Workload(task.settings["name"], Path(task.settings["file"]), task.settings["part"])
    found = [p for p in candidates(workload, task.seed) if chat.encode(p.turns, p.chosen).prompt == chat.encode(p.turns, p.rejected).prompt]
    for split, some in splits_of(workload, found, Sizes(**task.settings["sizes"])).items():
        write(some, work / f"{split}.jsonl")
    made = import_dataset(work / "cache", workload.name, {p.stem: str(p) for p in sorted(work.glob("train*.jsonl"))})
    pairs = {split: load_pairs(work / "cache", made.dataset_id, split) for split in made.splits}
    encoded: dict[str, Any] = {split: [tokens_of(*pair) for pair in encode_pairs(chat, some)] for split, some in pairs.items()}
    encoded["texts"] = [
        chat.prompt_text(p.turns) + chat.response_text(p.turns, text) for p in pairs["train_scored"] for text in (p.chosen, p.rejected)
    ]
    encoded["prompts"] = [list(chat.prompt(p.turns)) for p in pairs["train_prompts"]]
    (work / "encoded.json").write_text(json.dumps(encoded))
    return NOTHING


def tokens_of(chosen: Encoded, rejected: Encoded) -> dict[str, Any]:
    """A pair as anchors read it; `tokens` counts the prompt once."""
    ends = [chosen.ends, rejected.ends]
    tokens = pair_tokens((chosen, rejected))
    return {
        "prompt": list(chosen.prompt),
        "chosen": list(chosen.response),
        "rejected": list(rejected.response),
        "ends": ends,
        "tokens": tokens,
    }
