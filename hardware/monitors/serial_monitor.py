"""What all monitors over a serial line have in common: connect, ask, check, retry."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol, Self, TypeVar

from knightshift.core.clock import Clock
from knightshift.core.errors import GarbledReplyFault, LinkFault
from knightshift.hardware.monitors.reading import Reading
from knightshift.hardware.monitors.transport import Transport

_log = logging.getLogger(__name__)

StatusT = TypeVar("StatusT")

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


class SerialMonitor(ABC):
    """A device that is asked over a serial line.

    Parameters
    ----------
    link
        The line; opened when first needed, and again after it was lost.
    clock
        Where time stamps come from.
    retries
        How often a failed reading is repeated before the fault is told.
    """

    def __init__(self, link: Transport, clock: Clock, retries: int = 2) -> None:
        self._link = link
        self._clock = clock
        self._retries = retries

    @property
    def name(self) -> str:
        """What the site file calls it."""
        return self._link.device

    @property
    @abstractmethod
    def quantities(self) -> Mapping[str, str]:
        """Names of its readings → their SI units."""

    @abstractmethod
    def _measure(self) -> tuple[Reading, ...]:
        """Read every quantity once, without repetition."""

    def __enter__(self) -> Self:
        """Open the line."""
        self._link.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
            return self._measure()
        except LinkFault:
            self._link.out_of_step()
            raise

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
