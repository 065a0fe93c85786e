"""What the numbers say in sentences, and that sentences never say more than their numbers."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.queries import Selection, default_selection, paired_differences
from engine.__main__ import main
from engine.settings.slices import Range, Slice
from engine.statistics import claims as package
from engine.statistics.claims import Claim, Sureness, claims, findings, side, sureness
from engine.statistics.claims.claim import CLAIMS, TEMPLATES, Sentence, Side
from engine.statistics.comparison import Comparison, comparisons
from engine.statistics.estimate import Estimate
from engine.statistics.registry import STATISTICS
from engine.statistics.rewards import accuracy_gain
from engine.statistics.twins import pairs_of_both
from engine.store.database import Connection, reading, recount
from engine.store.slices import show_slice

DATASET, TRAINED, UNTRAINED, BASE, TUNED = "starter-1", "trained", "untrained", "base-200", "dpo-200"
COMPARISON = Comparison(DATASET, "validation", TRAINED, UNTRAINED, BASE, TUNED)
UNITS = ("share", "difference of shares", "reward", "tokens", "correlation")


@pytest.fixture(autouse=True, scope="module")
def _sentences_of_this_file_are_forgotten() -> Iterator[None]:
    """A sentence enters the list of what is translated when it is made."""
    before = set(TEMPLATES)
    yield
    TEMPLATES.intersection_update(before)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    unit = draw(st.sampled_from(UNITS))
    bounds = {"share": (0.0, 1.0)}.get(unit, (-1.0, 1.0))
    low, value, high = sorted(draw(st.tuples(*[st.floats(*bounds)] * 3)))
    open_ends = draw(st.tuples(st.booleans(), st.booleans())) if unit in ("reward", "tokens") else (False, False)
    low, high = -np.inf if open_ends[0] else low, np.inf if open_ends[1] else high
    return Estimate(value, low, high, draw(st.integers(0, 60)), draw(st.sampled_from(["pairs", "prompts"])), unit)


def allowed(e: Estimate) -> str:
    """The rule of the verdicts, said once more."""
    middle = 0.5 if e.unit == "share" else 0
    if e.n < 20 or (e.unit == "share" and e.high - e.low > 0.4):
        return "unknown"
    return "above" if e.low > middle else "below" if e.high < middle else "across"


@given(estimates())
def test_a_side_is_said_only_where_the_whole_interval_lies_on_it(estimate: Estimate) -> None:
    assert side(estimate) == allowed(estimate)
    words = {"above": "clear", "below": "clear", "across": "uncertain", "unknown": "too little data"}
    assert sureness(estimate) == words[allowed(estimate)]


@given(estimates(), estimates())
def test_a_sentence_is_the_one_its_numbers_allow_and_as_sure_as_they_are(by: Estimate, part: Estimate) -> None:
    """A sentence with a part of too little data says nothing either."""
    said = Sentence("{by} up", "{by} down", "{by} cannot tell", "too little").claim(by, part)
    expected = "unknown" if allowed(part) == "unknown" else allowed(by)
    templates = {"above": "{by} up", "below": "{by} down", "across": "{by} cannot tell", "unknown": "too little"}
    assert said.template == templates[expected]
    assert (said.sureness is Sureness.CLEAR) == (expected in ("above", "below"))
    assert said.text()


def test_a_number_that_is_none_is_too_little_data() -> None:
    assert side(Estimate(float("nan"), -np.inf, np.inf, 40, unit="reward")) is Side.UNKNOWN


def sentences(of: ModuleType = package) -> Iterator[Sentence]:
    """Every sentence of the claims' modules."""
    modules = [getattr(of, name) for name in ("overview", "data", "training", "reward_model", "length_bias", "answers", "cuts", "losing")]
    for value in [value for module in modules for value in vars(module).values()]:
        yield from (found for found in (value.values() if isinstance(value, dict) else [value]) if isinstance(found, Sentence))


COUNTS = ("ties", "lost", "seed")  # templates that count what is there, whatever the interval


