"""Serve an emulated line on a pseudo-terminal, in real time."""

from __future__ import annotations

import os
import pty
import select
import threading
import time
import tty
from pathlib import Path
from typing import Self

from knightshift.hardware.monitors.emulated.line import EmulatedLine

_TICK = 0.002


class PtyServer:
    """A pseudo-terminal with an emulated device at its other end; use it in a ``with``.

    Parameters
    ----------
    line
        The device and its faults.
    link
        Path of a symbolic link that names the terminal. A pulled cable removes it, and what comes back later is another
        terminal under the same name, as with a USB adapter.
    """

    def __init__(self, line: EmulatedLine, link: Path) -> None:
        self.line = line
        self.link = link
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"emulated device on {link.name}", daemon=True)
        self._master = -1
        self._slave = -1

    def __enter__(self) -> Self:
        """Start to serve."""
        self._plug_in()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop serving and take the terminal away."""
        self._stop.set()
        self._thread.join()
        self._pull_out()

    def _plug_in(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)  # we keep the other end open, so that clients may come and go
        self.link.symlink_to(os.ttyname(self._slave))

    def _pull_out(self) -> None:
        self.link.unlink(missing_ok=True)
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1

    def _serve(self) -> None:
        while not self._stop.is_set():
            now = time.monotonic()
            if not self.line.is_plugged(now):
                self._pull_out()
                self._stop.wait(_TICK)
            elif self._master < 0:
                self._plug_in()
            else:
                self._exchange()

    def _exchange(self) -> None:
        arrival = self.line.next_arrival()
        wait = 5 * _TICK if arrival is None else min(5 * _TICK, max(0.0, arrival - time.monotonic()))
        readable, _, _ = select.select([self._master], [], [], wait)
        if readable:
            self.line.send(os.read(self._master, 4096), time.monotonic())
        if answer := self.line.take(4096, time.monotonic()):
            os.write(self._master, answer)
