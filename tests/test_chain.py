"""The runs that make a new model comparable, what they cost together, and the command that asks for them."""

import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import listening, table

from dashboard.queries import Selection, default_selection
from engine.__main__ import main, parser
from engine.data.datasets_io import load_pairs
from engine.data.records import text_id
from engine.errors import ConfigError, RunError
from engine.planning import cost
from engine.planning.workload import Sample
from engine.queue import chain, jobs
from engine.queue.run import execute
from engine.settings.config import CONFIGS, AnyRun, GenerateConfig, PolicyConfig, RewardConfig, ScoreConfig, TrainConfig, parse
from engine.settings.hyperparameters import DPO, BradleyTerry, LengthControl, LoRA, SimPO, Weighted
from engine.settings.options import as_options, given
from engine.settings.slices import Range, Slice
from engine.store import database
from engine.store.rundir import RunDir, find_run, run_dirs, take_lock
from engine.store.status import State


def looked_at(cache: Path) -> Selection:
    with database.reading(cache) as con:
        return default_selection(con)


def repeated(cache: Path, kind: str, **changes: Any) -> tuple[str, ...]:
    with database.reading(cache) as con:
        return chain.to_repeat(con, cache, replace(default_selection(con), **changes), kind)


def by_kind(cache: Path) -> dict[str, list[RunDir]]:
    found: dict[str, list[RunDir]] = {}
    for run in run_dirs(cache):
        found.setdefault(run.outline.kind, []).append(run)
    return found


def again(run: RunDir, **changes: Any) -> TrainConfig:
    """The configuration of a training run under another name."""
    config = run.config
    assert isinstance(config, TrainConfig)
    return config.model_copy(update={"name": "again", **changes})


# Which runs


def test_a_reward_model_scores_the_answers_of_base_and_tuned_policy(toy_cache: Path) -> None:
    """It measures the validation pairs while it trains, so the score run names no split."""
    runs = by_kind(toy_cache)
    then = repeated(toy_cache, "reward")
    assert then == tuple(run.id for run in runs["generate"])
    (model, config), (_, scores) = chain.chain(toy_cache, again(runs["reward"][0]), then).items()
    assert config == again(runs["reward"][0], parents=())
    assert isinstance(scores, ScoreConfig)
    assert (scores.reward_models, scores.generations, scores.splits) == ((model,), then, ())
    assert scores.parents == (model, *then)


def test_a_reward_model_that_does_not_measure_the_split_of_the_answers_scores_its_pairs_too(toy_cache: Path) -> None:
    config = again(by_kind(toy_cache)["reward"][0], validation_splits=())
    *_, scores = chain.chain(toy_cache, config, repeated(toy_cache, "reward")).values()
    assert isinstance(scores, ScoreConfig)
    assert scores.splits == ("validation",)


def test_a_policy_answers_as_the_tuned_one_did_and_the_same_reward_models_score_it(toy_cache: Path) -> None:
    """Only its own answers are scored: those of the base policy have their scores."""
    runs = by_kind(toy_cache)
    tuned, reward = runs["generate"][1], runs["reward"][0]
    then = repeated(toy_cache, "policy")
    assert then == (tuned.id, reward.id)
    planned = chain.chain(toy_cache, again(runs["policy"][0]), then)
    (model, answers), scores = list(planned)[:2], list(planned.values())[2]
    answered, before = planned[answers], tuned.config
    assert isinstance(answered, GenerateConfig)
    assert isinstance(scores, ScoreConfig)
    assert answered == before.model_copy(update={"name": "Answers of again", "policy": model, "parents": (model,)})
    assert (scores.reward_models, scores.generations, scores.parents) == ((reward.id,), (answers,), (reward.id, answers))


