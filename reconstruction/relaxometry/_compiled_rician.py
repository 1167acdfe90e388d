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
from knightshift.reconstruction.relaxometry._likelihood import FLAT_TOP
from knightshift.reconstruction.relaxometry._voxelwise import AGAIN
from knightshift.reconstruction.relaxometry.result import T2Status

_OK, _TOO_LONG = int(T2Status.OK), int(T2Status.TOO_LONG)
_STEPS_TO_START, _STEPS_TOGETHER = 2, 4
_STEPS_AGAIN, _EXACT_STEPS_AGAIN = 20, 2
_NEAR = 1e-4  # the last step; it is taken, and leaves an error of its square
_FAINTEST = 1e-3  # an amplitude in noise: fainter ones are none
_FLAT_TOP = 1 / FLAT_TOP**2  # information on ln R

_ZERO, _HALF, _ONE, _TWO = (np.float32(value) for value in (0, 0.5, 1, 2))

# Rows of the array of a block; the names of `_likelihood`: slope and bend by ln(amplitude) "a" and ln R "x".
_AMPLITUDE, _X, _RATE, _SLOPE_A, _SLOPE_X, _BEND_AA, _BEND_AX, _BEND_XX, _MISFIT = (BLOCK * row for row in range(9))
_DEVIANCE, _SATURATED, _I0, _I1, _I2 = (BLOCK * row for row in range(9, 14))
_T2, _STD, _FIRST, _OFFSET, _CHI2, _EXPLAINED = (BLOCK * row for row in range(9, 15))
_ALONE = BLOCK * 14  # in single precision only
_RESULTS, _ENERGY = slice(9, 16), BLOCK * 16
_ROWS = 17


class Delays(NamedTuple):
    """When the echoes come and what they weigh, in single or double precision."""

    times: RealArray
    """After the first echo [s], shape ``(echo,)``."""
    weights: RealArray
    """Mean noise over noise, shape ``(echo,)``."""


class Magnitudes(NamedTuple):
    """What the likelihood needs besides the decays."""

    delays: Delays
    rough_delays: Delays
    """In single precision."""
    first_echo: float
    """[s]."""
    mean_noise: float
    """Units of the images."""


class _Work(NamedTuple):
    """Room for the voxels of a block."""

    m: RealArray
    """Magnitudes in units of the noise, shape ``(echo, BLOCK)``."""
    m32: RealArray
    freed: RealArray
    """Magnitudes with the noise floor taken out in quadrature."""
    freed32: RealArray
    base: RealArray
    grid_b: RealArray
    """Rows of `climb_from_grid`; and in single precision."""
    grid_a: RealArray
    b: RealArray
    """Rows of this module; and in single precision."""
    a: RealArray


@compiled
def _slopes(m: RealArray, delays: Delays, a: RealArray) -> None:
    """Gradient and Hessian of the loss, and the squared residuals, in the precision of the data."""
    a[_SLOPE_A : _SLOPE_A + 6 * BLOCK] = 0
    for e in range(delays.times.size):
        t, weight, row = delays.times[e], delays.weights[e], m[e]
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
def _mend(delays: Delays, a: RealArray) -> None:
    """Take the expected Hessian, nearly, where the one at hand does not lead to a minimum."""
    a[_I0 : _I0 + 3 * BLOCK] = 0
    for e in range(delays.times.size):
        t, weight = delays.times[e], delays.weights[e]
        for v in range(BLOCK):
            signal = a[_AMPLITUDE + v] * exp(-a[_RATE + v] * t) * weight
            square = signal * signal
            known = square * square / (_ONE + square)
            a[_I0 + v] += known
            a[_I1 + v] += known * t
            a[_I2 + v] += known * t * t
    for v in range(BLOCK):
        _, _, determinant = _newton(a, v)
        sound = (a[_BEND_AA + v] > _ZERO) & (determinant > _ZERO)
        a[_BEND_AA + v] = a[_BEND_AA + v] if sound else a[_I0 + v]
        a[_BEND_AX + v] = a[_BEND_AX + v] if sound else a[_I1 + v]
        a[_BEND_XX + v] = a[_BEND_XX + v] if sound else a[_I2 + v] + a[_SLOPE_X + v] / a[_RATE + v]


