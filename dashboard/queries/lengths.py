"""What length has to do with who is right, with margins, and with what tuned answers gain."""

from collections.abc import Sequence
from itertools import pairwise
from math import inf, isfinite

import numpy as np
import polars as pl

from dashboard.queries.selection import Selection
from engine.statistics import rows
from engine.statistics.estimate import ESTIMATE, NO_INTERVAL, Estimate, column
from engine.statistics.lengths import LONGER_BY, alike, with_lengths
from engine.statistics.lines import line
from engine.statistics.registry import measured
from engine.store.database import Connection

MOST_BINS, FEWEST = 3, 8  # groups of pairs on each side of equal lengths, and the pairs that make a second one
FINE, COARSE, MANY = 12, 4, 1000  # cells within a standard deviation up to so many points, and above them
LINE_POINTS = 25
WHO = ("trained", "untrained")
ACCURACIES = {who: f"{who}_accuracy" for who in WHO}
GROUPS = {
    "all pairs": pl.lit(True),
    "like lengths": alike("chosen_words", "rejected_words"),
    "chosen longer": LONGER_BY > 0,
    "chosen shorter": LONGER_BY < 0,
}
DECIDED = {"chosen longer": 1.0, "chosen shorter": 0.0}  # how often taking the longer response is right there, by definition


def scored(con: Connection, selection: Selection) -> dict[str, pl.DataFrame]:
    """The pairs that each scorer has scored, by WHO; only scorers that have scored some."""
    scorers = dict(zip(WHO, (selection.trained_scorer, selection.base_scorer), strict=True))
    found = {who: rows.scored_pairs(con, selection, scorer) for who, scorer in scorers.items() if scorer}
    return {who: pairs for who, pairs in found.items() if not pairs.is_empty()}


def scorer_name(con: Connection, scorer: str | None) -> str:
    return rows.scorer_name(con, scorer) or ""


