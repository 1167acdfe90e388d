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
    """Root mean square of the samples, the noise taken out where it is known."""
    largest_sample: float
    """Largest magnitude."""
    n_samples: int
    """Samples, all receivers together."""

    def for_journal(self) -> dict[str, float | None]:
        """Give it as plain JSON data."""
        return {
            "noise_std": self.noise_std,
            "signal_rms": self.signal_rms,
            "largest_sample": self.largest_sample,
        }


def quality_of_pass(samples: ComplexArray, counters: IntArray) -> PassQuality:
    """Measure noise, signal and largest sample of one pass.

    The noise is that of the difference of two readouts of the same line and echo whose excitations are opposite: what
    the receiver followed cancels in it. Its median is taken, so that a leftover in a few samples does no harm.

    Parameters
    ----------
    samples
        Shape ``(readout, channel, sample)``.
    counters
        dtype `COUNTERS`, shape ``(readout,)``; ``set`` is the step of the phase cycle.
    """
    power = np.abs(samples) ** 2
    noise = _noise(samples, counters)
    mean_power = float(power.mean(dtype=np.float64)) - (0.0 if noise is None else 2 * noise**2)
    return PassQuality(noise, math.sqrt(max(0.0, mean_power)), math.sqrt(float(power.max())), samples.size)


def _noise(samples: ComplexArray, counters: IntArray) -> float | None:
    fields: Any = counters
    n_steps = int(fields["set"].max(initial=0)) + 1
    if n_steps < 2 or n_steps % 2 or len(samples) % n_steps:
        return None
    rest = ("kspace_encode_step_1", "kspace_encode_step_2", "slice", "contrast")
    order = np.lexsort((fields["set"], *(fields[name] for name in rest)))
    if np.any(fields["set"][order].reshape(-1, n_steps) != np.arange(n_steps)):
        return None
    by_step = samples[order].reshape(-1, n_steps, *samples.shape[1:])
    difference = by_step[:, : n_steps // 2] - by_step[:, n_steps // 2 :]
    difference = difference - difference.mean()  # an offset of the receiver
    noise = math.sqrt(float(np.median(np.abs(difference) ** 2)) / math.log(2) / 4)
    return noise or None