def test_each_step_can_be_left_out(toy_cache: Path) -> None:
    runs = by_kind(toy_cache)
    policy, then = again(runs["policy"][0]), repeated(toy_cache, "policy")
    assert [c.kind for c in chain.chain(toy_cache, policy, then[:1]).values()] == ["policy", "generate"]
    assert [c.kind for c in chain.chain(toy_cache, policy).values()] == ["policy"]
    reward = again(runs["reward"][0])
    *_, scores = chain.chain(toy_cache, reward, repeated(toy_cache, "reward")[1:]).values()
    assert isinstance(scores, ScoreConfig)
    assert scores.generations == (runs["generate"][1].id,)
    assert [c.kind for c in chain.chain(toy_cache, reward).values()] == ["reward"]


def test_what_was_imported_has_no_run_to_repeat(toy_cache: Path) -> None:
    runs = by_kind(toy_cache)
    assert repeated(toy_cache, "reward", base_generator="imported") == (runs["generate"][1].id,)
    assert repeated(toy_cache, "policy", tuned_generator="imported", trained_scorer=None) == (runs["generate"][0].id,)


def test_the_first_policy_brings_its_answers_those_of_its_base_model_and_their_scores(toy_cache: Path) -> None:
    """Where no run has answered yet; the prompts are those that it is validated on."""
    runs = by_kind(toy_cache)
    config, reward = again(runs["policy"][0]), runs["reward"][0]
    then = repeated(toy_cache, "policy", base_generator=None, tuned_generator=None)
    assert then == (chain.ANSWERS, reward.id)
    (model, _), (base, by_base), (tuned, by_tuned), (_, scores) = chain.chain(toy_cache, config, then).items()
    assert isinstance(by_base, GenerateConfig)
    assert isinstance(by_tuned, GenerateConfig)
    assert isinstance(scores, ScoreConfig)
    assert (by_base.policy, by_tuned.policy) == (config.model, model)
    assert (by_base.split, by_base.system_prompt) == (config.validation_splits[0], config.system_prompt)
    assert by_tuned == by_base.model_copy(update={"name": "Answers of again", "policy": model, "parents": (model,)})
    assert (scores.generations, scores.reward_models) == ((base, tuned), (reward.id,))
    with pytest.raises(ConfigError, match="they follow a policy run"):
        chain.chain(toy_cache, again(reward), [chain.ANSWERS])


def test_where_only_the_base_model_has_answered_its_answers_are_scored_beside_the_first_policy_s(toy_cache: Path) -> None:
    """Nobody has scored the answers of a policy yet: the reward model that is looked at does."""
    runs = by_kind(toy_cache)
    then = repeated(toy_cache, "policy", tuned_generator=None)
    assert then == (runs["generate"][0].id, runs["reward"][0].id)
    *_, (tuned, _), (_, scores) = chain.chain(toy_cache, again(runs["policy"][0]), then).items()
    assert isinstance(scores, ScoreConfig)
    assert scores.generations == (runs["generate"][0].id, tuned)


def test_a_run_that_cannot_be_repeated_is_refused_with_what_is_expected(toy_cache: Path) -> None:
    runs = by_kind(toy_cache)
    reward, policy = again(runs["reward"][0]), again(runs["policy"][0])
    with pytest.raises(ConfigError, match="a score run: after a reward run a generate run is expected"):
        chain.chain(toy_cache, reward, [runs["score"][0].id])
    with pytest.raises(ConfigError, match="no generation run"):
        chain.chain(toy_cache, policy, [runs["reward"][0].id])
    with pytest.raises(RunError, match="'nowhere' not found"):
        chain.chain(toy_cache, policy, ["nowhere"])


def test_the_model_of_what_is_looked_at_is_found(toy_cache: Path) -> None:
    runs = by_kind(toy_cache)
    with database.reading(toy_cache) as con:
        found = {kind: chain.run_of_model(con, default_selection(con), kind) for kind in ("reward", "policy")}
    assert found == {kind: runs[kind][0].id for kind in ("reward", "policy")}


def test_a_name_that_is_taken_gets_the_next_number(filled_cache: Path) -> None:
    assert chain.fresh_name(filled_cache, "new") == "new"
    assert chain.fresh_name(filled_cache, "dpo") == "dpo 2"
    assert chain.fresh_name(filled_cache, "dpo 7") == "dpo 7"
    assert chain.fresh_name(filled_cache, "reward model") == "reward model 2"


