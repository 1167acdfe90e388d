"""The `Scanner` contract on top of a console that answers from a queue."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from bench_console.console import DummyConsole, Frame, Windows
from knightshift.core.arrays import IntArray
from knightshift.core.errors import (
    ConfigError,
    IllegalTransitionError,
    InterlockFault,
    ReadoutTimeoutError,
    ScannerFault,
)
from knightshift.core.limits import ScannerLimits
from knightshift.core.passes import Readout
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Capabilities, Identity, ScannerState, ScannerStatus, StopAt
from knightshift.hardware.program_check import check_program
from knightshift.hardware.pulseq_text import EventTables
from knightshift.hardware.readout_plan import ReadoutPlan, plan_readouts, with_pass
from knightshift.hardware.states import StateMachine

_DEVICE = "bench console"
_PLAYING = frozenset({ScannerState.ACQUIRING, ScannerState.STOPPING})
_POLL = 0.02
_LARGEST_GAIN = 60.0


@dataclass(frozen=True)
class _Armed:
    """A program that was checked, in the words of the console."""

    program: PassProgram
    plan: ReadoutPlan
    windows: Windows


@dataclass(frozen=True)
class _PlayingPass:
    """One pass from start to end. It has a queue of its own: no frame of an earlier pass can get into it."""

    index: int
    generation: int
    armed: _Armed
    counters: IntArray
    frames: queue.SimpleQueue[Frame]
    started: float
    """By `time.monotonic` [s]."""


class BenchScanner:
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
        self._limits, self._nuclei, self._console = limits, nuclei, console
        self._states = StateMachine(_DEVICE)
        self._armed: _Armed | None = None
        self._playing: _PlayingPass | None = None
        self._chosen_frequency: float | None = None
        self._gain = 0.0
        self._stop_at = StopAt.PASS
        console.on_alarm = self._latch

    # --- the link -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Connect."""
        self.connect()
        return self

    def __exit__(self, *exc: object) -> None:
        """Make safe and close, whatever happened."""
        self.make_safe()
        self.close()

    def connect(self) -> None:
        """Open the link and make the console safe."""
        self._silence("connect")

    def close(self) -> None:
        """Make safe and give the link up. Legal in every state."""
        self._silence("close")

    def identify(self) -> Identity:
        """Say who is there."""
        self._states.require_link("identify")
        return Identity("bench_console", f"Bench console {self._console.serial_number}", self._console.firmware)

    def capabilities(self) -> Capabilities:
        """Say what it can do."""
        self._states.require_link("capabilities")
        return Capabilities(self._limits, self._nuclei, n_channels=1, full_scale=1.0)

    def status(self) -> ScannerStatus:
        """Say what it is doing: from memory, so that it never waits for the console."""
        fault, armed, frequency = self._states.fault, self._armed, self._chosen_frequency
        if frequency is None and armed is not None:
            frequency = armed.program.working_frequency
        return ScannerStatus(self._states.state, frequency, self._gain, None if fault is None else str(fault))

    # --- a pass ---------------------------------------------------------------------------------------------------

    def validate(self, program: PassProgram) -> None:
        """Check `program` against the limits, without arming it. Raises `LimitError` or `ProtocolError`."""
        check_program(program, self.capabilities())

    def prepare(self, program: PassProgram) -> None:
        """Check `program` and arm it: everything that can be refused is refused here, before any RF."""
        self._states.check("prepare")
        armed = _translate(program, check_program(program, self.capabilities()))
        with self._states.transition("prepare"):
            self._armed = armed

    def start(self, pass_index: int, epoch: int = 0) -> None:
        """Play the armed program once."""
        with self._states.transition("start"):  # under its lock: no make_safe can come between check and play
            armed = self._armed
            if armed is None:
                raise IllegalTransitionError("start: no program is armed, prepare one", _DEVICE)
            self._console.working_frequency = self._chosen_frequency or armed.program.working_frequency
            self._console.gain = self._gain
            self._stop_at = StopAt.PASS
            self._playing = _PlayingPass(
                index=pass_index,
                generation=self._states.generation + 1,
                armed=armed,
                counters=with_pass(armed.plan.counters, pass_index, epoch),
                frames=self._console.play(armed.windows),
                started=time.monotonic(),
            )

    def readouts(self, timeout: float) -> Iterator[Readout]:
        """Yield the readouts of the pass that plays, in order, until it ends."""
        playing = self._playing
        if playing is None or self._states.state not in _PLAYING:
            raise IllegalTransitionError(
                f"readouts are not possible while {self._states.state}: start a pass first", _DEVICE
            )
        return self._deliver(playing, timeout)

    def _deliver(self, playing: _PlayingPass, timeout: float) -> Iterator[Readout]:
        for number in range(playing.armed.program.n_readouts):
            if self._stopped_early(playing):
                return
            frame = self._next_frame(playing, number, timeout)
            yield Readout(playing.counters[number], frame.samples[np.newaxis, :], frame.clipped)
        if self._stopped_early(playing):
            return
        while time.monotonic() < playing.started + playing.armed.program.duration:
            self._check_plays(playing)
            time.sleep(_POLL / 10)
        self._check_plays(playing)
        self._states.finish_pass(playing.generation)

    def _next_frame(self, playing: _PlayingPass, number: int, timeout: float) -> Frame:
        """Wait for one frame, in slices short enough for an abort to be noticed."""
        deadline = playing.started + playing.armed.windows.ends[number] + timeout
        while True:
            self._check_plays(playing)
            try:
                frame = playing.frames.get(timeout=_POLL)
            except queue.Empty:
                if time.monotonic() < deadline:
                    continue
                self._cut(playing)
                raise ReadoutTimeoutError(
                    f"readout {number} of pass {playing.index} did not come within {timeout:g} s: repeat the pass",
                    _DEVICE,
                ) from None
            self._check_plays(playing)
            if frame.number != number:
                self._cut(playing)
                raise ReadoutTimeoutError(
                    f"readout {number} of pass {playing.index} never came, {frame.number} did: repeat the pass", _DEVICE
                )
            return frame

    def _latch(self, reason: str) -> None:
        self._states.latch(InterlockFault(f"{reason}: remove the cause, then reset", _DEVICE))

    def _check_plays(self, playing: _PlayingPass) -> None:
        if (fault := self._states.fault) is not None:
            raise fault
        if self._states.state not in _PLAYING or self._states.generation != playing.generation:
            raise ScannerFault(f"pass {playing.index} was aborted: its data are lost", _DEVICE)

    def _cut(self, playing: _PlayingPass) -> None:
        self._check_plays(playing)
        self.abort()

    def _stopped_early(self, playing: _PlayingPass) -> bool:
        self._check_plays(playing)
        if self._states.state is ScannerState.STOPPING and self._stop_at is StopAt.READOUT:
            self._console.halt()
            self._states.finish_pass(playing.generation)
            return True
        return False

    # --- stopping -------------------------------------------------------------------------------------------------

    def stop(self, at: StopAt = StopAt.PASS) -> None:
        """Stop after the pass, or after the readout that plays."""
        with self._states.transition("stop") as before:
            self._stop_at = at
            if before not in _PLAYING:
                self._armed = None

    def abort(self) -> None:
        """Stop now; the pass is lost. Safe from any thread, in any state, any number of times."""
        self._silence("abort")

    def make_safe(self) -> None:
        """Blank RF, zero gradients. Never raises; from any thread, in any state."""
        self._silence("make_safe")

    def reset(self) -> None:
        """Clear a latched fault."""
        self._silence("reset")

    def _silence(self, command: str) -> None:
        with self._states.transition(command):
            self._console.halt()
            self._armed = self._playing = None

    # --- settings -------------------------------------------------------------------------------------------------

    def set_frequency(self, frequency: float) -> None:
        """Set the working frequency of transmitter and receiver [Hz]."""
        if not (math.isfinite(frequency) and frequency > 0):
            raise ConfigError(f"working frequency {frequency!r} Hz is not possible: give a positive number")
        with self._states.transition("set_frequency"):
            self._chosen_frequency = float(frequency)

    def set_receiver_gain(self, gain: float) -> None:
        """Set the receiver gain [dB]."""
        if not abs(gain) <= _LARGEST_GAIN:
            raise ConfigError(f"receiver gain {gain!r} dB is not possible: choose between -60 and 60 dB")
        with self._states.transition("set_receiver_gain"):
            self._gain = float(gain)


def _translate(program: PassProgram, tables: EventTables) -> _Armed:
    """Translate a program for the console: here only its windows; yours also needs pulses and gradients."""
    plan = plan_readouts(tables)
    first = next(tables.adc[block.adc] for block in tables.blocks if block.adc)
    return _Armed(program, plan, Windows(plan.ends.tolist(), first.samples, first.dwell_time))
