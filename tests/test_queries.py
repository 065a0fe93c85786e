"""Queries on a cache as the engine leaves it: what is counted, and that nothing chosen gives nothing."""

from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest
from filled import DATASET, fill, pairs, write_run

from dashboard import queries
from dashboard.figures import FIGURES, TABLES, Figure, Table
from dashboard.queries import Selection
from dashboard.queries.curves import LIVE
from dashboard.queries.distributions import bin_width
from dashboard.queries.prompts import FLAGS
from engine.settings.config import RewardConfig
from engine.statistics.comparison import comparisons
from engine.statistics.estimate import Estimate
from engine.statistics.intervals import share_above_zero
from engine.store import database
from engine.store.database import Connection, frame
from engine.store.status import State

MADE: list[Figure | Table] = [*FIGURES, *TABLES]


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.name)
def test_only_the_live_queries_read_curves(filled_cache: Path, made: Figure | Table) -> None:
    """The others are answered where the view of live curves was never made, as on a page."""
    with database.reading(filled_cache) as con:
        chosen = queries.default_selection(con)
        if made.query in LIVE:
            with pytest.raises(duckdb.CatalogException, match="curves"):
                made.query(con, chosen)
        else:
            made.query(con, chosen)


def test_default_selection_takes_the_newest_trained_scorer_and_its_untrained_twin(con: Connection, chosen: Selection) -> None:
    kinds = dict(queries.choices(con).scorers.select("scorer_id", "kind").iter_rows())
    assert (chosen.dataset_id, chosen.split) == (DATASET, "validation")
    assert (kinds[chosen.trained_scorer or ""], kinds[chosen.base_scorer or ""]) == ("head", "untrained_head")


def test_twin_of_a_scorer_has_the_seed_its_run_began_with(empty_cache: Path) -> None:
    fill(empty_cache)
    with database.writing(empty_cache) as con:
        con.execute("insert into scorers select * replace ('another' as scorer_id, 5 as seed) from scorers where seed = 0")
        con.execute(
            "insert into rewards select r.* replace ('another' as scorer_id) from rewards r join scorers using (scorer_id) where seed = 0"
        )
        database.recount(con, database.every_scorer(con))
        seeds = dict(database.frame(con, "select scorer_id, seed from scorers").iter_rows())
        assert seeds[queries.default_selection(con).base_scorer or ""] == 0


def test_default_selection_shows_the_scorers_own_run_first(chosen: Selection) -> None:
    assert chosen.reward_runs == ("20260102-000100-rm", "20260102-000050-rm16")
    assert chosen.policy_runs == ("20260102-000200-dpo",)


def test_default_selection_puts_base_before_tuned_generator(con: Connection, chosen: Selection) -> None:
    kinds = dict(queries.choices(con).generators.select("generator_id", "kind").iter_rows())
    assert (kinds[chosen.base_generator or ""], kinds[chosen.tuned_generator or ""]) == ("base", "tuned")


def test_nothing_chosen_gives_empty_frames_everywhere(con: Connection) -> None:
    for made in MADE:
        assert made.query(con, Selection()).is_empty(), made.name


def test_what_is_looked_at_first_is_the_first_of_all_comparisons(con: Connection, chosen: Selection) -> None:
    first = comparisons(con)[0]
    assert {name: getattr(chosen, name) for name in vars(first)} == vars(first)


def test_an_empty_database_gives_an_empty_default_selection(empty_cache: Path) -> None:
    with database.reading(empty_cache) as con:
        assert queries.default_selection(con) == Selection()


def test_a_filled_cache_fills_every_figure_and_table(con: Connection, chosen: Selection) -> None:
    for made in MADE:
        assert not made.query(con, chosen).is_empty(), made.name


def test_histogram_counts_every_response_once(con: Connection, chosen: Selection) -> None:
    bins = queries.response_lengths(con, chosen)
    counted = dict(bins.group_by("series").agg(pl.col("count").sum()).iter_rows())
    assert counted == {"chosen": len(pairs()) - 6, "rejected": len(pairs()) - 6}
    assert bins.group_by("series").agg(pl.col("share").sum())["share"].to_list() == pytest.approx([1, 1])


