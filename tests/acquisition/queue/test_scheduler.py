"""Whole nights of the scheduler on a virtual clock, with executors that only take time."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from fakes import EVENING, HOUR, FakeComputations, FakeScans, InlinePool, computation, scan, workshop

from knightshift.acquisition import StopRequest
from knightshift.acquisition.local_time import NightWindow
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
    StopCause,
    Workshop,
)
from knightshift.acquisition.queue.clock_watch import JUMP, SETTLE, ClockWatch
from knightshift.acquisition.queue.store import STOPPED
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import DamagedDataError, InterlockFault, ScannerFault


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


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def test_scan_and_all_that_follows_are_done_in_order(night: Night) -> None:
    scan_job, fit, report = night.store.add(scan(averages=3), computation("fit", -1), computation("report", -1, -2))
    night.run()
    assert night.states() == ["done"] * 3
    assert night.computations.done == [fit.number, report.number]
    assert night.hours() == 3
    assert [entry.after for entry in night.store.log(scan_job.number) if entry.after] == [
        "queued", "pre-flight", "running", "done",
    ]  # fmt: skip


def test_two_nights_fit_into_their_windows(night: Night) -> None:
    window = NightWindow.parse("19:00-08:30")
    night.store.add(scan(averages=11, window=window), scan(averages=11, window=window, when_late="skip"))
    night.run()
    first, second = night.store.jobs()
    assert (first.state, second.state) == (JobState.DONE, JobState.DONE)
    assert second.started == EVENING + 24 * HOUR


def test_hours_saved_go_to_the_next_job(night: Night) -> None:
    """A scan that reaches its goal early is a success; the next one begins at once."""

    def goal(job, control) -> None:
        if job.number == 1 and night.scans.committed[1] == 4:
            control.ask(StopCause.RULE)

    night.scans.on_pass = goal
    night.store.add(scan(averages=11), scan(averages=2), computation("report", 1))
    night.run()
    first, second, report = night.store.jobs()
    assert (first.state, first.n_committed) == (JobState.TRUNCATED, 4)
    assert second.started == EVENING + 4 * HOUR
    assert report.state is JobState.DONE


def test_failed_job_does_not_stop_the_others_but_those_that_need_it(night: Night) -> None:
    night.scans.faults[1] = [ScannerFault("RF trip")]
    night.store.add(scan(), scan(averages=1), computation("fit", 1), computation("report", 3))
    night.run()
    assert night.states() == ["failed", "done", "cancelled", "cancelled"]
    assert "RF trip" in night.store.job(1).reason
    assert night.computations.done == []


def test_failure_that_stops_the_queue_holds_it_until_a_person_releases_it(night: Night) -> None:
    night.scans.faults[1] = [ScannerFault("RF trip")]
    night.store.add(scan(on_failure=FailurePolicy.parse("stop")), scan(averages=1))
    night.run()
    assert night.states() == ["failed", "waiting"]
    night.store.set_note(STOPPED, "")
    night.run()
    assert night.states() == ["failed", "done"]


def test_retried_job_goes_on_with_its_run_after_a_pause(night: Night) -> None:
    night.scans.faults[1] = [ScannerFault("link lost"), ScannerFault("link lost"), None]
    night.store.add(scan(averages=5, on_failure=FailurePolicy.parse("retry 2")))
    night.run()
    (job,) = night.store.jobs()
    assert (job.state, job.n_committed, job.failures) == (JobState.DONE, 5, 2)
    assert night.clock.now() == EVENING + 5 * HOUR + 60 + 120


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


def test_service_that_is_stopped_goes_on_with_the_same_run(night: Night) -> None:
    stop = StopRequest()

    def end_of_shift(_job, control) -> None:
        if night.scans.committed[1] == 3 and not stop.after_pass:
            stop.request("SIGTERM")
            control.ask(StopCause.SERVICE)

    night.scans.on_pass = end_of_shift
    night.store.add(scan(averages=8))
    night.run(stop)
    assert night.states() == ["suspended"]
    name = night.store.job(1).run_name
    night.run()
    (job,) = night.store.jobs()
    assert (job.state, job.n_committed, job.run_name) == (JobState.DONE, 8, name)
    assert night.clock.now() == EVENING + 8 * HOUR


@pytest.mark.parametrize(("wish", "state"), [("cancel", "cancelled"), ("hold", "suspended")])
def test_running_job_is_cancelled_or_held_after_its_pass(night: Night, wish: str, state: str) -> None:
    def person(job, control) -> None:
        if night.scans.committed[1] == 2:
            getattr(night.store, wish)(job.number)
            control.ask(StopCause.CANCELLED if wish == "cancel" else StopCause.HELD)

    night.scans.on_pass = person
    night.store.add(scan(averages=8))
    night.run()
    (job,) = night.store.jobs()
    assert (str(job.state), job.n_committed) == (state, 2)
    if wish == "hold":
        night.scans.on_pass = lambda _job, _control: None
        night.store.release(1)
        night.run()
        assert (night.store.job(1).state, night.scans.committed[1]) == (JobState.DONE, 8)


class PowerCut(BaseException):
    """Not one of our errors: the process is gone."""


def test_power_cut_is_recovered_and_no_pass_played_twice(night: Night) -> None:
    night.store.add(scan(averages=6), computation("fit", -1))
    cuts = iter([1, 3, 4])
    due = next(cuts)

    def cut(_job, _control) -> None:
        nonlocal due
        if night.scans.committed[1] == due:
            due = next(cuts, 99)
            raise PowerCut

    night.scans.on_pass = cut
    for _ in range(3):
        with pytest.raises(PowerCut):
            night.run()
        assert night.states() == ["pre-flight", "waiting"], "it died before it could be written down"
    night.run()
    assert night.states() == ["done", "done"]
    assert night.scans.committed[1] == 6
    assert night.hours() == 6
    assert night.scans.starts == [1] * 4


def test_job_that_always_kills_the_service_is_held_and_the_others_run(night: Night) -> None:
    def kill(job, _control) -> None:
        night.scans.committed[job.number] = 0
        if job.number == 1:
            raise PowerCut

    night.scans.on_pass = kill
    night.store.add(scan())
    for _ in range(3):
        with pytest.raises(PowerCut):
            night.run()
    night.scans.on_pass = lambda _job, _control: None
    night.store.add(scan(averages=1))
    night.run()
    first, second = night.store.jobs()
    assert (first.state, first.held, second.state) == (JobState.SUSPENDED, True, JobState.DONE)
    assert "3 times in a row" in first.reason


@pytest.mark.parametrize(("policy", "committed", "state"), [("never", 3, "truncated"), ("ask", 3, "suspended")])
def test_interrupted_run_that_is_not_to_go_on_by_itself(night: Night, policy, committed, state) -> None:
    def cut(_job, _control) -> None:
        if night.scans.committed[1] == committed:
            raise PowerCut

    night.scans.on_pass = cut
    night.store.add(scan(on_interruption=policy))
    with pytest.raises(PowerCut):
        night.run()
    night.scans.on_pass = lambda _job, _control: None
    night.run()
    assert night.states() == [state]
    if policy == "ask":
        night.store.release(1)
        night.run()
        assert night.states() == ["done"]


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


@pytest.mark.parametrize("jump", [-HOUR, HOUR, -9 * HOUR, -400 * 24 * HOUR, 9 * HOUR, 400 * 24 * HOUR])
def test_clock_that_jumps_loses_no_job_and_runs_none_twice(tmp_path: Path, jump: float) -> None:
    clock = WallClock()
    store = QueueStore(tmp_path, clock.now)
    scans = FakeScans(clock)
    scheduler = Scheduler(store, clock, UTC, workshop(scans), SchedulerOptions(poll=0.0), InlinePool())
    scheduler._watch = ClockWatch(clock, clock.steady)
    window = NightWindow.parse("19:00-08:30")
    store.add(
        scan(averages=2),
        scan(averages=3, not_before=EVENING + 3 * HOUR, deadline=EVENING + 9 * HOUR, when_late="skip"),
        scan(averages=2, window=window),
    )
    scheduler.step()
    assert store.job(1).state is JobState.DONE
    clock.error = jump
    for _ in range(5):
        scheduler.step()
        clock.sleep(60)
    assert [str(job.state) for job in store.jobs()].count("cancelled") == 0, "given up because the clock is wrong"
    clock.error = 0.0
    for _ in range(200):
        scheduler.step()
        clock.sleep(600)
    assert [str(job.state) for job in store.jobs()] == ["done"] * 3
    assert sorted(scans.starts) == [1, 2, 3]
    assert any("jumped by" in entry.reason for entry in store.log())


@pytest.mark.parametrize("n_jobs", [50, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_many_jobs_power_cuts_and_jumps_of_an_hour_and_each_pass_is_played_once(tmp_path: Path, n_jobs: int) -> None:
    """The power goes, or the clock jumps by an hour, at one pass in ten each."""
    chance, clock, played = random.Random(1), WallClock(), Counter()
    store = QueueStore(tmp_path, clock.now)
    scans = FakeScans(clock)

    def disturb(job, _control) -> None:
        played[job.number] += 1
        if chance.random() < 0.1:
            clock.error = chance.choice((-HOUR, 0.0, HOUR))
        if chance.random() < 0.1:
            raise PowerCut

    scans.on_pass = disturb
    later = EVENING + 30 * 24 * HOUR
    store.add(*[scan(averages=2, average_s=60.0, priority=chance.randrange(3), deadline=later) for _ in range(n_jobs)])
    lives = 0
    while any(job.state is not JobState.DONE for job in store.jobs()):
        scheduler = Scheduler(store, clock, UTC, workshop(scans), SchedulerOptions(poll=0.0), InlinePool())
        scheduler._watch = ClockWatch(clock, clock.steady)
        scheduler.recover()
        lives += 1
        with contextlib.suppress(PowerCut):
            while scheduler.step().starts:
                pass
    assert lives > n_jobs // 8
    assert played == dict.fromkeys(range(1, n_jobs + 1), 2), "a pass was lost, or played twice"
    ends = Counter(entry.number for entry in store.log() if entry.event == "complete")
    assert ends == dict.fromkeys(range(1, n_jobs + 1), 1)


def test_clock_behind_the_history_is_noticed_at_the_start(tmp_path: Path) -> None:
    clock = WallClock()
    store = QueueStore(tmp_path, clock.now)
    store.add(scan(deadline=EVENING + 1.0))
    clock.error = -1000 * HOUR
    watch = ClockWatch(clock, clock.steady)
    assert watch.check_history(store.newest_time())
    assert not watch.settled
    clock.sleep(SETTLE)
    assert watch.settled
    clock.error += JUMP / 2
    assert watch.jump() == 0.0


class KeptScan:
    """An executor whose run an interlock suspends after four passes, until told to go on."""

    def __init__(self) -> None:
        self.clear, self.played = threading.Event(), threading.Event()

    def __call__(self, job, control):
        control.news.append(News(NewsKind.BEGAN, ""))
        control.progress = Progress(4, 10, "/runs/kept")
        control.news.append(News(NewsKind.SUSPENDED, "magnet room: 31 degC"))
        while not self.clear.is_set():
            if control.stop.after_pass:
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
