"""From measurements to rows: medians, ratios, shares of the machine's limit; the printed table and the stored JSON."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .measure import Measured
from .plan import Stage

FIRST = 16  # words of an answer that are compared


@dataclass
class Results:
    """Everything measured so far."""

    times: dict[tuple[str, str, str], list[Measured]] = field(default_factory=dict)  # (stage, workload, side)
    checks: dict[tuple[str, str, str, str], dict[str, float]] = field(default_factory=dict)  # (stage, workload, side, precision)
    limits: list[Measured] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ended: str = ""  # where the budget ended it

    def add(self, stage: str, workload: str, side: str, found: Measured) -> None:
        self.times.setdefault((stage, workload, side), []).append(found)


@dataclass(frozen=True)
class Row:
    """Ours beside an anchor; speeds in units a second, memory in bytes."""

    stage: str
    workload: str
    ours: str
    anchor: str
    unit: str
    repetitions: int
    our_speed: float
    anchor_speed: float
    ratio: float
    our_tokens_per_second: float
    anchor_tokens_per_second: float
    our_share_of_limit: float | None
    anchor_share_of_limit: float | None
    our_peak_bytes: int
    anchor_peak_bytes: int
    our_warmup_seconds: float
    anchor_warmup_seconds: float
    break_even_steps: float | None  # after which ours, warm-up included, is ahead of the anchor; None when it never is
    checks: dict[str, list[float]]  # name: [ours, anchor] or, of answers and rewards, one number


def median(found: Sequence[Measured], value: str) -> float:
    return float(statistics.median(getattr(m, value) for m in found))


def speed(found: Sequence[Measured], value: str) -> float:
    return float(statistics.median(getattr(m, value) / m.seconds for m in found))


def rows_of(stage: Stage, workload: str, results: Results, batch_size: int) -> list[Row]:
    """One row for each comparison of which both sides were measured."""
    found = {side.name: results.times.get((stage.name, workload, side.name), []) for side in stage.sides}
    pairs = [(ours, anchor) for ours, anchor in stage.rows if found[ours] and found[anchor]]
    return [row_of(stage, workload, (ours, anchor), (found[ours], found[anchor]), results, batch_size) for ours, anchor in pairs]


def row_of(
    stage: Stage, workload: str, names: tuple[str, str], both: tuple[list[Measured], list[Measured]], results: Results, batch_size: int
) -> Row:
    ours, anchor = both
    limit = statistics.median(m.about["flop_per_second"] / m.about["linear_parameters"] for m in results.limits)
    speeds, tokens = ((speed(ours, value), speed(anchor, value)) for value in ("units", "tokens"))
    warm = median(ours, "warmup_seconds"), median(anchor, "warmup_seconds")
    return Row(
        stage=stage.name,
        workload=workload,
        ours=names[0],
        anchor=names[1],
        unit=stage.unit,
        repetitions=min(map(len, both)),
        our_speed=speeds[0],
        anchor_speed=speeds[1],
        ratio=speeds[0] / speeds[1],
        our_tokens_per_second=tokens[0],
        anchor_tokens_per_second=tokens[1],
        our_share_of_limit=tokens[0] * stage.flops / limit if stage.flops else None,
        anchor_share_of_limit=tokens[1] * stage.flops / limit if stage.flops else None,
        our_peak_bytes=max(m.peak_bytes for m in ours),
        anchor_peak_bytes=max(m.peak_bytes for m in anchor),
        our_warmup_seconds=warm[0],
        anchor_warmup_seconds=warm[1],
        break_even_steps=break_even(speeds, warm, batch_size) if stage.checked else None,
        checks=compared(stage, workload, ours[-1], anchor[-1], results),
    )


def break_even(speeds: tuple[float, float], warm: tuple[float, float], batch_size: int) -> float | None:
    """Steps n with warm_ours + n·t_ours = warm_anchor + n·t_anchor, t being seconds of a step."""
    won = batch_size / speeds[1] - batch_size / speeds[0]
    return max(math.ceil((warm[0] - warm[1]) / won), 0) if won > 0 else None


def compared(stage: Stage, workload: str, ours: Measured, anchor: Measured, results: Results) -> dict[str, list[float]]:
    """Losses of both sides on one batch; or how far the two sides' rewards are apart; or how many answers begin alike.

    Of queries, the slowest.
    """
    if stage.checked:
        found = [{k[3]: v for k, v in results.checks.items() if k[:3] == (stage.name, workload, side.name)} for side in stage.checked]
        return {
            f"{name}, {precision}": [found[0][precision][name], found[1][precision][name]]
            for precision in found[0].keys() & found[1].keys()
            for name in found[0][precision]
            if name in found[1][precision]
        }
    if stage.name == "scoring":
        apart = max(abs(a - b) for a, b in zip(ours.values, anchor.values, strict=True))
        return {"mean reward": [statistics.fmean(ours.values), statistics.fmean(anchor.values)], "largest difference": [apart]}
    if "slowest" in ours.about:
        return {f"{name}, milliseconds": [1000 * seconds] for name, seconds in ours.about["slowest"].items()}
    if ours.values:
        alike = [a.split()[:FIRST] == b.split()[:FIRST] for a, b in zip(ours.values, anchor.values, strict=True)]
        return {f"answers whose first {FIRST} words are equal": [statistics.fmean(alike)]}
    return {}


SIDES = ("stage", "workload", "ours", "anchor", "n", "unit", "ours/s", "anchor/s", "ratio")
HEADER = (*SIDES, "tokens/s", "of limit", "GB", "anchor GB", "warm-up s", "even at")


def table(rows: Sequence[Row]) -> str:
    """Columns of equal width, then what the two sides computed."""
    cells = [HEADER, *(shown(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEADER))]
    lines = ["  ".join(c.ljust(w) if i < 4 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))) for row in cells]
    return "\n".join(
        [*lines, "", "What both sides computed (ours, anchor):", *dict.fromkeys(check_line(row) for row in rows if row.checks)]
    )


def shown(row: Row) -> tuple[str, ...]:
    share = "" if row.our_share_of_limit is None else f"{row.our_share_of_limit:.0%}"
    tokens = f"{row.our_tokens_per_second:.0f}" if row.our_tokens_per_second else ""
    even = "" if row.break_even_steps is None else f"{row.break_even_steps:.0f} steps"
    warm = f"{row.our_warmup_seconds:.1f}" if row.our_warmup_seconds else ""
    memory = (f"{row.our_peak_bytes / 1e9:.2f}", f"{row.anchor_peak_bytes / 1e9:.2f}")
    speeds = (f"{row.our_speed:.4g}", f"{row.anchor_speed:.4g}", f"{row.ratio:.2f}")
    return (row.stage, row.workload, row.ours, row.anchor, str(row.repetitions), row.unit, *speeds, tokens, share, *memory, warm, even)


def check_line(row: Row) -> str:
    said = "; ".join(f"{name} {', '.join(f'{v:.6f}' for v in values)}" for name, values in sorted(row.checks.items()))
    names = "" if row.stage in ("reward", "dpo") else f" ({row.ours} | {row.anchor})"
    return f"  {row.stage}, {row.workload}{names}: {said}"


def store(path: Path, about: dict[str, Any], rows: Sequence[Row], results: Results) -> None:
    """Rows and every single measurement, without the rewards and answers themselves."""
    single = [
        {"stage": s, "workload": w, "side": side, **{k: v for k, v in asdict(m).items() if k != "values"}}
        for (s, w, side), found in results.times.items()
        for m in found
    ]
    whole = {**about, "problems": results.problems, "ended": results.ended, "rows": [asdict(r) for r in rows], "measurements": single}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
