"""The sentences to be translated, gathered from the code: `python -m docs.catalogue` writes them into dashboard/locale.

Three kinds: the arguments of `_`, `marked` and `plural` in the dashboard; what the registries hold (figures, tables, statistics, claims,
settings, states, fields of slices), which is gathered by loading them; and what the engine reports in sentences of its own (errors, notes,
stages, checks), as templates in which names stand for the values: a page recognises the filled sentence by them.
"""

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from pydantic import BaseModel

from dashboard.report import content
from dashboard.state.messages import COUNTED, LANGUAGES, LOCALE, NAMED, PLACE, REPORTED
from engine.data import formats
from engine.queue.preset import PRESETS
from engine.queue.study import STUDIES
from engine.settings import slices
from engine.settings.config import CONFIGS
from engine.settings.hyperparameters import AnyPolicyLoss, OnPolicy, Weighted
from engine.settings.options import models_in, titled
from engine.statistics import claims, estimate, seeds, wording
from engine.statistics.registry import STATISTICS
from engine.store.status import Reason, State

ROOT = Path(__file__).parents[1]
KEYWORDS = {  # how many of a function's first arguments are translated; a Term is a word in a claim
    "dashboard": {"_": 1, "marked": 1, "plural": 2},
    "engine": {"Term": 1},
}
TYPED_WRONG = (  # what pydantic says of a setting that was typed in
    "Field required",
    "Input should be a valid integer",
    "Input should be a valid integer, unable to parse string as an integer",
    "Input should be a valid integer, got a number with a fractional part",
    "Input should be a valid number",
    "Input should be a valid number, unable to parse string as a number",
    "Input should be a finite number",
    "Input should be greater than {gt}",
    "Input should be greater than or equal to {ge}",
    "Input should be less than {lt}",
    "Input should be less than or equal to {le}",
    "Input should be {expected}",
    "String should have at least {min_length} character",
    "String should have at most {max_length} characters",
)
SAYING = ("problems", "warnings", "unknown", "notes")  # lists of sentences
RETURNING = (  # give sentences
    "why_not_started", "wrong_run", "stopped", "sentence", "ended", "unforeseen", "reason_to_end", "settle", "reading", "taken",
)  # fmt: skip
TERMINAL = ("engine/__main__", "engine/commands/", "engine/statistics/")  # whose errors no page shows
FEWEST_LETTERS = 8  # of a reported sentence beside its values, so that it is recognised
COUNTABLE = tuple(wording.ONE)  # units of progress and of what an estimate rests on
METHODS = (
    "Wilson's interval", "Newcombe's interval", "normal interval", "bootstrap-t", "percentile bootstrap", "order statistics",
    "Fisher's interval", "robust standard error",
    "interval of a difference, from those of both",
)  # fmt: skip
ENDS = (
    seeds.METHOD, estimate.NO_INTERVAL, *(f"{estimate.NO_INTERVAL}: {why}" for why in ("all values are equal", "one run", "by definition")),
    "above {low}", "below {high}",
)  # fmt: skip
HEADER = """msgid ""
msgstr ""
"Language: {language}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: {forms}\\n"

"""
Said = tuple[str, str]  # a sentence and its file


def gathered() -> Catalog:
    """All sentences, each with the files in which it stands."""
    found = Catalog(project="prefscope", fuzzy=False)
    for message, file in (*passed(), *registered()):
        found.add(message, locations=[(file, 0)])
    for many, one in wording.ONE.items():
        found.add((one, many), locations=[("engine/statistics/wording.py", 0)], context=COUNTED)
    for text in names():
        found.add(text, locations=[("docs/catalogue.py", 0)], context=NAMED)
    for text, file in reported():
        found.add(text, locations=[(file, 0)], context=REPORTED)
    return found


def passed() -> Iterator[tuple[str | tuple[str, ...], str]]:
    """The arguments of the functions that translate: a sentence, or its two forms for one and for many."""
    for folder in KEYWORDS:
        for file, tree in trees(folder):
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and (place := KEYWORDS[folder].get(called(node))):
                    texts = [text for argument in node.args[:place] for text in templates(argument)]
                    yield from ((tuple(texts), file) for _once in texts[:1]) if place == 2 else ((text, file) for text in texts if text)


