"""A generation run: the answers of a base model or a tuned policy to the prompts of a split."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from engine.data.datasets_io import load_pairs
from engine.data.records import Turn, digest, prompt_id, text_id, text_row
from engine.errors import ModelError, RunError
from engine.kinds.pairs import of_slice, seeded_choice
from engine.machine import processes
from engine.model import networks
from engine.model.batches import Chat
from engine.model.decoding import STEP_ATTENTION, continued
from engine.model.folders import source_of
from engine.settings.config import GenerateConfig
from engine.store.progress import Progress
from engine.store.rundir import read_table

Prompt = tuple[Turn, ...]


def run(progress: Progress, config: GenerateConfig) -> None:
    """Answer every chosen prompt, batch by batch; a resumed run answers only what is missing."""
    progress.stage("loading the model")
    device = networks.best_device(config.device)
    precision = networks.best_precision(config.precision, device)
    tokenizer = networks.load_tokenizer(progress.cache, config.policy)
    backend = best_backend(config.backend, device)
    loaded = vllm_writer if backend == "vllm" else transformers_writer
    writer = loaded(progress, config, tokenizer, precision, device)
    chat = Chat(tokenizer, config.system_prompt, config.max_tokens)
    generator = generator_row(progress, config, precision, backend)
    progress.add("models", [networks.base_row(config.policy)] if generator["kind"] == "base" else [])
    progress.add("generators", [generator])
    tokens = {turns: chat.prompt(turns) for turns in prompts_of(progress, config)}
    prompts = sorted(tokens, key=lambda turns: len(tokens[turns]))
    if cut := sum(chat.cuts(turns) for turns in prompts if len(tokens[turns]) == config.max_tokens):
        progress.note(f"{cut} of {len(prompts)} prompts were cut to the maximum of {config.max_tokens} tokens: their beginning went first")
    batches = [prompts[i : i + config.batch_size] for i in range(0, len(prompts), config.batch_size)]
    table = progress.run.table("generations")
    answered = set() if table is None else set(table["prompt_id"])
    missing = [(n, batch) for n, batch in enumerate(batches) if not all(prompt_id(turns) in answered for turns in batch)]
    done = len(prompts) - sum(len(batch) for _, batch in missing)
    progress.stage("answering", len(prompts), "prompts", first=done)
    for shared in processes.rounds(missing):
        found: list[tuple[Prompt, Answer]] = []
        if shared is not None:
            number, batch = shared
            written = answers(writer, tokenizer, [tokens[turns] for turns in batch], number)
            found = list(zip(batch, written, strict=not progress.stopping))
        found = processes.gathered(found)
        if found:
            write(progress, generator["generator_id"], found)
        done += len(found)
        progress.advance(done, len(prompts))


def prompts_of(progress: Progress, config: GenerateConfig) -> list[Prompt]:
    """The split's distinct prompts, those of the slice, or a seeded choice of them: the same for every generator with this seed."""
    where = f"the prompts of split {config.split!r} of {config.dataset}"
    pairs = load_pairs(progress.cache, config.dataset, config.split)
    if config.slice:
        pairs = of_slice(progress, pairs, config.slice, config.split)
        where = f"the slice in {where}"
    return seeded_choice(list({p.prompt_id: p.turns for p in pairs}.values()), config.prompts, config.seed, where)


def generator_row(progress: Progress, config: GenerateConfig, precision: str, backend: str) -> dict[str, Any]:
    """The row of the table `generators`; its id is a hash of all that changes an answer."""
    tuned = (progress.cache / "runs" / config.policy / "status.json").is_file()
    names = ("system_prompt", "temperature", "top_p", "seed", "max_tokens", "max_new_tokens", "batch_size")
    settings = {**{name: getattr(config, name) for name in names}, "precision": precision}
    if backend != "transformers":
        settings["backend"] = backend
    if config.temperature == 0:
        del settings["top_p"], settings["seed"]  # greedy decoding draws nothing
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return {
        "generator_id": digest(config.policy, text),
        "model_id": config.policy,
        "import_id": None,
        "name": config.name,
        "kind": "tuned" if tuned else "base",
        "settings": text,
    }


Answer = tuple[str, int, str, float]  # text, new tokens, finish reason, seconds


@dataclass(frozen=True)
class Writer:
    """What continues prompts, and the tokens that end a turn. written: new tokens of each, given the number of the batch, which seeds it;
    none of a batch during which the run was asked to stop.
    """

    written: Callable[[list[Sequence[int]], int], list[list[int]]]
    ends: list[int]


def seed_of(config: GenerateConfig, number: int) -> int:
    """A batch samples the same answers whether or not the run was resumed."""
    return config.seed * 1_000_003 + number


