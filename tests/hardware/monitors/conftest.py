"""One bench for each device and each kind of line: the same tests run on all of them."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from knightshift.core.clock import SystemClock
from knightshift.hardware.monitors import LinkSettings, SerialMonitor, Transport
from knightshift.hardware.monitors.emulated import (
    EmulatedEurotherm,
    EmulatedIlm,
    EmulatedJulabo,
    EmulatedLine,
    EmulatedModbus,
    PtyServer,
    ScriptedFaults,
    plug_in,
    unplug_all,
)
from knightshift.hardware.monitors.eurotherm_bisynch import EurothermBisynch, EurothermSettings
from knightshift.hardware.monitors.julabo_chiller import ChillerSettings, JulaboChiller
from knightshift.hardware.monitors.modbus_temperature import ModbusRegister, ModbusSettings, ModbusTemperature
from knightshift.hardware.monitors.oxford_ilm import IlmSettings, OxfordIlm


@dataclass(frozen=True)
class Device:
    """How to emulate one kind of device, set its value, and read it."""

    name: str
    emulate: Callable[[], Any]
    make: Callable[[Transport, int], SerialMonitor[Any, Any]]
    set: Callable[[Any, float], None]
    span: tuple[float, float]
    agreement: float
    n_answers: int
    """Answers that one reading takes."""


def _set_level(device: EmulatedIlm, level: float) -> None:
    device.channels[1].level = level


def _set_bath(device: EmulatedJulabo, kelvin: float) -> None:
    device.bath = kelvin - 273.15


def _set_temperature(device: EmulatedEurotherm, kelvin: float) -> None:
    device.temperature = kelvin - 273.15


def _set_register(device: EmulatedModbus, kelvin: float) -> None:
    device.registers[1] = round((kelvin - 273.15) * 10)


_CLOCK = SystemClock()
DEVICES = {
    device.name: device
    for device in (
        Device(
            "oxford_ilm",
            EmulatedIlm,
            lambda link, retries: OxfordIlm(link, _CLOCK, IlmSettings(address=6, channels={"value": 1}), retries),
            _set_level,
            (0.0, 1.0),
            0.002,
            4,
        ),
        Device(
            "eurotherm_bisynch",
            EmulatedEurotherm,
            lambda link, retries: EurothermBisynch(
                link, _CLOCK, EurothermSettings(quantities={"value": "PV"}), retries
            ),
            _set_temperature,
            (250.0, 350.0),
            0.2,
            4,
        ),
        Device(
            "julabo_chiller",
            EmulatedJulabo,
            lambda link, retries: JulaboChiller(
                link, _CLOCK, ChillerSettings(quantities={"value": "in_pv_00"}), retries
            ),
            _set_bath,
            (250.0, 350.0),
            0.1,
            4,
        ),
        Device(
            "modbus_temperature",
            EmulatedModbus,
            lambda link, retries: ModbusTemperature(
                link,
                _CLOCK,
                ModbusSettings(quantities={"value": ModbusRegister(first_register=1, scale=0.1)}),
                retries,
            ),
            _set_register,
            (250.0, 350.0),
            0.1,
            4,
        ),
    )
}


@dataclass
class Bench:
    """A monitor, the device at its other end, and the faults between them."""

    device: Device
    emulated: Any
    line: EmulatedLine
    link: Transport
    faults: ScriptedFaults
    monitor: SerialMonitor[Any, Any]

    def set(self, value: float) -> None:
        """Give the device another value [SI]."""
        self.device.set(self.emulated, value)

    def monitor_with(self, retries: int) -> SerialMonitor[Any, Any]:
        """Another driver on the same line."""
        return self.device.make(self.link, retries)


def _settings(port: str, timeout: float) -> LinkSettings:
    return LinkSettings(port=port, timeout=timeout, quiet_time=0.01, latest_reply=1.7 * timeout)


def make_bench(
    device: Device,
    port: str,
    faults: Any = None,
    timeout: float = 0.4,
    retries: int = 2,
    line_timeout: float | None = None,
) -> Bench:
    """Put one device behind `port`; slow answers straddle `line_timeout`, by default that of the driver."""
    if device.name == "modbus_temperature" and importlib.util.find_spec("minimalmodbus") is None:
        pytest.skip("minimalmodbus is not installed (extra `monitors`)")
    emulated = device.emulate()
    scripted = faults or ScriptedFaults(seed=1)
    line = EmulatedLine(emulated, scripted, timeout=timeout if line_timeout is None else line_timeout)
    link = Transport(_settings(port, timeout), device.name)
    if port.startswith("sim://"):
        plug_in(port, line)
    return Bench(device, emulated, line, link, scripted, device.make(link, retries))


@pytest.fixture(params=list(DEVICES))
def device(request: pytest.FixtureRequest) -> Device:
    """Each kind of device."""
    return DEVICES[request.param]


@pytest.fixture
def sim_bench(device: Device, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    """Make a bench behind a ``sim://`` URL, with faults of one's own."""
    benches: list[Bench] = []
    if device.name == "modbus_temperature" and importlib.util.find_spec("minimalmodbus") is not None:
        # it would really wait 2 ms between two questions: an emulated line has a clock of its own
        instant = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None)
        monkeypatch.setattr("minimalmodbus.time", instant)

    def make(**options: Any) -> Bench:
        benches.append(make_bench(device, f"sim://{device.name}/{len(benches)}", **options))
        return benches[-1]

    yield make
    for bench in benches:
        bench.monitor.close()
    unplug_all()


@pytest.fixture
def pty_bench(device: Device, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Make a bench on a pseudo-terminal, in real time."""
    with ExitStack() as stack:

        def make(**options: Any) -> Bench:
            made = make_bench(device, str(tmp_path / "tty"), **options)
            stack.enter_context(PtyServer(made.line, tmp_path / "tty"))
            stack.callback(made.monitor.close)
            return made

        yield make


@pytest.fixture(params=["sim", "pty"])
def bench(request: pytest.FixtureRequest, device: Device) -> Bench:
    """A bench of each device on each kind of line."""
    make: Callable[..., Bench] = request.getfixturevalue(f"{request.param}_bench")
    return make(timeout={"sim": 0.4, "pty": 0.1}[request.param])
