"""Does a pass look like the passes before it? Finds spikes (arcing, a bad contact) and bursts of noise.

A pass is compared with the median of the last passes of the same program: a single bad one among them does no harm,
and a lasting change is accepted after three passes. Only quiet samples are looked at, where the signal is below a few
standard deviations of the noise: a field or gain that drifts changes the others, and is corrected later.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.passes import PassRecord

FLAG = "residual"
"""Flag of a pass that does not look like the others."""
FALSE_POSITIVES = 1e-5
"""Probability with which a good pass with white Gaussian noise is flagged for its largest residual."""
DEPTH = 5
"""Passes of a program that are compared with."""
_FEWEST_PASSES = 3
_FEWEST_SAMPLES = 1000
_QUIET = 3.0
_LARGEST_POWER = 1.5
_NEGLIGIBLE = 0.02
_MEDIAN_OF_POWER = math.log(2)  # of |n|² with variance 1
_MEDIAN_VARIANCE = {3: 0.449, 5: 0.287}
"""Variance of the median of so many Gaussian numbers, over that of one (order statistics)."""


@dataclass(frozen=True)
class Residual:
    """How a pass differs from the ones before it."""

    peak: float
    """Largest squared residual over its variance; in N samples of noise, ``P(peak > t)`` is at most ``N exp(-t)``."""
    power: float
    """Mean squared residual over what the passes before let expect."""
    n_samples: int
    """Quiet samples that were looked at."""
    negligible: bool
    """The largest residual is too small beside the signal to matter."""

    @property
    def conspicuous(self) -> bool:
        """Whether this is no longer chance."""
        spike = self.peak > math.log(self.n_samples / FALSE_POSITIVES)
        burst = self.power > _LARGEST_POWER + 10 / math.sqrt(self.n_samples)
        return (spike or burst) and not self.negligible


def residual_of(samples: ComplexArray, before: ComplexArray) -> Residual | None:
    """Compare a pass with passes before it.

    Parameters
    ----------
    samples
        The pass, shape ``(readout, channel, sample)``.
    before
        Passes of the same program, shape ``(pass, readout, channel, sample)``, 3 or 5 of them, in order.

    Returns
    -------
    Residual or None
        None if too few samples are quiet, or there is no noise to compare with.
    """
    steps = [float(np.median(_power(step))) for step in np.diff(before, axis=0)]
    of_one_pass = float(np.median(steps)) / 2 / _MEDIAN_OF_POWER
    reference = _median(before)
    loud = _power(reference) >= _QUIET**2 * of_one_pass
    scale = _scale(samples[loud], reference[loud])
    residual = _power(samples - scale * reference)
    variance = float(np.median(residual)) / _MEDIAN_OF_POWER
    expected = of_one_pass * (1 + abs(scale) ** 2 * _MEDIAN_VARIANCE[len(before)])
    quiet = residual[~loud]
    if quiet.size < _FEWEST_SAMPLES or variance <= 0 or expected <= 0:
        return None
    largest = float(quiet.max())
    return Residual(
        peak=largest / variance,
        power=float(quiet.mean()) / expected,
        n_samples=quiet.size,
        negligible=largest < _NEGLIGIBLE**2 * float(_power(reference).max()),
    )


def _scale(samples: ComplexArray, reference: ComplexArray) -> complex:
    """Fit amplitude and phase of a pass where there is signal: elsewhere noise would draw the fit towards zero."""
    power = float(np.vdot(reference, reference).real)
    return complex(np.vdot(reference, samples)) / power if power > 0 else 1.0 + 0j


def _median(passes: ComplexArray) -> ComplexArray:
    """Median of real and imaginary parts over an odd number of passes; `np.median` takes eight times as long."""
    numbers, middle = np.ascontiguousarray(passes, np.complex64).view(np.float32), len(passes) // 2
    median: ComplexArray = np.partition(numbers, middle, axis=0)[middle].view(np.complex64)
    return median


def _power(values: ComplexArray) -> RealArray:
    power: RealArray = values.real**2 + values.imag**2
    return power


@dataclass
class ResidualTest:
    """Judges pass after pass; for one thread at a time."""

    n_programs: int
    """Pass ``p`` plays program ``p % n_programs``."""
    _before: dict[int, deque[ComplexArray]] = field(default_factory=dict, init=False)

    def remember(self, records: Iterable[PassRecord]) -> None:
        """Take passes of earlier epochs as what later ones are compared with, in order of index."""
        for record in records:
            self._passes_before(record).append(record.samples)

    def judge(self, record: PassRecord) -> PassRecord:
        """Flag a pass that does not look like the ones before it; the first three of each program cannot be judged."""
        before = self._passes_before(record)
        residual = None
        if len(before) >= _FEWEST_PASSES:
            n_compared = DEPTH if len(before) == DEPTH else _FEWEST_PASSES
            residual = residual_of(record.samples, np.stack(list(before)[-n_compared:]))
        before.append(record.samples)
        if residual is None or not residual.conspicuous:
            return record
        return replace(record, flags=(*record.flags, FLAG))

    def _passes_before(self, record: PassRecord) -> deque[ComplexArray]:
        return self._before.setdefault(record.index % self.n_programs, deque(maxlen=DEPTH))
