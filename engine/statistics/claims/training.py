"""Claims about the training runs that have scored these pairs: how good the best is, and whether seeds were repeated."""

import json

from engine.statistics.claims.claim import Claim, Sentence, Sureness, claim
from engine.statistics.claims.evidence import Evidence, shortened
from engine.statistics.intervals import ALPHA
from engine.statistics.rewards import accuracy, accuracy_gain
from engine.statistics.twins import pairs_with_twin
from engine.statistics.wording import Value

PAGE = "training"
MODELS = """
    select s.scorer_id, s.name, p.prompt_id, p.margin
    from scored_pairs p join named_scorers s using (scorer_id)
    where dataset_id = $dataset and split = $split and s.kind in ('head', 'ensemble') order by s.scorer_id, p.pair_id
"""
SEEDS = """
    with last as (
        select run_id, arg_max(value, step) as accuracy from metrics where split = $split and name = 'accuracy' group by run_id
    )
    select r.run_id, r.config, l.accuracy from runs r join last l using (run_id)
    where r.kind = 'reward' and r.state = 'done' and r.dataset_id = $dataset
"""
RUN_OF = "select m.run_id from scorers s join models m using (model_id) where s.scorer_id = $trained"
NOT_SETTINGS = ("name", "seed", "parents", "study", "configuration")  # of a run, but not of what is repeated with other seeds
ALONE, BEST = "The reward model", "The best of {models} reward models"
RISE = {
    who: Sentence(
        who + " ranks {right:whole} of {pairs} right, up from {untrained:whole} untrained.",
        who + " ranks {right:whole} of {pairs} right, down from {untrained:whole} untrained.",
        who + " ranks {right:whole} of {pairs} right; {by:counted} are too few to say whether training changed that.",
        detail="{name}: {right:full}, untrained {untrained:full}; gained {by} points {by:interval} on the same {by:counted}.",
    )
    for who in (ALONE, BEST)
}
BESIDE = {  # where no untrained twin has scored the pairs
    who: Sentence(
        who + " ranks {by:whole} of {pairs} right.",
        who + " ranks only {by:whole} of {pairs} right: worse than guessing.",
        who + " cannot tell chosen from rejected: {by:whole} right.",
        detail="{name}: {by:full}, n = {by:counted}.",
    )
    for who in (ALONE, BEST)
}
ONE_SEED = Sentence(*["One seed: no spread across seeds."] * 4)
SPREAD = Sentence(*["{runs:runs} with other seeds: {lowest:percent} to {highest:percent} right."] * 4)


@claim("best_model", page=PAGE, of=("accuracy", "accuracy_gain"))
def best_model(evidence: Evidence) -> Claim | None:
    """The reward model with the highest accuracy and what it gained over the untrained one, with Bonferroni's correction for the choice."""
    models = evidence.read(MODELS).partition_by("scorer_id", maintain_order=True)
    if not models:
        return None
    best = max(models, key=lambda rows: accuracy(rows).value)
    scorer, who = best["scorer_id"][0], ALONE if len(models) == 1 else BEST
    values: dict[str, Value] = {"models": len(models), "name": shortened(best["name"][0]), "pairs": evidence.what_pairs_of(scorer)}
    both = pairs_with_twin(evidence.con, scorer, str(evidence.comparison.dataset_id), str(evidence.comparison.split))
    if both.is_empty():
        return BESIDE[who].claim(accuracy(best, ALPHA / len(models)), **values)
    right, untrained = accuracy(both), accuracy(both.select("prompt_id", margin="untrained_margin"))
    return RISE[who].claim(accuracy_gain(both, ALPHA / len(models)), right=right, untrained=untrained, **values)


@claim("seeds", page=PAGE)
def seeds(evidence: Evidence) -> Claim | None:
    """How far apart runs end that differ in the seed only; few seeds, so that it is always too little data.

    Measured while training, on the whole split: nothing of a slice.
    """
    if evidence.comparison.slice:
        return None
    shown = evidence.read(RUN_OF)
    runs = {row["run_id"]: row for row in evidence.read(SEEDS).iter_rows(named=True)}
    if shown.is_empty() or shown["run_id"][0] not in runs:
        return None
    own = settings(runs[shown["run_id"][0]]["config"])
    found = [row["accuracy"] for row in runs.values() if settings(row["config"]) == own]
    sentence = ONE_SEED if len(found) == 1 else SPREAD
    return Claim(sentence.unknown, {"runs": len(found), "lowest": min(found), "highest": max(found)}, Sureness.TOO_LITTLE)


def settings(config: str) -> dict[str, object]:
    return {name: value for name, value in json.loads(config).items() if name not in NOT_SETTINGS}
