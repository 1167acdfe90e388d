"""What a Pulseq file holds, as plain numpy event tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray

AXES = ("x", "y", "z")
"""Order of the gradient columns of a block."""


@dataclass(frozen=True)
class RfEvent:
    """One RF pulse: piecewise constant, phases and frequency offset apart."""

    envelope: ComplexArray
    """Nutation frequency γB1/2π with the phase of the shape, shape ``(step,)`` [Hz]."""
    step_times: RealArray
    """Edges of the steps from the start of the pulse, shape ``(step + 1,)`` [s]."""
    delay: float
    """From the start of the block to the start of the pulse [s]."""
    center: float
    """From the start of the pulse to its effective centre [s]."""
    frequency: float
    """Offset from the working frequency [Hz]."""
    phase: float
    """Phase at the start of the pulse [rad]."""
    use: str
    """Pulseq's letter: e excitation, r refocusing, i inversion, s saturation, p preparation, o other, u undefined."""

    @property
    def duration(self) -> float:
        """Length of the pulse [s]."""
        return float(self.step_times[-1])

    @property
    def flip_angle(self) -> float:
        """Flip angle on resonance if the pulse does not turn its phase [rad]."""
        return float(2 * np.pi * np.abs(np.sum(self.envelope * np.diff(self.step_times))))


@dataclass(frozen=True)
class GradientEvent:
    """One gradient on one axis: straight lines between corners."""

    times: RealArray
    """Corners from the start of the block, shape ``(corner,)`` [s]."""
    amplitudes: RealArray
    """Amplitude γG/2π at the corners, shape ``(corner,)`` [Hz/m]."""

    def moment(self, time: RealArray | float) -> RealArray:
        """Integral from the start of the block to `time` [s], same shape as `time` [1/m]."""
        steps = np.diff(self.times) * 0.5 * (self.amplitudes[1:] + self.amplitudes[:-1])
        before = np.concatenate([[0.0], np.cumsum(steps)])
        inside = np.clip(np.asarray(time, dtype=float), self.times[0], self.times[-1])
        left = np.clip(np.searchsorted(self.times, inside, side="right") - 1, 0, self.times.size - 2)
        elapsed = inside - self.times[left]
        width = self.times[left + 1] - self.times[left]
        slope = (self.amplitudes[left + 1] - self.amplitudes[left]) / np.where(width > 0, width, 1.0)
        moment: RealArray = before[left] + elapsed * (self.amplitudes[left] + 0.5 * slope * elapsed)
        return moment


@dataclass(frozen=True)
class AdcEvent:
    """One acquisition window."""

    samples: int
    """Complex samples."""
    dwell_time: float
    """Time between samples [s]; sample ``s`` sits at ``(s + 0.5) * dwell_time``."""
    delay: float
    """From the start of the block to the start of the window [s]."""
    frequency: float
    """Offset of the receiver from the working frequency [Hz]."""
    phase: float
    """Phase of the receiver at the start of the window [rad]."""

    @property
    def duration(self) -> float:
        """Length of the window [s]."""
        return self.samples * self.dwell_time


@dataclass(frozen=True)
class Block:
    """What plays at the same time; every number is an id in the tables of `EventTables`, 0 for none."""

    duration: float
    """Length [s]."""
    rf: int
    gradients: tuple[int, int, int]
    """On ``(x, y, z)``."""
    adc: int
    labels: tuple[tuple[str, str, int], ...]
    """``("SET" or "INC", name, value)`` in the order of the file."""


@dataclass(frozen=True)
class EventTables:
    """A whole Pulseq file."""

    definitions: Mapping[str, str]
    blocks: tuple[Block, ...]
    rf: Mapping[int, RfEvent]
    gradients: Mapping[int, GradientEvent]
    adc: Mapping[int, AdcEvent]

    @property
    def duration(self) -> float:
        """Sum of all blocks [s]."""
        return float(np.sum([block.duration for block in self.blocks]))
