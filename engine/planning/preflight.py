"""What a run will need and what stands in its way, before it is accepted. Torch-free unless the tokenizer is asked."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.data.datasets_io import dataset_ids, splits_in
from engine.errors import ConfigError, PrefscopeError, RunError
from engine.machine import device_plan, disk, memory
from engine.model.folders import NOT_LINEAR, Network, network_of
from engine.planning import estimates
from engine.planning.held import held_by_runs, held_by_server
from engine.planning.references import Findings, awaited, check_models, check_runs, check_splits
from engine.planning.workload import Sample, items_of, own_split
from engine.settings.config import GenerateConfig, RunConfig, TrainConfig, parse
from engine.statistics.wording import percent
from engine.store.slices import pairs_of, part_of

TIGHT = 0.9  # share of the free memory from which an estimate is worth a warning
FAR = 2  # an estimate this many times the free memory refuses the run, whatever could be divided
MANY_CUT = 0.1  # share of truncated pairs that is worth one


@dataclass(frozen=True)
class Preflight:
    """What is known of a run that has not begun. Problems refuse it."""

    kind: str
    name: str
    items: int | None = None
    unit: str = "pairs"
    at_most: bool = False  # items are those of the whole split: which are in the slice is not known yet
    slice: str | None = None  # how many of its pairs are worked on, in words
    steps: int | None = None  # optimiser steps over all epochs
    sample: Sample | None = None
    memory_bytes: int | None = None  # at its peak
    free_memory_bytes: int | None = None
    disk_bytes: int | None = None  # its folder at its largest
    free_disk_bytes: int | None = None
    seconds: float | None = None  # of training alone, or of all that another kind of run does
    too_large: tuple[str, ...] = ()  # what memory does not suffice for: refused too, but a study's run shows it as its result
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why the run is not accepted."""
        return *self.problems, *self.too_large


@dataclass
class Case:
    """One run under examination."""

    cache: Path
    config: RunConfig
    planned: Mapping[str, RunConfig] = field(default_factory=dict)  # runs to be queued with it
    found: Findings = field(default_factory=Findings)
    folders: list[Path] = field(default_factory=list)  # of the models that are on this machine
    networks: list[Network] = field(default_factory=list)
    whole: bool = False  # the size of every model is known


def preflight(
    cache: Path, config: RunConfig, planned: Mapping[str, RunConfig] | None = None, tokens: bool = True, imported: bool = True
) -> Preflight:
    """Examine a run of any kind. planned: {run id: configuration} of runs to be queued with it. tokens: ask the tokenizer, too.

    imported: whether its pairs are there; if not, only what does not depend on them is examined.
    """
    case, made = of_whole_split(Case(cache, config, planned or {}), Preflight(config.kind, config.name))
    try:
        splits = splits_in(cache, config.dataset) if imported else {}
    except PrefscopeError as error:
        return replace(made, problems=(str(error),))
    if splits is None:
        known = ", ".join(dataset_ids(cache)) or f"(none is imported into {cache} yet)"
        return replace(made, problems=(f"dataset {config.dataset!r} not found in the cache, expected one of {known}",))
    absent = check_splits(config, splits, case.found) if imported else {"the dataset"}
    check_runs(cache, config, case.planned, case.found)
    check_device(case)
    look_at_models(case)
    check_adapters(case)
    if absent <= {"validation_splits"}:
        made = counted(case, made)
        made = with_tokens(case, made) if tokens and case.folders and made.items else made
    for part in (with_memory, with_disk, with_time):
        made = part(case, made)
    found: dict[str, Any] = {name: tuple(dict.fromkeys(sentences)) for name, sentences in vars(case.found).items()}
    return replace(made, **found)


def of_whole_split(case: Case, made: Preflight) -> tuple[Case, Preflight]:
    """A run whose slice is only known once its pairs are scored is examined as one of all of them, which it has at most."""
    waits_for = awaited(case.cache, case.config, case.planned)
    if waits_for is None:
        return case, made
    case.found.unknown.append(f"which pairs are in the slice is known when {waits_for!r} is done: here all of the split are counted")
    if isinstance(case.config, TrainConfig) and case.config.pairs is not None:
        case.found.problems.append(
            f"pairs is {case.config.pairs}, but how many the slice has is known when {waits_for!r} is done: leave it empty, for all of them"
        )
    case.config = case.config.model_copy(update={"slice": None})
    return case, replace(made, at_most=True)


def require(cache: Path, configs: Mapping[str, RunConfig], may_be_too_large: bool = False, imported: bool = True) -> None:
    """Refuse runs that would fail, by what can be told without a tokenizer. Raises RunError with one sentence a line."""
    looked = [preflight(cache, config, configs, tokens=False, imported=imported) for config in configs.values()]
    wrong = [(made.name, p) for made in looked for p in (made.problems if may_be_too_large else made.refusals)]
    if wrong:
        raise RunError("\n".join(f"run {name!r}: {problem}" if len(looked) > 1 else problem for name, problem in wrong))


