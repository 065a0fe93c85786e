"""What was measured of each run, one row a run: what the tables of runs show beside its configuration."""

import polars as pl

from dashboard.queries.selection import Selection
from engine.statistics.estimate import column
from engine.statistics.intervals import wilson
from engine.store.database import Connection, frame

MEASURED = """
    with numbered as (
        select run_id, row_number() over (partition by dataset_id, kind in ('reward', 'policy') order by run_id) - 1 as run_index from runs
    ), trained as (
        select run_id, max(step) as steps, max(tokens) as tokens from metrics where split = 'train' and name = 'loss' group by run_id
    ), validated as (
        select run_id, split, step, max(value) filter (name <> 'n') as share, max(value) filter (name = 'n') as n
        from metrics where split <> 'train' and name in ('accuracy', 'rewards/accuracies', 'n') group by run_id, split, step
        qualify row_number() over (partition by run_id order by split = $split desc, split, step desc) = 1
    )
    select run_id, run_index, steps, tokens, split, step as measured_at, share, n
    from numbered left join trained using (run_id) left join validated using (run_id) order by run_id
"""


def run_measures(con: Connection, selection: Selection) -> pl.DataFrame:
    """run_id, run_index (which line its curves have), steps and tokens of training, and the last accuracy on the split that is looked at.

    split, measured_at (steps), share, n, and `accuracy`, an Estimate with Wilson's interval. Of a run that has not measured that split its
    first one; null where it has measured none.
    """
    rows = frame(con, MEASURED, {"split": selection.split})
    shares = [wilson(share * n, int(n)) if n and share is not None else None for share, n in rows.select("share", "n").iter_rows()]
    return rows.with_columns(column("accuracy", shares))
