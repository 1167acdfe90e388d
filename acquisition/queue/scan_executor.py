"""Does scans: begins the run of a job, or goes on with it if there is one already. A job never has two runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from knightshift.acquisition.night import acquire, resume
from knightshift.acquisition.notifications import Herald
from knightshift.acquisition.options import (
    AcquisitionOptions,
    OnProgress,
    ProgressEvent,
    ProgressKind,
    RunResult,
    RunStatus,
)
from knightshift.acquisition.queue.jobs import Job, ScanTask
from knightshift.acquisition.queue.work import JobControl, News, NewsKind, Outcome, Progress, StopCause
from knightshift.core.clock import Clock
from knightshift.core.manifest import RunSetup
from knightshift.core.program import Measurement
from knightshift.core.run_folder import MANIFEST, open_run
from knightshift.hardware.contract import Scanner

if TYPE_CHECKING:
    from knightshift.acquisition.stop_rules import RuleObserver


_ROUNDING = 1e-3
"""Of sums of many times [s]."""


@dataclass(frozen=True)
class PreparedScan:
    """What `acquire` needs."""

    measurement: Measurement
    """What to play."""
    scanner: Scanner
    """Disconnected."""
    setup: RunSetup
    """What a resume will need to know."""
    clock: Clock
    """The one that the scanner uses."""


@dataclass(frozen=True)
class ScanExecutor:
    """An executor for the scanner's lane."""

    prepare: Callable[[Job], PreparedScan]
    """Builds a scan that begins."""
    reopen: Callable[[Path], tuple[Scanner, Clock]]
    """Makes the scanner of a run that goes on."""
    options: AcquisitionOptions = field(default_factory=AcquisitionOptions)
    """Patience; name and stop are those of the job."""
    telling: Callable[[bool], AbstractContextManager[Herald]] = lambda _continued: Herald(None)
    """Makes who tells people of a run, which may be one that goes on; nobody by default."""

    def __call__(self, job: Job, control: JobControl) -> Outcome:
        """Acquire the job's run, from its first pass or from where it was.

        Raises
        ------
        KnightshiftError
            As `acquire` and `resume`.
        """
        rules, existing = _rules(job, control), run_of(job)
        observers = (*self.options.observers, *rules)
        options = replace(self.options, run_name=job.run_name, stop=control.stop, observers=observers)
        with self.telling(existing is not None) as herald:
            result = self._scan(job, existing, herald.joined(options), herald.watching(_watcher(control)))
            herald.ended(result)
        if any(rule.wish is not None for rule in rules):
            control.ask(StopCause.RULE)
        return _outcome(result)

    def _scan(self, job: Job, existing: Path | None, options: AcquisitionOptions, watch: OnProgress) -> RunResult:
        if existing is None:
            scan = self.prepare(job)
            runs = Path(_task(job).runs)
            return acquire(
                scan.measurement, scan.scanner, runs, setup=scan.setup, clock=scan.clock, options=options,
                on_progress=watch,
            )  # fmt: skip
        scanner, clock = self.reopen(existing)
        return resume(existing, scanner, clock=clock, options=options, on_progress=watch)


def _rules(job: Job, control: JobControl) -> tuple[RuleObserver, ...]:
    """Look at the result of each block if the job says what is enough."""
    rules = _task(job).stop_rules
    if rules is None:
        return ()
    from knightshift.acquisition.stop_rules import RuleObserver  # brings the reconstruction with it

    return (RuleObserver(rules, control.stop_at),)


def _task(job: Job) -> ScanTask:
    assert job.request.scan is not None  # a job in the scanner's lane is a scan
    return job.request.scan


def run_of(job: Job) -> Path | None:
    """Find the run of a job on disk, also one whose creation was the last thing before a crash."""
    if job.run_name is None:
        return None
    # where the name was being made when the computer stopped, the next attempt got a number behind it
    its_name = re.compile(re.escape(job.run_name) + r"(-\d+)?")
    candidates = Path(_task(job).runs).glob(f"{job.run_name}*/{MANIFEST}")
    return next((path.parent for path in sorted(candidates) if its_name.fullmatch(path.parent.name)), None)


def passes_on_disk(job: Job) -> int:
    """Count the passes of a job's run that are durable. Raises `DamagedDataError` if its journal is damaged."""
    run = None if job.request.scan is None else run_of(job)
    return 0 if run is None else len(open_run(run).committed())


_NEWS = {
    ProgressKind.CHECKED: NewsKind.CHECKED,
    ProgressKind.BEGAN: NewsKind.BEGAN,
    ProgressKind.SUSPENDED: NewsKind.SUSPENDED,
    ProgressKind.RESUMED: NewsKind.CONTINUED,
}


def _watcher(control: JobControl) -> OnProgress:
    resolved = cache(Path.resolve)  # of one run, at every pass

    def watch(event: ProgressEvent) -> None:
        if event.kind in _NEWS:
            words = event.message or ", ".join(map(str, event.checks))
            control.news.append(News(_NEWS[event.kind], words))
        control.progress = Progress(event.n_committed, event.n_passes, str(resolved(event.run_path)))
        if control.stop_at is not None and event.time + event.next_pass > control.stop_at + _ROUNDING:
            control.ask(StopCause.DEADLINE)

    return watch


def _outcome(result: RunResult) -> Outcome:
    flagged = f", {result.n_flagged} flagged" if result.n_flagged else ""
    return Outcome(
        complete=result.status is RunStatus.COMPLETED,
        result=str(result.path.resolve()),
        n_committed=result.n_committed,
        n_passes=result.n_passes,
        words=f"{result.n_committed} of {result.n_passes} passes{flagged}",
        stopped_by=result.reason if result.reason not in set(StopCause) else "",
        interlocked=result.interlocked,
    )
