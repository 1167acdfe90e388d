"""Phase and frequency drift of a night, measured on the image data themselves.

Each pass is compared with the mean of all others of the same contrast: along the readout, ``conj(reference) * pass``,
summed over lines, is the energy of the reference times ``exp(i (phase + slope t))``. One pass may have a signal to
noise ratio of 1, so passes are pooled into blocks that carry enough energy, a smooth curve (a polynomial of lowest
order that the data support) goes through the blocks, and it is applied only if it is significant against its own error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from scipy.special import chdtrc

from knightshift.core.arrays import ComplexArray, IntArray, RealArray

_BLOCK_PHASE_ERROR = 0.05
"""Passes are pooled until the phase of a block is known to this [rad]."""
_MIN_BLOCKS = 8
"""Fewer blocks than this cannot show a drift."""
_MAX_BLOCKS = 128
_MAX_ORDER = 4
_SIGNIFICANCE = 1e-4
"""Probability to correct a drift that is none."""


@dataclass(frozen=True)
class PassComparison:
    """Passes held against their reference, one row per pass in order of index."""

    times: RealArray
    """Start of each pass [s], shape ``(pass,)``."""
    receiver_frequencies: RealArray
    """Frequency of the receiver in each pass [Hz], shape ``(pass,)``."""
    products: ComplexArray
    """``sum conj(reference) * pass`` over all but the samples, shape ``(pass, sample)``."""
    energies: RealArray
    """``sum |reference|^2`` over all but the samples, shape ``(pass, sample)``."""
    sample_times: RealArray
    """Time of each sample from the echo [s], shape ``(sample,)``."""
    noise_std: float
    """Noise of one pass in the real part of a k-space sample."""
    signal_share: float
    """Part of the energies that is signal and not noise of the reference, 0 to 1."""
    cycle: int = 1
    """Consecutive passes that hold every echo once: a weak echo alone would have a phase of noise."""


@dataclass(frozen=True)
class Drift:
    """Correction of each pass: multiply its samples by ``exp(-i (phase + slope t))``."""

    phases: RealArray
    """Phase at the echo [rad], shape ``(pass,)``."""
    slopes: RealArray
    """Phase per time along the readout [rad/s], shape ``(pass,)``."""
    significant: bool
    """Whether either is worth applying; both are zero otherwise."""
    sentence: str
    """What was found and done, with numbers."""

    def correction(self, row: int, sample_times: RealArray) -> ComplexArray:
        """Factors for the samples of pass number `row`, shape ``(sample,)``."""
        factors: ComplexArray = np.exp(-1j * (self.phases[row] + self.slopes[row] * sample_times))
        return factors


def no_drift(n_passes: int, why: str) -> Drift:
    """Leave every pass as it is, and say why."""
    return Drift(np.zeros(n_passes), np.zeros(n_passes), False, why)


def estimate_drift(comparison: PassComparison) -> Drift:
    """Estimate phase and frequency drift, smooth over the night, and judge whether they are real.

    Parameters
    ----------
    comparison
        Passes against their references.

    Returns
    -------
    Drift
        Zero where nothing significant was found.
    """
    n_passes = len(comparison.times)
    blocks = _blocks(comparison)
    if len(blocks) < _MIN_BLOCKS:
        return no_drift(
            n_passes, "Passes were summed without frequency correction: too little signal to measure a drift."
        )
    estimates = np.array([_block_estimate(comparison, block) for block in blocks])
    times = np.array([comparison.times[block].mean() for block in blocks])
    tuned = comparison.receiver_frequencies - comparison.receiver_frequencies[0]
    block_tuned = np.array([tuned[block].mean() for block in blocks])
    phase, phase_error, slope, slope_error = estimates.T
    slope = slope - 2 * np.pi * block_tuned  # the resonance is smooth, the receiver may have been retuned
    x_blocks, x_passes = _unit_interval(times, comparison.times)
    phase_curve, phase_p = _smooth_curve(x_blocks, np.unwrap(phase), phase_error, x_passes)
    slope_curve, slope_p = _smooth_curve(x_blocks, slope, slope_error, x_passes)
    retuned = bool(np.any(tuned != 0))
    phases = phase_curve if phase_p < _SIGNIFICANCE else np.zeros(n_passes)
    slopes = slope_curve if slope_p < _SIGNIFICANCE else np.zeros(n_passes)
    if retuned:
        slopes = slopes + 2 * np.pi * (tuned - tuned.mean())
    significant = bool(np.any(phases) or np.any(slopes))
    errors = float(np.median(phase_error)), float(np.median(slope_error)) / (2 * np.pi)
    sentence = _sentence(phases, slopes, (phase_p, slope_p), errors, len(blocks))
    return Drift(phases, slopes, significant, sentence)


def _blocks(comparison: PassComparison) -> list[IntArray]:
    """Pool consecutive passes so that each block knows its phase well enough; indices of each block."""
    n_passes = len(comparison.times)
    energy = float(comparison.energies.sum(axis=1).mean()) * comparison.signal_share
    if energy <= 0 or n_passes < _MIN_BLOCKS:
        return []
    needed = comparison.noise_std**2 / energy / _BLOCK_PHASE_ERROR**2
    n_blocks = int(np.clip(n_passes // max(comparison.cycle, np.ceil(needed)), 1, min(_MAX_BLOCKS, n_passes)))
    return list(np.array_split(np.arange(n_passes), n_blocks))


def _block_estimate(comparison: PassComparison, block: IntArray) -> tuple[float, float, float, float]:
    """Fit the phase of the product, weighted by energy: phase [rad], its error, slope [rad/s], its error."""
    product = comparison.products[block].sum(axis=0)
    energy = comparison.energies[block].sum(axis=0)
    t = comparison.sample_times
    phase = float(np.angle(product.sum()))
    slope = 0.0
    normal = np.array([[energy.sum(), energy @ t], [energy @ t, energy @ t**2]]) * comparison.signal_share
    for _ in range(3):
        quadrature = (product * np.exp(-1j * (phase + slope * t))).imag
        step_phase, step_slope = np.linalg.solve(normal, [quadrature.sum(), quadrature @ t])
        phase, slope = phase + float(step_phase), slope + float(step_slope)
    covariance = np.linalg.inv(normal) * comparison.noise_std**2 / comparison.signal_share
    return phase, float(np.sqrt(covariance[0, 0])), slope, float(np.sqrt(covariance[1, 1]))


def _unit_interval(times: RealArray, more: RealArray) -> tuple[RealArray, RealArray]:
    """Map times to [-1, 1], where Legendre polynomials are well conditioned."""
    low, high = float(more.min()), float(more.max())
    width = (high - low) or 1.0
    return 2 * (times - low) / width - 1, 2 * (more - low) / width - 1


def _smooth_curve(x: RealArray, y: RealArray, error: RealArray, at: RealArray) -> tuple[RealArray, float]:
    """Smooth curve through the blocks minus its mean, and the probability that noise alone looks like it."""
    weights = 1 / np.maximum(error, 1e-300)
    best, best_score = np.zeros_like(at), np.inf
    misfits = []
    for order in range(_MAX_ORDER + 1):
        coefficients = legendre.legfit(x, y, order, w=weights)
        misfits.append(float(np.sum((weights * (y - legendre.legval(x, coefficients))) ** 2)))
        score = misfits[-1] + (order + 1) * np.log(len(x))  # Bayesian information criterion
        if score < best_score:
            curve = legendre.legval(at, coefficients)
            best, best_score, chosen = curve - curve.mean(), score, order
    if chosen == 0:
        return np.zeros_like(at), 1.0
    spread = max(1.0, misfits[chosen] / (len(x) - chosen - 1))  # errors were too small where the curve does not fit
    return best, float(chdtrc(chosen, (misfits[0] - misfits[chosen]) / spread))


def _sentence(
    phases: RealArray, slopes: RealArray, probabilities: tuple[float, float], errors: tuple[float, float], n_blocks: int
) -> str:
    parts = []
    for name, values, probability, error, unit in (
        ("phase", phases, probabilities[0], errors[0], "rad"),
        ("frequency", slopes / (2 * np.pi), probabilities[1], errors[1], "Hz"),
    ):
        applied = np.any(values)
        what = f"a drift of {np.ptp(values):.3g} {unit} was corrected" if applied else "no significant drift was found"
        parts.append(f"{name}: {what} (p = {probability:.2g}, {error:.2g} {unit} error in each of {n_blocks} blocks)")
    return f"Phase and frequency were followed through the run on the image data; {'; '.join(parts)}."
