"""A scanner of this process, reached over a link in memory: as a remote one, but nothing has to be served elsewhere."""

from __future__ import annotations

import logging
import queue
import socket
import threading

from knightshift.core.clock import Clock
from knightshift.core.errors import KnightshiftError, LinkFault
from knightshift.hardware.contract import Scanner
from knightshift.hardware.faults import FaultScript
from knightshift.hardware.link_timing import LinkTiming
from knightshift.hardware.remote.client import RemoteScanner
from knightshift.hardware.remote.link_faults import LinkFaults
from knightshift.hardware.remote.server import serve
from knightshift.hardware.remote.settings import ServeOptions
from knightshift.hardware.remote.transport import ByteTransport, SocketTransport

_LOG = logging.getLogger(__name__)
_POLL = 0.02


class _Cable:
    """Serves a scanner in a thread of its own; each `open` plugs a new pair of connected ends in."""

    def __init__(self, scanner: Scanner, options: ServeOptions) -> None:
        self._scanner, self._options = scanner, options
        self._plugged: queue.SimpleQueue[ByteTransport] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> ByteTransport:
        ours, theirs = socket.socketpair()
        self._plugged.put(SocketTransport(theirs, "loopback (server)"))
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._serve, name="serve loopback", daemon=True)
            self._thread.start()
        return SocketTransport(ours, "loopback")

    def stop(self) -> None:
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _serve(self) -> None:
        try:
            serve(self._scanner, self._next_end, stop=self._stop, options=self._options)
        except KnightshiftError as error:
            _LOG.error("the scanner behind the loopback fails: %s", error)

    def _next_end(self) -> ByteTransport:
        try:
            return self._plugged.get(timeout=_POLL)
        except queue.Empty:
            raise LinkFault("nothing is plugged in", "loopback") from None


class LoopbackScanner(RemoteScanner):
    """A local scanner behind a link of our own, on which the link faults of a script are played.

    Parameters
    ----------
    scanner
        Disconnected; from now on it belongs to the serving side.
    clock
        Of this side.
    scanner_clock
        The scanner's: a `VirtualClock` of its own if `clock` is one.
    timing
        Patience of both ends.
    faults
        Script of the site.
    """

    def __init__(
        self, scanner: Scanner, *, clock: Clock, scanner_clock: Clock, timing: LinkTiming, faults: FaultScript
    ) -> None:
        options = ServeOptions(clock=scanner_clock, timing=timing)
        self._cable = _Cable(scanner, options)
        link = LinkFaults(self._cable.open, faults, 2 * timing.link_timeout)
        super().__init__(link.open, clock=clock, timing=timing, token=options.token(), on_start=link.pass_started)

    def close(self) -> None:
        """Make safe, give the link up and end the serving. Legal in every state."""
        super().close()
        self._cable.stop()
