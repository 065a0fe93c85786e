"""A policy run: score the reference once, train the policy against it, and measure its implicit rewards on the validation pairs."""

from dataclasses import dataclass

import torch
from torch import nn

from engine import losses, models
from engine.batches import Chat, Encoded, encode_pairs, pack, pair_tokens
from engine.config import PolicyConfig
from engine.losses import Logps, PairLoss
from engine.pairs import count_truncated, training_pairs, validation_pairs
from engine.progress import Progress
from engine.records import PreferencePair
from engine.reward import hyper_parameters
from engine.score import Scorer, answers_of, reward_rows, values_of
from engine.train import Task, Values, fit

Pairs = list[tuple[Encoded, Encoded]]


@dataclass
class Tuned:
    """What evaluation needs of a policy run."""

    policy: models.Policy
    chat: Chat
    device: str
    config: PolicyConfig
    progress: Progress


@dataclass
class HeldOut:
    """A validation split as tokens, with the reference's log-probabilities in the scoring precision, (N, 2) in nats."""

    pairs: list[PreferencePair]
    encoded: Pairs
    reference: torch.Tensor


def run(progress: Progress, config: PolicyConfig) -> None:
    """Score the reference, train, evaluate at the start, at intervals and at the end, and save the policy."""
    progress.stage("loading the model")
    device = models.best_device(config.device)
    precision = models.best_precision(config.precision, device)
    tokenizer = models.load_tokenizer(progress.cache, config.model)
    policy = models.Policy(models.load_policy(progress.cache, config.model)).to(device)
    chat = Chat(tokenizer, config.system_prompt, config.max_tokens)
    tuned = Tuned(policy, chat, device, config, progress)
    progress.stage("tokenising")
    encoded = encode_pairs(chat, training_pairs(progress, config))
    count_truncated(progress, encoded, config.train_split)
    held_out = {split: hold_out(tuned, split) for split in config.validation_splits}
    reference = logps_of(tuned, encoded, precision, f"reference on {config.train_split}").to(device)
    last = 0

    def loss(net: nn.Module, batch: list[int]) -> tuple[torch.Tensor, Values]:
        packed = pack([side for i in batch for side in encoded[i]]).to(device)
        with models.autocast(precision, device):
            found = net(packed)
        policy_logps, reference_logps = by_side(found, packed.lengths), by_side(reference[batch].flatten(), packed.lengths)
        pair_loss = losses.dpo(policy_logps, reference_logps, **hyper_parameters(config.loss))
        values = reward_values(pair_loss)
        return pair_loss.loss, {
            **values,
            "logps/chosen": policy_logps.chosen.detach(),
            "logps/rejected": policy_logps.rejected.detach(),
        }

    def evaluate(step: int, seconds: float) -> None:
        nonlocal last
        last = step
        policy.eval()
        for split, held in held_out.items():
            evaluate_split(tuned, split, held, step, seconds)
        progress.milestone()

    task = Task(
        policy, [{"params": list(policy.parameters()), "lr": config.learning_rate}], [pair_tokens(e) for e in encoded], loss, evaluate
    )
    fit(progress, config, task, device)
    models.save_run(progress, policy.model, tokenizer, "policy", config.model, last)


def by_side(logps: torch.Tensor, lengths: torch.Tensor) -> Logps:
    """Values of packed pairs (2B,), chosen and rejected by turns, as two sides of (B,)."""
    return Logps(logps[0::2], logps[1::2], lengths[0::2], lengths[1::2])


def reward_values(found: PairLoss) -> Values:
    """TRL's names for the implicit rewards of pairs, and their sum (the reward curve of the original report), each (B,)."""
    margins = found.chosen - found.rejected
    return {
        "rewards/chosen": found.chosen,
        "rewards/rejected": found.rejected,
        "rewards/margins": margins,
        "rewards/accuracies": (margins > 0).float() + 0.5 * (margins == 0),
        "rewards/sum": found.chosen + found.rejected,
    }


def logps_of(tuned: Tuned, pairs: Pairs, precision: str, stage: str) -> torch.Tensor:
    """Log-probabilities of chosen and rejected under the policy as it is now, (N, 2) in nats."""
    sequences = [side for pair in pairs for side in pair]
    tuned.progress.stage(stage, len(sequences), "responses")
    return torch.tensor(values_of(tuned.policy, sequences, tuned.device, precision, progress=tuned.progress.advance)).view(-1, 2)


def hold_out(tuned: Tuned, split: str) -> HeldOut:
    pairs = validation_pairs(tuned.progress, tuned.config, split)
    encoded = encode_pairs(tuned.chat, pairs)
    return HeldOut(pairs, encoded, logps_of(tuned, encoded, tuned.config.score_precision, f"reference on {split}"))


def evaluate_split(tuned: Tuned, split: str, held: HeldOut, step: int, seconds: float) -> None:
    """Implicit rewards of a split's pairs: metrics, and rows of the implicit scorer. At step 0 the policy is the reference."""
    progress, config = tuned.progress, tuned.config
    precision = config.score_precision
    policy = held.reference if step == 0 else logps_of(tuned, held.encoded, precision, f"policy on {split} after step {step}")
    lengths = torch.tensor([[c.ends, r.ends] for c, r in held.encoded]).flatten()
    found = losses.dpo(by_side(policy.flatten(), lengths), by_side(held.reference.flatten(), lengths), **hyper_parameters(config.loss))
    means = {name: value.float().mean().item() for name, value in {"loss": found.loss, **reward_values(found)}.items()}
    progress.run.append_metrics(step, split, {**means, "n": len(held.pairs)}, 0, seconds)
    scorer = scorer_of(tuned)
    rewards = torch.stack([found.chosen, found.rejected], 1).flatten().tolist()
    rows = reward_rows(scorer, answers_of(held.pairs), [side for pair in held.encoded for side in pair], rewards)
    progress.add("models", [models.base_row(config.model)])
    progress.add("scorers", [scorer.row])
    progress.add("rewards", rows)


def scorer_of(tuned: Tuned) -> Scorer:
    """The scorer β (log π − log π_ref) of this run's policy."""
    config = tuned.config
    return Scorer(
        name=f"{config.name}, implicit reward",
        kind="implicit",
        model_id=tuned.progress.run.id,
        reference_model_id=config.model,
        beta=config.loss.beta,
        reduction="sum",
        precision=config.score_precision,
        max_tokens=config.max_tokens,
        system_prompt=config.system_prompt,
        template_hash=tuned.chat.template_hash,
    )
