"""What the faults of a script do to one pass of the simulated scanner."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from knightshift.core.arrays import ComplexArray
from knightshift.core.errors import InterlockFault
from knightshift.hardware.faults import (
    GradientOverTemperature,
    LateReadout,
    LostReadout,
    Overrange,
    RfTrip,
    SpikeNoise,
    Strike,
)

_DEVICE = "simulated scanner"
_BEYOND_FULL_SCALE = 2.0


@dataclass(frozen=True)
class SpoiledPass:
    """When the readouts of one pass fail to come."""

    lost: frozenset[int] = frozenset()
    """Readouts that never come."""
    delays: Mapping[int, float] = field(default_factory=dict)
    """How late a readout is [s]."""
    trips: Mapping[int, InterlockFault] = field(default_factory=dict)
    """Interlocks that open when a readout is due."""

    def delay(self, readout: int) -> float:
        """How late a readout is [s]; infinite if it never comes."""
        return math.inf if readout in self.lost else self.delays.get(readout, 0.0)


def spoiled(strikes: Sequence[Strike], n_readouts: int) -> SpoiledPass:
    """Work out on which readouts the strikes of one pass fall."""
    lost = {strike.readout(n_readouts) for strike in strikes if isinstance(strike.fault, LostReadout)}
    delays: dict[int, float] = {}
    trips: dict[int, InterlockFault] = {}
    for strike in strikes:
        fault, readout = strike.fault, strike.readout(n_readouts)
        if isinstance(fault, LateReadout):
            delays[readout] = delays.get(readout, 0.0) + fault.delay
        elif isinstance(fault, RfTrip):
            trips[readout] = InterlockFault(
                f"the RF amplifier tripped at readout {readout}: look for a bad match or arcing, then reset", _DEVICE
            )
        elif isinstance(fault, GradientOverTemperature):
            trips[readout] = InterlockFault(
                f"the gradient coil is too hot at readout {readout}: check its cooling, let it cool, then reset",
                _DEVICE,
            )
    return SpoiledPass(frozenset(lost), delays, trips)


def disturb(analogue: ComplexArray, strikes: Sequence[Strike]) -> None:
    """Add to what reaches the converter, shape ``(readout, sample)``, in units of its full scale; in place."""
    n_readouts, n_samples = analogue.shape
    for strike in strikes:
        fault = strike.fault
        if isinstance(fault, Overrange):
            analogue[strike.readout(n_readouts)] += _BEYOND_FULL_SCALE
        elif isinstance(fault, SpikeNoise):
            draw = strike.generator()
            where = draw.integers(n_readouts, size=fault.count), draw.integers(n_samples, size=fault.count)
            analogue[where] += fault.amplitude * draw.choice([1, 1j, -1, -1j], size=fault.count)
