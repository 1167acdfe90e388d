"""What backends have in common: `ScannerBase` for all, `LocalScanner` for those that stand on our state machine."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Generic, NoReturn, Protocol, Self, TypeVar

from knightshift.core.clock import Clock
from knightshift.core.errors import ConfigError, IllegalTransitionError, ReadoutTimeoutError
from knightshift.core.passes import Readout
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import ScannerState, ScannerStatus, StopAt
from knightshift.hardware.pass_pacing import PLAYING, PassPace
from knightshift.hardware.states import StateMachine


class ScannerBase(ABC):
    """The ``with`` block of a scanner, and what may be asked of any of them."""

    @abstractmethod
    def connect(self) -> None:
        """Open the link and make the scanner safe. Raises `LinkFault`."""

    @abstractmethod
    def make_safe(self) -> None:
        """Blank RF, zero gradients. Never raises; from any thread, in any state."""

    @abstractmethod
    def close(self) -> None:
        """Make safe and give the link up. Legal in every state."""

    def __enter__(self) -> Self:
        """Connect."""
        self.connect()
        return self

    def __exit__(self, *exc: object) -> None:
        """Make safe and close, whatever happened."""
        self.make_safe()
        self.close()


def possible_frequency(frequency: float) -> float:
    """Give `frequency` [Hz] back. Raises `ConfigError` if it is not a positive number."""
    if not (math.isfinite(frequency) and frequency > 0):
        raise ConfigError(f"working frequency {frequency!r} Hz is not possible: give a positive number")
    return float(frequency)


def possible_gain(gain: float, largest: float = math.inf) -> float:
    """Give `gain` [dB] back. Raises `ConfigError` if it is no number, or beyond ± `largest`."""
    if not (math.isfinite(gain) and abs(gain) <= largest):
        limits = "give a number" if largest == math.inf else f"choose between -{largest:g} and {largest:g} dB"
        raise ConfigError(f"receiver gain {gain!r} dB is not possible: {limits}")
    return float(gain)


class PlayingPass(Protocol):
    """One pass from start to end: what a backend keeps of it is its own affair."""

    @property
    def pace(self) -> PassPace:
        """Its time."""
        ...


PlayingT = TypeVar("PlayingT", bound=PlayingPass)


class LocalScanner(ScannerBase, Generic[PlayingT]):
    """A scanner that stands on our `StateMachine`; a backend adds what its device does.

    A backend writes `identify`, `capabilities`, `validate`, `prepare` (which ends with `_arm`), `start` (which ends
    with `_begin`), `_deliver`, and, where there is something to switch off, `_switch_off`.

    Parameters
    ----------
    device
        What to call it in messages.
    clock
        A `VirtualClock` jumps, a `SystemClock` waits.
    gain
        Receiver gain at first [dB].
    largest_gain
        Most that may be set, up or down [dB].
    """

    def __init__(self, device: str, clock: Clock, gain: float = 0.0, largest_gain: float = math.inf) -> None:
        self._device, self._clock = device, clock
        self._states = StateMachine(device)
        self._armed: PassProgram | None = None
        self._playing: PlayingT | None = None
        self._chosen_frequency: float | None = None
        self._gain, self._largest_gain = gain, largest_gain
        self._stop_at = StopAt.PASS

    # --- for backends ---------------------------------------------------------------------------------------------

    def _switch_off(self) -> None:
        """Blank RF, zero gradients: quickly, under the lock of the state machine. Must not raise."""

    @abstractmethod
    def _deliver(self, playing: PlayingT, timeout: float) -> Iterator[Readout]:
        """Yield the readouts of a pass, as `readouts` promises; call `_stopped_early` around each, `_finish` last."""

    def _arm(self, program: PassProgram) -> None:
        with self._states.transition("prepare"):
            self._armed = program

    def _armed_program(self) -> PassProgram:
        """Give the program that `start` is to play. Raises `IllegalTransitionError`."""
        self._states.check("start")
        program = self._armed
        if program is None:
            raise IllegalTransitionError("start: the program was disarmed meanwhile, prepare it again", self._device)
        return program

    def _begin(self, pass_index: int, play: Callable[[PassPace], PlayingT]) -> None:
        """Let a pass begin: `play` is called under the lock, so that no `make_safe` can come between."""
        with self._states.transition("start"):
            self._stop_at = StopAt.PASS
            generation = self._states.generation + 1
            self._playing = play(PassPace(self._states, self._clock, self._device, pass_index, generation))

    def _stopped_early(self, pace: PassPace) -> bool:
        """Whether the pass is to end with this readout; it has ended then."""
        if self._states.state is ScannerState.STOPPING and self._stop_at is StopAt.READOUT:
            self._switch_off()
            self._states.finish_pass(pace.generation)
            return True
        return False

    def _finish(self, pace: PassPace, due: float) -> None:
        """Let the pass end at `due` [s since the Unix epoch]."""
        pace.wait_until(due)
        self._states.finish_pass(pace.generation)

    def _never_came(self, pace: PassPace, words: str) -> NoReturn:
        """Abort a pass whose readout did not come in time. Raises `ReadoutTimeoutError`, or why the pass had ended."""
        pace.check_plays()
        self.abort()
        raise ReadoutTimeoutError(words, self._device)

    # --- the contract ---------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the link and make the scanner safe."""
        self._rest("connect")

    def close(self) -> None:
        """Make safe and give the link up. Legal in every state."""
        self._rest("close")

    def abort(self) -> None:
        """Stop now; the pass is lost. Safe from any thread, in any state, any number of times."""
        self._rest("abort")

    def make_safe(self) -> None:
        """Blank RF, zero gradients. Never raises; from any thread, in any state."""
        self._rest("make_safe")

    def reset(self) -> None:
        """Clear a latched fault."""
        self._rest("reset")

    def _rest(self, command: str) -> None:
        with self._states.transition(command):
            self._switch_off()
            self._armed = self._playing = None

    def stop(self, at: StopAt = StopAt.PASS) -> None:
        """Stop after the pass, or after the readout that plays."""
        with self._states.transition("stop") as before:
            self._stop_at = at
            if before not in PLAYING:
                self._armed = None

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
        state, playing = self._states.state, self._playing  # in this order: `_begin` sets the latter first
        if playing is None or state not in PLAYING:
            raise IllegalTransitionError(f"readouts are not possible while {state}: start a pass first", self._device)
        return self._deliver(playing, timeout)

    def set_frequency(self, frequency: float) -> None:
        """Set the working frequency [Hz]. Raises `ConfigError` if it is not a positive number."""
        chosen = possible_frequency(frequency)
        with self._states.transition("set_frequency"):
            self._chosen_frequency = chosen

    def set_receiver_gain(self, gain: float) -> None:
        """Set the receiver gain [dB]. Raises `ConfigError` if it is no number, or too large."""
        chosen = possible_gain(gain, self._largest_gain)
        with self._states.transition("set_receiver_gain"):
            self._gain = chosen

    def _frequency_of(self, program: PassProgram) -> float:
        """Give the working frequency at which `program` is played [Hz]: its own, unless another was chosen."""
        return program.working_frequency if self._chosen_frequency is None else self._chosen_frequency

    def status(self) -> ScannerStatus:
        """Say what it is doing. Legal in every state."""
        fault, armed = self._states.fault, self._armed
        frequency = self._chosen_frequency if armed is None else self._frequency_of(armed)
        return ScannerStatus(self._states.state, frequency, self._gain, None if fault is None else str(fault))
