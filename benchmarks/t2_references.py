"""The same three problems voxel by voxel with scipy: what speed and agreement of ours are held against.

`curve_fit` on magnitudes; on complex signals, once with the phase of each voxel as a third parameter (what a user of
scipy does with complex images) and once on the real part after our phase is removed (the very problem that the complex
estimator solves, less the phase); and the maximum of the Rician likelihood. Nothing of ours is imported here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
from scipy.optimize import curve_fit, fmin_l_bfgs_b, fsolve
from scipy.special import i0e, i1e

Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From signals ``(echo, voxel)`` and echo times [s] to T2 [s] ``(voxel,)``; NaN or 0 where the fit failed."""

AMPLITUDE, RATE = 1.3, 60.0
"""Start of every fit: signal at echo time zero over that of the first echo, and 1/T2 [1/s]."""
UNIT = 1e-2
"""[s]; the maximiser wants parameters of one size."""


def curve_fit_per_voxel() -> Fit:
    """Two parameters of real signals."""

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        found = np.full(columns.shape[1], np.nan)
        for voxel, column in enumerate(columns.T):
            with contextlib.suppress(RuntimeError):
                best, _ = curve_fit(lambda t, a, rate: a * np.exp(-rate * t), echo_times, column, (AMPLITUDE, RATE))
                found[voxel] = 1 / best[1]
        return found

    return fit


def curve_fit_complex() -> Fit:
    """Amplitude, phase and T2 of complex signals, stacked as real and imaginary parts."""

    def decay(times: np.ndarray, amplitude: float, phase: float, rate: float) -> np.ndarray:
        size = amplitude * np.exp(-rate * times)
        return np.concatenate([size * np.cos(phase), size * np.sin(phase)])

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        found = np.full(columns.shape[1], np.nan)
        stacked = np.concatenate([columns.real, columns.imag])
        phases = np.angle(columns.sum(axis=0))
        for voxel, (column, phase) in enumerate(zip(stacked.T, phases, strict=True)):
            with contextlib.suppress(RuntimeError):
                best, _ = curve_fit(decay, echo_times, column, (AMPLITUDE, phase, RATE))
                found[voxel] = 1 / best[2]
        return found

    return fit


def rician_maximum() -> Fit:
    """Maximum of the Rician likelihood of magnitudes in units of the noise.

    The root of the score by MINPACK is four times as fast as any minimiser of scipy with its gradient; where it ends at
    no maximum (no signal, a growing decay, no convergence), the minimiser that failed least often, L-BFGS-B, decides.
    """

    def fit(columns: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
        found, times = np.full(columns.shape[1], np.nan), echo_times / UNIT
        for voxel, column in enumerate(columns.T):
            scale = column[0]

            def score(p: np.ndarray, column: np.ndarray = column, scale: float = scale) -> np.ndarray:
                decay = scale * np.exp(-p[1] * times)
                signal = p[0] * decay
                product = column * signal
                slope = (signal - column * i1e(product) / i0e(product)) * decay
                return np.array([slope.sum(), -p[0] * (slope * times).sum()])

            best, _, outcome, _ = fsolve(score, (AMPLITUDE, RATE * UNIT), full_output=True)
            if outcome != 1 or best[0] < 0.1 or best[1] <= 0:
                best = minimum(column, times, score)
            found[voxel] = UNIT / best[1]
        return found

    return fit


def minimum(column: np.ndarray, times: np.ndarray, gradient: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Amplitude over the first magnitude, and rate, of the least Rician misfit by L-BFGS-B."""

    def misfit(p: np.ndarray) -> float:
        signal = p[0] * column[0] * np.exp(-p[1] * times)
        return float((0.5 * (column - signal) ** 2 - np.log(i0e(column * signal))).sum())

    return np.asarray(fmin_l_bfgs_b(misfit, (AMPLITUDE, RATE * UNIT), fprime=gradient, factr=10, pgtol=1e-9)[0])


def misfit_of_t2(columns: np.ndarray, echo_times: np.ndarray, t2: np.ndarray, *, rician: bool) -> np.ndarray:
    """Misfit of decays with their best amplitude, shape ``(voxel,)``, to tell which of two T2 fits better."""
    decay = np.exp(-echo_times[:, None] / t2)
    amplitude = (columns * decay).sum(axis=0) / (decay**2).sum(axis=0)
    if not rician:
        return np.asarray(((columns - amplitude * decay) ** 2).sum(axis=0))
    for _ in range(1000):  # expectation-maximisation
        product = columns * amplitude * decay
        amplitude = (columns * i1e(product) / i0e(product) * decay).sum(axis=0) / (decay**2).sum(axis=0)
    signal = amplitude * decay
    return np.asarray((0.5 * (columns - signal) ** 2 - np.log(i0e(columns * signal))).sum(axis=0))
