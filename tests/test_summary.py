"""One number for one thing: the command line's summary and the pages read the same views and say the same."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from dashboard import queries
from dashboard.queries import Selection
from engine.data.results import import_results
from engine.statistics.estimate import Estimate
from engine.statistics.groups import accuracy_by_group
from engine.statistics.summary import summary
from engine.store import database

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
    assert [(r["who"], r["words_mean"]["n"]) for r in lengths.to_dicts()] == [("base", 3), ("tuned", 3)]
    assert prompts.select("prompt", "difference").rows() == [("How?", 2), ("When?", 0), ("Why?", -2)]