@pytest.mark.parametrize("sentence", [s for s in sentences() if not any(word in s.across for word in COUNTS)], ids=lambda s: s.above)
def test_what_cannot_be_told_says_so_and_gives_no_direction(sentence: Sentence) -> None:
    assert re.search("cannot|too few to say", sentence.across)
    assert "oo little data" in sentence.unknown
    assert not {"{by}", "{by:whole}", "{by:full}", "{by:interval}"} & set(sentence.unknown.split())
    assert not any(word in sentence.across for word in ("equal", "no effect", "the same", "only"))
    assert len({sentence.above, sentence.across, sentence.unknown}) == 3


@pytest.fixture
def con(tmp_path: Path) -> Iterator[Connection]:
    """An empty database in memory."""
    with reading(tmp_path) as con:
        yield con


def insert(con: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    con.register("rows", pl.DataFrame(rows, infer_schema_length=None).to_arrow())
    con.execute(f"insert into {table} by name select * from rows")
    con.unregister("rows")


def scored(con: Connection, rows: list[dict[str, Any]], *, split: str = "validation", kind: str = "head") -> None:
    """Pairs: margin, and what else differs from an untrained margin of 0.5 and 10 words against 8."""
    rows = [{"untrained": 0.5, "chosen": 10, "rejected": 8, "type": None, **row} for row in rows]
    insert(con, "datasets", [about_data(len(rows))])
    insert(con, "runs", [{"run_id": "rm", "kind": "reward", "name": "rm", "parents": "[]", "state": "done", "dataset_id": DATASET}
                         | {"config": json.dumps({"train_split": "train", "seed": 0})}])  # fmt: skip
    insert(con, "models", [{"model_id": "rm", "kind": "reward", "base_model": "smol", "run_id": "rm"}])
    insert(con, "scorers", [scorer(TRAINED, kind, "rm"), scorer(UNTRAINED, "untrained_head", "smol")])
    texts = {(who, i): {"text_id": f"{who}{i}", "text": who, "chars": 1, "language": "other", "words": row[who]}
             for i, row in enumerate(rows) for who in ("chosen", "rejected")}  # fmt: skip
    insert(con, "texts", list(texts.values()))
    insert(con, "prompts", [{"prompt_id": f"p{i}", "turns": "[]", "text": "?", "language": "other"} for i in range(len(rows))])
    pair = {"dataset_id": DATASET, "split": split}
    insert(con, "pairs", [{**pair, "pair_id": f"{i:04}", "prompt_id": f"p{i}", "chosen_id": f"chosen{i}", "rejected_id": f"rejected{i}"}
                          | {"prompt_type": row["type"]} for i, row in enumerate(rows)])  # fmt: skip
    rewards = [(s, f"p{i}", f"{who}{i}", row[margin] if who == "chosen" else 0.0) for i, row in enumerate(rows)
               for s, margin in ((TRAINED, "margin"), (UNTRAINED, "untrained")) for who in ("chosen", "rejected")]  # fmt: skip
    insert(con, "rewards", [reward(*values) for values in rewards])
    recount(con, [TRAINED, UNTRAINED])


def about_data(kept: int) -> dict[str, Any]:
    text = {"dataset_id": DATASET, "name": "starter", "format": "f", "source": "s", "sha256": "0", "dropped_by": "{}", "splits": "{}"}
    return {**text, "kept": kept, "dropped": 2, "created_at": "2026-01-01"}


def scorer(scorer_id: str, kind: str, model: str) -> dict[str, Any]:
    return {"scorer_id": scorer_id, "name": scorer_id, "kind": kind, "model_id": model, "seed": 0}


def reward(scorer_id: str, prompt_id: str, text_id: str, value: float) -> dict[str, Any]:
    return {"scorer_id": scorer_id, "prompt_id": prompt_id, "text_id": text_id, "reward": value, "record": 0}


def answered(con: Connection, rows: list[dict[str, Any]], *, loss: str | None = "dpo") -> None:
    """Answers to the prompts: difference under the trained scorer, and what else differs from 100 tokens that ended by themselves."""
    rows = [{"untrained": 0.5, "base": 100, "tuned": 100, "base_end": "stop", "tuned_end": "stop", **row} for row in rows]
    config = json.dumps({"loss": {"name": loss}})
    insert(con, "runs", [{"run_id": "dpo", "kind": "policy", "name": "dpo", "parents": "[]", "state": "done", "config": config}])
    insert(con, "models", [{"model_id": "dpo", "kind": "policy", "base_model": "smol", "run_id": "dpo"}])
    generators = [(BASE, "smol", "base"), (TUNED, "dpo" if loss else None, "tuned" if loss else "imported")]
    insert(con, "generators", [{"generator_id": g, "model_id": m, "name": g, "kind": k, "settings": "{}"} for g, m, k in generators])
    for g, who in ((BASE, "base"), (TUNED, "tuned")):
        insert(con, "texts", [{"text_id": f"{who}{i}", "text": who, "chars": 1, "words": 5, "language": "other"} for i in range(len(rows))])
        insert(con, "generations", [
            {"generation_id": f"{who}{i}", "generator_id": g, "prompt_id": f"p{i}", "text_id": f"{who}{i}", "tokens": row[who]}
            | {"finish_reason": row[f"{who}_end"]} for i, row in enumerate(rows)
        ])  # fmt: skip
        judged = [(s, f"p{i}", f"{who}{i}", row[of] if who == "tuned" else 0.0) for i, row in enumerate(rows)
                  for s, of in ((TRAINED, "difference"), (UNTRAINED, "untrained"))]  # fmt: skip
        insert(con, "rewards", [reward(*values) for values in judged])
    recount(con, [TRAINED, UNTRAINED])


def said(con: Connection, page: str | None = None, comparison: Comparison = COMPARISON) -> dict[str, Claim]:
    return {claim.name: claim for claim in claims(con, comparison, page)}


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def of_200(right: int, untrained: int = 104, **more: Any) -> list[dict[str, Any]]:
    """200 pairs, the first `right` of them ranked right, and as many as said by the untrained model; the longer is chosen in 118."""
    lengths = [{"chosen": 10, "rejected": 8} if i % 200 < 118 else {"chosen": 8, "rejected": 10} for i in range(200)]
    order = np.random.default_rng(0).permutation(200)
    return [
        {"margin": 1.0 if i < right else -1.0, "untrained": 1.0 if order[i] < untrained else -1.0, **lengths[i], **more} for i in range(200)
    ]


def wins(won: int, ties: int = 0, of: int = 200, **more: Any) -> list[dict[str, Any]]:
    return [{"difference": 1.0 if i < won else 0.0 if i < won + ties else -1.0, "untrained": (-1.0) ** i, **more} for i in range(of)]


def test_the_headline_says_both_where_both_are_clear(con: Connection) -> None:
    """162 of 200 are 81.0 % [75.0, 85.8]; 118 of 200 59.0 % [52.1, 65.6]; 151 and half a tie of 200 75.85 % [69.4, 81.2] (Wilson)."""
    scored(con, of_200(162))
    answered(con, wins(151, ties=1))
    claim = said(con, "overview")["headline"]
    assert plain(str(claim)) == "The reward model ranks 81 % of unseen pairs right and prefers DPO’s answer on 76 % of prompts."
    detail = (
        "81.0 % [75.0, 85.8] of 200 pairs, where taking the longer response gets 59.0 % [52.1, 65.6]. 75.8 % [69.4, 81.2] of 200 prompts."
    )
    assert (plain(claim.detail_text()), claim.sureness) == (detail, "clear")


def test_what_is_not_clear_leaves_the_headline_and_has_its_own_line(con: Connection) -> None:
    """103 of 200 are 51.5 % [44.6, 58.3], which holds one half."""
    scored(con, of_200(162))
    answered(con, wins(103))
    found = said(con, "overview")
    assert plain(str(found["headline"])) == "The reward model ranks 81 % of unseen pairs right."
    assert (
        plain(str(found["preference"])) == "The reward model cannot tell whose answers are better: DPO’s are preferred on 52 % of prompts."
    )
    assert found["preference"].sureness == "uncertain"
    assert (
        plain(str(found["untrained_accuracy"]))
        == "The untrained model cannot tell chosen from rejected: 52.0 % [45.1, 58.8] of 200 pairs right."
    )


def test_a_claim_speaks_of_the_slice_but_not_of_conditions_that_would_decide_it(con: Connection) -> None:
    """Of the 38 pairs with a margin below 0 none is ranked right, which says nothing; in none of them the longer response is chosen."""
    scored(con, of_200(162))
    wrong = Slice(dataset_id=DATASET, predicates=(Range(field="margin", high=0, scorer=TRAINED),))
    show_slice(con, wrong)
    found = said(con, comparison=replace(COMPARISON, slice=wrong))
    assert plain(str(found["ranks"])) == "The reward model ranks 81 % right; the untrained model cannot tell."
    assert plain(str(found["kept"])) == "The longer response is chosen in only 0 % of the slice’s 38 pairs."
    assert (found["ranks"].slice, found["kept"].slice) == (None, wrong)


def test_pairs_of_the_training_split_are_not_called_unseen(con: Connection) -> None:
    scored(con, of_200(162), split="train")
    claim = said(con, "reward_model", Comparison(DATASET, "train", TRAINED, UNTRAINED))["ranks"]
    assert plain(claim.detail_text()).endswith("n = 200 training pairs.")


def test_pairs_of_a_split_that_was_trained_on_in_part_are_just_pairs(con: Connection) -> None:
    """Trained on 50 of them, which these need not be."""
    scored(con, of_200(162), split="train")
    con.execute("update runs set config = ?", [json.dumps({"train_split": "train", "seed": 0, "pairs": 50})])
    claim = said(con, "reward_model", Comparison(DATASET, "train", TRAINED, UNTRAINED))["ranks"]
    assert plain(claim.detail_text()).endswith("n = 200 pairs.")


def test_pairs_are_not_called_unseen_where_the_training_data_is_not_here(con: Connection) -> None:
    scored(con, of_200(162))
    con.execute("update runs set dataset_id = 'deleted'")
    assert plain(str(said(con, "overview")["headline"])) == "The reward model ranks 81 % of pairs right."


def test_a_trained_model_in_the_place_of_the_untrained_one_is_not_called_untrained(con: Connection) -> None:
    scored(con, of_200(162))
    con.execute("update scorers set kind = 'head' where scorer_id = ?", [UNTRAINED])
    found = said(con)
    assert plain(str(found["ranks"])) == "The reward model ranks 81 % right."
    assert not {"untrained_accuracy", "accuracy_gain"} & found.keys()


def test_of_an_imported_scorer_nobody_knows_what_it_has_seen(con: Connection) -> None:
    scored(con, of_200(162))
    con.execute("update scorers set model_id = null, kind = 'imported'")
    assert plain(str(said(con, "overview")["headline"])) == "The reward model ranks 81 % of pairs right."


def test_a_reward_model_is_told_beside_the_untrained_one(con: Connection) -> None:
    scored(con, of_200(162))
    assert plain(str(said(con)["ranks"])) == "The reward model ranks 81 % right; the untrained model cannot tell."


def test_twelve_pairs_are_too_few_to_say_anything(con: Connection) -> None:
    scored(con, of_200(162)[:12])
    assert {plain(str(said(con)[name])) for name in ("headline", "ranks")} == {"Too little data to say: 12 pairs."}


def test_a_share_of_one_split_is_not_said_of_all_records(con: Connection) -> None:
    scored(con, of_200(162))
    kept = said(con, "data")["kept"]
    assert "pairs in validation" in plain(str(kept))
    assert plain(kept.detail_text()).endswith("of the 200 pairs in validation, ties half.")


def test_too_few_pairs_still_show_their_share(con: Connection) -> None:
    """The longer response is chosen in all of the first 12 pairs: from 12 / (12 + 1.96²) = 75.8 % (Wilson)."""
    scored(con, of_200(162)[:12])
    rule = said(con, "length_bias")["length_rule"]
    assert plain(str(rule)) == "Too little data to say whether the longer response is chosen more often: 12 pairs."
    assert plain(rule.detail_text()) == "100.0 % [75.8, 100.0] of 12 pairs, ties half."


def test_the_gain_seen_from_the_other_model_is_the_same_with_the_other_sign(con: Connection) -> None:
    scored(con, of_200(162))
    both = pairs_of_both(con, TRAINED, UNTRAINED, DATASET, "validation"), pairs_of_both(con, UNTRAINED, TRAINED, DATASET, "validation")
    one, other = (accuracy_gain(rows) for rows in both)
    assert (one.value, one.low, one.high) == (-other.value, -other.high, -other.low)


@pytest.mark.parametrize(
    ("reward_config", "policy_config", "shared"),
    [({}, {}, True), ({"pairs": 50}, {}, True), ({"pairs": 50}, {"pairs": 50}, False), ({"train_split": "other"}, {}, False)],
)
def test_a_judge_that_learned_from_the_same_pairs_is_said_to(
    con: Connection, reward_config: dict[str, Any], policy_config: dict[str, Any], shared: bool
) -> None:
    """Of two choices of 50 pairs nobody knows whether they are the same."""
    scored(con, of_200(162))
    answered(con, wins(151))
    for run, config in (("rm", reward_config), ("dpo", {"loss": {"name": "dpo"}} | policy_config)):
        con.execute("update runs set dataset_id = ?, config = ? where run_id = ?", [DATASET, json.dumps(config), run])
    assert ("same_pairs" in said(con, "dpo_vs_base"), "preference_same_pairs" in said(con, "overview")) == (shared, shared)


def test_a_type_of_prompt_on_which_the_policy_does_worse_is_named(con: Connection) -> None:
    """General won on 20 of 60, elsewhere 131 of 140: 33.3 against 93.6 %, far below 0 for each of two groups; 40 of 49 are lost there."""
    scored(con, [{"margin": 1.0, "type": "general" if i < 60 else "other"} for i in range(200)])
    answered(con, [*wins(20, of=60), *wins(131, of=140)])
    claim = said(con, "dpo_vs_base")["weakest_prompts"]
    assert plain(str(claim)) == "DPO does worse on general: preferred on 33 % of prompts, 94 % elsewhere."
    assert plain(claim.detail_text()).endswith("for 2 groups; 40 of all 49 lost prompts.")


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        (["length"] * 20, "DPO’s answers that lose are cut at the token limit more often than those that win: 40 % against 0 %."),
        (["stop"], "200 prompts are too few to say what lost prompts have in common: they differ clearly in none of length, cuts, repeats"),
    ],
)
def test_the_clearest_difference_of_lost_prompts_is_named(con: Connection, ends: list[str], sentence: str) -> None:
    """50 of 200 are lost, 20 of which the limit cut: [27.6, 53.8] % (Wilson), against none of 150."""
    scored(con, of_200(162))
    answered(con, [{**row, "tuned_end": ends[i - 150] if 0 <= i - 150 < len(ends) else "stop"} for i, row in enumerate(wins(150))])
    assert plain(str(said(con, "dpo_vs_base")["lost_prompts"])).startswith(sentence)


