"""One session of the serving side: each request carried out once, its reply kept, the readouts streamed."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Protocol

from pydantic import JsonValue

from knightshift.core.clock import Clock
from knightshift.core.errors import KnightshiftError, LinkFault, ScannerFault
from knightshift.hardware.contract import Scanner
from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.remote.commands import AT_ONCE, Order, carry_out
from knightshift.hardware.remote.framing import Frame, FrameKind
from knightshift.hardware.remote.messages import (
    Reply,
    decode_request,
    encode_body,
)
from knightshift.hardware.remote.outgoing_stream import OutgoingStream
from knightshift.hardware.remote.program_store import ProgramStore
from knightshift.hardware.remote.readout_records import decode_demand
from knightshift.hardware.remote.typed_errors import error_to_wire
from knightshift.hardware.remote.virtual_time import follow, time_to_send

_LOG = logging.getLogger(__name__)
_REPLIES_KEPT = 64
_MOST_RUNNING = 32
_AT_ONCE_THREADS = 4


class SendFrames(Protocol):
    """Sends frames together."""

    def __call__(self, *frames: Frame) -> None:
        """As `FrameLink.send`."""
        ...


class ServingSession:
    """Carries out what one client asks.

    Parameters
    ----------
    number
        Of the session.
    scanner
        The one that is served.
    clock
        The scanner's clock.
    timing
        Patience.
    send
        Sends frames.
    """

    def __init__(
        self, number: int, scanner: Scanner, clock: Clock | None, timing: LinkTiming, send: SendFrames
    ) -> None:
        self.number = number
        self._scanner, self._clock, self._timing, self._transmit = scanner, clock, timing, send
        self._programs = ProgramStore()
        self._lock = threading.RLock()  # a future that is done at once calls back in the thread that submitted it
        self._running: set[int] = set()
        self._replies: OrderedDict[int, bytes] = OrderedDict()
        self._forgotten = 0
        self._ended = False
        self._stream: OutgoingStream | None = None
        self._in_order = ThreadPoolExecutor(1, f"session {number:x} in order")
        self._at_once = ThreadPoolExecutor(_AT_ONCE_THREADS, f"session {number:x} at once")
        self._pumps = ThreadPoolExecutor(2, f"session {number:x} pump")
        self._last_sent = self._heard = time.monotonic()
        self.crash: BaseException | None = None
        """What the scanner raised that is no `KnightshiftError`: a mistake in a program, not a fault."""

    def received(self, frame: Frame) -> None:
        """Take a frame of this session (reading thread). Raises `MalformedMessageError`."""
        if frame.kind == FrameKind.REQUEST:
            self._requested(frame)
        elif frame.kind == FrameKind.DEMAND:
            demand = decode_demand(frame.payload)
            stream = self._stream
            if stream is not None and stream.number == demand.stream:
                follow(self._clock, demand.clock)
                stream.demanded(frame.number, demand)
        self._heard = time.monotonic()

    def _requested(self, frame: Frame) -> None:
        """Begin to carry a request out, unless it has come before."""
        number = frame.number
        with self._lock:
            reply, is_running = self._replies.get(number), number in self._running
            if reply is None and not is_running:
                if self._ended or number <= self._forgotten or len(self._running) >= _MOST_RUNNING:
                    return
                request, raw = decode_request(frame.payload)
                self._running.add(number)
                order = Order(number, request, raw, self._scanner, self._programs, self._open_stream)
                pool = self._at_once if request.command in AT_ONCE else self._in_order
                future = pool.submit(self._carry_out, order)
                future.add_done_callback(partial(self._finished, number, request.command))
                return
        if reply is not None:
            self._send(FrameKind.REPLY, number, reply)
        else:
            self._send(FrameKind.ACCEPTED, number)

    def _carry_out(self, order: Order) -> JsonValue:
        follow(self._clock, order.request.clock)
        return carry_out(order)

    def _finished(self, number: int, command: str, future: Future[JsonValue]) -> None:
        """Keep and send the reply (the thread that carried the request out)."""
        if future.cancelled():
            return
        error, clock = future.exception(), time_to_send(self._clock)
        if error is None:
            reply = Reply(command=command, value=future.result(), clock=clock)
        else:
            if not isinstance(error, KnightshiftError):
                self._crashed(error)
            reply = Reply(command=command, error=error_to_wire(error), clock=clock)
        payload = _encode_reply(reply)
        with self._lock:
            self._running.discard(number)
            self._replies[number] = payload
            while len(self._replies) > _REPLIES_KEPT:
                oldest, _ = self._replies.popitem(last=False)
                self._forgotten = max(self._forgotten, oldest)
        self._send(FrameKind.REPLY, number, payload)

    def _crashed(self, error: BaseException) -> None:
        _LOG.error("the served scanner fails: %r", error)
        self.crash = self.crash or error

    def _open_stream(self, number: int, timeout: float, window: int) -> None:
        readouts = self._scanner.readouts(timeout)
        clock = self._clock
        stream = OutgoingStream(number, readouts, self._send_parts, self._timing, window, lambda: time_to_send(clock))
        with self._lock:
            if self._ended:  # while the scanner answered: its pumps take no more work
                stream.close()
                raise LinkFault(f"session {self.number:x} has ended: readouts are sent to nobody, connect again")
            former, self._stream = self._stream, stream
            if former is not None:
                former.close()
            self._pumps.submit(stream.pump).add_done_callback(self._pumped)

    def _pumped(self, future: Future[None]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self._crashed(error)

    def _send(self, kind: FrameKind, number: int, payload: bytes = b"") -> None:
        self._last_sent = time.monotonic()
        self._transmit(Frame(kind, self.number, number, payload))

    def _send_parts(self, parts: Sequence[tuple[int, bytes]]) -> None:
        self._last_sent = time.monotonic()
        self._transmit(*(Frame(FrameKind.PART, self.number, number, payload) for number, payload in parts))

    def tick(self, now: float) -> None:
        """Send a heartbeat when it is due, and parts again (reading thread)."""
        if now - self._last_sent > self._timing.heartbeat / 2:
            self._send(FrameKind.HEARTBEAT, 0)
        stream = self._stream
        if stream is not None:
            stream.tick(now)

    def silence(self, now: float) -> float:
        """How long the client has been silent [s]."""
        return now - self._heard

    def end(self) -> None:
        """Make the scanner safe at once; nothing more is begun."""
        with self._lock:
            self._ended = True
            stream = self._stream
        if stream is not None:
            stream.close()
        self._scanner.make_safe()
        for pool in (self._in_order, self._at_once, self._pumps):
            pool.shutdown(wait=False, cancel_futures=True)

    def wait(self) -> None:
        """Wait for what was being carried out when the session ended, and make the scanner safe once more."""
        for pool in (self._in_order, self._at_once, self._pumps):
            pool.shutdown(wait=True)
        self._scanner.make_safe()


def _encode_reply(reply: Reply) -> bytes:
    try:
        return encode_body(reply.model_dump(exclude_none=True))
    except ValueError as problem:
        error = ScannerFault(f"what {reply.command} gave does not fit into a reply: {problem}")
        return encode_body(Reply(command=reply.command, error=error_to_wire(error), clock=reply.clock).model_dump())


def as_fault(error: BaseException) -> ScannerFault:
    """Say of a crash what a caller of `serve` must know."""
    return ScannerFault(f"the served scanner failed: {type(error).__name__}: {error}: this is a mistake in its backend")
