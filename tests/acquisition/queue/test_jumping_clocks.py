"""Clocks that jump, with and without power cuts: no job is lost, none runs twice."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from datetime import UTC
from pathlib import Path

import pytest
from fakes import (
    EVENING,
    HOUR,
    FakeScans,
    InlinePool,
    PowerCut,
    WallClock,
    scan,
    workshop,
)

from knightshift.acquisition.local_time import NightWindow
from knightshift.acquisition.queue import (
    JobState,
    QueueStore,
    Scheduler,
    SchedulerOptions,
)
from knightshift.acquisition.queue.clock_watch import JUMP, SETTLE, ClockWatch


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
