"""Data comes in by steps on one page: choose it, see its first rows, say what each column is, see what is kept and why not, import it.

All that was asked is one Draft in the session: a later step appears when the one before it is answered, and an answer stays when an
earlier one is changed or another page is opened.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard.parts import assigning, import_check
from dashboard.parts.assigning import Answers
from dashboard.parts.chips import open_dataset
from dashboard.state import data
from dashboard.state.messages import _, counted, listed, ours, reported
from engine.commands.imports import sources_of
from engine.data.datasets_io import dataset_ids
from engine.data.intake import is_training
from engine.data.preview import MOST, Check, Sample, check, from_json, joined, sample
from engine.data.results import check_results
from engine.data.sources import needs_library, split_of
from engine.errors import DataError, PrefscopeError
from engine.plain import line
from engine.queue import jobs
from engine.statistics.wording import number
from engine.store.rundir import cache_path

DRAFT = "import_draft"
PAIRS, RESULTS = "pairs", "results"
DIVIDED = "(divided)"  # no split can be called so
SPLITS = ("train", "validation", "test")
FIRST = 2_000  # records looked at before anybody asks for more


@dataclass
class Draft:
    """What is about to be imported."""

    samples: dict[str, Sample]  # by the place they come from
    splits: dict[str, str | None]  # by place; None: its own splits, or divided by the import
    answers: Answers = field(default_factory=Answers)
    checked: tuple[Any, Any] = (None, None)  # the last check: of what, and what it found

    @property
    def first(self) -> Path:
        return Path(next(iter(self.samples)))

    @property
    def name(self) -> str:
        return line(self.first.name.split(".")[0]) or "data"

    @cached_property
    def sample(self) -> Sample:
        """All records, from wherever they come."""
        return next(iter(self.samples.values())) if len(self.samples) == 1 else Sample({p: one.raws for p, one in self.samples.items()})

    def divided(self) -> Sample:
        """All records under the splits chosen. Raises DataError when two places have the same split."""
        splits = [split for split in self.splits.values() if split]
        if len(set(splits)) < len(splits):
            raise DataError(_("Two files have the same split: give each its own, or put them into one folder."))
        return joined({str(split): self.samples[place] for place, split in self.splits.items()}) if splits else self.sample

    def sources(self) -> list[str]:
        """As the command line takes them."""
        return [f"{split}={place}" if split else place for place, split in self.splits.items()]

    def remembered(self, key: Any, look: Any) -> Any:
        """What `look` finds, computed again only when something it depends on has changed."""
        if self.checked[0] != key:
            self.checked = key, look()
        return self.checked[1]


def steps() -> None:
    """The whole import: each step below the one before it."""
    choose()
    draft = st.session_state.get(DRAFT)
    if not isinstance(draft, Draft):
        return
    with sentences():
        chosen(draft)
        seen, kinds = draft.sample, {PAIRS: _("Preference pairs"), RESULTS: _("Answers and rewards made elsewhere")}
        first_rows(seen)
        kind = draft.answers.ask(
            "kind",
            RESULTS if seen.shape() else PAIRS,
            st.segmented_control,
            _("These are"),
            list(kinds),
            format_func=kinds.get,
            required=True,
        )
        pairs(draft) if kind == PAIRS else results(draft)


@contextmanager
def sentences() -> Iterator[None]:
    """An error ends the step it is in, as a sentence; what was answered stays."""
    try:
        yield
    except PrefscopeError as error:
        data.refuse(error)


# Choosing


def choose() -> None:
    """A file or several, or a name. Whatever was chosen last counts."""
    kinds = _("JSON, JSONL, CSV, TSV, Parquet or Arrow, the first four also with .gz. One file, or one for each split.")
    several = _(
        "A path, a folder, starter, or owner/name:configuration@split on the Hugging Face hub. Several: train=a.jsonl validation=b.jsonl"
    )
    left, right = st.columns([3, 2], gap="medium")
    files = left.file_uploader(_("Drop files here"), key="dropped_files", accept_multiple_files=True, on_change=turn, args=("files",))
    left.caption(data.literal(kinds))
    typed = right.text_input(
        _("or name a path, a folder or a Hugging Face dataset"),
        key="named_source",
        help=data.literal(several),
        on_change=turn,
        args=("name",),
    )
    asked = st.session_state.pop("import_turn", None)
    if asked:
        forget()
        with sentences(), st.spinner(_("Reading the first records")):
            if asked == "files" and files:
                begin(uploaded(files))
            elif asked == "name" and typed.strip():
                begin(places_in(typed))


def turn(to: str) -> None:
    st.session_state["import_turn"] = to


def forget() -> None:
    """Nothing is about to be imported any more."""
    for key in [k for k in st.session_state if str(k).startswith("import_")]:
        del st.session_state[key]


def uploaded(files: list[UploadedFile]) -> dict[str, str | None]:
    """{where an uploaded file was put: its split, if there are several}"""
    names = [file.name for file in files]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(_("Two files are called {name}: rename one of them.").format(name=twice))
    places = [str(data.keep_upload(file.name, file.getvalue())) for file in files]
    if len(places) == 1:
        return {places[0]: None}
    free = iter(SPLITS)
    guessed = {place: split_of(Path(Path(place).name)) for place in places}
    return {place: split or next((s for s in free if s not in guessed.values()), "train") for place, split in guessed.items()}


def places_in(typed: str) -> dict[str, str | None]:
    """The places of a line: one, or SPLIT=PLACE several times."""
    sources = sources_of(data.words(typed))
    return {sources: None} if isinstance(sources, str) else {place: split for split, place in sources.items()}


def begin(places: dict[str, str | None], limit: int = FIRST) -> None:
    """Look at the first records of every place."""
    st.session_state[DRAFT] = Draft({place: looked_at(place, limit) for place in places}, places)


def looked_at(place: str, limit: int) -> Sample:
    """The first records; a dataset that Hugging Face's library reads is read by a process of the engine, which may load it."""
    if needs_library(place):
        return from_json(jobs.engine_call(["sample", f"--records={limit}", "--", place], cache_path()))
    return sample(place, limit)


