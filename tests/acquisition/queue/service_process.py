"""A real scheduler in a process of its own, with real runs on a fake scanner: to be killed at any moment.

``python service_process.py QUEUE`` works until nothing is left.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from fake_scanner import FakeScanner, measurement

from knightshift.acquisition import AcquisitionOptions, StopRequest
from knightshift.acquisition.queue import (
    Job,
    JobControl,
    JobKind,
    JobRequest,
    Lane,
    Outcome,
    ProcessingTask,
    Pulse,
    QueueStore,
    ScanTask,
    Scheduler,
    SchedulerLock,
    SchedulerOptions,
    Workshop,
)
from knightshift.acquisition.queue.scan_executor import PreparedScan, ScanExecutor, passes_on_disk
from knightshift.acquisition.queue.service_state import LOCK
from knightshift.core.clock import VirtualClock
from knightshift.core.manifest import RunSetup

N_PASSES = 6


def fill(queue: Path, n_chains: int) -> None:
    """Add scans, each with a report."""
    task = ScanTask(protocol={"name": "tiny"}, runs=str(queue / "runs"), average_s=48.0, averages=N_PASSES // 2)
    scan = JobRequest(name="tiny", kind=JobKind.SCAN, scan=task)
    output = ProcessingTask(output=str(queue / "report"))
    report = JobRequest(name="report", kind=JobKind.REPORT, processing=output, after=(-1,))
    with QueueStore(queue, time.time) as store:
        for _ in range(n_chains):
            store.add(scan, report)


def workshop(clock: VirtualClock, queue: Path) -> Workshop:
    def prepare(job: Job) -> PreparedScan:
        setup = RunSetup(clock="virtual", seed=job.number)
        scanner = FakeScanner(clock, seed=job.number, real_delay=3e-4)
        return PreparedScan(measurement(N_PASSES), scanner, setup, clock)

    def reopen(path: Path) -> tuple[FakeScanner, VirtualClock]:
        number = int(path.name.partition("job")[2].partition("-")[0])
        return FakeScanner(clock, seed=number, real_delay=3e-4), clock

    def report(job: Job, _control: JobControl) -> Outcome:
        time.sleep(2e-3)
        with (queue / "reports.txt").open("a") as file:
            file.write(f"{job.number}\n")
        return Outcome(True, str(queue / "report"))

    executors = {
        Lane.SCANNER: ScanExecutor(prepare, reopen, AcquisitionOptions(disk_margin=0)),
        Lane.PROCESSING: report,
    }
    return Workshop(executors=executors, passes_on_disk=passes_on_disk)


def serve(queue: Path) -> None:
    """Work until nothing is left."""
    with (
        QueueStore(queue, time.time) as store,
        SchedulerLock(queue / LOCK, "fake"),
        Pulse(queue, "fake", time.time) as pulse,
    ):
        clock = VirtualClock()
        options = SchedulerOptions(until_idle=True, poll=0.01, retry_delay=0.0)
        scheduler = Scheduler(
            store,
            clock,
            UTC,
            workshop(clock, queue),
            options,
            on_beat=lambda jobs: pulse.beat([j.number for j in jobs]),
        )
        scheduler.recover()
        scheduler.run(StopRequest())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
