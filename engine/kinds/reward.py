"""A reward run: train a Bradley-Terry reward model and score the validation pairs before (base reward model) and after."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engine.data.records import PreferencePair
from engine.kinds import losses
from engine.kinds.loop import Task, Values, fit
from engine.kinds.pairs import count_truncated, training_pairs, validation_pairs
from engine.kinds.score import answers_of, reward_rows, reward_scorer, rewards_of
from engine.model import networks, saving
from engine.model.batches import Chat, Encoded, encode_pairs, pair_tokens
from engine.model.packing import pack
from engine.settings.config import RewardConfig
from engine.statistics.rewards import length_matched, reward_numbers
from engine.store.progress import Progress


@dataclass
class Trained:
    """What evaluation needs of a reward run."""

    net: networks.RewardModel
    chat: Chat
    device: str
    config: RewardConfig
    progress: Progress


def run(progress: Progress, config: RewardConfig) -> None:
    """Train, evaluate at the start, at intervals and at the end, and save the model."""
    progress.stage("loading the model")
    device = networks.best_device(config.device)
    precision = networks.best_precision(config.precision, device)
    tokenizer = networks.load_tokenizer(progress.cache, config.model)
    model = networks.load_reward_model(progress.cache, config.model, tokenizer)
    networks.untrain_head(model, config.seed)
    adapted = networks.prepared_for_training(model, config, head="score")
    net = networks.RewardModel(model)
    networks.place(net, model, config, device)
    chat = Chat(tokenizer, config.system_prompt, config.max_tokens)
    trained = Trained(net, chat, device, config, progress)
    progress.stage("tokenising")
    encoded = encode_pairs(chat, training_pairs(progress, config), config.group_in_prompt)
    count_truncated(progress, encoded, config.train_split)
    held_out = {split: validation_pairs(progress, config, split) for split in config.validation_splits}
    steps_seen: dict[int, float] = {}
    control = config.length.model_dump(exclude={"when"})
    settings = hyper_parameters(config.loss)

    def loss(net: nn.Module, batch: list[int], whole: object) -> tuple[torch.Tensor, Values]:
        packed = pack([side for i in batch for side in encoded[i]], config.read_at).to(device)
        with networks.autocast(precision, device):
            rewards = net(packed)
        if config.length.when != "scoring":
            rewards = losses.length_controlled(rewards, packed.lengths, **control)
        found = losses.bradley_terry(rewards[0::2], rewards[1::2], **settings)
        margin = found.chosen - found.rejected
        return found.loss, {"accuracy": (margin > 0).float() + 0.5 * (margin == 0), "margin": margin}

    def evaluate(step: int, seconds: float) -> None:
        steps_seen[step] = seconds
        for split, pairs in held_out.items():
            evaluate_split(trained, split, pairs, step, seconds)
        progress.milestone()

    tokens = [pair_tokens(e) for e in encoded]
    compiled = networks.trains_compiled(config, precision, device, sum(tokens) * config.epochs)
    with networks.layers(model, compiled):
        fit(progress, config, Task(net, parameter_groups(model, config), tokens, loss, evaluate), device)
    saving.save_run(progress, net.model, adapted, tokenizer, "reward", config.model, max(steps_seen))


def hyper_parameters(loss: Any) -> dict[str, Any]:
    """A loss model's fields without its name: the keyword arguments of the function of that name."""
    return {k: v for k, v in loss.model_dump().items() if k != "name"}


def parameter_groups(model: Any, config: RewardConfig) -> list[dict[str, Any]]:
    """What is trained of the network at the learning rate, its new head at its own when it has one."""
    trained = [(name.startswith("score."), p) for name, p in model.named_parameters() if p.requires_grad]
    body, head = ([p for is_head, p in trained if is_head == wanted] for wanted in (False, True))
    return [{"params": body, "lr": config.learning_rate}, {"params": head, "lr": config.head_learning_rate or config.learning_rate}]


def evaluate_split(trained: Trained, split: str, pairs: list[PreferencePair], step: int, seconds: float) -> None:
    """Score a split's pairs; its metrics, and its rewards as rows of the scorer that the model is by now."""
    progress, config = trained.progress, trained.config
    answers = answers_of(pairs)
    encoded: list[Encoded] = [e for pair in encode_pairs(trained.chat, pairs, config.group_in_prompt) for e in pair]
    progress.stage(f"scoring {split} {'before training' if step == 0 else f'after step {step}'}", len(encoded), "responses")
    trained.net.eval()
    rewards = rewards_of(trained.net, encoded, config, trained.device, progress.advance)
    chosen, rejected = rewards[0::2], rewards[1::2]
    lengths = [(c.ends, r.ends) for c, r in zip(encoded[0::2], encoded[1::2], strict=True)]
    matched = length_matched(chosen, rejected, lengths)
    values = {**reward_numbers(chosen, rejected), "n": len(pairs), "n_length_matched": matched.n}
    if matched.n:
        values["accuracy_length_matched"] = matched.value
    progress.run.append_metrics(step, split, values, 0, seconds)
    scorer = reward_scorer(config, progress.run.id, trained.chat.template_hash, step > 0, trained.device)
    progress.add("models", [networks.base_row(config.model)])
    progress.add("scorers", [scorer.row])
    progress.add("rewards", reward_rows(scorer, answers, encoded, rewards))
