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

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from knightshift.core.clock import Clock
from knightshift.core.quantities import PositiveSeconds
from knightshift.core.yaml_files import read_config
from knightshift.hardware.monitors import (
    eurotherm_bisynch,
    julabo_chiller,
    modbus_temperature,
    oxford_ilm,
)
from knightshift.hardware.monitors.interlocks import InterlockConfig, InterlockPanel
from knightshift.hardware.monitors.poller import MonitorPoller, PolledMonitor
from knightshift.hardware.monitors.reading import Reading
from knightshift.hardware.monitors.serial_monitor import SerialMonitor
from knightshift.hardware.monitors.transport import LinkSettings, Transport
from knightshift.hardware.monitors.ttl_trigger import TtlTrigger, TtlTriggerSettings

EMULATED = "sim://"
"""How the URL of an emulated device begins."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""A word that can stand in ``monitor.quantity``."""


class _DeviceConfig(BaseModel):
    """A device at the end of a serial line."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    factory_line: ClassVar[Mapping[str, Any]] = {}

    link: LinkSettings
    """Its serial line; what is left out is as the device leaves the factory."""

    @model_validator(mode="before")
    @classmethod
    def _line_from_the_factory(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("link"), dict):
            return {**value, "link": {**cls.factory_line, **value["link"]}}
        return value


class _MonitorConfig(_DeviceConfig):
    """What every monitor says."""

    driver: ClassVar[type[SerialMonitor[Any, Any]]]

    settings: BaseModel
    """The device's own."""
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

    def make(self, name: str, clock: Clock) -> SerialMonitor[Any, Any]:
        """Make the monitor, not yet connected. Raises `ConfigError` if it needs a library that is not installed."""
        return self.driver(Transport(self.link, name), clock, self.settings, self.retries)


class OxfordIlmConfig(_MonitorConfig):
    """Helium and nitrogen levels: Oxford ILM200 over ISOBUS."""

    factory_line = oxford_ilm.FACTORY_LINE
    driver = oxford_ilm.OxfordIlm

    kind: Literal["oxford_ilm"]
    """Selects this monitor."""
    settings: oxford_ilm.IlmSettings = oxford_ilm.IlmSettings()
    """The meter's own."""
    stale_after: PositiveSeconds = 7200.0
    """Age at which a reading is stale [s]; in slow mode a helium level may be `slow_interval` old."""

    @model_validator(mode="after")
    def _slow_mode_is_not_stale(self) -> Self:
        if self.stale_after < self.settings.slow_interval + self.every:
            raise ValueError(
                f"stale_after {self.stale_after:g} s is shorter than slow_interval {self.settings.slow_interval:g} s "
                f"and every {self.every:g} s together: a helium level in slow mode would always be stale"
            )
        return self


class EurothermConfig(_MonitorConfig):
    """Temperature: Eurotherm or Bruker BVT over EI-BISYNCH."""

    factory_line = eurotherm_bisynch.FACTORY_LINE
    driver = eurotherm_bisynch.EurothermBisynch

    kind: Literal["eurotherm_bisynch"]
    """Selects this monitor."""
    settings: eurotherm_bisynch.EurothermSettings = eurotherm_bisynch.EurothermSettings()
    """The controller's own."""


class ModbusConfig(_MonitorConfig):
    """Temperature: any controller over Modbus RTU."""

    factory_line = modbus_temperature.FACTORY_LINE
    driver = modbus_temperature.ModbusTemperature

    kind: Literal["modbus_temperature"]
    """Selects this monitor."""
    settings: modbus_temperature.ModbusSettings = modbus_temperature.ModbusSettings()
    """The controller's own."""


class ChillerConfig(_MonitorConfig):
    """Temperature of a Julabo-type chiller."""

    factory_line = julabo_chiller.FACTORY_LINE
    driver = julabo_chiller.JulaboChiller

    kind: Literal["julabo_chiller"]
    """Selects this monitor."""
    settings: julabo_chiller.ChillerSettings = julabo_chiller.ChillerSettings()
    """The chiller's own."""


MonitorConfig: TypeAlias = Annotated[
    OxfordIlmConfig | EurothermConfig | ModbusConfig | ChillerConfig, Field(discriminator="kind")
]
"""One monitor; `kind` says which."""


class TriggerConfig(_DeviceConfig):
    """One TTL trigger."""

    settings: TtlTriggerSettings = TtlTriggerSettings()
    """How it is wired."""

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
        found = {}
        for name, config in self.monitors.items():
            found.update({f"{name}.{quantity}": config.driver.unit for quantity in config.settings.quantities})
        return found

    def emulated_quantities(self) -> list[str]:
        """Those of `quantities` that an emulated device of ours gives."""
        ours = {name for name, config in self.monitors.items() if config.link.port.startswith(EMULATED)}
        return [quantity for quantity in self.quantities() if quantity.split(".")[0] in ours]

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
