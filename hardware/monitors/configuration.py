"""The monitors of a site in YAML, and how they become objects.

::

    monitors:
      cryostat:
        kind: oxford_ilm
        link: {port: /dev/ttyUSB0}
        every: "60 s"
        stale_after: "2 h"
    triggers:
      potentiostat: {link: {port: /dev/ttyUSB3}}
    interlocks:
      helium_low: {kind: level, watch: cryostat.helium, low: "20 %", action: suspend}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from knightshift.core.clock import Clock
from knightshift.core.quantities import PositiveSeconds
from knightshift.core.yaml_files import read_config
from knightshift.hardware.monitors import (
    eurotherm_bisynch,
    julabo_chiller,
    modbus_temperature,
    oxford_ilm,
    ttl_trigger,
)
from knightshift.hardware.monitors.eurotherm_bisynch import EurothermBisynch, EurothermSettings
from knightshift.hardware.monitors.interlocks import InterlockConfig, InterlockPanel
from knightshift.hardware.monitors.julabo_chiller import ChillerSettings, JulaboChiller
from knightshift.hardware.monitors.modbus_temperature import ModbusSettings, ModbusTemperature
from knightshift.hardware.monitors.oxford_ilm import IlmSettings, OxfordIlm
from knightshift.hardware.monitors.poller import MonitorPoller, PolledMonitor
from knightshift.hardware.monitors.reading import Reading
from knightshift.hardware.monitors.serial_monitor import SerialMonitor
from knightshift.hardware.monitors.transport import LinkSettings, Transport
from knightshift.hardware.monitors.ttl_trigger import TtlTrigger, TtlTriggerSettings

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""A word that can stand in ``monitor.quantity``."""


def _with_factory_line(value: Any, factory: LinkSettings) -> Any:
    """Fill the settings of the line that the user left out with what the device leaves the factory with."""
    if not isinstance(value, dict) or not isinstance(value.get("link"), dict):
        return value
    ours = factory.model_dump(include={"baud_rate", "data_bits", "parity", "stop_bits"})
    return {**value, "link": {**ours, **value["link"]}}


class _MonitorConfig(BaseModel):
    """What every monitor says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    link: LinkSettings
    """Its serial line; what is left out is as the device leaves the factory."""
    every: PositiveSeconds = 10.0
    """Time between two readings [s]."""
    stale_after: PositiveSeconds = 60.0
    """Age at which a reading is stale [s]."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a failed reading is repeated at once."""

    @model_validator(mode="after")
    def _reading_lives_until_the_next(self) -> Self:
        if self.stale_after < self.every:
            raise ValueError(
                f"stale_after {self.stale_after:g} s is shorter than every {self.every:g} s: "
                "each reading would be stale before the next one comes"
            )
        return self


class OxfordIlmConfig(_MonitorConfig):
    """Helium and nitrogen levels: Oxford ILM200 over ISOBUS."""

    kind: Literal["oxford_ilm"]
    """Selects this monitor."""
    settings: IlmSettings = IlmSettings()
    """The meter's own."""
    stale_after: PositiveSeconds = 7200.0
    """Age at which a reading is stale [s]; in slow mode a helium level may be `slow_interval` old."""

    @model_validator(mode="before")
    @classmethod
    def _factory_line(cls, value: Any) -> Any:
        return _with_factory_line(value, oxford_ilm.default_link("-"))

    @model_validator(mode="after")
    def _slow_mode_is_not_stale(self) -> Self:
        if self.stale_after < self.settings.slow_interval + self.every:
            raise ValueError(
                f"stale_after {self.stale_after:g} s is shorter than slow_interval {self.settings.slow_interval:g} s "
                f"and every {self.every:g} s together: a helium level in slow mode would always be stale"
            )
        return self

    def make(self, name: str, clock: Clock) -> SerialMonitor:
        """Make the monitor, not yet connected."""
        return OxfordIlm(Transport(self.link, name), clock, self.settings, self.retries)


class EurothermConfig(_MonitorConfig):
    """Temperature: Eurotherm or Bruker BVT over EI-BISYNCH."""

    kind: Literal["eurotherm_bisynch"]
    """Selects this monitor."""
    settings: EurothermSettings = EurothermSettings()
    """The controller's own."""

    @model_validator(mode="before")
    @classmethod
    def _factory_line(cls, value: Any) -> Any:
        return _with_factory_line(value, eurotherm_bisynch.default_link("-"))

    def make(self, name: str, clock: Clock) -> SerialMonitor:
        """Make the monitor, not yet connected."""
        return EurothermBisynch(Transport(self.link, name), clock, self.settings, self.retries)