def check_device(case: Case) -> None:
    if case.config.device == "cuda" and not device_plan.has_cuda():
        case.found.problems.append("device is 'cuda', but there is no NVIDIA driver here, or torch was built for the CPU: take auto or cpu")


def check_adapters(case: Case) -> None:
    """Every LoRA target is the end of the name of a layer of the model."""
    if not (isinstance(case.config, TrainConfig) and case.config.lora and case.networks):
        return
    layers = case.networks[0].linear
    for target in case.config.lora.targets:
        odd = any(part in target for part in NOT_LINEAR)
        if target != "all-linear" and not odd and not any(name == target or name.endswith(f".{target}") for name in layers):
            there = ", ".join(sorted({name.rpartition(".")[2] for name in layers}))
            case.found.problems.append(f"lora.targets: the model has no layer {target!r}, expected all-linear or some of {there}")


def look_at_models(case: Case) -> None:
    before = len(case.found.problems), len(case.found.unknown)
    case.folders = check_models(case.cache, case.config, case.planned, case.found)
    for folder in case.folders:
        try:
            network = network_of(folder)
        except PrefscopeError as error:
            case.found.problems.append(str(error))
            continue
        if network is None:
            case.found.unknown.append(f"{folder / 'config.json'} does not name its sizes in the usual words: memory is unknown")
        else:
            case.networks.append(network)
    case.whole = before == (len(case.found.problems), len(case.found.unknown)) and bool(case.networks)


def counted(case: Case, made: Preflight) -> Preflight:
    """Pairs, prompts or responses; the steps of a training run."""
    try:
        number, unit = items_of(case.cache, case.config, case.planned)
        made = replace(made, items=number, unit=unit, slice=slice_of(case))
        if number is None:
            case.found.unknown.append("a generation run it names has not answered yet, so the number of responses is unknown")
        elif isinstance(case.config, TrainConfig):
            processes = device_plan.expected_processes(case.config)
            made = replace(made, steps=device_plan.steps_of(number, case.config, processes) * case.config.epochs)
    except PrefscopeError as error:
        case.found.problems.append(str(error))
    return made


def slice_of(case: Case) -> str | None:
    """How much of the run's slice it works on."""
    config = case.config
    if not isinstance(config, TrainConfig | GenerateConfig) or config.slice is None:
        return None
    return part_of(pairs_of(case.cache, config.slice), own_split(config))


def with_tokens(case: Case, made: Preflight) -> Preflight:
    from engine.model.architecture import check_architecture
    from engine.planning.sample import sample_of  # torch and transformers, which take seconds to load

    try:
        check_architecture(case.folders[0], gives_reward=case.config.kind in ("reward", "score", "ensemble"))
        sample = sample_of(case.cache, case.config, case.folders[0])
    except PrefscopeError as error:
        case.found.problems.append(str(error))
        return made
    if sample and sample.cut > MANY_CUT * sample.sampled:
        case.found.warnings.append(
            f"{percent(sample.cut / sample.sampled, 0)} of the sampled {cut_unit(made)} are cut: raise max_tokens to keep them"
        )
    return replace(made, sample=sample)


def cut_unit(made: Preflight) -> str:
    return "prompts" if made.unit == "prompts" else "pairs"


# Memory, disk, time


def with_memory(case: Case, made: Preflight) -> Preflight:
    """The estimate against what is free. Too little is a problem with on_oom fail, and when not even the weights fit; else a warning."""
    config, free = case.config, free_memory(case.cache, case.config)
    made = replace(made, free_memory_bytes=free)
    if not case.whole:
        return made
    longest = made.sample.longest_tokens if made.sample else None
    made = replace(made, memory_bytes=max(memory_of(case, network, longest) for network in case.networks))
    need = made.memory_bytes
    if free is None or need is None or need <= TIGHT * free:
        return made
    sentence = f"needs about {gb(need)} of memory, {gb(free)} are free"
    if least_memory(case, longest, need) > (1 if isinstance(config, TrainConfig) and config.on_oom == "fail" else FAR) * free:
        case.found.too_large.append(sentence)
    elif not isinstance(config, TrainConfig) or need <= free:
        case.found.warnings.append(f"memory is tight: {sentence}")
    elif estimates.training_memory(case.networks[0], config, 0) > free:
        case.found.too_large.append(sentence)
    elif device_plan.expected_processes(config) > 1:
        case.found.warnings.append(
            f"memory is tight: {sentence}; several processes do not divide a step that does not fit: the run would end"
        )
    else:
        case.found.warnings.append(f"memory is tight: {sentence}; batches will be computed in smaller parts, which changes no result")
    return made


def least_memory(case: Case, longest: int | None, need: int) -> int:
    """Bytes without which the run cannot be: where batches may be divided, those of its longest pair alone."""
    if isinstance(case.config, TrainConfig) and case.config.on_oom == "split":
        return estimates.training_memory(case.networks[0], case.config, longest or 0)
    return need


