"""Studies: one named list of configurations, each with several seeds, so that a difference can be told from chance. Torch-free.

Every member is an ordinary run that carries the study's name. None waits for another, so one that fails stops nobody; members run with
`on_oom: fail`, and one that does not fit into memory is a result.
"""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from engine.data.datasets_io import dataset_ids
from engine.errors import ConfigError
from engine.plain import on_one_line
from engine.planning.preflight import require
from engine.queue import chain, jobs
from engine.queue.preset import DataSource
from engine.settings.config import CONFIGS, AnyRun, TrainConfig, parse
from engine.settings.files import load_declared
from engine.settings.hyperparameters import Frozen
from engine.statistics.estimate import Estimate
from engine.statistics.groups import study_table
from engine.store import database
from engine.store.rundir import RunDir, now, run_dirs, write_table

STUDIES = Path(__file__).parent / "studies"
TRAINED = tuple(kind for kind, model in CONFIGS.items() if issubclass(model, TrainConfig))
GIVEN_BY_THE_STUDY = ("name", "study", "configuration", "seed", "dataset", "parents", "on_oom", "keep_weights")
SHORT = {"batch_size": "batch"}

Overrides = dict[str, Any]  # {field: value}, dotted for a field of a nested model


class Study(Frozen):
    """A base configuration, what is varied of it, and the seeds."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=60)
    title: str = Field(min_length=1)
    data: DataSource | None = None  # imported first; or
    dataset: str | None = None  # the id of an imported dataset
    base: dict[str, Any]
    vary: dict[str, tuple[Any, ...]] = Field({})
    members: tuple[Overrides, ...] = ()  # configurations beside the grid; `name` is what one is called
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    keep_weights: bool = False

    @field_validator("base", "vary", "members")
    @classmethod
    def gives_only_its_own(cls, value: Any) -> Any:
        for fields in value if isinstance(value, tuple) else [value]:
            taken = [f for f in GIVEN_BY_THE_STUDY if f in fields and not (f == "name" and isinstance(value, tuple))]
            if taken:
                raise ValueError(f"{taken[0]} is the study's to give, not a member's")
        return value

    @model_validator(mode="after")
    def can_be_expanded(self) -> Self:
        if (self.data is None) == (self.dataset is None):
            raise ValueError("a study gives either data (what to import) or dataset (the id of imported pairs)")
        if self.base.get("kind") not in TRAINED:
            raise ValueError(f"base.kind is {self.base.get('kind')!r}: expected one of {', '.join(TRAINED)}")
        if empty := [field for field, values in self.vary.items() if not values]:
            raise ValueError(f"vary.{empty[0]} is empty: expected at least one value")
        return self


def load_study(name: str) -> Study:
    """A study by name (engine/queue/studies) or by path to a JSON file. Raises ConfigError."""
    return load_declared(Study, "study", STUDIES, name)


def configurations(study: Study) -> Iterator[tuple[str, Overrides]]:
    """(what it is called, its overrides): the grid of `vary`, its last field changing fastest, then `members`; without both, the base."""
    grid = product(*study.vary.values()) if study.vary or not study.members else ()
    for values in grid:
        overrides = dict(zip(study.vary, values, strict=True))
        yield called(overrides) or study.name, overrides
    for member in study.members:
        overrides = {field: value for field, value in member.items() if field != "name"}
        yield member.get("name") or called(overrides) or study.name, overrides


def called(overrides: Overrides) -> str:
    """`batch 16, epochs 2`; a nested model is called by its name."""
    parts = []
    for field, value in overrides.items():
        short = SHORT.get(field, field.removesuffix(".name").rpartition(".")[2].replace("_", " "))
        plain = value.get("name", json.dumps(value)) if isinstance(value, dict) else value
        parts.append(f"{short} {f'{plain:g}' if isinstance(plain, float) else plain}")
    return ", ".join(parts)


def members(study: Study, dataset: str) -> list[AnyRun]:
    """Every configuration with every seed, the seed changing fastest. Raises ConfigError for a wrong field or two of the same name."""
    found = [member(study, dataset, name, overrides, seed) for name, overrides in configurations(study) for seed in study.seeds]
    names = [run.name for run in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"study {study.name} has {twice[0]!r} twice: give its members different names")
    return found


def member(study: Study, dataset: str, name: str, overrides: Overrides, seed: int) -> AnyRun:
    where = f"study {study.name}, {name!r}"
    values: dict[str, Any] = dict(study.base)
    for field, value in overrides.items():
        outer, _, inner = field.partition(".")
        values[outer] = {**nested(values, outer, where), inner: value} if inner else value
    own = {"name": f"{name}, seed {seed}", "study": study.name, "configuration": name, "seed": seed, "dataset": dataset}
    return parse({**values, **own, "keep_weights": study.keep_weights, "on_oom": "fail"}, where)


def nested(values: dict[str, Any], outer: str, where: str) -> dict[str, Any]:
    """What is given of a nested model so far; at first the name of the kind's own default, such as the loss."""
    field = CONFIGS[values["kind"]].model_fields.get(outer)
    default = field.get_default(call_default_factory=True) if field else None
    given = values.get(outer, {"name": default.name} if isinstance(default, BaseModel) and hasattr(default, "name") else {})
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: {outer} is {given!r}, expected an object to set a field of")
    return given