def test_bins_are_round_numbers() -> None:
    assert bin_width(0, 1, 10) == pytest.approx(0.1)
    assert bin_width(0, 97, 10) == 10
    assert bin_width(-3, 3, 30) == pytest.approx(0.2)


def test_a_histogram_of_equal_values_has_one_bin(con: Connection) -> None:
    bins = queries.histogram(con, "select 'a' as series, '' as facet, 2.5e0 as value from range(4)", {})
    assert bins.select("low", "high", "count").rows() == [(2, 3, 4)]


def test_box_statistics_are_those_of_the_values(con: Connection) -> None:
    """0 to 8 and 100: quartiles 2.25, 4.5, 6.75; whiskers end within 1.5 × 4.5 of the box, so 100 is an outlier."""
    numbers = "(values (0),(1),(2),(3),(4),(5),(6),(7),(8),(100)) t(v)"
    box = queries.boxes(con, f"select 'a' as series, '' as facet, v as value, v as prompt_id from {numbers}", {})
    row = box.row(0, named=True)
    assert (row["q1"], row["median"]["value"], row["q3"], row["low"], row["high"], row["outliers"]) == (2.25, 4.5, 6.75, 0, 8, [100])


def test_summary_in_sql_equals_the_metrics_in_python(con: Connection, chosen: Selection) -> None:
    summary = queries.reward_summary(con, chosen, chosen.trained_scorer).row(0, named=True)
    rewards = {
        (p, t): r
        for p, t, r in database.frame(
            con, "select prompt_id, text_id, reward from rewards where scorer_id = $s", {"s": chosen.trained_scorer}
        ).iter_rows()
    }
    rows = database.frame(con, "select prompt_id, chosen_id, rejected_id from pairs where split = 'validation'").rows()
    by_hand = share_above_zero([rewards[p, c] - rewards[p, r] for p, c, r in rows])
    found = Estimate(**summary["accuracy"])
    assert (found.value, found.low, found.n, found.method) == (by_hand.value, by_hand.low, by_hand.n, by_hand.method)


def test_accuracy_groups_hold_every_pair_once(con: Connection, chosen: Selection) -> None:
    for (_,), groups in queries.accuracy_by_length(con, chosen).group_by("who"):
        assert sum(cell["n"] for cell in groups["accuracy"]) == len(pairs()) - 6
        assert (groups["low"].to_list(), groups["high"].to_list()) == (sorted(groups["low"]), sorted(groups["high"]))


def test_curves_are_smoothed_over_all_steps_and_know_the_pairs_seen(con: Connection, chosen: Selection) -> None:
    curve = queries.reward_curves(con, chosen).filter(pl.col("metric") == "loss")
    assert curve["pairs_seen"].to_list() == [4 * step for step in curve["step"]]
    assert curve["smooth"].std() < curve["value"].std()  # type: ignore[operator]


def test_validation_accuracy_carries_its_n_and_its_interval(con: Connection, chosen: Selection) -> None:
    """0.55 of 30 pairs: Wilson's centre (0.55 + 3.8415/60) / 1.12805 = 0.5443, half 1.96 √(0.2475/30 + 3.8415/3600) / 1.12805 = 0.1677."""
    rows = queries.validation_accuracy(con, chosen)
    assert rows["n"].unique().to_list() == [30]
    first = next(cell for value, cell in rows.select("value", "accuracy").iter_rows() if value == pytest.approx(0.55))
    assert (first["low"], first["high"]) == pytest.approx((0.3766, 0.7120), abs=1e-3)


