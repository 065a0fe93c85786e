"""Claims about where the tuned policy loses: on which type of prompt, and what the prompts that it loses have in common."""

from dataclasses import replace

import polars as pl

from engine.statistics.claims.claim import FEWEST, Claim, Sentence, Sureness, claim, phrase
from engine.statistics.claims.cuts import unless_cut
from engine.statistics.claims.evidence import Evidence, shortened
from engine.statistics.claims.reward_model import GROUP_FIELDS, Measure, group, groups, weakest
from engine.statistics.estimate import Estimate
from engine.statistics.intervals import ALPHA, difference_of_shares, mean, share, share_above_zero
from engine.statistics.lengths import with_lengths
from engine.statistics.rows import prompt_groups
from engine.statistics.wording import Value

PAGE = "dpo_vs_base"
TUNED_FLAGS = """
    select prompt_id, cast(repeats as double) as repeats, cast(refuses as double) as refuses from answers where generator_id = $tuned
    qualify row_number() over (partition by prompt_id order by generation_id) = 1
"""
WEAKEST = Sentence(
    "{tuned} does better on {group}: preferred on {part:whole} of prompts, {rest:whole} elsewhere.",
    "{tuned} does worse on {group}: preferred on {part:whole} of prompts, {rest:whole} elsewhere.",
    "{by:counted} are too few to say whether {tuned} does worse on any type: lowest is {group} with {part:whole}, {rest:whole} elsewhere.",
    detail="{part:full} against {rest:full} elsewhere, difference {by} points {by:interval} with Bonferroni’s correction "
    "for {groups} groups; {wrong} of all {all_wrong} lost prompts.",
)
FLAGS = {"cut": "are cut at the token limit", "repeats": "repeat themselves", "refuses": "refuse"}
LOOKED_AT = len(FLAGS) + 1  # and the length
ALIKE = phrase(
    "{by:counted} are too few to say what lost prompts have in common: they differ clearly in none of length, cuts, repeats and refusals."
)
FEW = phrase("Too little data to say what lost prompts have in common: {by:counted}.")
AGAINST = "{lost:signed} against {won:signed} "
BOTH = "Lost {lost:full}, n = {lost:n}; won {won:full}, n = {won:n}; difference "
CORRECTED = " {by:interval} with Bonferroni’s correction for {looked_at} comparisons."
LOST = {
    **{
        flag: Sentence(
            f"{{tuned}}’s answers that lose {what} more often than those that win: {{lost:whole}} against {{won:whole}}.",
            f"{{tuned}}’s answers that lose {what} less often than those that win: {{lost:whole}} against {{won:whole}}.",
            ALIKE,
            FEW,
            detail=BOTH + "{by} points" + CORRECTED,
        )
        for flag, what in FLAGS.items()
    },
    **{
        unit: Sentence(
            "{tuned}’s answers that lose are longer beside {base}’s than those that win: " + AGAINST + unit + ".",
            "{tuned}’s answers that lose are shorter beside {base}’s than those that win: " + AGAINST + unit + ".",
            ALIKE,
            FEW,
            detail=BOTH + "{by:signed}" + CORRECTED,
        )
        for unit in ("tokens", "words")
    },
}


def win_rate(rows: pl.DataFrame, alpha: float = ALPHA) -> Estimate:
    return share_above_zero(rows["difference"], rows["prompt_id"], counted="prompts", alpha=alpha)


@claim("weakest_prompts", page=PAGE, of=("win_rate",))
def weakest_prompts(evidence: Evidence) -> Claim | None:
    """The type of prompt with the lowest win rate: of those that are surely below the others, if any is."""
    typed = evidence.answers.join(prompt_groups(evidence.con, evidence.comparison), on="prompt_id", how="left", maintain_order="left")
    typed = typed.with_columns(margin="difference")
    field, found = next(((field, made) for field in GROUP_FIELDS if len(made := groups(typed, field, win_rate)) > 1), ("", []))
    if not found:
        return None
    worst, lost = weakest(found), typed.filter(pl.col("difference") < 0).height
    values: dict[str, Value] = {"part": worst.part, "rest": worst.rest, "wrong": worst.wrong, "all_wrong": lost, "groups": len(found)}
    said = WEAKEST.claim(worst.difference, worst.part, worst.rest, group=shortened(worst.name), **values, **evidence.names)
    return unless_cut(said, typed, lambda rows: group(rows, field, worst.name, len(found), win_rate).difference)


@claim("lost_prompts", page=PAGE, of=("win_rate", "share_cut", "length_difference"))
def lost_prompts(evidence: Evidence) -> Claim | None:
    """In what tuned answers that lose differ most from those that win: the one difference that is the most standard errors from 0."""
    if evidence.answers.is_empty():
        return None
    rows, unit = with_flags(evidence)
    looked_at: dict[str, Measure] = {flag: share_of(flag) for flag in FLAGS} | {unit: mean_of(unit)}
    found = {name: beside(rows, measure) for name, measure in looked_at.items()}
    values: dict[str, Value] = {**evidence.names, "looked_at": LOOKED_AT}
    said = [LOST[name].claim(by, lost, won, lost=lost, won=won, **values) for name, (by, lost, won) in found.items()]
    clear = {name: one for name, one in zip(found, said, strict=True) if one.sureness is Sureness.CLEAR}
    if not clear:
        by, lost, won = found["repeats"]
        enough = min(lost.n, won.n) >= FEWEST
        return Claim(ALIKE if enough else FEW, {"by": by}, Sureness.UNCERTAIN if enough else Sureness.TOO_LITTLE)
    name = max(clear, key=lambda name: clear[name].distance)
    return unless_cut(clear[name], rows, lambda rows: beside(rows, looked_at[name])[0]) if name == unit else clear[name]


def with_flags(evidence: Evidence) -> tuple[pl.DataFrame, str]:
    """The answers with cut, repeats and refuses (1 or 0 of the tuned answer, null where nobody knows) and the difference of lengths."""
    rows, unit = with_lengths(evidence.answers)
    rows = rows.join(evidence.read(TUNED_FLAGS), on="prompt_id", how="left", maintain_order="left")
    ended = pl.col("tuned_finish_reason")
    return rows.with_columns(
        pl.when(ended.is_in(["stop", "length"])).then(ended == "length").cast(pl.Float64).alias("cut"),
        (pl.col("tuned_length") - pl.col("base_length")).alias(unit),
    ), unit


def share_of(flag: str) -> Measure:
    return lambda rows, alpha: share(rows[flag].drop_nulls(), counted="prompts", alpha=alpha)


def mean_of(unit: str) -> Measure:
    return lambda rows, alpha: mean(rows[unit], unit=unit, counted="prompts", alpha=alpha)


def beside(rows: pl.DataFrame, measure: Measure) -> tuple[Estimate, Estimate, Estimate]:
    """Lost minus won, with Bonferroni's correction for all that is looked at; the lost and the won prompts."""
    lost, won = rows.filter(pl.col("difference") < 0), rows.filter(pl.col("difference") > 0)
    by = difference_of_shares(measure(lost, ALPHA / LOOKED_AT), measure(won, ALPHA / LOOKED_AT))
    parts = measure(lost, ALPHA), measure(won, ALPHA)
    if parts[0].unit != "share":
        by = replace(by, unit=parts[0].unit)
    return replace(by, method=f"{by.method}, Bonferroni for {LOOKED_AT} comparisons"), *parts
