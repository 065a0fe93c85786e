"""What a page says where numbers are missing or need a remark."""

import streamlit as st

from dashboard import queries
from dashboard.parts import chips, retrain, widgets
from dashboard.queries import Selection
from dashboard.state import data
from dashboard.state.data import Run
from dashboard.state.messages import _, counted, in_sentences, listed, ours
from engine.statistics.wording import number
from engine.store.status import State


def on_pairs(selection: Selection) -> None:
    """Which of the two scorers has not scored all pairs, and how far it is; without a trained one, how to get it."""
    widgets.live(lambda runs: missing(runs, selection, of_answers=False))


def on_answers(selection: Selection) -> None:
    """Which answers are not scored, how far they are, and which settings the two generators do not share."""
    for (differs,) in data.read(queries.differing_settings, selection).iter_rows():
        st.warning(_("The answers were written under different settings: {differs}.").format(differs=data.literal(differs)))
    widgets.live(lambda runs: missing(runs, selection, of_answers=True))


def missing(runs: list[Run], selection: Selection, of_answers: bool) -> None:
    """No number is made of what is scored in part: it appears when all is scored."""
    rows = data.read(queries.missing_scores, selection)
    rows = rows.filter(rows["generator"].is_not_null() == of_answers)
    for row in rows.iter_rows(named=True):
        what = _("answers of {generator}").format(generator=ours(row["generator"])) if of_answers else _("pairs")
        sentence = _("{scored} of {expected} {what} are scored by {scorer}. Its numbers are shown when all are.")
        counts = {name: number(row[name], 0) for name in ("scored", "expected")}
        st.info(data.literal(sentence.format(scorer=ours(row["scorer"]), what=what, **counts)))
    nobody = selection.trained_scorer is None and not of_answers
    scoring = [run for run in runs if run.kind in ("score", "ensemble") and run.status.state is State.RUNNING]
    for run in scoring if nobody or not rows.is_empty() else ():
        st.info(data.literal(widgets.progress_text(run)))
    if nobody and rows.is_empty() and not scoring:
        unscored(runs, selection)


def unscored(runs: list[Run], selection: Selection) -> None:
    """That no reward model has scored the split; a split that one has, or else how to get one."""
    elsewhere = data.read(queries.default_selection, selection.dataset_id)
    if not elsewhere.trained_scorer:
        sentence = _("No reward model has scored these pairs. Training one scores the pairs held out for validation, too.")
        nothing(sentence, runs, selection, "reward")
        return
    named = {"split": ours(selection.split or ""), "other": ours(elsewhere.split or "")}
    with st.container(border=True, gap="xsmall", key="nothing"):
        st.markdown(data.literal(_("No reward model has scored the pairs of {split}; those of {other} are scored.").format(**named)))
        look_at(selection, elsewhere.split)


def look_at(selection: Selection, split: str | None) -> None:
    """The button that leads to another split of the dataset."""
    label = _("Look at {other}").format(other=ours(split or ""))
    st.button(
        data.literal(label), key="look_elsewhere", type="primary", on_click=chips.open_dataset, args=(selection.dataset_id, split)
    )  # fmt: skip


def unanswered(runs: list[Run], selection: Selection) -> None:
    """That two sets of answers are needed, and the next step to them, or the runs that make them; a split that has them, or will."""
    coming, missing = to_come(runs, selection, "policy", "generate"), list[retrain.Kind]()
    said = [_("Two sets of answers to this split's prompts are needed, of a base model and of a policy tuned from it."), these(coming)]
    elsewhere = answered_elsewhere(coming, selection)
    other = ours(elsewhere or "")
    if lacks(runs, selection, "policy"):
        missing.append("policy")
        text = _(
            "No policy was trained on this dataset yet. Fine-tune one: by default it and its base model then answer the validation "
            "prompts, and the reward model, if there is one, scores both."
        )
        said.append(text)
    elif elsewhere and splits_to_come(coming):
        said.append(_("Their answers will be to the prompts of {other}: they are looked at there.").format(other=other))
    elif elsewhere:
        said.append(_("The prompts of {other} are answered by both.").format(other=other))
    elif not coming:
        said.append(_("Let both answer on the page Runs, or import their answers on the page Data."))
    to_judge(runs, selection, said, missing, elsewhere)