def trees(folder: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def registered() -> Iterator[Said]:
    """What is said by things that are registered, not by calls."""
    for name, part in content.registered().items():
        yield from of((part.title, part.empty), f"dashboard/figures ({name})")
    for statistic in STATISTICS.values():
        yield from of((statistic.label, statistic.help), "engine/statistics (statistic)")
    yield from of((*METHODS, *(f"{method} by prompt" for method in METHODS), *ENDS), "engine/statistics/intervals.py")
    yield from of(sorted(claims.TEMPLATES), "engine/statistics/claims")
    yield from of((*claims.Sureness, *State, *Reason), "engine (states)")
    yield from of((field.label for field in slices.FIELDS.values()), "engine/settings/slices.py")
    yield from of((*slices.RANGES.values(), *slices.MENTIONS.values(), *slices.VALUES.values()), "engine/settings/slices.py")
    for path in sorted((*PRESETS.glob("*.json"), *STUDIES.glob("*.json"))):
        yield json.loads(path.read_text(encoding="utf-8"))["title"], path.relative_to(ROOT).as_posix()
    yield from of(COUNTABLE, "engine (units)")
    yield from of((*formats.REASONS.values(), *(known.description for known in formats.FORMATS.values())), "engine/data/formats.py")
    for loss in models_in(AnyPolicyLoss):
        shown = loss()
        assert isinstance(shown, OnPolicy)
        yield from of((shown.reward.label, shown.reward.unit, shown.loss_unit), "engine/settings/hyperparameters.py")
    for model in CONFIGS.values():
        yield from of(dict.fromkeys(of_settings(model)), "engine/settings")


def of(texts: Iterable[str], place: str) -> Iterator[Said]:
    return ((str(text), place) for text in texts if text)


def of_settings(model: type[BaseModel]) -> Iterator[str]:
    """Titles, tooltips and choices of a model's fields, and what the models are called that one can choose there."""
    for field in model.model_fields.values():
        yield from filter(None, (field.title, field.description))
        yield from (name.replace("_", " ") for name in re.findall(r"'(\w+)'", str(field.annotation)) if "Literal" in str(field.annotation))
        for inner in models_in(Weighted.model_fields["loss"].annotation if field.annotation == tuple[Weighted, ...] else field.annotation):
            yield titled(inner)
            yield (inner.__doc__ or "").splitlines()[0]
            yield from of_settings(inner)


def names() -> Iterator[str]:
    """Names that nobody gave: of the presets' runs, of what is made from runs, of the usual splits, of the demo's kinds of prompts."""
    presets = [json.loads(path.read_text(encoding="utf-8"))["runs"] for path in sorted(PRESETS.glob("*.json"))]
    yield from dict.fromkeys(label for runs in presets for label in runs if re.search(r"\b[a-z]{3}|[A-Z][a-z]{3}", label))
    yield from ("Policy", "Base", "untrained", "untrained (seed {seed})", "untrained ({model})", "untrained ({model}, seed {seed})")
    yield from (
        "{run}, implicit reward",
        "{run}, {n} seeds",
        "{run}, seed {n}",
        "Scores of {run}",
        "Answers of {run}",
        "Scores of the training pairs",
    )
    yield from ("starter", "train", "validation", "test", "advice", "general", "reasoning", "safety", "writing")


def reported() -> Iterator[Said]:
    """What the engine says in whole sentences, as templates."""
    for file, tree in trees("engine"):
        if file.startswith(TERMINAL):
            continue
        said = [template for node in ast.walk(tree) for spoken in said_by(node) for template in templates(spoken)]
        given = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and f.name in RETURNING]
        said += [text for f in given for node in ast.walk(f) if isinstance(node, ast.Return) for text in templates(node.value)]
        said += [text for text in constants(tree) if " " in text and "\n" not in text]
        yield from of((text for text in said if len(re.findall(r"[a-z]", PLACE.sub("", text))) >= FEWEST_LETTERS), file)
    yield from of(TYPED_WRONG, "pydantic")


def said_by(node: ast.AST) -> list[ast.expr]:
    """The sentences of an error that is raised, of a note, a stage or a check."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        name = called(node.exc)
        return node.exc.args[name == "RecordError" :] if name.endswith("Error") else []
    if not isinstance(node, ast.Call):
        return []
    if called(node) in ("note", "stage"):
        return node.args[:1]
    if called(node) == "append" and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value).endswith(SAYING):
        return node.args
    return [keyword.value for keyword in node.keywords if keyword.arg in SAYING]


def constants(tree: ast.Module) -> list[str]:
    """The texts of a module that have a name and stand in sentences by it."""
    named = {node.value.id for node in ast.walk(tree) if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name)}
    set_here = [node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in named]
    return [node.value.value for node in set_here if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)]


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


def templates(node: ast.expr | None) -> list[str]:
    """A string, a filled string or a choice of them, with a name in braces for each value."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            names: list[str] = []
            return ["".join(str(part.value) if isinstance(part, ast.Constant) else placed(part, names) for part in parts)]
        case ast.IfExp(body=first, orelse=second):
            return [*templates(first), *templates(second)]
        case ast.Tuple(elts=several) | ast.List(elts=several):
            return [text for one in several for text in templates(one)]
    return []


def placed(value: ast.expr, names: list[str]) -> str:
    """{name}, after the last word of the expression; a number behind one that was there before."""
    words = re.findall(r"[a-z_]\w*", re.sub(r"'[^']*'", "", ast.unparse(value.value))) if isinstance(value, ast.FormattedValue) else []
    name = words[-1] if words else "value"
    names.append(name)
    return "{" + name + (str(names.count(name)) if names.count(name) > 1 else "") + "}"


def main() -> None:
    """Write into each language what is new; what no file says any more is taken out."""
    template = gathered()
    for name in LANGUAGES:
        path = LOCALE / name / "LC_MESSAGES" / "messages.po"
        if path.is_file():
            with path.open("rb") as file:
                catalogue = read_po(file, name)
            catalogue.update(template, no_fuzzy_matching=True)
            write(catalogue, path)
            missing = [message.id for message in catalogue if message.id and not all(strings(message.string))]
            print(f"{path.relative_to(ROOT)}: {len(catalogue)} sentences, {len(missing)} not translated", file=sys.stderr)


def strings(translation: Any) -> tuple[str, ...]:
    """The one or the several forms of a message."""
    return (translation,) if isinstance(translation, str) else tuple(translation or ("",))


def write(catalogue: Catalog, path: Path) -> None:
    """The file, with no dates in it, so that only sentences change it."""
    with path.open("wb") as file:
        file.write(HEADER.format(language=catalogue.locale, forms=catalogue.plural_forms).encode())
        write_po(file, catalogue, width=140, omit_header=True, sort_by_file=True, ignore_obsolete=True, include_lineno=False)


if __name__ == "__main__":
    main()
