"""The emulated cable: questions go in, answers come out after a while, unless a fault is due."""

from __future__ import annotations

import serial

from knightshift.hardware.monitors.emulated.devices import EmulatedDevice
from knightshift.hardware.monitors.emulated.faults import (
    MAX_DELAY,
    OUTAGE,
    FaultKind,
    FaultSource,
    ScriptedFaults,
    garble,
)

_LAG_LENGTH = 6


class EmulatedLine:
    """A device at the end of a cable. Time is given by the caller, so that it may be real or not.

    Parameters
    ----------
    device
        Who answers.
    faults
        What goes wrong; nothing if left out.
    answer_delay
        How long the device takes to answer [s].
    timeout
        Time-out that the other side works with [s]: slow answers are made to straddle it.

    Attributes
    ----------
    own_time
        Time on the line's own clock [s], which a ``sim://`` port advances; it goes on while no port is open.
    """

    def __init__(
        self,
        device: EmulatedDevice,
        faults: FaultSource | None = None,
        answer_delay: float = 0.002,
        timeout: float = 1.0,
    ) -> None:
        self.device = device
        self.faults = faults or ScriptedFaults()
        self.own_time = 0.0
        self._delay = answer_delay
        self._timeout = timeout
        self._due: list[tuple[float, bytes]] = []
        self._held: list[bytes] = []
        self._previous = b""
        self._lag = 0
        self._plugged_in_at = 0.0

    def is_plugged(self, now: float) -> bool:
        """Whether the cable is in."""
        return now >= self._plugged_in_at

    def unplug(self, now: float, outage: float = OUTAGE) -> None:
        """Pull the cable for `outage` [s]; what was under way is lost."""
        self._plugged_in_at = now + outage
        self._due.clear()
        self._held.clear()

    def require_plugged(self, now: float) -> None:
        """Raise what pyserial raises when a device is gone."""
        if not self.is_plugged(now):
            raise serial.SerialException("device reports readiness to read but returned no data (emulated: unplugged)")

    def send(self, data: bytes, now: float) -> None:
        """Take what was written to the device at the time `now` [s]."""
        for answer in self.device.feed(data):
            self._answer(answer, now)

    def next_arrival(self) -> float | None:
        """When the next bytes are due [s], if any are."""
        return self._due[0][0] if self._due else None

    def arrived(self, now: float) -> int:
        """How many bytes are there by `now`."""
        return sum(len(chunk) for when, chunk in self._due if when <= now)

    def take(self, size: int, now: float) -> bytes:
        """Take up to `size` of the bytes that are there by `now`."""
        taken = b""
        while self._due and self._due[0][0] <= now and len(taken) < size:
            when, chunk = self._due.pop(0)
            wanted = size - len(taken)
            taken += chunk[:wanted]
            if chunk[wanted:]:
                self._due.insert(0, (when, chunk[wanted:]))
        return taken

    def forget_input(self, now: float) -> None:
        """Throw away what is there by `now`."""
        self._due = [(when, chunk) for when, chunk in self._due if when > now]

    def _answer(self, answer: bytes, now: float) -> None:
        fault = self.faults.next_fault()
        chunks = [*self._held, answer]
        self._held = []
        delay = self._delay
        if fault is FaultKind.LAG:
            self._lag = _LAG_LENGTH
        if self._lag:
            self._lag -= 1
            chunks = [self._previous]
        elif fault is FaultKind.MUTE:
            chunks = []
        elif fault is FaultKind.GARBLE:
            chunks = [garble(answer, self.faults.generator)]
        elif fault is FaultKind.REPEAT:
            chunks = [self._previous]
        elif fault is FaultKind.LATE:
            self._held, chunks = [answer], []
        elif fault is FaultKind.DOUBLE:
            chunks = [answer, answer]
        elif fault is FaultKind.SLOW:
            delay = float(self.faults.generator.uniform(0.2, MAX_DELAY)) * self._timeout
        elif fault is FaultKind.UNPLUG:
            self.unplug(now)
            chunks = []
        self._previous = answer
        self._schedule(chunks, now + delay)

    def _schedule(self, chunks: list[bytes], when: float) -> None:
        """Answers leave in the order of their questions: a slow one holds up those behind it."""
        if self._due:
            when = max(when, self._due[-1][0])
        self._due += [(when, chunk) for chunk in chunks if chunk]
