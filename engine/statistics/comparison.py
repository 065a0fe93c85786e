"""What is looked at: a dataset's split, two scorers of its pairs, two sets of answers to its prompts, and which rows."""

from dataclasses import dataclass

from engine.settings.slices import Slice
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
          and (s.kind in ('head', 'ensemble') or s.kind = 'imported' and not regexp_matches(lower(s.name), $called_base))
    ), judged as (select distinct scorer_id, dataset_id, split, run_id from judge),
    answered as (
        select b.scorer_id, b.dataset_id, b.split, base_id, tuned_id, coalesce(m.run_id, '') as run_id
        from comparable join judge b on b.generator_id = base_id
        join judge t on t.generator_id = tuned_id and (t.scorer_id, t.dataset_id, t.split) = (b.scorer_id, b.dataset_id, b.split)
        join generators g on g.generator_id = tuned_id left join models m using (model_id)
        where paired and differs is null
    )
    select j.dataset_id, j.split, j.scorer_id, base_id, tuned_id
    from judged j left join answered a using (scorer_id, dataset_id, split)
    order by base_id is null, j.split = 'train', greatest(j.run_id, coalesce(a.run_id, '')) desc,
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


def comparisons(con: Connection) -> list[Comparison]:
    """What can be looked at, complete: every trained scorer on every split that it has scored, with every tuned generator and its base.

    Those with answers go first, training splits last; then the newest. Answers written under differing settings are not compared.
    """
    known = frame(con, SCORERS, {"called_base": CALLED_BASE})
    found = []
    for dataset, split, scorer, base, tuned in frame(con, COMPARED, {"called_base": CALLED_BASE}).iter_rows():
        here = known.filter(dataset_id=dataset, split=split)
        untrained = untrained_twin(con, scorer, here["scorer_id"].to_list()) or next(iter(here.filter("base")["scorer_id"]), None)
        found.append(Comparison(dataset, split, scorer, untrained, base, tuned))
    return found