def test_a_group_lags_only_beyond_what_picking_the_worst_allows(con: Connection) -> None:
    """General 41 of 60 right, elsewhere 121 of 140: 68.3 against 86.4 %, −18.1 points; at 95 % [−31.6, −5.6] (Newcombe), and wider for
    the 5 groups that could have been picked, yet below 0. Of the 38 wrong pairs 19 are general.
    """
    sizes = {"general": (41, 60), "reasoning": (32, 42), "safety": (39, 40), "advice": (27, 29), "writing": (23, 29)}
    scored(con, [{"margin": 1.0 if i < right else -1.0, "type": kind} for kind, (right, n) in sizes.items() for i in range(n)])
    claim = said(con, "reward_model")["weakest_group"]
    assert plain(str(claim)) == "The reward model lags on general: 68 % right, 86 % elsewhere."
    assert "19 of all 38 wrong pairs" in claim.detail_text()
    by = claim.estimates["by"]
    assert by.value == pytest.approx(41 / 60 - 121 / 140)
    assert by.low < -0.316
    assert -0.056 < by.high < 0
    assert by.method == "Newcombe's interval, Bonferroni for 5 groups"


def test_groups_that_differ_by_chance_do_not_lag(con: Connection) -> None:
    """Ten groups of 30 pairs, 21 right in one and 24 in the others: 70 against 80 %, which holds 0 for one group alone."""
    scored(con, [{"margin": 1.0 if i < (21 if g == 0 else 24) else -1.0, "type": f"kind {g}"} for g in range(10) for i in range(30)])
    claim = said(con, "reward_model")["weakest_group"]
    assert (claim.sureness, plain(str(claim))[:60]) == ("uncertain", "300 pairs are too few to say whether the reward model lags o")


