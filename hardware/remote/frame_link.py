"""Frames both ways over one transport: a thread that reads, a thread that writes."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from typing import Protocol

from knightshift.core.errors import LinkFault
from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.remote.framing import Deframer, Frame, FrameKind, encode_frame
from knightshift.hardware.remote.transport import ByteTransport

_LOG = logging.getLogger(__name__)
_LONGEST_QUEUE = 1000
_LONGEST_TICK = 0.05


class FrameHandler(Protocol):
    """What one end of a link does with frames. All is called in the reading thread and must not block."""

    def received(self, frame: Frame) -> None:
        """Take a frame that came whole."""
        ...

    def tick(self, now: float) -> None:
        """Look at the time [s, monotonic]: several times in every heartbeat."""
        ...

    def lost(self, fault: LinkFault) -> None:
        """Learn that the transport has ended; called once, unless `FrameLink.close` came first."""
        ...


class FrameLink:
    """Sends and receives frames; says nothing of its own.

    Parameters
    ----------
    transport
        Open; the link owns it from now on.
    timing
        Patience.
    """

    def __init__(self, transport: ByteTransport, timing: LinkTiming) -> None:
        self.name = transport.name
        self._transport = transport
        self._tick = min(timing.heartbeat / 2, timing.resend_interval / 2, _LONGEST_TICK)
        self._deframer = Deframer()
        self._urgent: deque[bytes] = deque()
        self._parts: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._changed = threading.Condition()
        self._closing = self._writing = False
        self._write_fault: LinkFault | None = None
        self._reader = threading.Thread(target=self._read_all, name=f"read {self.name}", daemon=True)
        self._writer = threading.Thread(target=self._write_all, name=f"write {self.name}", daemon=True)
        self.last_sent = time.monotonic()
        """When the last frame was handed to the transport [s, monotonic]."""

    def start(self, handler: FrameHandler) -> None:
        """Begin to read and write."""
        self._handler = handler
        self._writer.start()
        self._reader.start()

    @property
    def dropped(self) -> int:
        """Pieces that came damaged."""
        return self._deframer.dropped

    def send(self, *frames: Frame) -> None:
        """Send frames if the line takes them at once, or else queue them; return at once.

        Parts of streams wait behind everything else, each only once.
        """
        encoded = [encode_frame(frame) for frame in frames]
        with self._changed:
            if self._closing or self._write_fault is not None:
                return
            idle = not (self._writing or self._urgent or self._parts)
            n_sent = self._send_at_once(b"".join(encoded)) if idle else 0
            for frame, content in zip(frames, encoded, strict=True):
                if n_sent < len(content):
                    self._queue(frame, content, n_sent)
                n_sent = max(0, n_sent - len(content))
            if self._urgent or self._parts:
                self._changed.notify()

    def _queue(self, frame: Frame, encoded: bytes, n_sent: int) -> None:
        if n_sent:
            self._urgent.append(encoded[n_sent:])  # the rest of a frame goes before anything else
        elif frame.kind == FrameKind.PART:
            self._parts.setdefault((frame.session, frame.number), encoded)
        elif len(self._urgent) < _LONGEST_QUEUE:  # what finds no room is lost, as on the line
            self._urgent.append(encoded)

    def _send_at_once(self, encoded: bytes) -> int:
        """Write what the line takes without waiting, which spares the writing thread; give the number of bytes."""
        try:
            n_sent = self._transport.write_at_once(encoded)
        except LinkFault as fault:
            self._write_fault = fault  # the reading thread finds it
            return len(encoded)
        self.last_sent = time.monotonic()
        return n_sent

    def close(self) -> None:
        """Send what is queued, but no parts of streams; give the transport up; return when both threads have ended."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if threading.current_thread() is not self._reader and self._reader.ident is not None:
            self._reader.join()

    def _read_all(self) -> None:
        fault: LinkFault | None = None
        try:
            while not self._closing:
                for frame in self._deframer.feed(self._transport.read(self._tick)):
                    self._handler.received(frame)
                self._handler.tick(time.monotonic())
                if self._write_fault is not None:
                    raise self._write_fault
        except LinkFault as problem:
            fault = problem
        finally:
            with self._changed:
                was_closing, self._closing = self._closing, True
                self._changed.notify()
            if fault is not None and not was_closing:
                _LOG.info("link lost: %s", fault)
                self._handler.lost(fault)  # first of all: the scanner must be safe before anything is tidied up
            self._writer.join()
            self._transport.close()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                while not (self._urgent or self._parts or self._closing):
                    self._changed.wait()
                if self._urgent:
                    encoded = self._urgent.popleft()
                elif self._parts and not self._closing:
                    _, encoded = self._parts.popitem(last=False)
                else:
                    return
                self._writing = True
            try:
                self._transport.write(encoded)
            except LinkFault as fault:
                with self._changed:
                    self._write_fault = fault
                    self._urgent.clear()
                    self._parts.clear()
                return
            self.last_sent = time.monotonic()
            with self._changed:
                self._writing = False
