"""A policy run: score the reference once, train the policy against it, and measure its implicit rewards on the validation pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engine.data.records import PreferencePair
from engine.errors import RunError
from engine.kinds import reference_logps
from engine.kinds.loop import Task, Values, fit
from engine.kinds.losses import POLICY_LOSSES, Logps, Objective, PairLoss, log_ratios, reference_point
from engine.kinds.pairs import count_truncated, training_pairs, validation_pairs
from engine.kinds.reward import hyper_parameters
from engine.kinds.score import Scorer, answers_of, reward_rows, rewards_of
from engine.machine import processes
from engine.model import networks, saving
from engine.model.batches import Chat, Encoded, encode_pairs, pair_tokens
from engine.model.packing import Packed, pack
from engine.model.scoring import values_of
from engine.settings.config import PolicyConfig, RewardConfig
from engine.settings.hyperparameters import AgainstReference
from engine.store.progress import Progress
from engine.store.rundir import find_run

Pairs = list[tuple[Encoded, Encoded]]


@dataclass
class Tuned:
    """What a policy run works with."""

    policy: networks.Policy
    chat: Chat
    device: str
    config: PolicyConfig
    progress: Progress
    objective: Objective

    @property
    def reported(self) -> str:
        """The precision of the rewards that it reports."""
        return networks.reported_precision(self.config, self.device)


@dataclass
class Part:
    """Pairs of one split as tokens, with what the losses need besides the policy.

    reference: log-probabilities under the reference, (N, 2, 2): side, and whole response or common tokens. guide: r_c − r_r, (N,).
    """

    pairs: list[PreferencePair]
    encoded: Pairs
    reference: torch.Tensor | None
    guide: torch.Tensor | None


def run(progress: Progress, config: PolicyConfig) -> None:
    """Score the reference, train, evaluate at the start, at intervals and at the end, and save the policy."""
    progress.stage("loading the model")
    device = networks.best_device(config.device)
    precision = networks.best_precision(config.precision, device)
    tokenizer = networks.load_tokenizer(progress.cache, config.model)
    model = networks.load_policy(progress.cache, config.model)
    policy = networks.Policy(model)
    chat = Chat(tokenizer, config.system_prompt, config.max_tokens)
    tuned = Tuned(policy, chat, device, config, progress, objective_of(config))
    progress.stage("tokenising")
    training = training_pairs(progress, config)
    weights = reference_logps.fingerprint(model) if "reference" in tuned.objective.needs else ""  # before they are divided
    networks.place(policy, model, config, device)
    held_out = {s: prepared(tuned, s, validation_pairs(progress, config, s), tuned.reported, weights) for s in config.validation_splits}
    train = prepared(tuned, config.train_split, training, precision, weights)
    count_truncated(progress, train.encoded, config.train_split)
    train.pairs, training = [], []  # of what is trained on only the tokens stay
    adapted = networks.prepared_for_training(model, config)
    policy.to(device)  # the adapters
    last = 0

    def evaluate(step: int, seconds: float) -> None:
        nonlocal last
        last = step
        policy.eval()
        for split, part in held_out.items():
            evaluate_split(tuned, split, part, step, seconds)
        progress.milestone()

    tokens = [pair_tokens(e) for e in train.encoded]
    compiled = networks.trains_compiled(config, precision, device, sum(tokens) * config.epochs)
    groups = [{"params": [p for p in policy.parameters() if p.requires_grad], "lr": config.learning_rate}]
    loss, whole = losses_of(tuned, train, precision)
    with networks.layers(model, compiled):
        fit(progress, config, Task(policy, groups, tokens, loss, evaluate, whole), device)
    saving.save_run(progress, model, adapted, tokenizer, "policy", config.model, last)


def objective_of(config: PolicyConfig) -> Objective:
    """The configured loss with weight 1, and those added to it."""
    terms = [(1.0, config.loss), *((added.weight, added.loss) for added in config.added)]
    return Objective(tuple((weight, POLICY_LOSSES[loss.name], hyper_parameters(loss)) for weight, loss in terms))


def losses_of(tuned: Tuned, train: Part, precision: str) -> tuple[Callable[..., tuple[torch.Tensor, Values]], Callable[..., Any]]:
    """The loss of a part of a batch, and the reference point of the whole batch where a loss asks for it."""
    device, objective = tuned.device, tuned.objective

    def policy_logps(net: nn.Module, part: list[int]) -> Logps:
        packed: Packed = pack([side for i in part for side in train.encoded[i]], "last_target").to(device)
        with networks.autocast(precision, device):
            return by_side(net(packed), packed.lengths)

    def given(part: list[int], lengths: torch.Tensor) -> dict[str, Any]:
        """What is known of the part's pairs before the policy is asked."""
        known: dict[str, Any] = {}
        if train.reference is not None:
            known["reference"] = by_side(train.reference[part].reshape(-1, 2).to(device), lengths)
        if train.guide is not None:
            known["guide"] = train.guide[part].to(device)
        return known

    def loss(net: nn.Module, part: list[int], shift: torch.Tensor | None) -> tuple[torch.Tensor, Values]:
        policy = policy_logps(net, part)
        found = objective(policy, shift=shift, **given(part, lengths_of(policy)))
        logps = {"logps/chosen": policy.chosen.detach(), "logps/rejected": policy.rejected.detach()}
        return found.loss, {**reward_values(found), **logps}

    @torch.no_grad()
    def whole(net: nn.Module, parts: list[list[int]]) -> torch.Tensor | None:
        if "shift" not in objective.needs:
            return None
        seen = [policy_logps(net, part) for part in parts]
        ratios = [log_ratios(policy, given(part, lengths_of(policy))["reference"]) for part, policy in zip(parts, seen, strict=True)]
        return processes.mean_of(torch.cat([side for pair in ratios for side in pair])).clamp(min=0)

    return loss, whole


