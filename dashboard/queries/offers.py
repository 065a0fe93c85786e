"""Models that were finished after those that are shown, and how two comparisons differ on the same rows."""

from dataclasses import replace
from typing import Literal

import polars as pl

from dashboard.queries.answers import judged
from dashboard.queries.scores import reward_summary
from dashboard.queries.selection import Selection
from engine.statistics import rows
from engine.statistics.claims import Claim
from engine.statistics.claims.beside import ACCURACY, REWARD, WIN_RATE, instead
from engine.statistics.claims.cuts import unless_cut
from engine.statistics.estimate import ESTIMATE, Estimate, column
from engine.statistics.intervals import mean
from engine.statistics.registry import measured
from engine.statistics.twins import pairs_of_both, untrained_twin
from engine.store.database import Connection, frame

SCORERS = """
    select 'scorer' as kind, s.scorer_id as id, s.name, m.run_id
    from coverage c join named_scorers s using (scorer_id) join models m using (model_id)
    where c.generator_id is null and c.complete and c.dataset_id = $dataset and c.split = $split and s.kind in ('head', 'ensemble')
      and m.run_id > coalesce((select run_id from scorers join models using (model_id) where scorer_id = $trained), '')
"""
GENERATORS = """
    select 'generator' as kind, g.generator_id as id, g.name, m.run_id
    from named_generators g join models m using (model_id)
    join comparable c on c.tuned_id = g.generator_id and c.base_id = $base and c.paired
    where m.run_id > coalesce((select run_id from generators join models using (model_id) where generator_id = $tuned), '')
      and exists (from coverage v where v.generator_id = g.generator_id and v.complete and v.dataset_id = $dataset and v.split = $split)
"""
BOTH_ANSWERED = """
    select t.prompt_id, t.difference - s.difference as gained, sign(t.difference) / 2 - sign(s.difference) / 2 as won,
           t.base_finish_reason,
           if(s.tuned_finish_reason = 'length', s.tuned_finish_reason, t.tuned_finish_reason) as tuned_finish_reason -- of either
    from compared_answers t join compared_answers s using (prompt_id, scorer_id, base_id)
    where scorer_id = $scorer and base_id = $base and t.tuned_id = $tuned and s.tuned_id = $shown
      and prompt_id in (select prompt_id from pairs where dataset_id = $dataset and split = $split) order by prompt_id
"""
COLUMNS = {**dict.fromkeys(("kind", "id", "name", "run_id", "twin"), pl.String()), "new": ESTIMATE, "shown": ESTIMATE}


def newer_models(con: Connection, selection: Selection) -> pl.DataFrame:
    """Scorers and tuned generators of this split finished after those shown, newest first: kind, id, name, run_id, twin, new, shown.

    new and shown: accuracy of a scorer, win rate of a generator under the trained scorer; null where it was not measured.
    """
    where: dict[str, object] = {"dataset": selection.dataset_id, "split": selection.split}
    found: list[dict[str, object]] = []
    if selection.trained_scorer:
        scorers = frame(con, SCORERS, {**where, "trained": selection.trained_scorer})
        here = frame(con, "select distinct scorer_id from coverage where dataset_id = $dataset and split = $split", where)["scorer_id"]
        shown = accuracy(con, selection, selection.trained_scorer) if len(scorers) else None
        for row in scorers.iter_rows(named=True):
            twin = untrained_twin(con, row["id"], here.to_list())
            found.append({**row, "twin": twin, "new": accuracy(con, selection, row["id"]), "shown": shown})
    if selection.tuned_generator and selection.base_generator:
        answers = {"base": selection.base_generator, "tuned": selection.tuned_generator}
        generators = frame(con, GENERATORS, {**where, **answers})
        shown = win_rate(con, selection) if len(generators) else None
        for row in generators.iter_rows(named=True):
            new = win_rate(con, replace(selection, tuned_generator=row["id"]))
            found.append({**row, "twin": None, "new": new, "shown": shown})
    found.sort(key=lambda row: str(row["run_id"]), reverse=True)
    return pl.DataFrame(found, schema=COLUMNS)


def accuracy(con: Connection, selection: Selection, scorer: str) -> dict[str, object] | None:
    return first(reward_summary(con, selection, scorer, ("accuracy",)), "accuracy")


def win_rate(con: Connection, selection: Selection) -> dict[str, object] | None:
    answers = rows.compared_answers(con, selection, selection.trained_scorer)
    return None if answers.is_empty() else column("win_rate", measured(answers, ["win_rate"]).values())[0]


def first(found: pl.DataFrame, name: str) -> dict[str, object] | None:
    return None if found.is_empty() else found[name][0]


def paired_differences(con: Connection, shown: Selection, second: Selection) -> list[Claim]:
    """How a second comparison differs from the one shown, row by row on the same pairs or prompts: second − shown.

    What only holds with answers that the token limit cut is doubtful here too.
    """
    found: list[Claim] = []
    if second.trained_scorer != shown.trained_scorer:
        pairs = pairs_of_both(con, second.trained_scorer, shown.trained_scorer, shown.dataset_id, shown.split)
        names = names_of(con, "scorer", second.trained_scorer, shown.trained_scorer)
        found += [instead(ACCURACY, measured(pairs, ["accuracy_gain"])["accuracy_gain"], *names)] if len(pairs) else []
    if second.tuned_generator != shown.tuned_generator:
        values = {**judged(second, "trained"), "shown": shown.tuned_generator}
        answers = frame(con, BOTH_ANSWERED, values)
        names = names_of(con, "generator", second.tuned_generator, shown.tuned_generator)
        if len(answers):
            both_tuned = answers.with_columns(base_finish_reason=pl.lit(None, pl.String))  # the base answer's reward cancels
            for template, by, rest in ((WIN_RATE, won, answers), (REWARD, gained, both_tuned)):
                found.append(unless_cut(instead(template, by(rest), *names), rest, by))
    return found


def won(answers: pl.DataFrame) -> Estimate:
    return mean(answers["won"], answers["prompt_id"], unit="difference of shares", counted="prompts")


def gained(answers: pl.DataFrame) -> Estimate:
    return mean(answers["gained"], answers["prompt_id"], counted="prompts")


def names_of(con: Connection, kind: Literal["scorer", "generator"], second: str | None, shown: str | None) -> tuple[str, str]:
    names = dict(frame(con, f"select {kind}_id, name from named_{kind}s").iter_rows())
    return names.get(second, "–"), names.get(shown, "–")
