"""A study: what it expands to, that its members are ordinary and independent runs, and what its table says."""

import json
import os
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import listening, metrics, toy_dataset

from engine.__main__ import main
from engine.errors import ConfigError, RunError
from engine.queue import jobs, study
from engine.queue.run import execute
from engine.queue.study import Study, called, configurations, load_study, members
from engine.settings.config import RewardConfig
from engine.statistics.estimate import Estimate
from engine.statistics.groups import outcome, study_table
from engine.statistics.seeds import mean_over_seeds
from engine.store import database
from engine.store.rundir import RunDir, run_dirs, take_lock

pytestmark = pytest.mark.slow
SHIPPED = sorted(path.stem for path in study.STUDIES.glob("*.json"))


def made(**changes: Any) -> Study:
    return Study.model_validate({"name": "s", "title": "A study", "dataset": "d", "base": {"kind": "reward"}, **changes})


def test_grid_changes_its_last_field_fastest_and_the_seed_faster_still() -> None:
    found = members(made(vary={"batch_size": [4, 16], "epochs": [1, 2]}, seeds=[0, 1]), "d")
    assert [run.name for run in found[:4]] == [
        "batch 4, epochs 1, seed 0",
        "batch 4, epochs 1, seed 1",
        "batch 4, epochs 2, seed 0",
        "batch 4, epochs 2, seed 1",
    ]
    assert len(found) == 2 * 2 * 2


def test_members_are_ordinary_runs_that_fail_when_they_do_not_fit() -> None:
    (run,) = members(made(vary={"batch_size": [4]}, seeds=[3]), "d")
    given = {"name": "batch 4, seed 3", "study": "s", "configuration": "batch 4", "dataset": "d", "batch_size": 4, "seed": 3}
    expected = RewardConfig.model_validate({**given, "on_oom": "fail", "keep_weights": False})
    assert run == expected


def test_dotted_field_changes_one_part_of_a_nested_model() -> None:
    found = members(made(base={"kind": "policy"}, vary={"loss.beta": [0.1, 0.5]}, seeds=[0]), "d")
    assert [(run.name, run.model_dump()["loss"]["beta"]) for run in found] == [("beta 0.1, seed 0", 0.1), ("beta 0.5, seed 0", 0.5)]


def test_listed_members_come_after_the_grid_and_may_be_named() -> None:
    listed = [{"name": "SimPO", "loss": {"name": "simpo"}}, {"loss": {"name": "ipo"}}]
    assert [name for name, _ in configurations(made(base={"kind": "policy"}, members=listed))] == ["SimPO", "loss ipo"]
    assert [name for name, _ in configurations(made(vary={"epochs": [2]}, members=[{"pairs": 9}]))] == ["epochs 2", "pairs 9"]


def test_without_anything_varied_the_base_runs_with_every_seed() -> None:
    assert [run.name for run in members(made(seeds=[0, 7]), "d")] == ["s, seed 0", "s, seed 7"]


@pytest.mark.parametrize(
    ("overrides", "name"),
    [({"learning_rate": 3e-05}, "learning rate 3e-05"), ({"loss.name": "dpo"}, "loss dpo"), ({"lora": {"rank": 4}}, 'lora {"rank": 4}')],
)
def test_configuration_is_called_by_what_is_different(overrides: dict[str, Any], name: str) -> None:
    assert called(overrides) == name


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"colour": "blue"}, "colour"),
        ({"seeds": []}, "seeds"),
        ({"name": "a/b"}, "name"),
        ({"dataset": None}, "either data .* or dataset"),
        ({"base": {"kind": "embed"}}, "base.kind is 'embed'"),
        ({"base": {"kind": "reward", "seed": 1}}, "seed is the study's to give"),
        ({"vary": {"on_oom": ["split"]}}, "on_oom is the study's to give"),
        ({"vary": {"epochs": []}}, "vary.epochs is empty"),
    ],
)
def test_a_wrong_study_is_refused_with_the_field_name(wrong: dict[str, Any], said: str, tmp_path: Path) -> None:
    stated = {"name": "s", "title": "A study", "dataset": "d", "base": {"kind": "reward"}, **wrong}
    (tmp_path / "s.json").write_text(json.dumps(stated))
    with pytest.raises(ConfigError, match=said):
        load_study(str(tmp_path / "s.json"))


