"""What the playground's process answers: lines of numbers and texts, one after the other, as they are found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from engine.kinds import losses
from engine.kinds.generate import answer_of, end_tokens, seed_of
from engine.kinds.score import Answer as Scored
from engine.kinds.score import group_of, reward_scorer, rewards_of
from engine.model import networks
from engine.model.batches import Chat, Encoded
from engine.model.decoding import steps
from engine.model.packing import pack
from engine.serve import needs
from engine.serve.models import Models
from engine.serve.requests import Answer, Judge, Request, Score, Tokens
from engine.settings.config import PolicyConfig, RewardConfig

Line = dict[str, Any]
UNFINISHED = "\ufffd"  # what a character of which some bytes are still to come is decoded to


def answer(models: Models, asked: Answer) -> Iterator[Line]:
    """Each side's answer so far, a token of each by turns, and at its end why it ended."""
    going = {side: stream(models, asked, side) for side in asked.writers}
    while going:
        for side, lines in list(going.items()):
            line = next(lines, None)
            if line is None:
                del going[side]
            else:
                yield {"side": side, **line}


def stream(models: Models, asked: Answer, side: str) -> Iterator[Line]:
    """{stage}, then {text, tokens} after each token, then {text, tokens, finish_reason, cut}: what a generation run would write."""
    yield {"stage": "loading"}
    config = asked.config(side)
    loaded = models.writer(config)
    chat = Chat(loaded.tokenizer, config.system_prompt, config.max_tokens)
    ends = end_tokens(loaded.net.generation_config, loaded.tokenizer)
    chance = torch.Generator(models.device).manual_seed(seed_of(config, 0))
    tokens: list[int] = []
    for step in steps(loaded.net, [chat.prompt(asked.turns)], ends, config, models.device, chance):
        tokens += [token for _, token in step]
        yield {"text": answer_of(loaded.tokenizer, tokens, ends)[0].rstrip(UNFINISHED), "tokens": len(tokens)}
    text, reason = answer_of(loaded.tokenizer, tokens, ends)
    yield {"text": text, "tokens": len(tokens), "finish_reason": reason, "cut": chat.cuts(asked.turns)}


def score(models: Models, asked: Score) -> Iterator[Line]:
    """{run, trained, scorer_id, name, rewards, truncated} of each judge: what a score run would write."""
    for judge in asked.judges:
        config = needs.reward_config(models.cache, judge.run)
        loaded = models.judge(judge)
        chat = Chat(loaded.tokenizer, config.system_prompt, config.max_tokens)
        encoded = [encoded_for(chat, config, asked, response) for response in asked.responses]
        scorer = reward_scorer(config, judge.run, chat.template_hash, judge.trained, models.device)
        rewards = rewards_of(loaded.net, encoded, config, models.device, lambda done, of: None)
        about = {"run": judge.run, "trained": judge.trained, "scorer_id": scorer.id, "name": scorer.name}
        yield {**about, "rewards": rewards, "truncated": [e.truncated for e in encoded]}


def encoded_for(chat: Chat, config: RewardConfig, asked: Request, response: str) -> Encoded:
    """As a score run encodes it, with the group the model is told."""
    return chat.encode(asked.turns, response, group_of(Scored(asked.turns, response, asked.prompt_type, asked.source), config))


@torch.no_grad()
def tokens(models: Models, asked: Tokens) -> Iterator[Line]:
    """{policy: …} and {reward: …}, each with its own tokens: the two models may cut the text differently."""
    if asked.policy:
        yield {"policy": by_policy(models, asked, asked.policy)}
    if asked.judge:
        yield {"reward": by_judge(models, asked, asked.judge)}


