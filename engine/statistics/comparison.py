"""What is looked at: a dataset's split, two scorers of its pairs, two sets of answers to its prompts, and which rows."""

from dataclasses import dataclass

from engine.settings.slices import Slice


@dataclass(frozen=True)
class Comparison:
    """The cells that every page, claim and report is about. A part that is None has nothing to show."""

    dataset_id: str | None = None
    split: str | None = None
    trained_scorer: str | None = None
    base_scorer: str | None = None  # its untrained twin
    base_generator: str | None = None
    tuned_generator: str | None = None
    slice: Slice | None = None  # None: all pairs and prompts