@compiled
def _step(a: RealArray, bounds: tuple[Any, Any]) -> None:
    """Newton step of at most one half in either parameter; at a bound of the rate of the amplitude alone."""
    lowest, highest = bounds
    for v in range(BLOCK):
        by_a, by_x, _ = _newton(a, v)
        x, outwards = a[_X + v], a[_SLOPE_X + v]
        held = ((x <= lowest) & (outwards <= _ZERO)) | ((x >= highest) & (outwards >= _ZERO))
        by_a = -a[_SLOPE_A + v] / a[_BEND_AA + v] if held else by_a
        by_a = by_a if by_a < _HALF else _HALF
        by_a = by_a if by_a > -_HALF else -_HALF
        by_x = by_x if by_x < _HALF else _HALF
        by_x = by_x if by_x > -_HALF else -_HALF
        moved = max(min(x + by_x, highest), lowest)
        x = x if held else moved
        a[_AMPLITUDE + v] *= exp(by_a)
        a[_X + v] = x
        a[_RATE + v] = exp(x)


@compiled
def _deviances(m: RealArray, delays: Delays, a: RealArray) -> None:
    """Deviance less the squared residuals, loss of a perfect model, what the first echo alone explains, information."""
    a[_DEVIANCE : _DEVIANCE + 5 * BLOCK] = 0
    for e in range(delays.times.size):
        t, weight, row = delays.times[e], delays.weights[e], m[e]
        for v in range(BLOCK):
            magnitude = row[v]
            signal = a[_AMPLITUDE + v] * exp(-a[_RATE + v] * t) * weight
            square, z_more = magnitude * magnitude, _ONE + magnitude * signal
            inverse = _ONE / max(square, _TWO)
            least, bessel = least_loss(square, inverse + inverse), log_bessel(_ONE / z_more)
            a[_DEVIANCE + v] += rough_log(z_more * inverse) - bessel - bessel - least - least
            saturated = least - _HALF * rough_log(inverse)
            a[_SATURATED + v] += saturated
            a[_ALONE + v] = square - saturated - saturated if e == 0 else a[_ALONE + v]
            known = signal * signal * information(signal)
            a[_I0 + v] += known
            a[_I1 + v] += known * t
            a[_I2 + v] += known * t * t


@compiled
def _take_last_step(a: RealArray, b: RealArray, magnitudes: Magnitudes, limits: Limits, status: Any) -> None:
    """From slopes to results: the last Newton step, and what is found after it."""
    first_echo, noise = magnitudes.first_echo, magnitudes.mean_noise
    nearly = max(1.0, magnitudes.delays.times.size - 2.0)
    for v in range(status.size):
        by_a, by_x, determinant = _newton(b, v)
        near = (abs(by_a) < _NEAR) & (abs(by_x) < _NEAR) & (b[_BEND_AA + v] > 0) & (determinant > 0)
        x, state = b[_X + v] + by_x, status[v]
        inside = (x > limits.lowest + _NEAR) & (x < limits.highest - _NEAR)
        information = a[_I2 + v] - a[_I1 + v] * a[_I1 + v] / a[_I0 + v]
        chi2 = b[_MISFIT + v] + a[_DEVIANCE + v]
        explained = b[_ENERGY + v] - chi2 - 2 * a[_SATURATED + v]
        two_hills = (information * b[_RATE + v] * b[_RATE + v] < _FLAT_TOP) & (explained - a[_ALONE + v] < nearly)
        sound = near & inside & (b[_AMPLITUDE + v] > _FAINTEST) & (not two_hills)
        flat = (b[_X + v] <= limits.lowest + _NEAR) & (b[_SLOPE_X + v] <= 0)
        flat = flat & (abs(b[_SLOPE_A + v]) < _NEAR * b[_BEND_AA + v]) & (not two_hills)
        state = AGAIN if (state == _OK) & (not sound) & (not flat) else state
        status[v] = _TOO_LONG if (state == _OK) & flat else state
        rate = b[_RATE + v] * (1 + by_x)
        b[_T2 + v] = 1 / rate
        b[_STD + v] = 1 / (rate * rate * np.sqrt(information))
        b[_FIRST + v] = b[_AMPLITUDE + v] * (1 + by_a) * noise / exp(-rate * first_echo)
        b[_CHI2 + v] = chi2
        b[_EXPLAINED + v] = explained


