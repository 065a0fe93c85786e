"""The embedded model for a few steps of everything, on a dozen starter pairs."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tiny import executed, prepared, table
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from engine import ROOT
from engine.data.datasets_io import import_dataset, load_pairs
from engine.data.sources import STARTER
from engine.kinds.embed import embeddings
from engine.kinds.score import answers_of
from engine.model.batches import Chat, encode_pairs
from engine.model.folders import SENTENCE_MODEL
from engine.model.networks import Policy, load_policy, load_tokenizer
from engine.model.packing import pack
from engine.settings.config import EMBEDDED_MODEL, EmbedConfig, GenerateConfig, PolicyConfig, RewardConfig, ScoreConfig
from engine.store import database
from engine.store.progress import Progress
from engine.store.rundir import RunDir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MODELS = ROOT / "cache" / "models"
COMMON: dict[str, Any] = {"device": "cpu", "max_tokens": 256}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of its own that borrows the embedded models, with the 8 shortest starter pairs to train on and 6 to validate."""
    missing = [name for name in (EMBEDDED_MODEL, SENTENCE_MODEL) if not (MODELS / name).is_dir()]
    assert not missing, f"{', '.join(missing)} not in {MODELS}: run `./run.sh setup` once to fetch the embedded models"
    made = tmp_path_factory.mktemp("embedded") / "cache"
    made.mkdir()
    (made / "models").symlink_to(MODELS)
    return made


@pytest.fixture(scope="module")
def dataset(cache: Path) -> str:
    files = {}
    for split, number in (("train", 8), ("validation", 6)):
        files[split] = str(cache.parent / f"{split}.jsonl")
        shortest = sorted((STARTER / f"{split}.jsonl").read_bytes().splitlines(), key=len)[:number]
        Path(files[split]).write_bytes(b"\n".join(shortest) + b"\n")
    return import_dataset(cache, "dozen", files).dataset_id


@pytest.fixture(scope="module")
def reward(cache: Path, dataset: str) -> RunDir:
    run = executed(
        cache, RewardConfig(name="reward model", dataset=dataset, batch_size=4, epochs=2, learning_rate=5e-5, **COMMON), recorded=True
    )
    assert run.status.error is None
    return run


@pytest.fixture(scope="module")
def policy(cache: Path, dataset: str) -> RunDir:
    run = executed(cache, PolicyConfig(name="dpo", dataset=dataset, batch_size=4, learning_rate=2e-5, **COMMON), recorded=True)
    assert run.status.error is None
    return run


@pytest.fixture(scope="module")
def answers(cache: Path, dataset: str, policy: RunDir) -> tuple[RunDir, RunDir]:
    short = {"max_new_tokens": 16, "batch_size": 6, "prompts": 6, **COMMON}
    base = executed(cache, GenerateConfig(name="base answers", dataset=dataset, **short), recorded=True)
    tuned = executed(cache, GenerateConfig(name="dpo answers", dataset=dataset, policy=policy.id, **short), recorded=True)
    return base, tuned


