"""What claims are made of: the rows of a comparison, each kind read once, when a claim asks for it."""

from functools import cached_property

import polars as pl

from engine.plain import line
from engine.settings.hyperparameters import AnyPolicyLoss
from engine.settings.options import models_in, named, titled
from engine.statistics import rows
from engine.statistics.comparison import Comparison
from engine.statistics.estimate import Estimate
from engine.statistics.registry import measured
from engine.statistics.wording import Term, Value
from engine.store.database import Connection
from engine.store.slices import frame_once, whole

NAMES = """
    select generator_id, g.name, g.kind, r.config ->> '$.loss.name' as loss
    from named_generators g left join models m using (model_id) left join runs r using (run_id) where generator_id in ($base, $tuned)
"""
WHOLE_SPLIT = """coalesce(r.config ->> 'pairs', r.config ->> 'group', r.config ->> 'slice') is null
               and not coalesce(cast(r.config ->> 'balance_length' as boolean), false) as whole"""
SEEN = f"""
    with trained_on as (
        select r.dataset_id, coalesce(r.config ->> 'train_split', 'train') as split,
               {WHOLE_SPLIT}
        from scorers s join models m on m.model_id = s.model_id or list_contains(s.members ->> '$[*].run_id', m.run_id)
        join runs r using (run_id) where s.scorer_id = $scorer
    ), seen as (select distinct pair_id from {{pairs}} join trained_on using (dataset_id, split))
    select count(*) as pairs, count(seen.pair_id) as seen,
           (select bool_and(dataset_id in (select dataset_id from datasets)) from trained_on) as known,
           (select bool_and(whole) from trained_on) as whole
    from pairs left join seen using (pair_id) where dataset_id = $dataset and split = $split
"""
LEARNED_TOGETHER = f"""
    with training as (
        select r.kind, r.run_id, m.model_id, r.dataset_id, r.pairs_sha256, coalesce(r.config ->> 'train_split', 'train') as split,
               {WHOLE_SPLIT}
        from models m join runs r using (run_id) where r.kind in ('reward', 'policy')
    ), judge as (
        select t.* from scorers s join training t on t.model_id = s.model_id or list_contains(s.members ->> '$[*].run_id', t.run_id)
        where s.scorer_id = $trained
    ), judged as (select t.* from generators join training t using (model_id) where generator_id = $tuned)
    select count(*) > 0 as shared from judge join judged using (dataset_id)
    where judge.pairs_sha256 = judged.pairs_sha256 or judge.split = judged.split and (judge.whole or judged.whole)
"""
UNTRAINED = "select scorer_id from scorers where scorer_id = $scorer and kind in ('untrained_head', 'imported')"
LONGEST_NAME = 40  # characters of a name in a sentence


class Evidence:
    """The rows that a comparison is about, as frames."""

    def __init__(self, con: Connection, comparison: Comparison) -> None:
        self.con, self.comparison = con, comparison
        self.places: dict[str, object] = {
            "dataset": comparison.dataset_id, "split": comparison.split, "trained": comparison.trained_scorer,
            "untrained": comparison.base_scorer, "base": comparison.base_generator, "tuned": comparison.tuned_generator,
        }  # fmt: skip

    def read(self, query: str, **values: object) -> pl.DataFrame:
        """The result of a query in which $dataset, $split, $trained, $untrained, $base and $tuned stand for the comparison's.

        Kept for whoever asks the same, as other claims and other comparisons do of what they have in common.
        """
        return frame_once(self.con, query, {name: value for name, value in {**self.places, **values}.items() if f"${name}" in query})

    @cached_property
    def untrained(self) -> str | None:
        """The scorer that sentences call the untrained model; None where another trained one stands in its place."""
        found = self.read(UNTRAINED, scorer=self.comparison.base_scorer)
        return None if found.is_empty() else str(found.item())

    @cached_property
    def pairs(self) -> pl.DataFrame:
        """What the trained scorer says of the pairs."""
        return rows.scored_pairs(self.con, self.comparison, self.comparison.trained_scorer)

    @cached_property
    def untrained_pairs(self) -> pl.DataFrame:
        return rows.scored_pairs(self.con, self.comparison, self.untrained)

    @cached_property
    def pairs_of_both(self) -> pl.DataFrame:
        """The pairs that both have scored, with margin and untrained_margin."""
        untrained = self.untrained_pairs.select("pair_id", "prompt_id", untrained_margin="margin")
        return self.pairs.join(untrained, on=["pair_id", "prompt_id"], how="inner", maintain_order="left")

    @cached_property
    def lengths(self) -> pl.DataFrame:
        """prompt_id, chosen_words, rejected_words of all pairs of the split, scored or not."""
        return rows.lengths(self.con, self.comparison)

    @cached_property
    def answers(self) -> pl.DataFrame:
        """Both generators' answers under the trained scorer."""
        return rows.compared_answers(self.con, self.comparison, self.comparison.trained_scorer)

    @cached_property
    def given_answers(self) -> pl.DataFrame:
        """Every answer of both, with how it ended."""
        return rows.given_answers(self.con, self.comparison)

    @cached_property
    def untrained_answers(self) -> pl.DataFrame:
        return rows.compared_answers(self.con, self.comparison, self.untrained)

    @cached_property
    def what_pairs(self) -> Term:
        """What these pairs are to the trained scorer."""
        return self.what_pairs_of(self.comparison.trained_scorer)

    def what_pairs_of(self, scorer: str | None) -> Term:
        """unseen pairs where none is in the training split of its runs, training pairs where it was trained on all of them, else pairs."""
        pairs, seen, known, whole_split = self.read(SEEN.format(pairs=whole(self.con, "pairs")), scorer=scorer).row(0)
        if not pairs or not known or 0 < seen < pairs or (seen and not whole_split):
            return Term("pairs")
        return Term("training pairs" if seen else "unseen pairs")

    @cached_property
    def names(self) -> dict[str, str]:
        """What sentences call base and tuned: the base model, a policy by its loss, anything else by its own name."""
        named_here = {row["generator_id"]: row for row in self.read(NAMES).iter_rows(named=True)}
        found = {who: named_here.get(self.places[who]) for who in ("base", "tuned")}
        losses = [row["loss"] for row in found.values() if row and row["loss"]]
        return {who: name_of(row, by_loss=len(set(losses)) == len(losses)) for who, row in found.items() if row}


def name_of(row: dict[str, str], by_loss: bool) -> str:
    if row["kind"] == "base":
        return Term("the base model")
    models = {named(model): model for model in models_in(AnyPolicyLoss)}
    return titled(models[row["loss"]]) if by_loss and row["loss"] in models else shortened(row["name"])


def shortened(name: str) -> str:
    """A name on one line, cut where it is long."""
    plain = line(name)
    return plain if len(plain) <= LONGEST_NAME else plain[: LONGEST_NAME - 1] + "…"


def one(frame: pl.DataFrame, name: str) -> Estimate | None:
    """A registered statistic of these rows; None where there are none."""
    return None if frame.is_empty() else measured(frame, [name])[name]


def given(**estimates: Estimate | None) -> dict[str, Value]:
    """Those that there are."""
    return {name: estimate for name, estimate in estimates.items() if estimate}
