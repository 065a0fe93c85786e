"""A cache as the engine would leave it after the whole starter experiment, with seeded numbers instead of training."""

import json
from pathlib import Path

import numpy as np

from engine.data.datasets_io import write_word_counts
from engine.data.records import PreferencePair, Turn, digest, prompt_row, text_row
from engine.settings.config import EMBEDDED_MODEL, EmbedConfig, GenerateConfig, PolicyConfig, RewardConfig, RunConfig, ScoreConfig
from engine.store import database, rundir
from engine.store.rundir import RunDir
from engine.store.status import State, Status

DATASET = "kitchen-0a1b2c3d"
TOPICS = ("bread", "a bicycle chain", "a cover letter", "tomato seedlings", "a noisy neighbour", "train tickets", "a stuck zip", "sleep")
ASKS = (
    "How do I start with {}?",
    "What usually goes wrong with {}?",
    "Explain {} to a ten-year-old.",
    "Is it worth paying somebody for {}?",
)
GOOD = (
    "Begin with {}: gather what you need, work slowly, and check the result after each step. If it fails, change one thing and try again."
)
BAD = "With {} you should honestly just guess. Many people guess about {} every day and nothing bad ever happens to them, so do not worry."
CHINESE = (
    ("怎样学会做面包？", "先准备面粉、酵母和温水,揉成光滑的面团,发酵一小时后再放进烤箱。", "随便做一做就好。"),
    ("怎么修理自行车的链条？", "把自行车倒过来,清洗链条,检查磨损,然后涂上润滑油。", "买一辆新的自行车,修理链条没有意义。"),
)
LIMIT = 28  # new tokens of an answer
TINY = "<b>Use $5$ & a %{y} pan</b><script>alert(1)</script>"  # what an untrusted answer may look like


def pairs() -> list[PreferencePair]:
    asked = [(ask.format(topic), topic, i) for i, (ask, topic) in enumerate((a, t) for a in ASKS for t in TOPICS)]
    rows = [(q, GOOD.format(t) + " Take your time." * (i % 7), BAD.format(t, t) + " Trust me." * (i % 5)) for q, t, i in asked]
    rows += [
        *CHINESE,
        ("Which pan is best for eggs?", TINY, "A wet one."),
        ("Tell me a short story.", "Once there was an oven." * 12, "No."),
    ]
    kinds = ("general", "advice", "sensitive")
    return [PreferencePair((Turn("user", q),), c, r, kinds[i % 3], "kitchen.jsonl", i + 1) for i, (q, c, r) in enumerate(rows)]


def write_dataset(cache: Path, rows: list[PreferencePair]) -> None:
    folder = cache / "datasets" / DATASET
    splits = {"train": len(rows[:6]), "validation": len(rows) - 6}
    about = {
        "dataset_id": DATASET,
        "name": "kitchen",
        "format": "align-anything",
        "source": "kitchen.jsonl",
        "licence": "MIT",
        "sha256": "0" * 64,
    }
    counts = {"kept": len(rows), "dropped": 2, "dropped_by": json.dumps({"equal_responses": 2}), "splits": json.dumps(splits)}
    rundir.write_table(folder, "datasets", [{**about, **counts, "created_at": "2026-01-01T00:00:00"}])
    rundir.write_table(folder, "prompts", [prompt_row(p.turns) for p in rows])
    rundir.write_table(folder, "texts", unique_texts([t for p in rows for t in (p.chosen, p.rejected)]))
    rundir.write_table(folder, "pairs", [pair_row(p, "train" if i < 6 else "validation") for i, p in enumerate(rows)])
    write_word_counts(folder, DATASET, [("train" if i < 6 else "validation", p.chosen, p.rejected) for i, p in enumerate(rows)])


def unique_texts(texts: list[str]) -> list[dict[str, str | int]]:
    return [text_row(t) for t in dict.fromkeys(texts)]


def pair_row(pair: PreferencePair, split: str) -> dict[str, object]:
    ids = {"pair_id": pair.pair_id, "dataset_id": DATASET, "split": split, "prompt_id": pair.prompt_id}
    texts = {"chosen_id": text_row(pair.chosen)["text_id"], "rejected_id": text_row(pair.rejected)["text_id"]}
    return {**ids, **texts, "prompt_type": pair.prompt_type, "source": pair.source, "line": pair.line}