def test_finished_runs_that_differ_in_the_seed_alone_are_one_curve_with_a_range(empty_cache: Path) -> None:
    """Losses 1, 2 and 6 at step 1 have the mean 3; a fourth seed still trains, and a fifth run has another batch size."""
    configs = [RewardConfig(name=f"r{seed}", dataset=DATASET, seed=seed) for seed in range(4)]
    configs.append(RewardConfig(name="r4", dataset=DATASET, seed=0, batch_size=16))
    for config, loss in zip(configs, (1.0, 2.0, 6.0, 7.0, 8.0), strict=True):
        run = write_run(empty_cache, config.name, config, State.RUNNING if config.name == "r3" else State.DONE)
        run.append_metrics(1, "train", {"loss": loss}, 10, 1.0)
        run.append_metrics(1, "validation", {"accuracy": loss / 10, "n": 30.0}, 10, 1.0)
        database.ingest(empty_cache, run.path)
    chosen = Selection(reward_runs=("r1", "r0", "r2", "r3", "r4"))
    with database.reading(empty_cache) as con:
        database.show_live(con, empty_cache)
        drawn = queries.reward_curves_compared(con, chosen).select("run_id", "run", "run_index", "seeds", "value", "low", "high").rows()
        measured = queries.validation_accuracy(con, chosen)
    assert drawn == [("r1", "r1, 3 seeds", 1, 3, 3.0, 1.0, 6.0), ("r3", "r3", 3, 1, 7.0, 7.0, 7.0), ("r4", "r4", 4, 1, 8.0, 8.0, 8.0)]
    assert measured["value"].to_list() == pytest.approx([0.3, 0.7, 0.8])
    assert measured["accuracy"].is_null().to_list() == [True, False, False]


def test_words_leave_stop_words_out_and_cut_chinese(con: Connection, chosen: Selection) -> None:
    words = queries.word_counts(con, chosen)["word"].to_list()
    assert "the" not in words
    assert "链条" in words


def test_table_2_is_evenly_spaced_from_best_to_worst(con: Connection, chosen: Selection) -> None:
    everything, table = queries.prompts(con, chosen), queries.answered_prompts(con, chosen)
    assert len(table) == 10
    assert (table["difference"][0], table["difference"][-1]) == (everything["difference"][0], everything["difference"][-1])


def test_table_1_shows_the_selected_pair(con: Connection, chosen: Selection) -> None:
    wanted = queries.pairs(con, chosen)["pair_id"][3]
    table = queries.preference_pair(con, replace(chosen, pair_id=wanted))
    assert table["pair_id"].to_list() == [wanted, wanted]
    assert table["response"].to_list() == ["chosen", "rejected"]


def test_pairs_are_ordered_searched_and_paged_with_their_difference_in_length(con: Connection, chosen: Selection) -> None:
    """The words of the list are those of the whole texts, which one pair has."""
    rows = queries.pairs(con, chosen, order="chosen_longer", rows=100)
    assert rows["longer_by"].to_list() == sorted((rows["chosen_words"] - rows["rejected_words"]).to_list(), reverse=True)
    assert queries.pairs(con, chosen, order="chosen_longer", rows=2, page=1)["pair_id"].to_list() == rows["pair_id"].to_list()[2:4]
    whole = queries.pair_texts(con, chosen, rows["pair_id"][0]).row(0, named=True)
    assert whole["chosen"].startswith(rows["chosen"][0])
    assert whole["margin"] == pytest.approx(whole["chosen_trained"] - whole["rejected_trained"])
    assert whole["untrained_margin"] != whole["margin"]
    text = whole["chosen"][:12].upper()
    found = queries.pairs(con, chosen, search=text, rows=100)
    assert rows["pair_id"][0] in found["pair_id"].to_list()
    assert set(found["pair_id"]) == set(queries.matching_pairs(con, chosen, search=text)["pair_id"])
    assert found["matches"].to_list() == [len(found)] * len(found)


def test_prompts_are_searched_in_prompt_and_answers(con: Connection, chosen: Selection) -> None:
    """The tuned answers begin with their question, the base ones say "it depends"; lower and upper case are one."""
    asked = [pair.prompt_id for pair in pairs()[6:] if "bicycle" in pair.turns[-1].content]
    assert sorted(queries.prompts(con, chosen, search="BICYCLE")["prompt_id"]) == sorted(asked)
    assert len(queries.prompts(con, chosen, search="well, it DEPENDS")) == 30
    assert queries.prompts(con, chosen, search="pancake").is_empty()


