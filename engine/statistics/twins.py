"""A trained scorer beside the untrained one it began as, on the same pairs."""

import polars as pl

from engine.store.database import Connection, frame

TWIN = """
    select u.scorer_id
    from scorers t left join models m on m.model_id = coalesce(t.model_id, t.members ->> '$[0].run_id')
    left join runs r using (run_id), scorers u
    where t.scorer_id = $trained and t.kind in ('head', 'ensemble') and u.kind = 'untrained_head'
      and u.scorer_id in (select unnest($scorers))
      and u.model_id in (m.base_model, t.model_id)
    order by coalesce(u.seed = cast(r.config ->> 'seed' as integer), false) desc, u.template_hash is distinct from t.template_hash,
             u.max_tokens is distinct from t.max_tokens, u.precision is distinct from t.precision, u.scorer_id
    limit 1
"""
BOTH = """
    select pair_id, prompt_id, p.margin, u.margin as untrained_margin
    from scored_pairs p join scored_pairs u using (dataset_id, split, pair_id, prompt_id)
    where p.scorer_id = $trained and u.scorer_id = $untrained and dataset_id = $dataset and split = $split order by pair_id
"""
SCORERS = "select scorer_id from coverage where dataset_id = $dataset and split = $split and generator_id is null and complete"


def untrained_twin(con: Connection, trained: str | None, scorers: list[str]) -> str | None:
    """Of `scorers`, the untrained head on the same base model, if possible with the seed and settings the trained one began with."""
    found = frame(con, TWIN, {"trained": trained, "scorers": scorers})
    return None if found.is_empty() else str(found["scorer_id"][0])


def pairs_of_both(con: Connection, trained: str | None, untrained: str | None, dataset: str | None, split: str | None) -> pl.DataFrame:
    """pair_id, prompt_id, margin, untrained_margin of the pairs that both have scored."""
    return frame(con, BOTH, {"trained": trained, "untrained": untrained, "dataset": dataset, "split": split})


def pairs_with_twin(con: Connection, trained: str, dataset: str, split: str) -> pl.DataFrame:
    """The same of a scorer and the untrained one that it began as; empty where no such scorer has scored the split."""
    scorers = frame(con, SCORERS, {"dataset": dataset, "split": split})["scorer_id"].to_list()
    return pairs_of_both(con, trained, untrained_twin(con, trained, scorers), dataset, split)
