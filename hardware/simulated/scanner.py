"""The simulated scanner: the `Scanner` contract on top of the Bloch equations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray
from knightshift.core.clock import Clock, VirtualClock
from knightshift.core.errors import ConfigError, IllegalTransitionError, ReadoutTimeoutError, ScannerFault
from knightshift.core.limits import ScannerLimits
from knightshift.core.passes import Readout
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Capabilities, Identity, ScannerState, ScannerStatus, StopAt
from knightshift.hardware.faults import SCANNER_FAULTS
from knightshift.hardware.program_check import check_program
from knightshift.hardware.pulseq_text import EventTables
from knightshift.hardware.simulated.phantom import Phantom
from knightshift.hardware.simulated.receiver import digitise, noise
from knightshift.hardware.simulated.settings import SimulatorSettings
from knightshift.hardware.simulated.signals import PassSignal, SignalLibrary
from knightshift.hardware.simulated.spoiling import SpoiledPass, disturb, spoiled
from knightshift.hardware.simulated.timeline import with_pass
from knightshift.hardware.states import StateMachine

_DAY = 86400.0
_POLL = 0.05
_LARGEST_GAIN = 120.0


@dataclass(frozen=True)
class _PlayingPass:
    """One pass from start to end."""

    index: int
    generation: int
    started: float
    duration: float
    ends: tuple[float, ...]
    samples: ComplexArray
    overrange: BoolArray
    counters: IntArray
    lengths: IntArray
    spoiled: SpoiledPass


class SimulatedScanner:
    """A scanner of numbers, with the same contract as one of steel.

    Parameters
    ----------
    limits
        What the simulated device can do.
    settings
        Receiver, isochromats, drift, faults.
    phantom
        What lies in the magnet.
    clock
        A `VirtualClock` jumps, a `SystemClock` waits; readouts come at the end of their windows on either.
    seed
        Of the noise; the noise of a pass depends on it and on the index of the pass alone.
    """

    def __init__(
        self, limits: ScannerLimits, settings: SimulatorSettings, phantom: Phantom, *, clock: Clock, seed: int
    ) -> None:
        self._limits, self._settings, self._phantom = limits, settings, phantom
        self._clock, self._seed = clock, seed
        self._library = SignalLibrary(phantom, limits.b0, settings)
        self._states = StateMachine("simulated scanner")
        self._checked: dict[str, EventTables] = {}
        self._armed: PassProgram | None = None
        self._chosen_frequency: float | None = None
        self._gain = 0.0
        self._playing: _PlayingPass | None = None
        self._stop_at = StopAt.PASS
        self._attempts: Counter[int] = Counter()

    def __enter__(self) -> Self:
        """Connect."""
        self.connect()
        return self

    def __exit__(self, *exc: object) -> None:
        """Make safe and close, whatever happened."""
        self.make_safe()
        self.close()

    def connect(self) -> None:
        """Open the link. Nothing can fail here: there is no link."""
        with self._states.transition("connect"):
            self._armed = self._playing = None

    def close(self) -> None:
        """Make safe and give the link up. Legal in every state."""
        with self._states.transition("close"):
            self._armed = self._playing = None

    def identify(self) -> Identity:
        """Say who is there."""
        self._states.require_link("identify")
        return Identity("simulated", f"{self._limits.name} (simulated), {self._phantom.name}", version("knightshift"))

    def capabilities(self) -> Capabilities:
        """Say what it can do."""
        self._states.require_link("capabilities")
        return Capabilities(self._limits, self._settings.nuclei, n_channels=1, full_scale=1.0)

    def validate(self, program: PassProgram) -> None:
        """Check `program` against the limits, without arming it. Raises `LimitError` or `ProtocolError`."""
        self._tables(program)

    def _tables(self, program: PassProgram) -> EventTables:
        if program.digest not in self._checked:
            self._checked[program.digest] = check_program(program, self.capabilities())
        return self._checked[program.digest]

    def prepare(self, program: PassProgram) -> None:
        """Check, load and arm `program`; what it gives without noise is computed here, once for each program."""
        self._states.check("prepare")
        self._library.signal(program, self._tables(program), self._chosen_frequency or program.working_frequency)
        with self._states.transition("prepare"):
            self._armed = program

    def start(self, pass_index: int, epoch: int = 0) -> None:
        """Play the armed program once."""
        self._states.check("start")
        program, frequency = self._armed, self._frequency()
        if program is None or frequency is None:
            raise IllegalTransitionError(
                "start: the program was disarmed meanwhile, prepare it again", "simulated scanner"
            )
        signal = self._library.signal(program, self._tables(program), frequency)
        started = self._clock.now()
        attempt = self._attempts[pass_index] + 1
        strikes = list(self._settings.faults.strikes(SCANNER_FAULTS, pass_index, attempt, epoch))
        analogue = self._receive(signal, frequency, pass_index, started)
        disturb(analogue, strikes)
        samples, overrange = digitise(analogue[:, np.newaxis, :], self._settings.receiver)
        counters = with_pass(signal.timeline.counters, pass_index, epoch)
        ends = tuple(started + float(end) for end in signal.timeline.ends)
        with self._states.transition("start"):
            self._attempts[pass_index] = attempt
            self._stop_at = StopAt.PASS
            self._playing = _PlayingPass(
                pass_index,
                self._states.generation + 1,
                started,
                program.duration,
                ends,
                samples,
                overrange,
                counters,
                signal.timeline.lengths,
                spoiled(strikes, len(ends)),
            )

    def _receive(self, signal: PassSignal, frequency: float, pass_index: int, started: float) -> ComplexArray:
        """Receive one pass up to the converter: drift, gain, noise. Shape ``(readout, sample)``."""
        receiver = self._settings.receiver
        ideal = signal.at_offset(self.field_offset(started) - (frequency - signal.frequency))
        timeline = signal.timeline
        bandwidth = np.array([1 / window.dwell_time for window in timeline.windows])[timeline.readout_windows]
        analogue: ComplexArray = (receiver.sensitivity * ideal).astype(np.complex64)
        analogue += noise((timeline.counters.size, timeline.n_samples), bandwidth, receiver, (self._seed, pass_index))
        analogue *= np.float32(10 ** (self._gain / 20) * self.gain_factor(started))
        return analogue

    def field_offset(self, time: float) -> float:
        """Shift of every resonance by the drift of the field [Hz] at `time` [s since the Unix epoch]."""
        return self._settings.field_drift * _drifting_time(time)

    def gain_factor(self, time: float) -> float:
        """Gain of the receiver over the one set, by its drift, at `time` [s since the Unix epoch]."""
        return max(0.0, 1 + self._settings.gain_drift * _drifting_time(time))

    def readouts(self, timeout: float) -> Iterator[Readout]:
        """Yield the readouts of the pass that plays, each when its window has ended.

        Raises
        ------
        IllegalTransitionError
            If nothing plays.
        ReadoutTimeoutError
            If a readout is late by more than `timeout` [s]; the pass has been aborted then.
        ScannerFault
            If the pass was aborted or made safe meanwhile.
        """
        playing = self._playing
        if playing is None or self._states.state not in {ScannerState.ACQUIRING, ScannerState.STOPPING}:
            raise IllegalTransitionError(
                f"readouts are not possible while {self._states.state}: start a pass first", "simulated scanner"
            )
        return self._deliver(playing, timeout)

    def _deliver(self, playing: _PlayingPass, timeout: float) -> Iterator[Readout]:
        for number, end in enumerate(playing.ends):
            self._wait_until(end, playing)
            if self._stopped_early(playing):
                return
            self._suffer(number, playing, timeout)
            samples = playing.samples[number, :, : playing.lengths[number]]
            yield Readout(playing.counters[number], samples, bool(playing.overrange[number]))
            if self._stopped_early(playing):
                return
        self._wait_until(playing.started + playing.duration, playing)
        self._states.finish_pass(playing.generation)

    def _suffer(self, number: int, playing: _PlayingPass, timeout: float) -> None:
        """Let the faults that fall on a readout have their way.

        Raises
        ------
        InterlockFault
            If an interlock opens; it is latched.
        ReadoutTimeoutError
            If the readout does not come in time; the pass has been aborted then.
        """
        trip = playing.spoiled.trips.get(number)
        if trip is not None:
            self._armed = self._playing = None
            self._states.latch(trip)
            raise trip
        delay = math.inf if number in playing.spoiled.lost else playing.spoiled.delays.get(number, 0.0)
        if delay:
            self._wait_until(playing.ends[number] + min(delay, timeout), playing)
        if delay > timeout:
            self.abort()
            raise ReadoutTimeoutError(
                f"readout {number} of pass {playing.index} did not come within {timeout:g} s: repeat the pass",
                "simulated scanner",
            )

    def _stopped_early(self, playing: _PlayingPass) -> bool:
        if self._states.state is ScannerState.STOPPING and self._stop_at is StopAt.READOUT:
            self._states.finish_pass(playing.generation)
            return True
        return False

    def _wait_until(self, due: float, playing: _PlayingPass) -> None:
        """Let time pass, in slices short enough for an abort to be noticed.

        Raises
        ------
        ScannerFault
            If the pass does not play any more.
        """
        while True:
            running = self._states.state in {ScannerState.ACQUIRING, ScannerState.STOPPING}
            if not running or self._states.generation != playing.generation:
                raise ScannerFault(f"pass {playing.index} was aborted: its data are lost", "simulated scanner")
            remaining = due - self._clock.now()
            if remaining <= 0:
                return
            self._clock.sleep(min(remaining, _POLL))

    def stop(self, at: StopAt = StopAt.PASS) -> None:
        """Stop after the pass, or after the readout that plays."""
        with self._states.transition("stop") as before:
            self._stop_at = at
            if before in {ScannerState.PREPARED, ScannerState.IDLE}:
                self._armed = None

    def abort(self) -> None:
        """Stop now; the pass is lost. Safe from any thread, in any state, any number of times."""
        with self._states.transition("abort"):
            self._armed = self._playing = None

    def make_safe(self) -> None:
        """Blank RF, zero gradients. Never raises; from any thread, in any state."""
        with self._states.transition("make_safe"):
            self._armed = self._playing = None

    def set_frequency(self, frequency: float) -> None:
        """Set the working frequency [Hz].

        Raises
        ------
        ConfigError
            If it is not a positive number.
        """
        if not (math.isfinite(frequency) and frequency > 0):
            raise ConfigError(f"working frequency {frequency!r} Hz is not possible: give a positive number")
        with self._states.transition("set_frequency"):
            self._chosen_frequency = float(frequency)

    def _frequency(self) -> float | None:
        if self._chosen_frequency is not None:
            return self._chosen_frequency
        return None if self._armed is None else self._armed.working_frequency

    def set_receiver_gain(self, gain: float) -> None:
        """Set the receiver gain [dB]; signal and noise grow alike, the full scale stays.

        Raises
        ------
        ConfigError
            If it is beyond ±120 dB.
        """
        if not abs(gain) <= _LARGEST_GAIN:
            raise ConfigError(f"receiver gain {gain!r} dB is not possible: choose between -120 and 120 dB")
        with self._states.transition("set_receiver_gain"):
            self._gain = float(gain)

    def status(self) -> ScannerStatus:
        """Say what it is doing. Legal in every state."""
        fault = self._states.fault
        return ScannerStatus(self._states.state, self._frequency(), self._gain, None if fault is None else str(fault))

    def reset(self) -> None:
        """Clear a latched fault."""
        with self._states.transition("reset"):
            self._armed = self._playing = None


def _drifting_time(time: float) -> float:
    """Time by which a rate of drift is to be multiplied [s], at `time` [s since the Unix epoch].

    Field and gain follow the temperature of the room through the day: a sine of 24 h that starts with the rate of the
    settings on the evening on which the virtual clock starts. The time is taken to the millisecond, so that a resumed
    night sees the same drift to the bit.
    """
    angle = 2 * np.pi * (round(time, 3) - VirtualClock.EVENING) / _DAY
    return float(_DAY / (2 * np.pi) * np.sin(angle))