def accuracy_by_length(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 18: accuracy of both scorers on pairs grouped by how many words longer the chosen response is, none across 0.

    Columns: bin, low, high (words, low ≤ longer_by < high), rule (accuracy of "the longer one": 0, ½ or 1), who, scorer, accuracy (an
    Estimate).
    """
    found = scored(con, selection)
    if "trained" not in found:
        return pl.DataFrame(schema={"bin": pl.Int64, "low": pl.Int64, "high": pl.Int64, "rule": pl.Float64, "who": pl.String,
                                    "scorer": pl.String, "accuracy": ESTIMATE})  # fmt: skip
    names = {"trained": scorer_name(con, selection.trained_scorer), "untrained": scorer_name(con, selection.base_scorer)}
    made, estimates = [], []
    for place, (low, high) in enumerate(length_bins(found["trained"]["longer_by"])):
        for who, pairs in found.items():
            inside = pairs.filter(pl.col("longer_by").is_between(low, high, closed="left"))
            if not inside.is_empty():
                made.append(
                    {
                        "bin": place,
                        "low": low,
                        "high": high,
                        "rule": (1 + float(np.sign(low + high - 1))) / 2,
                        "who": who,
                        "scorer": names[who],
                    }
                )
                estimates.append(measured(inside, ["accuracy"])["accuracy"])
    return pl.DataFrame(made).with_columns(column("accuracy", estimates))


def length_bins(longer_by: pl.Series) -> list[tuple[int, int]]:
    """Ranges low ≤ longer_by < high: up to three on each side of 0 with about as many pairs each, and one of equal lengths."""
    shorter, longer = (longer_by.filter(sign * longer_by > 0).sort() for sign in (-1, 1))
    below = [*starts(shorter), 0] if len(shorter) else []
    above = [*starts(longer), int(longer[-1]) + 1] if len(longer) else []
    if len(longer):
        above[0] = 1
    equal = [(0, 1)] if (longer_by == 0).any() else []
    return [*pairwise(below), *equal, *pairwise(above)]


def starts(values: pl.Series) -> list[int]:
    """The lowest value of each group of sorted values; equal values stay together."""
    groups = min(MOST_BINS, max(1, len(values) // FEWEST))
    return sorted({int(values[len(values) * i // groups]) for i in range(groups)})


def accuracy_of_lengths(con: Connection, selection: Selection) -> pl.DataFrame:
    """Table 5: accuracy on all pairs, on those of like lengths, and where the chosen response is longer and shorter.

    Columns: which (pairs), trained_accuracy, untrained_accuracy, length_rule (Estimates; null for a scorer that there is not, and without
    an interval where the rule is right or wrong by definition).
    """
    found = scored(con, selection)
    if "trained" not in found:
        return pl.DataFrame(schema={"which": pl.String, **dict.fromkeys((*ACCURACIES.values(), "length_rule"), ESTIMATE)})
    parts = {name: found["trained"].filter(which) for name, which in GROUPS.items()}
    kept = [name for name, part in parts.items() if not part.is_empty()]

    def of(who: str) -> list[Estimate | None]:
        return [measured(found[who].filter(GROUPS[name]), ["accuracy"])["accuracy"] if who in found else None for name in kept]

    rule = [by_definition(name, len(parts[name])) or measured(parts[name], ["length_rule"])["length_rule"] for name in kept]
    return pl.DataFrame(
        [pl.Series("which", kept), *(column(name, of(who)) for who, name in ACCURACIES.items()), column("length_rule", rule)]
    )


def by_definition(name: str, n: int) -> Estimate | None:
    """The accuracy of the length rule in a group that its own answer makes."""
    return Estimate(DECIDED[name], -inf, inf, n, method=f"{NO_INTERVAL}: by definition") if name in DECIDED else None


def margin_by_length(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 19: how many pairs have which margin at which difference in words, and the line through them. Columns as in `with_line`."""
    pairs = rows.scored_pairs(con, selection, selection.trained_scorer)
    estimates = measured(pairs, ["length_correlation", "length_slope"]) if len(pairs) else {}
    points = pairs.select(x="longer_by", y="margin", prompt_id="prompt_id")
    return with_line(points, list(estimates.values()), "words", scorer_name(con, selection.trained_scorer))


def gain_by_length(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 20: how many prompts gain which reward at which difference in length, and the line through them. Columns as in `with_line`."""
    answers = rows.compared_answers(con, selection, selection.trained_scorer)
    estimates = measured(answers, ["gain_length_correlation", "gain_length_slope"]) if len(answers) else {}
    sized, unit = with_lengths(answers)
    points = sized.select(x=pl.col("tuned_length") - pl.col("base_length"), y="difference", prompt_id="prompt_id")
    return with_line(points, list(estimates.values()), unit, scorer_name(con, selection.trained_scorer))


def with_line(points: pl.DataFrame, estimates: Sequence[Estimate], unit: str, scorer: str) -> pl.DataFrame:
    """Cells of a grid with the points in them, then the line of least squares.

    Columns: part (cell, line), x (in `unit`), y (reward), x_step, y_step (of a cell, its middle at x, y), count, low, high (of the line at
    x), unit, correlation, slope (per 100 of the unit), n (points), scorer.
    """
    schema = {
        "part": pl.String,
        **dict.fromkeys(("x", "y", "x_step", "y_step"), pl.Float64),
        "count": pl.Int64,
        "low": pl.Float64,
        "high": pl.Float64,
    }
    if points.is_empty():
        return pl.DataFrame(
            schema={**schema, "unit": pl.String, "correlation": ESTIMATE, "slope": ESTIMATE, "n": pl.Int64, "scorer": pl.String}
        )
    drawn = pl.concat([cells(points), fitted(points)], how="diagonal").select(pl.col(name).cast(kind) for name, kind in schema.items())
    about = pl.DataFrame([column("correlation", estimates[:1]), column("slope", estimates[1:])])
    about = about.with_columns(n=pl.lit(len(points)), scorer=pl.lit(scorer), unit=pl.lit(unit))
    return drawn.join(about.select("unit", "correlation", "slope", "n", "scorer"), how="cross")


def cells(points: pl.DataFrame) -> pl.DataFrame:
    """Points counted on a grid; of more than MANY the outermost 1 % in each direction are left out."""
    fine = FINE if len(points) <= MANY else COARSE
    steps = {name: spread(points[name]) / fine for name in ("x", "y")}
    steps["x"] = max(1.0, float(round(steps["x"])))
    if len(points) > MANY:
        points = points.filter(
            pl.all_horizontal(pl.col(n).is_between(pl.col(n).quantile(0.005), pl.col(n).quantile(0.995)) for n in ("x", "y"))
        )
    places = [((pl.col(name) / step + 0.5).floor() * step).alias(name) for name, step in steps.items()]
    found = points.select(places).group_by("x", "y").agg(count=pl.len()).sort("x", "y")
    return found.with_columns(part=pl.lit("cell"), x_step=pl.lit(steps["x"]), y_step=pl.lit(steps["y"]))


def spread(values: pl.Series) -> float:
    """Standard deviation; 1 where there is none."""
    found = values.cast(pl.Float64).std()
    return found if isinstance(found, float) and found and isfinite(found) else 1.0


def fitted(points: pl.DataFrame) -> pl.DataFrame:
    """The line of least squares with its 95 % interval from the lowest to the highest x; nothing where x does not vary."""
    found = line(points["x"], points["y"], points["prompt_id"])
    if found is None:
        return pl.DataFrame(schema={**dict.fromkeys(("x", "y", "low", "high"), pl.Float64), "part": pl.String})
    x = np.linspace(float(points["x"].to_numpy().min()), float(points["x"].to_numpy().max()), LINE_POINTS)
    y, low, high = found.at(x)
    return pl.DataFrame({"x": x, "y": y, "low": low, "high": high}, nan_to_null=True).with_columns(part=pl.lit("line"))
