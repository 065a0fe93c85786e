"""The benchmarks run, and both sides of each comparison compute the same: no thresholds on time."""

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks import engine_sides, plain_sides, prepare
from benchmarks.measure import Measured, Task, from_steps
from benchmarks.plan import NO_TRL, STAGES, Settings, stages
from benchmarks.results import Results, break_even, rows_of
from benchmarks.workloads import STARTER, Sizes, stated

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
CALLS = {"engine_sides:reward": engine_sides.reward, "plain_sides:reward": plain_sides.reward}
TRL = Path(sys.prefix) / "bench"  # where run.sh installs it


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> dict[str, Any]:
    """What `bench --quick` stores, with a two-layer model in place of the embedded one."""
    cache, trl = tmp_path_factory.mktemp("bench") / "cache", str(TRL) if TRL.is_dir() else ""
    environment = {**os.environ, "PREFSCOPE_CACHE": str(cache), "PYTHONPATH": trl, "OMP_NUM_THREADS": "1"}
    options = ["--quick", "--busy", "--anchor", "best", "--batch-size", "4", "--model", str(tiny_llama)]
    command = [sys.executable, "-m", "tests.benchmarks", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    stored = list((cache / "benchmarks").iterdir())
    assert len(stored) == 1, "the working folder is gone"
    found: dict[str, Any] = json.loads(stored[0].read_text())
    return found


@pytest.mark.timeout(1800)
def test_every_stage_has_a_row_of_finite_numbers(quick: dict[str, Any]) -> None:
    assert {row["stage"] for row in quick["rows"]} == set(STAGES)
    for row in quick["rows"]:
        assert all(math.isfinite(v) for v in row.values() if isinstance(v, float))
        assert row["our_speed"] > 0
        assert row["anchor_speed"] > 0
        assert row["our_peak_bytes"] > 10**7


@pytest.mark.timeout(1800)
def test_both_sides_have_the_same_losses_before_and_after_the_first_update(quick: dict[str, Any]) -> None:
    rows = [row for row in quick["rows"] if row["stage"] in ("reward", "dpo")]
    assert {row["anchor"].startswith("TRL") for row in rows} == {TRL.is_dir()}
    for row in rows:
        for name in ("loss 1, fp32", "loss 2, fp32"):
            assert row["checks"][name][0] == pytest.approx(row["checks"][name][1], abs=1e-4)


def test_without_trl_a_plain_loop_with_the_same_losses_stands_in_for_it(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(tmp_path / "cache"))  # our side sets another
    stage = stages(Settings("fp32", "off", trl=False))["reward"]
    assert stage.rows == (("Prefscope", NO_TRL),)
    (tmp_path / "starter").mkdir()
    settings = {"model": str(tiny_llama), "name": "starter", "file": str(STARTER.file), "part": "all", "sizes": asdict(Sizes(4, 4, 4, 4))}
    task = Task("", str(tmp_path / "starter"), str(tmp_path / "models"), settings, batch_size=4, split="train_check")
    prepare.save_models(task)
    prepare.encode(task)
    ours, plain = (CALLS[side.call](replace(task, settings=side.settings)).checks for side in stage.checked)
    assert plain["loss 1"] != pytest.approx(plain["loss 2"], abs=1e-4)
    assert plain == pytest.approx(ours, abs=1e-4)


@pytest.mark.timeout(1800)
def test_both_sides_give_the_same_rewards_in_fp32(quick: dict[str, Any]) -> None:
    row = next(r for r in quick["rows"] if (r["ours"], r["anchor"]) == ("Prefscope, fp32", "pipeline, fp32"))
    assert row["checks"]["largest difference"][0] < 1e-4


@pytest.mark.timeout(1800)
def test_what_is_stored_says_on_which_machine_and_with_which_versions(quick: dict[str, Any]) -> None:
    assert {"machine", "processor", "versions", "options", "flop_per_second", "began"} <= set(quick)
    assert not quick["problems"]


def test_warm_up_is_what_the_first_steps_took_beyond_their_share() -> None:
    """Steps of 10, 2 and 4 s over 100, 100 and 200 tokens: 6 s for 300 tokens, so the first should have taken 2 s and took 8 more.

    400 tokens in three steps of 4 pairs are 33.3 tokens a pair, so the 300 timed tokens are 9 pairs.
    """
    found = from_steps([10.0, 2.0, 4.0], [100, 100, 200], 1, 4)
    assert found == pytest.approx({"units": 9.0, "tokens": 300, "seconds": 6.0, "warmup_seconds": 8.0})


def test_a_warm_up_pays_after_the_steps_that_win_it_back() -> None:
    """8 pairs at 4 and at 1 pairs/s are 2 and 8 s a step: 30 s of warm-up are won back in 5 steps."""
    assert break_even((4.0, 1.0), (30.0, 0.0), 8) == 5
    assert break_even((1.0, 4.0), (30.0, 0.0), 8) is None


def test_a_row_compares_medians() -> None:
    stage, results = stages(Settings("fp32", "off"))["import"], Results()
    results.limits.append(Measured(1, 1, 1, about={"flop_per_second": 1e9, "linear_parameters": 1000}))
    for side, seconds in (("Prefscope", (1.0, 2.0, 9.0)), ("datasets, unchecked", (4.0, 8.0, 2.0))):
        for one in seconds:
            results.add("import", "starter", side, Measured(8, 0, one))
    (row,) = rows_of(stage, "starter", results, 8)
    assert (row.our_speed, row.anchor_speed, row.ratio, row.repetitions) == (4.0, 2.0, 2.0, 3)


def test_a_part_of_a_file_can_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.touch()
    assert stated(f"multi={file}:multi").part == "multi"
    assert stated(f"everything={file}").part == "all"
    with pytest.raises(ValueError, match="expected NAME=FILE"):
        stated("nowhere=absent.jsonl")


def test_no_other_part_of_the_product_imports_trl() -> None:
    sources = [
        p
        for folder in ("engine", "dashboard", "tests")
        for p in (ROOT / folder).rglob("*.py")
        if p.name != "trl_sides.py" and p.parent.name != "gpu"
    ]
    assert not [p for p in sources if any(line.strip().startswith(("import trl", "from trl")) for line in p.read_text().splitlines())]


def test_a_bench_with_one_anchor_trains_on_two_sides() -> None:
    """Both still compare their losses on one batch, uncompiled."""
    dpo = stages(Settings("bf16", "on", anchor="defaults", trl=True))["dpo"]
    assert [side.name for side in dpo.sides] == ["Prefscope", "TRL, defaults"] == [*dpo.rows[0]]
    assert [side.name for side in dpo.checked] == ["Prefscope, not compiled", "TRL, defaults"]