def test_a_reward_model_that_follows_length_is_said_to(con: Connection) -> None:
    """105 of 118 right with the longer response chosen, 57 of 82 with the shorter: 89.0 and 69.5 %, 19.5 points."""
    lengths = [{"chosen": 10, "rejected": 8}] * 118 + [{"chosen": 8, "rejected": 10}] * 82
    right = [*([1.0] * 105 + [-1.0] * 13), *([1.0] * 57 + [-1.0] * 25)]
    scored(con, [{"margin": m, **words} for m, words in zip(right, lengths, strict=True)])
    found = said(con, "length_bias")
    assert (
        plain(str(found["length_advantage"]))
        == "The reward model is right more often when the chosen response is longer: 89 % against 70 %."
    )
    assert plain(str(found["gain_over_length_rule"])) == "The reward model beats “the longer response is better” by 22 points."
    assert plain(str(found["accuracy_length_matched"])) == "Too little data where lengths differ by at most 10 %: 0 pairs."


def cut(complete_won: int, complete: int) -> list[dict[str, Any]]:
    """200 prompts of which the tuned answer wins 150; `complete` are complete on both sides, and `complete_won` of them won."""
    rows = wins(complete_won, of=complete)
    rest = wins(150 - complete_won, of=200 - complete)
    return [*rows, *({**row, "base_end": "length", "base": 200} for row in rest)]


