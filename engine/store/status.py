"""What a run says of itself: its state, why it ended so, and how far it is. status.json is one Status, replaced whole at every change."""

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 2  # of status.json; files without a number are of format 1


class State(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    FINALISING = "finalising"  # its work is done, its results are on their way into the database
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"  # never written: it says that it is running, and nobody holds its lock


class Reason(StrEnum):
    """Why a run ended, where more than a reader must know."""

    DID_NOT_FIT = "did not fit"  # into memory; in a study that is a result
    NOT_STARTED = "not started"  # a run that it needs has stopped; it waits again when that one is resumed


GOING_ON = (State.RUNNING, State.FINALISING)
STOPPED = (State.FAILED, State.CANCELLED, State.LOST)
ENDED = (State.DONE, *STOPPED)


class Failure(BaseModel):
    """The sentence a run failed with, and its reason when it has one."""

    model_config = ConfigDict(frozen=True)
    error: str
    reason: Reason | None = None


class Status(BaseModel):
    """One run's status. Keys of a later version are kept when it is written again."""

    model_config = ConfigDict(frozen=True, extra="allow")
    format: int = FORMAT
    state: State = State.QUEUED
    reason: Reason | None = None
    error: str | None = None  # one sentence
    stage: str = ""
    step: int = 0
    steps: int = 0
    unit: str = "steps"
    rate: float | None = None  # units a second
    eta_seconds: float | None = None
    pid: int | None = None
    submitted_at: str = ""
    submitted_with: str | None = None  # the first of the runs that were queued at one press, by its id
    started_at: str | None = None
    finished_at: str | None = None
    updated_at: str | None = None
    notes: tuple[str, ...] = ()
    device: str | None = None
    versions: dict[str, str] | None = None
    pairs_sha256: str | None = None
    peak_bytes: int | None = None
    stage_peaks: dict[str, int] = Field({})  # bytes by stage
    resumed: int = 0
    forward_tokens: int | None = None  # packed tokens of one forward pass, once memory made them fewer than configured
    oom_kills: int | None = None  # processes the system had killed for want of memory when this one began
    killed: bool = False  # most likely for want of memory, before it was resumed

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The status in a file of any format; in format 1 a reason was the beginning of its sentence. Raises ValidationError."""
        if "format" not in values:
            reason, colon, error = str(values.get("error")).partition(": ")
            values = {**values, **({"reason": reason, "error": error} if colon and reason in [*Reason] else {})}
        return cls.model_validate({"state": None, **values})  # a file without a state is damaged, not queued

    def changed(self, **changes: Any) -> Self:
        """The status with other values, checked. Raises ValidationError."""
        return type(self).model_validate({**self.model_dump(), **changes})

    @property
    def sentence(self) -> str | None:
        """The error with its reason before it, as a person reads it."""
        return f"{self.reason}: {self.error}" if self.reason and self.error else self.error
