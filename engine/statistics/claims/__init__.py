"""What the numbers say, in sentences: pages, report and `engine summary --claims` show the same ones."""

from engine.statistics.claims import (  # their claims register themselves
    answers,
    beside,
    cuts,
    data,
    length_bias,
    losing,
    overview,
    reward_model,
    training,
)
from engine.statistics.claims.claim import CLAIMS, TEMPLATES, Claim, Stating, Sureness, side, stated, sureness
from engine.statistics.claims.evidence import Evidence
from engine.statistics.comparison import Comparison
from engine.store.database import Connection
from engine.store.slices import show_slice

__all__ = [
    "PAGES", "TEMPLATES", "Claim", "Sureness", "answers", "beside", "claims", "cuts", "data", "findings", "length_bias", "losing",
    "overview", "reward_model", "side", "sureness", "training",
]  # fmt: skip
PAGES = ("overview", "data", "training", "reward_model", "length_bias", "dpo_vs_base", "prompts")


def claims(con: Connection, comparison: Comparison, page: str | None = None) -> list[Claim]:
    """What can be said of a comparison, the headline of each page first; of one page, or of all in their order.

    con: shows the rows of the comparison's slice. Each claim knows of which slice it speaks.
    """
    wanted = PAGES if page is None else (page,)
    return made(con, comparison, [stating for name in wanted for stating in CLAIMS.values() if stating.page == name])


def findings(con: Connection, comparison: Comparison, most: int = 3) -> list[Claim]:
    """The most telling claims: clear ones first, then by how many standard errors they are from their reference."""
    telling = made(con, comparison, [stating for stating in CLAIMS.values() if stating.finding])
    known, order = [claim for claim in telling if claim.sureness is not Sureness.TOO_LITTLE], list(Sureness)
    return sorted(known, key=lambda claim: (order.index(claim.sureness), -claim.distance))[:most]


def made(con: Connection, comparison: Comparison, statings: list[Stating]) -> list[Claim]:
    """The claims in their order; those that conditions on rewards would decide speak of the slice without these."""
    undecided = comparison.undecided
    if undecided == comparison:
        evidence = Evidence(con, comparison)
        found = {stating.name: stated(stating, evidence) for stating in statings}
    else:
        given = Evidence(con, comparison)
        found = {stating.name: stated(stating, given) for stating in statings if not stating.outcome}
        show_slice(con, undecided.slice)
        wider = Evidence(con, undecided)
        found |= {stating.name: stated(stating, wider) for stating in statings if stating.outcome}
        show_slice(con, comparison.slice)
    return [claim for stating in statings if (claim := found[stating.name])]
