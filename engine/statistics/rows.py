"""The rows that statistics, claims and figures are made of, read once for all of them.

A frame is kept while the database and the slice are the same: the next claim or figure gets it without asking again.
"""

import polars as pl

from engine.statistics.comparison import Comparison
from engine.store.database import Connection
from engine.store.slices import frame_once

PAIRS = """
    select pair_id, prompt_id, prompt_type, source, chosen_reward, rejected_reward, margin, chosen_words, rejected_words, longer_by
    from scored_pairs where scorer_id = $scorer and dataset_id = $dataset and split = $split order by pair_id
"""
LENGTHS = """
    select prompt_id, c.words as chosen_words, r.words as rejected_words
    from pairs join texts c on c.text_id = chosen_id join texts r on r.text_id = rejected_id
    where dataset_id = $dataset and split = $split order by pair_id
"""
ANSWERS = """
    select prompt_id, base_reward, tuned_reward, difference, base_tokens, tuned_tokens, base_words, tuned_words,
           base_finish_reason, tuned_finish_reason
    from compared_answers where base_id = $base and tuned_id = $tuned and scorer_id = $scorer
      and prompt_id in (select prompt_id from pairs where dataset_id = $dataset and split = $split) order by prompt_id
"""
GROUPS = """
    select prompt_id, min(prompt_type) as prompt_type, min(source) as source
    from pairs where dataset_id = $dataset and split = $split group by prompt_id
"""
GIVEN = """
    select case generator_id when $base then 'base' else 'tuned' end as who, prompt_id, finish_reason
    from answers where generator_id in ($base, $tuned)
      and prompt_id in (select prompt_id from pairs where dataset_id = $dataset and split = $split)
"""
JUDGED = """
    select case generator_id when $base then 'base' else 'tuned' end as who, prompt_id, reward
    from scored_answers where scorer_id = $scorer and generator_id in ($base, $tuned)
      and prompt_id in (select prompt_id from pairs where dataset_id = $dataset and split = $split)
"""


def scored_pairs(con: Connection, comparison: Comparison, scorer: str | None) -> pl.DataFrame:
    """The pairs of the split that a scorer has scored; none without a scorer."""
    return frame_once(con, PAIRS, {**split_of(comparison), "scorer": scorer})


def lengths(con: Connection, comparison: Comparison) -> pl.DataFrame:
    """prompt_id, chosen_words, rejected_words of all pairs of the split, scored or not."""
    return frame_once(con, LENGTHS, split_of(comparison))


def compared_answers(con: Connection, comparison: Comparison, scorer: str | None) -> pl.DataFrame:
    """The prompts of the split that both generators answered and a scorer scored; none without a scorer."""
    return frame_once(con, ANSWERS, {**split_of(comparison), **generators_of(comparison), "scorer": scorer})


def given_answers(con: Connection, comparison: Comparison) -> pl.DataFrame:
    """who (base, tuned), prompt_id and finish_reason of every answer to the prompts of the split, scored or not."""
    return frame_once(con, GIVEN, {**split_of(comparison), **generators_of(comparison)})


def prompt_groups(con: Connection, comparison: Comparison) -> pl.DataFrame:
    """prompt_id, prompt_type and source of every prompt of the split; of several that its pairs name, the first in the alphabet."""
    return frame_once(con, GROUPS, split_of(comparison))


def scored_answers(con: Connection, comparison: Comparison, scorer: str | None) -> pl.DataFrame:
    """who, prompt_id and reward of every answer to the prompts of the split that a scorer scored, whether or not the other one answered."""
    return frame_once(con, JUDGED, {**split_of(comparison), **generators_of(comparison), "scorer": scorer})


def scorer_name(con: Connection, scorer: str | None) -> str | None:
    """What pages call it; None of one that is not known."""
    found = frame_once(con, "select name from named_scorers where scorer_id = $scorer", {"scorer": scorer})["name"]
    return next(iter(found), None)


def generators_of(comparison: Comparison) -> dict[str, str | None]:
    return {"base": comparison.base_generator, "tuned": comparison.tuned_generator}


def split_of(comparison: Comparison) -> dict[str, str | None]:
    return {"dataset": comparison.dataset_id, "split": comparison.split}
