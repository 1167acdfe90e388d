"""What becomes of jobs that were in hand when the scheduler died: pure decisions, and the crash-loop breaker."""

from __future__ import annotations

from dataclasses import dataclass

from knightshift.acquisition.queue.jobs import Job, Lane
from knightshift.acquisition.queue.transitions import JobEvent, JobState

CRASHES_IN_A_ROW = 3
"""After so many interruptions without one new pass a job waits for a person."""


@dataclass(frozen=True)
class Recovery:
    """How a job that was interrupted goes on."""

    number: int
    """Which job."""
    event: JobEvent
    """What happens to it."""
    reason: str
    """Why, in words."""
    held: bool = False
    """Whether it waits for a person."""
    interruptions: int = 0
    """Interruptions in a row without progress, this one included."""
    ended: bool = False
    """Whether it is over."""


def after_interruption(job: Job, n_committed: int, why: str) -> Recovery:
    """Decide about one job that was in hand.

    Parameters
    ----------
    job
        In pre-flight, running, or suspended while it played.
    n_committed
        Passes of its run that are durable now.
    why
        What interrupted it, in words.

    Returns
    -------
    Recovery
        Pre-flight and computations go back into the queue; a scan by its policy.
    """
    progress = n_committed > job.n_committed
    interruptions = 0 if progress else job.interruptions + 1
    if interruptions >= CRASHES_IN_A_ROW:
        words = f"{why}: interrupted {interruptions} times in a row without progress: look at the log, then release it"
        return Recovery(job.number, JobEvent.SUSPEND, words, held=True, interruptions=interruptions)
    if job.state is JobState.PRE_FLIGHT and not job.begun and not n_committed:
        return Recovery(job.number, JobEvent.RETRY, f"{why} before it began", interruptions=interruptions)
    if job.lane is Lane.PROCESSING:
        return Recovery(job.number, JobEvent.RETRY, f"{why}: computed again", interruptions=interruptions)
    policy = job.request.on_interruption
    if policy == "ask":
        words = f"{why}: release it to go on"
        return Recovery(job.number, JobEvent.SUSPEND, words, held=True, interruptions=interruptions)
    if policy == "never":
        return Recovery(job.number, JobEvent.SUSPEND, f"{why}: not to be resumed", ended=True)
    return Recovery(job.number, JobEvent.SUSPEND, f"{why}: goes on by itself", interruptions=interruptions)
