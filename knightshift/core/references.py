"""Reference FIDs of a run, as its journal tells of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from knightshift.core.errors import DamagedDataError
from knightshift.core.journal import JournalEvent
from knightshift.core.run_folder import finite_number


class ReferenceRole(StrEnum):
    """Why a reference FID was measured."""

    SCHEDULED = "scheduled"
    """It was due between passes."""
    RELOCK = "relock"
    """A run goes on after a gap."""
    CHECK = "check"
    """A run goes on at once: nothing may depend on it, or a resumed run would not be the undisturbed one."""


@dataclass(frozen=True)
class Reference:
    """What one reference FID gave."""

    time: float
    """Middle of the FIDs, seconds since the Unix epoch (UTC)."""
    frequency: float
    """Of the resonance [Hz]."""
    frequency_std: float
    """Its standard deviation [Hz]."""
    amplitude: float
    """Of the FID at time zero, at 0 dB."""
    phase: float
    """Of the FID at time zero [rad]."""
    phase_std: float
    """Its standard deviation [rad]."""


def middle_of(started: float, finished: float) -> float:
    """Middle of two times [s since the Unix epoch].

    They are taken to the millisecond: a virtual clock that goes on is some tenths of a microsecond off the one that was
    never stopped, and what is interpolated in time must not depend on that.
    """
    return round(started, 3) + round(finished - started, 3) / 2


def references_of(events: Iterable[JournalEvent], journal: Path) -> tuple[Reference, ...]:
    """Give the reference FIDs that have a value and may correct passes, in order of time.

    Raises
    ------
    DamagedDataError
        If an event does not hold what it must.
    """
    found = []
    for event in events:
        if event.event != "reference" or event.payload.get("role") == ReferenceRole.CHECK:
            continue
        if event.payload.get("problem"):
            continue
        try:
            found.append(_reference(event))
        except ValueError as error:
            raise DamagedDataError(journal, f"line {event.sequence + 1}", f"event 'reference': {error}") from error
    return tuple(sorted(found, key=lambda entry: entry.time))


def _reference(event: JournalEvent) -> Reference:
    payload = event.payload
    started, ended = finite_number(payload, "started_s"), finite_number(payload, "time_s")
    return Reference(
        time=middle_of(started, ended),
        frequency=finite_number(payload, "frequency_Hz"),
        frequency_std=finite_number(payload, "frequency_std_Hz"),
        amplitude=finite_number(payload, "amplitude"),
        phase=finite_number(payload, "phase_rad"),
        phase_std=finite_number(payload, "phase_std_rad"),
    )
