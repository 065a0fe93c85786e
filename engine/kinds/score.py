"""Rewards of responses under a reward model, the scorers they belong to, and the run that scores what was generated."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
import torch

from engine.data.datasets_io import load_pairs, splits_in
from engine.data.records import PreferencePair, Turn, digest, prompt_id, text_id
from engine.errors import RunError
from engine.kinds import losses
from engine.kinds.generate import generated
from engine.model import networks
from engine.model.batches import Chat, Encoded
from engine.model.scoring import values_of
from engine.settings.config import RewardConfig, ScoreConfig
from engine.store.progress import Progress
from engine.store.rundir import find_run


@dataclass(frozen=True)
class Scorer:
    """A row of the table `scorers`; its id is a hash of all that changes a score."""

    name: str
    kind: str
    model_id: str
    precision: str
    max_tokens: int
    system_prompt: str
    template_hash: str
    seed: int | None = None
    reference_model_id: str | None = None
    beta: float | None = None
    reduction: str | None = None
    read_at: str = "template_end"
    length_control: str | None = None

    @property
    def id(self) -> str:
        return digest(*(f"{k}={v}" for k, v in sorted(asdict(self).items()) if k != "name" and (k, v) != ("length_control", None)))

    @property
    def row(self) -> dict[str, Any]:
        return {"scorer_id": self.id, **{k: v for k, v in asdict(self).items() if k != "read_at"}, "members": None}


@dataclass(frozen=True)
class Answer:
    """A response after a prompt: what a scorer scores. A conditional model's prompt names the type or the source of its pair."""

    turns: tuple[Turn, ...]
    response: str
    prompt_type: str | None = None
    source: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        return prompt_id(self.turns), text_id(self.response)


def answers_of(pairs: Sequence[PreferencePair]) -> list[Answer]:
    """Chosen and rejected of every pair, one after the other."""
    return [Answer(p.turns, response, p.prompt_type, p.source) for p in pairs for response in (p.chosen, p.rejected)]


def reward_rows(scorer: Scorer, answers: Sequence[Answer], encoded: Sequence[Encoded], rewards: Sequence[float]) -> pl.DataFrame:
    """Rows of the table `rewards`; an answer that stands in several pairs is one row.

    Raises RunError when one answer was given two prompts: in two groups, of which the table can hold one.
    """
    first: dict[tuple[str, str], Encoded] = {}
    for a, e in zip(answers, encoded, strict=True):
        if first.setdefault(a.key, e).prompt != e.prompt:
            raise RunError(
                f"the response {a.response[:40]!r} to {a.turns[-1].content[:40]!r} stands in two groups, and a conditional model rates it "
                "in each: keep such a prompt in one group, or train one model for each group (--group)"
            )
    rows = {
        a.key: {
            "scorer_id": scorer.id,
            "prompt_id": a.key[0],
            "text_id": a.key[1],
            "reward": reward,
            "tokens": e.ends,
            "truncated": e.truncated,
            "record": 0,
        }
        for a, e, reward in zip(answers, encoded, rewards, strict=True)
    }
    return pl.DataFrame(list(rows.values()))


def untrained_name(seed: int) -> str:
    """What an untrained scorer is called in its run's stages and in the tables."""
    return f"untrained (seed {seed})"


def reward_scorer(config: RewardConfig, run_id: str, template_hash: str, trained: bool, device: str) -> Scorer:
    """The scorer that a reward run's model is, or its base reward model: the same network with the untrained head of its seed."""
    return Scorer(
        name=config.name if trained else untrained_name(config.seed),
        kind="head" if trained else "untrained_head",
        model_id=run_id if trained else config.model,
        precision=networks.reported_precision(config, device),
        max_tokens=config.max_tokens,
        system_prompt=f"{config.system_prompt}\nGroup: {{{config.group_by}}}" if config.conditional else config.system_prompt,
        template_hash=template_hash,
        seed=None if trained else config.seed,
        read_at=config.read_at,
        length_control=config.length.model_dump_json() if config.length.changes_scores else None,
    )


def rewards_of(
    net: networks.RewardModel, encoded: Sequence[Encoded], config: RewardConfig, device: str, progress: Callable[[int, int], None]
) -> list[float]:
    """Reported rewards under a reward run's settings, (N,)."""
    precision = networks.reported_precision(config, device)
    compiled = networks.scores_compiled(config, precision, device, sum(map(len, encoded)))
    found = values_of(net, encoded, device, precision, config.read_at, compiled, progress)
    if config.length.changes_scores:
        lengths = torch.tensor([float(e.ends) for e in encoded])
        found = losses.length_controlled(found, lengths, **config.length.model_dump(exclude={"when"}))
    rewards: list[float] = found.tolist()
    return rewards


