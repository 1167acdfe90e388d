"""A scan in hand: its pre-flight, the interlocks that suspend or stop it, and what the queue makes of that."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from fakes import (
    EVENING,
    HOUR,
    InlinePool,
    Night,
    WallClock,
    computation,
    scan,
    workshop,
)

from knightshift.acquisition import StopRequest
from knightshift.acquisition.queue import (
    FailurePolicy,
    Job,
    JobEvent,
    JobState,
    Lane,
    News,
    NewsKind,
    Outcome,
    Progress,
    QueueStore,
    Scheduler,
    SchedulerOptions,
    Workshop,
)
from knightshift.acquisition.queue.clock_watch import ClockWatch
from knightshift.acquisition.queue.store import STOPPED
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import DamagedDataError, InterlockFault


def test_job_is_in_pre_flight_until_its_checks_are_made_and_they_are_told(tmp_path: Path) -> None:
    clock = VirtualClock(EVENING)
    store = QueueStore(tmp_path, clock.now)
    may_check, may_end = threading.Event(), threading.Event()

    def run(_job, control):
        assert may_check.wait(10)
        control.news.append(News(NewsKind.CHECKED, "disk: 80 GB free; helium: 90 %"))
        control.news.append(News(NewsKind.BEGAN, ""))
        assert may_end.wait(10)
        return Outcome(True, "/runs/1", 10, 10)

    scheduler = Scheduler(store, clock, UTC, Workshop(dict.fromkeys(Lane, run)), SchedulerOptions(poll=0.01))
    store.add(scan())
    for event, before, after in ((may_check, "pre-flight", "running"), (may_end, "running", "done")):
        scheduler.step()
        assert store.job(1).state == before
        event.set()
        while store.job(1).state == before:
            scheduler.step()
        assert store.job(1).state == after
    assert [entry.reason for entry in store.log(1) if entry.event == "checked"] == ["disk: 80 GB free; helium: 90 %"]
    assert store.job(1).started == EVENING


def test_job_whose_pre_flight_refuses_has_never_run(night: Night) -> None:
    def refuse(_job, _control):
        raise InterlockFault("pre-flight failed, nothing was played: helium 41 %")

    night.scans = refuse
    night.store.add(scan())
    night.run()
    assert [entry.after for entry in night.store.log(1) if entry.after] == ["queued", "pre-flight", "failed"]
    assert "helium 41 %" in night.store.job(1).reason


class KeptScan:
    """An executor whose run an interlock suspends after four passes, until told to go on."""

    def __init__(self) -> None:
        self.clear, self.played = threading.Event(), threading.Event()

    def __call__(self, job, control):
        control.news.append(News(NewsKind.BEGAN, ""))
        control.progress = Progress(4, 10, "/runs/kept")
        control.news.append(News(NewsKind.SUSPENDED, "magnet room: 31 degC"))
        patience = time.monotonic() + 30.0  # a test that fails must not keep its process for ever
        while not self.clear.is_set():
            if control.stop.after_pass or time.monotonic() > patience:
                return Outcome(False, "/runs/kept", 4, 10)
            time.sleep(1e-3)
        control.news.append(News(NewsKind.CONTINUED, "clear again after 600 s"))
        assert self.played.wait(10)
        return Outcome(True, "/runs/kept", 10, 10)


def kept_scan(tmp_path: Path, **request) -> tuple[KeptScan, WallClock, QueueStore, Scheduler]:
    """A scan that an interlock keeps, as far as that."""
    clock, executor = WallClock(), KeptScan()
    store = QueueStore(tmp_path, clock.now)
    scheduler = Scheduler(store, clock, UTC, Workshop(dict.fromkeys(Lane, executor)), SchedulerOptions(poll=0.01))
    scheduler._watch = ClockWatch(clock, clock.steady)
    store.add(scan(averages=10, **request), scan())
    while store.job(1).state is not JobState.SUSPENDED:
        scheduler.step()
    return executor, clock, store, scheduler


def turn_while(scheduler: Scheduler, store: QueueStore, state: JobState) -> Job:
    while store.job(1).state is state:
        scheduler.step()
    return store.job(1)


def test_scan_that_an_interlock_keeps_is_suspended_with_the_words_and_goes_on(tmp_path: Path) -> None:
    executor, _, store, scheduler = kept_scan(tmp_path)
    job = store.job(1)
    assert (job.paused, job.reason, job.n_committed) == (True, "magnet room: 31 degC", 4)
    for _ in range(5):
        scheduler.step()
    assert store.job(1).state is JobState.SUSPENDED, "it has not been begun a second time"
    assert not store.job(2).in_hand, "the scanner is not free"
    executor.clear.set()
    assert turn_while(scheduler, store, JobState.SUSPENDED).state is JobState.RUNNING
    executor.played.set()
    assert turn_while(scheduler, store, JobState.RUNNING).state is JobState.DONE
    assert [entry.after for entry in store.log(1) if entry.after] == [
        "queued", "pre-flight", "running", "suspended", "running", "done",
    ]  # fmt: skip


def test_scan_that_an_interlock_keeps_ends_at_its_deadline(tmp_path: Path) -> None:
    """It gets no progress events any more, so the scheduler watches the time for it."""
    _, clock, store, scheduler = kept_scan(tmp_path, deadline=EVENING + 10 * HOUR)
    clock.sleep(10 * HOUR)
    job = turn_while(scheduler, store, JobState.SUSPENDED)
    assert (job.state, job.n_committed, job.reason) == (JobState.TRUNCATED, 4, "its time was over")


@pytest.mark.parametrize(("wish", "state"), [("cancel", JobState.CANCELLED), ("hold", JobState.SUSPENDED)])
def test_scan_that_an_interlock_keeps_heeds_a_person(tmp_path: Path, wish: str, state: JobState) -> None:
    _, _, store, scheduler = kept_scan(tmp_path)
    getattr(store, wish)(1)
    while store.job(1).in_hand:
        scheduler.step()
    job = store.job(1)
    assert (job.state, job.paused, job.n_committed, job.held) == (state, False, 4, wish == "hold")


def test_scheduler_that_dies_while_an_interlock_keeps_a_scan_goes_on_with_it(night: Night) -> None:
    night.store.add(scan(averages=6))
    for event in (JobEvent.BEGIN, JobEvent.START):
        night.store.apply(1, event, started=EVENING, run_name="kept")
    night.store.apply(1, JobEvent.SUSPEND, "magnet room", paused=1)
    night.scans.committed[1] = 2
    night.run()
    assert (night.states(), night.scans.starts) == (["done"], [1])
    assert any("died while it was suspended" in entry.reason for entry in night.store.log(1))


def test_interrupted_scan_whose_journal_is_damaged_fails_and_the_others_run(night: Night) -> None:
    night.store.add(scan(), scan(averages=1))
    for event in (JobEvent.BEGIN, JobEvent.START):
        night.store.apply(1, event, started=EVENING, run_name="damaged")
    shop = workshop(night.scans)

    def damaged(job: Job) -> int:
        raise DamagedDataError("journal.jsonl", "line 7", "checksum", "run `knightshift verify`")

    scheduler = Scheduler(
        night.store, night.clock, UTC, replace(shop, passes_on_disk=damaged),
        SchedulerOptions(until_idle=True, poll=0.01), InlinePool(),
    )  # fmt: skip
    scheduler.recover()
    scheduler.run(StopRequest())
    assert night.states() == ["failed", "done"]
    assert "line 7" in night.store.job(1).reason


@pytest.mark.parametrize(
    ("policy", "states", "note"),
    [
        ("continue", ["truncated", "done", "done"], ""),
        ("stop", ["truncated", "waiting", "waiting"], "job 1 is truncated"),
        ("retry 1", ["done", "done", "done"], ""),
    ],
)
def test_scan_that_an_interlock_stops_follows_its_policy(
    night: Night, policy: str, states: list[str], note: str
) -> None:
    """What there is counts, but nobody is told that a goal was reached."""
    scans, stops = night.scans, ["interlock magnet: helium 38 %"]

    def executor(job, control):
        if job.number == 1 and stops:
            return Outcome(False, "/runs/1", 3, 10, "3 of 10 passes", stops.pop(), interlocked=True)
        return scans(job, control)

    night.scans = executor
    night.store.add(scan(on_failure=FailurePolicy.parse(policy)), scan(averages=1), computation("fit", 1))
    night.run()
    assert night.states() == states
    (told,) = [entry for entry in night.store.log(1) if "helium" in entry.reason]
    assert "stopped by interlock magnet: helium 38 %; 3 of 10 passes" in told.reason
    assert told.event == ("retry" if policy == "retry 1" else "truncate")
    assert note in night.store.note(STOPPED)