def test_a_prompt_is_answered_where_both_generators_answered_it(con: Connection, chosen: Selection) -> None:
    assert queries.prompts(con, chosen)["answered"].sum() == 30
    assert queries.prompts(con, replace(chosen, tuned_generator=None))["answered"].to_list() == [False] * 30


def test_prompts_are_ordered_by_the_chosen_scorer(con: Connection, chosen: Selection) -> None:
    trained, untrained = (
        frame(con, "select prompt_id, difference from compared_answers where scorer_id = $s and base_id = $b and tuned_id = $t", {
            "s": scorer, "b": chosen.base_generator, "t": chosen.tuned_generator,
        })
        for scorer in (chosen.trained_scorer, chosen.base_scorer)
    )  # fmt: skip
    best = trained.sort("difference", descending=True)
    worst = untrained.sort("difference")
    assert queries.prompts(con, chosen)["prompt_id"].to_list() == best["prompt_id"].to_list()
    found = queries.prompts(con, chosen, scorer=chosen.base_scorer, order="difference_up")
    assert found["prompt_id"].to_list() == worst["prompt_id"].to_list()
    assert queries.preferred(found) == {"tuned": (worst["difference"] > 0).sum(), "base": (worst["difference"] < 0).sum(), "tie": 0}


def test_prompts_are_found_by_what_stands_out_in_their_answers(con: Connection, chosen: Selection) -> None:
    """Every tuned answer says "Take care." three times or more, most base ones "Well, it depends."; nobody refuses."""
    sizes = {flag: len(queries.prompts(con, chosen, flag=flag)) for flag in FLAGS}
    once = sum(i % 9 < 2 for i in range(30))  # "Well, it depends." once or twice
    cut = frame(con, "select kind, count(*) from answers join generators using (generator_id) where finish_reason = 'length' group by kind")
    uncut = (
        "select prompt_id from answers where generator_id in ($base, $tuned) group by prompt_id having bool_and(finish_reason <> 'length')"
    )
    both = frame(con, uncut, {"base": chosen.base_generator, "tuned": chosen.tuned_generator})
    assert sizes == {
        "any_cut": 30 - len(both), "none_cut": len(both),
        "tuned_cut": dict(cut.iter_rows()).get("tuned", 0), "tuned_repeats": 30, "tuned_refuses": 0,
        "base_cut": dict(cut.iter_rows()).get("base", 0), "base_repeats": 30 - once, "base_refuses": 0,
    }  # fmt: skip


def test_a_prompt_is_shown_with_its_pair_its_answers_and_every_scorer(con: Connection, chosen: Selection) -> None:
    pair = pairs()[10]
    about = queries.about_prompt(con, chosen, pair.prompt_id)
    assert about is not None
    assert (about.turns, about.prompt_type) == (pair.turns, pair.prompt_type)
    assert about.pairs.select("chosen", "rejected").rows() == [(pair.chosen, pair.rejected)]
    assert about.answers["generator"].to_list() == ["smollm2 (base)", "smollm2 (tuned)"]
    assert about.judgements["scorer"].to_list() == ["reward model", "untrained"]
    assert about.judgements["difference"].to_list() == (about.judgements["tuned_reward"] - about.judgements["base_reward"]).to_list()
    assert queries.about_prompt(con, chosen, "nowhere") is None


def test_bars_are_drawn_against_a_scorers_largest_difference(con: Connection, chosen: Selection) -> None:
    differences = queries.prompts(con, chosen)["difference"].to_list()
    assert queries.scales(con, chosen)[chosen.trained_scorer or ""] == max(abs(difference) for difference in differences)


