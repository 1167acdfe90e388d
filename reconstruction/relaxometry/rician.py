"""The statistics of magnitudes: likelihood, information and mean of a Rician variable, in units of the noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import i0e, i1e

from knightshift.core.arrays import RealArray

_TABLE_END = 12.0
_TABLE_POINTS = 1201


def bessel_ratio(argument: RealArray, bessel_zero: RealArray | None = None) -> RealArray:
    """``I1(z) / I0(z)``, the expected cosine of the phase of a noisy vector; any shape."""
    return np.asarray(i1e(argument) / (i0e(argument) if bessel_zero is None else bessel_zero))


def rician_mean(signal: RealArray) -> RealArray:
    """Mean magnitude of a signal in noise of standard deviation one; any shape."""
    quarter = np.asarray(signal, dtype=float) ** 2 / 4
    return np.asarray(np.sqrt(np.pi / 2) * ((1 + 2 * quarter) * i0e(quarter) + 2 * quarter * i1e(quarter)))


def rician_information(signal: RealArray) -> RealArray:
    """Fisher information of one magnitude about its signal, in noise of standard deviation one.

    Between 0 without signal and 1 (that of the real part) for a strong one; any shape. Interpolated to 1e-5.
    """
    signal = np.asarray(signal, dtype=float)
    grid, table = _information_table()
    strong = 1 - 0.5 / np.maximum(signal, 1.0) ** 2
    tail = 1 - 0.5 / _TABLE_END**2 - table[-1]
    return np.where(
        signal < _TABLE_END, np.interp(signal, grid, table), strong - tail * (_TABLE_END / np.maximum(signal, 1)) ** 4
    )


@lru_cache(maxsize=1)
def _information_table() -> tuple[RealArray, RealArray]:
    """Integrate the squared score over the Rician density."""
    grid = np.linspace(0, _TABLE_END, _TABLE_POINTS)
    magnitude = np.linspace(0, _TABLE_END + 9, 3001)
    product = np.multiply.outer(grid, magnitude)
    density = magnitude * np.exp(-0.5 * np.subtract.outer(grid, magnitude) ** 2) * i0e(product)
    score = magnitude * bessel_ratio(product) - grid[:, None]
    return grid, np.asarray(np.trapezoid(density * score**2, magnitude, axis=1))


def saturated_loss(magnitude: RealArray) -> RealArray:
    """Smallest ``(m - s)^2 / 2 - ln(exp(-m s) I0(m s))`` over all signals ``s``: the loss of a perfect model."""
    magnitude = np.asarray(magnitude, dtype=float)
    grid, table = _saturated_table()
    beyond = -np.log(i0e(magnitude * np.sqrt(np.maximum(magnitude**2 - 1, 0)))) + 0.125 / np.maximum(magnitude, 1) ** 2
    return np.where(magnitude < _TABLE_END, np.interp(magnitude, grid, table), beyond)


@lru_cache(maxsize=1)
def _saturated_table() -> tuple[RealArray, RealArray]:
    grid = np.linspace(0, _TABLE_END, _TABLE_POINTS)
    signal = np.sqrt(np.maximum(grid**2 - 1, 0))
    for _ in range(500):  # expectation-maximisation; slow only where the signal, and so its effect, is small
        signal = grid * bessel_ratio(grid * signal)
    return grid, np.asarray(0.5 * (grid - signal) ** 2 - np.log(i0e(grid * signal)))
