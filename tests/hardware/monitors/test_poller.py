"""The poller: always an answer, never in the way."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping

import pytest

from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.errors import NoReplyFault, StorageError
from knightshift.hardware.monitors import MonitorPoller, PolledMonitor, Reading, Severity


class FakeMonitor:
    """A monitor whose reading is what a function says."""

    def __init__(self, name: str, clock: VirtualClock | SystemClock, value: Callable[[], float]) -> None:
        self.name = name
        self.clock = clock
        self.value = value
        self.reads = 0
        self.closed = False

    @property
    def quantities(self) -> Mapping[str, str]:
        return {f"{self.name}.t": "K"}

    def read(self) -> tuple[Reading, ...]:
        self.reads += 1
        now = self.clock.now()
        return (Reading(f"{self.name}.t", self.value(), "K", measured=now, read=now),)

    def close(self) -> None:
        self.closed = True


def _broken() -> float:
    raise NoReplyFault("nothing came", device="broken")


def test_what_was_never_read_is_there_at_once_as_no_value() -> None:
    clock = VirtualClock()
    poller = MonitorPoller([PolledMonitor(FakeMonitor("a", clock, lambda: 300.0), 10, 60)], clock)
    reading = poller.latest()["a.t"]
    assert math.isnan(reading.value)
    assert reading.severity is Severity.INVALID
    assert reading.stale


def test_each_monitor_is_read_when_it_is_due_and_not_more_often() -> None:
    clock = VirtualClock()
    often, seldom = FakeMonitor("often", clock, lambda: 1.0), FakeMonitor("seldom", clock, lambda: 2.0)
    poller = MonitorPoller([PolledMonitor(often, 10, 60), PolledMonitor(seldom, 60, 120)], clock)
    for _ in range(600):
        poller.step()
        clock.sleep(1.0)
    assert (often.reads, seldom.reads) == (60, 10)


def test_a_reading_goes_stale_when_its_monitor_fails_and_fresh_when_it_heals() -> None:
    clock = VirtualClock()
    monitor = FakeMonitor("a", clock, lambda: 300.0)
    poller = MonitorPoller([PolledMonitor(monitor, 10, 60)], clock)
    poller.step()
    monitor.value = _broken
    for _ in range(6):
        clock.sleep(10)
        poller.step()
    assert not poller.latest()["a.t"].stale  # exactly 60 s old
    assert poller.latest()["a.t"].value == 300.0
    assert str(poller.faults()["a"]) == "broken: nothing came"
    clock.sleep(1)
    assert poller.latest()["a.t"].stale
    monitor.value = lambda: 301.0
    clock.sleep(10)
    poller.step()
    assert not poller.latest()["a.t"].stale
    assert poller.latest()["a.t"].value == 301.0
    assert not poller.faults()


def test_every_new_reading_is_handed_on() -> None:
    clock, seen = VirtualClock(), []
    poller = MonitorPoller([PolledMonitor(FakeMonitor("a", clock, lambda: 5.0), 10, 60)], clock, seen.append)
    poller.step()
    assert [reading.value for readings in seen for reading in readings] == [5.0]


def test_a_device_that_hangs_holds_up_neither_the_others_nor_us() -> None:
    clock, release = SystemClock(), threading.Event()

    def hang() -> float:
        release.wait(20)
        return 1.0

    quick = FakeMonitor("quick", clock, lambda: 2.0)
    poller = MonitorPoller(
        [PolledMonitor(FakeMonitor("hangs", clock, hang), 0.01, 1), PolledMonitor(quick, 0.01, 1)], clock
    )
    with poller:
        deadline = time.monotonic() + 10
        while quick.reads < 5 and time.monotonic() < deadline:
            time.sleep(0.005)
        begun = time.monotonic()
        readings = poller.latest()
        assert time.monotonic() - begun < 0.1
        assert readings["quick.t"].value == 2.0
        assert readings["hangs.t"].severity is Severity.INVALID
        release.set()
    assert quick.closed


def test_what_goes_wrong_with_a_reading_in_a_thread_is_told_by_the_next_look() -> None:
    clock = SystemClock()

    def full(_: tuple[Reading, ...]) -> None:
        raise StorageError("no space left for the journal")

    with MonitorPoller([PolledMonitor(FakeMonitor("a", clock, lambda: 1.0), 10, 60)], clock, full) as poller:
        poller._threads[0].join(10)
        with pytest.raises(StorageError, match="no space left"):
            poller.latest()


def test_stopping_is_quick_and_closes_every_line() -> None:
    clock = SystemClock()
    monitors = [FakeMonitor(name, clock, lambda: 1.0) for name in "abc"]
    poller = MonitorPoller([PolledMonitor(monitor, 3600, 3600) for monitor in monitors], clock)
    poller.start()
    begun = time.monotonic()
    poller.stop()
    assert time.monotonic() - begun < 2
    assert all(monitor.closed for monitor in monitors)


def test_a_reading_has_a_value_or_says_that_it_has_none() -> None:
    with pytest.raises(ValueError, match="does not go with severity"):
        Reading("a", math.nan, "K", 0.0, 0.0)
    with pytest.raises(ValueError, match="does not go with severity"):
        Reading("a", 1.0, "K", 0.0, 0.0, severity=Severity.INVALID)
