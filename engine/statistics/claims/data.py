"""Claims about a dataset: what was kept, and how often the longer response is the chosen one."""

from engine.statistics.claims.claim import Claim, Sentence, claim
from engine.statistics.claims.evidence import Evidence, one, shortened
from engine.store.database import frame

KEPT = "{kept} of {records:records} are kept"
SHOWN = "Longer is chosen: {by:full} of the {by:counted} in {split}, ties half."
LONGER = Sentence(
    KEPT + "; the longer response is chosen in {by:whole} of the pairs in {split}.",
    KEPT + "; the longer response is chosen in only {by:whole} of the pairs in {split}.",
    KEPT + "; the {by:counted} in {split} are too few to say whether the longer response is chosen more often.",
    unknown=KEPT + "; too little data to say more: {by:counted} in {split}.",
    detail=SHOWN,
    detail_unknown=SHOWN,
)
OF_SLICE = Sentence(
    "The longer response is chosen in {by:whole} of the slice’s {by:counted}.",
    "The longer response is chosen in only {by:whole} of the slice’s {by:counted}.",
    "The slice’s {by:counted} are too few to say whether the longer response is chosen more often.",
    "Too little data in the slice to say whether the longer response is chosen more often: {by:counted}.",
    detail="{by:full}, ties half. Of the whole dataset " + KEPT + ".",
    detail_unknown="{by:full}, ties half. Of the whole dataset " + KEPT + ".",
)


@claim("kept", page="data", of=("length_rule",), outcome=False)
def kept(evidence: Evidence) -> Claim | None:
    """Records kept of those read, in all splits; and the length rule on the pairs that are looked at."""
    counts = frame(evidence.con, "select kept, dropped from datasets where dataset_id = $id", {"id": evidence.comparison.dataset_id})
    rule = one(evidence.lengths, "length_rule")
    if counts.is_empty() or rule is None:
        return None
    pairs, dropped = counts.row(0)
    split = shortened(evidence.comparison.split or "")
    return (OF_SLICE if evidence.comparison.slice else LONGER).claim(rule, kept=pairs, records=pairs + dropped, split=split)