@pytest.mark.parametrize(
    ("vary", "said"), [({"batchsize": [4]}, "batchsize"), ({"epochs": [0]}, "epochs is 0"), ({"loss.gamma": [1]}, "loss.gamma")]
)
def test_a_wrong_field_of_a_member_is_refused_with_its_name(vary: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        members(made(vary=vary), "d")


def test_two_members_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="twice"):
        members(made(vary={"epochs": [1]}, members=[{"epochs": 1}]), "d")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_study_expands(name: str) -> None:
    shipped = load_study(name)
    assert shipped.name == name
    assert len(members(shipped, "d")) >= 6


def test_original_experiment_is_three_batch_sizes_two_lengths_and_three_seeds() -> None:
    found = [run.model_dump() for run in members(load_study("align-anything-batch"), "d")]
    assert {(run["batch_size"], run["epochs"]) for run in found} == {(4, 1), (4, 2), (16, 1), (16, 2), (32, 1), (32, 2)}
    assert len(found) == 18


def test_an_unknown_study_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="starter-batch"):
        load_study("nowhere")


@pytest.fixture
def held_cache(empty_cache: Path) -> Iterator[Path]:
    """A cache whose device is taken, so that queued runs stay queued."""
    device = take_lock(empty_cache / "locks" / "cpu.lock")
    assert device is not None
    yield empty_cache
    os.close(device)


def small(dataset: str, model: Path, **changes: Any) -> Study:
    base = {"kind": "reward", "model": str(model), "device": "cpu", "precision": "fp32", "max_tokens": 256, "learning_rate": 1e-3}
    return made(dataset=dataset, base=base, vary={"batch_size": [4, 6]}, seeds=[0, 1], **changes)


def test_submitting_twice_changes_nothing_and_a_new_seed_adds_its_runs(held_cache: Path, tiny_llama: Path) -> None:
    asked = small(toy_dataset(held_cache), tiny_llama)
    assert len(study.submit(held_cache, asked)) == 4
    assert study.submit(held_cache, asked) == []
    assert len(study.submit(held_cache, asked.model_copy(update={"seeds": (0, 1, 2)}))) == 2


def test_another_configuration_under_the_same_name_is_refused(held_cache: Path, tiny_llama: Path) -> None:
    asked = small(toy_dataset(held_cache), tiny_llama)
    study.submit(held_cache, asked)
    with pytest.raises(ConfigError, match="'batch 4, seed 0' has another configuration"):
        study.submit(held_cache, asked.model_copy(update={"base": {**asked.base, "learning_rate": 1e-4}}))


def test_a_member_that_would_fail_is_refused_before_anything_is_queued(held_cache: Path, tmp_path: Path) -> None:
    asked = small(toy_dataset(held_cache), tmp_path / "nowhere")
    with pytest.raises(RunError, match="nowhere"):
        study.submit(held_cache, asked)
    assert run_dirs(held_cache) == []
    assert not (held_cache / "studies").exists()


def test_an_unknown_dataset_queues_nothing(held_cache: Path) -> None:
    with pytest.raises(ConfigError, match="dataset 'd' not found"):
        study.submit(held_cache, made())
    assert run_dirs(held_cache) == []


def test_members_are_done_one_by_one_and_one_that_does_not_fit_is_a_line_of_the_table(held_cache: Path, tiny_llama: Path) -> None:
    """Batch 4 is done with both seeds. Of batch 6 (two seeds) one is done and one did not fit; the table keeps all of it."""
    study.submit(held_cache, small(toy_dataset(held_cache), tiny_llama))
    *done, last = run_dirs(held_cache)
    assert [execute(listening(held_cache, run)) for run in done] == ["done"] * 3
    last.update(state="failed", reason="did not fit", error="needs about 9.1 GB of memory, 4.0 GB are free")
    four, six = study.show(held_cache, "s")
    accuracies = [metrics(run)[-1]["values"]["accuracy"] for run in done]
    assert (four["runs"], four["done"], four["state"], four["n"]) == (2, 2, "done", 6)
    assert four["accuracy"].value == pytest.approx((accuracies[0] + accuracies[1]) / 2)
    assert (four["accuracy_min"], four["accuracy_max"]) == (min(accuracies[:2]), max(accuracies[:2]))
    assert (six["runs"], six["done"], six["state"]) == (2, 1, "1 done, 1 did not fit")
    assert six["reason"] == "needs about 9.1 GB of memory, 4.0 GB are free"
    assert six["accuracy_std"] is None


def test_weights_are_freed_and_scores_stay_unless_asked_for(held_cache: Path, tiny_llama: Path) -> None:
    dataset = toy_dataset(held_cache)
    study.submit(held_cache, small(dataset, tiny_llama))
    study.submit(held_cache, small(dataset, tiny_llama, name="kept", keep_weights=True))
    runs = {run.config_values["study"]: run for run in run_dirs(held_cache)}
    for run in runs.values():
        execute(listening(held_cache, run))
    assert {name: (run.path / "model").is_dir() for name, run in runs.items()} == {"s": False, "kept": True}
    assert all((run.path / "rewards.parquet").is_file() for run in runs.values())


