"""The Retrain dialog: prefilled from what is looked at, live beside the settings, and what it queues."""

import os
import shutil
from collections.abc import Iterator
from math import ceil, floor
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import opened
from tiny import Unrecorded

from dashboard.parts.before_start import about, together
from dashboard.parts.forms import SET_ELSEWHERE
from dashboard.parts.retrain import GROUPS
from dashboard.parts.study_form import fields_of, values_of
from dashboard.queries import default_selection
from dashboard.state.costs import counting, learned_from
from engine.planning.cost import Phase
from engine.queue import chain
from engine.queue.run import execute
from engine.settings.config import PolicyConfig, RewardConfig, TrainConfig
from engine.settings.slices import Range, Slice
from engine.store import database
from engine.store.rundir import RunDir, find_run, run_dirs, take_lock

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def held(toy_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the toy experiment's cache whose device is taken: what is queued waits. One for all tests: its tokens are counted once."""
    cache = Path(shutil.copytree(toy_cache, tmp_path_factory.mktemp("held") / "cache"))
    device = take_lock(cache / "locks" / "cpu.lock")
    assert device is not None
    yield cache
    os.close(device)


@pytest.fixture
def busy(held: Path) -> Iterator[Path]:
    """That cache, with its first runs as they were afterwards, and no others."""
    before = {run.path: (run.path / "config.json").read_bytes() for run in run_dirs(held)}
    yield held
    counting(held).pool.submit(int).result()  # after the processes that count tokens, which read the runs
    for run in run_dirs(held):
        if run.path in before:
            (run.path / "config.json").write_bytes(before[run.path])
        else:
            shutil.rmtree(run.path)


def dialog(cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str = "reward") -> AppTest:
    """The dialog over the page that is the quickest to draw."""
    app = opened(cache, monkeypatch, "report.py")
    app.button(key="retrain").click().run()
    if kind != "reward":
        app.session_state["retrain_kind"] = kind
        app.run()
    return app


def key_of(app: AppTest, field: str) -> str:
    """The key of the widget of a field, which names the run it began with."""
    widgets = (*app.number_input, *app.text_input, *app.selectbox, *app.multiselect, *app.checkbox, *app.toggle)
    return min((str(w.key) for w in widgets if str(w.key).startswith("retrain_") and str(w.key).endswith(f"_{field}")), key=len)


def started(app: AppTest, cache: Path) -> list[RunDir]:
    before = set(run_dirs(cache))
    app.button(key="retrain_start").click().run()
    assert not app.exception
    assert not app.error
    return [run for run in run_dirs(cache) if run not in before]


@pytest.mark.parametrize("model", [RewardConfig, PolicyConfig])
def test_every_setting_stands_in_one_group(model: type[TrainConfig]) -> None:
    grouped = [name for telling, others in GROUPS.values() for name in (*telling, *others)]
    assert len(grouped) == len(set(grouped))
    assert set(model.model_fields) - {"kind", *SET_ELSEWHERE} <= set(grouped)


def test_the_dialog_begins_with_the_settings_of_the_model_that_is_looked_at(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy reward model: batch 4, a validation every 2 steps; its name gets the next number."""
    app = dialog(busy, monkeypatch)
    assert app.text_input(key=key_of(app, "name")).value == "toy 2"
    assert app.number_input(key=key_of(app, "batch_size")).value == 4
    assert app.number_input(key=key_of(app, "evaluate_every")).value == 2
    assert not [n for n in app.number_input if "was" in n.label]


def test_a_change_shows_what_was_and_the_command_follows(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 steps of 4 pairs an epoch: 9 in three."""
    app = dialog(busy, monkeypatch)
    assert "--epochs" not in app.code[-1].value
    app.number_input(key=key_of(app, "epochs")).set_value(3).run()
    assert "--epochs 3" in app.code[-1].value
    assert app.number_input(key=key_of(app, "epochs")).label == "Epochs :orange-badge[was 1]"
    headings = [e.label for e in app.expander]
    assert any(h.startswith("**Optimisation** epochs 3, batch size 4") and h.endswith(":orange-badge[1 changed]") for h in headings)
    assert "✓ 12 training pairs, 9 steps" in [c.value for c in app.caption]


def test_retraining_a_reward_model_queues_it_and_the_scores_of_the_answers(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = dialog(busy, monkeypatch)
    app.number_input(key=key_of(app, "epochs")).set_value(2).run()
    model, scores = started(app, busy)
    assert (model.outline.name, model.config_values["epochs"], model.outline.study) == ("toy 2", 2, None)
    assert scores.config_values["reward_models"] == [model.id]
    assert len(scores.config_values["generations"]) == 2
    assert "--epochs" not in "".join(c.value for c in app.code), "the dialog is closed"
    assert [execute(Unrecorded(busy, run)) for run in (model, scores)] == ["done", "done"]


def test_a_slice_by_rewards_is_scored_first_at_the_same_press(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy model has scored 6 validation pairs and none of the 12 training pairs: 24 responses.

    Five of the 6 lie below the largest margin: 10 of the 12, which are 2 steps of 4.
    """
    with database.reading(busy) as con:
        selection = default_selection(con)
        ((largest,),) = con.execute("select max(margin) from scored_pairs where scorer_id = ?", [selection.trained_scorer]).fetchall()
    below = Slice(dataset_id=str(selection.dataset_id), predicates=(Range(field="margin", high=largest, scorer=selection.trained_scorer),))
    app = opened(busy, monkeypatch, "report.py", slice=below.as_json())
    app.button(key="retrain").click().run()
    app.number_input(key=key_of(app, "pairs")).set_value(8).run()
    app.selectbox(key=key_of(app, "slice_0")).select_index(1).run()
    assert app.number_input(key=key_of(app, "pairs")).value is None, "all of the slice"
    assert any("in the run “Scores of the training pairs”" in i.value for i in app.info)
    rule = next(i.value for i in app.info if "The slice is a rule" in i.value)
    assert "trained on. Pairs of validation that you look at are not trained on." in rule
    assert "need not be better" not in rule, "they are not all ranked wrong"
    assert any("By the share in validation (5 of 6), about 10 of the 12 training pairs are in it." in i.value for i in app.info)
    captions = [c.value for c in app.caption]
    assert any(c.startswith("first score 24 responses") for c in captions), "with a remark where the machine was busy"
    assert "✓ about 10 training pairs, 2 steps; at most 12, 3 steps" in captions
    assert "--slice" in app.code[-1].value
    scoring, model, after = started(app, busy)
    assert (scoring.config_values["splits"], model.outline.parents) == (["train"], (scoring.id,))
    assert after.config_values["reward_models"] == [model.id]


@pytest.mark.parametrize(("high", "warned"), [(0, True), (0.5, False)])
def test_training_on_nothing_but_pairs_ranked_wrong_is_warned_of(
    high: float, warned: bool, filled_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A margin below 0 is a pair ranked wrong. Below 0.5 there are pairs from 0 to 0.5, too, which are not."""

    def page(high: float) -> None:
        from filled import DATASET

        from dashboard.parts.retrain import say_rule
        from dashboard.queries import Selection
        from engine.settings.config import RewardConfig
        from engine.settings.slices import Range, Slice

        looked_at = Slice(dataset_id=DATASET, predicates=(Range(field="margin", high=high, scorer="s"),))
        say_rule(RewardConfig(dataset=DATASET, slice=looked_at), Selection(DATASET, "train"))

    monkeypatch.setenv("PREFSCOPE_CACHE", str(filled_cache))
    app = AppTest.from_function(page, kwargs={"high": high}).run()
    rule = f"The slice is a rule: of the training pairs those with margin < {high} are trained on."
    warning = " Pairs ranked wrong are often hard or mislabelled: a model trained on them alone need not be better on all pairs."
    assert not app.exception
    assert [info.value.replace("\\", "") for info in app.info] == [rule + warning if warned else rule]


def test_of_wrong_pairs_a_model_has_fewer_where_it_was_trained(busy: Path) -> None:
    """The toy model has learned from train; of validation it has seen nothing."""
    with database.reading(busy) as con:
        selection = default_selection(con)
    reward = next(run for run in run_dirs(busy) if run.outline.kind == "reward").config
    wrong = Slice(dataset_id=str(selection.dataset_id), predicates=(Range(field="margin", high=0, scorer=selection.trained_scorer),))
    planned = chain.chain(busy, RewardConfig.model_validate({**reward.model_dump(), "slice": wrong}))
    trains = next(run for run in planned.values() if isinstance(run, TrainConfig))
    assert learned_from(trains, planned, busy)
    assert not learned_from(trains.model_copy(update={"train_split": "validation"}), planned, busy)


def test_cancel_says_what_goes_with_a_model_and_takes_its_scoring_too(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.reading(busy) as con:
        selection = default_selection(con)
    reward = next(run for run in run_dirs(busy) if run.outline.kind == "reward").config
    wrong = Slice(dataset_id=str(selection.dataset_id), predicates=(Range(field="margin", high=0, scorer=selection.trained_scorer),))
    assert isinstance(reward, RewardConfig)
    together = chain.submit(busy, reward.model_copy(update={"name": "narrow", "slice": wrong}))
    app = opened(busy, monkeypatch, "runs.py", run=together[1])
    assert app.checkbox(key=f"together_cancel_{together[1]}").label == "Also cancel Scores of the training pairs, queued only for it"
    app.button(key=f"cancel_{together[1]}").click().run()
    assert not app.exception
    assert [find_run(busy, run_id).status.state for run_id in together] == ["cancelled", "cancelled"]


def test_each_step_after_a_policy_can_be_left_out(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = dialog(busy, monkeypatch, "policy")
    steps = [c for c in app.checkbox if str(c.key).startswith("retrain_then_")]
    assert [s.label for s in steps] == ["Answer the 6 prompts again as tuned answers did", "Score its answers with toy"]
    steps[1].uncheck().run()
    policy, answers = started(app, busy)
    assert (policy.outline.name, answers.outline.name) == ("tuned policy 2", "Answers of tuned policy 2")


def test_the_loss_and_its_own_settings_begin_as_they_were(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = next(run for run in run_dirs(busy) if run.outline.kind == "policy")
    values = {**policy.config_values, "loss": {"name": "simpo", "beta": 3.0, "gamma": 0.5}}
    policy.write_config(PolicyConfig.model_validate({k: v for k, v in values.items() if k != "format"}))
    app = dialog(busy, monkeypatch, "policy")
    assert app.selectbox(key=key_of(app, "loss")).value == "simpo"
    assert app.text_input(key=key_of(app, "SimPO_beta")).value == "3"
    app.selectbox(key=key_of(app, "loss")).select("dpo").run()
    assert app.text_input(key=key_of(app, "DPO_beta")).value == "0.1"


def test_a_wrong_value_is_named_and_nothing_can_be_started(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = dialog(busy, monkeypatch)
    app.text_input(key=key_of(app, "learning_rate")).set_value("7").run()
    assert any(e.value.startswith("Learning rate is 7") for e in app.error)
    assert app.button(key="retrain_start").disabled


def test_what_stands_in_the_way_is_said_and_nothing_can_be_started(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No base model lies in this cache."""
    app = dialog(filled_cache, monkeypatch)
    assert not app.exception
    assert any("the embedded model is not in" in e.value for e in app.error)
    assert app.button(key="retrain_start").disabled


def test_the_guide_of_guided_dpo_is_chosen_among_the_reward_runs(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = dialog(filled_cache, monkeypatch, "policy")
    guides = {run.outline.name for run in run_dirs(filled_cache) if run.outline.kind == "reward"}
    offered = app.selectbox(key=key_of(app, "guide")).options
    assert offered[0] == "none"
    assert {name.partition(" (")[0] for name in offered[1:]} == guides


def test_a_study_is_started_from_the_same_settings(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 2 and 4 pairs with two seeds are four runs, which begin with what the dialog shows."""
    app = dialog(busy, monkeypatch)
    app.number_input(key=key_of(app, "epochs")).set_value(2).run()
    app.toggle(key="retrain_study").set_value(True).run()
    app.text_input(key="study_batch_size").set_value("2, 4").run()
    app.text_input(key="study_seeds").set_value("0, 1").run()
    assert any(c.value.startswith("4\u00a0runs") for c in app.caption)
    runs = started(app, busy)
    assert [(r.outline.study, r.config_values["batch_size"], r.config_values["seed"], r.config_values["epochs"]) for r in runs] == [
        ("toy-2", 2, 0, 2), ("toy-2", 2, 1, 2), ("toy-2", 4, 0, 2), ("toy-2", 4, 1, 2),
    ]  # fmt: skip


def test_a_study_can_vary_plain_settings_and_those_of_the_loss() -> None:
    fields = fields_of(PolicyConfig(dataset="d"))
    assert list(fields)[:3] == ["batch_size", "learning_rate", "epochs"]
    assert fields["loss.beta"] == "Loss: Beta"
    assert not {"name", "seed", "dataset", "train_split", "kind", "model"} & set(fields)


def test_values_are_numbers_truth_values_or_words() -> None:
    assert values_of("4, 16,3e-5, true, simpo,") == [4, 16, 3e-5, True, "simpo"]


def test_a_bound_is_not_rounded_over_what_it_bounds() -> None:
    """2 min 46 s are about 3 min, but more than 2 and at most 3; 4 min 20 s are about 4 and at most 5."""
    assert [about(166), about(166, floor), about(166, ceil), about(260, ceil)] == [f"{n} min" for n in (3, 2, 3, 5)]


def test_phases_of_one_kind_stand_together_and_one_that_is_unknown_makes_all_unknown() -> None:
    known = [Phase("a", "scoring", 4, "responses", 2.0), Phase("b", "scoring", 6, "responses", 3.0, measured=False)]
    assert [(part.label, part.seconds) for part in together(known)] == [("score 10 responses (a guess)", 5.0)]
    answering = [Phase(name, "answering", 24, "prompts", 3.0) for name in ("base", "tuned")]
    assert [(part.label, part.seconds) for part in together(answering)] == [("answer 24 prompts, by both", 6.0)]
    assert together([*known, Phase("c", "scoring", None, "responses", None)])[0].seconds is None
    slow = Phase("c", "scoring", 10, "responses", 60.0, slowest=600.0)
    assert [(part.label, part.seconds) for part in together([known[0], slow])] == [("score 14 responses (busy machine: 10 min)", 62.0)]