@pytest.mark.parametrize(
    ("won", "n", "verdict"),
    [
        (60, 78, "the verdict holds."),
        (20, 78, "the verdict turns."),
        (40, 78, "whether the verdict holds cannot be told."),
        (10, 12, "Too little data where both are complete to say whether the verdict holds: 12 prompts."),
    ],
)
def test_cut_answers_are_a_warning_with_the_check_done(con: Connection, won: int, n: int, verdict: str) -> None:
    """60 of 78 are 76.9 % [66.5, 84.9], 20 of 78 25.6 % [17.2, 36.3], 40 of 78 51.3 %: the first two lie on one side of one half."""
    scored(con, of_200(162))
    answered(con, cut(won, n))
    warning = plain(str(said(con, "dpo_vs_base")["cut_answers"]))
    share = f"{(200 - n) / 2:.1f} %"
    assert warning.startswith(f"Cut at the token limit: {share} of the base model’s 200 answers, 0.0 % of DPO’s 200 answers. ")
    assert warning.endswith(verdict)


@pytest.mark.parametrize(("won", "n", "sure"), [(60, 78, "clear"), (40, 78, "uncertain"), (0, 0, "uncertain")])
def test_a_preference_is_clear_only_where_whole_answers_say_it_too(con: Connection, won: int, n: int, sure: str) -> None:
    """150 of 200 are clear by themselves; 60 of the 78 complete ones say the same and 40 do not; nor do none."""
    scored(con, of_200(162))
    answered(con, cut(won, n))
    found = said(con)
    assert {found[name].sureness for name in ("preferred", "preferred_prompts")} == {sure}
    assert ("preference" in found) == (sure == "uncertain")  # beside the Overview's headline, which says what is clear
    if n == 78 and sure == "uncertain":
        assert plain(found["preferred"].detail_text()).endswith(
            "But on the 78 prompts with no answer cut at the token limit: 51.3 % [40.4, 62.1]."
        )


