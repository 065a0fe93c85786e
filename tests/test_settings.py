"""Configurations and statuses: what their fields name, and files of other versions."""

from pathlib import Path
from typing import Any

import pytest
from tiny import prepared, reward_config

from engine.errors import ConfigError, RunError
from engine.queue.jobs import with_parents
from engine.queue.preset import Preset, plan
from engine.settings.config import CONFIGS, EnsembleConfig, GenerateConfig, PolicyConfig, ScoreConfig
from engine.settings.hyperparameters import GuidedDPO, LoRA
from engine.settings.ref import ref_of, references
from engine.store.rundir import RunDir, write_json
from engine.store.status import Reason, State, Status

# References


def test_a_configuration_lists_what_it_names() -> None:
    config = ScoreConfig(dataset="d", reward_models=("a", "b"), generations=("c",), splits=("validation",))
    named = [(place, ref.targets, name) for place, ref, name in references(config)]
    assert named == [
        ("dataset", ("dataset",), "d"),
        ("reward_models", ("reward",), "a"),
        ("reward_models", ("reward",), "b"),
        ("generations", ("generate",), "c"),
        ("splits", ("split",), "validation"),
    ]


def test_every_kind_of_run_names_a_dataset_and_at_most_known_kinds() -> None:
    for model in CONFIGS.values():
        found = [ref for field in model.model_fields.values() if (ref := ref_of(field))]
        assert ("dataset",) in [ref.targets for ref in found]
        assert {kind for ref in found for kind in ref.kinds} <= set(CONFIGS)


def test_only_a_field_that_names_runs_makes_a_parent(cache: Path, dataset: str) -> None:
    """Another run's id as a name, a system prompt or a split is text."""
    first = prepared(cache, reward_config(dataset, "m"))
    text = {"name": first.id, "system_prompt": first.id, "split": first.id}
    assert with_parents(cache, GenerateConfig(dataset=dataset, policy="m", **text)).parents == ()
    policy = PolicyConfig(dataset=dataset, loss=GuidedDPO(), guide=first.id)
    ensemble = EnsembleConfig(dataset=dataset, reward_models=(first.id, "gone"))
    assert with_parents(cache, policy).parents == with_parents(cache, ensemble).parents == (first.id,)


def preset(**run: Any) -> Preset:
    runs = {"first": {"kind": "reward"}, "second": {"kind": "score", "splits": ["validation"], **run}}
    return Preset.model_validate({"name": "p", "title": "P", "data": {"name": "d", "source": "s"}, "runs": runs})


def test_a_label_stands_for_a_run_only_where_a_run_can_be_named() -> None:
    ids = {"first": "1", "second": "2"}
    planned = plan(preset(reward_models=["@first"], system_prompt="@first"), "d", ids)
    assert planned["2"].parents == ("1",)
    assert planned["2"].system_prompt == "@first"
    with pytest.raises(ConfigError, match="@third is not an earlier run of this preset"):
        plan(preset(reward_models=["@third"]), "d", ids)


# Files of other versions


def test_a_status_of_the_first_format_has_its_reason_in_its_sentence(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "r")
    write_json(run.path / "status.json", {"state": "failed", "error": "did not fit: needs about 9.1 GB, 4.0 GB are free"})
    assert (run.status.reason, run.status.error) == (Reason.DID_NOT_FIT, "needs about 9.1 GB, 4.0 GB are free")
    write_json(run.path / "status.json", {"state": "failed", "error": "loss: not a number"})
    assert (run.status.reason, run.status.error) == (None, "loss: not a number")


def test_unknown_keys_of_a_status_are_kept(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "r")
    write_json(run.path / "status.json", {**Status().model_dump(mode="json"), "format": 9, "mood": "good"})
    run.update(state=State.DONE)
    assert '"mood": "good"' in (run.path / "status.json").read_text()
    assert '"format": 9' in (run.path / "status.json").read_text()


def test_unknown_keys_of_a_configuration_are_ignored_wherever_they_stand(cache: Path, dataset: str) -> None:
    run = prepared(cache, reward_config(dataset, "m"))
    known = run.config
    values = run.config_values
    write_json(run.path / "config.json", {**values, "colour": "blue", "loss": {**values["loss"], "new": 1}, "lora": {"rank": 4, "new": {}}})
    assert run.config == known.model_copy(update={"lora": LoRA(rank=4)})
    write_json(run.path / "config.json", {**values, "colour": "blue", "epochs": -1})
    with pytest.raises(ConfigError, match="epochs is -1"):
        _ = run.config
    assert run.outline.name == known.name


def test_a_studys_run_of_the_first_format_names_its_configuration(cache: Path, dataset: str) -> None:
    values = reward_config(dataset, "m", name="batch 4, seed 3", seed=3, study="s").model_dump(mode="json")
    del values["configuration"]
    run = RunDir(cache / "runs" / "old")
    for changes, expected in (({}, "batch 4"), ({"study": None}, None), ({"name": "loss, seed x"}, None), ({"name": "starter"}, None)):
        write_json(run.path / "config.json", {**values, **changes})
        assert run.outline.configuration == expected


@pytest.mark.parametrize(
    ("text", "words"), [("[]", r"is \[\]: expected a JSON object"), ("{", "cannot be read"), ("[" * 100_000, "cannot be read")]
)
def test_a_file_that_is_no_object_is_named(tmp_path: Path, text: str, words: str) -> None:
    run = RunDir(tmp_path / "r")
    run.path.mkdir()
    for name in ("status.json", "config.json"):
        (run.path / name).write_text(text)
        with pytest.raises(RunError, match=f"{name} {words}"):
            _ = run.status if name == "status.json" else run.outline
