"""Notices a clock that jumps: set by hand, by a time server, or gone back to 1970 with its battery."""

from __future__ import annotations

import time
from collections.abc import Callable

from knightshift.core.clock import Clock, VirtualClock

JUMP = 30.0
"""A difference from the steady clock of the computer that is called a jump [s]."""
SETTLE = 86400.0
"""How long after a jump the clock is not trusted with giving jobs up, unless it jumps back before [s]."""


class ClockWatch:
    """Compares a clock with the computer's steady one, which nobody can set.

    Parameters
    ----------
    clock
        To be watched; a virtual one jumps by its nature and is trusted.
    steady
        Seconds that only ever grow.
    """

    def __init__(self, clock: Clock, steady: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._steady = clock, steady
        self._first = self._offset = clock.now() - steady()
        self._settled_from = -float("inf")

    @property
    def settled(self) -> bool:
        """Whether the last jump was undone, or was long ago."""
        return self._steady() >= self._settled_from

    def check_history(self, newest: float) -> bool:
        """Say whether the clock is behind what was written earlier; if so it is not trusted for a while."""
        behind = newest > self._clock.now() + JUMP
        if behind and not isinstance(self._clock, VirtualClock):
            self._settled_from = self._steady() + SETTLE
        return behind

    def jump(self) -> float:
        """Tell by how much the clock has jumped since the last call [s]; 0 if it has not."""
        offset = self._clock.now() - self._steady()
        difference, self._offset = offset - self._offset, offset
        if isinstance(self._clock, VirtualClock) or abs(difference) < JUMP:
            return 0.0
        undone = abs(offset - self._first) < JUMP
        self._settled_from = self._steady() + (0.0 if undone else SETTLE)
        return difference