def runs_of(cache: Path, name: str) -> list[RunDir]:
    """The study's runs, oldest first."""
    return [run for run in run_dirs(cache) if run.outline.study == name]


def submit(cache: Path, study: Study) -> list[str]:
    """Import the pairs and queue every member that is not there yet; the ids of the new runs, in order.

    So a study that gained a seed is submitted again. Raises RunError when a member would fail for another reason than memory, and
    ConfigError for a wrong field, or when its name is taken: by an experiment, or by an earlier study one of whose runs has the same name
    and another configuration.
    """
    to_come = {str(number): config for number, config in enumerate(members(study, study.dataset or ""))}
    if not study.data:
        return submit_members(cache, study, str(study.dataset))
    require(cache, to_come, may_be_too_large=True, imported=False)  # what is wrong without the pairs is found before they are imported
    with jobs.importing(cache, study.data) as dataset:
        return submit_members(cache, study, dataset)


def submit_members(cache: Path, study: Study, dataset: str) -> list[str]:
    """Queue the members that are not there yet; their ids. Raises as `submit` does."""
    if dataset not in dataset_ids(cache):
        raise ConfigError(f"study {study.name}: dataset {dataset!r} not found, expected one of {', '.join(dataset_ids(cache)) or '(none)'}")
    folder, present = cache / "studies" / study.name, {run.outline.name: run for run in runs_of(cache, study.name)}
    planned = members(study, dataset)
    changed = [c.name for c in planned if c.name in present and present[c.name].config.model_copy(update={"parents": ()}) != c]
    if changed or (present and not folder.is_dir()):
        what = f"its run {changed[0]!r} has another configuration" if changed else "an experiment has this name"
        raise ConfigError(f"study {study.name} is there already and {what}: give the new one another name")
    first, missing = chain.scored_first(cache, [jobs.with_parents(cache, c) for c in planned if c.name not in present])
    new = first | {jobs.new_run_id(study.base["kind"], c.name): c for c in missing}
    require(cache, new, may_be_too_large=True)  # what does not fit is a result
    definition = study.model_dump_json(exclude_defaults=True)
    write_table(folder, "studies", [{"study_id": study.name, "title": study.title, "definition": definition, "created_at": now()}])
    jobs.submit(cache, new)
    catch_up(cache, study.name)
    return list(new)


def catch_up(cache: Path, name: str) -> None:
    """Bring the study and all its runs, queued and killed ones too, into the database."""
    with database.writing(cache) as con:
        for folder in (cache / "studies" / name, *(run.path for run in runs_of(cache, name))):
            database.ingest_into(con, folder)


def show(cache: Path, name: str) -> list[dict[str, Any]]:
    """The study's table, one row per configuration and validation split. Raises ConfigError for an unknown study."""
    if not (cache / "studies" / name / "studies.parquet").is_file():
        known = ", ".join(sorted(p.name for p in (cache / "studies").glob("[!.]*"))) or "(none)"
        raise ConfigError(f"study {name!r} not found, expected one of {known}")
    catch_up(cache, name)
    with database.reading(cache) as con:
        rows = study_table(con, name).to_dicts()
    return [{**row, "accuracy": row["accuracy"] and Estimate(**row["accuracy"])} for row in rows]


def as_text(rows: list[dict[str, Any]]) -> str:
    """A table for a terminal."""
    rows = list(map(on_one_line, rows))
    wide, wider = (2 + max([len(head), *(len(r[head] or "–") for r in rows)]) for head in ("configuration", "split"))
    lines = [
        "accuracy: mean over seeds [95 % interval by Student's t], standard deviation, lowest to highest; a policy's is that of its "
        "implicit reward; like length: accuracy on pairs whose responses differ by at most 10 % in length",
        f"{'configuration':{wide}}{'split':{wider}}{'runs':>4}  {'accuracy':44}{'like length':>12}{'reward mean':>12}"
        f"{'std':>8}{'seconds':>9}{'peak GB':>9}  state",
    ]
    for r in rows:
        accuracy = over_seeds(r["accuracy"], r["accuracy_std"], r["accuracy_min"], r["accuracy_max"])
        matched, reward, std, seconds, peak = (f"{r[k]:.{d}f}" if r[k] is not None else "–" for k, d in NUMBERS.items())
        state = f"{r['state']}: {r['reason']}" if r["reason"] else r["state"]
        row = f"{r['configuration']:{wide}}{r['split'] or '–':{wider}}{r['runs']:>4}  {accuracy:44}"
        lines.append(f"{row}{matched:>12}{reward:>12}{std:>8}{seconds:>9}{peak:>9}  {state}")
    return "\n".join(lines)


def over_seeds(mean: Estimate | None, std: float | None, lowest: float | None, highest: float | None) -> str:
    """0.650 [0.015 to 1.000], 0.071, 0.600 to 0.700; of one run 0.650."""
    if mean is None:
        return "–"
    return f"{mean.value:.3f}" if std is None else f"{mean.value:.3f} [{mean.interval()}], {std:.3f}, {lowest:.3f} to {highest:.3f}"


NUMBERS = {"accuracy_length_matched": 3, "reward_mean": 3, "reward_std": 3, "seconds": 0, "peak_gb": 2}  # {column: decimals}
