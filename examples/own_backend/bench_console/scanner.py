"""The `Scanner` contract on top of a console that answers from a queue."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench_console.console import DummyConsole, Frame, Windows
from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.clock import SystemClock
from knightshift.core.errors import InterlockFault
from knightshift.core.limits import ScannerLimits
from knightshift.core.passes import Readout
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Capabilities, Identity
from knightshift.hardware.pass_pacing import PassPace
from knightshift.hardware.program_check import check_program
from knightshift.hardware.pulseq_text import EventTables
from knightshift.hardware.readout_plan import ReadoutPlan, plan_readouts, with_pass
from knightshift.hardware.scanner_base import LocalScanner

_DEVICE = "bench console"
_POLL = 0.02
_LARGEST_GAIN = 60.0


@dataclass(frozen=True)
class _Translated:
    """A program that was checked, in the words of the console."""

    plan: ReadoutPlan
    windows: Windows


@dataclass(frozen=True)
class _PlayingPass:
    """One pass from start to end. It has a queue of its own: no frame of an earlier pass can get into it."""

    pace: PassPace
    counters: IntArray
    frames: queue.SimpleQueue[Frame]
    due: RealArray
    """When each frame is expected [s since the Unix epoch], shape ``(readout,)``."""
    finish: float


class BenchScanner(LocalScanner[_PlayingPass]):
    """A console behind the contract.

    Parameters
    ----------
    limits
        What the site file says the device can do.
    nuclei
        Nuclei that the coil is tuned for.
    console
        The console.
    """

    def __init__(self, limits: ScannerLimits, nuclei: tuple[str, ...], console: DummyConsole) -> None:
        super().__init__(_DEVICE, SystemClock(), largest_gain=_LARGEST_GAIN)
        self._limits, self._nuclei, self._console = limits, nuclei, console
        self._translated: dict[str, _Translated] = {}
        console.on_alarm = self._latch

    def _switch_off(self) -> None:
        self._console.halt()

    def _latch(self, reason: str) -> None:
        self._states.latch(InterlockFault(f"{reason}: remove the cause, then reset", _DEVICE))

    def identify(self) -> Identity:
        """Say who is there."""
        self._states.require_link("identify")
        return Identity("bench_console", f"Bench console {self._console.serial_number}", self._console.firmware)

    def capabilities(self) -> Capabilities:
        """Say what it can do."""
        self._states.require_link("capabilities")
        return Capabilities(self._limits, self._nuclei, n_channels=1, full_scale=1.0)

    def validate(self, program: PassProgram) -> None:
        """Check `program` against the limits, without arming it. Raises `LimitError` or `ProtocolError`."""
        check_program(program, self.capabilities())

    def prepare(self, program: PassProgram) -> None:
        """Check `program` and arm it: everything that can be refused is refused here, before any RF."""
        self._states.check("prepare")
        self._translated[program.digest] = _translate(check_program(program, self.capabilities()))
        self._arm(program)

    def start(self, pass_index: int, epoch: int = 0) -> None:
        """Play the armed program once."""
        program = self._armed_program()
        translated = self._translated[program.digest]

        def play(pace: PassPace) -> _PlayingPass:
            self._console.working_frequency = self._frequency_of(program)
            self._console.gain = self._gain
            started = self._clock.now()
            return _PlayingPass(
                pace=pace,
                counters=with_pass(translated.plan.counters, pass_index, epoch),
                frames=self._console.play(translated.windows),
                due=started + translated.plan.ends,
                finish=started + program.duration,
            )

        self._begin(pass_index, play)

    def _deliver(self, playing: _PlayingPass, timeout: float) -> Iterator[Readout]:
        pace = playing.pace
        for number, counters in enumerate(playing.counters):
            pace.check_plays()
            if self._stopped_early(pace):
                return
            frame = self._next_frame(playing, number, timeout)
            yield Readout(counters, frame.samples[np.newaxis, :], frame.clipped)
        pace.check_plays()
        if self._stopped_early(pace):
            return
        self._finish(pace, playing.finish)

    def _next_frame(self, playing: _PlayingPass, number: int, timeout: float) -> Frame:
        """Wait for one frame, in slices short enough for an abort to be noticed."""
        pace, what = playing.pace, f"readout {number} of pass {playing.pace.pass_index}"
        deadline = float(playing.due[number]) + timeout
        while True:
            pace.check_plays()
            try:
                frame = playing.frames.get(timeout=_POLL)
            except queue.Empty:
                if self._clock.now() > deadline:
                    self._never_came(pace, f"{what} did not come within {timeout:g} s: repeat the pass")
                continue
            pace.check_plays()
            if frame.number != number:
                self._never_came(pace, f"{what} never came, {frame.number} did: repeat the pass")
            return frame


def _translate(tables: EventTables) -> _Translated:
    """Translate a program for the console: here only its windows; yours also needs pulses and gradients."""
    plan = plan_readouts(tables)
    first = next(tables.adc[block.adc] for block in tables.blocks if block.adc)
    return _Translated(plan, Windows(plan.ends.tolist(), first.samples, first.dwell_time))
