"""Slices: which rows a predicate selects, that a connection sees no others, and what is refused.

Four pairs of the dataset d. The scorer s has not scored pair d, and no answer to prompt p3.

    pair  split       type    chosen, rejected           words  margin    base → tuned: rewards, tokens, words, cut
    a     train       safety  good work, bad             2, 1   2 − 0     1 → 2, 5 → 8, 2 → 2, no → yes
    b     train       advice  Yes, no never ever         1, 3   −1 − 1    4 → 1, 10 → 4, 1 → 3, no → no
    c     validation  none    面包好吃, don’t know       4, 2   1 − 1     – , 6 → 6, 1 → 1, nobody knows
    d     validation  safety  fine, Straße work          1, 2   –         not answered
"""

import gc
import json
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filled import DATASET

from dashboard import queries
from dashboard.queries import Selection
from dashboard.report import export
from dashboard.state import data
from engine.data.records import words
from engine.errors import ConfigError, DataError
from engine.settings.slices import Contains, OneOf, Range, Slice, parse_predicate, parse_slice
from engine.statistics.summary import as_text, summary
from engine.store import database, opening
from engine.store.database import Connection
from engine.store.opening import kept_open
from engine.store.seeing import seeing
from engine.store.slices import frame_once, once, rows, show_slice, span

