"""What the columns of a table are called and what they mean, and the words of ours that stand in their cells."""

import polars as pl

from dashboard.state.messages import _, marked, ours
from engine.store.status import State

FIELDS = {"prompt_type": marked("Type of prompt"), "source": marked("Source of the pair")}  # what can name the group of a pair
REWARD = marked("A reward model's reward has no unit and no zero: only differences under the same reward model mean something.")
CUT = marked("It reached the limit of new tokens and ends in the middle: it is at least this long.")
HEADINGS: dict[str, tuple[str, ...]] = {  # of a column: its heading, and the sentences of its tooltip
    "prompt": (marked("Prompt"),),
    "prompt_type": (marked("Type"), marked("The kind of prompt, as the dataset states it.")),
    "difference": (
        marked("Tuned − base"),
        marked("The tuned answer's reward minus the base answer's, by the reward model. Above 0: tuned wins."),
    ),
    "response": (marked("Response"),),
    "answered_by": (marked("Policy"),),
    "answer": (marked("Answer"),),
    "text": (marked("Text"),),
    "words": (marked("Words"),),
    "untrained": (marked("Reward, untrained"), marked("By the reward model whose last layer was never trained."), REWARD),
    "trained": (marked("Reward, trained"), marked("By the reward model."), REWARD),
    "cut": (marked("Cut"), CUT),
    "scorer": (marked("Reward model"),),
    "which": (marked("On"),),
    "length_rule": (
        marked("The longer one"),
        marked("Accuracy of taking the longer response for the better one, ties half. Where chosen is longer it is right by definition."),
    ),
    "reward": (marked("Reward"), REWARD),
    "base_answer": (marked("Base answer"),),
    "tuned_answer": (marked("Tuned answer"),),
    "base_trained": (marked("Base, reward model"), marked("The base answer's reward by the reward model."), REWARD),
    "tuned_trained": (marked("Tuned, reward model"), marked("The tuned answer's reward by the reward model."), REWARD),
    "base_untrained": (marked("Base, untrained reward model"), marked("The base answer's reward by the untrained reward model."), REWARD),
    "tuned_untrained": (
        marked("Tuned, untrained reward model"),
        marked("The tuned answer's reward by the untrained reward model."),
        REWARD,
    ),
    "base_words": (marked("Base words"),),
    "tuned_words": (marked("Tuned words"),),
    "base_tokens": (marked("Base tokens"), marked("New tokens of the base answer, as its model counts them.")),
    "tuned_tokens": (marked("Tuned tokens"), marked("New tokens of the tuned answer, as its model counts them.")),
    "base_cut": (marked("Base cut"), CUT),
    "tuned_cut": (marked("Tuned cut"), CUT),
    "configuration": (marked("Configuration"), marked("What its runs have in common; they differ in their seeds.")),
    "field": (marked("Groups by"),),
    "group": (marked("Group"),),
    "model": (
        marked("Kind"),
        marked("common: trained on all pairs; group: on one group only; conditional: on all, told each pair's group."),
    ),
    "trained_on": (marked("Trained on group"),),
    "split": (marked("Split"),),
    "runs": (marked("Runs"),),
    "done": (marked("Runs done"),),
    "accuracy": (marked("Accuracy"), marked("Share of pairs with chosen above rejected, ties half; of a study, the mean over its runs.")),
    "trained_accuracy": (marked("Trained accuracy"),),
    "untrained_accuracy": (marked("Untrained accuracy"),),
    "accuracy_std": (
        marked("Std. dev. over seeds"),
        marked("Standard deviation of the accuracy over the runs that differ in the seed only."),
    ),
    "accuracy_min": (marked("Lowest accuracy"),),
    "accuracy_max": (marked("Highest accuracy"),),
    "accuracy_length_matched": (
        marked("On like lengths"),
        marked("Accuracy on the pairs whose responses differ by at most 10 % in length."),
    ),
    "accuracy_low": (marked("95 % from"), marked("Lower end of the interval.")),
    "accuracy_high": (marked("95 % to"), marked("Upper end of the interval.")),
    "accuracy_method": (marked("Interval by"), marked("How the interval was estimated.")),
    "reward_mean": (marked("Mean reward"), marked("Of chosen and rejected together."), REWARD),
    "reward_std": (marked("Std. dev. of rewards"), marked("Of chosen and rejected together, within a run.")),
    "n": (marked("Pairs"),),
    "seconds": (marked("Seconds"), marked("From the start of a run to its end, mean over its runs.")),
    "peak_gb": (marked("Peak memory [GB]"), marked("The highest of its runs, in 10⁹ bytes: device memory on a GPU, else resident memory.")),
    "state": (marked("State"),),
    "reason": (marked("Why"),),
}
KINDS = (
    marked("untrained"), marked("common"), marked("group"), marked("conditional"), marked("ensemble"), marked("implicit"),
    marked("imported"),
)  # fmt: skip
WORDED: dict[str, tuple[str, ...]] = {  # columns whose cells are words of ours, not names
    "response": (marked("chosen"), marked("rejected")),
    "answered_by": (marked("base"), marked("tuned")),
    "which": (marked("all pairs"), marked("like lengths"), marked("chosen longer"), marked("chosen shorter")),
    "model": KINDS,
    "state": tuple(State),
}

NAMES = ("prompt_type", "scorer", "group", "trained_on", "split", "configuration")  # columns whose cells are names, some of them ours

UNREAD = ("_id", "_n", "_counted", "_unit", "_prompts")  # ends of the names of columns that are left out


def heading(name: str) -> str:
    """The name of a column in words."""
    return _(HEADINGS[name][0]) if name in HEADINGS else name.replace("_", " ").capitalize()


def read_by_people(rows: pl.DataFrame) -> list[str]:
    """The columns that a person reads, in the order of HEADINGS: without ids, and without those in which nothing stands yet."""
    order = [name for name in HEADINGS if name in rows.columns]
    names = [*order, *(name for name in rows.columns if name not in HEADINGS and not name.endswith(UNREAD))]
    return [name for name in names if rows[name].null_count() < len(rows)]


def in_our_words(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with our words in the language that is spoken."""
    known = [values for values in rows if values.name in ("field", *WORDED, *NAMES)]
    return rows.with_columns(pl.Series(c.name, [v and said(c.name, v) for v in c], dtype=pl.String) for c in known)


def said(name: str, value: str) -> str:
    """A cell of a column: a word of ours in the language that is spoken, anything else as it is."""
    if name == "field":
        return _(FIELDS.get(value, value))
    return _(value) if value in WORDED.get(name, ()) else ours(value)
