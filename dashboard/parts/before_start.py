"""What stands beside the settings of a run to come: its time, memory and disk, what is in its way, and the same as a command."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

import streamlit as st

from dashboard.parts.run_settings import KINDS
from dashboard.state import data
from dashboard.state.costs import Expected, Tokens, cost_of, expected_cost, said_by, tokens_of
from dashboard.state.messages import _, counted, duration, listed, marked, ours, reported
from engine.errors import PrefscopeError
from engine.plain import line, printable
from engine.planning.cost import Cost, Phase
from engine.planning.references import awaited
from engine.queue import chain
from engine.queue.study import Study, members
from engine.settings.config import RunConfig, TrainConfig
from engine.statistics import wording
from engine.store.rundir import cache_path

COLOURS = {"before and after": "#A6ADB5", "training": "#7B5EA7", "answering": "#009E73", "scoring": "#0072B2", "mapping": "#A6ADB5"}
WHAT = {
    "before and after": marked("before and after: load, validate, save"),
    "training": marked("train"),
    "answering": marked("answer"),
    "scoring": marked("score"),
    "mapping": marked("map"),
}


def planned_runs(config: TrainConfig, then: Sequence[str], study: Study | None) -> Mapping[str, RunConfig] | None:
    """What would be queued, {id: configuration}, in its order; None, with a sentence, when it cannot be."""
    try:
        if study:
            first, waiting = chain.scored_first(cache_path(), members(study, config.dataset))
            return first | {str(number): member for number, member in enumerate(waiting)}
        return chain.chain(cache_path(), config, then)
    except PrefscopeError as error:
        data.refuse(error)
        return None


def side(
    config: TrainConfig, then: Sequence[str], study: Study | None, planned: Mapping[str, RunConfig], expected: Expected | None = None
) -> bool:
    """Draw it, and the dialog again when tokens have been counted meanwhile; whether the runs can be started.

    expected: how many pairs will be trained on, where the plan knows only how many they are at most.
    """
    waits = any(awaited(cache_path(), run, planned) for run in planned.values())
    counted = config.model_copy(update={"slice": None}) if waits else config  # all pairs, until it is known which are in the slice
    tokens = tokens_of(counted)

    def look_again() -> None:
        if not tokens_of(counted).pending:
            st.rerun()

    found = cost_of(planned, tokens.sample)
    if expected:
        panel(found, tokens, expected_cost(planned, tokens.sample, expected), bounded=expected.fewer)
    else:
        panel(found, tokens)
    if study is None:
        queued(planned)
    command(config, then, study)
    if tokens.pending:
        st.fragment(look_again, run_every=1)()
    return not (found.refusals or tokens.sentences)


def check(config: RunConfig) -> None:
    """The same of one run that trains nothing, once it is asked for."""
    with st.spinner(_("Reading the pairs and the model")):
        looked = data.preflight(config)
    tokens = said_by(looked)
    with st.container(border=True):
        panel(cost_of({"": config}, tokens.sample), tokens)
        for sentence in map(reported, looked["unknown"]):
            st.caption(data.literal(sentence))


def panel(found: Cost, tokens: Tokens, expected: Cost | None = None, bounded: bool = False) -> None:
    """expected: of about as many pairs as are expected, where those of `found` are the most that there can be.

    bounded: fewer are more likely.
    """
    usual = found if expected is None or expected.refusals else expected
    st.metric(_("Before it starts"), data.literal(headline(usual, bounded)))
    if usual.seconds:
        st.html(bar(usual.phases))
    with st.container(gap="xxsmall"):
        for part in together(usual.phases):
            fact(part.label, _("unknown") if part.seconds is None else about(part.seconds))
        if found.memory_bytes:
            fact(
                _("memory at most (measured)") if found.memory_measured else _("memory at most (estimated)"),
                wording.size(found.memory_bytes),
            )
        if found.disk_bytes:
            fact(_("disk"), wording.size(found.disk_bytes))
        if usual is not found:
            fact(_("if all training pairs are in the slice"), headline(found))
    checks(found, tokens, expected, bounded)


def headline(found: Cost, bounded: bool = False) -> str:
    if found.seconds is None:
        return _("time not known yet")
    if found.unknown:
        return _("more than {time}").format(time=about(found.seconds, floor))
    if bounded or any(made.at_most for made in found.runs):
        return _("at most {time}").format(time=about(found.seconds, ceil))
    return _("about {time}").format(time=about(found.seconds))


@dataclass(frozen=True)
class Part:
    """Phases of one kind as one."""

    what: str  # with how much of it
    seconds: float | None
    measured: bool
    slowest: float | None  # seconds, where a run took far longer

    @property
    def label(self) -> str:
        if self.seconds is None:
            return self.what
        if self.slowest:
            return _("{what} (busy machine: {time})").format(what=self.what, time=about(self.slowest))
        return self.what if self.measured else _("{what} (a guess)").format(what=self.what)


def together(phases: Sequence[Phase]) -> list[Part]:
    """Phases of one kind as one, those before training apart."""
    first = next((i for i, phase in enumerate(phases) if phase.what == "before and after"), 0)
    found = []
    for is_first, part in ((True, phases[:first]), (False, phases[first:])):
        for what in dict.fromkeys(phase.what for phase in part):
            same = [phase for phase in part if phase.what == what]
            items, unit = sum(phase.items or 0 for phase in same), same[0].unit
            by_both = what == "answering" and len(same) == 2 and same[0].items == same[1].items  # base model and policy, the same prompts
            known = [phase.seconds for phase in same]
            seconds = None if None in known else sum(s for s in known if s is not None)
            slowest = sum(phase.slowest or phase.seconds or 0 for phase in same) if any(phase.slowest for phase in same) else None
            form, n = (_("{what} {n:,} {unit}, by both"), items // 2) if by_both else (_("{what} {n:,} {unit}"), items)
            label = form.format(what=_(WHAT[what]), n=n, unit=_(unit)) if items else _(WHAT[what])
            said = _("first {what}").format(what=label) if is_first else label
            found.append(Part(said, seconds, all(phase.measured for phase in same), slowest))
    return found


def fact(what: str, value: str) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", gap="small"):
        st.caption(data.literal(what), width="content")
        st.markdown(f"**{data.literal(value)}**", width="content")


def checks(found: Cost, tokens: Tokens, expected: Cost | None = None, bounded: bool = False) -> None:
    """What was looked at: done, pending, worth a warning, or in the way."""
    training, about_ = (next((made for made in of.runs if made.steps), None) if of else None for of in (found, expected))
    done = []
    if expected and about_ and training:
        form = _("about {n:,} training pairs, {steps:,} steps; at most {most:,}, {most_steps:,} steps")
        if bounded:
            form = _("at most about {n:,} training pairs, {steps:,} steps; never more than {most:,}, {most_steps:,} steps")
        done.append(form.format(n=about_.items, steps=expected.steps, most=training.items, most_steps=found.steps))
    elif training and training.items:
        form = _("at most {n:,} training pairs, {steps:,} steps") if training.at_most else _("{n:,} training pairs, {steps:,} steps")
        done.append(form.format(n=training.items, steps=found.steps))
    if not found.waiting:
        done.append(_("the device is free"))
    sample = tokens.sample
    if sample and not sample.cut:
        done.append(
            _("no pair of {n:,} is cut, the longest has {longest:,} tokens").format(n=sample.sampled, longest=sample.longest_tokens)
        )
    with st.container(gap="xxsmall"):
        for sentence in done:
            st.caption(data.literal(f"✓ {sentence}"))
    if found.waiting:
        st.caption(data.literal(_("Before it in the queue: {runs}.").format(runs=counted(found.waiting, "runs"))))
    if tokens.pending:
        st.caption(_("Counting tokens …"))
    if sample and sample.cut:
        share = wording.percent(sample.cut / sample.sampled)
        of_pairs = any(made.unit == "pairs" for made in found.runs)
        text = _("{share} of the pairs are longer than allowed: their prompt's beginning is cut.") if of_pairs else (
            _("{share} of the prompts are longer than allowed: their beginning is cut.")
        )  # fmt: skip
        st.warning(data.literal(text.format(share=share)))
    for sentence in (*found.warnings, *(expected.refusals if expected and not found.refusals else ())):
        st.warning(data.literal(data.told(sentence)))
    for sentence in dict.fromkeys((*found.refusals, *tokens.sentences)):
        st.error(data.literal(data.told(sentence)))


def queued(planned: Mapping[str, RunConfig]) -> None:
    """The runs that the press queues, in their order."""
    form = _("{name} ({kind})")
    names = listed(form.format(name=ours(line(run.name)), kind=_(KINDS[run.kind])) for run in planned.values())
    st.caption(data.literal(_("Queued, in this order: {names}.").format(names=names)))


def command(config: TrainConfig, then: Sequence[str], study: Study | None) -> None:
    """The same on the command line, to be copied."""
    if study:
        st.caption(data.literal(_("The same as a file, for ./run.sh engine study FILE.json")))
        st.code(printable(study.model_dump_json(exclude_defaults=True, indent=1)), language=None, wrap_lines=True)
        return
    st.caption(_("The same as a command"))
    try:
        st.code(chain.command(config, then, " \\\n  "), language=None, wrap_lines=True)
    except PrefscopeError as error:
        st.caption(data.literal(reported(str(error))))


def bar(phases: Sequence[Phase]) -> str:
    """The phases as one bar, each as wide as its share of the time: numbers and colours of ours only."""
    known = [(COLOURS[phase.what], phase.seconds) for phase in phases if phase.seconds]
    parts = [f'<div style="flex:{seconds:.3f} 0 2px;background:{colour};border-radius:2px"></div>' for colour, seconds in known]
    return f'<div style="display:flex;gap:2px;height:10px" aria-hidden="true">{"".join(parts)}</div>'


def about(seconds: float, rounded: Callable[[float], int] = round) -> str:
    """As exact as an estimate is: 43 s, 7 min, 1 h 05 min. rounded: to whole minutes; down, what it takes more than."""
    if seconds < 120:
        return duration(seconds)
    minutes = rounded(seconds / 60)
    return _("{n} min").format(n=minutes) if minutes < 60 else duration(60 * minutes)