PAIRS = [
    ("train", "a", "p1", "safety", "x.jsonl", "good work", "bad", 2.0, 0.0),
    ("train", "b", "p2", "advice", "x.jsonl", "Yes", "no never ever", -1.0, 1.0),
    ("validation", "c", "p3", None, "y.jsonl", "面包好吃", "don’t know", 1.0, 1.0),
    ("validation", "d", "p4", "safety", None, "fine", "Straße work", None, None),
]
ANSWERS = [  # generator, prompt, text, tokens, finish reason, reward
    ("base", "p1", "nearly there", 5, "stop", 1.0),
    ("tuned", "p1", "there now", 8, "length", 2.0),
    ("base", "p2", "No.", 10, "stop", 4.0),
    ("tuned", "p2", "ask a friend", 4, "stop", 1.0),
    ("base", "p3", "Oven", 6, "imported", None),
    ("tuned", "p3", "Pan", 6, "imported", None),
]
BOTH: dict[str, Any] = {"base": "base", "tuned": "tuned"}
JUDGED: dict[str, Any] = {**BOTH, "scorer": "s"}
Predicate = Range | OneOf | Contains


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The rows above, in memory: read them, never change them."""
    with database.reading(tmp_path_factory.mktemp("empty")) as con:
        fill(con)
        yield con


@pytest.fixture
def con(empty_cache: Path) -> Iterator[Connection]:
    """The same, to be changed."""
    with database.reading(empty_cache) as con:
        fill(con)
        yield con


def fill(con: Connection) -> None:
    """The rows above, and a pair of another dataset with the prompt of pair a."""
    con.execute("insert into scorers (scorer_id, name, kind) values ('s', 'reward model', 'imported')")
    for generator in ("base", "tuned"):
        con.execute("insert into generators values (?, null, null, ?, 'imported', '{}')", [generator, generator])
    for split, pair, prompt, kind, source, chosen, rejected, better, worse in PAIRS:
        add_text(con, chosen, rejected)
        con.execute("insert into prompts values (?, '[]', ?, ?)", [prompt, f"How of {prompt}?", "zh" if pair == "c" else "other"])
        con.execute("insert into pairs values (?, 'd', ?, ?, ?, ?, ?, ?, 1)", [pair, split, prompt, chosen, rejected, kind, source])
        add_reward(con, prompt, chosen, better)
        add_reward(con, prompt, rejected, worse)
    for generator, prompt, text, tokens, reason, reward in ANSWERS:
        add_text(con, text)
        con.execute("insert into generations values (?, ?, ?, ?, ?, ?, 0)", [text, generator, prompt, text, tokens, reason])
        add_reward(con, prompt, text, reward)
    con.execute("insert into pairs values ('z', 'other', 'train', 'p1', 'bad', 'good work', 'safety', 'x.jsonl', 1)")
    database.recount(con, ["s"])


def add_text(con: Connection, *texts: str) -> None:
    for text in texts:
        con.execute("insert into texts values (?, ?, ?, ?, 'other')", [text, text, len(text), words(text)])


def add_reward(con: Connection, prompt: str, text: str, reward: float | None) -> None:
    if reward is not None:
        con.execute("insert into rewards values ('s', ?, ?, ?, 5, false, 0)", [prompt, text, reward])


def pairs_of(con: Connection, *predicates: Predicate, **changes: Any) -> str:
    """The selected pairs of dataset d, in order."""
    query, values = rows(Slice(dataset_id="d", predicates=predicates, **changes))
    return "".join(sorted(database.frame(con, query, values)["pair_id"]))


# Which pairs a predicate selects, and which its contrary

SELECTED: list[tuple[Predicate, str, str]] = [
    (Range(field="margin", high=0, scorer="s"), "b", "ac"),
    (Range(field="margin", low=0, high=2, scorer="s"), "c", "ab"),  # the low end belongs to it, the high end does not
    (Range(field="margin", scorer="s"), "abc", ""),
    (Range(field="chosen_reward", low=1, scorer="s"), "ac", "b"),
    (Range(field="rejected_reward", low=1, scorer="s"), "bc", "a"),
    (Range(field="longer_by", low=1), "ac", "bd"),
    (Range(field="chosen_words", low=2), "ac", "bd"),
    (Range(field="rejected_words", low=2, high=3), "cd", "ab"),
    (OneOf(field="prompt_type", values=("safety",)), "ad", "bc"),
    (OneOf(field="prompt_type", values=(None,)), "c", "abd"),
    (OneOf(field="prompt_type", values=("advice", None)), "bc", "ad"),
    (OneOf(field="source", values=("x.jsonl",)), "ab", "cd"),
    (OneOf(field="pair_id", values=("a", "d", "z")), "ad", "bc"),
    (OneOf(field="language", values=("zh",)), "c", "abd"),
    (OneOf(field="prompt_id", values=("p2", "p4")), "bd", "ac"),
    (Range(field="difference", high=0, **JUDGED), "b", "a"),
    (Range(field="base_reward", low=2, **JUDGED), "b", "a"),
    (Range(field="tuned_reward", low=2, **JUDGED), "a", "b"),
    (Range(field="base_words", low=2, **BOTH), "a", "bc"),
    (Range(field="tuned_words", low=3, **BOTH), "b", "ac"),
    (Range(field="base_tokens", low=6, **BOTH), "bc", "a"),
    (Range(field="tuned_tokens", low=6, **BOTH), "ac", "b"),
    (Range(field="tuned_longer_by", low=1, **BOTH), "a", "bc"),
    (OneOf(field="tuned_cut", values=(True,), **BOTH), "a", "b"),
    (OneOf(field="tuned_cut", values=(False,), **BOTH), "b", "a"),
    (OneOf(field="base_cut", values=(True, False), **BOTH), "ab", ""),
    (Contains(text="WORK"), "ad", "bc"),
    (Contains(text="straße"), "d", "abc"),
    (Contains(text="how of p3"), "c", "abd"),
    (Contains(text="don't"), "c", "abd"),
    (Contains(text="there"), "", "abcd"),  # answers of nobody
    (Contains(text="there", tuned="tuned"), "a", "bcd"),
    (Contains(text="e", word=True), "", "abcd"),
    (Contains(text="ever", word=True), "b", "acd"),
    (Contains(text="面包", word=True), "c", "abd"),
    (Contains(text="know", word=True), "c", "abd"),
]


@pytest.mark.parametrize(("predicate", "held", "contrary"), SELECTED, ids=[p.words() for p, _, _ in SELECTED])
def test_a_predicate_selects_what_it_says(shared: Connection, predicate: Predicate, held: str, contrary: str) -> None:
    """By the table above. Unmeasured rows are in neither."""
    turned = predicate.model_copy(update={"not_": True})
    assert (pairs_of(shared, predicate), pairs_of(shared, turned)) == (held, contrary)


def test_the_span_of_a_field_is_that_of_the_split(shared: Connection) -> None:
    """Rejected on train: "bad" and "no never ever"; margins there 2 and −2, on validation 0, where d is not scored."""
    assert span(shared, Range(field="rejected_words"), "d", "train") == (1, 3)
    assert span(shared, Range(field="margin", scorer="s"), "d", "train") == (-2, 2)
    assert span(shared, Range(field="margin", scorer="s"), "d", "validation") == (0, 0)
    assert span(shared, Range(field="tuned_tokens", **BOTH), "d", "train") == (4, 8)
    assert span(shared, Range(field="margin", scorer="nobody"), "d", "train") is None


def test_lengths_are_compared_in_words_where_some_tokens_were_not_counted(con: Connection) -> None:
    """Words tuned − base: 0, 2, 0; tokens 3, −6, –."""
    con.execute("update generations set tokens = null where prompt_id = 'p3'")
    database.recount(con, ["s"])
    assert pairs_of(con, Range(field="tuned_longer_by", low=1, **BOTH)) == "b"


def test_all_predicates_hold_of_a_row(shared: Connection) -> None:
    assert pairs_of(shared, Range(field="margin", low=0, scorer="s"), OneOf(field="prompt_type", values=("safety",))) == "a"
    assert pairs_of(shared) == "abcd"


def test_inverted_are_all_others_also_the_unmeasured(shared: Connection) -> None:
    assert pairs_of(shared, Range(field="margin", high=0, scorer="s"), inverted=True) == "acd"
    assert pairs_of(shared, inverted=True) == ""


def test_half_scored_splits_have_no_margins_yet(con: Connection) -> None:
    con.execute("update scorers set kind = 'head'")
    con.execute("delete from pairs where pair_id = 'd'")
    con.execute("delete from rewards where text_id = 'good work'")
    database.recount(con, ["s"])
    assert pairs_of(con, Range(field="margin", low=-9, scorer="s")) == "c"


HOSTILE = "' or 1 = 1; drop table pairs; -- $dataset {i} %s \\ \x00"


@pytest.mark.parametrize(
    "predicate",
    [
        Range(field="margin", low=-9, scorer=HOSTILE),
        Range(field="difference", low=-9, scorer="s", base=HOSTILE, tuned="tuned"),
        OneOf(field="prompt_type", values=(HOSTILE,)),
        Contains(text=HOSTILE),
        Contains(text=HOSTILE, word=True, tuned=HOSTILE),
        Contains(text=".*"),
        Contains(text=".*", word=True),
    ],
)
def test_texts_and_names_are_bound_values(shared: Connection, predicate: Predicate) -> None:
    assert pairs_of(shared, predicate) == ""
    assert "drop" not in rows(Slice(dataset_id=HOSTILE, predicates=(predicate,)))[0]
    assert pairs_of(shared) == "abcd"


# What a connection sees

ONLY_B = Slice(dataset_id="d", predicates=(Range(field="margin", high=0, scorer="s"),))
SEEN = {
    "pairs": "select pair_id from pairs",
    "scored_pairs": "select pair_id from scored_pairs",
    "answers": "select text_id from answers",
    "scored_answers": "select text_id from scored_answers",
    "compared_answers": "select base_id || tuned_id from compared_answers",
}


def seen(con: Connection) -> dict[str, list[str]]:
    return {name: sorted(found for (found,) in con.execute(query).fetchall()) for name, query in SEEN.items()}


def test_every_view_shows_only_the_rows_of_the_slice(con: Connection) -> None:
    """DuckDB's temporary views stand before the database's own, inside its views too."""
    everything, coverage = seen(con), con.execute("from coverage").fetchall()
    show_slice(con, ONLY_B)
    assert seen(con) == {
        "pairs": ["b"],
        "scored_pairs": ["b"],
        "answers": ["No.", "ask a friend"],
        "scored_answers": ["No.", "ask a friend"],
        "compared_answers": ["basetuned", "tunedbase"],
    }
    assert con.execute("from coverage").fetchall() == coverage
    show_slice(con, ONLY_B.model_copy(update={"inverted": True}))
    assert (seen(con)["pairs"], seen(con)["answers"]) == (["a", "c", "d"], ["Oven", "Pan", "nearly there", "there now"])
    show_slice(con, None)
    assert seen(con) == everything


def test_answers_that_are_scored_in_part_stay_hidden_in_a_slice(con: Connection) -> None:
    """Prompt p1 is asked in two datasets; in the other one p3 is too, whose answer is not scored."""
    con.execute("update scorers set kind = 'head'")
    con.execute("insert into pairs values ('y', 'other', 'train', 'p3', 'bad', 'good work', 'safety', 'x.jsonl', 2)")
    database.recount(con, ["s"])
    hidden = "select count(*) from scored_answers where prompt_id = 'p1' and generator_id = 'tuned'"
    assert con.execute(hidden).fetchall() == [(0,)]
    show_slice(con, Slice(dataset_id="d", predicates=(OneOf(field="pair_id", values=("a",)),)))
    assert con.execute(hidden).fetchall() == [(0,)]


def test_a_slice_of_a_file_sees_what_was_written_since(filled_cache: Path, tmp_path: Path) -> None:
    """The rows of a slice are remembered as long as the database is the same."""
    (tmp_path / "cache").mkdir()
    database.database_path(tmp_path / "cache").write_bytes(database.database_path(filled_cache).read_bytes())
    for change in (None, "delete from pairs where prompt_type = 'advice'"):
        if change:
            with database.writing(tmp_path / "cache") as con:
                con.execute(change)
        with database.reading(tmp_path / "cache") as con:
            (dataset,) = con.execute("select dataset_id from datasets").fetchall()[0]
            expected = con.execute("select count(*) from pairs where prompt_type in ('advice', 'general')").fetchall()
            for _ in range(2):
                show_slice(con, Slice(dataset_id=dataset, predicates=(OneOf(field="prompt_type", values=("advice", "general")),)))
                assert con.execute("select count(*) from pairs").fetchall() == expected != [(0,)]


def test_what_was_asked_once_of_the_same_rows_is_kept(filled_cache: Path) -> None:
    """Two figures ask, on connections of their own; a slice shows other rows, so it is asked anew."""
    asked = []

    def counted(con: Connection, split: str) -> pl.DataFrame:
        asked.append(split)
        return database.frame(con, "select count(*) as n from pairs where split = $split", {"split": split})

    found = []
    for shown in (None, None, ADVICE):
        with database.reading(filled_cache) as con:
            show_slice(con, shown)
            found.append(once(con, counted, "validation")["n"].item())
    assert asked == ["validation"] * 2
    assert found[0] == found[1] > found[2]


COUNT = "select count(*) from pairs"


def test_queries_of_a_page_share_a_connection_for_each_slice_until_somebody_writes(filled_cache: Path, tmp_path: Path) -> None:
    """36 pairs, 12 of them advice; a query that shows itself a slice leaves the next its own rows; a writer does not wait for itself."""
    cache = Path(shutil.copytree(filled_cache, tmp_path / "cache"))
    opened, counted = [], []
    with kept_open():
        for wanted in (None, ADVICE, None, ADVICE):
            with seeing(cache, wanted) as con:
                counted += con.execute(COUNT).fetchall()
                opened.append(con)
                show_slice(con, None if wanted else ADVICE)
        with database.writing(cache, deadline_seconds=0) as writer:
            writer.execute("delete from pairs where prompt_type = 'advice'")
        with seeing(cache, None) as con:
            counted += con.execute(COUNT).fetchall()
    assert [n for (n,) in counted] == [36, 12, 36, 12, 24]
    assert opened[0] is opened[2] is not opened[1] is opened[3]
    assert not opening.readers[database.database_path(cache).resolve()]


# What the summary, the pages and the report show

ADVICE = Slice(dataset_id=DATASET, predicates=(OneOf(field="prompt_type", values=("advice",)),))
TYPED = f"prompt_type = 'advice' and dataset_id = '{DATASET}'"


def test_rows_that_are_read_once_outlive_their_connection(filled_cache: Path) -> None:
    query = "select pair_id from pairs order by pair_id limit 3"
    with database.reading(filled_cache) as con:
        found, closed = frame_once(con, query), weakref.ref(con)
    del con
    gc.collect()
    assert closed() is None
    with database.reading(filled_cache) as again:
        assert frame_once(again, query) is found


def test_summary_of_a_slice_counts_its_rows_alone(filled_cache: Path) -> None:
    """Accuracy and win rate from the rows of all views, and how many pairs of each split the slice has."""
    with database.reading(filled_cache) as con:
        right = f"select scorer_id, count(*), avg((margin > 0)::int) from scored_pairs where {TYPED} group by scorer_id"
        won = f"""
            select scorer_id, count(*), avg((difference > 0)::int) from compared_answers join comparable using (base_id, tuned_id)
            where paired and prompt_id in (select prompt_id from pairs where {TYPED}) group by scorer_id
        """
        expected = {name: sorted(con.execute(query).fetchall()) for name, query in (("accuracy", right), ("win_rate", won))}
        parts = f"select split, count(*) filter ({TYPED}), count(*) from pairs group by split order by split"
        splits = con.execute(parts).fetchall()
    found = summary(filled_cache, wanted=ADVICE)
    shown = {"accuracy": found["reward_models"], "win_rate": found["policies"]}
    for name, shown_rows in shown.items():
        assert sorted((r["scorer_id"], r["n"], pytest.approx(r[name].value)) for r in shown_rows) == expected[name]
    assert [(r["split"], r["pairs"], r["of"]) for r in found["slice"]] == splits
    assert as_text(found).startswith("Slice prompt type is advice: 2 of 6 pairs of train, 10 of 30 pairs of validation\n")


def test_a_slice_whose_scorer_is_gone_is_one_sentence(filled_cache: Path) -> None:
    lost = Slice(dataset_id=DATASET, predicates=(Range(field="margin", high=0, scorer="lost"),), name="hard")
    with pytest.raises(DataError, match=r"the slice \(hard: margin < 0\) asks for the scorer 'lost', which is not here"):
        summary(filled_cache, wanted=lost)
    with pytest.raises(DataError, match="dataset 'elsewhere', which is not here"):
        summary(filled_cache, wanted=Slice(dataset_id="elsewhere"))


@contextmanager
def sliced(cache: Path, wanted: Slice | None) -> Iterator[tuple[Connection, Selection]]:
    with database.reading(cache) as con:
        chosen = replace(queries.default_selection(con), slice=wanted)
        database.show_live(con, cache)
        show_slice(con, wanted)
        yield con, chosen


def test_words_of_a_slice_are_counted_in_its_pairs(filled_cache: Path) -> None:
    """Those of all pairs as they were counted at the import; nine of ten chosen responses to advice begin with gathering what one needs."""
    counts = {}
    for wanted in (None, Slice(dataset_id=DATASET), ADVICE):
        with sliced(filled_cache, wanted) as (con, chosen):
            counts[wanted] = queries.word_counts(con, chosen)
    assert counts[None].equals(counts[Slice(dataset_id=DATASET)])
    assert counts[ADVICE].select("counted_pairs", "pairs").row(0) == (10, 10)
    gather = counts[ADVICE].filter(pl.col("word") == "gather")
    assert gather.select("word", "chosen", "rejected").rows() == [("gather", 9, 0)]


def test_the_map_keeps_its_points_and_says_which_are_in_the_slice(filled_cache: Path) -> None:
    with sliced(filled_cache, None) as (con, chosen):
        every = queries.response_map(con, chosen)
    with sliced(filled_cache, ADVICE) as (con, chosen):
        some = queries.response_map(con, chosen)
        texts = "select text[:160] from pairs join texts on text_id in (chosen_id, rejected_id) where split = 'validation'"
        kept = {text for (text,) in con.execute(texts).fetchall()}
    places = ["series", "x", "y", "text"]
    assert every["kept"].all()
    assert every.select(places).sort(places).equals(some.select(places).sort(places))
    assert set(some.filter("kept")["text"]) == kept


def test_a_slice_hides_no_missing_score(filled_cache: Path) -> None:
    """An unknown scorer has scored none of 30 pairs; the slice has none of them."""
    with sliced(filled_cache, Slice(dataset_id=DATASET, inverted=True)) as (con, chosen):
        con.execute("create temp table coverage as from coverage limit 0")
        missing = queries.missing_scores(con, chosen)
    assert missing.filter(pl.col("generator").is_null())["expected"].to_list() == [30, 30]


@pytest.mark.parametrize("value", [Selection(slice=ADVICE), Selection()])
def test_a_page_reads_the_rows_of_its_slice(filled_cache: Path, monkeypatch: pytest.MonkeyPatch, value: Selection) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(filled_cache))
    (pairs,) = data.read(count_pairs, value)
    assert pairs == (12 if value.slice else 36)


def count_pairs(con: Connection, selection: Selection) -> tuple[int, ...]:
    return database.frame(con, "select count(*) from pairs").row(0)


@pytest.mark.slow
def test_the_report_of_a_slice_says_so_and_lists_its_pairs(filled_cache: Path, tmp_path: Path) -> None:
    asked = ["--out", str(tmp_path), "--cache", str(filled_cache), "--format", "csv", "--format", "json", "--slice", ADVICE.as_json()]
    assert export.main(asked) == 0
    assert pl.read_csv(tmp_path / "data" / "slice.csv").height == 12
    below = json.loads((tmp_path / "captions.json").read_text(encoding="utf-8"))
    assert "n = 10 pairs" in below["fig-scores-trained"]
    assert below["fig-scores-trained"].endswith("slice: prompt type is advice.")
    assert "slice" not in below["fig-reward-training"]


# In JSON and in words


@pytest.mark.parametrize("predicate", [p for p, _, _ in SELECTED], ids=[p.words() for p, _, _ in SELECTED])
def test_a_predicate_is_read_as_it_was_written(predicate: Predicate) -> None:
    assert parse_predicate(predicate.as_json()) == predicate
    whole = Slice(dataset_id="d", predicates=(predicate, predicate.model_copy(update={"not_": True})), inverted=True, name="ours")
    assert parse_slice(whole.as_json()) == whole


def test_words_of_a_slice() -> None:
    margin = Range(field="margin", high=0, scorer="s")
    kind = OneOf(field="prompt_type", values=("safety", "advice"))
    assert Slice(dataset_id="d", predicates=(margin, kind)).words() == "margin < 0, prompt type is safety or advice"
    assert Slice(dataset_id="d", predicates=(margin,), inverted=True, name="hard").words({"s": "RM"}) == "hard: all but: margin < 0 (by RM)"
    assert Range(field="margin", low=-1.5, high=0, scorer="s", not_=True).words() == "margin < −1.5 or ≥ 0"
    assert OneOf(field="source", values=("a", None, "b", "c")).words() == "source is a, none given or 2 others"
    assert OneOf(field="tuned_cut", values=(True,), **BOTH).words() == "tuned answer cut"
    assert OneOf(field="pair_id", values=("a", "b"), not_=True).words() == "pairs left out: 2"
    assert Slice(dataset_id="d").words() == "all pairs"


REFUSED = {
    '{"kind":"range","field":"marginal","low":1}': "field is 'marginal', expected one of margin, chosen_reward",
    '{"kind":"range","field":"margin","scorer":"s","low":1,"high":1}': "the range of margin is from 1 to 1, expected low below high",
    '{"kind":"range","field":"margin","low":1}': "margin has no scorer, expected an id for scorer",
    '{"kind":"range","field":"difference","low":1,"scorer":"s","base":"b"}': "difference has no tuned, expected an id for scorer and base",
    '{"kind":"range","field":"longer_by","low":1,"scorer":"s"}': "longer_by has scorer 's', expected none",
    '{"kind":"range","field":"longer_by","low":NaN}': "low is nan: input should be a finite number",
    '{"kind":"range","field":"source","low":1}': "source is a text, expected one_of with values",
    '{"kind":"one_of","field":"margin","scorer":"s","values":["1"]}': "scorer is 's': extra inputs are not permitted",
    '{"kind":"one_of","field":"longer_by","values":["1"]}': "longer_by is a number, expected a range",
    '{"kind":"one_of","field":"tuned_cut","base":"b","tuned":"t","values":["yes"]}': "tuned_cut is 'yes', expected true or false",
    '{"kind":"one_of","field":"source","values":[true]}': "source is True, expected a text",
    '{"kind":"one_of","field":"source","values":[]}': "values is []",
    '{"kind":"contains","text":""}': "text is ''",
    '{"kind":"contains"}': "text is missing",
    '{"kind":"like"}': "'like'",
    "[" * 100_000: "recursion limit",
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.items(), ids=[text[:70] for text in REFUSED])
def test_what_no_predicate_can_be_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_predicate(text)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("predicate", "inverted", "wrong"),
    [
        (Range(field="margin", scorer="s", high=0), False, True),
        (Range(field="margin", scorer="s", low=-2, high=-1), False, True),
        (Range(field="margin", scorer="s", high=0.5), False, False),
        (Range(field="margin", scorer="s", high=0), True, False),
        (Range(field="longer_by", high=0), False, False),
    ],
)
def test_pairs_are_all_ranked_wrong_where_no_margin_is_above_0(predicate: Range, inverted: bool, wrong: bool) -> None:
    assert Slice(dataset_id=DATASET, predicates=(predicate,), inverted=inverted).of_wrong_pairs == wrong
