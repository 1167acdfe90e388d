"""What monitors of temperatures have in common: their settings, and two answers that must agree."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from knightshift.core.quantities import KelvinDifference
from knightshift.hardware.monitors.serial_monitor import ChannelT, Sample, SerialMonitor, temperature


class TemperatureSettings(BaseModel):
    """How to read a device that measures temperatures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantities: dict[str, Any]
    """Name of each temperature → where the device keeps it."""
    agreement: KelvinDifference = 0.1
    """By how much two answers in a row may differ [K]."""


class ControllerSettings(TemperatureSettings):
    """How to read a controller that may display either scale."""

    unit: Literal["degC", "K"] = "degC"
    """In what it gives temperatures."""


ControllerT = TypeVar("ControllerT", bound=ControllerSettings)


class TemperatureController(SerialMonitor[ControllerT, ChannelT]):
    """Temperatures of one controller [K]. Before each value something is asked whose answer looks different."""

    @abstractmethod
    def _check_and_value(self, channel: ChannelT) -> tuple[object, float]:
        """Ask what looks different, and the temperature as the controller shows it. Raises `LinkFault`."""

    def _sample(self, channel: ChannelT) -> Sample:
        _, shown = self._twice(lambda: self._check_and_value(channel), self._settings.agreement)
        return temperature(shown, self._settings.unit)
