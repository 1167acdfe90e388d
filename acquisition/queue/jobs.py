"""What a job is: what was asked for, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import floor
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from knightshift.acquisition.local_time import NightWindow
from knightshift.acquisition.queue.transitions import ACTIVE, PENDING, JobState
from knightshift.acquisition.stop_rules.rules import StopRules
from knightshift.core.program import ReferencePlan


class JobKind(StrEnum):
    """What is to be done."""

    SCAN = "scan"
    RECONSTRUCT = "reconstruct"
    FIT = "fit"
    REPORT = "report"

    @property
    def lane(self) -> Lane:
        """Which of the two things that work side by side it needs."""
        return Lane.SCANNER if self is JobKind.SCAN else Lane.PROCESSING


class Lane(StrEnum):
    """What works side by side: one scan, and beside it one job that only computes."""

    SCANNER = "scanner"
    PROCESSING = "processing"


WhenLate: TypeAlias = Literal["shrink", "skip", "run"]
"""If time is too short up to deadline or end of window: fewer averages, not at all (this night), or all the same."""
ResumePolicy: TypeAlias = Literal["auto", "ask", "never"]
"""What becomes of an interrupted run: it goes on by itself, waits for a release, or ends as it is."""


class FailurePolicy(BaseModel):
    """What to do when a job fails."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    then: Literal["continue", "stop"] = "continue"
    """Go on with the next job, or begin none until a person releases the queue."""
    retries: NonNegativeInt = 0
    """So many times it is tried again before."""

    @classmethod
    def parse(cls, text: str) -> FailurePolicy:
        """Read ``"continue"``, ``"stop"``, ``"retry 2"`` or ``"retry 2, stop"``. Raises `ValueError`."""
        retries, then = 0, "continue"
        for part in text.split(","):
            word, _, number = part.strip().partition(" ")
            if word == "retry":
                retries = int(number or 1)
            elif word in {"continue", "stop"} and not number:
                then = word
            else:
                raise ValueError(f"{text!r}: write continue, stop, 'retry 2' or 'retry 2, stop'")
        return cls.model_validate({"then": then, "retries": retries})


class ScanTask(BaseModel):
    """A scan: all that it takes to build and play it, fixed when it was added."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: dict[str, Any]
    """The protocol as plain data, SI units: later edits of its file do not matter."""
    runs: str
    """Folder that holds the runs, absolute."""
    phantom: str | None = None
    """Sample in the simulated scanner."""
    seed: int | None = None
    """Seed of the simulated noise."""
    average_s: float = Field(gt=0)
    """Time that the passes of one average take [s]."""
    averages: PositiveInt
    """Averages planned."""
    passes_per_average: PositiveInt = 1
    """Passes of one average."""
    lead_s: float = Field(default=0.0, ge=0)
    """Time for adjustments and checks with RF before the first pass [s]."""
    references: ReferencePlan | None = None
    """FIDs between the passes, which take time too."""
    bytes_per_average: NonNegativeInt = 0
    """Disk that one average takes [byte]."""
    stop_rules: StopRules | None = None
    """When the result is good enough, and the next job may begin."""

    def duration_of(self, averages: int) -> float:
        """How long a scan of so many averages takes from its start, all that is played before its passes too [s]."""
        plan, n_passes = self.references, averages * self.passes_per_average
        between = 0.0 if plan is None else plan.count(n_passes) * plan.duration
        return self.lead_s + averages * self.average_s + between

    def averages_in(self, room: float) -> int:
        """Count the averages that can be played from start to end within `room` [s]; 0 if not even one can."""
        averages = max(0, floor(room / self.average_s + 1e-9))
        while averages and self.duration_of(averages) > room * (1 + 1e-9):
            averages -= 1
        return averages


class ProcessingTask(BaseModel):
    """A computation on the run of another job, or on a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    """Folder for the results, absolute."""
    source: str | None = None
    """What to work on, absolute; None: what the job it depends on has made."""


