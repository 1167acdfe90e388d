"""Monitors and interlocks through a scripted night on a virtual clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knightshift.core.clock import SystemClock, VirtualClock
from knightshift.core.errors import ConfigError
from knightshift.core.yaml_files import read_config, validate
from knightshift.hardware.faults import FaultScript
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
    asked: list[set[Action]] = []
    seen: list[Reading] = []
    with SiteWatch(config, clock, threaded=False, on_reading=seen.extend) as watch:
        watch.look()
        probe, meter = line_for("sim://eurotherm_bisynch").device, line_for("sim://oxford_ilm").device
        assert isinstance(probe, EmulatedEurotherm)
        assert isinstance(meter, EmulatedIlm)
        for index in range(120):
            meter.channels[1].level = 0.15 if 20 <= index < 60 else 0.62
            asked.append({watch.look().action})
            for second in range(int(PASS)):
                probe.temperature = 45.0 if index == 10 and second < 10 else 23.5
                clock.sleep(1.0)
                asked[-1].add(watch.look().action)
    suspended = [index for index, actions in enumerate(asked) if Action.SUSPEND in actions]
    flagged = [index for index, actions in enumerate(asked) if Action.FLAG_PASS in actions]
    assert flagged[0] == 10
    assert flagged == list(range(10, flagged[-1] + 1))
    assert 60 <= (flagged[-1] - 10) * PASS <= 60 + 2 * PASS
    assert suspended == list(range(suspended[0], suspended[-1] + 1))
    assert 300 <= (suspended[0] + 1 - 20) * PASS <= 300 + 60 + PASS
    assert 600 <= (suspended[-1] + 1 - 60) * PASS <= 600 + 60 + PASS
    assert clock.now() - begun == 120 * PASS  # reading costs a virtual night no time
    assert {reading.name for reading in seen} == set(config.quantities())


EXCURSIONS = {
    "cryostat.helium": ("5 %", 0.05),
    "cryostat.nitrogen": ("12.3 %", 0.123),
    "probe.temperature": ("45 degC", 318.15),
    "chiller.bath": ("310 K", 310.0),
    "cell.temperature": ("-3.5 degC", 269.65),
}


@pytest.fixture
def with_a_cell(config: MonitorsConfig) -> MonitorsConfig:
    """The shipped devices, and a controller over Modbus."""
    cell = {"kind": "modbus_temperature", "link": {"port": "sim://modbus_temperature"}}
    plain = config.model_dump(mode="json")
    return MonitorsConfig.model_validate({**plain, "monitors": plain["monitors"] | {"cell": cell}})


@pytest.mark.parametrize("quantity", EXCURSIONS)
def test_an_emulated_monitor_reads_what_the_script_says_for_as_long_as_it_says(
    with_a_cell: MonitorsConfig, quantity: str
) -> None:
    """A pass of 24 s: struck to its end in pass 3 (first attempt only), for 40 s from pass 5, that is into pass 6."""
    written, value = EXCURSIONS[quantity]
    common = {"kind": "monitor_out_of_band", "monitor": quantity, "value": written}
    faults = [{**common, "passes": [3]}, {**common, "passes": [5], "duration": "40 s"}]
    script: FaultScript = validate(FaultScript, {"faults": faults}, "test", units_required=True)
    monitors = {
        name: one.model_copy(update={"every": 1.0, "stale_after": 7300.0}) for name, one in with_a_cell.monitors.items()
    }
    clock, seen = VirtualClock(), {}
    with SiteWatch(
        with_a_cell.model_copy(update={"monitors": monitors}), clock, threaded=False, faults=script
    ) as watch:
        normal = watch.first_readings(10.0)[quantity].value
        for index, attempt in [(2, 1), (3, 1), (3, 2), (4, 1), (5, 1), (6, 1)]:
            watch.begin_pass(index, 0)
            values = []
            for _ in range(int(PASS)):
                clock.sleep(1.0)
                watch.look()
                values.append(watch.readings()[quantity].value)
            watch.end_pass()
            seen[index, attempt] = values
    assert normal != pytest.approx(value, abs=0.01)
    whole, none = [value] * 24, [normal] * 24
    assert seen[3, 1] == pytest.approx(whole)
    assert seen[5, 1] == pytest.approx(whole)
    assert seen[6, 1] == pytest.approx([value] * 15 + [normal] * 9)
    assert seen[2, 1] == seen[3, 2] == seen[4, 1] == pytest.approx(none)


def test_leaving_the_watch_ends_every_excursion(config: MonitorsConfig) -> None:
    fault = {"kind": "monitor_out_of_band", "monitor": "probe.temperature", "value": 318.15, "passes": [0]}
    script = FaultScript.model_validate({"faults": [fault]})
    with SiteWatch(config, VirtualClock(), threaded=False, faults=script) as watch:
        watch.begin_pass(0, 0)
        device = line_for("sim://eurotherm_bisynch").device
        assert isinstance(device, EmulatedEurotherm)
        assert device.temperature == pytest.approx(45.0)
    assert device.temperature == 23.5


def test_a_reading_that_is_not_emulated_is_told(config: MonitorsConfig) -> None:
    plain = config.model_dump(mode="json")
    plain["monitors"]["probe"]["settings"]["quantities"] = {"temperature": "SP"}
    fault = {"kind": "monitor_out_of_band", "monitor": "probe.temperature", "value": 318.15, "passes": [0]}
    script = FaultScript.model_validate({"faults": [fault]})
    with (
        SiteWatch(MonitorsConfig.model_validate(plain), VirtualClock(), threaded=False, faults=script) as watch,
        pytest.raises(ConfigError, match="no such reading"),
    ):
        watch.begin_pass(0, 0)


def test_threads_bring_readings_without_being_asked(config: MonitorsConfig) -> None:
    clock = SystemClock()
    with SiteWatch(config, clock) as watch:
        deadline = clock.now() + 10
        while any(reading.stale for reading in watch.readings().values()) and clock.now() < deadline:
            clock.sleep(0.01)
        assert watch.look().action is Action.NONE
        assert watch.readings()["chiller.bath"].value == pytest.approx(288.65)
