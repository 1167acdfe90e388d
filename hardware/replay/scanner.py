"""The replay scanner: the `Scanner` contract on top of what was recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.clock import Clock
from knightshift.core.errors import (
    ConfigError,
    DamagedDataError,
    IllegalTransitionError,
    ProtocolError,
    ReadoutTimeoutError,
    ScannerFault,
)
from knightshift.core.limits import ScannerLimits
from knightshift.core.passes import Readout
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Capabilities, Identity, ScannerState, ScannerStatus, StopAt
from knightshift.hardware.pass_pacing import PLAYING, PassPace
from knightshift.hardware.program_check import check_program
from knightshift.hardware.readout_plan import ReadoutPlan, plan_readouts, with_pass
from knightshift.hardware.replay.recording import RecordedPass, Recording
from knightshift.hardware.states import StateMachine

_DEVICE = "replay scanner"
_SAME_FREQUENCY = 1e-3
"""Frequencies closer than this are the same [Hz]."""
_LARGEST_FIELD_MISMATCH = 1e-5


@dataclass(frozen=True)
class _PlayingPass:
    """One pass from start to end."""

    pace: PassPace
    recorded: RecordedPass
    counters: IntArray
    due: RealArray
    """When each readout is delivered [s since the Unix epoch], shape ``(readout,)``."""
    finish: float


class ReplayScanner:
    """A scanner that receives again what was received once.

    Parameters
    ----------
    limits
        Of the scanner that recorded.
    recording
        What to play.
    clock
        A `VirtualClock` jumps, a `SystemClock` waits.
    speed
        How many times faster than it was recorded.

    Raises
    ------
    ConfigError
        If the recording is of another field than that of the limits.

    Notes
    -----
    A recording can be neither retuned nor amplified: `start` refuses to play a pass at another frequency or gain than
    it was recorded at.
    """

    def __init__(self, limits: ScannerLimits, recording: Recording, *, clock: Clock, speed: float = 1.0) -> None:
        self._limits, self._recording = limits, recording
        self._clock, self._speed = clock, speed
        self._programs = {program.digest: program for program in recording.programs}
        self._held = frozenset(recording.indices)
        b0 = recording.programs[0].b0
        if abs(b0 / limits.b0 - 1) > _LARGEST_FIELD_MISMATCH:
            raise ConfigError(
                f"{recording.device} was recorded at {b0:.4f} T, {limits.name} has {limits.b0:.4f} T: give the limits "
                "of the scanner that recorded it"
            )
        self._states = StateMachine(_DEVICE)
        self._plans: dict[str, ReadoutPlan] = {}
        self._armed: PassProgram | None = None
        self._chosen_frequency: float | None = None
        self._gain = recording.receiver_gain
        self._playing: _PlayingPass | None = None
        self._stop_at = StopAt.PASS

    def __enter__(self) -> Self:
        """Connect."""
        self.connect()
        return self

    def __exit__(self, *exc: object) -> None:
        """Make safe and close, whatever happened."""
        self.make_safe()
        self.close()

    def connect(self) -> None:
        """Open the link. Nothing can fail here: the recording is open."""
        self._disarm("connect")

    def close(self) -> None:
        """Give the link up. Legal in every state."""
        self._disarm("close")

    def identify(self) -> Identity:
        """Say who recorded what is played."""
        self._states.require_link("identify")
        return Identity("replay", self._recording.device, version("knightshift"))

    def capabilities(self) -> Capabilities:
        """Say what the recording holds."""
        self._states.require_link("capabilities")
        nuclei = tuple(sorted({program.nucleus for program in self._programs.values()}))
        return Capabilities(self._limits, nuclei, n_channels=self._recording.n_channels, full_scale=1.0)

    def validate(self, program: PassProgram) -> None:
        """Check that `program` keeps the limits and is one of those recorded. Raises `LimitError`, `ProtocolError`."""
        self._plan(program)

    def _plan(self, program: PassProgram) -> ReadoutPlan:
        if program.digest not in self._plans:
            tables = check_program(program, self.capabilities())
            if program.digest not in self._programs:
                held = ", ".join(f"{known.name} ({digest[:12]})" for digest, known in self._programs.items())
                raise ProtocolError(
                    f"{program.name} ({program.digest[:12]}) is not what {self._recording.device} was recorded with, "
                    f"which is {held}: play the protocol it was recorded with, by the same version"
                )
            self._plans[program.digest] = plan_readouts(tables)
        return self._plans[program.digest]

    def prepare(self, program: PassProgram) -> None:
        """Check and arm `program`."""
        self._states.check("prepare")
        self._plan(program)
        with self._states.transition("prepare"):
            self._armed = program

    def start(self, pass_index: int, epoch: int = 0) -> None:
        """Play pass `pass_index` of the recording.

        Raises
        ------
        ScannerFault
            If the recording does not hold the pass as it is asked for; the program stays armed.
        """
        self._states.check("start")
        program, chosen = self._armed, self._chosen_frequency
        if program is None:
            raise IllegalTransitionError("start: the program was disarmed meanwhile, prepare it again", _DEVICE)
        recorded = self._recorded(pass_index)
        self._check_same(recorded, pass_index, program, program.working_frequency if chosen is None else chosen)
        plan = self._plan(program)
        with self._states.transition("start"):
            started = self._clock.now()
            self._stop_at = StopAt.PASS
            self._playing = _PlayingPass(
                PassPace(self._states, self._clock, _DEVICE, pass_index, self._states.generation + 1),
                recorded,
                with_pass(recorded.counters, pass_index, epoch),
                started + plan.ends / self._speed,
                started + program.duration / self._speed,
            )

    def _recorded(self, pass_index: int) -> RecordedPass:
        if pass_index not in self._held:
            raise ScannerFault(
                f"{self._recording.device} holds no pass {pass_index}: it has {len(self._held)} from {min(self._held)} "
                f"to {max(self._held)}",
                _DEVICE,
            )
        try:
            return self._recording.read_pass(pass_index)
        except DamagedDataError as error:
            raise ScannerFault(f"pass {pass_index} of the recording is damaged: {error}", _DEVICE) from error

    def _check_same(self, recorded: RecordedPass, pass_index: int, program: PassProgram, frequency: float) -> None:
        if recorded.program_digest != program.digest:
            raise ScannerFault(
                f"pass {pass_index} was recorded with {self._programs[recorded.program_digest].name}, "
                f"{program.name} is armed: prepare the former",
                _DEVICE,
            )
        if abs(recorded.frequency - frequency) > _SAME_FREQUENCY:
            raise ScannerFault(
                f"pass {pass_index} was recorded at {recorded.frequency:.3f} Hz, the scanner is tuned to "
                f"{frequency:.3f} Hz: a recording cannot be retuned, set the former",
                _DEVICE,
            )
        if recorded.receiver_gain != self._gain:
            raise ScannerFault(
                f"pass {pass_index} was recorded at a receiver gain of {recorded.receiver_gain:g} dB, it is "
                f"{self._gain:g} dB now: a recording cannot be amplified, set the former",
                _DEVICE,
            )

    def readouts(self, timeout: float) -> Iterator[Readout]:
        """Yield the readouts of the pass that plays, each when its window has ended.

        Raises
        ------
        IllegalTransitionError
            If nothing plays.
        ReadoutTimeoutError
            If the recording of the pass ends before the pass does; the pass has been aborted then.
        ScannerFault
            If the pass was aborted or made safe meanwhile.
        """
        playing = self._playing
        if playing is None or self._states.state not in PLAYING:
            raise IllegalTransitionError(
                f"readouts are not possible while {self._states.state}: start a pass first", _DEVICE
            )
        return self._deliver(playing, timeout)

    def _deliver(self, playing: _PlayingPass, timeout: float) -> Iterator[Readout]:
        pace, recorded = playing.pace, playing.recorded
        for number, due in enumerate(playing.due.tolist()):
            pace.wait_until(due)
            if self._stopped_early(playing):
                return
            if number >= len(recorded.samples):
                pace.wait_until(due + timeout)
                self.abort()
                raise ReadoutTimeoutError(
                    f"readout {number} of pass {pace.pass_index} did not come within {timeout:g} s: the recording of "
                    f"this pass ends after {len(recorded.samples)} of {len(playing.due)} readouts",
                    _DEVICE,
                )
            yield Readout(playing.counters[number], recorded.samples[number], bool(recorded.overrange[number]))
            if self._stopped_early(playing):
                return
        pace.wait_until(playing.finish)
        self._states.finish_pass(pace.generation)

    def _stopped_early(self, playing: _PlayingPass) -> bool:
        if self._states.state is ScannerState.STOPPING and self._stop_at is StopAt.READOUT:
            self._states.finish_pass(playing.pace.generation)
            return True
        return False

    def stop(self, at: StopAt = StopAt.PASS) -> None:
        """Stop after the pass, or after the readout that plays."""
        with self._states.transition("stop") as before:
            self._stop_at = at
            if before not in PLAYING:
                self._armed = None

    def abort(self) -> None:
        """Stop now; the pass is lost. Safe from any thread, in any state, any number of times."""
        self._disarm("abort")

    def make_safe(self) -> None:
        """Stop playing. Never raises; from any thread, in any state."""
        self._disarm("make_safe")

    def _disarm(self, command: str) -> None:
        with self._states.transition(command):
            self._armed = self._playing = None

    def set_frequency(self, frequency: float) -> None:
        """Set the working frequency [Hz] that the next passes must have been recorded at.

        Raises
        ------
        ConfigError
            If it is not a positive number.
        """
        if not (math.isfinite(frequency) and frequency > 0):
            raise ConfigError(f"working frequency {frequency!r} Hz is not possible: give a positive number")
        with self._states.transition("set_frequency"):
            self._chosen_frequency = float(frequency)

    def set_receiver_gain(self, gain: float) -> None:
        """Set the receiver gain [dB] that the next passes must have been recorded at.

        Raises
        ------
        ConfigError
            If it is not a number.
        """
        if not math.isfinite(gain):
            raise ConfigError(f"receiver gain {gain!r} dB is not possible: give a number")
        with self._states.transition("set_receiver_gain"):
            self._gain = float(gain)

    def status(self) -> ScannerStatus:
        """Say what it is doing. Legal in every state."""
        fault, armed, frequency = self._states.fault, self._armed, self._chosen_frequency
        if frequency is None and armed is not None:
            frequency = armed.working_frequency
        return ScannerStatus(self._states.state, frequency, self._gain, None if fault is None else str(fault))

    def reset(self) -> None:
        """Clear a latched fault."""
        self._disarm("reset")
