"""`knightshift run-queue`: put scheduler, scanner and computations together and let them work."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from knightshift.acquisition import StopRequest
from knightshift.acquisition.local_time import local_zone
from knightshift.acquisition.notifications import NotificationConfig, load_notifications
from knightshift.acquisition.queue import (
    Job,
    JobControl,
    JobKind,
    Lane,
    Outcome,
    Pulse,
    QueueStore,
    Scheduler,
    SchedulerLock,
    SchedulerOptions,
    Workshop,
)
from knightshift.acquisition.queue.scan_executor import PreparedScan, ScanExecutor, passes_on_disk, run_of
from knightshift.acquisition.queue.service_state import LOCK
from knightshift.cli.processing import ReportChoices, fit_to, reconstruct_to, report_to
from knightshift.cli.queueing import folder_of, scanner_of_queue
from knightshift.cli.scanning import SIMULATED, new_scanner, scanner_of_run
from knightshift.cli.telling import telling_by
from knightshift.core.clock import Clock, SystemClock, VirtualClock
from knightshift.core.errors import ConfigError, InputError
from knightshift.core.yaml_files import validate
from knightshift.hardware.site import SiteConfig, load_site
from knightshift.sequences import ImagingProtocol, Protocol, PulseAcquire, build


@dataclass(frozen=True)
class ServiceChoices:
    """What the command line says about the service."""

    zone: str | None = None
    """Time zone; None: that of the computer."""
    virtual_clock: bool = False
    """Let simulated time jump."""
    until_idle: bool = False
    """Return when nothing is left that could begin."""
    notify: Path | None = None
    """Whom to tell."""


def run_service(queue: Path | None, scanner: str | None, choices: ServiceChoices) -> None:
    """Play the queue until asked to stop, or until nothing is left."""
    zone, virtual_clock, until_idle = choices.zone, choices.virtual_clock, choices.until_idle
    config = None if choices.notify is None else load_notifications(choices.notify)
    folder, local = folder_of(queue), local_zone(zone)
    with QueueStore(folder, time.time) as store:
        name = scanner_of_queue(store, scanner)
        newest = store.newest_time()
    site = load_site(name)
    if virtual_clock and site.backend != SIMULATED:
        raise ConfigError(f"scanner {name} is a real one: --virtual-clock belongs to the simulated scanner")
    clock: Clock = VirtualClock(max(time.time(), newest)) if virtual_clock else SystemClock()
    with QueueStore(folder, clock.now) as store:
        stop = StopRequest()
        with (
            _log_of_the_service(),
            stop.on_signals(),
            SchedulerLock(lock_path(folder, site, name), name) as lock,
            Pulse(folder, name, clock.now) as pulse,
        ):
            if lock.stale is not None:
                store.record("service", f"took over from process {lock.stale.pid}, which died")
            workshop = make_workshop(site, clock, folder, config)
            options = SchedulerOptions(until_idle=until_idle)
            scheduler = Scheduler(
                store, clock, local, workshop, options, on_beat=lambda jobs: pulse.beat([job.number for job in jobs])
            )
            Console(stderr=True).print(
                f"scheduler of scanner {name}, queue {folder}: Ctrl-C stops it after the pass", highlight=False
            )
            store.record("service", "began")
            scheduler.recover()
            scheduler.run(stop)
            store.record("service", f"stopped: {stop.reason or 'nothing left to do'}")


@contextmanager
def _log_of_the_service() -> Iterator[None]:
    """Log with time and level while the service runs, what it does included; then as before."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    ours, level = logging.getLogger("knightshift"), logging.getLogger("knightshift").level
    logging.getLogger().addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(level)
        logging.getLogger().removeHandler(handler)


def lock_path(folder: Path, site: SiteConfig, name: str) -> Path:
    """Say where the lock of a scanner lies.

    A real scanner has one for the computer, whatever the queue; every simulated one belongs to its queue alone.
    """
    if site.backend == SIMULATED:
        return folder / LOCK
    shared = Path("/run/lock")
    parent = shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    return parent / f"knightshift-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"


def make_workshop(site: SiteConfig, clock: Clock, folder: Path, notify: NotificationConfig | None = None) -> Workshop:
    """Put together who does the jobs."""

    def prepare(job: Job) -> PreparedScan:
        task = job.request.scan
        assert task is not None  # the executor of the scanner's lane is given scans only
        protocol: ImagingProtocol | PulseAcquire = validate(Protocol, task.protocol, f"job {job.number}: protocol")
        averages = job.averages or task.averages
        protocol = protocol.model_copy(update={"averages": averages, "duration": None})
        measurement = build(protocol, site.limits)
        device, setup = new_scanner(site, clock, phantom=task.phantom, seed=task.seed)
        return PreparedScan(measurement, device, setup, clock)

    def compute(job: Job, _control: JobControl) -> Outcome:
        return _compute(job, source_of(job, folder))

    return Workshop(
        executors={
            Lane.SCANNER: ScanExecutor(
                prepare,
                lambda path: scanner_of_run(path, clock),
                telling=lambda continued: telling_by(notify, continued=continued),
            ),
            Lane.PROCESSING: compute,
        },
        passes_on_disk=passes_on_disk,
    )


def source_of(job: Job, folder: Path) -> Path:
    """Find what a computation works on: what it was told, or what the jobs before it have made.

    A fit takes the images of the job before it; reconstruction and report take the run of the scan.
    """
    task = job.request.processing
    assert task is not None  # the executor of the other lane is given computations only
    if task.source is not None:
        return Path(task.source)
    with QueueStore(folder, time.time) as store:
        before = [store.job(number) for number in job.request.after]
    scans = [other for other in before if other.request.kind is JobKind.SCAN]
    ordered = before[::-1] if job.request.kind is JobKind.FIT else scans + before
    for other in ordered:
        found = run_of(other) if other.request.kind is JobKind.SCAN else other.result_path
        if found is not None:
            return found
    raise InputError(f"job {job.number}: the jobs before it have made nothing to work on: give it a --source")


def _compute(job: Job, source: Path) -> Outcome:
    task = job.request.processing
    assert task is not None
    output = Path(task.output)
    match job.request.kind:
        case JobKind.RECONSTRUCT:
            reconstruct_to(source, output)
        case JobKind.FIT:
            fit_to(source, output, ReportChoices())
        case _:
            report_to(source, output, ReportChoices())
    return Outcome(complete=True, result=str(output), words=f"from {source}")