@compiled
def _start(rough: Rough, bounds: tuple[Any, Any], work: _Work) -> None:
    """Energy of each voxel; where least squares leads with the noise floor taken out in quadrature."""
    a, b, freed = work.a, work.b, work.freed
    b[_ENERGY : _ENERGY + BLOCK] = 0
    for e in range(work.m.shape[0]):
        row, row32, free = work.m[e], work.m32[e], freed[e]
        for v in range(BLOCK):
            square = row[v] * row[v]
            b[_ENERGY + v] += square
            free[v] = np.sqrt(max(square - 2.0, 0.01))
            row32[v] = row[v]
    climb_from_grid(freed, work.freed32, rough, work.base, _STEPS_TO_START, work.grid_b, work.grid_a)
    for v in range(BLOCK):
        a[_X + v] = max(min(work.grid_a[X_ROW + v], bounds[1] - _ONE), bounds[0] + _ONE)
        a[_RATE + v] = exp(a[_X + v])
        a[_AMPLITUDE + v] = freed[0, v]


@compiled
def _fit_block(
    signal: RealArray,
    model: tuple[Decays, Rough, Magnitudes],
    limits: Limits,
    patient: bool,
    status: Any,
    maps: RealArray,
    work: _Work,
) -> None:
    """Fit the voxels of a block; patiently those that a few plain steps did not bring to their optimum."""
    decays, rough, magnitudes = model
    a, b = work.a, work.b
    load(signal, decays, work.m)
    bounds = np.float32(limits.lowest), np.float32(limits.highest)
    _start(rough, bounds, work)
    for _ in range(_STEPS_AGAIN if patient else _STEPS_TOGETHER):
        _slopes(work.m32, magnitudes.rough_delays, a)
        if patient:
            _mend(magnitudes.rough_delays, a)
        _step(a, bounds)
    for v in range(3 * BLOCK):
        b[v] = a[v]
    for _ in range(_EXACT_STEPS_AGAIN if patient else 0):
        _slopes(work.m, magnitudes.delays, b)
        _step(b, (np.float64(bounds[0]), np.float64(bounds[1])))
    _slopes(work.m, magnitudes.delays, b)
    for v in range(3 * BLOCK):
        a[v] = b[v]
    _deviances(work.m32, magnitudes.rough_delays, a)
    _take_last_step(a, b, magnitudes, limits, status)
    write(b.reshape(_ROWS, BLOCK)[_RESULTS], b[_ENERGY:], limits, status, maps)


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
    n_echoes, rough = signal.shape[0], model[1]
    m, m32 = np.zeros((n_echoes, BLOCK)), np.zeros((n_echoes, BLOCK), np.float32)
    freed32, base = np.zeros((rough.basis.shape[1], BLOCK), np.float32), np.zeros((len(rough.basis), BLOCK), np.float32)
    grid_b, grid_a = np.zeros(ROWS * BLOCK), np.zeros(ROWS * BLOCK, np.float32)
    b, a = np.zeros(_ROWS * BLOCK), np.zeros(_ROWS * BLOCK, np.float32)
    work = _Work(m, m32, np.zeros((n_echoes, BLOCK)), freed32, base, grid_b, grid_a, b, a)
    for first in range(span[0], span[1], BLOCK):
        end = min(first + BLOCK, span[1])
        if any_to_fit(status[first:end]):
            _fit_block(signal[:, first:end], model, limits, False, status[first:end], maps[:, first:end], work)
        else:
            maps[:, first:end] = np.nan
    left = span[0] + np.flatnonzero(status[span[0] : span[1]] == AGAIN)
    columns, found = np.empty((n_echoes, BLOCK), signal.dtype), np.empty((maps.shape[0], BLOCK), maps.dtype)
    states = np.empty(BLOCK, np.int8)
    for first in range(0, left.size, BLOCK):
        voxels = left[first : first + BLOCK]
        count = voxels.size
        for v in range(count):
            columns[:, v] = signal[:, voxels[v]]
        states[:] = _OK
        _fit_block(columns[:, :count], model, limits, True, states[:count], found[:, :count], work)
        for v in range(count):
            status[voxels[v]] = states[v]
            maps[:, voxels[v]] = found[:, v]
