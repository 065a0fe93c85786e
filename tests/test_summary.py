"""One number for one thing: the command line's summary and the pages read the same views and say the same."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filled import DATASET, fill, write_run
from tiny import executed, reward_config, table

from dashboard import queries
from dashboard.queries import Selection
from engine.data.results import import_results
from engine.settings.config import GenerateConfig
from engine.statistics.estimate import Estimate
from engine.statistics.groups import accuracy_by_group
from engine.statistics.summary import as_text, summary
from engine.store import database
from engine.store.rundir import RunDir, take_lock, write_table
from engine.store.status import State

SIDES = ("chosen", "rejected", "base", "dpo")


def measured(question: str, chosen: float, rejected: float, base: float, dpo: float) -> dict[str, object]:
    """One line of a results file; every prompt has the same four texts, whose rewards depend on the prompt."""
    rewards = dict(zip(SIDES, (chosen, rejected, base, dpo), strict=True))
    return {"prompt": question, **{f"response_{s}": f"The {s} text." for s in SIDES}, **{f"reward_{s}": r for s, r in rewards.items()}}


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three prompts with the same texts, the first measured three times: right and won, wrong and lost, a tie and a tie."""
    folder = tmp_path_factory.mktemp("awkward")
    lines = [
        *(measured("How?", chosen=1 + i, rejected=0, base=0, dpo=1 + i) for i in range(3)),
        measured("Why?", chosen=-1, rejected=0, base=1, dpo=-1),
        measured("When?", chosen=1, rejected=1, base=4, dpo=4),
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_results(folder / "cache", folder / "answers.jsonl")
    return folder / "cache"


def chosen_on(cache: Path) -> Selection:
    with database.reading(cache) as con:
        return queries.default_selection(con)


def test_pair_measured_three_times_is_one_pair_of_the_summary(awkward: Path) -> None:
    """Right, wrong, tie: 1.5 of 3. Every measurement counted as a pair: 3.5 of 5."""
    row = summary(awkward)["reward_models"][0]
    assert (row["n"], row["accuracy"].value, row["chosen_mean"].value) == (3, 0.5, (2 - 1 + 1) / 3)


def test_imported_generators_stand_under_policies(awkward: Path) -> None:
    """Won, lost, tie: 1.5 of 3; differences 2, −2, 0."""
    rows = summary(awkward)["policies"]
    assert [(r["name"], r["base"], r["n"], r["win_rate"].value, r["reward_difference"].value) for r in rows] == [
        ("dpo (answers)", "base (answers)", 3, 0.5, 0)
    ]


Compared = tuple[dict[str, Any], dict[str, Any]]  # a row of the summary, and what the pages show of the same


def reward_models(cache: Path) -> Iterator[Compared]:
    for row in summary(cache)["reward_models"]:
        with database.reading(cache) as con:
            shown = queries.reward_summary(con, Selection(dataset_id=row["dataset_id"], split=row["split"]), row["scorer_id"])
        yield row, shown.row(0, named=True)


def policies(cache: Path) -> Iterator[Compared]:
    chosen = chosen_on(cache)
    for row in summary(cache)["policies"]:
        judged = replace(chosen, trained_scorer=row["scorer_id"], base_generator=row["base_id"], tuned_generator=row["tuned_id"])
        with database.reading(cache) as con:
            yield row, queries.win_rates(con, judged).row(-1, named=True)
            for answers in queries.answer_length_summary(con, judged).iter_rows(named=True):
                yield row["answers"][answers["who"]], answers


@pytest.mark.parametrize("made", ["awkward", "filled_cache", "toy_cache"])
def test_summary_and_pages_say_the_same_numbers(made: str, request: pytest.FixtureRequest) -> None:
    """Values, intervals, n and methods."""
    cache = request.getfixturevalue(made)
    compared = [*reward_models(cache), *policies(cache)]
    assert len(compared) >= 2
    for row, shown in compared:
        estimates = {name: asdict(value) for name, value in row.items() if isinstance(value, Estimate) and name in shown}
        assert len(estimates) >= 2
        for name, estimate in estimates.items():
            assert estimate == pytest.approx(shown[name], nan_ok=True), name


def test_groups_count_a_pair_as_the_summary_does(awkward: Path) -> None:
    with database.reading(awkward) as con:
        rows = accuracy_by_group(con, "prompt_type").to_dicts()
    assert [Estimate(**r["accuracy"]) for r in rows] == [r["accuracy"] for r in summary(awkward)["reward_models"]]


def test_a_text_under_several_prompts_is_an_answer_to_each(awkward: Path) -> None:
    with database.reading(awkward) as con:
        lengths = queries.answer_length_summary(con, chosen_on(awkward))
        prompts = queries.prompts(con, chosen_on(awkward), order="prompt")
        texts = queries.prompt_lines(con, chosen_on(awkward), tuple(prompts["prompt_id"]))
    assert [(r["who"], r["words_mean"]["n"]) for r in lengths.to_dicts()] == [("base", 3), ("tuned", 3)]
    assert dict(zip(texts["prompt"], prompts["difference"], strict=True)) == {"How?": 2, "When?": 0, "Why?": -2}


# What is not compared, and what is not shown yet


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """The whole experiment, of its own, to be changed."""
    return fill(tmp_path / "cache")


def with_settings(cache: Path, run: str, **settings: object) -> None:
    folder = cache / "runs" / run
    write_table(folder, "generators", table(RunDir(folder), "generators").with_columns(settings=pl.lit(json.dumps(settings))))
    database.ingest(cache, folder)


def test_answers_under_other_settings_are_compared_only_when_asked_for(scored: Path) -> None:
    with_settings(scored, "20260102-000300-base", temperature=0, max_new_tokens=96)
    with_settings(scored, "20260102-000400-tuned", temperature=0, max_new_tokens=200)
    found = summary(scored)
    assert (found["policies"], found["other_settings"][0]["differs"]) == ([], "max_new_tokens 96 and 200")
    assert "smollm2 (tuned) and smollm2 (base) answered under other settings, not compared (--all-settings compares them)" in as_text(found)
    assert {p["differs"] for p in summary(scored, all_settings=True)["policies"]} == {"max_new_tokens 96 and 200"}


def test_seed_and_batch_size_do_not_make_answers_incomparable(scored: Path) -> None:
    with_settings(scored, "20260102-000300-base", temperature=0.7, seed=1, batch_size=4)
    with_settings(scored, "20260102-000400-tuned", temperature=0.7, seed=2, batch_size=8)
    assert len(summary(scored)["policies"]) == 2


def test_pages_open_on_answers_of_equal_settings(scored: Path) -> None:
    """Further base answers, which would come first, are shorter by their settings."""
    older = chosen_on(scored).base_generator
    run = write_run(scored, "20260102-000900-short", GenerateConfig(name="short", dataset=DATASET, policy="m"))
    for name in ("generators", "generations", "texts"):
        rows = table(RunDir(scored / "runs" / "20260102-000300-base"), name)
        settings = pl.lit('{"temperature": 0, "max_new_tokens": 9}')
        new = {"generator_id": pl.lit("0"), "generation_id": pl.col("generation_id") + "0", "settings": settings}
        changes = {k: v for k, v in new.items() if k in rows.columns}
        write_table(run.path, name, rows.with_columns(**changes))
    database.ingest(scored, run.path)
    assert chosen_on(scored).base_generator == older


def score_run(cache: Path) -> RunDir:
    return RunDir(cache / "runs" / "20260102-000600-score")


def keep_rewards(cache: Path, kept: pl.Expr) -> pl.DataFrame:
    """Leave some of the score run's rewards, as if it had come no further; all that it had."""
    rewards = table(score_run(cache), "rewards")
    write_table(score_run(cache).path, "rewards", rewards.filter(kept))
    database.rebuild(cache)
    return rewards


def test_no_number_is_made_of_answers_that_are_scored_in_part_until_all_are(scored: Path) -> None:
    """Of the trained scorer one tuned answer is there: a win rate of n = 1 and a box of one would be drawn of it."""
    chosen = chosen_on(scored)
    with database.reading(scored) as con:
        answers = con.execute("select prompt_id, text_id from answers where generator_id = ?", [chosen.tuned_generator]).fetchall()
    late = pl.col("text_id").is_in([text for _, text in answers[1:]]) & (pl.col("scorer_id") == chosen.trained_scorer)
    everything = keep_rewards(scored, ~late)
    with database.reading(scored) as con:
        assert queries.win_rates(con, chosen)["judge"].to_list() == ["untrained"]
        boxes = queries.generators_under_scorers(con, chosen)
        missing = queries.missing_scores(con, chosen).rows()
    n = len(answers)
    assert boxes.filter(facet="trained")["series"].to_list() == ["base"]
    assert missing == [("reward model", "smollm2 (tuned)", n - len({t for _, t in answers[1:]}), n)]
    assert {p["scorer"] for p in summary(scored)["policies"]} == {"untrained"}
    write_table(score_run(scored).path, "rewards", everything)
    database.ingest(scored, score_run(scored).path)
    assert {p["n"] for p in summary(scored)["policies"]} == {n}


def test_pages_open_on_a_scorer_that_has_scored_all_pairs(scored: Path) -> None:
    trained = chosen_on(scored).trained_scorer
    keep_rewards(scored, (pl.col("scorer_id") != trained) | (pl.int_range(pl.len()) % 7 > 0))
    assert chosen_on(scored).trained_scorer is None
    assert [r["kind"] for r in summary(scored)["reward_models"]] == ["untrained_head"]


def test_summary_says_how_far_a_score_run_is(scored: Path) -> None:
    run = score_run(scored)
    lock = take_lock(run.path / "lock")
    run.update(state=State.RUNNING, stage="scoring with “reward model”", step=120, steps=400)
    assert "scoring with “reward model”: 120 of 400 different responses" in as_text(summary(scored))
    assert lock is not None
    os.close(lock)


def test_choice_of_pairs_that_a_run_measures_is_complete(tiny_llama: Path, dataset: str, cache: Path) -> None:
    """Three of the six validation pairs are all that the run is asked to measure: n says it."""
    executed(cache, reward_config(dataset, tiny_llama, validation_pairs=3), recorded=True)
    assert {(r["kind"], r["n"]) for r in summary(cache)["reward_models"]} == {("untrained_head", 3), ("head", 3)}


# Answers that were cut, and two scorers side by side


def test_answers_that_the_token_limit_cut_are_counted_beside_lengths_and_win_rates(filled_cache: Path) -> None:
    """Answers that reach the limit of 28 tokens: counted from the table of answers."""
    with database.reading(filled_cache) as con:
        query = "select kind, avg(cast(tokens = 28 as integer)) from generations join generators using (generator_id) group by kind"
        shares = dict(con.execute(query).fetchall())
        wins = queries.win_rates(con, chosen_on(filled_cache)).row(0, named=True)
    rows = summary(filled_cache)["policies"]
    assert 0 < shares["tuned"] < 1
    for who in ("base", "tuned"):
        assert {r["answers"][who]["share_cut"].value for r in rows} == {wins[f"{who}_cut"]["value"]} == {shares[who]}
    assert f"{shares['base']:.1%} → {shares['tuned']:.1%}" in as_text(summary(filled_cache))
    assert "≥" in as_text(summary(filled_cache))


def test_nobody_knows_which_imported_answers_were_cut(awkward: Path) -> None:
    row = summary(awkward)["policies"][0]
    assert row["answers"]["base"]["share_cut"].n == 0
    assert as_text(summary(awkward)).count("unknown → unknown") == 2  # tokens and cut


def test_trained_and_untrained_scorer_are_compared_on_the_same_pairs(filled_cache: Path) -> None:
    rows = {r["kind"]: r for r in summary(filled_cache)["reward_models"] if r["split"] == "validation"}
    gained = rows["head"]["accuracy_gain"]
    assert gained.value == pytest.approx(rows["head"]["accuracy"].value - rows["untrained_head"]["accuracy"].value)
    assert gained.low < gained.value < gained.high
    assert "accuracy_gain" not in rows["untrained_head"]
    with database.reading(filled_cache) as con:
        shown = queries.accuracy_gain(con, chosen_on(filled_cache)).row(0, named=True)
    assert Estimate(**shown["accuracy_gain"]) == gained
    assert "accuracy gained" in as_text(summary(filled_cache))