def answered_elsewhere(coming: list[Run], selection: Selection) -> str | None:
    """Another split of the dataset whose prompts runs to come will answer, or without such runs one that two have answered."""
    found = data.read(queries.default_selection, selection.dataset_id)
    answered = [found.split] if found.split and found.base_generator and found.tuned_generator else []
    splits = splits_to_come(coming) or answered
    return None if selection.split in splits else next(iter(splits), None)


def splits_to_come(coming: list[Run]) -> list[str]:
    """The splits whose prompts runs to come will answer."""
    return [str(run.dir.config_values.get("split")) for run in coming if run.kind == "generate"]


def unjudged(runs: list[Run], selection: Selection) -> None:
    """That no reward model has scored both sets of answers, and the next step to their scores, or the runs that make them."""
    coming = to_come(runs, selection, "reward", "score", "ensemble")
    said = [_("No reward model has scored both sets of answers."), these(coming)]
    if not (coming or judgeless(runs, selection)):
        said.append(_("Score them on the page Runs, or pick another reward model in the chips."))
    to_judge(runs, selection, said, [])


def to_judge(runs: list[Run], selection: Selection, said: list[str], missing: list[retrain.Kind], elsewhere: str | None = None) -> None:
    """The same, and that a reward model is needed too, first, where the dataset has none."""
    if judgeless(runs, selection):
        judge = _("A reward model is needed to judge the answers, and none was trained on this dataset yet: train one here.")
        said.insert(2, judge)  # before the steps that come after it
        missing.insert(0, "reward")
    nothing(in_sentences(said), runs, selection, *missing, elsewhere=elsewhere)


def judgeless(runs: list[Run], selection: Selection) -> bool:
    """Whether there is no reward model to judge the answers, nor is one to come."""
    return selection.trained_scorer is None and lacks(runs, selection, "reward")


def lacks(runs: list[Run], selection: Selection, kind: retrain.Kind) -> bool:
    """Whether no model of this kind was trained on the dataset, nor is to be."""
    return not (retrain.was_done(runs, selection, kind) or to_come(runs, selection, kind))


def to_come(runs: list[Run], selection: Selection, *kinds: str) -> list[Run]:
    """The runs of these kinds on the dataset that wait or are going on and are not being cancelled, oldest first."""
    return [r for r in reversed(runs) if r.to_come and r.kind in kinds and r.outline.dataset == selection.dataset_id]


def these(runs: list[Run]) -> str:
    return _("These runs are under way: {names}.").format(names=listed(run.name for run in runs)) if runs else ""


def nothing(sentence: str, runs: list[Run], selection: Selection, *kinds: retrain.Kind, elsewhere: str | None = None) -> None:
    """What is not there yet, the buttons that train it where training is what is missing, in their order, and what is under way.

    elsewhere: a split that has it, or will have it.
    """
    with st.container(border=True, gap="xsmall", key="nothing"):
        st.markdown(data.literal(sentence))
        with st.container(horizontal=True):
            if elsewhere:
                look_at(selection, elsewhere)
            for number, kind in enumerate(kinds, 1):
                retrain.where_missing(kind, runs, selection, step=number if len(kinds) > 1 else None)
        under_way(runs)


def under_way(runs: list[Run]) -> None:
    """The run that is going on, and in one line what came of those of the dataset that is looked at."""
    dataset = data.selection().dataset_id
    going = [run for run in runs if run.status.state in (State.RUNNING, State.FINALISING)]
    barred = [run.name for run in reversed(runs) if run.barred]
    own = [run.status.state for run in runs if dataset in (None, run.outline.dataset) and not run.barred]
    counts = {state: own.count(state) for state in State}
    for run in going:
        st.progress(
            min(1.0, run.status.step / run.status.steps) if run.status.steps else 0.0,
            data.literal(_("{name}: {progress}").format(name=run.name, progress=widgets.progress_text(run))),
        )
    if barred:
        st.caption(
            data.literal(
                _("Will not start, since what they wait for has stopped or is being cancelled: {names}.").format(names=listed(barred))
            )
        )
    sentence = _("{runs} done, {waiting} waiting, {stopped} failed, {cancelled} cancelled.")
    said = sentence.format(
        runs=counted(counts[State.DONE], "runs"), waiting=counts[State.QUEUED], stopped=counts[State.FAILED] + counts[State.LOST],
        cancelled=counts[State.CANCELLED],
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(data.literal(said if going else _("Nothing is under way. ") + said), width="content")
        st.page_link("views/runs.py", label=_("Runs"), icon=":material/arrow_forward:", icon_position="right")
