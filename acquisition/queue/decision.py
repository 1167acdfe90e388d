"""What to do now: a pure function of the jobs and the time. It reads no clock, no disk and no scanner."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from knightshift.acquisition.local_time import local_text
from knightshift.acquisition.queue.jobs import Job, Lane
from knightshift.acquisition.queue.transitions import SUCCEEDED, JobEvent, JobState

_SLACK = 1e-6


@dataclass(frozen=True)
class Change:
    """A job that changes its state without beginning."""

    number: int
    """Which job."""
    event: JobEvent | None
    """What happens to it; None: only the reason is new."""
    reason: str
    """Why, in words."""


@dataclass(frozen=True)
class Start:
    """A job that is to begin, or to go on."""

    number: int
    """Which job."""
    averages: int | None = None
    """Fewer averages than asked for, or None."""
    stop_at: float | None = None
    """The scan is to end before this time, seconds since the Unix epoch (UTC); None: never mind."""
    reason: str = ""
    """What is worth knowing."""


@dataclass(frozen=True)
class Decision:
    """What to do now, and when to look again."""

    changes: tuple[Change, ...] = ()
    """To be made first."""
    starts: tuple[Start, ...] = ()
    """At most one for each lane that is free."""
    wake_at: float | None = None
    """When time alone will change the answer, seconds since the Unix epoch (UTC); None: never."""


@dataclass(frozen=True)
class Circumstances:
    """What matters beside the jobs."""

    now: float
    """Seconds since the Unix epoch (UTC)."""
    zone: tzinfo
    """Local time zone, for windows."""
    stopped: str = ""
    """Why no job may begin until a person releases the queue; empty: they may."""
    clock_settled: bool = True
    """False for a while after the clock jumped: no job is given up for being late then."""


@dataclass(frozen=True)
class _Outlook:
    """What one pending job may do."""

    job: Job
    start: Start | None = None
    """It may begin now, like this."""
    give_up: str = ""
    """It is to be cancelled, and why."""
    reason: str = ""
    """Why it waits."""
    opens_at: float | None = None
    """When it may begin, if only time is missing."""


def decide(jobs: Sequence[Job], at: Circumstances) -> Decision:
    """Decide which jobs wait, which are given up, and which begin.

    Higher priority goes first, then the earlier place. A job that could begin is kept back if it would still be running
    when a job that ranks before it opens: a night that begins at 19:00 finds the scanner free.

    Parameters
    ----------
    jobs
        All jobs, finished ones too (others may depend on them).
    at
        Time, zone, and whether the queue is stopped.

    Returns
    -------
    Decision
        The same for the same input, in whatever order the jobs come.
    """
    by_number = {job.number: job for job in jobs}
    pending = sorted((job for job in jobs if job.pending), key=_rank)
    busy = {job.lane for job in jobs if job.in_hand}
    outlooks = [_outlook(job, by_number, at) for job in pending]
    changes: list[Change] = []
    starts: list[Start] = []
    reserved: dict[Lane, _Outlook] = {}
    for outlook in outlooks:
        job = outlook.job
        if outlook.give_up:
            changes.append(Change(job.number, _end_of(job), outlook.give_up))
            continue
        reason = outlook.reason
        if outlook.start is not None and not reason:
            reason = _kept_back(outlook, reserved.get(job.lane), at)
            if not reason and job.lane not in busy:
                starts.append(outlook.start)
                busy.add(job.lane)
                continue
        if outlook.opens_at is not None and _is_sooner(outlook, reserved.get(job.lane)):
            reserved[job.lane] = outlook
        changes += _reclassify(job, reason)
    return Decision(tuple(changes), tuple(starts), _wake_at(outlooks, at.now))


def _rank(job: Job) -> tuple[int, float, int]:
    return -job.request.priority, job.place, job.number


def _end_of(job: Job) -> JobEvent:
    """Cut a job short that has passes on disk and goes no further; cancel one that has none."""
    return JobEvent.TRUNCATE if job.begun and job.n_committed else JobEvent.CANCEL


def _is_sooner(outlook: _Outlook, other: _Outlook | None) -> bool:
    return other is None or (outlook.opens_at or 0.0) < (other.opens_at or 0.0)


def _wake_at(outlooks: list[_Outlook], now: float) -> float | None:
    times = [outlook.opens_at for outlook in outlooks if outlook.opens_at is not None]
    times += [job.request.deadline for job in (o.job for o in outlooks) if job.request.deadline is not None]
    return min((time for time in times if time > now), default=None)


def _reclassify(job: Job, reason: str) -> list[Change]:
    """Make a waiting job queued, a queued one waiting, and keep the reason true. Suspended jobs stay suspended."""
    if job.state is JobState.QUEUED and reason:
        return [Change(job.number, JobEvent.WAIT, reason)]
    if job.state is JobState.WAITING and not reason:
        return [Change(job.number, JobEvent.READY, "")]
    if job.state is JobState.WAITING and reason != job.reason:
        return [Change(job.number, None, reason)]
    return []


def _outlook(job: Job, jobs: Mapping[int, Job], at: Circumstances) -> _Outlook:
    failed = [number for number in job.request.after if _is_lost(jobs.get(number))]
    if failed:
        return _Outlook(job, give_up=f"job {failed[0]}, which it needs, did not succeed")
    if job.held:
        return _Outlook(job, reason=job.reason or "held")
    unfinished = [number for number in job.request.after if jobs[number].state not in SUCCEEDED]
    if unfinished:
        return _Outlook(job, reason=f"after job {', '.join(map(str, unfinished))}")
    if at.stopped:
        return _Outlook(job, reason=f"the queue is stopped: {at.stopped}")
    return _in_time(job, at)


def _is_lost(job: Job | None) -> bool:
    return job is None or job.state in {JobState.FAILED, JobState.CANCELLED}


def _in_time(job: Job, at: Circumstances) -> _Outlook:
    """Look at not-before, window and deadline."""
    request, now = job.request, at.now
    opens = max(request.not_before or 0.0, job.earliest)
    closes = math.inf
    if request.window is not None:
        window_opens, closes = request.window.next_interval(max(now, opens), at.zone)
        opens = max(opens, window_opens)
    if request.deadline is not None and opens >= request.deadline and request.when_late != "run":
        return _late(job, f"it could begin at {local_text(opens, at.zone)} only, after its deadline", at)
    if opens > now:
        return _Outlook(job, reason=f"not before {local_text(opens, at.zone)}", opens_at=opens)
    return _with_room(job, closes, at)


def _with_room(job: Job, closes: float, at: Circumstances) -> _Outlook:
    """Decide what a job that may begin now does with the time it has."""
    request, now = job.request, at.now
    deadline = request.deadline if request.deadline is not None else math.inf
    end = min(deadline, closes)
    if request.when_late == "run" or request.scan is None:
        return _Outlook(job, start=Start(job.number))
    stop_at = None if math.isinf(end) else end
    if now + job.remaining <= end + _SLACK:
        return _Outlook(job, start=Start(job.number, stop_at=stop_at))
    short = f"{job.remaining / 3600:.2f} h are needed, {max(0.0, end - now) / 3600:.2f} h are left"
    fitting = request.scan.averages_in(end - now)
    if job.begun and fitting >= 1:
        return _Outlook(job, start=Start(job.number, stop_at=stop_at, reason=f"goes on as far as it can: {short}"))
    if request.when_late == "shrink" and not job.begun and fitting >= request.minimum_averages:
        reason = f"shrunk to {fitting} of {request.scan.averages} averages: {short}"
        return _Outlook(job, start=Start(job.number, fitting, stop_at, reason))
    if closes < deadline:
        return _next_night(job, closes, short, at)
    return _late(job, f"too late: {short}", at)


def _next_night(job: Job, closes: float, short: str, at: Circumstances) -> _Outlook:
    window = job.request.window
    assert window is not None  # only a window closes
    opens, _ = window.next_interval(closes, at.zone)
    if job.request.deadline is not None and opens >= job.request.deadline:
        return _late(job, f"too late: {short}, and its deadline comes before the next window", at)
    return _Outlook(job, reason=f"not this night ({short}): {local_text(opens, at.zone)}", opens_at=opens)


def _late(job: Job, words: str, at: Circumstances) -> _Outlook:
    if at.clock_settled:
        return _Outlook(job, give_up=words)
    return _Outlook(job, reason=f"{words}; the clock has jumped, so it is not given up yet")


def _kept_back(outlook: _Outlook, reserved: _Outlook | None, at: Circumstances) -> str:
    """Say why a job must leave the scanner to one that ranks before it, or nothing."""
    if reserved is None or reserved.opens_at is None or outlook.start is None:
        return ""
    scan = outlook.job.request.scan
    planned = outlook.job.remaining
    if scan is not None and outlook.start.averages is not None:
        planned = scan.duration_of(outlook.start.averages)
    if at.now + planned <= reserved.opens_at:
        return ""
    return f"job {reserved.job.number} begins at {local_text(reserved.opens_at, at.zone)}"