def test_a_member_is_the_run_it_would_be_alone(held_cache: Path, tiny_llama: Path) -> None:
    study.submit(held_cache, small(toy_dataset(held_cache), tiny_llama))
    first = run_dirs(held_cache)[0]
    execute(listening(held_cache, first))
    alone = RunDir(held_cache / "runs" / jobs.new_run_id("reward", "alone"))
    alone.path.mkdir()
    (alone.path / "config.json").write_text(json.dumps({**first.config_values, "study": None}))
    alone.write_status(first.written_status)
    execute(listening(held_cache, alone))
    assert metrics(alone) == metrics(first)


def test_table_gives_mean_deviation_and_range_over_seeds(filled_cache: Path) -> None:
    """Accuracies 0.6 and 0.7: mean 0.65, standard deviation √((0.05² + 0.05²) / 1) = 0.0707; batch 64 did not fit.

    Two seeds leave nearly all open: 0.65 ± 12.706 · 0.0707 / √2 = 0.65 ± 0.635, cut at 1.
    """
    with database.reading(filled_cache) as con:
        rows = {row["configuration"]: row for row in study_table(con, "batch").to_dicts()}
    assert list(rows) == ["batch 4", "batch 16", "batch 64"]
    four = rows["batch 4"]
    mean = Estimate(**four["accuracy"])
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.65, 0.0147, 1.0), abs=1e-4)
    assert (mean.n, mean.counted, mean.method) == (2, "runs", "Student's t over seeds")
    assert four["accuracy_std"] == pytest.approx(0.0707, abs=1e-4)
    assert (four["accuracy_min"], four["accuracy_max"], four["seconds"], four["peak_gb"]) == (0.6, 0.7, 3599, 2.0)
    assert (rows["batch 16"]["accuracy_std"], rows["batch 64"]["state"], rows["batch 64"]["accuracy"]) == (0, "did not fit", None)


@pytest.mark.parametrize(("accuracies", "method"), [([0.7], "no interval: one run"), ([0.7, 0.7], "no interval: all values are equal")])
def test_one_run_or_equal_ones_have_no_interval(accuracies: list[float], method: str) -> None:
    found = mean_over_seeds(accuracies)
    assert (found.value, found.low, found.high, found.method) == (0.7, -inf, inf, method)


def test_an_interval_over_seeds_holds_the_mean_of_all_seeds_in_95_of_100_studies() -> None:
    """Of 4,000 studies of three seeds each 95 % ± 1 %: their share's standard deviation is √(0.05 · 0.95 / 4000) = 0.34 %."""
    studies = np.random.default_rng(0).normal(0.7, 0.02, (4000, 3))
    found = [mean_over_seeds(one.tolist()) for one in studies]
    assert np.mean([one.low <= 0.7 <= one.high for one in found]) == pytest.approx(0.95, abs=0.01)


def test_an_experiment_is_no_study(filled_cache: Path) -> None:
    with database.reading(filled_cache) as con:
        assert database.frame(con, "select study_id, count(*) from runs join studies using (study_id) group by all").rows() == [
            ("batch", 5)
        ]


def test_outcome_counts_what_differs() -> None:
    from polars import Series

    assert outcome(Series(["done", "done"])) == "done"
    assert outcome(Series(["done", "failed", "done"])) == "2 done, 1 failed"


def test_command_queues_a_file_and_shows_its_table(
    held_cache: Path, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(held_cache))
    (tmp_path / "s.json").write_text(small(toy_dataset(held_cache), tiny_llama).model_dump_json())
    assert main(["study", str(tmp_path / "s.json")]) == 0
    assert main(["study", "show", "s", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(row["configuration"], row["runs"], row["state"]) for row in shown] == [("batch 4", 2, "queued"), ("batch 6", 2, "queued")]
    assert main(["study", "show", "t"]) == 1
    assert "study 't' not found, expected one of s" in capsys.readouterr().err


def test_studies_are_made_anew_from_their_files(held_cache: Path, tiny_llama: Path) -> None:
    study.submit(held_cache, small(toy_dataset(held_cache), tiny_llama))
    database.database_path(held_cache).unlink()
    database.rebuild(held_cache)
    with database.reading(held_cache) as con:
        assert database.frame(con, "select study_id, title from studies").rows() == [("s", "A study")]
