"""In the queue, a scan that reaches its goal is a success, and the hours that it saves go to the next job."""

from __future__ import annotations

import json
import re
from datetime import UTC
from pathlib import Path

import pytest
from fakes import InlinePool, computation
from uniform_cell import EVERYWHERE, UniformCell, acquire_uniform, measurement, passes_for_snr

from knightshift.acquisition import AcquisitionOptions, StopRequest
from knightshift.acquisition.queue import (
    Job,
    JobEvent,
    JobKind,
    JobRequest,
    JobState,
    Lane,
    Outcome,
    QueueStore,
    ScanTask,
    Scheduler,
    SchedulerOptions,
    Workshop,
)
from knightshift.acquisition.queue.scan_executor import PreparedScan, ScanExecutor, passes_on_disk
from knightshift.acquisition.stop_rules import parse_rules
from knightshift.cli.queueing import print_status
from knightshift.core.clock import VirtualClock
from knightshift.core.manifest import RunSetup
from knightshift.core.run_folder import open_run

PASS = 24.0
GOAL = 12.0
NEEDED = passes_for_snr(GOAL, echo=1)
PLANNED = 4 * NEEDED


class Night:
    """Real scans of a uniform cell, on a virtual clock, from a queue."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, VirtualClock()
        self.store = QueueStore(folder, self.clock.now)
        self.reported: list[int] = []

    def add(self, rule: bool = True, n_passes: int = PLANNED, **request: object) -> None:
        rules = parse_rules([f"snr of echo 1 in {EVERYWHERE} >= {GOAL}"]) if rule else None
        task = ScanTask(
            protocol={"name": "uniform"}, runs=str(self.folder / "runs"), average_s=2 * PASS, averages=n_passes // 2,
            stop_rules=rules,
        )  # fmt: skip
        self.store.add(JobRequest(name="uniform", kind=JobKind.SCAN, scan=task, **request))

    def run(self) -> list[Job]:
        def prepare(job: Job) -> PreparedScan:
            task = job.request.scan
            assert task is not None
            planned = measurement(2 * (job.averages or task.averages))
            return PreparedScan(planned, UniformCell(self.clock), RunSetup(clock="virtual", seed=1), self.clock)

        def report(job: Job, _control: object) -> Outcome:
            self.reported.append(job.number)
            return Outcome(True, "/report")

        scans = ScanExecutor(
            prepare, lambda _path: (UniformCell(self.clock), self.clock), AcquisitionOptions(disk_margin=0)
        )
        workshop = Workshop({Lane.SCANNER: scans, Lane.PROCESSING: report}, passes_on_disk)
        options = SchedulerOptions(until_idle=True, poll=0.01)
        scheduler = Scheduler(self.store, self.clock, UTC, workshop, options, InlinePool())
        scheduler.recover()
        scheduler.run(StopRequest())
        return self.store.jobs()


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def test_the_next_job_begins_at_once_and_the_saving_is_said(night: Night) -> None:
    night.add()
    night.add(rule=False, n_passes=4)
    night.store.add(computation("report", 1))
    first, second, report = night.run()
    assert (first.state, second.state, report.state) == (JobState.TRUNCATED, JobState.DONE, JobState.DONE)
    assert abs(first.n_committed - (NEEDED + 1)) <= 2
    ended = open_run(str(first.result)).commits()[first.n_committed - 1].finished
    assert open_run(str(second.result)).commits()[0].started == pytest.approx(ended, abs=1.0)
    assert night.reported == [report.number]
    words = next(entry.reason for entry in reversed(night.store.log(first.number)) if entry.after == "truncated")
    saved = PASS * (PLANNED - first.n_committed)
    assert "its goal was reached" in words
    assert f"saved {int(saved // 60)} min" in words


def test_status_tells_when_the_goal_will_be_reached(
    night: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    rules = parse_rules([f"snr of echo 1 in {EVERYWHERE} >= {GOAL}"])
    run = acquire_uniform(tmp_path, 6, rules).path  # three blocks of a night that goes on
    night.add()
    night.store.apply(1, JobEvent.BEGIN, "", run_name="night")
    night.store.apply(1, JobEvent.START, "", started=0.0)
    night.store.note_progress(1, n_committed=6, n_passes=PLANNED, result=str(run))
    print_status(night.folder, as_json=False)
    assert re.search(rf"  SNR \d\.\d\d of {GOAL:g}: not before the end at 19:02", capsys.readouterr().out)
    print_status(night.folder, as_json=True)
    (job,) = json.loads(capsys.readouterr().out)["in_hand"]
    assert job["rules"][0]["target"] == GOAL