def test_the_last_number_goes_up(own_toy_cache: Path) -> None:
    for expected in ("toy 2", "toy 3"):
        name = chain.fresh_name(own_toy_cache, "toy 2" if expected == "toy 3" else "toy")
        assert name == expected
        device = take_lock(own_toy_cache / "locks" / "cpu.lock")
        chain.submit(own_toy_cache, again(by_kind(own_toy_cache)["reward"][0], name=name))
        assert device is not None
        os.close(device)


# On a slice whose training pairs were not scored


def narrow(cache: Path, split: str = "train", **changes: Any) -> TrainConfig:
    """The toy reward model again, on pairs with a margin below 2, about half: it has scored the validation pairs alone."""
    scorer = looked_at(cache).trained_scorer
    reward = by_kind(cache)["reward"][0]
    predicate = Range(field="margin", high=2, scorer=scorer)
    return again(reward, slice=Slice(dataset_id=reward.outline.dataset, predicates=(predicate,)), train_split=split, **changes)


def done(cache: Path, run_id: str) -> RunDir:
    run = find_run(cache, run_id)
    execute(listening(cache, run))
    assert run.status.error is None
    return run


def test_the_training_pairs_are_scored_before_they_are_cut_to_the_slice(own_toy_cache: Path) -> None:
    """12 pairs are 24 responses under two heads; before that is done the new model has 12 pairs at most, in 3 steps of 4."""
    config = narrow(own_toy_cache)
    (first, scoring), (_, model) = chain.chain(own_toy_cache, config).items()
    reward = by_kind(own_toy_cache)["reward"][0].id
    assert isinstance(scoring, ScoreConfig)
    assert (scoring.reward_models, scoring.splits, scoring.generations, scoring.parents) == ((reward,), ("train",), (), (reward,))
    assert (model.parents, model.model_copy(update={"parents": ()})) == ((first,), config)
    found = cost.cost(own_toy_cache, chain.chain(own_toy_cache, config))
    assert [(made.items, made.steps, made.at_most) for made in found.runs] == [(24, None, False), (12, 3, True)]
    assert not found.refusals
    there = narrow(own_toy_cache, "validation", validation_splits=())
    assert list(chain.chain(own_toy_cache, there).values()) == [there], "the validation pairs are scored"


@pytest.mark.slow
def test_one_command_scores_the_pairs_and_trains_on_those_of_the_slice(own_toy_cache: Path) -> None:
    """The pairs are those whose margin is below 2 in the score run's own table."""
    device = take_lock(own_toy_cache / "locks" / "cpu.lock")
    first, second = (done(own_toy_cache, run_id) for run_id in chain.submit(own_toy_cache, narrow(own_toy_cache)))
    assert device is not None
    os.close(device)
    pairs = load_pairs(own_toy_cache, second.outline.dataset, "train")
    rewards = table(first, "rewards").filter(scorer_id=looked_at(own_toy_cache).trained_scorer)
    reward_of = {(prompt, text): reward for prompt, text, reward in rewards.select("prompt_id", "text_id", "reward").iter_rows()}
    kept = [p.pair_id for p in pairs if reward_of[p.prompt_id, text_id(p.chosen)] - reward_of[p.prompt_id, text_id(p.rejected)] < 2]
    assert table(second, "trained_on")["pair_id"].to_list() == kept
    assert 0 < len(kept) < 12


def test_scoring_that_waits_already_is_waited_for_and_its_failure_is_the_reason(own_toy_cache: Path) -> None:
    device = take_lock(own_toy_cache / "locks" / "cpu.lock")
    first, model = chain.submit(own_toy_cache, narrow(own_toy_cache))
    (second,) = chain.submit(own_toy_cache, narrow(own_toy_cache, seed=1))
    assert find_run(own_toy_cache, second).outline.parents == (first,)
    find_run(own_toy_cache, first).update(state=State.FAILED, error="the disk is full")
    assert device is not None
    os.close(device)
    jobs.start_next(own_toy_cache)
    for run_id in (model, second):
        assert find_run(own_toy_cache, run_id).status.sentence == (
            "not started: it needs Scores of the training pairs, which is failed: the disk is full"
        )


