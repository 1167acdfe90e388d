"""The statistics of magnitudes: likelihood, information and mean of a Rician variable, in units of the noise.

Bessel functions cost most of a Rician fit, so the smooth functions needed are tabulated once, as cubic splines in
``u = 1 / (1 + z)``: that runs from 0 to 1 while ``z`` runs from infinity to 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import i0e, i1e

from knightshift.core.arrays import RealArray

_TABLE_POINTS = 2049
_LOG_2PI = float(np.log(2 * np.pi))


class _Table:
    """A function of ``z >= 0`` as a cubic spline in ``1 / (1 + z)``, found by index rather than by search."""

    def __init__(self, function: Callable[[RealArray], RealArray], at_infinity: float) -> None:
        grid = np.linspace(0, 1, _TABLE_POINTS)
        values = np.append(at_infinity, function(1 / grid[1:] - 1))
        self.coefficients = np.ascontiguousarray(CubicSpline(grid, values).c)

    def __call__(self, inverse: RealArray) -> RealArray:
        """Value at ``inverse = 1 / (1 + z)``; any shape."""
        position = inverse * (_TABLE_POINTS - 1)
        index = np.minimum(position.astype(np.int32), _TABLE_POINTS - 2)
        position -= index
        position /= _TABLE_POINTS - 1
        value = self.coefficients[0].take(index)
        for coefficients in self.coefficients[1:]:
            value *= position
            value += coefficients.take(index)
        return np.asarray(value)


def log_bessel_and_ratio(argument: RealArray) -> tuple[RealArray, RealArray]:
    """``ln(exp(-z) I0(z))`` and ``I1(z) / I0(z)``, the expected cosine of the phase of a noisy vector; any shape."""
    inverse = 1 / (1 + argument)
    logarithm, ratio = _bessel_tables()
    return logarithm(inverse) + 0.5 * np.log(inverse), ratio(inverse)


def rician_mean(signal: RealArray) -> RealArray:
    """Mean magnitude of a signal in noise of standard deviation one; any shape."""
    quarter = np.asarray(signal, dtype=float) ** 2 / 4
    return np.asarray(np.sqrt(np.pi / 2) * ((1 + 2 * quarter) * i0e(quarter) + 2 * quarter * i1e(quarter)))


def rician_information(signal: RealArray) -> RealArray:
    """Fisher information of one magnitude about its signal, in noise of standard deviation one.

    Between 0 without signal and 1 (that of the real part) for a strong one; any shape.
    """
    return _information_table()(1 / (1 + np.asarray(signal, dtype=float)))


def saturated_loss(magnitude: RealArray) -> RealArray:
    """Smallest ``(m - s)^2 / 2 - ln(exp(-m s) I0(m s))`` over all signals ``s``: the loss of a perfect model."""
    inverse = 1 / (1 + np.asarray(magnitude, dtype=float))
    return np.asarray(_saturated_table()(inverse) - np.log(inverse))


@lru_cache(maxsize=1)
def _bessel_tables() -> tuple[_Table, _Table]:
    return (
        _Table(lambda z: np.log(i0e(z)) + 0.5 * np.log1p(z), -0.5 * _LOG_2PI),
        _Table(lambda z: i1e(z) / i0e(z), 1.0),
    )


@lru_cache(maxsize=1)
def _information_table() -> _Table:
    """Integrate the squared score over the Rician density."""

    def information(signal: RealArray) -> RealArray:
        signal = np.asarray(signal)[:, None]
        nodes, weights = np.polynomial.legendre.leggauss(200)
        magnitude = np.maximum(signal - 9, 0) + 9 * (nodes + 1)
        product = signal * magnitude
        bessel = i0e(product)
        density = magnitude * np.exp(-0.5 * (magnitude - signal) ** 2) * bessel
        score = magnitude * i1e(product) / bessel - signal
        return np.asarray(density * score**2 @ (9 * weights))

    return _Table(information, 1.0)


@lru_cache(maxsize=1)
def _saturated_table() -> _Table:
    def least(magnitude: RealArray) -> RealArray:
        signal = np.sqrt(np.maximum(magnitude**2 - 1, 0))
        for _ in range(500):  # expectation-maximisation; slow only where the signal, and so its effect, is small
            signal = magnitude * i1e(magnitude * signal) / i0e(magnitude * signal)
        return np.asarray(0.5 * (magnitude - signal) ** 2 - np.log(i0e(magnitude * signal)) - np.log1p(magnitude))

    return _Table(least, 0.5 * _LOG_2PI)
