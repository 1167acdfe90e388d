"""Let a pass take its time on a clock, and notice when somebody cuts it."""

from __future__ import annotations

from dataclasses import dataclass

from knightshift.core.clock import Clock
from knightshift.core.errors import ScannerFault
from knightshift.hardware.contract import ScannerState
from knightshift.hardware.states import StateMachine

PLAYING = frozenset({ScannerState.ACQUIRING, ScannerState.STOPPING})
"""States in which a pass plays."""
_POLL = 0.05


@dataclass(frozen=True)
class PassPace:
    """The time of one pass that plays."""

    states: StateMachine
    """Of the scanner that plays it."""
    clock: Clock
    """A `VirtualClock` jumps, a `SystemClock` waits."""
    device: str
    """What to call the scanner in messages."""
    pass_index: int
    """Which pass."""
    generation: int
    """`StateMachine.generation` of this pass."""

    def check_plays(self) -> None:
        """Raise `ScannerFault` if the pass does not play any more: the latched fault if there is one."""
        if (fault := self.states.fault) is not None:
            raise fault
        if self.states.state not in PLAYING or self.states.generation != self.generation:
            raise ScannerFault(f"pass {self.pass_index} was aborted: its data are lost", self.device)

    def wait_until(self, due: float) -> None:
        """Let time pass until `due` [s since the Unix epoch], in slices short enough for an abort to be noticed.

        Raises
        ------
        ScannerFault
            If the pass does not play any more.
        """
        while True:
            self.check_plays()
            remaining = due - self.clock.now()
            if remaining <= 0:
                return
            self.clock.sleep(min(remaining, _POLL))
