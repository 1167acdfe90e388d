"""What can be replayed, whatever it was recorded by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray
from knightshift.core.program import Measurement, PassProgram


@dataclass(frozen=True)
class RecordedPass:
    """One pass as it was received."""

    program_digest: str
    """`PassProgram.digest` of the program it was recorded with."""
    frequency: float
    """Working frequency then [Hz]."""
    receiver_gain: float
    """Receiver gain then [dB]."""
    samples: ComplexArray
    """complex64, shape ``(readout, channel, sample)``; fewer readouts than the program has if the recording was cut."""
    counters: IntArray
    """dtype `COUNTERS`, shape ``(readout,)``."""
    overrange: BoolArray
    """Whether each readout hit the full scale of the receiver, shape ``(readout,)``."""


class Recording(Protocol):
    """Passes that were received once, by index."""

    @property
    def device(self) -> str:
        """Who recorded it, and which recording it is."""
        ...

    @property
    def programs(self) -> tuple[PassProgram, ...]:
        """Programs it was recorded with."""
        ...

    @property
    def n_channels(self) -> int:
        """Receivers."""
        ...

    @property
    def receiver_gain(self) -> float:
        """Receiver gain at its beginning [dB]."""
        ...

    @property
    def indices(self) -> tuple[int, ...]:
        """Passes that it holds, in order."""
        ...

    def read_pass(self, index: int) -> RecordedPass:
        """Read one of `indices`. Raises `DamagedDataError`."""
        ...

    def measurement(self) -> Measurement:
        """Give what `acquire` has to be given to record it again. Raises `DamagedDataError`."""
        ...
