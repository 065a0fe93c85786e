"""What an import would keep and what not, shown before it is done."""

from collections.abc import Mapping

import streamlit as st

from dashboard.state import data
from dashboard.state.messages import _, counted, in_sentences, listed, ours, reported
from engine.data.formats import REASONS
from engine.data.intake import is_training
from engine.data.preview import Check, shown
from engine.data.rejects import Dropped
from engine.data.results import ResultsCheck
from engine.statistics.intervals import wilson
from engine.statistics.wording import number

PAIRS = 5  # shown as they are read
ENOUGH = 20  # pairs of validation; fewer give an interval wider than 40 points
EXAMPLE = 0.75  # an accuracy as reward models have it


def kept(looked: Check) -> None:
    """Counts, each reason with an example, and the first pairs as they are read."""
    splits = listed(f"{number(pairs, 0)} {ours(split)}" for split, pairs in looked.splits.items())
    out = looked.records - len(looked.kept)
    all_kept, some = _("All {records} kept ({splits})."), _("{kept} of {records} kept ({splits}); {dropped} left out.")
    text = (some if out else all_kept).format(
        kept=number(len(looked.kept), 0), records=counted(looked.records, "records"), splits=splits or _("none"), dropped=number(out, 0)
    )
    (st.write if looked.kept else st.error)(data.literal(text))
    reasons(looked.dropped)
    if looked.kept:
        st.caption(_("The first pairs, as they are read"))
        pairs = [one.pair for one in looked.kept[:PAIRS]]
        rows = [{_("Prompt"): shown(p.turns[-1].content), _("Chosen"): shown(p.chosen), _("Rejected"): shown(p.rejected)} for p in pairs]
        texts(rows, "pairs")
    notes(looked.notes)


def few(splits: Mapping[str, int], divided: bool = False) -> None:
    """That accuracy can hardly be measured on so few pairs, with the width of its interval. divided: whether the share is asked below."""
    n = sum(pairs for split, pairs in splits.items() if not is_training(split))
    if n >= ENOUGH:
        return
    said = [_("No pair is held out for validation: accuracy cannot be measured on new pairs.")]
    if n:
        measured = wilson(EXAMPLE * n, n)
        text = _(
            "Only {pairs} for validation: accuracy can hardly be measured on them. Around one of {accuracy:.0f} % its 95 % interval is "
            "{width:.0f} points wide."
        )
        width = 100 * (measured.high - measured.low)
        said = [text.format(pairs=counted(n, "pairs"), accuracy=100 * measured.value, width=width)]
    said.append(
        _("The share is set above, under Held out for validation (%).")
        if divided
        else _("Where a file is divided into train and validation, the share is set on this page before the import.")
    )
    st.warning(data.literal(in_sentences(said)))


def texts(rows: list[dict[str, str]], name: str) -> None:
    """Texts in columns of equal width, so that all of them are seen."""
    width = max(90, 1000 // max(len(rows[0]), 1)) if rows else None
    widths = {column: st.column_config.Column(width=width) for column in rows[0]} if rows else {}
    st.dataframe(rows, hide_index=True, row_height=32, column_config=widths, key=f"import_{name}")


def reasons(dropped: tuple[Dropped, ...]) -> None:
    """How many for each reason, and the first record of it."""
    if not dropped:
        return
    rows = [
        {
            _("Records"): one.records,
            _("Left out because"): _(REASONS.get(one.reason, one.reason)),
            _("For instance"): _("line {line}: {detail}").format(line=one.line, detail=reported(one.detail)),
            _("Record"): one.excerpt,
        }
        for one in dropped
    ]
    st.dataframe(rows, hide_index=True, row_height=32, key="import_reasons")


def results(looked: ResultsCheck) -> None:
    """What can be used of a file of results."""
    st.write(data.literal(_("Of {records}: {rows}.").format(records=counted(looked.records, "records"), rows=rows_of(looked.counts))))
    reasons(looked.dropped)
    notes(looked.notes)


def rows_of(counts: dict[str, int]) -> str:
    """475 prompts, 496 pairs, 496 answers, 496 rewards."""
    named = {"prompts": "prompts", "pairs": "pairs", "generations": "answers", "rewards": "rewards"}
    return listed(counted(counts[table], unit) for table, unit in named.items() if table in counts)


def notes(sentences: tuple[str, ...]) -> None:
    for sentence in map(reported, sentences):
        st.caption(data.literal(sentence))
