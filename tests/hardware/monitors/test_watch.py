"""Monitors and interlocks through a scripted night on a virtual clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.yaml_files import read_config
from knightshift.hardware.monitors import MonitorsConfig, Reading, SiteWatch
from knightshift.hardware.monitors.emulated import EmulatedEurotherm, EmulatedIlm, line_for, unplug_all
from knightshift.hardware.monitors.interlocks import Action

PASS = 24.0


@pytest.fixture
def config() -> Iterator[MonitorsConfig]:
    read: MonitorsConfig = read_config(MonitorsConfig, "monitors", "emulated")
    yield read
    unplug_all()


def test_a_night_with_an_excursion_and_low_helium(config: MonitorsConfig) -> None:
    """Pass 10 sees the probe at 45 degC for 10 s; from pass 20 to 59 the helium is low.

    The probe flags at once and clears after a minute back in band. Helium is read every minute, has five minutes of
    grace and needs ten minutes to clear.
    """
    clock = VirtualClock()
    begun = clock.now()
    verdicts: list[Action] = []
    seen: list[Reading] = []
    with SiteWatch(config, clock, threaded=False, on_reading=seen.extend) as watch:
        watch.look()
        probe, meter = line_for("sim://eurotherm_bisynch").device, line_for("sim://oxford_ilm").device
        assert isinstance(probe, EmulatedEurotherm)
        assert isinstance(meter, EmulatedIlm)
        for index in range(120):
            meter.channels[1].level = 0.15 if 20 <= index < 60 else 0.62
            watch.begin_pass()
            for second in range(int(PASS)):
                probe.temperature = 45.0 if index == 10 and second < 10 else 23.5
                clock.sleep(1.0)
                watch.look()
            verdicts.append(watch.end_pass().action)
    flagged = [index for index, action in enumerate(verdicts) if action is Action.FLAG_PASS]
    suspended = [index for index, action in enumerate(verdicts) if action is Action.SUSPEND]
    assert flagged[0] == 10
    assert flagged == list(range(10, flagged[-1] + 1))
    assert 60 <= (flagged[-1] - 10) * PASS <= 60 + 2 * PASS
    assert suspended == list(range(suspended[0], suspended[-1] + 1))
    assert 300 <= (suspended[0] + 1 - 20) * PASS <= 300 + 60 + PASS
    assert 600 <= (suspended[-1] + 1 - 60) * PASS <= 600 + 60 + PASS
    assert clock.now() - begun == 120 * PASS  # reading costs a virtual night no time
    assert {reading.name for reading in seen} == set(config.quantities())


def test_a_verdict_gives_each_reason_once(config: MonitorsConfig) -> None:
    clock = VirtualClock()
    with SiteWatch(config, clock, threaded=False) as watch:
        watch.look()
        device = line_for("sim://eurotherm_bisynch").device
        assert isinstance(device, EmulatedEurotherm)
        device.temperature = 45.0
        watch.begin_pass()
        for _ in range(30):
            clock.sleep(1.0)
            watch.look()
        verdict = watch.end_pass()
    assert verdict.action is Action.FLAG_PASS
    assert verdict.reasons == ("probe_temperature: probe.temperature 318.15 K is above 313.15 K",)


def test_threads_bring_readings_without_being_asked(config: MonitorsConfig) -> None:
    clock = SystemClock()
    with SiteWatch(config, clock) as watch:
        deadline = clock.now() + 10
        while any(reading.stale for reading in watch.readings().values()) and clock.now() < deadline:
            clock.sleep(0.01)
        assert watch.look().action is Action.NONE
        assert watch.readings()["chiller.bath"].value == pytest.approx(288.65)