@pytest.mark.parametrize(("won", "sure"), [(60, "clear"), (0, "uncertain")])
def test_a_policy_seen_beside_another_is_clear_only_where_whole_answers_say_it_too(con: Connection, won: int, sure: str) -> None:
    """The other policy loses every prompt; DPO wins 150, 60 of them of the 78 without cut answers, or all 122 others and no such one.

    Only base answers are cut: to the rewards that the two policies gain over them they are the same.
    """
    gained = 150 if won else 122
    scored(con, of_200(162))
    answered(con, cut(won, 78))
    insert(con, "generators", [{"generator_id": "other", "model_id": None, "name": "other", "kind": "imported", "settings": "{}"}])
    insert(con, "generations", [
        {"generation_id": f"other{i}", "generator_id": "other", "prompt_id": f"p{i}", "text_id": f"other{i}", "finish_reason": "stop"}
        for i in range(200)
    ])  # fmt: skip
    insert(con, "texts", [{"text_id": f"other{i}", "text": "no", "chars": 2, "words": 1, "language": "other"} for i in range(200)])
    insert(con, "rewards", [reward(TRAINED, f"p{i}", f"other{i}", -1.0) for i in range(200)])
    recount(con, [TRAINED])
    shown, second = (Selection(**{**vars(COMPARISON), "tuned_generator": tuned}) for tuned in ("other", TUNED))
    found = paired_differences(con, shown, second)
    assert [claim.sureness for claim in found] == [sure, "clear"]
    assert [claim.estimates["by"].value for claim in found] == [each * gained / 200 for each in (1, 2)]
    assert ("no answer cut" in found[0].detail_text()) == (sure == "uncertain")