def run(progress: Progress, config: ScoreConfig) -> None:
    """Score every answer under each reward model and its untrained twin; what a parent has scored already is not scored again."""
    answers = answers_to_score(progress, config)
    for run_id in config.reward_models:
        reward_run = find_run(progress.cache, run_id)
        settings = reward_run.config
        if not isinstance(settings, RewardConfig):
            raise RunError(f"{run_id} is a {reward_run.outline.kind} run, expected a reward run")
        for trained in (False, True):
            score_under(progress, settings, run_id, trained, answers)
            progress.milestone()


def answers_to_score(progress: Progress, config: ScoreConfig) -> list[Answer]:
    """Each (prompt, response) once for each group it stands in: of the configured splits, then of the configured generation runs.

    The groups of an answer that was generated are those of its prompt's first pair.
    """
    cache = progress.cache
    splits = splits_in(cache, config.dataset)
    if splits is None:
        raise RunError(f"dataset {config.dataset!r} not found in the cache")
    everything = {split: load_pairs(cache, config.dataset, split) for split in splits}
    turns = {p.prompt_id: p.turns for pairs in everything.values() for p in pairs}
    for split in config.splits:
        if split not in everything:
            raise RunError(f"{config.dataset} has no split {split!r}: expected one of {', '.join(everything)}")
    groups = {p.turns: (p.prompt_type, p.source) for pairs in everything.values() for p in reversed(pairs)}
    found = [a for split in config.splits for a in answers_of(everything[split])]
    found += [Answer(prompt, text, *groups[prompt]) for run_id in config.generations for prompt, text in generated(cache, run_id, turns)]
    return list({(a.key, a.prompt_type, a.source): a for a in found}.values())


def score_under(progress: Progress, settings: RewardConfig, run_id: str, trained: bool, answers: list[Answer]) -> None:
    """Rewards under one reward run's model, or under the same network with its head untrained."""
    name = settings.name if trained else untrained_name(settings.seed)
    progress.stage(f"loading “{name}”")
    device = networks.best_device(settings.device)
    source = run_id if trained else settings.model
    tokenizer = networks.load_tokenizer(progress.cache, source)
    chat = Chat(tokenizer, settings.system_prompt, settings.max_tokens)
    scorer = reward_scorer(settings, run_id, chat.template_hash, trained, device)
    progress.add("models", [networks.base_row(settings.model)])
    progress.add("scorers", [scorer.row])
    known = scored_already(progress, run_id, scorer.id)
    distinct = {(a.key, group_of(a, settings)): a for a in answers}  # without groups in the prompt an answer that stands in two is one
    missing = [a for a in distinct.values() if a.key not in known]
    done = len(distinct) - len(missing)
    if not missing:
        progress.stage(f"scoring with “{name}”", len(distinct), "different responses", first=done)
        return
    network = networks.load_reward_model(progress.cache, source, tokenizer)
    if not trained:
        networks.untrain_head(network, settings.seed)
    encoded = [chat.encode(a.turns, a.response, group_of(a, settings)) for a in missing]
    progress.stage(f"scoring with “{name}”", len(distinct), "different responses", first=done)
    net = networks.RewardModel(network).to(device).eval()
    rewards = rewards_of(net, encoded, settings, device, lambda n, _of: progress.advance(done + n, len(distinct)))
    progress.add("rewards", reward_rows(scorer, missing, encoded, rewards))
    cut = sum(e.truncated for e in encoded)
    if cut:
        progress.note(f"{cut} of {len(encoded)} responses were cut to {settings.max_tokens} tokens for “{name}”")


def group_of(answer: Answer, settings: RewardConfig) -> str | None:
    """The group that the system prompt names for an answer."""
    return getattr(answer, settings.group_in_prompt) if settings.group_in_prompt else None


def scored_already(progress: Progress, run_id: str, scorer_id: str) -> set[tuple[str, str]]:
    """(prompt_id, text_id) that the reward run or an earlier try of this run scored with this scorer."""
    tables = [t for t in (find_run(progress.cache, run_id).table("rewards"), progress.run.table("rewards")) if t is not None]
    if not tables:
        return set()
    known = pl.concat(tables, how="diagonal_relaxed").filter(pl.col("scorer_id") == scorer_id)
    return set(zip(known["prompt_id"], known["text_id"], strict=True))
