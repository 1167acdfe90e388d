"""The client's end of a stream of readouts: every record once, in order, or a fault."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from knightshift.core.errors import LinkFault
from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.remote.framing import Frame, FrameKind
from knightshift.hardware.remote.messages import MalformedMessageError
from knightshift.hardware.remote.readout_records import (
    MAX_RECORD,
    Demand,
    Part,
    Record,
    decode_part,
    decode_record,
    encode_demand,
)

_BITS = 64
_LARGEST_GRANT = 16


class IncomingStream:
    """Puts parts in order and together; tells the server what has come and how much is wanted.

    Parameters
    ----------
    number
        Request that opened the stream.
    window
        Records to be taken from the scanner before they are asked for.
    send
        Sends a DEMAND: number of the frame and payload.
    timing
        Patience.
    time_to_send
        Gives the time of the client's virtual clock.
    in_step
        The server's clock is virtual: nothing is taken in advance, but whoever asks for a record is granted more with
        it, 1, 2, 4 … up to `_LARGEST_GRANT` and `window`, and the server takes no other before all of them were had.
    """

    def __init__(
        self,
        number: int,
        window: int,
        send: Callable[[FrameKind, int, bytes], None],
        timing: LinkTiming,
        time_to_send: Callable[[], float | None],
        *,
        in_step: bool = False,
    ) -> None:
        self._number, self._window, self._send, self._in_step = number, window, send, in_step
        self._timing, self._time = timing, time_to_send
        self._changed = threading.Condition()
        self._early: dict[int, Part] = {}
        self._next_part = 0
        self._building = bytearray()
        self._records: deque[Record] = deque()
        self._asked = self._granted = 0
        self._grant, self._largest_grant = 1, min(window, _LARGEST_GRANT)
        self._cut = False
        self._fault: LinkFault | None = None

    def feed(self, frame: Frame) -> None:
        """Take a PART of the link (reading thread). Raises `MalformedMessageError`."""
        part = decode_part(frame.payload)
        if part.stream != self._number:
            return
        with self._changed:
            if 0 <= frame.number - self._next_part <= _BITS:
                self._early.setdefault(frame.number, part)
            is_next = self._next_part in self._early
            while self._next_part in self._early:
                self._append(self._early.pop(self._next_part))
                self._next_part += 1
            asks_soon = self._in_step and is_next and self._holds_only_readouts()
            self._changed.notify_all()
        if not asks_soon:
            self._tell()

    def _holds_only_readouts(self) -> bool:
        """Whether whole readouts have come and nothing else: the demand for the next ones will confirm them too."""
        return bool(self._records) and not (self._early or self._building or self._records[-1].readout is None)

    def _append(self, part: Part) -> None:
        if part.total > MAX_RECORD or len(self._building) + len(part.content) > part.total:
            raise MalformedMessageError("a record longer than it says")
        self._building += part.content
        if not part.is_last:
            self._largest_grant = 1  # large records: each is confirmed part by part
            return
        complete, self._building = bytes(self._building), bytearray()
        if len(complete) != part.total:
            raise MalformedMessageError("a record shorter than it says")
        record = decode_record(complete)
        if self._cut and record.readout is not None:
            self._asked += 1  # the end is wanted in its place
        else:
            self._records.append(record)

    def _tell(self) -> None:
        with self._changed:
            bits = sum(1 << (number - self._next_part - 1) for number in self._early if number > self._next_part)
            demand = Demand(self._number, self._wanted(), bits, self._time())
            number = self._next_part
        self._send(FrameKind.DEMAND, number, encode_demand(demand))

    def _wanted(self) -> int:
        """Say how many records of the stream the server may take: those of the last grant, if it is not used up."""
        if not self._in_step:
            return self._asked + self._window
        if self._asked > self._granted:
            self._granted = self._asked + self._grant - 1
            self._grant = min(2 * self._grant, self._largest_grant)
        return self._granted

    def take(self, longest: float) -> Record:
        """Wait for the next record.

        Raises
        ------
        LinkFault
            If the link is lost meanwhile.
        TimeoutError
            If the link lives but nothing comes for `longest` [s].
        """
        with self._changed:
            self._asked += 1
            must_tell = self._in_step and self._asked > self._granted
        deadline, interval = time.monotonic() + longest, self._timing.resend_interval
        while True:
            if must_tell:
                self._tell()
            with self._changed:
                self._changed.wait_for(lambda: bool(self._records) or self._fault is not None, interval)
                if self._records:
                    return self._records.popleft()
                if self._fault is not None:
                    raise LinkFault(self._fault.message, self._fault.device, self._fault.transient)
            if time.monotonic() > deadline:
                raise TimeoutError
            must_tell, interval = True, self._timing.next_interval(interval)

    def begin(self) -> None:
        """Ask for the first records."""
        self._tell()

    def cut(self) -> None:
        """Forget the readouts that have come but were not taken: the pass was aborted."""
        with self._changed:
            self._cut = True
            kept = deque(record for record in self._records if record.readout is None)
            self._asked += len(self._records) - len(kept)
            self._records = kept
        self._tell()

    @property
    def was_cut(self) -> bool:
        """Whether the pass was aborted from here."""
        with self._changed:
            return self._cut

    def fail(self, fault: LinkFault) -> None:
        """Wake up whoever waits: the link is lost."""
        with self._changed:
            self._fault = self._fault or fault
            self._records.clear()
            self._changed.notify_all()