def test_what_is_saved_of_prompts_keeps_their_order(con: Connection, chosen: Selection) -> None:
    ids = tuple(queries.prompts(con, chosen, order="prompt")["prompt_id"])
    saved = queries.prompt_table(con, chosen, ids)
    assert tuple(saved["prompt_id"]) == ids
    assert saved["prompt"].to_list() == sorted(saved["prompt"])
    assert queries.prompt_lines(con, chosen, ids[3:5], chars=7)["prompt"].to_list() == [text[:7] for text in saved["prompt"][3:5]]


def test_a_search_is_a_value_and_never_sql(con: Connection, chosen: Selection) -> None:
    assert queries.prompts(con, chosen, search="'; drop table rewards; --").is_empty()
    assert queries.pairs(con, chosen, search="'; drop table rewards; --").is_empty()
    assert not queries.reward_summaries(con, chosen).is_empty()


def test_wins_ties_and_losses_are_the_signs_of_the_differences(con: Connection, chosen: Selection) -> None:
    """Every prompt is one of the three, and win_rate = (won + tied / 2) / n."""
    rows = queries.win_tie_loss(con, chosen)
    assert rows["judge"].to_list() == ["trained", "untrained"]
    for row in rows.iter_rows(named=True):
        n = row["won"] + row["tied"] + row["lost"]
        assert (n, row["win_rate"]["value"]) == (row["win_rate"]["n"], pytest.approx((row["won"] + row["tied"] / 2) / n))


def test_groups_and_lengths_hold_every_compared_prompt_once(con: Connection, chosen: Selection) -> None:
    n = queries.win_tie_loss(con, chosen)["win_rate"][0]["n"]
    for rows in (queries.win_rate_by_group(con, chosen), queries.win_rate_by_length(con, chosen)):
        assert sum(cell["n"] for cell in rows["win_rate"]) == n


def test_a_model_finished_later_is_offered_with_its_result_beside_the_one_shown(con: Connection, chosen: Selection) -> None:
    """Looking at the untrained scorer, which no run made, the trained one is offered; looking at the newest, nothing is."""
    assert queries.newer_models(con, chosen).is_empty()
    before = replace(chosen, trained_scorer=chosen.base_scorer)
    found = queries.newer_models(con, before).row(0, named=True)
    assert (found["kind"], found["id"], found["new"]["n"]) == ("scorer", chosen.trained_scorer, found["shown"]["n"])
    (claim,) = queries.paired_differences(con, before, chosen)
    assert claim.estimates["by"].value == pytest.approx(found["new"]["value"] - found["shown"]["value"])


@pytest.mark.parametrize(
    ("others", "name"),
    [
        ([], "untrained"),
        ([("one", 0, "head", "bf16")], "untrained"),
        ([("one", 1, "untrained_head", "fp32")], "untrained (seed 0)"),
        ([("two", 0, "untrained_head", "fp32")], "untrained (one)"),
        ([("two", 1, "untrained_head", "fp32")], "untrained (one, seed 0)"),
        ([("one", 0, "untrained_head", "bf16")], "untrained (fp32)"),
    ],
)
def test_an_untrained_scorer_is_called_by_what_others_differ_from_it_in(others: list[tuple[str, int, str, str]], name: str) -> None:
    con = duckdb.connect()
    con.execute(database.SCHEMA)
    for scorer in [("one", 0, "untrained_head", "fp32"), *others]:
        con.execute("insert into scorers (scorer_id, name, model_id, seed, kind, precision) values (uuid(), 'x', ?, ?, ?, ?)", scorer)
    assert name in {row[0] for row in con.execute("select name from named_scorers").fetchall()}


@pytest.mark.parametrize(
    ("run", "name"), [("DPO answers", "DPO"), ("Answers of my dpo, 2", "my dpo, 2"), ("answers", "answers"), ("Baseline", "Baseline")]
)
def test_answers_are_called_by_who_gave_them(run: str, name: str) -> None:
    con = duckdb.connect()
    con.execute(database.SCHEMA)
    con.execute("insert into generators (generator_id, name, kind, settings) values ('g', ?, 'tuned', '{}')", [run])
    assert con.execute("select name from named_generators").fetchall() == [(name,)]
