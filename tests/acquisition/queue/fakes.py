"""Jobs, and executors that take virtual time instead of doing anything."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knightshift.acquisition import StopRequest
from knightshift.acquisition.queue import (
    Job,
    JobControl,
    JobKind,
    JobRequest,
    JobState,
    Lane,
    Outcome,
    ProcessingTask,
    Progress,
    QueueStore,
    ScanTask,
    Scheduler,
    SchedulerOptions,
    StopCause,
    Workshop,
)
from knightshift.core.clock import Clock, VirtualClock
from knightshift.core.errors import KnightshiftError

EVENING = datetime(2026, 1, 5, 19, 0, tzinfo=UTC).timestamp()
HOUR = 3600.0


def scan(name: str = "scan", averages: int = 10, average_s: float = HOUR, **request: Any) -> JobRequest:
    """A scan of `averages` passes of an hour."""
    task = ScanTask(protocol={"name": name}, runs="/nowhere", average_s=average_s, averages=averages)
    return JobRequest(name=name, kind=JobKind.SCAN, scan=task, **request)


def computation(kind: str = "report", *after: int, **request: Any) -> JobRequest:
    return JobRequest(
        name=kind, kind=JobKind(kind), processing=ProcessingTask(output=f"/results/{kind}"), after=after, **request
    )


def job(number: int = 1, request: JobRequest | None = None, state: JobState = JobState.QUEUED, **fields: Any) -> Job:
    return Job(number, request or scan(), state, **({"place": float(number)} | fields))


class InlinePool(Executor):
    """Does everything at once, in the thread of the caller."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **options))
        except Exception as error:  # noqa: BLE001 - a pool keeps whatever its work raises
            future.set_exception(error)
        return future


@dataclass
class FakeScans:
    """Plays one pass an average; keeps its passes like a run folder does."""

    clock: Clock
    committed: dict[int, int] = field(default_factory=dict)
    """Passes on disk, by job."""
    starts: list[int] = field(default_factory=list)
    """Every time that a job was begun or resumed."""
    faults: dict[int, list[KnightshiftError | None]] = field(default_factory=dict)
    """What each start of a job ends with, after one pass."""
    on_pass: Callable[[Job, JobControl], None] = lambda _job, _control: None

    def __call__(self, job: Job, control: JobControl) -> Outcome:
        task = job.request.scan
        assert task is not None
        planned = job.averages or task.averages
        self.starts.append(job.number)
        fault = self.faults[job.number].pop(0) if self.faults.get(job.number) else None
        while self.committed.get(job.number, 0) < planned:
            if control.stop_at is not None and self.clock.now() + task.average_s > control.stop_at + 1e-6:
                control.ask(StopCause.DEADLINE)
            if control.stop.after_pass:
                break
            self.clock.sleep(task.average_s)
            self.committed[job.number] = self.committed.get(job.number, 0) + 1
            control.progress = Progress(self.committed[job.number], planned, f"/runs/{job.run_name}")
            self.on_pass(job, control)
            if fault is not None:
                raise fault
        done = self.committed.get(job.number, 0)
        return Outcome(done == planned, f"/runs/{job.run_name}", done, planned)


@dataclass
class FakeComputations:
    done: list[int] = field(default_factory=list)

    def __call__(self, job: Job, _control: JobControl) -> Outcome:
        task = job.request.processing
        assert task is not None
        self.done.append(job.number)
        return Outcome(True, task.output)


def workshop(scans: FakeScans, computations: FakeComputations | None = None) -> Workshop:
    executors = {Lane.SCANNER: scans, Lane.PROCESSING: computations or FakeComputations()}
    committed = getattr(scans, "committed", {})
    return Workshop(executors=executors, passes_on_disk=lambda job: committed.get(job.number, 0))


class Night:
    """A queue, a clock, and fakes that do the work."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(EVENING)
        self.store = QueueStore(folder, self.clock.now)
        self.scans, self.computations = FakeScans(self.clock), FakeComputations()

    def scheduler(self) -> Scheduler:
        return Scheduler(
            self.store, self.clock, UTC, workshop(self.scans, self.computations),
            SchedulerOptions(until_idle=True, poll=0.01), InlinePool(),
        )  # fmt: skip

    def run(self, stop: StopRequest | None = None) -> None:
        scheduler = self.scheduler()
        scheduler.recover()
        scheduler.run(stop or StopRequest())

    def states(self) -> list[str]:
        return [str(job.state) for job in self.store.jobs()]

    def hours(self) -> float:
        return (self.clock.now() - EVENING) / HOUR


class PowerCut(BaseException):
    """Not one of our errors: the process is gone."""


class WallClock:
    """A clock that a person, or a flat battery, can set."""

    def __init__(self) -> None:
        self.steady_time, self.error = 0.0, 0.0

    def now(self) -> float:
        return EVENING + self.steady_time + self.error

    def sleep(self, duration: float) -> None:
        self.steady_time += max(0.0, duration)

    def steady(self) -> float:
        return self.steady_time
