"""Results made elsewhere become the same tables: every shape recognised by rule, nothing removed or repeated in silence."""

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.datasets_io import import_dataset
from engine.data.records import Turn, prompt_id, text_id
from engine.data.results import ResultsImport, import_results, recognise
from engine.data.results.dialogue import prompt_of, split_dialogues, unwrapped
from engine.errors import DataError
from engine.store import database

SHARED = Path(__file__).parents[2] / "shared" / "data" / "results"
SYSTEM = "system\nYou are a patient gardener.\n"
Q = "How often should I water mint?"
ACCURACY = """
    select count(*) as n, sum(if(c.reward > r.reward, 1, 0)) as higher, sum(if(c.reward = r.reward, 1, 0)) as equal
    from pairs p
    join (select scorer_id, prompt_id, text_id, avg(reward) as reward from rewards group by all) c
        on c.prompt_id = p.prompt_id and c.text_id = p.chosen_id
    join (select scorer_id, prompt_id, text_id, avg(reward) as reward from rewards group by all) r
        on r.prompt_id = p.prompt_id and r.text_id = p.rejected_id and r.scorer_id = c.scorer_id
    where p.dataset_id = $dataset
"""
PAIR = {"better_response": "Daily.", "worse_response": "Never."}
SHAPES: dict[str, dict[str, Any]] = {
    "nested": {"better": {"score": 1.5, "prompt": Q, "response": "Daily."}, "worse": {"score": -0.5, "prompt": Q, "response": "Never."}},
    "scored generations": {"question": Q, "prediction": "When it is dry.", "reward_score": 0.75, **PAIR},
    "evaluated pairs": {
        "better_response": f"{SYSTEM}user\n{Q}\nassistant\nDaily.\n",
        "worse_response": f"{SYSTEM}user\n{Q}\nassistant\nNever.\n",
        "better_reward": 1.5,
        "worse_reward": -0.5,
    },
    "wide": {"prompt": Q, "response_raw": "Daily.", "response_dpo": "Never.", "reward_raw": 1.5, "reward_dpo": -0.5},
    "long": {"question": Q, "response": "Daily.", "source": "dpo", "scorer": "judge", "reward": 1.5},
}


