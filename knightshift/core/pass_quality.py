"""What one pass tells of itself: its noise, its signal, its largest sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from knightshift.core.arrays import ComplexArray, IntArray


@dataclass(frozen=True)
class PassQuality:
    """Measured on the samples as they were received, gain included."""

    noise_std: float | None
    """Noise of the real part of a sample; None where the pass has no phase cycle to tell it by, or no noise."""
    signal_rms: float
    """Root mean square of the samples, without their noise where a phase cycle tells it from signal."""
    signal_std: float
    """Standard deviation of `signal_rms` by noise; 0 where the noise is not known."""
    largest_sample: float
    """Largest magnitude."""

    def for_journal(self) -> dict[str, float | None]:
        """Give it as plain JSON data."""
        return {
            "noise_std": self.noise_std,
            "signal_rms": self.signal_rms,
            "largest_sample": self.largest_sample,
        }


def quality_of_pass(samples: ComplexArray, counters: IntArray) -> PassQuality:
    """Measure noise, signal and largest sample of one pass.

    Two readouts of the same line and echo whose excitations are opposite have the same signal, which the receiver has
    followed, and noise of their own. Their difference is noise; its median is taken, so that a leftover in a few
    samples does no harm. The mean of their product is the power of the signal alone.

    Parameters
    ----------
    samples
        Shape ``(readout, channel, sample)``.
    counters
        dtype `COUNTERS`, shape ``(readout,)``; ``set`` is the step of the phase cycle.
    """
    largest = float(np.abs(samples).max(initial=0.0))
    pairs = _opposite_readouts(samples, counters)
    if pairs is None:
        power = float(np.mean(np.abs(samples) ** 2, dtype=np.float64))
        return PassQuality(None, math.sqrt(power), 0.0, largest)
    one, other = pairs
    difference = one - other
    difference = difference - difference.mean()  # an offset of the receiver
    noise = math.sqrt(float(np.median(np.abs(difference) ** 2)) / math.log(2) / 4)
    signal = math.sqrt(max(0.0, float(np.mean((one * other.conj()).real, dtype=np.float64))))
    power_std = 2 * noise**2 * math.sqrt((signal / noise) ** 2 + 0.5) / math.sqrt(one.size) if noise > 0 else 0.0
    signal_std = power_std / (2 * signal) if signal**2 > power_std else math.sqrt(power_std)
    return PassQuality(noise or None, signal, signal_std, largest)


def _opposite_readouts(samples: ComplexArray, counters: IntArray) -> tuple[ComplexArray, ComplexArray] | None:
    """Pair the steps of the phase cycle that are 180 degrees apart; None where there are none."""
    fields: Any = counters
    n_steps = int(fields["set"].max(initial=0)) + 1
    if n_steps < 2 or n_steps % 2 or len(samples) % n_steps:
        return None
    rest = ("kspace_encode_step_1", "kspace_encode_step_2", "slice", "contrast")
    order = np.lexsort((fields["set"], *(fields[name] for name in rest)))
    if np.any(fields["set"][order].reshape(-1, n_steps) != np.arange(n_steps)):
        return None
    by_step = samples[order].reshape(-1, n_steps, *samples.shape[1:])
    return by_step[:, : n_steps // 2], by_step[:, n_steps // 2 :]
