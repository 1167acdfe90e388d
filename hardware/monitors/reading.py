"""What a monitor says: one value, when it was measured, and how far it may be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum


class Severity(StrEnum):
    """How the device itself judges its reading; the bands of the laboratory are another matter (`interlocks`)."""

    OK = "ok"
    """Nothing to report."""
    WARNING = "warning"
    """The device asks for attention."""
    ALARM = "alarm"
    """The device is in alarm."""
    INVALID = "invalid"
    """There is no value: a broken sensor, or nothing was ever read."""


@dataclass(frozen=True)
class Reading:
    """One value of one monitored quantity."""

    name: str
    """Which quantity: monitor and channel, ``"cryostat.helium"``."""
    value: float
    """Value in `unit`; NaN if, and only if, `severity` is INVALID."""
    unit: str
    """SI unit: ``"K"``, or ``"1"`` for a level as a fraction."""
    measured: float
    """The earliest moment at which the device can have measured it [s since the Unix epoch]."""
    read: float
    """When the answer had arrived [s since the Unix epoch]."""
    severity: Severity = Severity.OK
    """How the device judges it."""
    stale: bool = False
    """Whether it was too old when somebody last looked."""
    problem: str = ""
    """What the device said, where `severity` is not OK."""

    def __post_init__(self) -> None:
        if math.isfinite(self.value) == (self.severity is Severity.INVALID):
            raise ValueError(f"{self.name}: value {self.value} does not go with severity {self.severity.value}")

    def age(self, now: float) -> float:
        """Seconds since it was measured."""
        return now - self.measured

    def seen_at(self, now: float, stale_after: float) -> Reading:
        """Give the same reading with `stale` set if it is older than `stale_after` [s] at the time `now`."""
        stale = not self.age(now) <= stale_after
        return self if stale == self.stale else replace(self, stale=stale)


def no_reading(name: str, unit: str, now: float, problem: str) -> Reading:
    """Stand-in for a quantity that has no value: NaN, invalid and stale."""
    return Reading(name, math.nan, unit, measured=now, read=now, severity=Severity.INVALID, stale=True, problem=problem)
