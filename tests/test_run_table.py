"""Tables of runs: what differs between them, how they ended, and what a chosen row opens."""

import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from filled import DATASET, write_run
from streamlit.testing.v1 import AppTest
from test_pages import opened

from dashboard import queries
from dashboard.parts import drawings
from dashboard.parts.run_settings import differing, settings_of, unusual
from dashboard.parts.run_table import Row, result
from dashboard.queries import Selection
from dashboard.queries.run_table import run_measures
from dashboard.state.data import Run
from engine.settings.config import PolicyConfig, RewardConfig, RunConfig, ScoreConfig
from engine.settings.hyperparameters import LengthControl, SimPO
from engine.settings.slices import Range, Slice
from engine.statistics.intervals import wilson
from engine.store import database
from engine.store.rundir import RunDir, run_dirs, take_lock, write_json
from engine.store.status import State

REWARD, BATCH_16 = "20260102-000100-rm", "20260102-000050-rm16"


def row(cache: Path, name: str, config: RunConfig) -> Row:
    run = write_run(cache, name, config)
    looked = Run(run, run.status, run.outline)
    return Row(looked, settings_of(looked), 0)


def measures(cache: Path, split: str = "validation") -> dict[str, dict[str, object]]:
    with database.reading(cache) as con:
        rows = run_measures(con, queries.Selection(dataset_id=DATASET, split=split))
    return {r["run_id"]: r for r in rows.iter_rows(named=True)}


def test_a_run_shows_its_last_measurement_with_its_interval(filled_cache: Path) -> None:
    """80 steps; 0.5 + 0.2 of 30 pairs are right at the end, which is 21: Wilson's interval of 21 of 30."""
    found = measures(filled_cache)[REWARD]
    assert (found["steps"], found["split"], found["measured_at"], found["n"]) == (80, "validation", 80, 30)
    right = wilson(21, 30)
    assert found["accuracy"] == pytest.approx({**found["accuracy"], "value": right.value, "low": right.low, "high": right.high})  # type: ignore[dict-item]


def test_the_split_that_is_looked_at_goes_before_the_first_one(own_cache: Path) -> None:
    run = RunDir(own_cache / "runs" / REWARD)
    run.append_metrics(80, "another", {"accuracy": 0.9, "n": 10.0}, 0, 1.0)
    database.ingest(own_cache, run.path)
    assert [measures(own_cache, split)[REWARD]["share"] for split in ("another", "validation", "absent")] == pytest.approx([0.9, 0.7, 0.9])


def test_a_run_of_scores_says_that_it_counts_different_responses(tmp_path: Path) -> None:
    """80 steps: a text that answers a prompt twice is scored once, so that they are fewer than the answers."""
    config = ScoreConfig(name="a", dataset=DATASET, reward_models=(REWARD,), splits=("validation",))
    assert result(row(tmp_path, "a", config)) == "80\u00a0different responses scored"


def test_only_settings_that_differ_have_a_column(tmp_path: Path) -> None:
    """Also those of a nested model; the name, the dataset and what the queue sets are no settings."""
    rows = [
        row(tmp_path, "a", PolicyConfig(name="a", dataset=DATASET, seed=1)),
        row(tmp_path, "b", PolicyConfig(name="b", dataset=DATASET, seed=1, batch_size=2, loss=SimPO(), study="s")),
    ]
    assert differing([r.settings for r in rows]) == ["batch_size", "loss.beta", "loss.name", "loss.label_smoothing", "loss.gamma"]


def test_a_setting_that_an_older_run_does_not_have_is_the_default(tmp_path: Path) -> None:
    rows = [row(tmp_path, name, RewardConfig(dataset=DATASET)) for name in ("old", "new")]
    values = rows[0].run.dir.config_values
    write_json(tmp_path / "runs" / "old" / "config.json", {k: v for k, v in values.items() if k != "warmup"})
    old = Run(rows[0].run.dir, rows[0].run.status, rows[0].run.dir.outline)
    assert differing([settings_of(old), rows[1].settings]) == []


def test_a_run_is_told_by_its_settings_unlike_the_defaults(tmp_path: Path) -> None:
    assert unusual("reward", row(tmp_path, "a", RewardConfig(dataset=DATASET)).settings) == ""
    changed = RewardConfig(dataset=DATASET, pairs=320, learning_rate=3e-5, length=LengthControl(penalty=0.01))
    assert unusual("reward", row(tmp_path, "b", changed).settings) == "pairs 320, rate 3e−05, length control: length penalty 0.01"


def test_a_slice_is_one_setting_said_in_words(tmp_path: Path) -> None:
    """By its conditions, or its name when it has one."""
    wrong = Slice(dataset_id=DATASET, predicates=(Range(field="margin", scorer="s", high=0),))
    rows = [row(tmp_path, "all", RewardConfig(dataset=DATASET)), row(tmp_path, "part", RewardConfig(dataset=DATASET, slice=wrong))]
    assert differing([r.settings for r in rows]) == ["slice"]
    assert rows[1].settings["slice"] == "margin < 0"
    named = RewardConfig(dataset=DATASET, slice=wrong.model_copy(update={"name": "ranked wrong"}))
    assert row(tmp_path, "named", named).settings["slice"] == "ranked wrong"