def written(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def imported(tmp_path: Path, *records: dict[str, Any], **options: Any) -> ResultsImport:
    return import_results(tmp_path / "cache", written(tmp_path / "answers.jsonl", *records), **options)


def rows(cache: Path, query: str, **values: object) -> list[tuple[Any, ...]]:
    with database.reading(cache) as con:
        return database.frame(con, query, values).rows()


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_recognised_by_its_keys(name: str) -> None:
    assert recognise(SHAPES[name]).name == name


def test_a_record_of_no_shape_is_refused_with_the_keys_found_and_expected() -> None:
    with pytest.raises(DataError, match=r"has the keys chosen, label: expected nested \(.*long \("):
        recognise({"chosen": "a", "label": 1})


@pytest.mark.parametrize("name", ["nested", "evaluated pairs"])
def test_pairs_with_two_rewards_become_a_pair_and_the_rewards_of_one_scorer(tmp_path: Path, name: str) -> None:
    done = imported(tmp_path, SHAPES[name])
    assert (done.shape, done.counts["pairs"], done.generators) == (name, 1, ())
    assert rows(tmp_path / "cache", ACCURACY, dataset=done.import_id) == [(1, 1, 0)]
    assert rows(tmp_path / "cache", "select turns from prompts") == [(json.dumps([{"role": "user", "content": Q}]),)]


def test_scored_generations_become_a_pair_and_a_reward_of_the_prediction_only(tmp_path: Path) -> None:
    done = imported(tmp_path, SHAPES["scored generations"])
    assert done.counts["texts"] == 3
    assert (done.generators, done.scorers) == (("prediction (answers)",), ("reward_score (answers)",))
    query = "select text, reward, finish_reason from rewards join texts using (text_id) join generations using (text_id)"
    assert rows(tmp_path / "cache", query) == [("When it is dry.", 0.75, "imported")]


def test_a_wide_record_is_one_generation_and_reward_for_each_name(tmp_path: Path) -> None:
    done = imported(tmp_path, SHAPES["wide"], generator={"raw": "Base", "dpo": "DPO"}, scorer="Judge")
    assert "pairs" not in done.counts
    query = "select g.name, text, s.name, reward from generations join generators g using (generator_id) join texts using (text_id)"
    query += " join rewards using (prompt_id, text_id) join scorers s using (scorer_id) order by reward"
    assert rows(tmp_path / "cache", query) == [("DPO", "Never.", "Judge", -0.5), ("Base", "Daily.", "Judge", 1.5)]


def test_wide_names_may_stand_first_and_be_more_than_two(tmp_path: Path) -> None:
    record = {"question": Q} | {f"{n}_response": f"Answer {n}" for n in "abc"} | {f"{n}_score": i for i, n in enumerate("abc")}
    assert imported(tmp_path, record).generators == ("a (answers)", "b (answers)", "c (answers)")


def test_the_long_shape_pairs_chosen_with_rejected_and_takes_answers_without_a_reward(tmp_path: Path) -> None:
    long = [("Daily.", "chosen", 1.5), ("Never.", "rejected", -0.5), ("Ask it.", "dpo", None), ("Often.", "chosen", 1)]
    done = imported(tmp_path, *({"question": Q, "response": r, "source": s, "scorer": "judge", "reward": w} for r, s, w in long))
    assert {t: done.counts[t] for t in ("pairs", "generations", "rewards")} == {"pairs": 1, "generations": 1, "rewards": 3}
    assert (done.generators, done.scorers) == (("dpo",), ("judge",))
    assert "1 chosen or rejected responses have no counterpart to the same prompt: not in a pair" in done.notes


def test_csv_parquet_json_and_gzip_give_the_same_tables_as_json_lines(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": Q}]
    record = {"turns": json.dumps(turns), "response": "Daily.", "source": "dpo", "reward": 1.5}
    written(tmp_path / "a.jsonl", {**record, "turns": turns})
    (tmp_path / "a.json").write_text(json.dumps([record]))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    pl.DataFrame([{**record, "turns": turns}]).write_parquet(tmp_path / "a.parquet")
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([list(record), list(record.values())])
    done = [import_results(tmp_path / "cache", tmp_path / f"a.{kind}") for kind in ("jsonl", "json", "jsonl.gz", "parquet", "csv")]
    assert len({d.import_id for d in done}) == 5
    assert rows(tmp_path / "cache", "select prompt_id, text_id from generations") == [
        (prompt_id(tuple(Turn(**t) for t in turns)), text_id("Daily."))
    ]


# Decoded dialogues


def test_a_whole_dialogue_in_front_of_an_answer_is_removed_counted_and_kept_raw(tmp_path: Path) -> None:
    wrapped = f"{SYSTEM}user\n{Q}\nassistant\nWhen it is dry."
    done = imported(tmp_path, {**SHAPES["scored generations"], "prediction": wrapped})
    assert "1 of 1 prediction texts began with a decoded dialogue: removed, raw text kept" in done.notes
    assert pl.read_parquet(done.path / "raw_texts.parquet").rows() == [(text_id("When it is dry."), wrapped, 1)]


def test_a_cut_piece_of_the_dialogue_is_removed_when_the_file_shows_the_system_prompt(tmp_path: Path) -> None:
    other = "Can mint grow indoors?"
    done = imported(
        tmp_path,
        {"question": Q, "prediction": f"{SYSTEM}user\n{Q}\nassistant\nDaily.", "reward_score": 1},
        {"question": other, "prediction": f"gardener.\nuser\n{other}\nassistant\nYes.", "reward_score": 1},
        {"question": other, "prediction": "My assistant\nsays yes.", "reward_score": 1},
    )
    assert done.notes[0].startswith("2 of 3 prediction texts began with a decoded dialogue (1 of them with a cut piece of it): removed")
    assert {text for (text,) in rows(tmp_path / "cache", "select text from texts")} == {"Daily.", "Yes.", "My assistant\nsays yes."}


@given(question=st.text(min_size=1), answer=st.text(), cut=st.integers(min_value=0))
def test_wherever_the_dialogue_is_cut_the_answer_behind_it_is_found(question: str, answer: str, cut: int) -> None:
    wrapper = f"{SYSTEM}user\n{question}\nassistant\n"
    cut = min(cut, len(wrapper) - len("assistant\n"))
    found = unwrapped(wrapper[cut:] + answer, (Turn("user", question),), {"You are a patient gardener."})
    assert found == (answer, cut == 0)


def test_two_dialogues_share_their_turns_and_keep_their_own_answers() -> None:
    shared = f"{SYSTEM}user\nHi\nassistant\nHello\nuser\n{Q}\nassistant\n"
    turns = (Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("user", Q))
    assert split_dialogues(f"{shared}Daily.\n", f"{shared}Daily, or weekly.\n\n") == (turns, "Daily.", "Daily, or weekly.\n")
    assert prompt_of(shared) == turns


def test_responses_without_question_or_dialogue_are_refused_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no_prompt 1\n .*answers.jsonl line 1: the responses begin 'Daily.' and 'Never.', expected"):
        imported(tmp_path, {**PAIR, "better_reward": 1, "worse_reward": 0})


# Names, repeats, datasets


def test_a_given_name_is_one_generator_or_scorer_in_every_import(tmp_path: Path) -> None:
    for i, answer in enumerate(("Daily.", "Weekly.")):
        record = {**SHAPES["scored generations"], "prediction": answer}
        import_results(tmp_path / "cache", written(tmp_path / f"{i}.jsonl", record), generator="DPO", scorer="Judge")
    assert rows(tmp_path / "cache", "select name from scorers union all select name from generators") == [("Judge",), ("DPO",)]


def test_two_files_called_alike_do_not_share_unnamed_scorers(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder / "eval.jsonl", {**SHAPES["scored generations"], "prediction": folder})
        import_results(tmp_path / "cache", tmp_path / folder / "eval.jsonl")
    assert rows(tmp_path / "cache", "select count(*) from scorers") == [(2,)]


def test_every_repeated_measurement_keeps_its_own_row(tmp_path: Path) -> None:
    done = imported(tmp_path, *({**SHAPES["scored generations"], "reward_score": r} for r in (0.5, 0.25, 0.5)))
    assert rows(tmp_path / "cache", "select record, reward from rewards order by record") == [(0, 0.5), (1, 0.25), (2, 0.5)]
    assert (done.repeats, done.counts["generations"], done.counts["pairs"]) == (2, 3, 1)
    assert done.notes[0].startswith("2 rewards are of a prompt and text scored before, 1 of them with another number")


def test_a_shared_scorers_rewards_in_another_import_are_further_records(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for i, reward in enumerate((0.5, 0.25)):
        record = {**SHAPES["scored generations"], "reward_score": reward}
        import_results(cache, written(tmp_path / f"{i}.jsonl", record), generator="DPO", scorer="Judge")
    before = {t: rows(cache, f"from {t} order by all") for t in ("rewards", "generations", "generators")}
    database.database_path(cache).unlink()
    database.rebuild(cache)
    assert {t: rows(cache, f"from {t} order by all") for t in before} == before
    assert rows(cache, "select record, reward from rewards order by record") == [(0, 0.5), (1, 0.25)]
    assert len(before["generations"]) == 1


def test_answers_to_a_known_datasets_prompts_leave_the_files_own_pairs_out(tmp_path: Path) -> None:
    pair = {"question": Q, "response_1": "Daily.", "response_2": "Never.", "overall_response": 1}
    known = import_dataset(tmp_path / "cache", "mint", {"validation": str(written(tmp_path / "mint.jsonl", pair))})
    other = {**SHAPES["scored generations"], "question": "Is mint a tree?"}
    done = imported(tmp_path, SHAPES["scored generations"], other, dataset=known.dataset_id)
    assert done.matched == (1, 2)
    assert {p.stem for p in done.path.glob("*.parquet")} == {"prompts", "texts", "generators", "generations", "scorers", "rewards"}
    assert done.counts["texts"] == 1


def test_a_mapping_names_the_files_own_columns(tmp_path: Path) -> None:
    columns = {"question": "input", "response": "output", "reward": "judge"}
    done = imported(tmp_path, {"input": Q, "output": "Daily.", "judge": 1.5}, mapping=columns)
    assert (done.shape, done.scorers, done.counts["rewards"]) == ("long", ("reward (answers)",), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": "DPO"}, "generator is 'DPO', the file has raw, dpo: expected a name for each"),
        ({"generator": {"sft": "SFT"}}, "generator 'sft' is not in the file, found raw, dpo"),
        ({"dataset": "nothing-0"}, r"dataset 'nothing-0' not found, expected one of \(none is imported yet\)"),
        ({"mapping": {"response": "output"}}, "mapping response=output: no record has the column 'output', found prompt, response_raw"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_and_nothing_is_written(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        imported(tmp_path, SHAPES["wide"], **options)
    assert not (tmp_path / "cache").exists()


# Whole or not at all


def test_bad_records_are_counted_by_reason_and_written_with_their_line(tmp_path: Path) -> None:
    good = SHAPES["scored generations"]
    bad: list[dict[str, Any]] = [
        {"reward_score": "high"},
        {"reward_score": True},
        {"prediction": " "},
        {"worse_response": "Daily."},
        {"question": None},
    ]
    done = imported(tmp_path, good, *({**good, **change} for change in bad))
    assert done.skipped == {"missing_key": 1, "bad_reward": 2, "empty_text": 1, "equal_responses": 1}
    rejects = [json.loads(line) for line in (done.path / "rejects.jsonl").read_text().splitlines()]
    assert sorted(r["line"] for r in rejects) == [2, 3, 4, 5, 6]
    assert any(r["detail"] == "reward_score is 'high', expected a finite number" for r in rejects)


def test_importing_twice_changes_nothing_and_says_so(tmp_path: Path) -> None:
    first = imported(tmp_path, SHAPES["nested"])
    times = {p: p.stat().st_mtime_ns for p in first.path.rglob("*")}
    again = imported(tmp_path, SHAPES["nested"])
    assert (first.existed, again.existed, again.path) == (False, True, first.path)
    assert {p: p.stat().st_mtime_ns for p in first.path.rglob("*")} == times
    assert "imported before, nothing changed" in again.describe()


def test_the_original_file_is_kept_and_no_unfinished_folder_is_left(tmp_path: Path) -> None:
    done = imported(tmp_path, SHAPES["nested"])
    assert (done.path / "raw" / "answers.jsonl").read_bytes() == (tmp_path / "answers.jsonl").read_bytes()
    assert [p.name for p in done.path.parent.iterdir() if p.is_dir()] == [done.import_id]


def test_a_cache_that_cannot_be_written_and_a_missing_file_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.jsonl cannot be read: no such file"):
        import_results(tmp_path, tmp_path / "no.jsonl")
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cache cannot be written"):
        imported(tmp_path, SHAPES["nested"])


def test_a_pair_of_equal_responses_is_left_out_and_the_answer_beside_it_is_kept(tmp_path: Path) -> None:
    done = imported(tmp_path, {**SHAPES["scored generations"], "worse_response": "Daily."})
    assert (done.skipped, done.counts["rewards"], "pairs" in done.counts) == ({"equal_responses": 1}, 1, False)
    assert rows(tmp_path / "cache", "select text, reward from rewards join texts using (text_id)") == [("When it is dry.", 0.75)]
    assert "1 records are kept in part: their other answers and rewards count" in done.notes


def test_equal_responses_with_two_rewards_keep_both_rewards(tmp_path: Path) -> None:
    done = imported(tmp_path, {"question": Q, **dict.fromkeys(PAIR, "Daily."), "better_reward": 1.5, "worse_reward": 0.5})
    assert rows(tmp_path / "cache", "select record, reward from rewards order by record") == [(0, 1.5), (1, 0.5)]
    assert (done.skipped, "pairs" in done.counts) == ({"equal_responses": 1}, False)


@pytest.mark.parametrize("change", [{"response_dpo": " "}, {"reward_dpo": None}, {"reward_dpo": "high"}, {"response_dpo": "\ud800"}])
def test_one_bad_answer_does_not_take_the_others_of_its_record(tmp_path: Path, change: dict[str, Any]) -> None:
    done = imported(tmp_path, {**SHAPES["wide"], **change})
    assert (done.generators, done.counts["rewards"], sum(done.skipped.values())) == (("raw (answers)",), 1, 1)
    (reject,) = [json.loads(line) for line in (done.path / "rejects.jsonl").read_text().splitlines()]
    assert reject["detail"].endswith("; the rest of the record is kept")


# Scores of chosen and rejected, as reward benchmarks and TRL's datasets have them

TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": Q}]
SCORED_PAIRS: dict[str, dict[str, Any]] = {
    "a prompt and texts": {"prompt": Q, "chosen": "Daily.", "rejected": "Never.", "score_chosen": 1.5, "score_rejected": -0.5},
    "scores in lists": {"prompt": Q, "chosen": "Daily.", "rejected": "Never.", "scores_chosen": [1.5], "scores_rejected": [-0.5]},
    "rewards": {"prompt": Q, "chosen": "Daily.", "rejected": "Never.", "chosen_reward": "1.5", "rejected_reward": "-0.5"},
    "whole conversations": {
        "prompt": Q,
        "chosen": [*TALK, {"role": "assistant", "content": "Daily."}],
        "rejected": [*TALK, {"role": "assistant", "content": "Never."}],
        "score_chosen": 1.5,
        "score_rejected": -0.5,
    },
    "one message each": {
        "prompt": TALK,
        "chosen": [{"role": "assistant", "content": "Daily."}],
        "rejected": [{"role": "assistant", "content": "Never."}],
        "score_chosen": 1.5,
        "score_rejected": -0.5,
    },
    "transcripts": {
        "chosen": f"\n\nHuman: {Q}\n\nAssistant: Daily.",
        "rejected": f"\n\nHuman: {Q}\n\nAssistant: Never.",
        "score_chosen": 1.5,
        "score_rejected": -0.5,
    },
    "a common beginning": {"chosen": f"{Q} Daily.", "rejected": f"{Q} Never.", "score_chosen": 1.5, "score_rejected": -0.5},
    "decoded dialogues": {
        "chosen": f"{SYSTEM}user\n{Q}\nassistant\nDaily.\n",
        "rejected": f"{SYSTEM}user\n{Q}\nassistant\nNever.\n",
        "score_chosen": 1.5,
        "score_rejected": -0.5,
    },
}


@pytest.mark.parametrize("name", SCORED_PAIRS)
def test_chosen_and_rejected_with_a_score_each_are_a_pair_with_two_rewards(tmp_path: Path, name: str) -> None:
    done = imported(tmp_path, SCORED_PAIRS[name])
    assert (done.shape, done.skipped, done.scorers) == ("evaluated pairs", {}, ("reward (answers)",))
    query = "select turns, c.text, r.text from pairs join prompts using (prompt_id)"
    query += " join texts c on c.text_id = chosen_id join texts r on r.text_id = rejected_id"
    assert rows(tmp_path / "cache", query) == [(json.dumps([{"role": "user", "content": Q}]), "Daily.", "Never.")]
    assert rows(tmp_path / "cache", ACCURACY, dataset=done.import_id) == [(1, 1, 0)]


def test_one_side_without_a_score_is_counted_and_the_other_reward_kept(tmp_path: Path) -> None:
    done = imported(tmp_path, SCORED_PAIRS["a prompt and texts"], {**SCORED_PAIRS["transcripts"], "score_rejected": None})
    assert (done.skipped, done.counts["rewards"]) == ({"bad_reward": 1}, 3)


# What no file should be able to do


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl")
    for path, found in ((tmp_path / "x.jsonl", "a FIFO"), (tmp_path, "a folder"), (Path("/dev/zero"), "a device")):
        with pytest.raises(DataError, match=f"cannot be read: it is {found}, expected a regular file"):
            import_results(tmp_path / "cache", path)


BIG = 10**400


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reward_score": BIG}, "bad_reward"),
        ({"reward_score": f"{BIG}"}, "bad_reward"),
        ({"reward_score": float("nan")}, "bad_reward"),
        ({"question": "\ud800"}, "broken_utf8"),
        ({"prediction": "\udfff"}, "broken_utf8"),
        ({"prompt_type": "\ud800"}, "broken_utf8"),
        ({"question": [{"role": "system", "content": ["x"]}, {"role": "user", "content": Q}]}, "wrong_type"),
        ({"question": json.loads('{"a":' * 90 + "1" + "}" * 90)}, "wrong_type"),
        ({"question": None, "turns": "[" * 10_000}, "broken_json"),
        ({"question": None, "turns": "[" * 150 + "]" * 150}, "broken_json"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_refused_record(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    done = imported(tmp_path, SHAPES["scored generations"], {**SHAPES["scored generations"], **change})
    assert (done.skipped, done.counts["rewards"]) == ({reason: 1}, 1)


@pytest.mark.parametrize("key", ["source", "scorer"])
def test_a_name_with_half_a_surrogate_pair_is_one_refused_record(tmp_path: Path, key: str) -> None:
    assert imported(tmp_path, SHAPES["long"], {**SHAPES["long"], key: "\ud800"}).skipped == {"broken_utf8": 1}


def test_names_that_are_not_utf_8_are_a_sentence(tmp_path: Path) -> None:
    for options in ({"name": "\udcff"}, {"generator": "\udcff"}, {"scorer": {"reward_score": "\udcff"}}):
        with pytest.raises(DataError, match=r"is '\\udcff', expected UTF-8 text"):
            imported(tmp_path, SHAPES["scored generations"], **options)


def test_a_file_whose_name_is_not_utf_8_is_imported(tmp_path: Path) -> None:
    path = written(tmp_path / os.fsdecode(b"caf\xe9.jsonl"), SHAPES["scored generations"])
    done = import_results(tmp_path / "cache", path)
    assert done.generators == (r"prediction (caf\udce9)",)
    assert (done.path / "raw" / path.name).is_file()


def test_a_column_that_is_mapped_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mapping question=x: the column 'x' is mapped twice"):
        imported(tmp_path, {"x": Q}, mapping={"question": "x", "response": "x"})


def test_a_file_without_a_usable_record_shows_the_first_rejects(tmp_path: Path) -> None:
    bad = [{**SHAPES["scored generations"], "reward_score": value} for value in "abcd"]
    with pytest.raises(
        DataError, match=r"can be used: bad_reward 4\n .*line 1: reward_score is 'a'.* \(bad_reward\)\n.*\n .*line 3: [^\n]*$"
    ):
        imported(tmp_path, *bad)


# The files of a real experiment

real = pytest.mark.skipif(not SHARED.is_dir(), reason="the real result files are not on this machine")


@real
def test_the_real_evaluation_has_369_of_496_pairs_right(tmp_path: Path) -> None:
    done = import_results(tmp_path, SHARED / "trained_rm_eval.json")
    assert rows(tmp_path, ACCURACY, dataset=done.import_id) == [(496, 369, 1)]
    assert (done.counts["rewards"], done.repeats, done.skipped) == (992, 12, {})


@real
def test_the_three_real_files_join_on_all_pairs(tmp_path: Path) -> None:
    for name in ("base_generations_scored.jsonl", "dpo_generations_scored.jsonl", "trained_rm_eval.json"):
        done = import_results(tmp_path, SHARED / name)
        assert (done.counts["prompts"], done.counts["pairs"]) == (475, 496)
    query = "select datasets, count(*) from (select pair_id, count(*) as datasets from pairs group by all) group by all"
    assert rows(tmp_path, query) == [(3, 496)]


@real
def test_the_real_dpo_predictions_lose_their_484_dialogues(tmp_path: Path) -> None:
    done = import_results(tmp_path, SHARED / "dpo_generations_scored.jsonl")
    assert done.notes[0].startswith("484 of 496 prediction texts began with a decoded dialogue (101 of them with a cut piece of it)")
    assert done.counts["raw_texts"] == 484
    left = "select count(*) from generations join texts using (text_id) where regexp_matches(text, '(^|\\n)(system|assistant)\\n')"
    assert rows(tmp_path, left) == [(0,)]