def chosen(draft: Draft) -> None:
    """What is looked at, and how much of it."""
    named = ", ".join(f"{Path(place).name}: {number(len(one.records), 0)}" for place, one in draft.samples.items())
    all_of_it = all(one.whole for one in draft.samples.values())
    text = _("Records: {named}.") if all_of_it else _("First records: {named}. The rest is checked when it is imported.")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(data.literal(text.format(named=named)), width="content")
        if not all_of_it and max(len(one.raws) for one in draft.samples.values()) < MOST:
            help = _("Up to {n} records of each split").format(n=number(MOST, 0))
            if st.button(_("Look at all"), key="import_more", help=data.literal(help), type="tertiary"):
                with st.spinner(_("Reading")):
                    more = {place: looked_at(place, MOST) for place in draft.samples}
                st.session_state[DRAFT] = Draft(more, draft.splits, draft.answers)
                st.rerun()


def first_rows(seen: Sample) -> None:
    st.header(_("First rows"))
    import_check.texts(seen.first_rows(), "rows")
    for note in map(reported, seen.notes):
        st.caption(data.literal(note))


# Pairs


def pairs(draft: Draft) -> None:
    """Columns, what is kept and why not, splits, and the import of preference pairs."""
    st.header(_("What each column is"))
    found = assigning.pairs(draft.sample, draft.answers)
    if found is None:
        return
    format, options = found
    st.header(_("What is kept"))
    share = splits(draft)
    seen = draft.divided()
    looked: Check = draft.remembered(
        (format, sorted(options.items()), share, tuple(draft.splits.items()), len(seen.raws)),
        lambda: check(seen, format, options, share),
    )
    import_check.kept(looked)
    if not looked.kept:
        return
    if all(one.whole for one in draft.samples.values()):
        import_check.few(looked.splits, divided=None in draft.splits.values() and len(draft.sample.splits) == 1)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = draft.answers.ask(
            "name", draft.name, st.text_input, _("Name"), help=_("What pages and reports call this dataset."), width=320
        )
        licence = draft.answers.ask("licence", "", st.text_input, _("Licence"), help=_("Kept with the dataset; may stay empty."), width=220)
        if st.button(_("Import"), type="primary", key="import_do"):
            named = [*given("--name", name), *given("--licence", licence), f"--format={format}", f"--validation-share={share}"]
            made = call(
                ["import", "--json", *named, *(f"--option={key}={value}" for key, value in options.items()), "--", *draft.sources()]
            )
            finish(made, made["dataset_id"], held_out(made["splits"]))