def lengths(base: tuple[str, ...], tuned: tuple[str, ...]) -> list[dict[str, Any]]:
    """Tuned answers 20 or 30 tokens shorter, which end as said, turn about."""
    ends = [{"base_end": base[i % 2], "tuned_end": tuned[i % 2]} for i in range(200)]
    return [{**row, **end, "tuned": 70 if i % 2 else 80} for i, (row, end) in enumerate(zip(wins(151), ends, strict=True))]


@pytest.mark.parametrize(
    ("base", "tuned", "sentence", "sure"),
    [
        (("length", "stop"), ("stop", "stop"), "DPO’s answers are at least 25 tokens shorter.", "clear"),
        (("length", "length"), ("length", "stop"), "Up to the token limit DPO’s answers are 25 tokens shorter.", "clear"),
        (("stop", "stop"), ("length", "stop"), "Up to the token limit DPO’s answers are 25 tokens shorter.", "uncertain"),
    ],
)
def test_of_cut_answers_the_length_is_a_bound(
    con: Connection, base: tuple[str, ...], tuned: tuple[str, ...], sentence: str, sure: str
) -> None:
    """Where only base answers are cut they are longer still; where only tuned ones are, these may be the longer ones."""
    scored(con, of_200(162))
    answered(con, lengths(base, tuned))
    claim = said(con, "dpo_vs_base")["length_difference"]
    assert (plain(str(claim)), claim.sureness) == (sentence, sure)


def test_answers_that_nobody_cut_need_no_warning(con: Connection) -> None:
    scored(con, of_200(162))
    answered(con, wins(151))
    assert "cut_answers" not in said(con)


def test_prompts_are_counted_with_their_ties(con: Connection) -> None:
    scored(con, of_200(162))
    answered(con, wins(151, ties=1))
    said_of_them = "DPO’s answer is preferred on 151 of 200 prompts, the base model’s on 48; one is a tie."
    assert plain(str(said(con)["preferred_prompts"])) == said_of_them


def test_shorter_answers_that_win_are_said_to_be_shorter_and_to_win(con: Connection) -> None:
    """22 tokens fewer on average: 17 or 27 fewer, turn about; 76 of 100 where shorter by more than a tenth."""
    scored(con, of_200(162))
    answered(con, [{**row, "tuned": 73 if i % 2 else 83} for i, row in enumerate(wins(151))])
    found = said(con, "dpo_vs_base")
    assert plain(str(found["length_difference"])) == "DPO’s answers are 22 tokens shorter."
    assert plain(str(found["win_rate_shorter"])) == "Where DPO’s answer is shorter it wins 75.5 % [69.1, 80.9] of 200 prompts."
    assert plain(str(found["win_rate_longer"])) == "Too little data where DPO’s answer is longer: 0 prompts."


def test_an_imported_tuned_model_is_called_by_its_own_name_on_one_short_line(con: Connection) -> None:
    scored(con, of_200(162))
    answered(con, wins(151), loss=None)
    con.execute("update generators set name = ? where generator_id = ?", ["my <b>model</b>\n{by} " + "x" * 60, TUNED])
    claim = str(said(con, "prompts")["preferred_prompts"])
    assert claim.startswith("my <b>model</b> {by} xxxxxxxxxxxxxxxxxx…’s answer is preferred on 151")


