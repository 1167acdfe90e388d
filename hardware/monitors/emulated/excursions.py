"""Emulated monitors that read out of band where the script of the site says so."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from knightshift.core.clock import Clock
from knightshift.core.errors import ConfigError
from knightshift.hardware.faults import MONITOR_FAULTS, FaultScript, MonitorOutOfBand, StrikeCounter
from knightshift.hardware.monitors.configuration import (
    ChillerConfig,
    EurothermConfig,
    ModbusConfig,
    MonitorConfig,
    MonitorsConfig,
    OxfordIlmConfig,
)
from knightshift.hardware.monitors.emulated.devices import (
    EmulatedDevice,
    EmulatedEurotherm,
    EmulatedIlm,
    EmulatedJulabo,
    EmulatedModbus,
)
from knightshift.hardware.monitors.emulated.plugs import line_for
from knightshift.hardware.monitors.modbus_temperature import ModbusRegister
from knightshift.hardware.monitors.serial_monitor import ZERO_CELSIUS

_REGISTER_FORMAT = {"int16": ">h", "uint16": ">H", "float32": ">f"}


@dataclass
class _Excursion:
    restore: Callable[[], None]
    """Let the device read again what it did before."""
    ends: float | None
    """When [s since the Unix epoch]; None: with the pass."""


class Excursions:
    """Lets emulated devices read what a script says, from the beginning of a pass for as long as it says.

    Parameters
    ----------
    script
        Of the site; the kinds of `MONITOR_FAULTS` count.
    config
        The monitors of the site.
    clock
        Where the time comes from.
    """

    def __init__(self, script: FaultScript, config: MonitorsConfig, clock: Clock) -> None:
        self._counter = StrikeCounter(script, MONITOR_FAULTS)
        self._config, self._clock = config, clock
        self._running: dict[str, _Excursion] = {}

    def begin_pass(self, pass_index: int, epoch: int) -> None:
        """Begin what falls on an attempt at a pass. Raises `ConfigError` if the device has no such reading."""
        for strike in self._counter.next_attempt(pass_index, epoch):
            if isinstance(strike.fault, MonitorOutOfBand):
                self._begin(strike.fault)

    def _begin(self, fault: MonitorOutOfBand) -> None:
        self._end(fault.monitor)
        monitor, _, quantity = fault.monitor.partition(".")
        restore = _let_read(self._config.monitors[monitor], quantity, fault.value)
        ends = None if fault.duration is None else self._clock.now() + fault.duration
        self._running[fault.monitor] = _Excursion(restore, ends)

    def update(self) -> None:
        """End what has lasted long enough."""
        if not self._running:  # asked at every readout
            return
        now = self._clock.now()
        for name, excursion in list(self._running.items()):
            if excursion.ends is not None and now >= excursion.ends:
                self._end(name)

    def end_pass(self) -> None:
        """End what ends with the pass."""
        for name, excursion in list(self._running.items()):
            if excursion.ends is None:
                self._end(name)

    def end_all(self) -> None:
        """Let every device read again what it did before."""
        for name in list(self._running):
            self._end(name)

    def _end(self, name: str) -> None:
        if name in self._running:
            self._running.pop(name).restore()


def _let_read(config: MonitorConfig, quantity: str, value: float) -> Callable[[], None]:
    """Let the emulated device show `value` (SI); gives back what undoes that."""
    device = line_for(config.link.port).device
    if isinstance(config, OxfordIlmConfig) and isinstance(device, EmulatedIlm):
        return _turn(device.channels[config.settings.channels[quantity]], "level", value)
    if isinstance(config, EurothermConfig) and isinstance(device, EmulatedEurotherm):
        shown = {"PV": "temperature", "SL": "set_point"}.get(config.settings.quantities[quantity])
        return _turn(device, shown, _as_displayed(value, config.settings.unit))
    if isinstance(config, ChillerConfig) and isinstance(device, EmulatedJulabo):
        shown = {"in_pv_00": "bath", "in_sp_00": "set_point"}.get(config.settings.quantities[quantity])
        return _turn(device, shown, _as_displayed(value, "degC"))
    if isinstance(config, ModbusConfig) and isinstance(device, EmulatedModbus):
        displayed = _as_displayed(value, config.settings.unit)
        return _write_registers(device, config.settings.quantities[quantity], displayed)
    raise ConfigError(f"{config.link.port}: is no emulated {config.kind}: correct `port` or `kind`")


def _as_displayed(kelvin: float, unit: str) -> float:
    return kelvin - ZERO_CELSIUS if unit == "degC" else kelvin


def _turn(device: EmulatedDevice | object, attribute: str | None, value: float) -> Callable[[], None]:
    if attribute is None:
        raise ConfigError(f"{type(device).__name__} emulates no such reading: let the fault name another")
    before = getattr(device, attribute)
    setattr(device, attribute, value)
    return partial(setattr, device, attribute, before)


def _write_registers(device: EmulatedModbus, where: ModbusRegister, shown: float) -> Callable[[], None]:
    number = shown / where.scale
    packed = struct.pack(_REGISTER_FORMAT[where.type], number if where.type == "float32" else round(number))
    words = struct.unpack(f">{len(packed) // 2}H", packed)
    before = {where.first_register + n: device.registers.get(where.first_register + n, 0) for n in range(len(words))}
    device.registers.update({where.first_register + n: word for n, word in enumerate(words)})
    return partial(device.registers.update, before)