class ModbusConfig(_MonitorConfig):
    """Temperature: any controller over Modbus RTU."""

    kind: Literal["modbus_temperature"]
    """Selects this monitor."""
    settings: ModbusSettings = ModbusSettings()
    """The controller's own."""

    @model_validator(mode="before")
    @classmethod
    def _factory_line(cls, value: Any) -> Any:
        return _with_factory_line(value, modbus_temperature.default_link("-"))

    def make(self, name: str, clock: Clock) -> SerialMonitor:
        """Make the monitor, not yet connected. Raises `ConfigError` without minimalmodbus."""
        return ModbusTemperature(Transport(self.link, name), clock, self.settings, self.retries)


class ChillerConfig(_MonitorConfig):
    """Temperature of a Julabo-type chiller."""

    kind: Literal["julabo_chiller"]
    """Selects this monitor."""
    settings: ChillerSettings = ChillerSettings()
    """The chiller's own."""

    @model_validator(mode="before")
    @classmethod
    def _factory_line(cls, value: Any) -> Any:
        return _with_factory_line(value, julabo_chiller.default_link("-"))

    def make(self, name: str, clock: Clock) -> SerialMonitor:
        """Make the monitor, not yet connected."""
        return JulaboChiller(Transport(self.link, name), clock, self.settings, self.retries)


MonitorConfig: TypeAlias = Annotated[
    OxfordIlmConfig | EurothermConfig | ModbusConfig | ChillerConfig, Field(discriminator="kind")
]
"""One monitor; `kind` says which."""


class TriggerConfig(BaseModel):
    """One TTL trigger."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    link: LinkSettings
    """The serial port whose control line is used."""
    settings: TtlTriggerSettings = TtlTriggerSettings()
    """How it is wired."""

    @model_validator(mode="before")
    @classmethod
    def _factory_line(cls, value: Any) -> Any:
        return _with_factory_line(value, ttl_trigger.default_link("-"))

    def make(self, name: str) -> TtlTrigger:
        """Make the trigger, not yet connected."""
        return TtlTrigger(Transport(self.link, name), self.settings)


class MonitorsConfig(BaseModel):
    """Everything beside the scanner that is read, watched or triggered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    monitors: dict[Name, MonitorConfig] = Field(default_factory=dict)
    """Name → monitor."""
    interlocks: dict[Name, InterlockConfig] = Field(default_factory=dict)
    """Name → what must hold, and what to do if it does not."""
    triggers: dict[Name, TriggerConfig] = Field(default_factory=dict)
    """Name → TTL trigger."""

    def quantities(self) -> dict[str, str]:
        """Every monitored quantity, ``monitor.quantity`` → its SI unit."""
        units = {"oxford_ilm": "1"}
        found = {}
        for name, config in self.monitors.items():
            own = config.settings.channels if isinstance(config, OxfordIlmConfig) else config.settings.quantities
            found.update({f"{name}.{quantity}": units.get(config.kind, "K") for quantity in own})
        return found

    @model_validator(mode="after")
    def _interlocks_watch_what_there_is(self) -> Self:
        quantities = self.quantities()
        for name, interlock in self.interlocks.items():
            if interlock.watch not in quantities:
                known = ", ".join(quantities) or "nothing"
                raise ValueError(f"interlock {name} watches {interlock.watch!r}, but monitored are {known}")
            if interlock.unit != quantities[interlock.watch]:
                raise ValueError(
                    f"interlock {name} is of kind {interlock.kind}, but {interlock.watch} is no such thing"
                )
        return self

    @model_validator(mode="after")
    def _every_line_has_one_master(self) -> Self:
        ports: dict[str, str] = {}
        for name, device in [*self.monitors.items(), *self.triggers.items()]:
            if (other := ports.setdefault(device.link.port, name)) != name:
                raise ValueError(f"{other} and {name} share the port {device.link.port}: give each its own")
        return self

    def make_poller(
        self, clock: Clock, on_reading: Callable[[tuple[Reading, ...]], None] | None = None
    ) -> MonitorPoller:
        """Make the poller of all monitors, not yet started.

        Parameters
        ----------
        clock, on_reading
            As for `MonitorPoller`.

        Raises
        ------
        ConfigError
            If a monitor needs a library that is not installed.
        """
        polled = [
            PolledMonitor(config.make(name, clock), config.every, config.stale_after)
            for name, config in self.monitors.items()
        ]
        return MonitorPoller(polled, clock, on_reading)

    def make_panel(self) -> InterlockPanel:
        """Make the interlocks, all clear."""
        return InterlockPanel(self.interlocks)


def _by_name(value: object) -> object:
    return read_config(MonitorsConfig, "monitors", value) if isinstance(value, str) else value


Monitoring: TypeAlias = Annotated[MonitorsConfig, BeforeValidator(_by_name)]
"""For a site file: the monitors themselves, or the shipped name or path of a file with them."""
