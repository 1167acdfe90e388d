"""The state machine that every backend of ours stands on: `TRANSITIONS`, applied atomically."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from knightshift.core.errors import IllegalTransitionError, ScannerFault
from knightshift.hardware.contract import TRANSITIONS, ScannerState


class StateMachine:
    """State of one scanner, shared between threads.

    Parameters
    ----------
    device
        What to call the scanner in messages.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._state = ScannerState.DISCONNECTED
        self._fault: ScannerFault | None = None
        self._changed = threading.Condition(threading.RLock())
        self._generation = 0

    @property
    def state(self) -> ScannerState:
        """What the scanner is doing."""
        with self._changed:
            return self._state

    @property
    def fault(self) -> ScannerFault | None:
        """The latched fault."""
        with self._changed:
            return self._fault

    @property
    def generation(self) -> int:
        """Counts the passes started: a loop that serves one pass sees by it that another one has begun."""
        with self._changed:
            return self._generation

    def check(self, command: str) -> None:
        """Refuse `command` if the present state does not allow it.

        Raises
        ------
        IllegalTransitionError
            With the states that would.
        """
        with self._changed:
            if self._state not in TRANSITIONS[command]:
                allowed = ", ".join(TRANSITIONS[command])
                raise IllegalTransitionError(
                    f"{command} is not possible while {self._state}, only while {allowed}", self._device
                )

    @contextmanager
    def transition(self, command: str) -> Iterator[ScannerState]:
        """Check `command`, let the body do its work under the lock, then take the new state; an error changes nothing.

        Yields the state before. Keep the body short: abort and make_safe wait for the same lock.
        """
        with self._changed:
            self.check(command)
            before = self._state
            yield before
            self._state = TRANSITIONS[command][before]
            self._generation += command == "start"
            if command in {"reset", "close"}:
                self._fault = None
            self._changed.notify_all()

    def require_link(self, command: str) -> None:
        """Refuse `command` without a link.

        Raises
        ------
        IllegalTransitionError
            If the scanner is disconnected or the link is lost.
        """
        with self._changed:
            if self._state in {ScannerState.DISCONNECTED, ScannerState.UNKNOWN}:
                raise IllegalTransitionError(f"{command} needs a link: connect first", self._device)

    def finish_pass(self, generation: int) -> None:
        """Note that pass `generation` has ended: back to PREPARED, or to IDLE if a stop was asked for."""
        with self._changed:
            if generation != self._generation:
                return
            if self._state is ScannerState.ACQUIRING:
                self._state = ScannerState.PREPARED
            elif self._state is ScannerState.STOPPING:
                self._state = ScannerState.IDLE
            self._changed.notify_all()

    def latch(self, fault: ScannerFault) -> None:
        """Enter FAULT; only `reset` leaves it."""
        with self._changed:
            self._state, self._fault = ScannerState.FAULT, fault
            self._changed.notify_all()

    def lose_link(self) -> None:
        """Enter UNKNOWN: nothing is known of the device."""
        with self._changed:
            self._state = ScannerState.UNKNOWN
            self._changed.notify_all()
