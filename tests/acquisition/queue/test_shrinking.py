"""A late scan shrinks to what can be played before its deadline: all of it, what comes before its passes too."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest
from adjusted_night import LIMITS, SEED, full_site, measurement, phantom, setup
from fakes import EVENING, InlinePool, job
from hypothesis import given
from hypothesis import strategies as st

from knightshift.acquisition import AcquisitionOptions, StopRequest
from knightshift.acquisition.adjustments.schedule import as_site_wants
from knightshift.acquisition.planner import plan_night
from knightshift.acquisition.queue import (
    Circumstances,
    Job,
    JobKind,
    JobRequest,
    JobState,
    Lane,
    QueueStore,
    ScanTask,
    Scheduler,
    SchedulerOptions,
    Workshop,
    decide,
)
from knightshift.acquisition.queue.scan_executor import PreparedScan, ScanExecutor, passes_on_disk
from knightshift.cli.queue_adding import times_of
from knightshift.core.clock import VirtualClock
from knightshift.core.program import ReferencePlan
from knightshift.core.run_folder import open_run
from knightshift.hardware.backends import open_scanner

AVERAGES = 40


@given(
    room=st.floats(1.0, 2000.0),
    lead=st.floats(0.0, 300.0),
    references=st.none() | st.builds(ReferencePlan, st.integers(1, 40), st.floats(0.1, 20.0)),
)
def test_what_is_begun_late_fits_and_one_average_more_would_not(
    room: float, lead: float, references: ReferencePlan | None
) -> None:
    task = ScanTask(
        protocol={"name": "late"}, runs="/nowhere", average_s=20.0, averages=200, passes_per_average=5, lead_s=lead,
        references=references,
    )  # fmt: skip
    request = JobRequest(name="late", kind=JobKind.SCAN, scan=task, deadline=EVENING + room)
    starts = decide([job(1, request)], Circumstances(EVENING, UTC)).starts
    fitting = (starts[0].averages or 200) if starts else 0
    assert fitting == 0 or task.duration_of(fitting) <= room + 1e-5
    assert fitting == 200 or task.duration_of(fitting + 1) > room


class AdjustedQueue:
    """Real scans with adjustments, checks with RF and references, on a virtual clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.site = folder, VirtualClock(), full_site()
        whole = as_site_wants(measurement(AVERAGES), self.site)
        self.whole = plan_night(whole, LIMITS, start=self.clock.now(), zone=UTC)

    def play(self, room: float) -> Job:
        """Let one scan be late: only `room` [s] are left."""
        task = ScanTask(
            protocol={"name": "short"}, runs=str(self.folder / "runs"), averages=AVERAGES,
            **{name: value for name, value in times_of(self.whole).items() if name != "averages"},
        )  # fmt: skip
        store = QueueStore(self.folder, self.clock.now)
        store.add(JobRequest(name="short", kind=JobKind.SCAN, scan=task, deadline=self.clock.now() + room))
        scans = ScanExecutor(self._prepare, self._never, AcquisitionOptions(disk_margin=0))
        options = SchedulerOptions(until_idle=True, poll=0.01)
        workshop = Workshop({Lane.SCANNER: scans}, passes_on_disk)
        Scheduler(store, self.clock, UTC, workshop, options, InlinePool()).run(StopRequest())
        return store.jobs()[0]

    def _prepare(self, late: Job) -> PreparedScan:
        scanner = open_scanner(self.site, clock=self.clock, phantom=phantom(), seed=SEED)
        return PreparedScan(measurement(late.averages or AVERAGES), scanner, setup(self.site, phantom()), self.clock)

    @staticmethod
    def _never(path: Path) -> tuple[object, object]:
        raise AssertionError(f"{path} is not to be resumed")


@pytest.mark.parametrize("averages", [1, 7, 12])
def test_a_late_scan_with_adjustments_is_complete_before_its_deadline(tmp_path: Path, averages: int) -> None:
    """The room is that of so many averages, to the millisecond: their passes alone would leave room for more."""
    queue = AdjustedQueue(tmp_path)
    began, one = queue.clock.now(), queue.whole.passes_duration / AVERAGES
    room = as_site_wants(measurement(averages), queue.site).duration + 1e-3
    assert queue.whole.lead > 2 * one, "what comes before the passes matters here"
    played = queue.play(room)
    assert (played.state, played.averages) == (JobState.DONE, averages)
    commits = open_run(str(played.result)).commits()
    assert len(commits) == 2 * averages
    assert began + room - one < max(commit.finished for commit in commits.values()) <= began + room
