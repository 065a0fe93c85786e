"""How much has been scored, and what is being scored now: what a page says while there is no number to show."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from engine.errors import PrefscopeError
from engine.store.database import Connection, frame
from engine.store.rundir import run_dirs
from engine.store.status import State

INCOMPLETE = """
    select s.name as scorer, coalesce(g.name, 'pairs of ' || c.split) as "of", c.scored, c.expected,
           scorer_id, dataset_id, split, generator_id
    from coverage c join named_scorers s using (scorer_id) left join named_generators g using (generator_id)
    where not c.complete order by all
"""


@dataclass(frozen=True)
class Scoring:
    """A run that is scoring: what it does now, and how far it is."""

    run_id: str
    run: str  # its name
    stage: str
    scored: int  # different responses: a text that answers a prompt twice is scored once
    expected: int

    def __str__(self) -> str:
        return f"{self.stage}: {self.scored:,} of {self.expected:,} different responses"


def scoring_now(cache: Path) -> list[Scoring]:
    """The score and ensemble runs that are going on; their rewards appear once all are there. Unreadable runs are passed over."""
    found = []
    for run in run_dirs(cache):
        try:
            status, config = run.status, run.config_values
        except PrefscopeError:
            continue
        if status.state == State.RUNNING and config["kind"] in ("score", "ensemble"):
            found.append(Scoring(run.id, str(config["name"]), status.stage, status.step, status.steps))
    return found


def incomplete(con: Connection) -> pl.DataFrame:
    """What a scorer has scored in part, and is therefore not shown: scorer, of, scored, expected, and the ids of both."""
    return frame(con, INCOMPLETE)
