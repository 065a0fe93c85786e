"""A reward model's folder gives its rewards in other hands: to transformers' pipeline, by the example in its README.md and in the docs."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tiny import executed, reward_config, table, tiny_chat
from transformers import pipeline

from engine import ROOT
from engine.data.datasets_io import load_pairs
from engine.data.records import Turn
from engine.kinds.score import answers_of
from engine.model.batches import Chat
from engine.model.card import ANSWER, QUESTION, example
from engine.model.networks import RewardModel, load_reward_model, load_tokenizer
from engine.model.scoring import values_of
from engine.settings.config import RewardConfig
from engine.settings.hyperparameters import LengthControl, LoRA
from engine.store.rundir import RunDir

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(path: Path) -> dict[str, str]:
    """The code blocks of a Markdown file by their language."""
    return dict(BLOCK.findall(path.read_text(encoding="utf-8")))


def done(cache: Path, config: Any) -> RunDir:
    run = executed(cache, config)
    assert run.status.error is None
    return run


def our_reward(cache: Path, run: RunDir) -> float:
    """Of the README's conversation, by the engine."""
    tokenizer, config = load_tokenizer(cache, run.id), run.config
    assert isinstance(config, RewardConfig)
    chat = Chat(tokenizer, config.system_prompt, config.max_tokens)
    net = RewardModel(load_reward_model(cache, run.id, tokenizer)).eval()
    return float(values_of(net, [chat.encode([Turn("user", QUESTION)], ANSWER)], "cpu", "fp32", config.read_at)[0])


@pytest.mark.parametrize("lora", [None, LoRA(rank=4, targets=("q_proj", "v_proj"))], ids=["whole", "merged adapters"])
def test_pipeline_with_the_documented_lines_gives_the_reported_rewards(cache: Path, dataset: str, tiny_llama: Path, lora: LoRA) -> None:
    """Their sigmoid lies within 0 and 1; rewards of this head do not."""
    run = done(cache, reward_config(dataset, tiny_llama, lora=lora, head_learning_rate=0.1))
    program = compile(blocks(ROOT / "docs" / "reward-model-elsewhere.md")["python"], "docs", "exec")
    head = table(run, "scorers").filter(pl.col("kind") == "head").select("scorer_id")
    rows = table(run, "rewards").join(head, on="scorer_id").select("prompt_id", "text_id", "reward").iter_rows()
    reported = {(p, t): r for p, t, r in rows}
    found = {}
    for answer in answers_of(load_pairs(cache, dataset, "validation")):
        turns = [("system", run.config.system_prompt), *((t.role, t.content) for t in answer.turns), ("assistant", answer.response)]
        names: dict[str, Any] = {"folder": run.path / "model", "messages": [{"role": r, "content": c} for r, c in turns]}
        exec(program, names)
        found[answer.key] = names["reward"]
    assert found == pytest.approx({key: reported[key] for key in found}, abs=1e-4)
    assert not all(0 <= reward <= 1 for reward in found.values())


@pytest.mark.parametrize("changes", [{"system_prompt": 'Say "it\'s"\nin two lines.', "read_at": "end_of_turn"}, {"system_prompt": ""}])
def test_readme_s_example_gives_the_reward_of_its_conversation(
    cache: Path, dataset: str, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    run = done(cache, reward_config(dataset, tiny_llama, pairs=4, **changes))
    monkeypatch.chdir(run.path / "model")
    names: dict[str, Any] = {}
    exec(blocks(Path("README.md"))["python"], names)
    assert names["reward"] == pytest.approx(our_reward(cache, run), abs=1e-4)


def test_readme_says_what_the_rewards_depend_on(cache: Path, dataset: str, tiny_llama: Path) -> None:
    run = done(cache, reward_config(dataset, tiny_llama, system_prompt="Be brief.", length=LengthControl(penalty=0.1)))
    path = run.path / "model" / "README.md"
    values = json.loads(blocks(path)["json"])
    assert (values["system_prompt"], values["text_ends_with"], values["reward_read_at_token"]) == ("Be brief.", "<|im_end|>\n", "\n")
    assert (values["dataset"], values["split"], values["pairs"], values["base_model"]) == (dataset, "train", 12, tiny_llama.name)
    last = [json.loads(line) for line in run.metrics_path.read_text().splitlines()][-1]
    assert values["validation"]["validation"]["accuracy"] == last["values"]["accuracy"]
    assert "no zero" in path.read_text()
    assert "penalty · |tokens − target|" in path.read_text()


def test_names_cannot_leave_the_readme_s_code_blocks(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """Outside the two blocks, everything is the same whatever the run is called and told."""
    evil = "```\n# Title <img src='http://x'>\r\n~~~\x1b[31m \u202e {messages} \\"
    runs = [done(cache, reward_config(dataset, tiny_llama, pairs=4, name=text, system_prompt=text)) for text in (evil, "plain")]
    outside = [BLOCK.sub("", (run.path / "model" / "README.md").read_text()) for run in runs]
    assert outside[0] == outside[1]
    path = runs[0].path / "model" / "README.md"
    assert json.loads(blocks(path)["json"])["name"] == evil
    assert not [c for c in path.read_text() if not c.isprintable() and c != "\n"]


def test_conditional_model_s_example_names_a_group(tiny_llama: Path) -> None:
    config = reward_config("d", tiny_llama, group_by="source", conditional=True, system_prompt="Be brief.")
    assert "Be brief.\\nGroup: the source" in example(config)
    assert (
        tiny_chat(512, "Be brief.")
        .prompt_text([Turn("user", "x")], "the source")
        .startswith("<|im_start|>system\nBe brief.\nGroup: the source<|im_end|>")
    )


def test_problem_type_changes_nothing_for_the_engine(cache: Path, dataset: str, tiny_llama: Path) -> None:
    """A folder that does not say `regression`, as older ones do not, gives the engine the same rewards and the pipeline their sigmoid."""
    run = done(cache, reward_config(dataset, tiny_llama, pairs=4))
    new, file = our_reward(cache, run), run.path / "model" / "config.json"
    values = json.loads(file.read_text())
    assert values.pop("problem_type") == "regression"
    file.write_text(json.dumps(values))
    assert our_reward(cache, run) == new
    score = pipeline("text-classification", model=str(run.path / "model"))("x")[0]["score"]
    assert 0 < score < 1
