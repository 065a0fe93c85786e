"""Reward models on groups of pairs: the common one, one for each group, and one that is told the group, side by side."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from filled import DATASET, fill, model_row, pairs, scorer_row, write_run

from dashboard import queries
from dashboard.figures import find, render
from engine.__main__ import main
from engine.data.records import PreferencePair, text_id
from engine.settings.config import RewardConfig
from engine.statistics.groups import accuracy_by_group
from engine.store import database, rundir


def write_model(cache: Path, run_id: str, right_on: tuple[str, ...], **grouped: object) -> None:
    """A reward run whose model ranks the pairs of some groups rightly and all others the wrong way round."""
    run = write_run(cache, run_id, RewardConfig(name=run_id[-6:], dataset=DATASET, **grouped))
    scorer = scorer_row(run, "head", run_id[-6:])
    rundir.write_table(run.path, "models", [model_row(run, "reward")])
    rundir.write_table(run.path, "scorers", [scorer])
    rewards = [row for p in pairs()[6:] for row in rewards_of(str(scorer["scorer_id"]), p, p.prompt_type in right_on)]
    rundir.write_table(run.path, "rewards", rewards)


def rewards_of(scorer_id: str, pair: PreferencePair, right: bool) -> list[dict[str, object]]:
    values = ((pair.chosen, float(right)), (pair.rejected, float(not right)))
    return [{"scorer_id": scorer_id, "prompt_id": pair.prompt_id, "text_id": text_id(t), "reward": r, "record": 0} for t, r in values]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three groups of ten validation pairs; a model for one of them, and one that is told the group."""
    cache = fill(tmp_path_factory.mktemp("groups") / "cache")
    write_model(cache, "20260104-000100-advice", ("advice",), group_by="prompt_type", group="advice")
    write_model(cache, "20260104-000200-toldit", ("advice", "general"), group_by="prompt_type", conditional=True)
    database.rebuild(cache)
    return cache


def test_every_model_has_its_accuracy_on_every_group(cache: Path) -> None:
    """The model of the group `advice` is right there and wrong elsewhere; the one that is told the group is wrong on `sensitive` only."""
    with database.reading(cache) as con:
        rows = accuracy_by_group(con, "prompt_type", DATASET, "validation").to_dicts()
    found = {(r["model"], r["group"]): (r["accuracy"]["value"], r["n"]) for r in rows if r["model"] in ("group", "conditional")}
    assert found == {
        ("group", "advice"): (1, 10),
        ("group", "general"): (0, 10),
        ("group", "sensitive"): (0, 10),
        ("conditional", "advice"): (1, 10),
        ("conditional", "general"): (1, 10),
        ("conditional", "sensitive"): (0, 10),
    }


def test_accuracy_has_its_wilson_interval(cache: Path) -> None:
    """Ten of ten: the lower end is n / (n + z²) = 10 / 13.84 = 0.722, the upper end 1."""
    with database.reading(cache) as con:
        rows = accuracy_by_group(con, "prompt_type", DATASET, "validation").to_dicts()
    row = next(r for r in rows if r["model"] == "group" and r["group"] == "advice")
    found = row["accuracy"]
    assert (found["low"], found["high"], row["trained_on"]) == (pytest.approx(0.722, abs=1e-3), 1, "advice")
    assert found["method"] == "Wilson's interval"


def test_common_model_stands_before_group_and_conditional_ones_in_every_group(cache: Path) -> None:
    with database.reading(cache) as con:
        rows = accuracy_by_group(con, "prompt_type", DATASET, "validation")
    order = [[r["model"] for r in part.to_dicts()] for _, part in rows.group_by("group", maintain_order=True)]
    assert order == [["untrained", "common", "group", "conditional"]] * 3


def test_groups_of_a_field_that_is_empty_are_one_group_without_a_name(cache: Path, tmp_path: Path) -> None:
    copy = fill(tmp_path / "cache", given=[replace(p, source=None) for p in pairs()])
    with database.reading(copy) as con:
        rows = accuracy_by_group(con, "source", DATASET, "validation")
    assert rows["group"].unique().to_list() == [""]
    assert rows["n"].unique().to_list() == [30]


def test_page_shows_the_groups_of_the_field_that_a_run_was_trained_by(cache: Path) -> None:
    with database.reading(cache) as con:
        chosen = queries.default_selection(con)
        shown = queries.accuracy_by_group(con, chosen)
    assert chosen.group_field == "prompt_type"
    assert set(shown["model"]) == {"untrained", "common", "group", "conditional"}


def test_figure_draws_one_mark_for_each_model_and_group(cache: Path) -> None:
    with database.reading(cache) as con:
        plot = render(find("group_accuracy"), con, queries.default_selection(con))
    drawn = {trace.name: list(trace.y) for trace in plot.data}
    assert drawn["advice (only advice)"] == [1, 0, 0]
    assert drawn["toldit (told the group)"] == [1, 1, 0]
    assert list(plot.layout.xaxis.ticktext) == ["advice", "general", "sensitive"]


def test_command_prints_the_table_and_refuses_another_field(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
    assert main(["groups", "--field", "prompt_type", "--json"]) == 0
    assert {row["group"] for row in json.loads(capsys.readouterr().out)} == {"advice", "general", "sensitive"}
    assert main(["groups", "--field", "source"]) == 0
    assert "kitchen.jsonl" in capsys.readouterr().out
    assert main(["groups", "--field", "colour"]) == 1
    assert "field is 'colour', expected one of prompt_type, source" in capsys.readouterr().err
