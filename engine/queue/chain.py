"""A new model and the runs that make it comparable with what is looked at: its answers, and the scores of answers. Torch-free.

After a reward model the answers are scored by it (it scores its validation pairs while it trains). A policy answers the same prompts under
the same decoding settings, and the same reward models score what it wrote. Maps stay as they are. Nothing is overwritten. Before a model
that is trained on a slice the training pairs are scored, where the slice asks for rewards that they do not have.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.plain import shell_words
from engine.planning.preflight import require
from engine.queue import jobs
from engine.queue.jobs import AnyConfig
from engine.queue.preset import linked
from engine.settings.config import AnyRun, EnsembleConfig, GenerateConfig, RewardConfig, ScoreConfig, TrainConfig
from engine.settings.options import as_options
from engine.settings.ref import parents_of
from engine.statistics.comparison import Comparison
from engine.store.database import Connection, frame, reading
from engine.store.rundir import RunDir, find_run, run_dirs
from engine.store.slices import to_score
from engine.store.status import ENDED

NAME_CHARS = 80  # of a run's name
Planned = dict[str, AnyRun]  # by run id, in the order of the queue
ANSWERS = "answers"  # in `then`, where no run has answered yet: base model and policy answer the validation prompts
AFTER = {"reward": ("generate",), "policy": ("generate", "reward", "ensemble")}  # kinds of run that `then` can name


def chain(cache: Path, config: TrainConfig, then: Sequence[str] = ()) -> Planned:
    """A training run, what must be scored before it, and what follows it, under fresh ids, in the order of the queue.

    then: ids of the runs that are done again with the new model. After a reward model: generation runs, whose answers it scores. After a
    policy: generation runs, whose prompts it answers in the same way, or `answers`, the first ones of base model and policy; and reward or
    ensemble runs, which score those answers.
    Raises ConfigError for a run of another kind, and for scores without answers; RunError for a run that is not there.
    """
    named = [(run, run.config) for run in (find_run(cache, run_id) for run_id in then if run_id != ANSWERS)]
    for run, asked in named:
        if asked.kind not in AFTER[config.kind]:
            expected = " or ".join(AFTER[config.kind])
            raise ConfigError(f"then names {run.id}, a {asked.kind} run: after a {config.kind} run a {expected} run is expected")
    first, (waiting,) = scored_first(cache, [config.model_copy(update={"parents": ()})])
    if ANSWERS in then and not (config.kind == "policy" and config.validation_splits):
        raise ConfigError("then names answers: they follow a policy run with a validation split, whose prompts are answered")
    follow = after_reward(config, named) if isinstance(config, RewardConfig) else after_policy(config, named, ANSWERS in then)
    labelled = {"model": config.model_dump(mode="json"), **dict(follow)}
    ids: dict[str, str] = {}
    planned: Planned = {}
    for label, values in labelled.items():
        made = linked({**values, "parents": ()}, ids, f"run {values['name']!r}")
        ids[label] = jobs.new_run_id(made.kind, made.name)
        planned[ids[label]] = made
    known = {run.id for run in run_dirs(cache)} | set(planned)
    waits_for = {ids["model"]: waiting.parents}
    return first | {
        run_id: made.model_copy(update={"parents": (*parents_of(made, known), *waits_for.get(run_id, ()))})
        for run_id, made in planned.items()
    }


def scored_first(cache: Path, configs: Sequence[AnyConfig]) -> tuple[Planned, list[AnyConfig]]:
    """(score runs to queue before, the same configurations): those whose slice asks for rewards that their pairs lack wait for such a run.

    One that is queued or going on already is waited for instead of a new one.
    """
    under_way = [(run.id, run.config) for run in run_dirs(cache) if run.outline.kind == "score" and run.status.state not in ENDED]
    first: Planned = {}
    waiting = []
    for config in configs:
        if isinstance(config, TrainConfig) and (wanted := scoring_for(cache, config)):
            scoring = next((run_id for run_id, other in (*under_way, *first.items()) if covers(other, wanted)), None)
            if scoring is None:
                scoring = jobs.new_run_id(wanted.kind, wanted.name)
                first[scoring] = wanted
            config = config.model_copy(update={"parents": (*config.parents, scoring)})
        waiting.append(config)
    return first, waiting


def scoring_for(cache: Path, config: TrainConfig) -> ScoreConfig | None:
    """The score run without which a training run's slice cannot be found; None when it can, or when scoring would not help."""
    if config.slice is None:
        return None
    with reading(cache) as con:
        judges = to_score(con, config.slice, config.train_split)
    asked = {"dataset": config.dataset, "device": config.device, "splits": (config.train_split,)}
    return ScoreConfig(name="Scores of the training pairs", reward_models=judges, parents=judges, **asked) if judges else None


