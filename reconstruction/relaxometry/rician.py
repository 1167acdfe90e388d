"""The statistics of magnitudes: likelihood, information and mean of a Rician variable, in units of the noise.

Bessel functions cost most of a Rician fit, so the smooth functions needed are tabulated once, from cubic splines in
``u = 1 / (1 + z)``: that runs from 0 to 1 while ``z`` runs from infinity to 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.special import i0e, i1e

from knightshift.core.arrays import RealArray

_TABLE_POINTS = 2049
_FINE_INTERVALS = 32768
RATIO_ABOVE = (0.5, 0.236481645, 0.1059023923, 0.03114789835, 0.007982236668, 0.0009129593245, 0.0003377694752)
RATIO_BELOW = (
    1.0,
    0.4730015123,
    0.3364970712,
    0.1223621915,
    0.03572117159,
    0.008563098784,
    0.001081859358,
    0.0003377694752,
)
"""Coefficients of ``I1(z) / (z I0(z))`` by rising power of z, above and below the line of the fraction."""
SHORTFALL_ABOVE = (1.0, *(float(below - above) for below, above in zip(RATIO_BELOW[1:-1], RATIO_ABOVE, strict=False)))
"""Coefficients above the line of ``1 - I1(z) / I0(z)``."""
_LARGEST_ARGUMENT = 1e5  # where powers of the fraction overflow
_LOG_2PI = float(np.log(2 * np.pi))


class _Table:
    """A function of ``z >= 0`` as a cubic spline in ``1 / (1 + z)``, read off between many points of it."""

    def __init__(self, function: Callable[[RealArray], RealArray], at_infinity: float) -> None:
        from scipy.interpolate import CubicSpline

        grid = np.linspace(0, 1, _TABLE_POINTS)
        spline = CubicSpline(grid, np.append(at_infinity, function(1 / grid[1:] - 1)))
        values = spline(np.linspace(0, 1 + 1 / _FINE_INTERVALS, _FINE_INTERVALS + 2))
        self.values = {values.dtype: values, np.dtype(np.float32): values.astype(np.float32)}

    def __call__(self, inverse: RealArray) -> RealArray:
        """Value at ``inverse = 1 / (1 + z)``, of any shape and of its precision."""
        values = self.values[inverse.dtype]
        position = inverse * _FINE_INTERVALS
        below = np.floor(position)
        position -= below
        index = below.astype(np.intp)
        value = values.take(index)
        index += 1
        rise = values.take(index)
        rise -= value
        rise *= position
        value += rise
        return np.asarray(value)


def log_bessel(argument: RealArray) -> RealArray:
    """``ln(exp(-z) I0(z))``; any shape."""
    inverse = 1 / (1 + argument)
    return _log_bessel_table()(inverse) + 0.5 * np.log(inverse)


def bessel_shortfall(argument: RealArray) -> RealArray:
    """``1 - I1(z) / I0(z)``: how far the expected cosine of the phase of a noisy vector is below one; any shape.

    A rational function with the limits ``1 - z / 2`` and ``1 / (2 z)``, off by less than 1.2e-7, so that single
    precision is enough.
    """
    if argument.max(initial=0.0) > _LARGEST_ARGUMENT:
        ordinary = bessel_shortfall(np.minimum(argument, _LARGEST_ARGUMENT))
        return np.where(argument > _LARGEST_ARGUMENT, 0.5 / np.maximum(argument, _LARGEST_ARGUMENT), ordinary)
    above = argument * SHORTFALL_ABOVE[-1]
    for coefficient in SHORTFALL_ABOVE[-2:0:-1]:
        above += coefficient
        above *= argument
    above += SHORTFALL_ABOVE[0]
    below = argument * RATIO_BELOW[-1]
    for coefficient in RATIO_BELOW[-2:0:-1]:
        below += coefficient
        below *= argument
    below += RATIO_BELOW[0]
    above /= below
    return above


def rician_mean(signal: RealArray) -> RealArray:
    """Mean magnitude of a signal in noise of standard deviation one; any shape."""
    quarter = np.asarray(signal, dtype=float) ** 2 / 4
    return np.asarray(np.sqrt(np.pi / 2) * ((1 + 2 * quarter) * i0e(quarter) + 2 * quarter * i1e(quarter)))


def rician_information(signal: RealArray) -> RealArray:
    """Fisher information of one magnitude about its signal, in noise of standard deviation one.

    Between 0 without signal and 1 (that of the real part) for a strong one; any shape.
    """
    return _information_table()(1 / (1 + np.asarray(signal)))


def bessel_sums(magnitude: RealArray, signal: RealArray) -> tuple[RealArray, RealArray]:
    """Return what deviances need, summed over echoes: two of shape ``(voxel,)`` from ``(echo, voxel)``.

    Returns
    -------
    tuple[RealArray, RealArray]
        Twice ``ln(exp(-m s) I0(m s))``; and twice the same plus the smallest
        ``(m - s)^2 / 2 - ln(exp(-m s) I0(m s))`` over all signals ``s``, the loss of a perfect model.
    """
    product, single = 1 / (1 + magnitude * signal), 1 / (1 + magnitude)
    smooth = _log_bessel_table()(product)
    of_best = 2 * (smooth + _saturated_table()(single)).sum(axis=0) + np.log(product / single**2).sum(axis=0)
    return 2 * smooth.sum(axis=0) + np.log(product).sum(axis=0), of_best


@lru_cache(maxsize=1)
def _log_bessel_table() -> _Table:
    return _Table(lambda z: np.log(i0e(z)) + 0.5 * np.log1p(z), -0.5 * _LOG_2PI)


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
