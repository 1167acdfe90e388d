"""The queue of a scanner: jobs that survive everything, a pure decision what to do now, and a thin loop round it.

Nothing here imports numpy or h5py except `scan_executor`, so that the commands of the queue start at once.
"""

from knightshift.acquisition.queue.decision import Change, Circumstances, Decision, Start, decide
from knightshift.acquisition.queue.jobs import (
    FailurePolicy,
    Job,
    JobKind,
    JobRequest,
    Lane,
    ProcessingTask,
    ScanTask,
)
from knightshift.acquisition.queue.scheduler import Scheduler, SchedulerOptions
from knightshift.acquisition.queue.service_state import Pulse, SchedulerLock, ServiceStatus, service_status
from knightshift.acquisition.queue.store import QueueStore, TransitionError
from knightshift.acquisition.queue.transitions import TRANSITIONS, JobEvent, JobState
from knightshift.acquisition.queue.work import (
    Executor,
    JobControl,
    News,
    NewsKind,
    Outcome,
    Progress,
    StopCause,
    Workshop,
)

__all__ = [
    "TRANSITIONS",
    "Change",
    "Circumstances",
    "Decision",
    "Executor",
    "FailurePolicy",
    "Job",
    "JobControl",
    "JobEvent",
    "JobKind",
    "JobRequest",
    "JobState",
    "Lane",
    "News",
    "NewsKind",
    "Outcome",
    "ProcessingTask",
    "Progress",
    "Pulse",
    "QueueStore",
    "ScanTask",
    "Scheduler",
    "SchedulerLock",
    "SchedulerOptions",
    "ServiceStatus",
    "Start",
    "StopCause",
    "TransitionError",
    "Workshop",
    "decide",
    "service_status",
]