def test_cancelling_a_model_takes_what_waits_for_it_and_the_scoring_that_is_only_for_it(own_toy_cache: Path) -> None:
    """While another model waits for the scoring too, it stays; what was cancelled together waits together again."""
    cache, device = own_toy_cache, take_lock(own_toy_cache / "locks" / "cpu.lock")
    together = [find_run(cache, run_id) for run_id in chain.submit(cache, narrow(cache), repeated(cache, "reward"))]
    scoring, model, after = together
    assert (jobs.waiting_for(cache, model.id), jobs.queued_only_for(cache, model.id)) == ([after], [scoring])
    assert jobs.queued_only_for(cache, after.id) == []
    (other,) = chain.submit(cache, narrow(cache, seed=1))
    assert jobs.queued_only_for(cache, model.id) == []
    jobs.cancel(cache, other)
    jobs.cancel(cache, model.id, together=True)
    assert [run.status.state for run in together] == [State.CANCELLED] * 3
    assert after.status.sentence == "not started: it needs again, which is cancelled"
    jobs.resume(cache, model.id)
    assert [run.status.state for run in together] == [State.QUEUED] * 3
    assert device is not None
    os.close(device)


@pytest.fixture
def first_policy(own_toy_cache: Path) -> Iterator[list[RunDir]]:
    """A policy, the answers of its base model and its own, queued at one press; the device is held, so that they wait."""
    device = take_lock(own_toy_cache / "locks" / "cpu.lock")
    policy = again(by_kind(own_toy_cache)["policy"][0])
    yield [find_run(own_toy_cache, run_id) for run_id in chain.submit(own_toy_cache, policy, [chain.ANSWERS])]
    assert device is not None
    os.close(device)


def test_cancelling_the_first_policy_takes_the_answers_of_its_base_model_too(own_toy_cache: Path, first_policy: list[RunDir]) -> None:
    """They were queued to be compared with it, although nothing of them waits for it; with it they wait again."""
    cache, (model, base, tuned) = own_toy_cache, first_policy
    assert (jobs.waiting_for(cache, model.id), jobs.queued_only_for(cache, model.id)) == ([tuned], [base])
    assert jobs.queued_only_for(cache, tuned.id) == []
    jobs.cancel(cache, model.id, together=True)
    assert [run.status.state for run in first_policy] == [State.CANCELLED] * 3
    jobs.resume(cache, model.id)
    assert [run.status.state for run in first_policy] == [State.QUEUED] * 3


def test_resuming_a_policy_leaves_the_answers_cancelled_that_were_cancelled_by_themselves(
    own_toy_cache: Path, first_policy: list[RunDir]
) -> None:
    """Neither the answers of its base model nor its own wait again: only what a cancelled run took with it comes back with it."""
    model, base, tuned = first_policy
    for run in (base, tuned, model):
        jobs.cancel(own_toy_cache, run.id, together=True)
    jobs.resume(own_toy_cache, model.id)
    assert [run.status.state for run in first_policy] == [State.QUEUED, State.CANCELLED, State.CANCELLED]


