"""Clocks: the system's, and a virtual one on which an 11.5 h night takes seconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where acquisition and simulator get the time from."""

    def now(self) -> float:
        """Seconds since the Unix epoch (UTC)."""
        ...

    def sleep(self, duration: float) -> None:
        """Let `duration` [s] pass."""
        ...


class SystemClock:
    """The computer's clock."""

    def now(self) -> float:
        """Seconds since the Unix epoch (UTC)."""
        return time.time()

    def sleep(self, duration: float) -> None:
        """Wait `duration` [s]."""
        time.sleep(max(0.0, duration))


class VirtualClock:
    """A clock that jumps instead of waiting; it starts where it is told.

    Parameters
    ----------
    start
        Seconds since the Unix epoch (UTC).
    """

    EVENING = datetime(2026, 1, 5, 19, 0, tzinfo=UTC).timestamp()
    """The default start. A fixed one, so that two runs with one seed are equal to the bit."""

    def __init__(self, start: float = EVENING) -> None:
        self._now = start

    def now(self) -> float:
        """Seconds since the Unix epoch (UTC)."""
        return self._now

    def sleep(self, duration: float) -> None:
        """Advance the clock by `duration` [s] at once."""
        self._now += max(0.0, duration)


def iso_time(seconds: float) -> str:
    """Write a time as UTC in ISO 8601 with microseconds: what every file of a run uses."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="microseconds")


def from_iso_time(text: str) -> float:
    """Read what `iso_time` wrote, as seconds since the Unix epoch."""
    return datetime.fromisoformat(text).timestamp()
