"""The seams of the scheduler: who does a job, what it tells meanwhile, and how it is told to stop.

Executors are handed in: the scan by `knightshift.acquisition.queue.scan_executor`, computations by the command line. In
tests they are fakes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from knightshift.acquisition.queue.jobs import Job, Lane
from knightshift.acquisition.stop_request import StopRequest


class StopCause(StrEnum):
    """Why a job is stopped before its end."""

    DEADLINE = "deadline"
    """Its time is over: what there is counts."""
    RULE = "rule"
    """A rule on the result is met: what there is counts."""
    CANCELLED = "cancelled"
    """A person took it out."""
    HELD = "held"
    """A person suspends it."""
    SERVICE = "service"
    """The scheduler ends; the job goes on when it is back."""


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    n_committed: int
    """Passes that are durable."""
    n_passes: int
    """Passes planned."""
    result: str
    """The run folder."""


class NewsKind(StrEnum):
    """What may happen to a job while it is in hand."""

    CHECKED = "checked"
    """The checks before it have passed, or a part of them."""
    BEGAN = "began"
    """It plays."""
    SUSPENDED = "suspended"
    """An interlock keeps it; the scanner is safe."""
    CONTINUED = "continued"
    """It plays again."""


@dataclass(frozen=True)
class News:
    """What happened to a job while it is in hand, for state and history."""

    kind: NewsKind
    """What happened."""
    words: str
    """Why, or what was found."""


@dataclass
class JobControl:
    """What a running job and the scheduler tell each other, across threads."""

    stop_at: float | None = None
    """The scan is to end before, seconds since the Unix epoch (UTC)."""
    stop: StopRequest = field(default_factory=StopRequest)
    """Obeyed by the pass loop."""
    cause: StopCause | None = None
    """Who asked first."""
    progress: Progress | None = None
    """Set by the executor, read by the scheduler."""
    news: deque[News] = field(default_factory=deque)
    """Filled by the executor in order, emptied by the scheduler."""

    def ask(self, cause: StopCause) -> None:
        """Ask to stop after the pass; the first cause counts, a second call for it is not urgent."""
        if self.cause is None:
            self.cause = cause
            self.stop.request(cause)

    def hurry(self) -> None:
        """Ask to stop within the pass."""
        self.stop.request(StopCause.SERVICE)


@dataclass(frozen=True)
class Outcome:
    """How a job ended that did not fail."""

    complete: bool
    """Whether all of it is there; else it was stopped."""
    result: str
    """Run folder or output folder, absolute."""
    n_committed: int = 0
    """Passes that are durable."""
    n_passes: int = 0
    """Passes planned."""
    words: str = ""
    """For the history."""
    stopped_by: str = ""
    """Why it ended early, where nobody asked through the `JobControl`: a goal, an interlock, in words."""
    interlocked: bool = False
    """Whether it was an interlock."""


Executor: TypeAlias = Callable[[Job, JobControl], Outcome]
"""Does a job. Raises `KnightshiftError` or `OSError` if it fails; anything else is a mistake of ours and ends the
service, which is started again by systemd until the crash-loop breaker holds the job."""


@dataclass(frozen=True)
class Workshop:
    """Everything that does a job."""

    executors: Mapping[Lane, Executor]
    """Who does the jobs of each lane."""
    passes_on_disk: Callable[[Job], int] = lambda _job: 0
    """Tells how many passes of a job's run are durable, after a crash."""
