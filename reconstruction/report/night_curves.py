"""What was followed through a night: readings of monitors, reference FIDs, frequency; one curve for each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.clock import from_iso_time
from knightshift.core.journal import JournalEvent
from knightshift.core.run_folder import finite_number

Sort = Literal["frequency", "temperature", "level", "amplitude", "linewidth", "noise", "phase", "other"]
"""What a curve is of; curves of one sort share a panel."""

_SORT_OF_UNIT: dict[str, Sort] = {"K": "temperature", "1": "level", "Hz": "frequency"}
_READ_WITH = frozenset({"committed", "suspended", "resumed"})


@dataclass(frozen=True)
class Curve:
    """One quantity through the night."""

    name: str
    """What people call it: ``"probe.temperature"``."""
    sort: Sort
    """What it is of."""
    unit: str
    """SI unit; ``"1"`` for a ratio."""
    time: RealArray
    """Seconds since the Unix epoch (UTC), shape ``(point,)``, in order."""
    value: RealArray
    """In `unit`, shape ``(point,)``."""


@dataclass
class CurveCollector:
    """Collects curves from events in order."""

    _points: dict[tuple[str, Sort, str], list[tuple[float, float]]] = field(default_factory=dict)

    def read(self, event: JournalEvent) -> None:
        """Take what an event tells.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it does not hold what it must.
        """
        if event.event in _READ_WITH:
            self._readings(event.payload.get("readings", {}), _time_of(event))
        if event.event == "committed":
            self._add(("receiver", "frequency", "Hz"), _time_of(event), finite_number(event.payload, "frequency_Hz"))
            if event.payload.get("noise_std") is not None:
                self._add(("each pass", "noise", "1"), _time_of(event), finite_number(event.payload, "noise_std"))
        if event.event == "reference":
            self._reference(event)

    def _readings(self, readings: Mapping[str, Mapping[str, Any]], time: float) -> None:
        for name, reading in readings.items():
            if reading["value"] is not None:
                unit = str(reading["unit"])
                key: tuple[str, Sort, str] = (str(name), _SORT_OF_UNIT.get(unit, "other"), unit)
                self._add(key, time, finite_number(reading, "value"))

    def _reference(self, event: JournalEvent) -> None:
        for field_name, (name, sort, unit) in _REFERENCE.items():
            if event.payload.get(field_name) is not None:
                self._add((name, sort, unit), _time_of(event), finite_number(event.payload, field_name))

    def _add(self, key: tuple[str, Sort, str], time: float, value: float) -> None:
        self._points.setdefault(key, []).append((time, value))

    def curves(self) -> tuple[Curve, ...]:
        """Give what was collected, each in order of time."""
        made = []
        for (name, sort, unit), points in self._points.items():
            time, value = np.array(sorted(points)).T
            made.append(Curve(name, sort, unit, time, value))
        return tuple(made)


_REFERENCE: dict[str, tuple[str, Sort, str]] = {
    "frequency_Hz": ("reference FID", "frequency", "Hz"),
    "amplitude": ("reference FID", "amplitude", "1"),
    "linewidth_Hz": ("reference FID", "linewidth", "Hz"),
    "noise_density": ("reference FID", "noise", "1"),
    "phase_rad": ("reference FID", "phase", "rad"),
}


def _time_of(event: JournalEvent) -> float:
    """When it was measured: at the end of a pass, else when the event says so, else when it was written."""
    for key in ("finished_s", "time_s"):
        value = event.payload.get(key)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return from_iso_time(event.time)
