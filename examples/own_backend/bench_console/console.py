"""Stands for your vendor's library: a console that plays by itself and answers from a queue.

It knows nothing of knightshift, as a vendor's library would not. Throw this file away.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """What the console puts into the queue: one acquisition window."""

    number: int
    """Which window of the run, from 0."""
    samples: NDArray[Any]
    """complex64, shape ``(sample,)``; 1 is the full scale."""
    clipped: bool
    """Whether a sample hit the full scale."""


@dataclass(frozen=True)
class Windows:
    """The acquisition windows of a sequence."""

    ends: Sequence[float]
    """End of each from the start of the run [s]."""
    samples: int
    """Complex samples of each."""
    dwell_time: float
    """Time between samples [s]."""


class DummyConsole:
    """Receives a decaying tone in every window, in real time.

    Parameters
    ----------
    serial_number
        Whatever the label on the back says.
    tone
        Frequency of the tone from the working frequency [Hz].
    decay_time
        Time in which it decays to 1/e [s].
    """

    firmware = "1.4.2"

    def __init__(self, serial_number: str, tone: float, decay_time: float) -> None:
        self.serial_number, self.tone, self.decay_time = serial_number, tone, decay_time
        self.working_frequency = 0.0
        self.gain = 0.0
        self.lost_windows: set[tuple[int, int]] = set()
        """Windows that never reach the queue, as (run, window), each counted from 0; to see what happens then."""
        self.on_alarm: Callable[[str], None] = lambda message: None
        """Called from a thread of the console when something trips."""
        self._runs = 0
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None

    def play(self, windows: Windows) -> queue.SimpleQueue[Frame]:
        """Begin a run; its frames come through the queue that is returned, while it plays."""
        self.halt()
        frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._play, args=(windows, frames, self._halt, self._runs), daemon=True)
        self._runs += 1
        self._thread.start()
        return frames

    def halt(self) -> None:
        """Blank the transmitter and stop the run. May be called at any time, from any thread."""
        self._halt.set()

    def trip(self, reason: str) -> None:
        """Let an interlock open: the console halts by itself and raises the alarm."""
        self.halt()
        self.on_alarm(reason)

    def _play(self, windows: Windows, frames: queue.SimpleQueue[Frame], halt: threading.Event, run: int) -> None:
        began = time.monotonic()
        times = (np.arange(windows.samples) + 0.5) * windows.dwell_time
        tone = 0.5 * 10 ** (self.gain / 20) * np.exp((2j * np.pi * self.tone - 1 / self.decay_time) * times)
        samples = np.clip(tone.real, -1, 1) + 1j * np.clip(tone.imag, -1, 1)
        clipped = bool(np.any(samples != tone))
        for number, end in enumerate(windows.ends):
            if halt.wait(max(0.0, began + end - time.monotonic())):
                return
            if (run, number) not in self.lost_windows:
                frames.put(Frame(number, samples.astype(np.complex64), clipped))
