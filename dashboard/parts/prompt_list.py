"""The Prompts page: what is asked for, which is kept in the address, and what is shown of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import polars as pl
import streamlit as st

from dashboard import queries
from dashboard.parts import answers, tokens
from dashboard.parts.answers import Answer, Detail, Fold, Listed, Role, Row, Score
from dashboard.queries import Selection
from dashboard.report.tabular import csv_text
from dashboard.state import address, data
from dashboard.state.messages import _, marked, ours, wording
from engine.plain import line
from engine.settings.slices import Range
from engine.statistics.wording import number
from engine.store.opening import kept_open

SIZE = 200  # rows of a page
KEY = "prompts"
SIDES = ("base", "tuned")
ORDERS = {
    "difference": marked("Tuned wins by most"),
    "difference_up": marked("Base wins by most"),
    "reward": marked("Highest tuned reward"),
    "length": marked("Longest tuned answer"),
    "prompt": marked("Alphabet"),
}
FLAGS = {
    "any_cut": marked("Any is cut"),
    "none_cut": marked("None is cut"),
    "tuned_cut": marked("Tuned is cut"),
    "tuned_repeats": marked("Tuned repeats itself"),
    "tuned_refuses": marked("Tuned refuses"),
    "base_cut": marked("Base is cut"),
    "base_repeats": marked("Base repeats itself"),
    "base_refuses": marked("Base refuses"),
}
ABOUT_FLAGS = marked(
    "Cut: it reached the limit of new tokens. Repeats itself: a quarter of its runs of four words are repeated, or its last clause "
    "stands in it three times. Refuses: it begins with words like “I’m sorry, but”. The last two are rules of thumb."
)


@dataclass(frozen=True)
class Asked:
    """What the viewer asked for, all of it in the address of the page."""

    search: str = ""
    preferred: str | None = None
    prompt_type: str | None = None
    flag: str | None = None
    order: str = "difference"
    scorer: str | None = None


def filtered(selection: Selection) -> tuple[Asked, pl.DataFrame]:
    """Draw the filters; what is asked for, and the prompts for which it holds."""
    judges = {judge: ours(line(name)) for judge, name in data.read(queries.judges, selection).iter_rows()}
    alone = selection.tuned_generator is None  # the base model, if anyone, has answered
    if alone and selection.base_generator:
        st.caption(_("Only the base model has answered these prompts: there is no tuned answer to compare with."))
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        search = searched()
        place = st.container(width="content")
        prompt_type = chosen(
            "type", _("Type"), {t: ours(line(t)) for t in data.read(queries.prompt_types, selection)}, any=_("Any type"), width=115
        )
        flags = {flag: words for flag, words in said(FLAGS).items() if not alone or flag.startswith("base")}
        flag = chosen("flag", _("Flags"), flags, any=_("Any flags"), width=165, help=_(ABOUT_FLAGS))
        order = "prompt" if alone else chosen("order", _("Order"), orders(selection)) or "difference"
        scorer = chosen("scorer", _("Reward model"), judges, width=130)
        asked = Asked(search, None, prompt_type, flag, order, scorer)
        rows = data.read(queries.prompts, selection, **{name: value for name, value in asdict(asked).items() if name != "preferred"})
        with place:
            preferred = picked(rows)
        rows = rows.filter(queries.prefers(preferred)) if preferred else rows
        save(selection, rows)
    return replace(asked, preferred=preferred), rows


def orders(selection: Selection) -> dict[str, str]:
    """How the list can be ordered; first of what the base answer won, where that is asked for, its largest wins."""
    words = said(ORDERS)
    return {"difference_up": words["difference_up"], **words} if lost(selection) else words


def lost(selection: Selection) -> bool:
    """Whether the prompts that are asked for, or looked at, are those on which the base answer is preferred."""
    below = [p for p in selection.slice.predicates if isinstance(p, Range) and p.field == "difference"] if selection.slice else []
    return "base" in address.asked("preferred") or any(p.high is not None and p.high <= 0 for p in below)


def said(words: Mapping[str, str]) -> dict[str, str]:
    return {key: _(word) for key, word in words.items()}


def searched() -> str:
    found = st.text_input(
        _("Search prompts and answers"), key=address.shown("search", "prompt_search", ""), type="search",
        placeholder=_("Search  /"), label_visibility="collapsed",
        width="stretch", on_change=keep, args=("search", "prompt_search", ""),
    )  # fmt: skip
    return found or ""


def chosen(
    name: str, label: str, options: Mapping[str, str], any: str | None = None, width: int = 165, help: str | None = None
) -> str | None:
    """A choice kept in the address under `name`. any: what stands there while nothing is chosen; without it that is the first option."""
    if not options:
        return None
    first = None if any else next(iter(options))
    key = address.shown(name, f"prompt_{name}", first, options)
    value: str | None = st.selectbox(
        data.literal(label), list(options), None if any else 0, lambda option: options[option], key=key, placeholder=any or "", width=width,
        label_visibility="collapsed", help=data.literal(help), on_change=keep, args=(name, key, first),
    )  # fmt: skip
    return value if value is not None else first


def picked(rows: pl.DataFrame) -> str | None:
    """Whose answer is preferred: any, or one of three, with how many prompts each has."""
    counted = queries.preferred(rows)
    if not any(counted.values()):
        return None
    labels = {"tuned": _("Tuned {n}"), "base": _("Base {n}"), "tie": _("Tie {n}")}
    named = {"any": _("Any"), **{who: wording().fill(label, {"n": counted[who]}) for who, label in labels.items()}}
    who = st.segmented_control(
        _("Preferred answer"), list(named), required=True, format_func=lambda option: named[option],
        key=address.shown("preferred", "prompt_preferred", "any", named), label_visibility="collapsed",
        on_change=keep, args=("preferred", "prompt_preferred", "any"),
    )  # fmt: skip
    return None if who in (None, "any") else who


def keep(name: str, key: str, default: str | None) -> None:
    """Write what was just chosen into the address. The list begins anew; the prompt that is shown stays when it still matches."""
    address.keep(name, key, default)
    address.forget("page")
    st.session_state["prompt_asked_anew"] = True


@st.fragment
@kept_open()
def browse(selection: Selection, asked: Asked, rows: pl.DataFrame) -> None:
    """The list and one prompt beside it."""
    ids = rows["prompt_id"].to_list()
    opened = wanted(selection, ids)
    shown = opened or next(iter(ids), None)
    place = ids.index(shown) if shown in ids else 0
    first = SIZE * page(place, len(ids))
    with_both = answered(rows)
    listed = Listed(
        asked=f"{selection} {asked}",
        rows=list_rows(selection, asked, rows[first : first + SIZE]),
        first=first,
        total=len(ids),
        size=SIZE,
        answered=with_both,
        found=asked.search,
        prompt=shown,
        opened=opened is not None,
    )

    def where(n: int) -> str:
        return "\u00a0· ".join(filter(None, (wording().fill(_("{n} of {total}"), {"n": n + 1, "total": len(ids)}), with_both)))

    near = [n for n in (place, place + 1, place - 1) if 0 <= n < len(ids)]
    details = [detail(selection, asked, ids[n], where(n)) for n in near]
    answers.browse(listed, details, key=KEY, search=".st-key-prompt_search input", on_go=partial(went, ids))
    if shown:
        tokens.of_prompt(selection, shown)


def wanted(selection: Selection, ids: list[str]) -> str | None:
    """The prompt in the address, when it is among those that are shown; otherwise that is said, unless a filter has just left it out."""
    asked = next(iter(address.asked("prompt")), None)
    anew = st.session_state.pop("prompt_asked_anew", False)
    if asked is None or asked in ids:
        return asked
    if anew:
        address.forget("prompt")
    else:
        st.warning(data.literal(_("The prompt {id} is not here. Take a filter away, or choose another one.").format(id=asked)))
    return None


def page(place: int, total: int) -> int:
    """The page of the list, from 0: the one in the address, from 1 there, or the one that has the prompt."""
    asked = next(iter(address.asked("page")), "")
    return min(int(asked), -(-total // SIZE)) - 1 if asked.isdecimal() and int(asked) and total else place // SIZE


def went(ids: list[str]) -> None:
    """The viewer opened a prompt, turned the page or went back to the list: the address says so."""
    go = st.session_state[KEY].go or {}
    if "page" in go:
        address.put("page", [str(go["page"])])
        if go.get("prompt"):
            address.put("prompt", [go["prompt"]])
    elif "marks" in go:
        address.put(answers.MARKS, [go["marks"]] if go["marks"] else [])
    elif "close" in go:
        address.forget("prompt")
    elif go:
        address.forget("page")
        address.put("prompt", [go["prompt"] if "prompt" in go else ids[go["place"]]])


def list_rows(selection: Selection, asked: Asked, rows: pl.DataFrame) -> list[Row]:
    """A page of the list."""
    lines = data.read(queries.prompt_lines, selection, tuple(rows["prompt_id"])).rows_by_key("prompt_id", named=True, unique=True)
    largest = data.read(queries.scales, selection).get(asked.scorer or "")
    made = []
    for row in rows.iter_rows(named=True):
        share = row["difference"] / largest if largest and row["difference"] is not None else None
        about = lines[row["prompt_id"]]
        named = ours(about["prompt_type"] or "")
        made.append(Row(row["prompt_id"], about["prompt"], named, row["difference"], share, stands_out(row)))
    return made


def stands_out(row: dict[str, Any]) -> list[str]:
    """What stands out in the answers of a row, each with whose it is."""
    said = []
    for flag, words in answers.FLAGS.items():
        whose = [who for who in SIDES if row[f"{who}_{flag}"]]
        said += [_(words["both" if len(whose) > 1 else whose[0]])] if whose else []
    return said


def answered(rows: pl.DataFrame) -> str:
    """How many of these prompts have both answers, where some have not: headlines count no others."""
    n = int(rows["answered"].sum())
    return "" if n == len(rows) else wording().fill(_("{n} with both answers"), {"n": n})


def detail(selection: Selection, asked: Asked, prompt_id: str, where: str) -> Detail:
    """Everything about a prompt: its turns, what each scorer says, both answers, and folded the pairs' own and others' answers."""
    about = data.read(queries.about_prompt, selection, prompt_id, asked.scorer)
    assert about is not None, prompt_id  # it is one of those that match
    scales = data.read(queries.scales, selection)
    roles: dict[object, Role] = {selection.base_generator: "base", selection.tuned_generator: "tuned"}
    given = [answer(row, roles, asked.scorer) for row in about.answers.iter_rows(named=True)]
    first = [next((a for a in given if a.role == role), None) for role in ("base", "tuned")]
    pair = [a for a in first if a is not None]
    others = [a for a in given if a not in pair]
    folds = [own_responses(row) for row in about.pairs.iter_rows(named=True)]
    if others:
        folds.append(Fold([(None, _("{n} other answers").format(n=len(others)))], others))
    return Detail(
        prompt_id,
        [(turn.role, turn.content) for turn in about.turns],
        pair or (folds.pop(0).answers if folds else ()),
        [score(row, scales) for row in about.judgements.iter_rows(named=True)],
        folds,
        about="\u00a0· ".join(ours(part) for part in (about.prompt_type, selection.split) if part),
        place=where,
    )


def answer(row: dict[str, Any], roles: dict[object, Role], scorer: str | None) -> Answer:
    """An answer of a generator; its reward stands at it unless the table of scorers has it."""
    role = roles.get(row["generator_id"], "other")
    rewards = {r["scorer_id"]: r["reward"] for r in row["rewards"] or []}
    told = rewards.get(scorer) if role == "other" else None
    return Answer(role, row["text"], row["generator"], told, row["tokens"], row["words"], cut=row["finish_reason"] == "length")


def score(row: dict[str, Any], scales: dict[str, float]) -> Score:
    largest = scales[row["scorer_id"]]
    return Score(row["scorer"], row["base_reward"], row["tuned_reward"], row["difference"] / largest if largest else 0.0)


def own_responses(row: dict[str, Any]) -> Fold:
    """What the pair itself holds."""
    chosen, rejected = (Answer(r, row[r], reward=row[f"{r}_reward"], words=row[f"{r}_words"]) for r in ("chosen", "rejected"))
    sizes = wording().fill(_("{chosen} and {rejected} words"), {"chosen": chosen.words or 0, "rejected": rejected.words or 0})
    title: list[tuple[Role | None, str]] = [(None, _("The pair’s own responses:"))]
    if chosen.reward is None or rejected.reward is None:
        return Fold([*title, (None, sizes)], [chosen, rejected])
    title.append(("chosen", _("chosen {reward},").format(reward=number(chosen.reward))))
    title.append(("rejected", _("rejected {reward}").format(reward=number(rejected.reward))))
    margin = _("margin {margin}").format(margin=number(chosen.reward - rejected.reward, signed=True))
    return Fold([*title, (None, f"{margin}\u00a0· {sizes}")], [chosen, rejected])


def save(selection: Selection, rows: pl.DataFrame) -> None:
    """All prompts that match, with both answers and rewards, as CSV; read when it is asked for."""
    ids = tuple(rows["prompt_id"])
    st.download_button(
        _("CSV"), lambda: csv_text(data.read(queries.prompt_table, selection, ids)), "prompts.csv", "text/csv", key="csv_prompts",
        on_click="ignore", type="tertiary", help=_("Every prompt that matches, with both answers and their rewards"),
    )  # fmt: skip