def memory_of(case: Case, network: Network, longest: int | None) -> int:
    """Peak bytes of a run with this model; of all its processes on a CPU, where they share the memory."""
    config = case.config
    device = device_plan.expected_device(config.device)
    if isinstance(config, TrainConfig):
        one = estimates.training_memory(network, config, estimates.forward_tokens(config, longest))
    elif isinstance(config, GenerateConfig):
        one = estimates.answering_memory(network, config, min(longest or config.max_tokens, config.max_tokens))
    else:
        precision = estimates.reward_precision(case.cache, config.model_dump(mode="json"), device, case.planned)
        one = estimates.scoring_memory(network, device, precision)
    return one * (device_plan.expected_processes(config) if device == "cpu" else 1)


def free_memory(cache: Path, config: RunConfig) -> int | None:
    """Bytes the run can have once it is its turn: what is free, what the run before it and the playground hold, within its own limit."""
    device = device_plan.expected_device(config.device)
    free = memory.free(device)
    if device == "cuda" or free is None:
        return free
    there = free + held_by_runs(cache) + held_by_server(cache)
    given = config.memory_gb if isinstance(config, TrainConfig) else None
    return there if given is None else min(there, round(given * 1e9))


def with_disk(case: Case, made: Preflight) -> Preflight:
    """The run's folder at its largest against what is free."""
    made = replace(made, free_disk_bytes=disk.free_disk(case.cache))
    config = case.config
    if not (isinstance(config, TrainConfig) and case.whole and made.steps):
        return made
    network = case.networks[0]
    checkpoints = estimates.checkpoints_of(config, made.steps)
    need = disk.needs_disk(network.parameters, estimates.trained_parameters(network, config), checkpoints)
    try:
        disk.check_disk(case.cache, need)
    except RunError as error:
        case.found.problems.append(str(error))
    return replace(made, disk_bytes=need)


def with_time(case: Case, made: Preflight) -> Preflight:
    """Seconds, at the usual speed of finished runs like this one."""
    config = case.config
    if isinstance(config, TrainConfig) and (rates := estimates.tokens_per_second(case.cache, config)):
        if not (made.steps and made.sample):
            return made
        pairs = made.steps * config.batch_size * config.accumulation * device_plan.expected_processes(config)
        return replace(made, seconds=pairs * made.sample.mean_tokens / statistics.median_high(rates))
    if not isinstance(config, TrainConfig) and (pace := estimates.usual(estimates.seconds_each(case.cache, config, case.planned))):
        return replace(made, seconds=estimates.work_of(config, made.items)[0] * pace) if made.items else made
    case.found.unknown.append("no finished run like this one to estimate the time from")
    return made


# In words


def as_text(made: Preflight) -> str:
    """The report of a dry run, one fact a line."""
    lines = [f"{made.name} ({made.kind})", *(f"  {name:8}{words}" for name, words in facts(made).items())]
    for label, sentences in (("problem", made.refusals), ("warning", made.warnings), ("unknown", made.unknown)):
        lines += [f"  {label}: {sentence}" for sentence in sentences]
    return "\n".join(lines)


def as_json(cache: Path, given: str) -> str:
    """The pre-flight of a configuration that is given as JSON, as JSON, with its facts in words. Raises ConfigError."""
    try:
        values = json.loads(given)
    except ValueError as error:
        raise ConfigError(f"the configuration is not JSON: {error}") from None
    made = preflight(cache, parse(values))
    return json.dumps({**asdict(made), "refusals": made.refusals, "facts": facts(made)}, ensure_ascii=False)


def facts(made: Preflight) -> dict[str, str]:
    """{what: a few words} of all that is known."""
    found: dict[str, Any] = {}
    if made.items is not None:
        found["work"] = (
            ("at most " if made.at_most else "")
            + f"{made.items:,} {made.unit}"
            + (f", {made.steps:,} optimiser steps" if made.steps else "")
        )
    if made.slice:
        found["slice"] = made.slice
    if made.sample:
        of, each = made.sample, cut_unit(made)
        found["tokens"] = f"{of.mean_tokens:,.0f} a {each[:-1]}, the longest {of.longest_tokens:,}; " + (
            f"{percent(of.cut / of.sampled)} of {of.sampled} sampled {each} are cut"
        )
    for name, need, free in (
        ("memory", made.memory_bytes, made.free_memory_bytes),
        ("disk", made.disk_bytes, made.free_disk_bytes),
    ):
        words = [f"about {gb(need)}" if need is not None else "", f"{gb(free)} are free" if free is not None else ""]
        if any(words):
            found[name] = "; ".join(filter(None, words))
    if made.seconds is not None:
        alone = " of training, without loading and validation" if made.kind in ("reward", "policy") else ""
        found["time"] = (f"about {made.seconds / 60:.0f} min" if made.seconds >= 90 else f"about {made.seconds:.0f} s") + alone
    return found


def gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