def test_the_command_line_says_what_a_cancelled_run_takes_with_it(
    own_toy_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(own_toy_cache))
    device = take_lock(own_toy_cache / "locks" / "cpu.lock")
    scoring, model, after = chain.submit(own_toy_cache, narrow(own_toy_cache), repeated(own_toy_cache, "reward"))
    assert main(["runs", "cancel", model, "--together"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"cancel: {model}", f"not started, because it waits for it: {after}", f"cancel: {scoring}",
    ]  # fmt: skip
    assert device is not None
    os.close(device)


def test_a_number_of_pairs_is_refused_while_nobody_knows_how_many_the_slice_has(own_toy_cache: Path) -> None:
    with pytest.raises(
        RunError, match="pairs is 4, but how many the slice has is known when 'Scores of the training pairs' is done: leave it empty"
    ):
        chain.submit(own_toy_cache, narrow(own_toy_cache, pairs=4))


def test_a_slice_of_imported_rewards_cannot_be_scored_here(own_toy_cache: Path) -> None:
    config, scorer = narrow(own_toy_cache), looked_at(own_toy_cache).trained_scorer
    with database.writing(own_toy_cache) as con:
        con.execute("update scorers set model_id = null, kind = 'imported' where scorer_id = ?", [scorer])
    assert list(chain.chain(own_toy_cache, config).values()) == [config]


# The command


@pytest.mark.parametrize(
    "config",
    [
        RewardConfig(dataset="d"),
        RewardConfig(
            name="-it's $5", dataset="d", system_prompt="", pairs=4, learning_rate=3e-5, validation_splits=("a b", "c"), shard=True,
            length=LengthControl(penalty=0.01), loss=BradleyTerry(centring=0.001), group_by="source", conditional=True,
        ),
        RewardConfig(dataset="d", validation_splits=(), lora=LoRA()),
        RewardConfig(dataset="d", lora=LoRA(rank=4, targets=("q_proj", "v_proj")), memory_gb=2.5, keep_weights=False),
        PolicyConfig(dataset="d", loss=SimPO(), added=(Weighted(weight=0.2, loss=DPO()),)),
        PolicyConfig(dataset="d", loss=SimPO(beta=3.0), precision="bf16", seed=7),
        ScoreConfig(dataset="d", reward_models=("r",), generations=("a", "b")),
        GenerateConfig(dataset="d", policy="p", temperature=0.7),
    ],
    ids=lambda config: config.kind,
)  # fmt: skip
def test_options_give_the_configuration_they_were_made_from(config: AnyRun) -> None:
    words = shlex.split(shlex.join([config.kind, *as_options(config)]))
    assert parse(given(parser().parse_args(words), CONFIGS[config.kind])) == config


def test_an_added_loss_with_settings_of_its_own_has_no_option() -> None:
    with pytest.raises(ConfigError, match="dpo: its own settings"):
        as_options(PolicyConfig(dataset="d", added=(Weighted(loss=DPO(beta=0.3)),)))


@pytest.mark.parametrize("kind", ["reward", "policy"])
def test_the_command_queues_the_same_runs_as_the_page(
    kind: str, own_toy_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the ids of the runs put aside, which are fresh each time."""
    monkeypatch.setenv("PREFSCOPE_CACHE", str(own_toy_cache))
    device = take_lock(own_toy_cache / "locks" / "cpu.lock")
    config, then = again(by_kind(own_toy_cache)[kind][0], seed=3), repeated(own_toy_cache, kind)
    page = chain.submit(own_toy_cache, config, then)
    assert main(shlex.split(chain.command(config, then)[len("./run.sh engine ") :])) == 0
    shell = capsys.readouterr().out.split()
    assert len(page) == len(shell) == {"reward": 2, "policy": 3}[kind]
    for mine, other in zip(page, shell, strict=True):
        text = find_run(own_toy_cache, mine).config.model_dump_json()
        for one, twin in zip(page, shell, strict=True):
            text = text.replace(one, twin)
        assert text == find_run(own_toy_cache, other).config.model_dump_json()
    assert device is not None
    os.close(device)


# What it costs


def test_time_is_that_of_finished_runs_scaled_by_the_work(own_toy_cache: Path) -> None:
    """The toy reward run trained 12 pairs in 3 steps. Given 8 s of training within 20 s, and 240 tokens of a pair where it had t / 12:

    two epochs are 6 steps of 4 pairs, 24 × 240 tokens at t / 8 tokens a second; 12 s stand before and after.
    """
    reward = by_kind(own_toy_cache)["reward"][0]
    tokens = last_of(reward).tokens
    set_times(reward, 20, trained=8)
    planned = chain.chain(own_toy_cache, again(reward, epochs=2), repeated(own_toy_cache, "reward"))
    found = cost.cost(own_toy_cache, planned, Sample(12, 0, 240.0, 300))
    around, training, scoring = found.phases
    assert (around.what, training.what, scoring.what) == ("before and after", "training", "scoring")
    assert around.seconds == pytest.approx(12)
    assert tokens is not None
    assert training.seconds == pytest.approx(24 * 240 / (tokens / 8), rel=0.01)
    assert found.seconds == pytest.approx(sum(p.seconds or 0 for p in found.phases))
    assert found.steps == 6
    assert not found.guesses
    assert not found.unknown


def test_scoring_has_one_pace_and_the_one_of_a_busy_machine_is_said_beside_it(own_toy_cache: Path) -> None:
    """The reward run scored 6 pairs at each validation in the 12 s beside its training: 1 / validations s a response. The score run's rows
    took it 50 s, longer by far. The new model scores 12 answers under two heads; once its run is gone, the first pace is all there is.
    """
    runs = by_kind(own_toy_cache)
    reward, scores = runs["reward"][0], runs["score"][0]
    set_times(reward, 20, trained=8)
    set_times(scores, 50)
    pace, rows = 1 / sum(x.split == "validation" for x in reward.measured), scores.table("rewards")
    assert rows is not None
    planned = chain.chain(own_toy_cache, again(reward), repeated(own_toy_cache, "reward"))
    *_, scoring = cost.cost(own_toy_cache, planned).phases
    assert scoring.items == 12
    assert (scoring.seconds, scoring.slowest) == pytest.approx((24 * pace, 24 * 50 / rows.height))
    assert f"({24 * 50 / rows.height:.0f} s on a busy machine)" in cost.as_text(cost.cost(own_toy_cache, planned)).replace("about ", "")
    shutil.rmtree(scores.path)
    *_, alone = cost.cost(own_toy_cache, planned).phases
    assert alone.seconds == pytest.approx(24 * pace)
    assert alone.slowest is None


def test_time_from_unlike_runs_is_a_guess_and_without_any_unknown(own_toy_cache: Path, empty_cache: Path) -> None:
    runs = by_kind(own_toy_cache)
    config = again(runs["reward"][0], gradient_checkpointing=True)
    found = cost.cost(own_toy_cache, chain.chain(own_toy_cache, config))
    assert [(p.what, p.measured) for p in found.phases] == [("before and after", False), ("training", False)]
    for run in run_dirs(own_toy_cache):
        shutil.rmtree(run.path)
    nothing = cost.cost(own_toy_cache, {"id": config})
    assert nothing.seconds is None
    assert len(nothing.unknown) == 2


def test_answers_of_another_length_are_guessed_in_proportion(own_toy_cache: Path) -> None:
    """6 prompts took 12 s: with answers that may be three times as long, 36 s."""
    base, tuned = by_kind(own_toy_cache)["generate"]
    for run in (base, tuned):
        set_times(run, 12)
    longer = base.config.model_copy(update={"max_new_tokens": 3 * base.config_values["max_new_tokens"]})
    (phase,) = cost.cost(own_toy_cache, {"id": longer}).phases
    assert phase.seconds == pytest.approx(36)
    assert not phase.measured
    (phase,) = cost.cost(own_toy_cache, {"id": base.config}).phases
    assert phase.seconds == pytest.approx(12)
    assert phase.measured


def test_memory_is_what_was_measured_where_the_batches_are_the_same(own_toy_cache: Path) -> None:
    reward = by_kind(own_toy_cache)["reward"][0]
    reward.update(peak_bytes=7_000_000_000)
    same, other = again(reward, epochs=5), again(reward, batch_size=2)
    found = cost.cost(own_toy_cache, {"id": same})
    assert (found.memory_bytes, found.memory_measured) == (7_000_000_000, True)
    assert not cost.cost(own_toy_cache, {"id": other}).memory_measured


def last_of(run: RunDir) -> Any:
    return next(x for x in reversed(run.measured) if x.split == "train")


def set_times(run: RunDir, seconds: float, trained: float | None = None) -> None:
    """Let a finished run have taken so long, and its training so long."""
    run.update(started_at="2026-01-01T00:00:00", finished_at=f"2026-01-01T00:00:{seconds:02}")
    if trained is not None:
        last = last_of(run)
        run.append_metrics(last.step, "train", last.values, last.tokens or 0, trained)
