"""The server's end of a stream of readouts: takes them as they are wanted, sends each until it is had."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from knightshift.core.errors import KnightshiftError
from knightshift.core.passes import Readout
from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.remote.readout_records import Demand, Record, cut_into_parts, encode_record

MAX_IN_FLIGHT = 60
"""Parts that may be on their way; a DEMAND can name 64 of them."""


@dataclass
class _Unconfirmed:
    """A part that has not been confirmed."""

    payload: bytes
    sent: float
    interval: float


class OutgoingStream:
    """Pumps the readouts of one pass.

    Parameters
    ----------
    number
        Request that opened it.
    readouts
        Of the scanner.
    send
        Sends PARTs together: number of the frame and payload of each.
    timing
        Patience.
    window
        Parts that may be on their way, at most `MAX_IN_FLIGHT`.
    time_to_send
        Gives the time of the server's virtual clock.
    """

    def __init__(
        self,
        number: int,
        readouts: Iterator[Readout],
        send: Callable[[Sequence[tuple[int, bytes]]], None],
        timing: LinkTiming,
        window: int,
        time_to_send: Callable[[], float | None],
    ) -> None:
        self.number = number
        self._readouts, self._send = readouts, send
        self._timing, self._time = timing, time_to_send
        self._in_flight = min(window, MAX_IN_FLIGHT)
        self._changed = threading.Condition()
        self._unconfirmed: OrderedDict[int, _Unconfirmed] = OrderedDict()
        self._packed: list[tuple[int, bytes]] = []
        self._next_part = self._taken = self._wanted = 0
        self._closed = False

    def pump(self) -> None:
        """Take readouts and send them until the stream ends or is closed (a thread of its own)."""
        try:
            while self._is_wanted():
                record = self._take()
                self._taken += 1
                for payload in cut_into_parts(self.number, encode_record(record)):
                    self._pack(payload)
                if record.clock is None or record.readout is None or not self._more_is_wanted():
                    self._send_packed()
                if record.readout is None:
                    return
        finally:
            close = getattr(self._readouts, "close", None)
            if close is not None:
                close()

    def _is_wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._taken < self._wanted)
            return not self._closed

    def _take(self) -> Record:
        try:
            readout = next(self._readouts, None)
        except KnightshiftError as error:
            return Record(None, error, self._time())
        return Record(readout, None, self._time())

    def _more_is_wanted(self) -> bool:
        with self._changed:
            return self._taken < self._wanted

    def _pack(self, payload: bytes) -> None:
        """Give a part its number; `_send_packed` sends it: on a virtual clock nobody waits for a single readout."""
        if self._is_full():
            self._send_packed()
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._is_full())
            if self._closed:
                return
            number = self._next_part
            self._next_part += 1
            now, interval = time.monotonic(), self._timing.resend_interval
            self._unconfirmed[number] = _Unconfirmed(payload, now, interval)
        self._packed.append((number, payload))

    def _is_full(self) -> bool:
        with self._changed:
            return len(self._unconfirmed) >= self._in_flight

    def _send_packed(self) -> None:
        packed, self._packed = self._packed, []
        if packed:
            self._send(packed)

    def demanded(self, next_missing: int, demand: Demand) -> None:
        """Learn what has come and how much is wanted (reading thread)."""
        with self._changed:
            for number in list(self._unconfirmed):
                bit = number - next_missing - 1
                if number < next_missing or (bit >= 0 and demand.received >> bit & 1):
                    del self._unconfirmed[number]
            self._wanted = max(self._wanted, demand.wanted)
            overtaken = [number for number in self._unconfirmed if demand.received >> (number - next_missing)]
            self._changed.notify_all()
        if demand.received:
            self._send_again(overtaken, time.monotonic(), early=True)

    def tick(self, now: float) -> None:
        """Send again what is not confirmed in time (reading thread)."""
        with self._changed:
            late = [number for number, part in self._unconfirmed.items() if now - part.sent >= part.interval]
        self._send_again(late, now)

    def _send_again(self, numbers: list[int], now: float, *, early: bool = False) -> None:
        again = []
        for number in numbers:
            with self._changed:
                part = self._unconfirmed.get(number)
                if part is None or (early and now - part.sent < part.interval / 4):
                    continue
                part.sent, part.interval = now, self._timing.next_interval(part.interval)
            again.append((number, part.payload))
        if again:
            self._send(again)

    def close(self) -> None:
        """End it; nothing more is taken from the scanner or sent."""
        with self._changed:
            self._closed = True
            self._unconfirmed.clear()
            self._changed.notify_all()
