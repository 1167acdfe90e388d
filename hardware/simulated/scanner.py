"""The simulated scanner: the `Scanner` contract on top of the Bloch equations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray, RealArray
from knightshift.core.clock import Clock, VirtualClock
from knightshift.core.limits import ScannerLimits
from knightshift.core.passes import Readout
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Capabilities, Identity
from knightshift.hardware.faults import SCANNER_FAULTS, FaultScript, StrikeCounter
from knightshift.hardware.pass_pacing import PassPace
from knightshift.hardware.program_check import check_program
from knightshift.hardware.pulseq_text import EventTables
from knightshift.hardware.readout_plan import with_pass
from knightshift.hardware.scanner_base import LocalScanner
from knightshift.hardware.simulated.phantom import Phantom
from knightshift.hardware.simulated.receiver import digitise, noise
from knightshift.hardware.simulated.settings import SimulatorSettings
from knightshift.hardware.simulated.signals import PassSignal, library_of
from knightshift.hardware.simulated.spoiling import SpoiledPass, disturb, spoiled

_DAY = 86400.0
_LARGEST_GAIN = 120.0


@dataclass(frozen=True)
class _PlayingPass:
    """One pass from start to end."""

    pace: PassPace
    samples: ComplexArray
    overrange: BoolArray
    counters: IntArray
    lengths: IntArray
    spoiled: SpoiledPass
    due: RealArray
    """When each window ends [s since the Unix epoch], shape ``(readout,)``."""
    finish: float


class SimulatedScanner(LocalScanner[_PlayingPass]):
    """A scanner of numbers, with the same contract as one of steel.

    Parameters
    ----------
    limits
        What the simulated device can do.
    settings
        Receiver, isochromats, drift.
    phantom
        What lies in the magnet.
    clock
        A `VirtualClock` jumps, a `SystemClock` waits; readouts come at the end of their windows on either.
    seed
        Of the noise; the noise of a pass depends on it and on the index of the pass alone.
    faults
        Script of the site; the kinds of `SCANNER_FAULTS` count.
    """

    def __init__(
        self,
        limits: ScannerLimits,
        settings: SimulatorSettings,
        phantom: Phantom,
        *,
        clock: Clock,
        seed: int,
        faults: FaultScript | None = None,
    ) -> None:
        super().__init__("simulated scanner", clock, largest_gain=_LARGEST_GAIN)
        self._limits, self._settings, self._phantom, self._seed = limits, settings, phantom, seed
        self._library = library_of(phantom, limits.b0, settings)
        self._checked: dict[str, EventTables] = {}
        self._strikes = StrikeCounter(faults or FaultScript(), SCANNER_FAULTS)

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
        self._library.signal(program, self._tables(program), self._frequency_of(program))
        self._arm(program)

    def start(self, pass_index: int, epoch: int = 0) -> None:
        """Play the armed program once."""
        program = self._armed_program()
        frequency = self._frequency_of(program)
        signal = self._library.signal(program, self._tables(program), frequency)
        timeline, started = signal.timeline, self._clock.now()
        strikes = self._strikes.next_attempt(pass_index, epoch)
        analogue = self._receive(signal, frequency, pass_index, started)
        disturb(analogue, strikes)
        samples, overrange = digitise(analogue[:, np.newaxis, :], self._settings.receiver)

        def play(pace: PassPace) -> _PlayingPass:
            return _PlayingPass(
                pace,
                samples,
                overrange,
                with_pass(timeline.counters, pass_index, epoch),
                timeline.lengths,
                spoiled(strikes, timeline.counters.size),
                started + timeline.ends,
                started + program.duration,
            )

        self._begin(pass_index, play)

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

    def _deliver(self, playing: _PlayingPass, timeout: float) -> Iterator[Readout]:
        pace = playing.pace
        for number, due in enumerate(playing.due.tolist()):
            pace.wait_until(due)
            if self._stopped_early(pace):
                return
            self._suffer(number, playing, timeout)
            samples = playing.samples[number, :, : playing.lengths[number]]
            yield Readout(playing.counters[number], samples, bool(playing.overrange[number]))
            if self._stopped_early(pace):
                return
        self._finish(pace, playing.finish)

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
        pace, delay = playing.pace, playing.spoiled.delay(number)
        if delay:
            pace.wait_until(float(playing.due[number]) + min(delay, timeout))
        if delay > timeout:
            self._never_came(
                pace, f"readout {number} of pass {pace.pass_index} did not come within {timeout:g} s: repeat the pass"
            )


def _drifting_time(time: float) -> float:
    """Time by which a rate of drift is to be multiplied [s], at `time` [s since the Unix epoch].

    Field and gain follow the temperature of the room through the day: a sine of 24 h that starts with the rate of the
    settings on the evening on which the virtual clock starts. The time is taken to the millisecond, so that a resumed
    night sees the same drift to the bit.
    """
    angle = 2 * np.pi * (round(time, 3) - VirtualClock.EVENING) / _DAY
    return float(_DAY / (2 * np.pi) * np.sin(angle))
