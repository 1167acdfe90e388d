"""States of a job, and the table of what may lead from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """Could begin as soon as it is its turn."""
    WAITING = "waiting"
    """Something has to come first: a time, another job, a release; the reason says which."""
    PRE_FLIGHT = "pre-flight"
    """Chosen; the checks before it begins are made. Nothing plays yet."""
    RUNNING = "running"
    """It plays, or is processed."""
    SUSPENDED = "suspended"
    """Begun, and interrupted, by an interlock or with the service: it goes on where it was."""
    DONE = "done"
    """All of it is there."""
    TRUNCATED = "truncated"
    """Stopped early with valid data: a success."""
    FAILED = "failed"
    """It could not be done; what was acquired is kept."""
    CANCELLED = "cancelled"
    """Taken out by a person, by its deadline, or because a job it needs failed."""


class JobEvent(StrEnum):
    """What may happen to a job."""

    WAIT = "wait"
    READY = "ready"
    BEGIN = "begin"
    START = "start"
    SUSPEND = "suspend"
    CONTINUE = "continue"
    """What suspended it while it played is over."""
    COMPLETE = "complete"
    TRUNCATE = "truncate"
    FAIL = "fail"
    RETRY = "retry"
    """It failed, or was interrupted before anything was lost, and goes back into the queue."""
    CANCEL = "cancel"


_S, _E = JobState, JobEvent
TRANSITIONS: Mapping[JobEvent, Mapping[JobState, JobState]] = {
    _E.WAIT: {_S.QUEUED: _S.WAITING},
    _E.READY: {_S.WAITING: _S.QUEUED},
    _E.BEGIN: {_S.QUEUED: _S.PRE_FLIGHT, _S.WAITING: _S.PRE_FLIGHT, _S.SUSPENDED: _S.PRE_FLIGHT},
    _E.START: {_S.PRE_FLIGHT: _S.RUNNING},
    _E.SUSPEND: {_S.PRE_FLIGHT: _S.SUSPENDED, _S.RUNNING: _S.SUSPENDED, _S.SUSPENDED: _S.SUSPENDED},
    _E.CONTINUE: {_S.SUSPENDED: _S.RUNNING},
    _E.COMPLETE: {_S.RUNNING: _S.DONE},
    _E.TRUNCATE: {
        _S.RUNNING: _S.TRUNCATED, _S.SUSPENDED: _S.TRUNCATED, _S.QUEUED: _S.TRUNCATED, _S.WAITING: _S.TRUNCATED,
    },
    _E.FAIL: {_S.PRE_FLIGHT: _S.FAILED, _S.RUNNING: _S.FAILED, _S.SUSPENDED: _S.FAILED},
    _E.RETRY: {_S.PRE_FLIGHT: _S.QUEUED, _S.RUNNING: _S.QUEUED, _S.SUSPENDED: _S.QUEUED},
    _E.CANCEL: {
        _S.QUEUED: _S.CANCELLED, _S.WAITING: _S.CANCELLED, _S.PRE_FLIGHT: _S.CANCELLED, _S.RUNNING: _S.CANCELLED,
        _S.SUSPENDED: _S.CANCELLED,
    },
}  # fmt: skip
"""Event → state in which it may happen → state it leads to."""

FINISHED = frozenset({_S.DONE, _S.TRUNCATED, _S.FAILED, _S.CANCELLED})
"""Nothing leads out of these: a finished job never runs again."""
SUCCEEDED = frozenset({_S.DONE, _S.TRUNCATED})
"""Jobs that depend on one of these may begin."""
ACTIVE = frozenset({_S.PRE_FLIGHT, _S.RUNNING})
"""The scheduler has it in hand. A suspended job may be in hand too: see `Job.in_hand`."""
PENDING = frozenset({_S.QUEUED, _S.WAITING, _S.SUSPENDED})
"""Still to come."""
