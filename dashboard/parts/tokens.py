"""A response token by token: what the policy makes likelier than its reference, and the reward along the way. A component of ours."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.figures.theme import COLOURS
from dashboard.parts.answers import TITLES
from dashboard.parts.playground import judges, writers
from dashboard.queries import Selection
from dashboard.queries import playground as offered
from dashboard.state import data
from dashboard.state.messages import _, of
from engine.data.records import Turn, digest, turns_from_json
from engine.errors import PrefscopeError
from engine.serve import client, needs
from engine.serve.requests import Judge, Tokens
from engine.statistics.wording import number
from engine.store.rundir import cache_path

HERE = Path(__file__).parent / "tokens_component"
component = st.components.v2.component(
    "prefscope_tokens",
    html='<div class="tokens"></div>\n',
    css=(HERE / "tokens.css").read_text(encoding="utf-8"),
    js=(HERE / "tokens.js").read_text(encoding="utf-8"),
)


def of_prompt(selection: Selection, prompt_id: str) -> None:
    """The responses to a prompt of the dataset, one of them at a time, token by token."""
    texts = dict(data.read(offered.texts_after, selection, prompt_id).iter_rows())
    if texts and any(models(selection)):
        with st.expander(_("Score along the answer, token by token")):
            strip(selection, prompt_id, texts[which(list(texts), f"tokens_side_{prompt_id}")])


def strip(selection: Selection, prompt_id: str, text_id: str) -> None:
    """A response of the database token by token, behind a button that says what memory it takes."""
    row = data.read(offered.response, selection, prompt_id, text_id)
    if row.is_empty():
        return
    found = row.row(0, named=True)
    group = {name: found[name] for name in ("prompt_type", "source")}
    asked = request(selection, turns_from_json(found["turns"]), found["text"], found["other"], **group)
    if asked:
        behind_button(asked)


def which(sides: list[str], key: str) -> str:
    """The response that is looked at; the tuned answer or the last at first."""
    first = "tuned" if "tuned" in sides else sides[-1]
    return str(st.segmented_control(_("Which answer"), sides, format_func=of(TITLES), default=first, required=True, key=key))


def of_texts(selection: Selection, turns: tuple[Turn, ...], texts: Mapping[str, str]) -> None:
    """The same of one of several texts after a prompt."""
    asked = {side: request(selection, turns, text, other_of(texts, side)) for side, text in texts.items() if text.strip()}
    if not any(asked.values()):
        return
    with st.expander(_("Score along the answer, token by token")):
        side = which(list(asked), "tokens_side")
        if shown := asked[side]:
            behind_button(shown)


def other_of(texts: Mapping[str, str], side: str) -> str | None:
    return next((text for name, text in texts.items() if name != side and text.strip()), None)


def request(selection: Selection, turns: tuple[Turn, ...], response: str, other: str | None, **group: str | None) -> Tokens | None:
    """What to ask of a response: under the comparison's tuned policy and its first reward model. None where there is neither."""
    policy, judge = models(selection)
    if policy is None and judge is None:
        return None
    return Tokens(turns=turns, response=response, other=other, policy=policy, judge=judge, **group)


def models(selection: Selection) -> tuple[str | None, Judge | None]:
    """The comparison's tuned policy and its first reward model, where their weights are here."""
    known, selected = judges(selection)
    named = writers(selection)
    tuned = named["tuned"][1].policy if "tuned" in named else ""
    policy = tuned if tuned and (cache_path() / "runs" / tuned / "model").is_dir() else None
    return policy, known[selected[0]] if selected else None


@st.fragment
def behind_button(asked: Tokens) -> None:
    """The strip, once somebody has asked for it."""
    key = f"tokens_{digest(asked.model_dump_json())}"
    try:
        if key not in st.session_state:
            label = _("Load the models: about {size:.1f} GB of memory").format(size=needs.needed(cache_path(), asked) / 1e9)
            place = st.empty()
            if not place.button(data.literal(label), key=f"ask_{key}"):
                return
            with place, st.spinner(_("Reading the answer")):
                st.session_state[key] = list(client.ask(cache_path(), asked))
            place.empty()
        draw(st.session_state[key], key)
    except PrefscopeError as error:
        data.refuse(error)