def test_packed_log_probabilities_equal_the_library_s(cache: Path, dataset: str) -> None:
    chat = Chat(load_tokenizer(cache, EMBEDDED_MODEL), "Be brief.", 256)
    sides = [side for pair in encode_pairs(chat, load_pairs(cache, dataset, "train")[:2]) for side in pair]
    plain = AutoModelForCausalLM.from_pretrained(MODELS / EMBEDDED_MODEL, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        packed = Policy(load_policy(cache, EMBEDDED_MODEL)).eval()(pack(sides)).tolist()
        for side, found in zip(sides, packed, strict=True):
            ids = torch.tensor([[*side.prompt, *side.response]])
            logps = plain(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
            start = len(side.prompt) - 1
            whole, common = (logps[start : start + tokens].sum().item() for tokens in (side.ends, side.common))
            assert found == pytest.approx([whole, common], abs=2e-3)


def test_reward_model_learns_its_own_training_pairs(reward: RunDir) -> None:
    """Two steps see the eight pairs, two see them again: about 0.67 and 0.73, then 0.32 and 0.32."""
    with database.reading(reward.path.parents[1]) as con:
        found = con.execute("select value from metrics where run_id = ? and name = 'loss' order by step", [reward.id]).fetchall()
    losses = [value for (value,) in found]
    assert len(losses) == 4
    assert sum(losses[:2]) / 2 == pytest.approx(math.log(2), abs=0.15)
    assert sum(losses[2:]) < sum(losses[:2]) / 2
    assert max(losses[2:]) < min(losses[:2])


def test_plain_transformers_gives_the_same_rewards(cache: Path, dataset: str, reward: RunDir) -> None:
    folder = reward.path / "model"
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    asked = answers_of(load_pairs(cache, dataset, "validation"))
    system = {"role": "system", "content": reward.config.system_prompt}
    said = [
        [system, *({"role": t.role, "content": t.content} for t in a.turns), {"role": "assistant", "content": a.response}] for a in asked
    ]
    kept = [i for i, messages in enumerate(said) if len(tokenizer.apply_chat_template(messages, return_dict=False)) <= 256]
    texts = tokenizer.apply_chat_template([said[i] for i in kept], tokenize=False)
    with torch.no_grad():
        plain = model(**tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")).logits[:, 0].tolist()
    heads = table(reward, "scorers").filter(pl.col("kind") == "head").select("scorer_id")
    rows = table(reward, "rewards").join(heads, on="scorer_id").select("prompt_id", "text_id", "reward").iter_rows()
    ours = {(p, t): r for p, t, r in rows}
    assert len(kept) >= 8
    assert plain == pytest.approx([ours[asked[i].key] for i in kept], abs=1e-3)


def test_policy_begins_at_its_reference_and_moves(policy: RunDir) -> None:
    with database.reading(policy.path.parents[1]) as con:
        margins = "select step, value from metrics where run_id = ? and name = 'rewards/margins' and split = 'validation'"
        found = dict(con.execute(margins, [policy.id]).fetchall())
    assert found[0] == 0
    assert found[2] != 0


def test_answers_are_text_and_scored_by_both_reward_models(
    cache: Path, dataset: str, reward: RunDir, answers: tuple[RunDir, RunDir]
) -> None:
    texts = [text for run in answers for text in table(run, "texts")["text"]]
    assert all(len(text) > 10 for text in texts)
    config = ScoreConfig(dataset=dataset, reward_models=(reward.id,), generations=tuple(run.id for run in answers), device="cpu")
    run = executed(cache, config, recorded=True)
    assert run.status.error is None
    assert table(run, "rewards").group_by("scorer_id").len()["len"].to_list() == [len(set(texts))] * 2


def test_maps_are_laid_out_the_same_every_time(cache: Path, dataset: str) -> None:
    config = EmbedConfig(dataset=dataset, split="train", methods=("pca", "tsne"), device="cpu")
    first, second = (table(executed(cache, config), "map_points") for _ in range(2))
    assert first.height == 2 * 16
    assert first.select("text_id", "x", "y").equals(second.select("text_id", "x", "y"))


def test_embeddings_are_unit_vectors_of_meaning_that_neighbours_do_not_change(cache: Path, dataset: str) -> None:
    texts = ["A cat sleeps on the sofa.", "The kitten naps on the couch.", "Interest rates rose again this quarter. " * 20]
    progress = Progress(cache, prepared(cache, EmbedConfig(dataset=dataset)))
    together, alone = embeddings(progress, texts, "cpu"), np.vstack([embeddings(progress, [text], "cpu") for text in texts])
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)
    assert together == pytest.approx(alone, abs=1e-5)
    alike = together @ together.T
    assert alike[0, 1] > 0.5 > 0.2 > alike[0, 2]
