"""A reward run: train a Bradley-Terry reward model and score the validation pairs before (base reward model) and after."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from engine import losses, models
from engine.batches import Chat, Encoded, encode_pairs, pack, pair_tokens
from engine.config import RewardConfig
from engine.metrics.rewards import reward_summary
from engine.pairs import count_truncated, training_pairs, validation_pairs
from engine.progress import Progress
from engine.records import PreferencePair
from engine.score import answers_of, reward_rows, reward_scorer, values_of
from engine.train import Task, Values, fit


@dataclass
class Trained:
    """What evaluation needs of a reward run."""

    net: models.RewardModel
    chat: Chat
    device: str
    config: RewardConfig
    progress: Progress


def run(progress: Progress, config: RewardConfig) -> None:
    """Train, evaluate at the start, at intervals and at the end, and save the model."""
    progress.stage("loading the model")
    device = models.best_device(config.device)
    precision = models.best_precision(config.precision, device)
    tokenizer = models.load_tokenizer(progress.cache, config.model)
    model = models.load_reward_model(progress.cache, config.model, tokenizer)
    models.untrain_head(model, config.seed)
    net = models.RewardModel(model).to(device)
    chat = Chat(tokenizer, config.system_prompt, config.max_tokens)
    trained = Trained(net, chat, device, config, progress)
    progress.stage("tokenising")
    encoded = encode_pairs(chat, training_pairs(progress, config))
    count_truncated(progress, encoded, config.train_split)
    held_out = {split: validation_pairs(progress, config, split) for split in config.validation_splits}
    steps_seen: dict[int, float] = {}

    def loss(net: nn.Module, batch: list[int]) -> tuple[torch.Tensor, Values]:
        packed = pack([side for i in batch for side in encoded[i]], config.read_at == "end_of_turn").to(device)
        with models.autocast(precision, device):
            rewards = net(packed)
        chosen, rejected = rewards[0::2], rewards[1::2]
        found = losses.bradley_terry(chosen, rejected, **hyper_parameters(config.loss))
        margin = found.chosen - found.rejected
        return found.loss, {"accuracy": (margin > 0).float() + 0.5 * (margin == 0), "margin": margin}

    def evaluate(step: int, seconds: float) -> None:
        steps_seen[step] = seconds
        for split, pairs in held_out.items():
            evaluate_split(trained, split, pairs, step, seconds)
        progress.milestone()

    task = Task(net, parameter_groups(model, config), [pair_tokens(e) for e in encoded], loss, evaluate)
    fit(progress, config, task, device)
    models.save_run(progress, net.model, tokenizer, "reward", config.model, max(steps_seen))


def hyper_parameters(loss: Any) -> dict[str, float]:
    """A loss model's fields without its name: the keyword arguments of the function of that name."""
    return {k: v for k, v in loss.model_dump().items() if k != "name"}


def parameter_groups(model: Any, config: RewardConfig) -> list[dict[str, Any]]:
    """The network at the learning rate, its new head at its own when one is stated."""
    head = list(model.score.parameters())
    body = [p for name, p in model.named_parameters() if not name.startswith("score.")]
    return [{"params": body, "lr": config.learning_rate}, {"params": head, "lr": config.head_learning_rate or config.learning_rate}]


def evaluate_split(trained: Trained, split: str, pairs: list[PreferencePair], step: int, seconds: float) -> None:
    """Score a split's pairs; its metrics, and its rewards as rows of the scorer that the model is by now."""
    progress, config = trained.progress, trained.config
    answers = answers_of(pairs)
    encoded: list[Encoded] = [e for pair in encode_pairs(trained.chat, pairs) for e in pair]
    progress.stage(f"scoring {split} {'before training' if step == 0 else f'after step {step}'}", len(encoded), "responses")
    trained.net.eval()
    rewards = values_of(trained.net, encoded, trained.device, config.score_precision, config.read_at, progress.advance)
    summary = asdict(reward_summary(rewards[0::2], rewards[1::2]))
    values = {k: v["value"] if isinstance(v, dict) else v for k, v in summary.items()}
    finite = {k: v for k, v in values.items() if v == v}
    progress.run.append_metrics(step, split, {**finite, "n": len(pairs)}, 0, seconds)
    scorer = reward_scorer(config, progress.run.id, trained.chat.template_hash, trained=step > 0)
    progress.add("models", [models.base_row(config.model)])
    progress.add("scorers", [scorer.row])
    progress.add("rewards", reward_rows(scorer, answers, encoded, rewards))