def covers(run: AnyRun, wanted: ScoreConfig) -> bool:
    """Whether a run scores all that another would."""
    return (
        isinstance(run, ScoreConfig)
        and run.dataset == wanted.dataset
        and {*wanted.reward_models} <= {*run.reward_models}
        and {*wanted.splits} <= {*run.splits}
    )


Named = Sequence[tuple[RunDir, AnyRun]]
Labelled = Iterator[tuple[str, dict[str, Any]]]


def after_reward(config: TrainConfig, named: Named) -> Labelled:
    """The scores of all answers, and of the pairs of their prompts where training does not measure these."""
    answers = [(run.id, asked) for run, asked in named if isinstance(asked, GenerateConfig)]
    if answers:
        unmeasured = dict.fromkeys(a.split for _, a in answers if a.dataset == config.dataset and a.split not in config.validation_splits)
        yield "scores", score_values(config, ["@model"], [run_id for run_id, _ in answers], list(unmeasured))


def after_policy(config: TrainConfig, named: Named, first: bool) -> Labelled:
    """The policy's answers, one run for each that is repeated, and their scores by the same reward models.

    first: base model and policy answer for the first time, under the settings that a generation run has by itself. Answers of the base
    model that are repeated are scored too, since nobody may have done it.
    """
    repeated = [asked for _, asked in named if isinstance(asked, GenerateConfig)]
    by_base = [run.id for run, asked in named if isinstance(asked, GenerateConfig) and asked.policy == config.model]
    scorers = [(run, asked) for run, asked in named if not isinstance(asked, GenerateConfig)]
    if scorers and not repeated and not first:
        raise ConfigError(f"then names {scorers[0][0].id} but no generation run: what it scores has to be answered first")
    answers = ["base", "tuned"] if first else []
    if first:
        asked_first = first_answers(config)
        yield "base", {**asked_first, "name": "Base answers", "policy": config.model}
        yield "tuned", {**asked_first, "name": f"Answers of {config.name}"[:NAME_CHARS], "policy": "@model"}
    for number, asked in enumerate(repeated, 1):
        answers.append(label := f"answers {number}")
        name = f"Answers of {config.name}" + (f", {number}" if number > 1 else "")
        yield label, {**alone(asked), "name": name[:NAME_CHARS], "policy": "@model"}
    written = [*by_base, *(f"@{label}" for label in answers)]
    if heads := [run.id for run, asked in scorers if isinstance(asked, RewardConfig)]:
        yield "scores", score_values(config, heads, written, [])
    for run, scorer in scorers:
        if isinstance(scorer, EnsembleConfig):  # its standardisation is over all it scores, so it scores all of it anew
            name = f"{scorer.name} with {config.name}"[:NAME_CHARS]
            yield run.id, {**alone(scorer), "name": name, "generations": list(dict.fromkeys([*scorer.generations, *written]))}


def first_answers(config: TrainConfig) -> dict[str, Any]:
    """How the first answers are made: to all prompts of its first validation split, as the policy was prompted while it was trained."""
    shared = {name: getattr(config, name) for name in ("dataset", "device", "system_prompt", "max_tokens", "seed")}
    return {"kind": "generate", "split": config.validation_splits[0], **shared}


def score_values(config: TrainConfig, reward_models: list[str], generations: list[str], splits: list[str]) -> dict[str, Any]:
    place = {"name": f"Scores of {config.name}"[:NAME_CHARS], "dataset": config.dataset, "device": config.device}
    return {"kind": "score", **place, "reward_models": reward_models, "generations": generations, "splits": splits}


def alone(config: AnyRun) -> dict[str, Any]:
    """A configuration without what tied it to its own experiment."""
    return {**config.model_dump(mode="json"), "study": None, "configuration": None, "parents": []}