def test_findings_are_clear_ones_first_and_the_surest_before_others(con: Connection) -> None:
    scored(con, of_200(162))
    answered(con, [{**row, "tuned": 73 if i % 2 else 83} for i, row in enumerate(wins(151))])
    found = findings(con, COMPARISON)
    assert found[0].name == "length_difference"
    assert all(claim.sureness is not Sureness.TOO_LITTLE and claim.page for claim in found)
    assert [list(Sureness).index(c.sureness) for c in found] == sorted(list(Sureness).index(c.sureness) for c in found)


def test_every_page_has_its_headline_and_a_page_says_what_all_say(con: Connection) -> None:
    scored(con, of_200(162))
    answered(con, wins(151))
    every = claims(con, COMPARISON)
    assert list(dict.fromkeys(claim.page for claim in every)) == list(package.PAGES)
    assert [claim.as_json() for page in package.PAGES for claim in claims(con, COMPARISON, page)] == [claim.as_json() for claim in every]
    assert {claim.template for claim in every} | {claim.detail for claim in every} - {""} <= TEMPLATES


def test_an_empty_comparison_says_nothing(con: Connection) -> None:
    assert claims(con, Comparison()) == findings(con, Comparison()) == []


def test_claims_rest_on_registered_statistics() -> None:
    assert {name for stating in CLAIMS.values() for name in stating.of} <= set(STATISTICS)


def test_summary_says_what_a_page_says_of_the_same_comparison(
    filled_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(filled_cache))
    assert main(["summary", "--claims", "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    with reading(filled_cache) as con:
        shown = default_selection(con)
        (looked_at,) = comparisons(con)
        sentences = [claim.as_json() for page in package.PAGES for claim in claims(con, shown, page)]
    assert all(value == getattr(shown, name) for name, value in vars(looked_at).items())
    assert printed["claims"] == json.loads(json.dumps(sentences))
    assert {"template", "values", "sureness", "estimates"} <= printed["claims"][0].keys()
    assert main(["summary", "--claims"]) == 0
    text = capsys.readouterr().out
    assert all(f"{claim['sureness']:16}{claim['text']}" in text for claim in sentences)


def test_summary_of_nothing_claims_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
    assert main(["summary", "--claims"]) == 0
    assert capsys.readouterr().out == "nothing has been scored yet\n"


def test_what_has_answers_goes_before_what_was_scored_later(con: Connection) -> None:
    """The newer reward model has scored the pairs, and not the answers."""
    scored(con, of_200(162)[:30])
    answered(con, wins(20, of=30))
    insert(con, "scorers", [scorer("newer", "head", "z-later")])
    insert(con, "models", [{"model_id": "z-later", "kind": "reward", "base_model": "smol", "run_id": "z-later"}])
    con.execute(
        "insert into rewards by name select * replace ('newer' as scorer_id) from rewards "
        "where scorer_id = $trained and text_id in (select unnest([chosen_id, rejected_id]) from pairs)",
        {"trained": TRAINED},
    )
    recount(con, ["newer"])
    assert comparisons(con) == [COMPARISON, Comparison(DATASET, "validation", "newer", UNTRAINED)]


def test_a_judge_that_met_a_few_answers_by_chance_compares_nothing(con: Connection) -> None:
    """Rewards imported of all 200 tuned answers and of 9 that the base gave too are no comparison; of all 400 they are one."""
    scored(con, of_200(162))
    answered(con, wins(151))
    insert(con, "scorers", [scorer("judge", "imported", "judge")])
    for texts in ([f"tuned{i}" for i in range(200)] + [f"base{i}" for i in range(9)], [f"base{i}" for i in range(9, 200)]):
        compared = [c for c in comparisons(con) if c.trained_scorer == "judge"]
        assert not any(c.tuned_generator for c in compared)
        insert(con, "rewards", [reward("judge", f"p{text.lstrip('tunedbas')}", text, 1.0) for text in texts])
        recount(con, ["judge"])
    assert [c.tuned_generator for c in comparisons(con) if c.trained_scorer == "judge"] == [TUNED]
