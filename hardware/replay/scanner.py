"""The replay scanner: the `Scanner` contract on top of what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version

from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.clock import Clock
from knightshift.core.errors import (
    ConfigError,
    DamagedDataError,
    ProtocolError,
    ScannerFault,
)
from knightshift.core.limits import ScannerLimits
from knightshift.core.passes import Readout
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Capabilities, Identity, ScannerStatus
from knightshift.hardware.pass_pacing import PassPace
from knightshift.hardware.program_check import check_program
from knightshift.hardware.readout_plan import ReadoutPlan, plan_readouts, with_pass
from knightshift.hardware.replay.recording import RecordedPass, Recording
from knightshift.hardware.scanner_base import LocalScanner

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


class ReplayScanner(LocalScanner[_PlayingPass]):
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
    A recording can be neither retuned nor amplified. Each pass is played at the frequency and gain that it was recorded
    at, and `status` says which; where the host has chosen one, `start` refuses to play a pass recorded at another.
    """

    def __init__(self, limits: ScannerLimits, recording: Recording, *, clock: Clock, speed: float = 1.0) -> None:
        super().__init__(_DEVICE, clock, gain=recording.receiver_gain)
        self._limits, self._recording, self._speed = limits, recording, speed
        self._programs = {program.digest: program for program in recording.programs}
        self._held = frozenset(recording.indices)
        b0 = recording.programs[0].b0
        if abs(b0 / limits.b0 - 1) > _LARGEST_FIELD_MISMATCH:
            raise ConfigError(
                f"{recording.device} was recorded at {b0:.4f} T, {limits.name} has {limits.b0:.4f} T: give the limits "
                "of the scanner that recorded it"
            )
        self._plans: dict[str, ReadoutPlan] = {}
        self._gain_is_chosen = False

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
        self._arm(program)

    def start(self, pass_index: int, epoch: int = 0) -> None:
        """Play pass `pass_index` of the recording.

        Raises
        ------
        ScannerFault
            If the recording does not hold the pass as it is asked for; the program stays armed.
        """
        program = self._armed_program()
        recorded = self._recorded(pass_index)
        self._check_same(recorded, pass_index, program)
        plan = self._plan(program)

        def play(pace: PassPace) -> _PlayingPass:
            started = self._clock.now()
            return _PlayingPass(
                pace,
                recorded,
                with_pass(recorded.counters, pass_index, epoch),
                started + plan.ends / self._speed,
                started + program.duration / self._speed,
            )

        self._begin(pass_index, play)

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

    def _check_same(self, recorded: RecordedPass, pass_index: int, program: PassProgram) -> None:
        if recorded.program_digest != program.digest:
            raise ScannerFault(
                f"pass {pass_index} was recorded with {self._programs[recorded.program_digest].name}, "
                f"{program.name} is armed: prepare the former",
                _DEVICE,
            )
        frequency = self._chosen_frequency
        if frequency is not None and abs(recorded.frequency - frequency) > _SAME_FREQUENCY:
            raise ScannerFault(
                f"pass {pass_index} was recorded at {recorded.frequency:.3f} Hz, the scanner is tuned to "
                f"{frequency:.3f} Hz: a recording cannot be retuned, set the former",
                _DEVICE,
            )
        if self._gain_is_chosen and recorded.receiver_gain != self._gain:
            raise ScannerFault(
                f"pass {pass_index} was recorded at a receiver gain of {recorded.receiver_gain:g} dB, it is "
                f"{self._gain:g} dB now: a recording cannot be amplified, set the former",
                _DEVICE,
            )

    def set_receiver_gain(self, gain: float) -> None:
        """Choose the gain [dB] at which passes must have been recorded. Raises `ConfigError` if it is no number."""
        super().set_receiver_gain(gain)
        self._gain_is_chosen = True

    def status(self) -> ScannerStatus:
        """Say what it is doing; frequency and gain, where not chosen, are those of the pass played last."""
        told, playing = super().status(), self._playing
        if playing is None:
            return told
        return replace(
            told,
            frequency=playing.recorded.frequency if self._chosen_frequency is None else told.frequency,
            receiver_gain=told.receiver_gain if self._gain_is_chosen else playing.recorded.receiver_gain,
        )

    def _deliver(self, playing: _PlayingPass, timeout: float) -> Iterator[Readout]:
        pace, recorded = playing.pace, playing.recorded
        for number, due in enumerate(playing.due.tolist()):
            pace.wait_until(due)
            if self._stopped_early(pace):
                return
            if number >= len(recorded.samples):
                pace.wait_until(due + timeout)
                self._never_came(
                    pace,
                    f"readout {number} of pass {pace.pass_index} did not come within {timeout:g} s: the recording of "
                    f"this pass ends after {len(recorded.samples)} of {len(playing.due)} readouts",
                )
            yield Readout(playing.counters[number], recorded.samples[number], bool(recorded.overrange[number]))
            if self._stopped_early(pace):
                return
        self._finish(pace, playing.finish)
