"""What is looked at: a dataset's split, two scorers of its pairs, two sets of answers to its prompts, and which rows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from engine.settings.slices import Slice, without_rewards
from engine.statistics.twins import untrained_twin
from engine.store.database import Connection, frame

CALLED_BASE = "base|raw|untrained|reference"  # in the name of an imported scorer
SCORERS = """
    select distinct scorer_id, dataset_id, split, kind = 'imported' and regexp_matches(lower(name), $called_base) as base
    from coverage join scorers using (scorer_id) where complete and generator_id is null order by all
"""
COMPARED = """
    with judge as (  -- who judges, and what it has wholly scored: pairs of a split, or answers to its prompts
        select scorer_id, c.dataset_id, c.split, c.generator_id, coalesce(m.run_id, s.members ->> '$[0].run_id', '') as run_id
        from coverage c join scorers s using (scorer_id) left join models m using (model_id)
        where c.complete and c.split is not null
          and (c.generator_id is null or 2 * c.scored >= c.expected)  -- an imported one may have met a few answers by chance: the same text
          and (s.kind in ('head', 'ensemble') or s.kind = 'imported' and not regexp_matches(lower(s.name), $called_base))
    ), judged as (select scorer_id, dataset_id, split, run_id, bool_or(generator_id is null) as of_pairs from judge group by all),
    answered as (
        select b.scorer_id, b.dataset_id, b.split, base_id, tuned_id, coalesce(m.run_id, '') as run_id
        from comparable join judge b on b.generator_id = base_id
        join judge t on t.generator_id = tuned_id and (t.scorer_id, t.dataset_id, t.split) = (b.scorer_id, b.dataset_id, b.split)
        join generators g on g.generator_id = tuned_id left join models m using (model_id)
        where paired and differs is null
    )
    select j.dataset_id, j.split, j.scorer_id, base_id, tuned_id
    from judged j left join answered a using (scorer_id, dataset_id, split)
    where ($dataset is null or j.dataset_id = $dataset) and ($split is null or j.split = $split)
    order by base_id is null, j.split = 'train', not of_pairs, greatest(j.run_id, coalesce(a.run_id, '')) desc, j.run_id desc,
             j.dataset_id, j.split, j.scorer_id, tuned_id, base_id
"""


@dataclass(frozen=True)
class Comparison:
    """The cells that every page, claim and report is about. A part that is None has nothing to show."""

    dataset_id: str | None = None
    split: str | None = None
    trained_scorer: str | None = None
    base_scorer: str | None = None  # its untrained twin
    base_generator: str | None = None
    tuned_generator: str | None = None
    slice: Slice | None = None  # None: all pairs and prompts

    @property
    def undecided(self) -> Self:
        """The same without the conditions on rewards: they would decide who is right."""
        return replace(self, slice=without_rewards(self.slice))


def comparisons(con: Connection) -> list[Comparison]:
    """What can be looked at, complete: every trained scorer on every split that it has scored, with every tuned generator and its base.

    Those with answers go first, training splits last; then the newest. Answers written under differing settings are not compared.
    """
    return list(in_order(con))


def newest(con: Connection, dataset_id: str | None = None, split: str | None = None) -> Comparison | None:
    """The first of them, of the dataset and split where these are given; None where there is none."""
    return next(in_order(con, dataset_id, split), None)


def in_order(con: Connection, dataset_id: str | None = None, split: str | None = None) -> Iterator[Comparison]:
    known = frame(con, SCORERS, {"called_base": CALLED_BASE})
    compared = frame(con, COMPARED, {"called_base": CALLED_BASE, "dataset": dataset_id, "split": split})
    for dataset, part, scorer, base, tuned in compared.iter_rows():
        here = known.filter(dataset_id=dataset, split=part)
        untrained = untrained_twin(con, scorer, here["scorer_id"].to_list()) or next(iter(here.filter("base")["scorer_id"]), None)
        yield Comparison(dataset, part, scorer, untrained, base, tuned)
