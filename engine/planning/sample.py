"""Tokens of a seeded sample of what a run works on, through the run's own tokenizer and chat template: what needs torch in a pre-flight."""

import random
import statistics
from pathlib import Path

from engine.data.datasets_io import load_pairs
from engine.data.records import PreferencePair
from engine.model.batches import Chat, encode_pairs, pair_tokens
from engine.model.networks import load_tokenizer
from engine.planning.references import existing
from engine.planning.workload import Sample
from engine.settings.config import (
    EmbedConfig,
    EnsembleConfig,
    GenerateConfig,
    RewardConfig,
    RunConfig,
    ScoreConfig,
    SlicedConfig,
    TrainConfig,
)
from engine.store.slices import pairs_of

SAMPLE = 200  # pairs at most


def sample_of(cache: Path, config: RunConfig, model: Path) -> Sample | None:
    """Tokens of at most SAMPLE pairs, or of their prompts when they will be answered; None for a run without a chat template.

    Raises ModelError when the tokenizer or its template cannot be used.
    """
    settings, split = settings_of(cache, config), split_of(config)
    if settings is None or split is None:
        return None
    pairs = load_pairs(cache, config.dataset, split)
    if isinstance(config, SlicedConfig) and config.slice:
        kept = set(pairs_of(cache, config.slice)["pair_id"])
        pairs = [p for p in pairs if p.pair_id in kept]
    chosen = random.Random(config.seed).sample(pairs, min(SAMPLE, len(pairs)))
    tokenizer = load_tokenizer(cache, str(model))
    if isinstance(config, GenerateConfig):
        return of_prompts(Chat(tokenizer, config.system_prompt, 2**31), chosen, config.max_tokens)
    group_field = settings.group_in_prompt if isinstance(settings, RewardConfig) else None
    encoded = encode_pairs(Chat(tokenizer, settings.system_prompt, settings.max_tokens), chosen, group_field)
    return described([pair_tokens(e) for e in encoded], sum(c.truncated or r.truncated for c, r in encoded))


def of_prompts(chat: Chat, pairs: list[PreferencePair], most: int) -> Sample:
    """Prompts at their full length; those longer than `most` will be cut."""
    tokens = [len(chat.prompt(turns)) for turns in {p.prompt_id: p.turns for p in pairs}.values()]
    return described(tokens, sum(n > most for n in tokens))


def described(tokens: list[int], cut: int) -> Sample:
    return Sample(len(tokens), cut, statistics.fmean(tokens), max(tokens))


def settings_of(cache: Path, config: RunConfig) -> RunConfig | None:
    """The configuration that states system prompt and maximum of tokens: the run's own, or that of the first reward model it uses."""
    if isinstance(config, ScoreConfig | EnsembleConfig):
        known = (existing(cache, run_id) for run_id in config.reward_models)
        return next((run.config for run in known if run), None)
    return None if isinstance(config, EmbedConfig) else config


def split_of(config: RunConfig) -> str | None:
    """The split a run works on; the first of several."""
    if isinstance(config, TrainConfig):
        return config.train_split
    if isinstance(config, GenerateConfig | EmbedConfig):
        return config.split
    return config.splits[0] if isinstance(config, ScoreConfig | EnsembleConfig) and config.splits else None