def draw(lines: Sequence[Mapping[str, Any]], key: str) -> None:
    """What was found, as the component takes it: texts, and numbers in words."""
    views = [by_policy(line["policy"]) if "policy" in line else by_reward(line["reward"]) for line in lines]
    component(key=f"strip_{key}", data={"views": views, "choose": _("Show"), "keys": _("Arrow keys go from token to token.")})


def by_policy(found: Mapping[str, Any]) -> dict[str, Any]:
    """log π − log π_ref of each token."""
    values = [token["logp"] - token["reference_logp"] for token in found["tokens"]]
    tokens = [
        told(token["text"], value, _("log π {policy}, log π_ref {reference}, difference {difference}").format(
            policy=number(token["logp"]), reference=number(token["reference_logp"]), difference=number(value, signed=True)
        ))
        for token, value in zip(found["tokens"], values, strict=True)
    ]  # fmt: skip
    total = sum(values) / (len(values) if found["per_token"] else 1)
    summary = _("log π − log π_ref: {mean} a token, {sum} in all; times β = {beta:g} the implicit reward is {reward}.").format(
        mean=number(sum(values) / len(values), signed=True), sum=number(sum(values), signed=True), beta=found["beta"],
        reward=number(found["beta"] * total, signed=True),
    )  # fmt: skip
    scale = {
        "up": COLOURS["tuned"],
        "down": COLOURS["base"],
        "more": _("likelier to the tuned policy"),
        "less": _("likelier to its reference"),
    }
    return view(_("Policy"), summary, tokens, values, found, scale)


def by_reward(found: Mapping[str, Any]) -> dict[str, Any]:
    """What each token adds to the reward that is read after it."""
    before, tokens, values = found["before"], [], []
    for token in found["tokens"]:
        change = 0.0 if before is None else token["reward"] - before
        text = _("reward after it {reward}, change {change}").format(reward=number(token["reward"]), change=number(change, signed=True))
        tokens.append(told(token["text"], change, text))
        values.append(change)
        before = token["reward"]
    start = number(found["before"]) if found["before"] is not None else "–"
    summary = _("The reward is {start} before the answer and {end} at its end.").format(start=start, end=number(before))
    scale = {"up": COLOURS["chosen"], "down": COLOURS["rejected"], "more": _("raises the reward"), "less": _("lowers the reward")}
    shown = view(_("Reward model"), summary, tokens, values, found, scale)
    if found["precision"] == "bf16":
        about = _("In bf16 a reward depends a little on what is computed beside it: the table's may differ by some hundredths.")
        shown["notes"].append(about)
    return shown


def told(text: str, value: float, detail: str) -> dict[str, Any]:
    return {"text": text, "value": value, "detail": detail}


def view(
    title: str, summary: str, tokens: list[dict[str, Any]], values: list[float], found: Mapping[str, Any], scale: dict[str, str]
) -> dict[str, Any]:
    """One way of looking at the response. Colours are full at the largest of the values, but for the strongest tenth."""
    sizes = sorted(abs(value) for value in values)
    full = sizes[int(0.9 * (len(sizes) - 1))] or sizes[-1] or 1.0
    for token in tokens:
        token["strength"] = max(-1.0, min(1.0, token.pop("value") / full))
    notes = [_("The prompt or the answer was cut to the model's maximum of tokens.")] if found["truncated"] else []
    if found["parts_at"] is not None:
        notes.append(_("The bar stands where the other answer goes on differently."))
    parts = {"parts_at": found["parts_at"], "parted": _("the other answer goes on differently here")}
    return {"title": title, "summary": summary, "tokens": tokens, "notes": notes, **parts, **scale}
