"""Prompts that show what a number means: the largest gains and losses with both answers, the answers that were not cut."""

from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.parts import answers, verdict
from dashboard.queries import Selection
from dashboard.state import address, data, slices
from dashboard.state.messages import _, ours
from engine.statistics.claims import Claim
from engine.statistics.wording import number


def both_ends(selection: Selection, title: str, each: int = 2) -> None:
    """A section of the prompts on which the trained scorer sees the tuned answer gain and lose most, and the way to all of them."""
    ends = data.read(queries.both_ends, selection, each)
    titles = (_("Largest gain"), _("Second largest gain")), (_("Largest loss"), _("Second largest loss"))
    told = {prompt: title for prompts, named in zip(ends, titles, strict=True) for prompt, title in zip(prompts, named, strict=False)}
    if not told:
        return
    verdict.section(title)
    with st.grid(2, min_column_width=460, gap="small"):
        for row in data.read(queries.prompt_table, selection, tuple(told)).iter_rows(named=True):
            example(row, told[row["prompt_id"]])
    with st.container(horizontal=True):
        for who, label in (("tuned", _("All gains")), ("base", _("All losses"))):
            to_prompts(label, preferred=who)


def to_prompts(label: str, **asked: str) -> None:
    """The way to the page Prompts, where that is listed which is asked for, and not what was asked for there before."""
    st.page_link(
        "views/prompts.py", label=data.literal(label), icon=":material/arrow_forward:", icon_position="right",
        query_params=address.only(**asked),
    )  # fmt: skip


def example(row: dict[str, Any], title: str) -> None:
    """One prompt and both answers to it, each with its reward and length, in part, and the way to the whole."""
    prompt = row["prompt_id"]
    with st.container(border=True, height="stretch", gap="xsmall"):
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", horizontal_alignment="distribute"):
            parts = title, ours(row["prompt_type"] or ""), number(row["difference"], signed=True)
            st.caption(data.literal("\u00a0· ".join(part for part in parts if part)), width="content")
            to_prompts(_("Read both"), prompt=prompt)
        answers.beside((answer(row, "base"), answer(row, "tuned")), [("user", row["prompt"])], key=f"example_{prompt}", brief=True)


def answer(row: dict[str, Any], side: answers.Role) -> answers.Answer:
    told = {name: row[f"{side}_{name}"] for name in ("tokens", "words", "cut")}
    return answers.Answer(side, row[f"{side}_answer"], reward=row[f"{side}_trained"], **told)


def cut_or_complete(selection: Selection, claim: Claim) -> None:
    """A button that looks at the prompts where the token limit cut neither answer, and the way to those where it did."""
    both = [slices.predicate(field, selection, None, values=(False,)) for field in ("base_cut", "tuned_cut")]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(_("Show only complete answers"), key="only_complete", on_click=slices.add, args=(selection, both))
        for flag, label in (("base_cut", _("Cut base answers")), ("tuned_cut", _("Cut tuned answers"))):
            if claim.estimates[flag].value:
                to_prompts(label, flag=flag)