def submit(cache: Path, config: TrainConfig, then: Sequence[str] = ()) -> list[str]:
    """Queue the new model and what goes before and after it; the ids in order. Raises RunError when one would fail, and as `chain`."""
    planned = chain(cache, config, then)
    require(cache, planned)
    jobs.submit(cache, planned)
    return list(planned)


def command(config: TrainConfig, then: Sequence[str] = (), between: str = " ") -> str:
    """The shell command that queues the same runs. between: stands before each option.

    Raises ConfigError where options cannot say it.
    """
    parts = [["./run.sh", "engine", config.kind]]
    for word in (*as_options(config), *(("--then", *then) if then else ())):
        if word.startswith("--"):
            parts.append([])
        parts[-1].append(word)
    return between.join(map(shell_words, parts))


# What is looked at


def to_repeat(con: Connection, cache: Path, looked_at: Comparison, kind: str) -> tuple[str, ...]:
    """The runs that a new model of this kind needs again to stand beside what is looked at: `then` of `chain`.

    Imported answers and rewards have no run, and are left out. Where no run has answered, base model and policy do, for the first time.
    """
    base, tuned = (run_of_answers(con, cache, looked_at, g) for g in (looked_at.base_generator, looked_at.tuned_generator))
    if kind == "reward":
        return tuple(run for run in (base, tuned) if run)
    answered = tuned or base
    return (answered or ANSWERS, *scorers_of_answers(con, cache, looked_at))


def run_of_answers(con: Connection, cache: Path, looked_at: Comparison, generator: str | None) -> str | None:
    """The newest finished run in which a generator answered the prompts that are looked at."""
    query = """
        select run_id from runs join generators g on g.model_id = config ->> 'policy'
        where runs.kind = 'generate' and state = 'done' and generator_id = $generator
          and dataset_id = $dataset and config ->> 'split' = $split
        order by run_id desc
    """
    found = frame(con, query, {"generator": generator, "dataset": looked_at.dataset_id, "split": looked_at.split})
    return next((run for run in found["run_id"] if generator in made_in(RunDir(cache / "runs" / run), "generators")), None)


def made_in(run: RunDir, table: str) -> list[str]:
    """The ids of the generators or scorers that a run made."""
    rows = run.table(table)
    return [] if rows is None else rows[f"{table.removesuffix('s')}_id"].to_list()


def scorers_of_answers(con: Connection, cache: Path, looked_at: Comparison) -> list[str]:
    """The reward and ensemble runs of the selected scorer, and of the others that have scored the tuned answers."""
    query = """
        select scorer_id, r.run_id from scorers s left join runs r on r.run_id = s.model_id and r.kind = 'reward'
        where s.kind in ('head', 'ensemble') and (scorer_id = $trained or scorer_id in (
            select scorer_id from coverage where complete and generator_id = $tuned and dataset_id = $dataset and split = $split
        ))
        order by scorer_id = $trained desc, r.run_id
    """
    values = {"tuned": looked_at.tuned_generator, "dataset": looked_at.dataset_id, "split": looked_at.split}
    scorers = frame(con, query, {**values, "trained": looked_at.trained_scorer})
    joined = {made: run.id for run in run_dirs(cache) if run.outline.kind == "ensemble" for made in made_in(run, "scorers")}
    found = (head or joined.get(scorer) for scorer, head in scorers.iter_rows())
    return list(dict.fromkeys(run for run in found if run))


def run_of_model(con: Connection, looked_at: Comparison, kind: str) -> str | None:
    """The training run of what is looked at: of the trained scorer, or of the policy whose answers are the tuned ones."""
    table, column = ("scorers", "scorer_id") if kind == "reward" else ("generators", "generator_id")
    query = f"select run_id from {table} t join runs on run_id = t.model_id where {column} = $wanted and runs.kind = $kind"
    wanted = looked_at.trained_scorer if kind == "reward" else looked_at.tuned_generator
    return next(iter(frame(con, query, {"wanted": wanted, "kind": kind})["run_id"]), None)


def fresh_name(cache: Path, name: str) -> str:
    """The name itself while no run has it, then with the next number: Reward model, Reward model 2, Reward model 3."""
    taken = {run.outline.name for run in run_dirs(cache)}
    base = re.sub(r" \d+$", "", name)
    number = 2
    while name in taken:
        name, number = f"{base[: NAME_CHARS - 1 - len(str(number))]} {number}", number + 1
    return name