class JobRequest(BaseModel):
    """What a person asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=80)
    """For people."""
    kind: JobKind
    """What is to be done."""
    scan: ScanTask | None = None
    """Of a scan."""
    processing: ProcessingTask | None = None
    """Of anything else."""
    priority: int = Field(default=0, ge=-100, le=100)
    """The higher, the sooner; equal ones in order of their place."""
    not_before: float | None = None
    """Seconds since the Unix epoch (UTC)."""
    deadline: float | None = None
    """To be finished by then, seconds since the Unix epoch (UTC)."""
    window: NightWindow | None = None
    """Hours of the day in which it may run."""
    when_late: WhenLate = "shrink"
    """What to do if the time is too short."""
    minimum_averages: PositiveInt = 1
    """Shrink no further."""
    on_failure: FailurePolicy = FailurePolicy()
    """What to do if it fails."""
    on_interruption: ResumePolicy = "auto"
    """What to do if service or computer stopped while it ran."""
    after: tuple[int, ...] = ()
    """Jobs that must have succeeded before, by number."""

    @model_validator(mode="after")
    def _task_fits_kind(self) -> Self:
        if (self.kind is JobKind.SCAN) != (self.scan is not None) or (self.scan is None) == (self.processing is None):
            raise ValueError(f"a job of kind {self.kind} needs its own task and no other")
        if self.processing is not None and self.processing.source is None and not self.after:
            raise ValueError(f"{self.kind} needs something to work on: a source, or a job that comes before")
        if self.scan is not None and self.minimum_averages > self.scan.averages:
            raise ValueError(f"minimum_averages {self.minimum_averages} exceeds the {self.scan.averages} planned")
        return self

    @property
    def duration(self) -> float:
        """How long it will take [s]; 0 for a computation, which the scanner does not wait for."""
        return 0.0 if self.scan is None else self.scan.duration_of(self.scan.averages)


@dataclass(frozen=True)
class Job:
    """A job of the queue and how far it has come."""

    number: int
    """What people call it."""
    request: JobRequest
    """What was asked for."""
    state: JobState
    """Where it stands."""
    place: float
    """Order among equal priorities."""
    reason: str = ""
    """Why it stands there, in words."""
    held: bool = False
    """Waits for a person to release it."""
    cancel_asked: bool = False
    """A person wants it to end while it runs."""
    paused: bool = False
    """Suspended by an interlock while it plays: the scheduler still has it in hand, and it goes on by itself."""
    earliest: float = 0.0
    """Not to be tried again before, seconds since the Unix epoch (UTC)."""
    failures: int = 0
    """How often it failed and was tried again."""
    interruptions: int = 0
    """How often in a row it was interrupted without progress."""
    n_committed: int = 0
    """Passes that were durable when last heard of."""
    n_passes: int = 0
    """Passes planned; 0 before it began."""
    averages: int | None = None
    """Averages that it was begun with."""
    run_name: str | None = None
    """Name of its run, chosen before anything plays, so that a crash cannot begin a second one."""
    result: str | None = None
    """Run folder or output folder, absolute."""
    created: float = 0.0
    """Seconds since the Unix epoch (UTC)."""
    started: float | None = None
    """First start, seconds since the Unix epoch (UTC)."""
    ended: float | None = None
    """Seconds since the Unix epoch (UTC)."""

    @property
    def lane(self) -> Lane:
        """What it needs."""
        return self.request.kind.lane

    @property
    def in_hand(self) -> bool:
        """Whether the scheduler is at work on it."""
        return self.state in ACTIVE or self.paused

    @property
    def pending(self) -> bool:
        """Whether it is still to begin, or to go on."""
        return self.state in PENDING and not self.paused

    @property
    def begun(self) -> bool:
        """Whether it has been running, so that there may be data of it."""
        return self.started is not None

    @property
    def remaining(self) -> float:
        """How long it will still take [s]; one that goes on looks at the line again, in less time than at first."""
        scan = self.request.scan
        if scan is None or not self.n_passes:
            return self.request.duration
        whole = scan.duration_of(self.averages or scan.averages)
        passes = (whole - scan.lead_s) * (1 - self.n_committed / self.n_passes)
        return passes if self.in_hand and self.n_committed else passes + scan.lead_s

    @property
    def result_path(self) -> Path | None:
        """Run folder or output folder."""
        return None if self.result is None else Path(self.result)