def write_run(cache: Path, run_id: str, config: RunConfig, state: State = State.DONE) -> RunDir:
    run = RunDir(cache / "runs" / run_id)
    run.write_config(config)
    ended = Status(
        state=state, step=80, steps=80, device="cpu", versions={"torch": "2.13.0"},
        submitted_at="2026-01-02T00:00:00", started_at="2026-01-02T00:00:01", finished_at="2026-01-02T01:00:00",
    )  # fmt: skip
    run.write_status(ended)
    return run


def write_curves(run: RunDir, rng: np.random.Generator, steps: int, policy: bool) -> None:
    for step in range(1, steps + 1):
        done, noise = step / steps, rng.normal(0, 0.05)
        rate = 2e-5 * min(1, done / 0.05) * (1 + np.cos(np.pi * done)) / 2
        own: dict[str, float] = {"accuracy": min(1.0, 0.5 + 0.2 * done)}
        if policy:
            chosen, rejected = -0.3 * done + noise, -1.2 * done + noise
            own = {
                "rewards/chosen": chosen,
                "rewards/rejected": rejected,
                "rewards/margins": chosen - rejected,
                "rewards/sum": chosen + rejected,
            }
        run.append_metrics(step, "train", {"loss": 0.69 - 0.2 * done + noise, "learning_rate": float(rate), **own}, step * 900, step * 4.0)
        if step % (steps // 4) == 0 and not policy:
            run.append_metrics(step, "validation", {"accuracy": 0.5 + 0.2 * done, "reward_mean": 0.1, "n": 30.0}, step * 900, step * 4.0)


def model_row(run: RunDir, kind: str) -> dict[str, object]:
    return {
        "model_id": run.id,
        "kind": kind,
        "base_model": EMBEDDED_MODEL,
        "run_id": run.id,
        "checkpoint_step": 80,
        "path": f"runs/{run.id}/model",
    }


def scorer_row(run: RunDir, kind: str, name: str) -> dict[str, object]:
    return {
        "scorer_id": digest(run.id, kind),
        "name": name,
        "kind": kind,
        "model_id": run.id if kind == "head" else EMBEDDED_MODEL,
        "precision": "fp32",
        "max_tokens": 512,
        "seed": None if kind == "head" else 0,
    }


def write_answers(cache: Path, run_id: str, kind: str, rows: list[PreferencePair], rng: np.random.Generator, model: str) -> dict[str, str]:
    run = write_run(cache, run_id, GenerateConfig(name=f"{kind} answers", dataset=DATASET, policy=model))
    generator = digest("generator", kind)
    answers = {p.prompt_id: answer(p, kind, i) for i, p in enumerate(rows)}
    rundir.write_table(run.path, "texts", unique_texts(list(answers.values())))
    row = {
        "generator_id": generator,
        "model_id": model,
        "name": f"smollm2 ({kind})",
        "kind": kind,
        "settings": json.dumps({"temperature": 0}),
    }
    rundir.write_table(run.path, "generators", [row])
    generations = [
        {"generation_id": digest(generator, p), "generator_id": generator, "prompt_id": p, "text_id": text_row(t)["text_id"]}
        | {"tokens": min(LIMIT, int(text_row(t)["words"]) + int(rng.integers(1, 9))), "seconds": 0.4}
        for p, t in answers.items()
    ]
    generations = [g | {"finish_reason": "length" if g["tokens"] == LIMIT else "stop"} for g in generations]
    rundir.write_table(run.path, "generations", generations)
    return answers


def answer(pair: PreferencePair, kind: str, i: int) -> str:
    question = pair.turns[-1].content
    return (
        f"{question} Let us see, step by step. " + "Take care. " * (i % 5 + 3)
        if kind == "tuned"
        else "Sure! " + "Well, it depends. " * (i % 9 + 1)
    )


def write_scores(
    cache: Path, reward: RunDir, rows: list[PreferencePair], answers: dict[str, dict[str, str]], rng: np.random.Generator
) -> None:
    run = write_run(
        cache, "20260102-000600-score", ScoreConfig(name="scores", dataset=DATASET, reward_models=(reward.id,), splits=("validation",))
    )
    scorers = [scorer_row(reward, "head", "reward model"), scorer_row(reward, "untrained_head", "untrained reward model")]
    shifts = {
        "head": {"chosen": 0.9, "rejected": -0.6, "base": -0.2, "tuned": 0.7},
        "untrained_head": dict.fromkeys(("chosen", "rejected", "base", "tuned"), 0.4),
    }
    rundir.write_table(run.path, "scorers", scorers)
    texts = [(p.prompt_id, who, t) for p in rows for who, t in (("chosen", p.chosen), ("rejected", p.rejected))]
    texts += [(prompt, who, t) for who, answered in answers.items() for prompt, t in answered.items()]
    rewards = {
        (s["scorer_id"], prompt, text_row(t)["text_id"]): float(rng.normal(shifts[str(s["kind"])][who], 1.2))
        for s in scorers
        for prompt, who, t in texts
    }
    columns = "scorer_id", "prompt_id", "text_id"
    rundir.write_table(
        run.path,
        "rewards",
        [{**dict(zip(columns, k, strict=True)), "reward": v, "tokens": 40, "truncated": False, "record": 0} for k, v in rewards.items()],
    )


def write_study(cache: Path) -> None:
    """Batch 4 with accuracies 0.6 and 0.7, batch 16 with 0.5 and 0.5, and batch 64, which did not fit."""
    row = {"study_id": "batch", "title": "What the batch size changes", "definition": "{}", "created_at": "2026-01-03T00:00:00"}
    rundir.write_table(cache / "studies" / "batch", "studies", [row])
    for number, (batch, seed, accuracy) in enumerate([(4, 0, 0.6), (4, 1, 0.7), (16, 0, 0.5), (16, 1, 0.5), (64, 0, None)]):
        config = RewardConfig(
            name=f"batch {batch}, seed {seed}", dataset=DATASET, study="batch", configuration=f"batch {batch}", seed=seed, batch_size=batch
        )
        run = write_run(cache, f"20260103-00000{number}-study", config, State.DONE if accuracy else State.FAILED)
        if accuracy:
            run.update(peak_bytes=2_000_000_000)
            for step, value in ((0, 0.5), (10, accuracy)):
                run.append_metrics(step, "validation", {"accuracy": value, "reward_mean": 0.1, "reward_std": 1.0, "n": 30.0}, 0, step * 2.0)
        else:
            run.update(reason="did not fit", error="needs about 9.1 GB of memory, 4.0 GB are free")


def fill(cache: Path, steps: int = 80, given: list[PreferencePair] | None = None) -> Path:
    """One dataset, two reward runs, a policy run, two generate runs, a score run and an embed run; then the database."""
    rng, rows = np.random.default_rng(7), given or pairs()
    write_dataset(cache, rows)
    held_out = rows[6:]
    small = write_run(cache, "20260102-000100-rm", RewardConfig(name="reward model", dataset=DATASET, batch_size=4))
    large = write_run(cache, "20260102-000050-rm16", RewardConfig(name="reward model, batch 16", dataset=DATASET, batch_size=16))
    dpo = write_run(cache, "20260102-000200-dpo", PolicyConfig(name="dpo", dataset=DATASET))
    for run, n in ((small, steps), (large, steps // 2), (dpo, steps)):
        write_curves(run, rng, n, policy=run == dpo)
        rundir.write_table(run.path, "models", [model_row(run, "policy" if run == dpo else "reward")])
    answers = {"base": write_answers(cache, "20260102-000300-base", "base", held_out, rng, EMBEDDED_MODEL)}
    answers["tuned"] = write_answers(cache, "20260102-000400-tuned", "tuned", held_out, rng, dpo.id)
    write_scores(cache, small, held_out, answers, rng)
    embed = write_run(cache, "20260102-000700-map", EmbedConfig(name="maps", dataset=DATASET))
    ids = [str(t["text_id"]) for t in unique_texts([t for p in held_out for t in (p.chosen, p.rejected)])]
    points = [
        {"map_id": f"{embed.id}:{m}", "text_id": t, "x": float(rng.normal()), "y": float(rng.normal())}
        for m in ("umap", "tsne", "pca")
        for t in ids
    ]
    rundir.write_table(embed.path, "map_points", points)
    write_study(cache)
    database.rebuild(cache)
    return cache
