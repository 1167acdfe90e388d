"""Monitors, interlocks and triggers in YAML."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from knightshift.core.clock import VirtualClock
from knightshift.core.errors import ConfigError, NoReplyFault
from knightshift.core.yaml_files import as_plain, read_config, shipped_names, validate
from knightshift.hardware.monitors import Monitoring, MonitorsConfig
from knightshift.hardware.monitors.emulated import EmulatedIlm, line_for, unplug_all
from knightshift.hardware.monitors.interlocks import Action


@pytest.fixture(autouse=True)
def _no_devices_left() -> Iterator[None]:
    yield
    unplug_all()


def _parse(**changes: Any) -> MonitorsConfig:
    plain: dict[str, Any] = {
        "monitors": {
            "cryostat": {
                "kind": "oxford_ilm",
                "link": {"port": "sim://oxford_ilm"},
                "settings": {"address": 6, "channels": {"helium": 1}},
                "every": "60 s",
                "stale_after": "2 h",
            },
            "probe": {"kind": "eurotherm_bisynch", "link": {"port": "sim://eurotherm_bisynch"}},
        },
        "interlocks": {
            "helium_low": {"kind": "level", "watch": "cryostat.helium", "low": "20 %", "action": "suspend"},
            "probe": {"kind": "temperature", "watch": "probe.temperature", "high": "40 degC", "action": "make_safe"},
        },
        "triggers": {"potentiostat": {"link": {"port": "sim://ttl_trigger"}, "settings": {"read_back": "cts"}}},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = plain
        for parent in parents:
            place = place[parent]
        place[last] = value
    config: MonitorsConfig = validate(MonitorsConfig, plain, "site.yaml", units_required=True)
    return config


def test_from_yaml_to_readings_to_an_action() -> None:
    config, clock = _parse(), VirtualClock()
    poller, panel = config.make_poller(clock), config.make_panel()
    poller.step()
    readings = poller.latest()
    assert {name: reading.unit for name, reading in readings.items()} == config.quantities()
    assert panel.update(readings, clock.now()).action is Action.NONE
    meter = line_for("sim://oxford_ilm").device
    assert isinstance(meter, EmulatedIlm)
    meter.channels[1].level = 0.15  # a scripted night takes the helium out of its band like this
    clock.sleep(60)
    poller.step()
    assert panel.update(poller.latest(), clock.now()).action is Action.SUSPEND
    poller.stop()
    with config.triggers["potentiostat"].make("potentiostat") as trigger:
        assert trigger.pulse(0.01).length == pytest.approx(0.01)


def test_what_is_left_out_of_a_line_is_as_the_device_leaves_the_factory() -> None:
    config = _parse()
    assert config.monitors["cryostat"].link.stop_bits == 2
    assert (config.monitors["probe"].link.data_bits, config.monitors["probe"].link.parity) == (7, "even")
    changed = _parse(monitors__probe__link={"port": "/dev/ttyS0", "parity": "odd"})
    assert (changed.monitors["probe"].link.data_bits, changed.monitors["probe"].link.parity) == (7, "odd")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("interlocks__probe__watch", "probe.pressure", "monitored are cryostat.helium, probe.temperature"),
        ("interlocks__probe__watch", "cryostat.helium", "no such thing"),
        ("monitors__probe__stale_after", "1 s", "stale before the next one"),
        ("monitors__cryostat__stale_after", "10 min", "slow mode would always be stale"),
        ("monitors__probe__link", {"port": "sim://oxford_ilm"}, "share the port"),
        ("monitors__probe__every", 10, "needs a unit"),
        ("monitors__probe__kind", "thermometer", "kind"),
        ("monitors__probe__speed", 3, "unknown key"),
    ],
)
def test_mistakes_are_told_with_their_place(path: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _parse(**{path: value})


def test_faults_of_an_emulated_line_are_part_of_its_url() -> None:
    clock = VirtualClock()
    poller = _parse(monitors__probe__link={"port": "sim://eurotherm_bisynch?seed=1&mute=1"}).make_poller(clock)
    poller.step()
    assert isinstance(poller.faults()["probe"], NoReplyFault)
    assert "cryostat" not in poller.faults()


def test_a_configuration_survives_its_json() -> None:
    config = _parse()
    assert validate(MonitorsConfig, as_plain(config), "json") == config


def test_without_minimalmodbus_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minimalmodbus", None)
    config = _parse(monitors__oven={"kind": "modbus_temperature", "link": {"port": "sim://modbus_temperature"}})
    with pytest.raises(ConfigError, match=r"pip install 'knightshift\[monitors\]'"):
        config.make_poller(VirtualClock())


@pytest.mark.parametrize("name", shipped_names("monitors"))
def test_shipped_monitors_are_valid(name: str) -> None:
    assert read_config(MonitorsConfig, "monitors", name).monitors


def test_a_site_file_may_name_the_monitors_or_hold_them() -> None:
    by_name: MonitorsConfig = validate(Monitoring, "emulated", "site")
    assert by_name == read_config(MonitorsConfig, "monitors", "emulated")
    assert validate(Monitoring, as_plain(by_name), "site") == by_name
    with pytest.raises(ConfigError, match="shipped are emulated, laboratory"):
        validate(Monitoring, "no_such_laboratory", "site")


def test_the_emulated_monitors_can_be_read_as_shipped() -> None:
    config: MonitorsConfig = read_config(MonitorsConfig, "monitors", "emulated")
    clock = VirtualClock()
    poller = config.make_poller(clock)
    poller.step()
    assert not poller.faults()
    assert config.make_panel().update(poller.latest(), clock.now()).action is Action.NONE
