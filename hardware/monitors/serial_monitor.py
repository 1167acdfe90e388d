"""What all monitors over a serial line have in common: connect, ask, check, retry."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar

from knightshift.core.clock import Clock
from knightshift.core.errors import GarbledReplyFault, LinkFault
from knightshift.hardware.monitors.reading import Reading, Severity
from knightshift.hardware.monitors.transport import Transport

_log = logging.getLogger(__name__)


class MonitorSettings(Protocol):
    """What the settings of every driver say."""

    @cached_property
    def quantities(self) -> Mapping[str, Any]:
        """Name of each quantity → where the device keeps it."""
        ...


StatusT = TypeVar("StatusT")
SettingsT = TypeVar("SettingsT", bound=MonitorSettings)
ChannelT = TypeVar("ChannelT")

ZERO_CELSIUS = 273.15
"""0 degC [K]."""


class Monitor(Protocol):
    """Anything that can be read now and then. Not for several threads at once."""

    @property
    def name(self) -> str:
        """What the site file calls it."""
        ...

    @property
    def quantities(self) -> Mapping[str, str]:
        """Names of its readings → their SI units."""
        ...

    def read(self) -> tuple[Reading, ...]:
        """Read every quantity once, in bounded time. Raises `LinkFault`."""
        ...

    def close(self) -> None:
        """Give the line up. Never raises."""
        ...


@dataclass(frozen=True)
class Sample:
    """What a driver made of the answers for one channel."""

    value: float
    """Value in the SI unit of the monitor; NaN if there is none."""
    severity: Severity = Severity.OK
    """How the device judges it."""
    problem: str = ""
    """In which words."""
    age: float = 0.0
    """How long before the question it may have been measured [s]."""


def temperature(shown: float, unit: Literal["degC", "K"]) -> Sample:
    """Turn a temperature as the device shows it into a sample [K]; what cannot be one is a broken sensor."""
    kelvin = shown + (ZERO_CELSIUS if unit == "degC" else 0.0)
    if kelvin >= 0:
        return Sample(kelvin)
    return Sample(math.nan, Severity.INVALID, f"{shown:g} {unit} is no temperature: sensor break?")


class SerialMonitor(ABC, Generic[SettingsT, ChannelT]):
    """A device that is asked over a serial line.

    Parameters
    ----------
    link
        The line; opened when first needed, and again after it was lost.
    clock
        Where time stamps come from.
    settings
        How to read the device.
    retries
        How often a failed reading is repeated before the fault is told.
    """

    unit: ClassVar[str] = "K"
    """SI unit of its readings."""

    def __init__(self, link: Transport, clock: Clock, settings: SettingsT, retries: int = 2) -> None:
        self._link = link
        self._clock = clock
        self._settings = settings
        self._retries = retries

    @abstractmethod
    def _sample(self, channel: ChannelT) -> Sample:
        """Ask for one channel, without repetition. Raises `LinkFault`."""

    @property
    def name(self) -> str:
        """What the site file calls it."""
        return self._link.device

    @property
    def quantities(self) -> Mapping[str, str]:
        """Names of its readings → their SI unit."""
        return {f"{self.name}.{quantity}": self.unit for quantity in self._settings.quantities}

    def __enter__(self) -> Self:
        """Open the line."""
        self._link.open()
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the line."""
        self.close()

    def close(self) -> None:
        """Give the line up. Never raises."""
        self._link.close()

    def read(self) -> tuple[Reading, ...]:
        """Read every quantity once; repeat after a fault, at most `retries` times.

        Returns
        -------
        tuple of Reading
            One for each of `quantities`, in that order.

        Raises
        ------
        LinkFault
            The last fault (`NoReplyFault`, `GarbledReplyFault`, `WrongReplyFault`, or the line is lost).
        """
        for repetition in range(self._retries):
            try:
                return self._attempt()
            except LinkFault as fault:
                _log.info("%s: repetition %d of %d", fault, repetition + 1, self._retries)
        return self._attempt()

    def _attempt(self) -> tuple[Reading, ...]:
        try:
            self._link.open()
            return tuple(self._reading(quantity, channel) for quantity, channel in self._settings.quantities.items())
        except LinkFault:
            self._link.out_of_step()
            raise

    def _reading(self, quantity: str, channel: ChannelT) -> Reading:
        asked = self._clock.now()
        sample = self._sample(channel)
        has_value = math.isfinite(sample.value) and sample.severity is not Severity.INVALID
        return Reading(
            name=f"{self.name}.{quantity}",
            value=sample.value if has_value else math.nan,
            unit=self.unit,
            measured=asked - sample.age,
            read=self._clock.now(),
            severity=sample.severity if has_value else Severity.INVALID,
            problem=sample.problem,
        )

    def _twice(self, ask: Callable[[], tuple[StatusT, float]], agreement: float) -> tuple[StatusT, float]:
        """Ask status and value two times and insist that the answers agree.

        Most of the protocols have no checksum, or a weak one, and cannot tell a flipped bit from a value. Status and
        value alternate, and look different: an answer that comes one question late is never taken for the right one.
        """
        status, value = ask()
        status_again, value_again = ask()
        same = math.isnan(value) and math.isnan(value_again)
        if status != status_again or not (same or abs(value - value_again) <= agreement):
            raise GarbledReplyFault(
                f"two answers disagree by more than {agreement:g}: "
                f"{status} {value:g}, then {status_again} {value_again:g}",
                self.name,
            )
        return status_again, value_again
