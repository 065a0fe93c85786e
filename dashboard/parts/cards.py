"""Cards of numbers: a statistic with its interval, and what an answer's length is worth when answers were cut."""

from math import isfinite
from typing import Any

import streamlit as st

from dashboard.state import data
from dashboard.state.messages import _
from engine.statistics.estimate import Estimate
from engine.statistics.registry import STATISTICS
from engine.statistics.wording import POINTS, in_unit, percent
from engine.statistics.wording import number as number_of


def estimate(row: dict[str, Any], name: str, of: str = "", help: str = "", note: str = "") -> None:
    """A card of a statistic: value, 95 % interval and the n it rests on; the tooltip says what it means and how it was estimated."""
    statistic, found = STATISTICS[name], Estimate(**row[name])
    method, value = _("Interval: {method}.").format(method=_(found.method)), written(found.value, found.unit)
    size = _("{interval}, n\u00a0=\u00a0{n} {counted}").format(interval=ends(found), n=number_of(found.n, 0), counted=_(found.counted))
    number(
        _("{statistic}: {of}").format(statistic=_(statistic.label), of=of) if of else _(statistic.label),
        _("at least {value}").format(value=value) if censored(row, name) else value,
        f"{size}. {note}" if note else size,
        " ".join(part for part in (_(statistic.help), help, method) if part),
    )


def censored(row: dict[str, Any], name: str) -> bool:
    """Whether a length is known only to be at least this, because some answers were cut."""
    return name in ("tokens_mean", "words_mean") and row["share_cut"]["n"] > 0 and row["share_cut"]["value"] > 0


def cut(row: dict[str, Any]) -> str:
    """How many of a comparison's answers the token limit cut; nothing of imported ones, of which nobody knows."""
    if not (row["base_cut"]["n"] and row["tuned_cut"]["n"]):
        return ""
    base, tuned = (percent(row[side]["value"]) for side in ("base_cut", "tuned_cut"))
    return _("Cut by the token limit: {base} of base, {tuned} of tuned answers").format(base=base, tuned=tuned)


def answer_length(row: dict[str, Any]) -> None:
    """A card of the mean length of a generator's answers, and one of the share that the token limit cut."""
    estimate(row, "tokens_mean" if row["tokens_mean"]["n"] else "words_mean", row["generator"])
    if row["share_cut"]["n"]:
        estimate(row, "share_cut", row["generator"])


def written(value: float, unit: str) -> str:
    """A number in its unit; a difference of shares in percentage points."""
    found = in_unit(value, unit)
    return _("{points} points").format(points=found) if unit == POINTS else found


def ends(found: Estimate) -> str:
    """The 95 % interval in words, without an end that is not known."""
    low, high = (written(end, found.unit) for end in (found.low, found.high))
    if isfinite(found.low) and isfinite(found.high):
        return _("95 % interval {low} to {high}").format(low=low, high=high)
    if isfinite(found.low):
        return _("95 % interval above {low}").format(low=low)
    return _("95 % interval below {high}").format(high=high) if isfinite(found.high) else _("no interval")


def number(label: str, value: str, remark: str, help: str | None = None) -> None:
    with st.container(border=True, height="stretch", gap="xsmall"):
        st.caption(data.literal(label), help=data.literal(help))
        st.metric(data.literal(label), data.literal(value), label_visibility="collapsed")
        st.caption(data.literal(remark))
