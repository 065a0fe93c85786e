"""What cannot run is refused before it starts, each with one sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import pairs as seeded_pairs
from tiny import reward_config, trl_record

from engine.__main__ import main
from engine.errors import ConfigError, ModelError
from engine.machine import device_plan
from engine.model.folders import network_of
from engine.planning.preflight import preflight
from engine.queue.preset import load_preset
from engine.settings.config import GenerateConfig, RewardConfig, parse
from engine.store.rundir import run_dirs


def refusals(cache: Path, config: Any) -> str:
    return "\n".join(preflight(cache, config).refusals)


@pytest.fixture
def model(tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be damaged."""
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weight_decay": float("inf")}, "weight_decay is inf: input should be a finite number"),
        ({"weight_decay": "nan"}, "weight_decay is 'nan': input should be a finite number"),
        ({"epochs": 10**15}, "epochs is 1000000000000000: input should be less than or equal to 10000"),
        ({"seed": 2**40}, "seed is 1099511627776: input should be less than 4294967296"),
        ({"kind": []}, "kind is [], expected one of reward, policy"),
        ({"kind": "x" * 500}, "kind is 'xxx"),
    ],
)
def test_a_value_without_bound_is_refused_with_its_field(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse({**RewardConfig(dataset="d").model_dump(), **changes})
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.skipif(device_plan.has_cuda(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(cache: Path, dataset: str, tiny_llama: Path) -> None:
    assert "there is no NVIDIA driver here" in refusals(cache, reward_config(dataset, tiny_llama, device="cuda"))


def test_layers_that_get_adapters_are_layers_of_the_model(cache: Path, dataset: str, tiny_llama: Path) -> None:
    wrong = refusals(cache, reward_config(dataset, tiny_llama, lora={"targets": ["q_proj", "attention"]}))
    assert wrong.startswith("lora.targets: the model has no layer 'attention', expected all-linear or some of down_proj, gate_proj")
    for targets in (["all-linear"], ["q_proj", "self_attn.v_proj"]):
        assert refusals(cache, reward_config(dataset, tiny_llama, lora={"targets": targets})) == ""


def test_weights_that_are_cut_short_are_refused(cache: Path, dataset: str, model: Path) -> None:
    (weights,) = model.glob("*.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    assert f"is cut short: it has {len(content) - 1:,} bytes, its header names {len(content):,}" in refusals(
        cache, reward_config(dataset, model)
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is no model's configuration"),
        ("[]", "is no model's configuration"),
        ("\udcff", "is no model's configuration"),
        ('{"text_config": 3}', "is no model's configuration"),
        ("[" * 100_000, "is no model's configuration"),
        ({"hidden_size": "wide"}, "hidden_size is 'wide', expected a whole number above 0"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0, expected a whole number above 0"),
        ({"model_type": "unheard-of"}, "unheard-of"),
        ({"model_type": "clip_text_model"}, "transformers has no clip_text_model network that gives a reward"),
    ],
)
def test_a_broken_or_unknown_configuration_of_a_model_is_a_sentence(
    text: str | dict[str, Any], sentence: str, cache: Path, dataset: str, model: Path
) -> None:
    path = model / "config.json"
    written = text if isinstance(text, str) else json.dumps({**json.loads(path.read_text()), **text})
    path.write_bytes(written.encode(errors="surrogateescape"))
    found = refusals(cache, reward_config(dataset, model))
    assert str(path) in found
    assert sentence in found


def test_sizes_that_are_not_named_are_unknown(model: Path) -> None:
    assert network_of(model) is not None
    (model / "config.json").write_text("{}")
    assert network_of(model) is None
    (model / "config.json").unlink()
    with pytest.raises(ModelError, match="is no model's configuration"):
        network_of(model)


@pytest.mark.parametrize("dataset_id", ["../datasets/{dataset}", "./{dataset}", "{dataset}/", "", "..", "/etc"])
def test_a_dataset_is_named_by_its_id_and_not_by_a_path(dataset_id: str, cache: Path, dataset: str, tiny_llama: Path) -> None:
    found = refusals(cache, reward_config(dataset_id.format(dataset=dataset), tiny_llama))
    assert "not found in" in found
    assert found.endswith(f"expected one of {dataset}")


def test_what_needs_far_more_memory_than_there_is_is_refused(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """10^9 answers at once need thousands of GB; a pair of 10^9 tokens is not there, but a limit of 1 MB is less than the process alone."""
    many = GenerateConfig(dataset=dataset, policy=str(tiny_llama), device="cpu", batch_size=10**9)
    assert preflight(cache, many).too_large[0].startswith("needs about ")
    small = reward_config(dataset, tiny_llama, memory_gb=0.001)
    assert preflight(cache, small).too_large[0].endswith("0.0 GB are free")


def test_an_option_that_is_no_text_is_a_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
    for options in (["--name", "a\udcff"], ["--model", "\udcff"], ["--validation-splits", "a", "\udcff"]):
        assert main(["reward", "--dataset", "d", *options]) == 1
        assert "expected UTF-8 text" in capsys.readouterr().err


# Presets


def preset(folder: Path, **changes: Any) -> Path:
    """A preset over ten pairs in a file, with one reward run."""
    source = folder / "pairs.jsonl"
    source.write_text("".join(json.dumps(trl_record(pair)) + "\n" for pair in seeded_pairs(20)))
    runs = {"reward model": {"kind": "reward", "model": str(folder / "model"), "device": "cpu", "batch_size": 2, **changes}}
    path = folder / "preset.json"
    path.write_text(json.dumps({"name": "p", "title": "P", "data": {"name": "mine", "source": str(source)}, "runs": runs}))
    return path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": []}, "kind is [], expected one of reward, policy"),
        ({"kind": None}, "kind is None, expected one of reward, policy"),
        ({"epochs": 0}, "epochs is 0"),
        ({"model": "/nowhere"}, "model '/nowhere' not found"),
        ({"batch_size": 1000}, "one optimiser step takes 1000"),
        ({"validation_splits": ["test"]}, "has no split 'test'"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["queued", "dry"])
def test_a_refused_preset_imports_nothing(
    changes: dict[str, Any],
    sentence: str,
    options: list[str],
    cache: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
    assert main(["experiment", str(preset(model.parent, **changes)), *options]) == 1
    written = capsys.readouterr()
    assert sentence in written.err + written.out
    assert run_dirs(cache) == []
    assert not list((cache / "datasets").glob("*"))


def test_a_preset_in_another_encoding_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "preset.json"
    text = '{"name": "é", "title": "P", "data": {"name": "d", "source": "s"}, "runs": {}}'
    path.write_bytes(text.encode("utf-8-sig"))
    assert load_preset(str(path)).name == "é"
    for encoding in ("latin-1", "utf-16"):
        path.write_bytes(text.encode(encoding))
        with pytest.raises(ConfigError, match=r"byte \d+ is not UTF-8 text: save the file as UTF-8"):
            load_preset(str(path))
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="too many brackets"):
        load_preset(str(path))