def test_an_interval_is_drawn_to_scale() -> None:
    """From 40 to 100 % on 110 pixels after 5: 70 % stands in the middle, at 60."""
    found = drawings.interval(wilson(21, 30), 0)
    assert found is not None
    assert 'cx="60.0"' in unquote(found)
    assert drawings.interval(None, 0) is None


def tables(app: AppTest) -> list[dict[str, list[object]]]:
    return [d.value.to_dict("list") for d in app.dataframe]


def test_the_page_of_training_begins_with_a_table_of_each_kind(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two reward models and the five runs of a study, then the policy; Figure 2 is there, since two are shown."""
    app = opened(filled_cache, monkeypatch, "training.py")
    assert not app.exception
    assert not app.error
    rewards, policies = tables(app)[:2]
    assert "reward model, batch 16" in rewards["run"]
    assert len(rewards["run"]) == 7
    assert policies["run"] == ["dpo"]
    assert "batch_size" in rewards
    assert "warmup" not in rewards
    assert "70.0\u00a0%\u00a0[52.1,\u00a083.3]" in rewards["accuracy"]


def test_a_figure_that_would_repeat_another_is_not_drawn(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "training.py", reward_runs=REWARD)
    shown = "".join(h.proto.body for h in app.get("html"))
    assert "Figure 1<" in shown
    assert "Figure 2<" not in shown


def test_a_run_that_took_no_step_is_no_second_curve(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = write_run(own_cache, "20260103-000000-cancelled", RewardConfig(name="cancelled", dataset=DATASET))
    database.ingest(own_cache, none.path)
    app = opened(own_cache, monkeypatch, "training.py", reward_runs=[REWARD, none.id])
    assert "Figure 2<" not in "".join(h.proto.body for h in app.get("html"))


def test_a_run_that_ended_before_its_first_step_is_no_default_and_stands_last(
    own_cache: Path, chosen: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(own_cache, "20260103-000000-cancelled", RewardConfig(name="cancelled", dataset=DATASET), State.CANCELLED)
    database.ingest(own_cache, run.path)
    app = opened(own_cache, monkeypatch, "training.py")
    assert app.query_params["reward_runs"] == list(chosen.reward_runs)
    assert tables(app)[0]["run"][-1] == "cancelled"


def test_all_runs_tell_when_they_began_what_they_changed_and_on_how_many_pairs_they_were_measured(
    filled_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """21 of the 30 pairs that are measured are ranked right."""
    table = tables(opened(filled_cache, monkeypatch, "runs.py"))[-1]
    assert list(table)[:6] == ["run", "state", "started", "time", "settings", "result"]
    assert "accuracy 70.0\u00a0%\u00a0[52.1,\u00a083.3] on validation, n = 30" in table["result"]


def test_a_run_in_the_address_is_opened_with_its_log(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run_dirs(own_cache)[0].path / "log.txt").write_text("first line\nlast *line*\n")
    app = opened(own_cache, monkeypatch, "runs.py", run=run_dirs(own_cache)[0].id)
    assert "first line\nlast *line*" in [c.value for c in app.code]


def test_a_chosen_run_stays_chosen_when_it_moves_to_another_row(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest run stands last; queued again, it stands first."""
    device = take_lock(own_cache / "locks" / "cpu.lock")
    app = opened(own_cache, monkeypatch, "runs.py")
    last = len(run_dirs(own_cache)) - 1
    app.session_state["runs_all"] = {"selection": {"rows": [last]}}
    app.run()
    run_dirs(own_cache)[0].update(state="queued")
    app.run()
    assert app.session_state["runs_all"]["selection"]["rows"] == [0]
    assert device is not None
    os.close(device)


def test_two_runs_are_compared_by_their_settings(tmp_path: Path) -> None:
    def page(cache: str) -> None:
        from pathlib import Path

        from filled import DATASET
        from test_run_table import row

        from dashboard.parts.run_table import compared
        from engine.settings.config import PolicyConfig, RewardConfig

        compared([row(Path(cache), str(n), RewardConfig(name=f"batch {n}", dataset=DATASET, batch_size=n)) for n in (4, 16)])
        kinds = PolicyConfig(name="DPO", dataset=DATASET), RewardConfig(name="RM", dataset=DATASET)
        compared([row(Path(cache), config.name, config) for config in kinds])

    app = AppTest.from_function(page, kwargs={"cache": str(tmp_path)}).run()
    batches, kinds = tables(app)
    assert batches == {"Setting": ["Batch"], "batch 4": ["4"], "batch 16": ["16"]}
    told = {setting: (dpo, rm) for setting, dpo, rm in zip(*kinds.values(), strict=True)}
    assert told["Loss"] == ("DPO", "Bradley-Terry")
    assert told["Loss: Beta"] == ("0.1", "–")
    assert told["Length control: Length penalty"] == ("–", "0")
    assert told["Tell the group"] == ("–", "no")
