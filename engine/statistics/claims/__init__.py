"""What the numbers say, in sentences: pages, report and `engine summary --claims` show the same ones."""

from engine.statistics.claims import answers, data, length_bias, overview, reward_model, training  # their claims register themselves
from engine.statistics.claims.claim import CLAIMS, TEMPLATES, Claim, Stating, Sureness, side, stated, sureness
from engine.statistics.claims.evidence import Evidence
from engine.statistics.comparison import Comparison
from engine.store.database import Connection

__all__ = [
    "PAGES", "TEMPLATES", "Claim", "Sureness", "answers", "claims", "data", "findings", "length_bias", "overview", "reward_model", "side",
    "sureness", "training",
]  # fmt: skip
PAGES = ("overview", "data", "training", "reward_model", "length_bias", "dpo_vs_base", "prompts")


def claims(con: Connection, comparison: Comparison, page: str | None = None) -> list[Claim]:
    """What can be said of a comparison, the headline of each page first; of one page, or of all in their order."""
    wanted = PAGES if page is None else (page,)
    return made(Evidence(con, comparison), [stating for name in wanted for stating in CLAIMS.values() if stating.page == name])


def findings(con: Connection, comparison: Comparison, most: int = 3) -> list[Claim]:
    """The most telling claims: clear ones first, then by how many standard errors they are from their reference."""
    telling = made(Evidence(con, comparison), [stating for stating in CLAIMS.values() if stating.finding])
    known, order = [claim for claim in telling if claim.sureness is not Sureness.TOO_LITTLE], list(Sureness)
    return sorted(known, key=lambda claim: (order.index(claim.sureness), -claim.distance))[:most]


def made(evidence: Evidence, statings: list[Stating]) -> list[Claim]:
    return [claim for stating in statings if (claim := stated(stating, evidence))]
