"""How a model that is seen beside another differs from it, on the same rows."""

from engine.statistics.claims.claim import Claim, phrase, sureness
from engine.statistics.estimate import Estimate

ACCURACY = phrase("With {name} instead of {shown}: accuracy {by:signed} points {by:interval}, on the same {by:counted}.")
WIN_RATE = phrase("With {name} instead of {shown}: win rate {by:signed} points {by:interval}, on the same {by:counted}.")
REWARD = phrase("With {name} instead of {shown}: mean reward {by:signed} {by:interval}, on the same {by:counted}.")


def instead(template: str, by: Estimate, name: str, shown: str) -> Claim:
    """by: of the model called `name`, minus of the one called `shown`."""
    return Claim(template, {"by": by, "name": name, "shown": shown}, sureness(by))
