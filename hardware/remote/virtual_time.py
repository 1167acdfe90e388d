"""Two clocks that go together, where both are virtual."""

from __future__ import annotations

import threading

from knightshift.core.clock import Clock, VirtualClock
from knightshift.hardware.remote.handshake import ClockKind

_LOCK = threading.Lock()


def clock_kind(clock: Clock | None) -> ClockKind:
    """Say what the handshake says of a clock."""
    return "virtual" if isinstance(clock, VirtualClock) else "system"


def time_to_send(clock: Clock | None) -> float | None:
    """Time of a virtual clock [s since the Unix epoch]; None for a real one."""
    return clock.now() if isinstance(clock, VirtualClock) else None


def follow(clock: Clock | None, time: float | None) -> None:
    """Move a virtual clock forward to `time`, to the bit (the difference of two near floats is exact); never back."""
    if time is None or not isinstance(clock, VirtualClock):
        return
    with _LOCK:
        if time > clock.now():
            clock.sleep(time - clock.now())
