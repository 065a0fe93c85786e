"""An ensemble of reward models: what enters the mean, how disagreement is counted, and that the pages can use it like any scorer."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny import executed, metrics, prepared, reward_config, table, toy_dataset

from dashboard import queries
from engine.errors import ConfigError
from engine.kinds.ensemble import known_rewards
from engine.queue import jobs, removal
from engine.settings.config import EnsembleConfig, parse
from engine.statistics.ensembles import agreement, combined, standardised, unlike_shares, win_shares
from engine.statistics.twins import untrained_twin
from engine.store import database
from engine.store.progress import Progress
from engine.store.rundir import RunDir, run_dirs

pytestmark = pytest.mark.slow


def test_standardised_members_have_one_scale() -> None:
    """Rewards 0, 1, 2 have mean 1 and standard deviation 1; 0, 100, 200 are the same ranks on a scale a hundred times as wide."""
    found = standardised(np.array([[0.0, 0.0], [1.0, 100.0], [2.0, 200.0]]))
    assert found.tolist() == [[-1, -1], [0, 0], [1, 1]]


def test_wide_member_decides_alone_unless_standardised() -> None:
    """Member A (0, 1, 2) and member B (200, 100, 0) disagree: raw means 100, 50.5, 1 follow B; scores −1+1, 0, 1−1 cancel."""
    rewards = np.array([[0.0, 200.0], [1.0, 100.0], [2.0, 0.0]])
    assert combined(rewards, np.ones(2)).tolist() == [100, 50.5, 1]
    assert combined(standardised(rewards), np.ones(2)).tolist() == [0, 0, 0]


def test_weights_are_normalised() -> None:
    """(3 · 1 + 1 · 5) / 4 = 2."""
    assert combined(np.array([[1.0, 5.0]]), np.array([3.0, 1.0])).tolist() == [2]


def test_vote_is_the_share_of_won_comparisons() -> None:
    """Prompt p has x, y, z. Member 1 gives 3, 2, 2: x beats both (1), y and z tie with each other (½ of 2 comparisons = ¼).

    Member 2 gives 1, 2, 3: 0, ½, 1. The vote is the mean: ½, ⅜, ⅝. The lone response to q has no rival: ½.
    """
    rewards = np.array([[3.0, 1.0], [2.0, 2.0], [2.0, 3.0], [9.0, 9.0]])
    shares = win_shares(rewards, ["p", "p", "p", "q"])
    assert shares.tolist() == [[1, 0], [0.25, 0.5], [0.25, 1], [0.5, 0.5]]
    assert combined(shares, np.ones(2)).tolist() == [0.5, 0.375, 0.625, 0.5]


def test_disagreement_is_the_share_of_members_unlike_the_ensemble() -> None:
    """Margins of three members. Pair 1: +, +, − against +: ⅓. Pair 2: all −: 0. Pair 3: +, tie, + against +: (½) / 3 = ⅙."""
    found = agreement(np.array([[1.0, 2.0, -1.0], [-1.0, -1.0, -2.0], [1.0, 0.0, 1.0]]), np.array([2.0, -4.0, 2.0]))
    assert found.disagreement.tolist() == pytest.approx([1 / 3, 0, 1 / 6])
    assert found.alike.tolist() == [False, True, False]


def test_disagreement_on_a_response_is_that_on_its_comparisons() -> None:
    """Prompt p has x, y, z; the ensemble ranks x > y > z. Member 1 ranks alike, member 2 has y > x > z and member 3 x = y > z.

    x and y: of x–y members 2 (1) and 3 (½) are unlike, ½ in the mean; of x–z and y–z nobody: (½ + 0) / 2. z: 0. The lone q: no number.
    """
    values = np.array([[3.0, 2.0, 2.0], [2.0, 3.0, 2.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    found = unlike_shares(values, np.array([3.0, 2.0, 1.0, 1.0]), ["p", "p", "p", "q"])
    assert found[:3].tolist() == [0.25, 0.25, 0]
    assert np.isnan(found[3])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"reward_models": ["a"]}, "reward_models"),
        ({"reward_models": ["a", "a"]}, "reward_models"),
        ({"reward_models": ["a", "b"], "weights": [1, 2]}, "weights"),
        ({"reward_models": ["a", "b"], "weights": [1], "method": "weighted_mean"}, "weights"),
        ({"reward_models": ["a", "b"], "weights": [0, 0], "method": "weighted_mean"}, "weights"),
    ],
)
def test_a_wrong_ensemble_is_refused_with_the_field_name(wrong: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        parse({"kind": "ensemble", "dataset": "d", **wrong})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """Three seeds of a reward model, a mean, a vote and a weighted mean of them."""
    cache = tmp_path_factory.mktemp("ensemble") / "cache"
    dataset = toy_dataset(cache)
    seeds = [executed(cache, reward_config(dataset, tiny_llama, name=f"seed {s}", seed=s), recorded=True).id for s in (0, 1, 2)]
    for method in ("mean", "vote", "weighted_mean"):
        made = executed(cache, EnsembleConfig(name=method, dataset=dataset, reward_models=tuple(seeds), method=method), recorded=True)
        assert made.status.error is None
    return cache


def named(cache: Path, name: str) -> RunDir:
    return next(run for run in run_dirs(cache) if run.config_values["name"] == name)


def last(run: RunDir) -> dict[str, float]:
    values: dict[str, float] = metrics(run)[-1]["values"]
    return values


def test_mean_is_the_mean_of_standard_scores(cache: Path) -> None:
    run = named(cache, "mean")
    members = json.loads(table(run, "scorers")["members"][0])
    ids = ["prompt_id", "text_id"]
    expected = pl.concat(
        known_rewards(Progress(cache, run), m["run_id"]).select(*ids, (pl.col("reward") - m["mean"]) / m["std"]) for m in members
    ).group_by(ids).agg(pl.col("reward").mean(), std=pl.col("reward").std())  # fmt: skip
    both = table(run, "rewards").join(table(run, "disagreement"), on=ids).join(expected, on=ids, suffix="_expected")
    assert len(both) == len(expected) == 12
    assert both["reward"].to_list() == pytest.approx(both["reward_expected"].to_list())
    assert both["std"].to_list() == pytest.approx(both["std_expected"].to_list())


def test_vote_gives_the_two_responses_of_a_pair_shares_that_add_up_to_one(cache: Path) -> None:
    shares = table(named(cache, "vote"), "rewards").group_by("prompt_id").agg(pl.col("reward").sum(), n=pl.len())
    assert shares["n"].unique().to_list() == [2]
    assert shares["reward"].to_list() == pytest.approx([1] * 6)


def test_metrics_give_every_member_its_own_accuracy(cache: Path) -> None:
    found = last(named(cache, "mean"))
    own = {f"accuracy/{run.id}": last(run)["accuracy"] for run in run_dirs(cache) if run.config_values["kind"] == "reward"}
    assert own.items() <= found.items()


def test_pairs_on_which_members_agree_and_disagree_make_up_the_accuracy(cache: Path) -> None:
    found = last(named(cache, "mean"))
    right = sum(found[f"n_{part}"] * found.get(f"accuracy_{part}", 0) for part in ("agree", "disagree"))
    assert found["n_agree"] + found["n_disagree"] == found["n"] == 6
    assert right == pytest.approx(found["accuracy"] * found["n"])


def test_default_weights_are_the_validation_accuracies_and_said_to_be_optimistic(cache: Path) -> None:
    run = named(cache, "weighted_mean")
    weights = [m["weight"] for m in json.loads(table(run, "scorers")["members"][0])]
    assert weights == [last(r)["accuracy"] for r in run_dirs(cache) if r.config_values["kind"] == "reward"]
    assert any("slightly too good" in note for note in run.status.notes)


def test_ensemble_is_a_scorer_for_every_comparison(cache: Path) -> None:
    with database.reading(cache) as con:
        chosen = queries.default_selection(con)
        scorers = {
            name: i for i, name, kind in queries.choices(con).scorers.select("scorer_id", "name", "kind").iter_rows() if kind == "ensemble"
        }
        assert scorers.keys() == {"mean", "vote", "weighted_mean"}
        row = queries.reward_summary(con, replace(chosen, trained_scorer=scorers["mean"]), scorers["mean"]).row(0, named=True)
    assert row["n"] == 6
    assert row["accuracy"]["value"] == pytest.approx(last(named(cache, "mean"))["accuracy"])


def test_twin_of_an_ensemble_is_the_untrained_head_of_its_first_member(cache: Path) -> None:
    with database.reading(cache) as con:
        known = queries.choices(con).scorers
        ensemble = known.filter(pl.col("kind") == "ensemble")["scorer_id"][0]
        twin = untrained_twin(con, ensemble, known["scorer_id"].to_list())
    assert known.filter(pl.col("scorer_id") == twin)["name"].to_list() == ["untrained (seed 0)"]


def test_what_was_scored_is_joined_without_the_weights(cache: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(cache, tmp_path / "cache"))
    seeds = [run.id for run in run_dirs(copy) if run.config_values["kind"] == "reward"]
    for run_id in seeds:
        removal.free_weights(copy, run_id)
    dataset = named(copy, "mean").config_values["dataset"]
    again = executed(copy, EnsembleConfig(name="again", dataset=dataset, reward_models=tuple(seeds)))
    assert table(again, "rewards").equals(table(named(copy, "mean"), "rewards"))
    missing = executed(copy, EnsembleConfig(name="train", dataset=dataset, reward_models=tuple(seeds), splits=("train",)))
    assert "weights were freed" in (missing.status.error or "")


def test_what_no_run_has_scored_is_scored_by_the_ensemble(cache: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(cache, tmp_path / "cache"))
    seeds = tuple(run.id for run in run_dirs(copy) if run.config_values["kind"] == "reward")
    asked = EnsembleConfig(
        name="both", dataset=named(copy, "mean").config_values["dataset"], reward_models=seeds, splits=("validation", "train")
    )
    run = executed(copy, asked)
    assert run.status.error is None
    assert {line["split"]: line["values"]["n"] for line in metrics(run)} == {"validation": 6, "train": 12}
    scored = table(run, "rewards").group_by("scorer_id").len()["len"].to_list()
    assert sorted(scored) == [24, 24, 24, 36]


def test_an_ensemble_of_something_else_is_a_sentence(cache: Path) -> None:
    mean, vote = named(cache, "mean"), named(cache, "vote")
    run = prepared(cache, EnsembleConfig(name="wrong", dataset=mean.config_values["dataset"], reward_models=(mean.id, vote.id)))
    from engine.queue.run import execute

    assert execute(Progress(cache, run)) == "failed"
    assert run.status.error == f"{mean.id} is a run of kind ensemble, expected a reward run"
    shutil.rmtree(run.path)


def test_ensemble_waits_for_its_members(cache: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(cache, tmp_path / "cache"))
    config = named(copy, "mean").config
    run_id = jobs.submit_one(copy, config.model_copy(update={"parents": (), "name": "queued"}))
    run = RunDir(copy / "runs" / run_id)
    assert run.config_values["parents"] == list(config.reward_models if isinstance(config, EnsembleConfig) else ())
    jobs.wait_for_end(run, 120)
    assert run.status.state == "done"