def transformers_writer(progress: Progress, config: GenerateConfig, tokenizer: Any, precision: str, device: str) -> Writer:
    model = policy_that_writes(progress.cache, config.policy, precision, device)
    ends = end_tokens(model.generation_config, tokenizer)

    def written(prompts: list[Sequence[int]], number: int) -> list[list[int]]:
        torch.manual_seed(seed_of(config, number))
        return continued(model, prompts, ends, config, device, lambda: progress.stopping)

    return Writer(written, ends)


def policy_that_writes(cache: Path, policy: str, precision: str, device: str) -> Any:
    """The network that writes token by token, in the precision it computes in."""
    model = networks.load_policy(cache, policy, attention=STEP_ATTENTION)
    return model.to(device, torch.bfloat16 if precision == "bf16" else torch.float32).eval()


def vllm_writer(progress: Progress, config: GenerateConfig, tokenizer: Any, precision: str, device: str) -> Writer:
    """The same with vLLM, which ends the batch that it began. Never run here: there was no GPU."""
    from vllm import LLM, SamplingParams

    source = source_of(progress.cache, config.policy)
    longest = config.max_tokens + config.max_new_tokens
    model = LLM(model=source, dtype="bfloat16" if precision == "bf16" else "float32", max_model_len=longest, seed=config.seed)
    ends = end_tokens(GenerationConfig.from_pretrained(source), tokenizer)

    def written(prompts: list[Sequence[int]], number: int) -> list[list[int]]:
        asked = SamplingParams(
            temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_new_tokens,
            stop_token_ids=ends, seed=seed_of(config, number), detokenize=False,
        )  # fmt: skip
        found = model.generate([{"prompt_token_ids": list(p)} for p in prompts], asked, use_tqdm=False)
        return [list(one.outputs[0].token_ids) for one in found]

    return Writer(written, ends)


def best_backend(wanted: str, device: str) -> str:
    """auto: vLLM where it is installed, there is a GPU, and no other process of the run, which would load it too.

    Raises ModelError when it is asked for and cannot be had.
    """
    can = device == "cuda" and find_spec("vllm") is not None and not processes.many()
    if wanted == "vllm" and not can:
        raise ModelError("backend is 'vllm', which needs a GPU, one process and `pip install vllm`: expected auto or transformers here")
    return "vllm" if can and wanted != "transformers" else "transformers"


def answers(writer: Writer, tokenizer: Any, prompts: list[Sequence[int]], number: int) -> list[Answer]:
    """The answer to each tokenised prompt, or none when the run was asked to stop; its seconds are the batch's divided by its answers."""
    began = time.monotonic()
    written = writer.written(prompts, number)
    seconds = (time.monotonic() - began) / len(prompts)
    found: list[Answer] = []
    for tokens in written:
        text, reason = answer_of(tokenizer, tokens, writer.ends)
        found.append((text, len(tokens), reason, seconds))
    return found


def answer_of(tokenizer: Any, tokens: Sequence[int], ends: Sequence[int]) -> tuple[str, str]:
    """The text of new tokens, and why they end: stop, or length."""
    stopped = bool(tokens) and tokens[-1] in ends
    text = tokenizer.decode(tokens[:-1] if stopped else tokens, skip_special_tokens=True).strip()
    return text, "stop" if stopped else "length"


def end_tokens(settings: Any, tokenizer: Any) -> list[int]:
    """Every token that ends a turn: the tokenizer's and those the model's generation settings name."""
    declared = settings.eos_token_id
    several = declared if isinstance(declared, list) else [declared]
    return sorted({tokenizer.eos_token_id, *several} - {None})


def write(progress: Progress, generator_id: str, found: Sequence[tuple[Prompt, Answer]]) -> None:
    rows = []
    for turns, (text, tokens, reason, seconds) in found:
        row = {"generator_id": generator_id, "prompt_id": prompt_id(turns), "text_id": text_id(text)}
        identity = digest(row["generator_id"], row["prompt_id"], row["text_id"], "0")
        rows.append({"generation_id": identity, **row, "tokens": tokens, "finish_reason": reason, "seconds": seconds})
    progress.add("texts", [text_row(text) for _, (text, *_) in found])
    progress.add("generations", rows)


def generated(cache: Path, run_id: str, turns_by_id: dict[str, Prompt]) -> list[tuple[Prompt, str]]:
    """(prompt, answer) of a generation run whose prompts are known. Raises RunError when the run has none."""
    folder = cache / "runs" / run_id
    rows, texts = read_table(folder, "generations"), read_table(folder, "texts")
    if rows is None or texts is None:
        raise RunError(f"run {run_id} has no answers yet")
    text_of = dict(zip(texts["text_id"], texts["text"], strict=True))
    return [(turns_by_id[p], text_of[t]) for p, t in zip(rows["prompt_id"], rows["text_id"], strict=True) if p in turns_by_id]
