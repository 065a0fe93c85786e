"""What is claimed of the starter set."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from engine.data.datasets_io import import_dataset
from engine.data.records import language, words
from engine.data.sources import STARTER
from engine.queue.preset import load_preset, plan
from engine.settings.config import GenerateConfig, TrainConfig

Record = dict[str, Any]


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Record]]:
    return {s: [json.loads(line) for line in (STARTER / f"{s}.jsonl").read_text().splitlines()] for s in ("train", "validation")}


@pytest.fixture(scope="module")
def records(splits: dict[str, list[Record]]) -> list[Record]:
    return [*splits["train"], *splits["validation"]]


def chosen(record: Record) -> str:
    return str(record[f"response_{record['overall_response']}"])


def rejected(record: Record) -> str:
    return str(record[f"response_{3 - record['overall_response']}"])


def plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def longer_is_better(records: list[Record]) -> float:
    lengths = [(words(chosen(r)), words(rejected(r))) for r in records]
    return sum((c > r) + 0.5 * (c == r) for c, r in lengths) / len(records)


def test_400_pairs_to_train_on_and_200_to_validate(splits: dict[str, list[Record]]) -> None:
    assert {split: len(found) for split, found in splits.items()} == {"train": 400, "validation": 200}


def test_every_pair_has_align_anything_s_keys_and_a_type(records: list[Record]) -> None:
    keys = {"question", "response_1", "response_2", "overall_response", "prompt_type"}
    assert all(set(r) == keys and r["overall_response"] in (1, 2) and all(str(r[k]).strip() for k in keys) for r in records)
    assert len({r["prompt_type"] for r in records}) >= 4


def test_import_keeps_every_pair(empty_cache: Path) -> None:
    found = import_dataset(empty_cache, "starter", "starter", strict=True)
    assert (found.dropped, found.splits) == (0, {"train": 400, "validation": 200})


@pytest.mark.parametrize("split", ["train", "validation"])
def test_better_answer_stands_first_about_half_the_time(splits: dict[str, list[Record]], split: str) -> None:
    """Within 2.6 standard deviations of a fair coin."""
    first, n = sum(r["overall_response"] == 1 for r in splits[split]), len(splits[split])
    assert abs(first - n / 2) <= 1.3 * n**0.5


@pytest.mark.parametrize("split", ["train", "validation"])
def test_about_one_question_in_twenty_is_chinese(splits: dict[str, list[Record]], split: str) -> None:
    share = sum(language(r["question"]) == "zh" for r in splits[split]) / len(splits[split])
    assert 0.03 <= share <= 0.07
    assert all(language(chosen(r)) == language(rejected(r)) == "zh" for r in splits[split] if language(r["question"]) == "zh")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_longer_is_not_much_better(splits: dict[str, list[Record]], split: str) -> None:
    assert 0.52 <= longer_is_better(splits[split]) <= 0.66


@pytest.mark.parametrize("side", [chosen, rejected])
def test_answers_are_as_long_as_real_ones(records: list[Record], side: Any) -> None:
    lengths = [words(side(r)) for r in records]
    assert 40 <= np.median(lengths) <= 90
    assert np.quantile(lengths, 0.9) >= 2 * np.quantile(lengths, 0.1)


@pytest.mark.parametrize("pattern", [r"(?u)\b\w\w+\b", r"[^\w\s]|\w+"])
def test_bag_of_words_does_not_solve_it(records: list[Record], pattern: str) -> None:
    """Logistic regression on the difference of word counts, five folds, no question in two of them: at most 80 %."""
    groups = [plain(r["question"]) for r in records]
    accuracies = []
    for train, test in GroupKFold(5).split(records, groups=groups):
        vectorizer = CountVectorizer(min_df=2, binary=True, token_pattern=pattern)
        vectorizer.fit([side(records[i]) for i in train for side in (chosen, rejected)])
        counts = vectorizer.transform([chosen(r) for r in records]).astype(float) - vectorizer.transform([rejected(r) for r in records])
        both, labels = scipy.sparse.vstack([counts[train], -counts[train]]), np.repeat([1, 0], len(train))
        fitted = LogisticRegression(C=0.3, max_iter=2000, fit_intercept=False).fit(both, labels)
        accuracies.append((fitted.decision_function(counts[test]) > 0).mean())
    assert np.mean(accuracies) <= 0.8


def test_no_two_questions_are_nearly_the_same(records: list[Record]) -> None:
    vectors = TfidfVectorizer(ngram_range=(1, 2)).fit_transform([r["question"] for r in records])
    alike = (vectors @ vectors.T).toarray()
    np.fill_diagonal(alike, 0)
    assert alike.max() < 0.8
    assert max(Counter(plain(r["question"]) for r in records).values()) == 1


def test_no_question_is_in_both_splits(splits: dict[str, list[Record]]) -> None:
    assert not {plain(r["question"]) for r in splits["train"]} & {plain(r["question"]) for r in splits["validation"]}


def test_no_answer_is_used_twice(records: list[Record]) -> None:
    assert max(Counter(plain(side(r)) for r in records for side in (chosen, rejected)).values()) == 1


def test_the_starter_experiment_trains_on_training_pairs_and_answers_validation_questions(splits: dict[str, list[Record]]) -> None:
    preset = load_preset("starter")
    runs = plan(preset, "starter", {label: label for label in preset.runs}).values()
    trained = [run for run in runs if isinstance(run, TrainConfig)]
    assert {run.train_split for run in trained} == {"train"}
    assert {run.pairs for run in trained} == {320}, "reward model and policy learn from as many"
    assert len(splits["train"]) >= 320
    answered = [run for run in runs if isinstance(run, GenerateConfig)]
    ((split, prompts, *_),) = {(run.split, run.prompts, run.max_new_tokens, run.batch_size, run.temperature) for run in answered}
    assert (split, prompts) == ("validation", 160)
    assert len(splits["validation"]) >= 160
