"""Rician maximum likelihood compiled by numba: the steps of `_likelihood`, a block of voxels at a time.

As in `_compiled`, voxels climb in single precision and take the last step in double precision. What departs from least
squares (Bessel functions, logarithms) is of the size of the noise and stays in single precision throughout.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.relaxometry._compiled import ROWS, climb_from_grid
from knightshift.reconstruction.relaxometry._compiled import X as X_ROW
from knightshift.reconstruction.relaxometry._compiled_functions import information, least_loss, log_bessel, ratio
from knightshift.reconstruction.relaxometry._kernel_tools import (
    BLOCK,
    Decays,
    Limits,
    Rough,
    any_to_fit,
    compiled,
    exp,
    inlined,
    kept,
    load,
    rough_log,
    write,
)
from knightshift.reconstruction.relaxometry._voxelwise import AGAIN
from knightshift.reconstruction.relaxometry.result import T2Status

_OK = int(T2Status.OK)
_STEPS_TOGETHER = 4
_NEAR = 1e-4  # the last step; it is taken, and leaves an error of its square
_FAINTEST = 1e-3  # an amplitude in noise: fainter ones are none

_ONE, _TWO, _HALF = np.float32(1), np.float32(2), np.float32(0.5)

# Rows of the array of a block; the names of `_likelihood`: slope and bend by ln(amplitude) "a" and ln R "x".
_AMPLITUDE, _X, _RATE, _SLOPE_A, _SLOPE_X, _BEND_AA, _BEND_AX, _BEND_XX, _MISFIT = (BLOCK * row for row in range(9))
_DEVIANCE, _SATURATED, _I0, _I1, _I2 = (BLOCK * row for row in range(9, 14))
_T2, _STD, _FIRST, _OFFSET, _CHI2, _EXPLAINED = (BLOCK * row for row in range(9, 15))
_RESULTS, _ENERGY = slice(9, 16), BLOCK * 16
_ROWS = 17


class Magnitudes(NamedTuple):
    """What the likelihood needs besides the decays."""

    delays: RealArray
    """Echo times after the first [s], shape ``(echo,)``."""
    weights: RealArray
    """Mean noise over noise, shape ``(echo,)``."""
    mean_noise: float
    """Units of the images."""


@compiled
def _slopes(m: RealArray, delays: RealArray, weights: RealArray, a: RealArray) -> None:
    """Gradient and Hessian of the loss, and the squared residuals, in the precision of the data."""
    a[_SLOPE_A : _SLOPE_A + 6 * BLOCK] = 0
    for e in range(delays.size):
        t, weight, row = delays[e], weights[e], m[e]
        for v in range(BLOCK):
            magnitude = row[v]
            signal = a[_AMPLITUDE + v] * exp(-a[_RATE + v] * t) * weight
            product, residual = magnitude * signal, signal - magnitude
            short, bent = ratio(np.float32(product))
            first = (residual + magnitude * short) * signal
            second = signal * signal - product * bent * product + first
            a[_SLOPE_A + v] += first
            a[_SLOPE_X + v] += first * t
            a[_BEND_AA + v] += second
            a[_BEND_AX + v] += second * t
            a[_BEND_XX + v] += second * t * t
            a[_MISFIT + v] += residual * residual


@inlined
def _newton(a: RealArray, v: int) -> tuple[Any, Any, Any]:
    """Newton step of ``ln(amplitude)`` and ``ln R``, and the determinant of the Hessian."""
    rate = a[_RATE + v]
    slope_a, slope_x = a[_SLOPE_A + v], -rate * a[_SLOPE_X + v]
    aa, ax = a[_BEND_AA + v], -rate * a[_BEND_AX + v]
    xx = rate * (rate * a[_BEND_XX + v] - a[_SLOPE_X + v])
    determinant = aa * xx - ax * ax
    return (ax * slope_x - xx * slope_a) / determinant, (ax * slope_a - aa * slope_x) / determinant, determinant


@compiled
def _rough_step(a: RealArray, bounds: tuple[Any, Any]) -> None:
    """Newton step of at most one half in either parameter."""
    lowest, highest = bounds
    for v in range(BLOCK):
        by_a, by_x, _ = _newton(a, v)
        by_a = by_a if by_a < _HALF else _HALF
        by_a = by_a if by_a > -_HALF else -_HALF
        by_x = by_x if by_x < _HALF else _HALF
        by_x = by_x if by_x > -_HALF else -_HALF
        x = max(min(a[_X + v] + by_x, highest), lowest)
        a[_AMPLITUDE + v] *= exp(by_a)
        a[_X + v] = x
        a[_RATE + v] = exp(x)


@compiled
def _deviances(m: RealArray, delays: RealArray, weights: RealArray, a: RealArray) -> None:
    """Deviance less the squared residuals, loss of a perfect model, and information, in single precision."""
    a[_DEVIANCE : _DEVIANCE + 5 * BLOCK] = 0
    for e in range(delays.size):
        t, weight, row = delays[e], weights[e], m[e]
        for v in range(BLOCK):
            magnitude = row[v]
            signal = a[_AMPLITUDE + v] * exp(-a[_RATE + v] * t) * weight
            square, z_more = magnitude * magnitude, _ONE + magnitude * signal
            inverse = _ONE / max(square, _TWO)
            least, bessel = least_loss(square, inverse + inverse), log_bessel(_ONE / z_more)
            a[_DEVIANCE + v] += rough_log(z_more * inverse) - bessel - bessel - least - least
            a[_SATURATED + v] += least - _HALF * rough_log(inverse)
            known = signal * signal * information(signal)
            a[_I0 + v] += known
            a[_I1 + v] += known * t
            a[_I2 + v] += known * t * t


@compiled
def _take_last_step(a: RealArray, b: RealArray, scale: tuple[float, float], limits: Limits, status: Any) -> None:
    """From slopes to results: the last Newton step, and what is found after it; `scale` is first echo and noise."""
    first_echo, noise = scale
    for v in range(status.size):
        by_a, by_x, determinant = _newton(b, v)
        near = (abs(by_a) < _NEAR) & (abs(by_x) < _NEAR) & (b[_BEND_AA + v] > 0) & (determinant > 0)
        x = b[_X + v] + by_x
        sound = near & (x > limits.lowest) & (x < limits.highest) & (b[_AMPLITUDE + v] > _FAINTEST)
        status[v] = status[v] if sound | (status[v] != _OK) else AGAIN
        rate = b[_RATE + v] * (1 + by_x)
        information = a[_I2 + v] - a[_I1 + v] * a[_I1 + v] / a[_I0 + v]
        chi2 = b[_MISFIT + v] + a[_DEVIANCE + v]
        b[_T2 + v] = 1 / rate
        b[_STD + v] = 1 / (rate * rate * np.sqrt(information))
        b[_FIRST + v] = b[_AMPLITUDE + v] * (1 + by_a) * noise / exp(-rate * first_echo)
        b[_CHI2 + v] = chi2
        b[_EXPLAINED + v] = b[_ENERGY + v] - chi2 - 2 * a[_SATURATED + v]


@compiled
def _start(m: RealArray, m32: RealArray, freed: RealArray, b: RealArray) -> None:
    """Energy of each voxel, data in single precision, and data with the noise floor taken out in quadrature."""
    b[_ENERGY : _ENERGY + BLOCK] = 0
    for e in range(m.shape[0]):
        row, row32, free = m[e], m32[e], freed[e]
        for v in range(BLOCK):
            square = row[v] * row[v]
            b[_ENERGY + v] += square
            free[v] = np.sqrt(max(square - 2.0, 0.01))
            row32[v] = row[v]


@kept
def fit_magnitudes(
    signal: RealArray,
    span: tuple[int, int],
    model: tuple[Decays, Rough, Magnitudes],
    limits: Limits,
    status: Any,
    maps: RealArray,
) -> None:
    """Fit as `_compiled.fit_exponentials`; voxels that are not at their optimum are left with the status `AGAIN`."""
    decays, rough, magnitudes = model
    m, freed = np.zeros((signal.shape[0], BLOCK)), np.zeros((signal.shape[0], BLOCK))
    m32, y32 = np.zeros(m.shape, np.float32), np.zeros((rough.basis.shape[1], BLOCK), np.float32)
    base = np.zeros((rough.basis.shape[0], BLOCK), np.float32)
    grid_b, grid_a = np.zeros(ROWS * BLOCK), np.zeros(ROWS * BLOCK, np.float32)
    b, a = np.zeros(_ROWS * BLOCK), np.zeros(_ROWS * BLOCK, np.float32)
    delays, weights = magnitudes.delays.astype(np.float32), magnitudes.weights.astype(np.float32)
    bounds = np.float32(limits.lowest + 1), np.float32(limits.highest - 1)
    for first in range(span[0], span[1], BLOCK):
        end = min(first + BLOCK, span[1])
        here = status[first:end]
        if any_to_fit(here):
            load(signal[:, first:end], decays, m)
            _start(m, m32, freed, b)
            climb_from_grid(freed, y32, rough, base, grid_b, grid_a)
            for v in range(BLOCK):
                a[_X + v] = max(min(grid_a[X_ROW + v], bounds[1]), bounds[0])
                a[_RATE + v] = exp(a[_X + v])
                a[_AMPLITUDE + v] = freed[0, v]
            for _ in range(_STEPS_TOGETHER):
                _slopes(m32, delays, weights, a)
                _rough_step(a, bounds)
            for v in range(3 * BLOCK):
                b[v] = a[v]
            _slopes(m, magnitudes.delays, magnitudes.weights, b)
            _deviances(m32, delays, weights, a)
            _take_last_step(a, b, (decays.times[0], magnitudes.mean_noise), limits, here)
        write(b.reshape(_ROWS, BLOCK)[_RESULTS], b[_ENERGY:], limits, here, maps[:, first:end])
