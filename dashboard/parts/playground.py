"""The parts of the playground: who writes and who scores, a prompt, answers that grow, and what every scorer says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.parts import answers, widgets
from dashboard.parts.answers import TITLES, Answer, Role
from dashboard.queries import Selection
from dashboard.queries import playground as offered
from dashboard.state import data
from dashboard.state.data import Run
from dashboard.state.messages import _, counted, marked, ours
from engine.data.records import Turn
from engine.machine import memory
from engine.machine.device_plan import expected_device
from engine.plain import line
from engine.planning.held import held_by_server
from engine.serve import client, needs
from engine.serve.requests import Answer as ToAnswer
from engine.serve.requests import Asked, Judge, Score, Writer
from engine.statistics import wording
from engine.statistics.wording import number
from engine.store.rundir import cache_path
from engine.store.status import GOING_ON, State

PASTED: tuple[Role, Role] = ("left", "right")
ROLES = {"user": marked("User"), "assistant": marked("Assistant"), "system": marked("System")}
EARLIER, PROMPT, PICKED = "play_earlier", "play_prompt", "play_picked"  # keys of the session
FIELD_PIXELS, TEXTS_PIXELS = 960, 1400  # at most, of what is typed and of two texts beside each other
MOST_PLACES = 4  # decimals of the scores, as many as the smallest difference needs
LONGEST_PICK = 120  # characters of a prompt in the list
Named = dict[Role, tuple[str, Writer]]  # {side: name and policy}
Judges = dict[str, Judge]  # {name: judge}


@dataclass
class Played:
    """One prompt, two texts after it, and what the scorers said of them. It grows while it is made."""

    turns: tuple[Turn, ...]
    names: Mapping[Role, str]  # {side: what wrote it}
    lines: dict[Role, dict[str, Any]] = field(default_factory=dict)  # {side: the last line of its answer}
    scores: list[dict[str, Any]] = field(default_factory=list)
    judges: int = 0  # that were asked

    @property
    def texts(self) -> dict[Role, str]:
        return {side: found["text"] for side, found in self.lines.items() if "text" in found}


def writers(selection: Selection) -> Named:
    """The base and the tuned policy of the comparison, as their generation runs prompted them."""
    found = {}
    for row in data.read(offered.writers, selection).iter_rows(named=True):
        given = {name: row[name] for name in ("system_prompt", "max_tokens", "precision") if row[name] is not None}
        found[row["side"]] = (ours(line(row["name"])), Writer(policy=row["model_id"], **given))
    return found


def what_to_do(named: Named) -> dict[str, str]:
    """What the page can do: let those answer whose models are here, or score what somebody wrote."""
    words = {
        ("base", "tuned"): _("Let both policies answer"),
        ("base",): _("Let the base model answer"),
        ("tuned",): _("Let the tuned policy answer"),
    }
    return {"answer": words.get(tuple(sorted(named)), _("Let policies answer")), "paste": _("Score two answers of mine")}


def judges(selection: Selection) -> tuple[Judges, list[str]]:
    """Every reward model whose weights are here, trained and untrained, and the names of those that are selected."""
    found: Judges = {}
    selected: list[str] = []
    for row in data.read(offered.judges, selection).iter_rows(named=True):
        if not (cache_path() / "runs" / row["run_id"] / "model").is_dir():
            continue
        name = ours(line(row["name"]))
        if other := row["other_dataset"]:
            name = _("{name}, trained on {dataset}").format(name=name, dataset=ours(line(other)))
        named = [distinct(name, found)]
        found[named[0]] = Judge(run=row["run_id"])
        if row["untrained"]:
            named.append(ours(line(row["untrained"])))
            found.setdefault(named[1], Judge(run=row["run_id"], trained=False))  # the twin may be that of another, too
        if row["scorer_id"] == selection.trained_scorer:
            selected += named
        elif row["member"]:
            selected.append(named[0])
    return found, selected or list(found)[:2]


def picked_judges(known: Judges, selected: Sequence[str]) -> Judges:
    """Who scores: those that are picked, at first the selected ones.

    What is picked is set again each time, so that a browser names it in the language of now; of another dataset's there are none here.
    """
    names, key = {judge: name for name, judge in known.items()}, "play_scorers"
    held: list[Judge] = st.session_state.get(key, [])
    kept = [judge for judge in held if judge in names]
    st.session_state[key] = kept if kept or (key in st.session_state and not held) else [known[name] for name in selected]
    picked = st.multiselect(
        _("Reward models"), list(names), format_func=lambda judge: data.literal(names[judge]), key=key, width=FIELD_PIXELS,
        persist_state="session",
    )  # fmt: skip
    return {names[judge]: judge for judge in picked}


def distinct(name: str, taken: Mapping[str, object]) -> str:
    """The name, numbered when it is taken."""
    return next(n for i in range(1, len(taken) + 2) if (n := name if i == 1 else f"{name} ({i})") not in taken)


def prompt(selection: Selection) -> tuple[Turn, ...] | None:
    """A field to write a prompt in, filled with one of the split's where somebody picks it; None while it is empty."""
    known = data.read(offered.prompts_to_pick, selection)
    texts = dict(known.select("prompt_id", "text").iter_rows())
    linked = st.query_params.get("prompt")
    if linked in texts and st.session_state.get("play_linked") != linked:
        st.session_state["play_linked"] = st.session_state[PICKED] = linked
        take(linked)
    st.selectbox(
        _("Take a prompt of the split"),
        list(texts),
        None,
        format_func=lambda prompt_id: line(texts.get(prompt_id, ""))[:LONGEST_PICK],
        placeholder=_("or write your own below"),
        key=PICKED,
        width=FIELD_PIXELS,
        on_change=lambda: take(st.session_state[PICKED]),
        persist_state="session",
    )
    earlier: Sequence[Turn] = st.session_state.get(EARLIER, ())
    for turn in earlier:
        st.caption(data.literal(_(ROLES.get(turn.role, turn.role))))
        st.text(turn.content)
    text = st.text_area(_("Prompt"), key=PROMPT, height=110, width=FIELD_PIXELS, persist_state="session")
    return (*earlier, Turn("user", text)) if text.strip() else None


