"""The columns of a table as a page shows them: in words, with what they mean, the telling ones first."""

from typing import Any

import polars as pl
import streamlit as st

from dashboard.report.tabular import flat
from dashboard.state.data import literal
from dashboard.state.messages import _

FIELDS = {"prompt_type": _("Type of prompt"), "source": _("Source of the pair")}  # what can name the group of a pair
REWARD = _("A scorer's reward has no unit and no zero: only differences under the same scorer mean something.")
CUT = _("It reached the limit of new tokens and ends in the middle: it is at least this long.")
HEADINGS = {
    "prompt": (_("Prompt"), None),
    "prompt_type": (_("Type"), _("The kind of prompt, as the dataset states it.")),
    "difference": (_("Tuned − base"), _("The tuned answer's reward minus the base answer's, by the trained scorer. Above 0: tuned wins.")),
    "response": (_("Response"), None),
    "text": (_("Text"), None),
    "words": (_("Words"), None),
    "untrained": (_("Reward, untrained"), _("By the scorer whose last layer was never trained.") + " " + REWARD),
    "trained": (_("Reward, trained"), _("By the trained scorer.") + " " + REWARD),
    "scorer": (_("Scorer"), None),
    "which": (_("On"), None),
    "length_rule": (
        _("The longer one"),
        _("Accuracy of taking the longer response for the better one, ties half. Where chosen is longer it is right by definition."),
    ),
    "reward": (_("Reward"), REWARD),
    "base_answer": (_("Base answer"), None),
    "tuned_answer": (_("Tuned answer"), None),
    "base_trained": (_("Base, trained scorer"), _("The base answer's reward by the trained scorer.") + " " + REWARD),
    "tuned_trained": (_("Tuned, trained scorer"), _("The tuned answer's reward by the trained scorer.") + " " + REWARD),
    "base_untrained": (_("Base, untrained scorer"), _("The base answer's reward by the untrained scorer.") + " " + REWARD),
    "tuned_untrained": (_("Tuned, untrained scorer"), _("The tuned answer's reward by the untrained scorer.") + " " + REWARD),
    "base_words": (_("Base words"), None),
    "tuned_words": (_("Tuned words"), None),
    "base_tokens": (_("Base tokens"), _("New tokens of the base answer, as its model counts them.")),
    "tuned_tokens": (_("Tuned tokens"), _("New tokens of the tuned answer, as its model counts them.")),
    "base_cut": (_("Base cut"), CUT),
    "tuned_cut": (_("Tuned cut"), CUT),
    "configuration": (_("Configuration"), _("What its runs have in common; they differ in their seeds.")),
    "field": (_("Groups by"), None),
    "group": (_("Group"), None),
    "model": (_("Kind"), _("common: trained on all pairs; group: on one group only; conditional: on all, told each pair's group.")),
    "trained_on": (_("Trained on group"), None),
    "split": (_("Split"), None),
    "runs": (_("Runs"), None),
    "done": (_("Runs done"), None),
    "accuracy": (_("Accuracy"), _("Share of pairs with chosen above rejected, ties half; of a study, the mean over its runs.")),
    "accuracy_std": (_("Std. dev. over seeds"), _("Standard deviation of the accuracy over the runs that differ in the seed only.")),
    "accuracy_min": (_("Lowest accuracy"), None),
    "accuracy_max": (_("Highest accuracy"), None),
    "accuracy_length_matched": (_("On like lengths"), _("Accuracy on the pairs whose responses differ by at most 10 % in length.")),
    "accuracy_low": (_("95 % from"), _("Lower end of the interval.")),
    "accuracy_high": (_("95 % to"), _("Upper end of the interval.")),
    "accuracy_method": (_("Interval by"), _("How the interval was estimated.")),
    "reward_mean": (_("Mean reward"), _("Of chosen and rejected together.") + " " + REWARD),
    "reward_std": (_("Std. dev. of rewards"), _("Of chosen and rejected together, within a run.")),
    "n": (_("Pairs"), None),
    "seconds": (_("Seconds"), _("From the start of a run to its end, mean over its runs.")),
    "peak_gb": (_("Peak memory [GB]"), _("The highest of its runs, in 10⁹ bytes: device memory on a GPU, else resident memory.")),
    "state": (_("State"), None),
    "reason": (_("Why"), None),
}
UNREAD = ("_id", "_n", "_counted", "_unit", "_prompts")  # ends of the names of columns that are left out
LONG_CHARS, TEXT_PIXELS = 40, 260
LINE_CHARS, LINE_PIXELS, MOST_LINES = 33, 20, 8  # of a long text's column


def readable(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns a person reads, in the order of HEADINGS: without ids, and without those in which nothing stands yet."""
    rows = flat(rows)
    order = [name for name in HEADINGS if name in rows.columns]
    names = [*order, *(name for name in rows.columns if name not in HEADINGS and not name.endswith(UNREAD))]
    shown = rows.select(name for name in names if rows[name].null_count() < len(rows))
    words = {"field": pl.col("field").replace(FIELDS)} if "field" in shown.columns else {}
    return shown.with_columns(pl.col("^accuracy.*$").exclude(pl.String).round(3), **words)


def headed(rows: pl.DataFrame) -> dict[str, Any]:
    """Headings in words, texts wide enough to read, numbers with two decimals."""
    return {name: column(rows[name], *HEADINGS.get(name, (name.replace("_", " ").capitalize(), None))) for name in rows.columns}


def column(values: pl.Series, heading: str, help: str | None) -> Any:
    if values.name.startswith("accuracy") and values.dtype.is_float():
        return st.column_config.NumberColumn(heading, help=literal(help), format="percent")
    if values.dtype.is_float():
        return st.column_config.NumberColumn(heading, help=literal(help), format="%.2f")
    return st.column_config.Column(heading, help=literal(help), width=TEXT_PIXELS if is_long(values) else None)


def row_height(rows: pl.DataFrame) -> int | None:
    """Pixels in which the longest text stands whole, up to a few lines; None, one line, where no column holds long texts."""
    longest = max((len(text or "") for values in rows if is_long(values) for text in values), default=0)
    return min(-(-longest // LINE_CHARS), MOST_LINES) * LINE_PIXELS + 14 if longest else None


def is_long(values: pl.Series) -> bool:
    """Whether a column holds texts that need several lines."""
    return values.dtype == pl.String and bool((values.str.len_chars() > LONG_CHARS).any())