def by_side(logps: torch.Tensor, lengths: torch.Tensor) -> Logps:
    """Values of packed pairs (2B, 2), chosen and rejected by turns, and their lengths (2B,), as two sides of (B,)."""
    return Logps(logps[0::2, 0], logps[1::2, 0], lengths[0::2], lengths[1::2], logps[0::2, 1], logps[1::2, 1])


def lengths_of(logps: Logps) -> torch.Tensor:
    """Response tokens, chosen and rejected by turns, (2B,)."""
    return torch.stack([logps.chosen_tokens, logps.rejected_tokens], 1).flatten()


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


def prepared(tuned: Tuned, split: str, pairs: list[PreferencePair], precision: str, weights: str) -> Part:
    """A split's pairs as tokens with the reference's log-probabilities, computed once for these weights, and the guide's margins."""
    encoded = encode_pairs(tuned.chat, pairs)
    found = None
    if "reference" in tuned.objective.needs:
        path = reference_logps.path_of(tuned.progress.cache, weights, encoded, precision, scored_compiled(tuned, encoded, precision))
        found = reference_logps.read(path)
        if processes.any_of(found is None):
            found = logps_of(tuned, encoded, precision, f"reference on {split}")
            if tuned.progress.run.writes:
                reference_logps.write(path, found)
    guide = guide_of(tuned, split, pairs) if tuned.config.guide else None
    return Part(pairs, encoded, found, guide)


def logps_of(tuned: Tuned, pairs: Pairs, precision: str, stage: str) -> torch.Tensor:
    """Log-probabilities under the policy as it is now, (N, 2, 2) in nats: side, and whole response or common tokens."""
    sequences = [side for pair in pairs for side in pair]
    tuned.progress.stage(stage, len(sequences), "responses")
    compiled = scored_compiled(tuned, pairs, precision)
    return values_of(tuned.policy, sequences, tuned.device, precision, "last_target", compiled, tuned.progress.advance).view(-1, 2, 2)


def scored_compiled(tuned: Tuned, pairs: Pairs, precision: str) -> bool:
    return networks.scores_compiled(tuned.config, precision, tuned.device, sum(map(pair_tokens, pairs)))


def guide_of(tuned: Tuned, split: str, pairs: list[PreferencePair]) -> torch.Tensor:
    """r_c − r_r of each pair under the guiding reward run's model, (N,). Raises RunError when the run is no reward run."""
    assert tuned.config.guide
    cache = tuned.progress.cache
    guiding = find_run(cache, tuned.config.guide)
    settings = guiding.config
    if not isinstance(settings, RewardConfig):
        raise RunError(f"guide {guiding.id} is a {guiding.outline.kind} run, expected a reward run")
    tokenizer = networks.load_tokenizer(cache, guiding.id)
    net = networks.RewardModel(networks.load_reward_model(cache, guiding.id, tokenizer)).to(tuned.device).eval()
    chat = Chat(tokenizer, settings.system_prompt, settings.max_tokens)
    encoded = [side for pair in encode_pairs(chat, pairs, settings.group_in_prompt) for side in pair]
    tuned.progress.stage(f"guide on {split}", len(encoded), "responses")
    rewards = torch.tensor(rewards_of(net, encoded, settings, tuned.device, tuned.progress.advance))
    return rewards[0::2] - rewards[1::2]


def evaluate_split(tuned: Tuned, split: str, part: Part, step: int, seconds: float) -> None:
    """Implicit rewards of a split's pairs: metrics, and rows of the implicit scorer. At step 0 the policy is the reference."""
    progress, config = tuned.progress, tuned.config
    known = part.reference if step == 0 else None
    found = known if known is not None else logps_of(tuned, part.encoded, tuned.reported, f"policy on {split} after step {step}")
    lengths = torch.tensor([[c.ends, r.ends] for c, r in part.encoded]).flatten()
    policy = by_side(found.reshape(-1, 2), lengths)
    given: dict[str, Any] = {"guide": part.guide}
    if part.reference is not None:
        given["reference"] = by_side(part.reference.reshape(-1, 2), lengths)
        given["shift"] = reference_point(torch.cat(log_ratios(policy, given["reference"])))
    measured = tuned.objective(policy, **given)
    means = {name: value.float().mean().item() for name, value in {"loss": measured.loss, **reward_values(measured)}.items()}
    progress.run.append_metrics(step, split, {**means, "n": len(part.pairs)}, 0, seconds)
    scorer = scorer_of(tuned)
    rewards = torch.stack([measured.chosen, measured.rejected], 1).flatten().tolist()
    rows = reward_rows(scorer, answers_of(part.pairs), [side for pair in part.encoded for side in pair], rewards)
    progress.add("models", [networks.base_row(config.model)])
    progress.add("scorers", [scorer.row])
    progress.add("rewards", rows)


def scorer_of(tuned: Tuned) -> Scorer:
    """The reward that this run's loss implies: β times a log-ratio to the reference, or times the policy's own log-probability."""
    config, loss = tuned.config, tuned.config.loss
    return Scorer(
        name=f"{config.name}, implicit reward",
        kind="implicit",
        model_id=tuned.progress.run.id,
        reference_model_id=config.model if isinstance(loss, AgainstReference) else None,
        beta=loss.beta,
        reduction="mean" if loss.per_token else "sum",
        precision=tuned.reported,
        max_tokens=config.max_tokens,
        system_prompt=config.system_prompt,
        template_hash=tuned.chat.template_hash,
    )