def splits(draft: Draft) -> float:
    """Which split each file is; of one without splits, the share that is held out. Returns that share."""
    if len(draft.samples) == 1 and len(next(iter(draft.samples.values())).splits) > 1:
        return 0.1  # the source has its own
    with st.container(horizontal=True, vertical_alignment="bottom"):
        options = [*([DIVIDED] if len(draft.samples) == 1 else []), *SPLITS]
        for place, split in draft.splits.items():
            label = _("Split") if len(draft.samples) == 1 else _("Split of {file}").format(file=Path(place).name)
            choice: dict[str, Any] = {"format_func": split_name, "accept_new_options": True, "width": 260}
            answer = draft.answers.ask(f"split_{place}", split or DIVIDED, st.selectbox, data.literal(label), options, **choice)
            draft.splits[place] = None if answer in (DIVIDED, None) else answer
        if None not in draft.splits.values():
            return 0.1
        help = _("By a hash of the question, so that a question never lies on both sides.")
        percent = draft.answers.ask("share", 10, st.number_input, _("Held out for validation (%)"), 0, 90, help=help, width=220)
        return int(percent) / 100


def split_name(split: str) -> str:
    return _("divide into train and validation") if split == DIVIDED else ours(split)


# Results


def results(draft: Draft) -> None:
    """The same for answers and rewards that were computed elsewhere."""
    if len(draft.samples) > 1:
        raise DataError(_("Answers and rewards are imported one file at a time."))
    st.header(_("What each column is"))
    seen, cache = draft.sample, cache_path()
    mapping = assigning.results(seen, draft.answers)
    if mapping is None:
        return
    st.header(_("What is kept"))
    help = _("If these are answers to an imported dataset's prompts. The file's own pairs are then left out.")
    known = [None, *dataset_ids(cache)]
    shown: dict[str, Any] = {"format_func": assigning.named, "help": help, "placeholder": _("no imported dataset")}
    dataset = draft.answers.ask("belongs", None, st.selectbox, _("Answers to the prompts of"), known, **shown)
    key = (sorted(mapping.items()), dataset, len(seen.raws))
    looked = draft.remembered(key, lambda: check_results(cache, seen.raws, draft.name, dataset, mapping))
    import_check.results(looked)
    names: list[str] = []
    with st.grid(min_column_width=240):
        for kind, asks in (("generator", _("Who wrote {field}?")), ("scorer", _("Who gave {field}?"))):
            for field_name in looked.unnamed[kind]:
                label, hint = data.literal(asks.format(field=field_name)), _("{field} ({file})").format(field=field_name, file=draft.name)
                if typed := draft.answers.ask(f"{kind}_{field_name}", "", st.text_input, label, placeholder=hint):
                    names.append(f"--{kind}={field_name}={typed}")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = draft.answers.ask(
            "name", draft.name, st.text_input, _("Name"), help=_("What pages and reports call this import."), width=320
        )
        if st.button(_("Import"), type="primary", key="import_do"):
            columns = [f"--map={ours}={theirs}" for ours, theirs in mapping.items()]
            belongs = given("--dataset", dataset)
            made = call(["results", "--json", *given("--name", name), *belongs, *names, *columns, "--", "import", str(draft.first)])
            finish(made, made["import_id"] if "pairs" in made["counts"] else dataset)


# Importing


def given(option: str, value: str | None) -> list[str]:
    return [f"{option}={value}"] if value else []


def call(arguments: list[str]) -> dict[str, Any]:
    """What the engine says of its import. Raises PrefscopeError with its message."""
    with st.spinner(_("Importing")):
        made: dict[str, Any] = json.loads(jobs.engine_call(arguments, cache_path()))
    return made


def held_out(splits: Mapping[str, int]) -> str:
    """The split that pages judge on: validation, or the largest that is not trained on, or the largest."""
    return min(splits, key=lambda split: (is_training(split), split != "validation", -splits[split]))


def finish(made: dict[str, Any], dataset_id: str | None, split: str | None = None) -> None:
    """Open the dataset, where what became of the import is said. split: to be looked at; else that on which most was measured."""
    forget()
    st.session_state["imported"] = made
    if dataset_id:
        open_dataset(dataset_id, split)
    st.rerun()


def say_imported() -> None:
    """What the last import kept, once."""
    made = st.session_state.pop("imported", None)
    if made is None:
        return
    if "kept" in made:
        splits = listed(f"{number(pairs, 0)} {ours(split)}" for split, pairs in made["splits"].items())
        kept, dropped = counted(made["kept"], "pairs"), counted(made["dropped"], "records")
        text = _("Imported: {kept} kept ({splits}), {dropped} left out.").format(kept=kept, splits=splits, dropped=dropped)
    else:
        text = _("Imported: {rows}.").format(rows=import_check.rows_of(made["counts"]))
    st.success(data.literal(text))
    if "kept" in made:
        import_check.few(made["splits"])
    for note in map(reported, made["notes"]):
        st.caption(data.literal(note))
    if made["existed"]:
        st.caption(_("The same had been imported before; nothing was changed."))
