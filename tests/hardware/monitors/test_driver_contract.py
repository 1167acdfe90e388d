"""What every monitor promises, on every kind of line."""

from __future__ import annotations

import time
from typing import Any

import pytest

from knightshift.core.clock import SystemClock
from knightshift.core.errors import GarbledReplyFault, LinkFault, NoReplyFault
from knightshift.hardware.monitors import Severity
from knightshift.hardware.monitors.emulated import FaultKind


def _value(bench: Any) -> float:
    (reading,) = bench.monitor.read()
    return float(reading.value)


def test_a_reading_carries_value_unit_times_and_severity(bench: Any) -> None:
    low, high = bench.device.span
    bench.set(0.3 * low + 0.7 * high)
    before = SystemClock().now()
    (reading,) = bench.monitor.read()
    after = SystemClock().now()
    assert reading.value == pytest.approx(0.3 * low + 0.7 * high, abs=bench.device.agreement)
    assert {reading.name: reading.unit} == dict(bench.monitor.quantities)
    assert reading.measured <= reading.read
    assert before <= reading.read <= after
    assert reading.severity is Severity.OK
    assert not reading.stale


def test_readings_follow_the_device(bench: Any) -> None:
    low, high = bench.device.span
    for step in (0.2, 0.9, 0.5):
        bench.set(low + step * (high - low))
        assert _value(bench) == pytest.approx(low + step * (high - low), abs=bench.device.agreement)


_SINGLE_FAULTS = [kind for kind in FaultKind if kind is not FaultKind.LAG]


@pytest.mark.parametrize("kind", _SINGLE_FAULTS)
def test_one_fault_is_survived_by_repetition(sim_bench: Any, kind: FaultKind) -> None:
    _survives(sim_bench(), kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", _SINGLE_FAULTS)
def test_one_fault_in_real_time_is_survived_by_repetition(bench: Any, kind: FaultKind) -> None:
    _survives(bench, kind)


def _survives(bench: Any, kind: FaultKind) -> None:
    low, high = bench.device.span
    bench.set(low + 0.4 * (high - low))
    assert _value(bench) == pytest.approx(low + 0.4 * (high - low), abs=bench.device.agreement)
    bench.set(low + 0.8 * (high - low))
    bench.faults.add(kind, after=1)
    try:
        value = _value(bench)
    except LinkFault:
        assert kind is FaultKind.UNPLUG  # the outage may last longer than the repetitions
        time.sleep(0.4)
        value = _value(bench)
    assert value == pytest.approx(low + 0.8 * (high - low), abs=bench.device.agreement)


def test_a_device_that_lags_one_answer_behind_never_gives_a_value(bench: Any) -> None:
    monitor = bench.monitor_with(retries=0)
    monitor.read()
    bench.faults.add(FaultKind.LAG)
    with pytest.raises(LinkFault):
        monitor.read()


def test_a_late_answer_to_the_last_question_is_never_the_next_value(bench: Any) -> None:
    """The last answer of a reading is held back, the reading fails, the value changes, the old answer comes."""
    low, high = bench.device.span
    monitor = bench.monitor_with(retries=0)
    bench.set(low + 0.1 * (high - low))
    bench.faults.add(FaultKind.LATE, after=bench.device.n_answers - 1)
    with pytest.raises(NoReplyFault):
        monitor.read()
    bench.set(low + 0.9 * (high - low))
    with pytest.raises(LinkFault):  # the old answer comes first, in front of the new one
        monitor.read()
    (reading,) = monitor.read()
    assert reading.value == pytest.approx(low + 0.9 * (high - low), abs=bench.device.agreement)


def test_a_mute_device_is_a_typed_fault_in_bounded_time(bench: Any) -> None:
    for after in range(2):
        bench.faults.add(FaultKind.MUTE, after=after)
    bench.link.open()
    begun = bench.link.monotonic()
    with pytest.raises(NoReplyFault, match=bench.device.name) as caught:
        bench.monitor_with(retries=1).read()
    s = bench.link.settings
    assert bench.link.monotonic() - begun < 2 * (s.timeout + s.latest_reply) + 1.0
    assert caught.value.device == bench.device.name
    assert caught.value.transient
    assert _value(bench) > 0  # and it goes on afterwards


def test_two_answers_that_disagree_are_a_fault(sim_bench: Any) -> None:
    """A flipped bit that leaves a well-formed number."""
    bench = sim_bench(retries=0)
    low, high = bench.device.span
    feed, count = bench.emulated.feed, 0

    def changing_feed(data: bytes) -> list[bytes]:
        nonlocal count
        count += 1
        bench.set(low + 0.1 * count * (high - low))
        answers: list[bytes] = feed(data)
        return answers

    bench.emulated.feed = changing_feed
    with pytest.raises(GarbledReplyFault, match="disagree"):
        bench.monitor.read()


def test_a_pulled_cable_heals_without_a_new_driver(bench: Any) -> None:
    bench.monitor.read()
    bench.line.unplug(bench.link.monotonic(), outage=0.2)
    time.sleep(0.02)
    with pytest.raises(LinkFault, match=bench.device.name):
        bench.monitor_with(retries=0).read()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert _value(bench) > 0
            break
        except LinkFault:
            time.sleep(0.02)
    else:
        pytest.fail("it did not heal in 5 s")


def test_closing_is_idempotent_and_reading_opens_again(bench: Any) -> None:
    bench.monitor.close()
    bench.monitor.close()
    assert _value(bench) > 0
    bench.monitor.close()
    assert not bench.link.is_open
    assert _value(bench) > 0