def by_policy(models: Models, asked: Tokens, run_id: str) -> Line:
    """log π and log π_ref of each token in nats, end of turn included; beta times the sum of their differences is the implicit reward."""
    config = needs.policy_config(models.cache, run_id)
    found = []
    for name in (run_id, config.model):
        loaded = models.policy(name, config)
        chat = Chat(loaded.tokenizer, config.system_prompt, config.max_tokens)
        encoded = chat.encode(asked.turns, asked.response)
        found.append(log_probabilities(loaded.net, encoded, config, models.device))
    rows = zip(pieces(loaded.tokenizer, encoded.response[: encoded.ends]), *found, strict=True)
    return {
        "run": run_id,
        "reference": config.model,
        "beta": config.loss.beta,
        "per_token": config.loss.per_token,
        "truncated": encoded.truncated,
        "parts_at": parts_at(encoded, lambda other: chat.encode(asked.turns, other), asked.other),
        "tokens": [{"text": text, "logp": logp, "reference_logp": reference} for text, logp, reference in rows],
    }


def log_probabilities(net: networks.Policy, encoded: Encoded, config: PolicyConfig, device: str) -> list[float]:
    """log π(y_t | x, y_<t), (S,), in the precision that the run's rewards are computed in."""
    with networks.autocast(networks.reported_precision(config, device), device):
        found: list[float] = net.by_token(pack([encoded], "last_target").to(device)).tolist()
    return found


def by_judge(models: Models, asked: Tokens, judge: Judge) -> Line:
    """The reward read after each token, of which the last is the response's; `before` is read at the prompt's end.

    Where length changes the reward there is none before the first token.
    """
    config = needs.reward_config(models.cache, judge.run)
    loaded = models.judge(judge)
    chat = Chat(loaded.tokenizer, config.system_prompt, config.max_tokens)
    encoded = encoded_for(chat, config, asked, asked.response)
    before, *after = readings(loaded.net, encoded, config, models.device)
    rows = zip(pieces(loaded.tokenizer, encoded.response), after, strict=False)  # the reward may be read before the template's end
    scorer = reward_scorer(config, judge.run, chat.template_hash, judge.trained, models.device)
    return {
        "run": judge.run,
        "trained": judge.trained,
        "name": scorer.name,
        "precision": scorer.precision,
        "truncated": encoded.truncated,
        "before": None if config.length.changes_scores else before,
        "parts_at": parts_at(encoded, lambda other: encoded_for(chat, config, asked, other), asked.other),
        "tokens": [{"text": text, "reward": reward} for text, reward in rows],
    }


def readings(net: networks.RewardModel, encoded: Encoded, config: RewardConfig, device: str) -> list[float]:
    """The head read at the prompt's last token and at every response token up to where a reward is read, (S + 1,)."""
    packed = pack([encoded], config.read_at)
    packed = replace(packed, read_at=packed.rows[0, len(encoded.prompt) - 1 :]).to(device)
    with networks.autocast(networks.reported_precision(config, device), device):
        rewards = net(packed).float().cpu()
    if config.length.changes_scores:
        lengths = torch.arange(len(rewards)).clamp(1, encoded.ends).float()
        rewards = losses.length_controlled(rewards, lengths, **config.length.model_dump(exclude={"when"}))
    found: list[float] = rewards.tolist()
    return found


def parts_at(encoded: Encoded, encode: Callable[[str], Encoded], other: str | None) -> int | None:
    """The first response token that differs from the other response's; None without another, or when they are the same."""
    if other is None:
        return None
    beside = encode(other).response
    same = next((i for i, (a, b) in enumerate(zip(encoded.response, beside, strict=False)) if a != b), None)
    return same if same is not None or len(beside) == len(encoded.response) else min(len(beside), len(encoded.response)) - 1


def pieces(tokenizer: Any, tokens: Sequence[int]) -> list[str]:
    """The text each token adds, which together are the decoded text; of a character's several tokens the last has it."""
    found, before = [], ""
    for end in range(1, len(tokens) + 1):
        text = tokenizer.decode(tokens[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        whole = text if end == len(tokens) else text.rstrip(UNFINISHED)
        found.append(whole[len(before) :])
        before = max(before, whole, key=len)
    return found


REPLIES: dict[str, Callable[[Models, Any], Iterator[Line]]] = {"answer": answer, "score": score, "tokens": tokens}