def take(prompt_id: str | None) -> None:
    """Fill the field with a prompt of the dataset, and what was said before it; without one, only forget what was said before."""
    about = data.read(queries.about_prompt, data.selection(), prompt_id) if prompt_id else None
    turns = about.turns if about else ()
    st.session_state[EARLIER] = turns[:-1]
    if turns:
        st.session_state[PROMPT] = turns[-1].content


def settings() -> dict[str, Any]:
    """How the answers are drawn."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        tokens = st.number_input(_("Longest answer in tokens"), 1, 2048, 200, 50, width=190, key="play_tokens", persist_state="session")
        temperature = st.number_input(
            _("Temperature"), 0.0, 2.0, 0.0, 0.1, width=150, key="play_temperature", help=_("0 always takes the most probable token."),
            persist_state="session",
        )  # fmt: skip
        seed = st.number_input(_("Seed"), 0, 2**31, 0, width=150, key="play_seed", disabled=temperature == 0, persist_state="session")
    return {"max_new_tokens": int(tokens), "temperature": float(temperature), "seed": int(seed)}


def requests(turns: tuple[Turn, ...], named: Named, chosen: Judges, texts: Mapping[Role, str], how: Mapping[str, Any]) -> list[Asked]:
    """What will be asked of the playground's process: answers unless there are texts, then their scores."""
    asked: list[Asked] = []
    if not texts:
        asked.append(ToAnswer(turns=turns, writers={side: policy for side, (_name, policy) in named.items()}, **how))
    if chosen:
        asked.append(Score(turns=turns, responses=tuple(texts.values()) or ("",), judges=tuple(chosen.values())))
    return asked


def memory_caption(asked: Sequence[Asked]) -> None:
    """What requests take of memory, before they are made."""
    size = needs.needed(cache_path(), *asked)
    free = memory.free(expected_device("auto"))
    text = _("Takes up to {size} of memory, which is given back when a run begins or nobody asks for 10 minutes.")
    st.caption(data.literal(text.format(size=wording.size(size))))
    if free is not None and size > (there := free + held_by_server(cache_path())):
        st.warning(data.literal(_("Only {free} are free: what does not fit is refused.").format(free=wording.size(there))))


def beside_run(runs: list[Run]) -> None:
    """Say, before anything is asked, that a run has processor and memory, how long that takes as far as it is known, and what then."""
    going = [run for run in runs if run.status.state in GOING_ON]
    if not going:
        return
    run, waiting = going[0], sum(run.to_come and run.status.state is State.QUEUED for run in runs)
    parts = [_("{name} is going on: {progress}.").format(name=run.name, progress=widgets.progress_text(run))]
    if waiting:
        parts.append(_("Behind it in the queue: {runs}.").format(runs=counted(waiting, "runs")))
    parts.append(
        _("It has processor and memory, so the playground answers when no run is going on; this page sees by itself when that is.")
    )
    st.info(data.literal(" ".join(parts)))


def answer(turns: tuple[Turn, ...], named: Named, chosen: Judges, how: Mapping[str, Any]) -> None:
    """Let every policy answer, shown as it is written, and every judge score the answers; what there is stays when it is stopped."""
    played = Played(turns, {side: name for side, (name, _policy) in named.items()}, judges=len(chosen))
    st.session_state["played"] = played
    st.button(_("Stop"), key="play_stop")
    boxes = beside(played)
    for box in boxes.values():
        box.text(_("Starting …"))
    asked = ToAnswer(turns=turns, writers={side: policy for side, (_name, policy) in named.items()}, **how)
    for found in client.ask(cache_path(), asked):
        side = found.pop("side")
        played.lines[side] = found
        boxes[side].text(found.get("text") or _("Loading the model …"))
    score(played, chosen)


def score(played: Played, chosen: Judges) -> None:
    """Let every judge score both texts."""
    st.session_state["played"] = played
    if not chosen:
        return
    names = {(judge.run, judge.trained): name for name, judge in chosen.items()}
    played.judges = len(chosen)
    with st.spinner(_("Scoring")):
        asked = Score(turns=played.turns, responses=tuple(played.texts.values()), judges=tuple(chosen.values()))
        for found in client.ask(cache_path(), asked):
            played.scores.append({**found, "name": names[found["run"], found["trained"]]})


def beside(played: Played) -> dict[Role, Any]:
    """A place for each text, under the name of what wrote it."""
    boxes = {}
    places = st.container(width=TEXTS_PIXELS).columns(len(played.names), gap="medium")
    for side, place in zip(played.names, places, strict=True):
        with place:
            name = "" if answers.says_role(played.names[side], side) else played.names[side]
            st.markdown(f"**{data.literal(_(TITLES[side]))}**" + (f" {data.literal(name)}" if name else ""))
            boxes[side] = st.empty()
    return boxes


def show(selection: Selection, played: Played) -> None:
    """What was asked, the texts beside each other, how they ended, and the scores."""
    st.header(data.literal(verdict(played)))
    if place := among_margins(selection, played):
        st.markdown(data.literal(place))
    st.caption(data.literal(_("To the prompt: {prompt}").format(prompt=line(played.turns[-1].content))))
    shown = [answered(played, side) for side in played.names]
    with st.container(width=TEXTS_PIXELS):
        answers.beside(shown, (), key="play_answers")
    if any("tokens" in found and found.get("finish_reason") is None for found in played.lines.values()):
        st.caption(_("An answer was stopped before its end."))
    if played.scores:
        show_scores(played)


def answered(played: Played, side: Role) -> Answer:
    """A text with what wrote it and how it ended."""
    found = played.lines.get(side, {})
    cut = found.get("finish_reason") == "length"
    return Answer(side, found.get("text") or _("(no text)"), played.names[side], tokens=found.get("tokens"), cut=cut)


def among_margins(selection: Selection, played: Played) -> str:
    """Where the first scorer's difference lies among its margins of the split; nothing where it has none."""
    if not played.scores or len(played.texts) != 2 or not played.scores[0]["trained"]:
        return ""
    left, right = played.scores[0]["rewards"]
    share = data.read(offered.share_smaller, replace(selection, slice=None), played.scores[0]["run"], abs(right - left))
    if share is None:
        return ""
    text = _("On {split}, {share} of pairs differ by less under this reward model.")
    return text.format(share=wording.percent(share, 0), split=ours(line(selection.split or "")))


def verdict(played: Played) -> str:
    """Which text the first scorer prefers, and by how much."""
    if not played.scores or len(played.texts) != 2:
        return _("The answers")
    first = played.scores[0]
    left, right = first["rewards"]
    preferred = list(played.texts)[int(right > left)]
    if number(right - left) == number(0.0):
        return _("{scorer} prefers neither answer.").format(scorer=first["name"])
    sentence = {
        "base": _("{scorer} prefers the base answer, by {difference}."),
        "tuned": _("{scorer} prefers the tuned answer, by {difference}."),
        "left": _("{scorer} prefers the first answer, by {difference}."),
        "right": _("{scorer} prefers the second answer, by {difference}."),
    }[preferred]
    return sentence.format(scorer=first["name"], difference=number(abs(right - left)))


def show_scores(played: Played) -> None:
    """A row for each scorer: its reward of both texts and the difference."""
    sides = list(played.texts)
    differences = [found["rewards"][-1] - found["rewards"][0] for found in played.scores]
    places = min(MOST_PLACES, max(len(number(difference, signed=True).partition(".")[2]) for difference in differences))
    heading = _("Second − first") if "left" in sides else _("Tuned − base")
    rows = [
        {
            _("Reward model"): found["name"],
            **{_(TITLES[side]): number(reward, places) for side, reward in zip(sides, found["rewards"], strict=True)},
            **({heading: number(found["rewards"][1] - found["rewards"][0], places, signed=True)} if len(sides) == 2 else {}),
        }
        for found in played.scores
    ]
    names = list(rows[0])[1:]
    right = {name: st.column_config.Column(alignment="right") for name in names}
    st.dataframe(rows, hide_index=True, column_config=right, key="play_scores")
    if len(names) == 3 and (note := answers.rounding((row[names[0]], row[names[1]], row[names[2]]) for row in rows)):
        st.caption(data.literal(note))
    st.caption(_("A reward model's reward has no unit and no zero: only differences under the same reward model mean something."))
    if any(any(found["truncated"]) for found in played.scores):
        st.caption(_("A text was cut to the reward model's maximum of tokens before it was scored."))
