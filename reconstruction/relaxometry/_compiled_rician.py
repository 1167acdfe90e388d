"""Rician maximum likelihood compiled by numba: the steps of `_likelihood`, a block of voxels at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.relaxometry._compiled import RATE as RATE_ROW
from knightshift.reconstruction.relaxometry._compiled import ROWS, climb_from_grid
from knightshift.reconstruction.relaxometry._compiled import X as X_ROW
from knightshift.reconstruction.relaxometry._kernel_tools import (
    BLOCK,
    Decays,
    Limits,
    Rough,
    any_to_fit,
    compiled,
    exp_of_negative,
    load,
    rough_exp,
    small_exp,
    write_voxel,
)
from knightshift.reconstruction.relaxometry._voxelwise import AGAIN
from knightshift.reconstruction.relaxometry.result import T2Status
from knightshift.reconstruction.relaxometry.rician import RATIO_ABOVE, RATIO_BELOW

_OK, _NO_SIGNAL = int(T2Status.OK), int(T2Status.NO_SIGNAL)
_MASKED, _INVALID_INPUT = int(T2Status.MASKED), int(T2Status.INVALID_INPUT)
_STEPS_TOGETHER = 4
_NEAR = 3e-4  # the last step; it is taken, and leaves an error of its square
_FAINTEST = 1e-3  # an amplitude in noise: fainter ones are none

_P0, _P1, _P2, _P3, _P4, _P5, _P6 = RATIO_ABOVE
_Q0, _Q1, _Q2, _Q3, _Q4, _Q5, _Q6, _Q7 = RATIO_BELOW
_R0, _R1, _R2, _R3, _R4, _R5, _R6 = (np.float32(value) for value in RATIO_ABOVE)
_S0, _S1, _S2, _S3, _S4, _S5, _S6, _S7 = (np.float32(value) for value in RATIO_BELOW)
_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_LARGEST = np.float32(1e4)  # argument of the ratio in single precision: its seventh power has to stay finite

# Rows of the array of a block; the names of `_likelihood`: slope and bend by ln(amplitude) "a" and ln R "x".
_AMPLITUDE, _X, _RATE, _SLOPE_A, _SLOPE_X, _BEND_AA, _BEND_AX, _BEND_XX = (BLOCK * row for row in range(8))
_SIGNAL, _MISFIT, _BESSEL, _ENERGY, _PRODUCT, _LEAST, _LEAST_PRODUCT, _I0, _I1, _I2 = (
    BLOCK * row for row in range(8, 18)
)
_AT_MAGNITUDE, _AT_BESSEL, _AT_SIGNAL = (BLOCK * row for row in range(18, 21))
_ROWS = 21


class Magnitudes(NamedTuple):
    """What the likelihood needs besides the decays."""

    delays: RealArray
    """Echo times after the first [s], shape ``(echo,)``."""
    weights: RealArray
    """Mean noise over noise, shape ``(echo,)``."""
    information: RealArray
    """Coefficients of the table of `rician.rician_information`, shape ``(power, interval)``."""
    log_bessel: RealArray
    """Of ``ln(exp(-z) I0(z)) + ln(1 + z) / 2``."""
    least_loss: RealArray
    """Of `rician.saturated_loss` less ``ln(1 + m)``."""
    mean_noise: float
    """Units of the images."""


@compiled
def _lookup(table: RealArray, position: float, width: float) -> float:
    """Value of a spline at a position in intervals of a width; its cubic term is below 1e-9 in a table as fine."""
    index = int(position)
    rest = (position - index) * width
    value: float = (table[1, index] * rest + table[2, index]) * rest + table[3, index]
    return value


@compiled
def _rough_lookup(table: RealArray, position: float, width: float) -> float:
    """Follow the tangent only: off by 1e-6, for errors of errors."""
    index = int(position)
    value: float = table[2, index] * (position - index) * width + table[3, index]
    return value


@compiled
def _free(y: RealArray, freed: RealArray) -> None:
    """Take the noise floor out in quadrature."""
    for e in range(y.shape[0]):
        row, free = y[e], freed[e]
        for v in range(BLOCK):
            free[v] = np.sqrt(max(row[v] * row[v] - 2.0, 0.01))


@compiled
def _rough_slopes(m32: RealArray, delays: RealArray, weights: RealArray, a: RealArray) -> None:
    """Gradient and Hessian of the loss in single precision."""
    for v in range(_SLOPE_A, _SLOPE_A + 5 * BLOCK):
        a[v] = _ZERO
    for e in range(delays.size):
        t, weight, row = delays[e], weights[e], m32[e]
        for v in range(BLOCK):
            magnitude = row[v]
            signal = a[_AMPLITUDE + v] * rough_exp(-a[_RATE + v] * t) * weight
            z = min(magnitude * signal, _LARGEST)
            above = _R0 + z * (_R1 + z * (_R2 + z * (_R3 + z * (_R4 + z * (_R5 + z * _R6)))))
            below = _S0 + z * (_S1 + z * (_S2 + z * (_S3 + z * (_S4 + z * (_S5 + z * (_S6 + z * _S7))))))
            over = above / below
            ratio = over * z
            first = (signal - magnitude * ratio) * signal
            second = (_ONE - magnitude * magnitude * (_ONE - over - ratio * ratio)) * signal * signal + first
            a[_SLOPE_A + v] += first
            a[_SLOPE_X + v] += first * t
            a[_BEND_AA + v] += second
            a[_BEND_AX + v] += second * t
            a[_BEND_XX + v] += second * t * t


@compiled
def _rough_step(a: RealArray, bounds: tuple[Any, Any]) -> None:
    """Newton step of at most one half in either parameter."""
    lowest, highest = bounds
    for v in range(BLOCK):
        rate = a[_RATE + v]
        slope_a, slope_x = a[_SLOPE_A + v], -rate * a[_SLOPE_X + v]
        aa, ax = a[_BEND_AA + v], -rate * a[_BEND_AX + v]
        xx = rate * (rate * a[_BEND_XX + v] - a[_SLOPE_X + v])
        scale = _ONE / (aa * xx - ax * ax)
        by_a, by_x = (ax * slope_x - xx * slope_a) * scale, (ax * slope_a - aa * slope_x) * scale
        by_a = by_a if by_a < _HALF else _HALF
        by_a = by_a if by_a > -_HALF else -_HALF
        by_x = by_x if by_x < _HALF else _HALF
        by_x = by_x if by_x > -_HALF else -_HALF
        by_x = max(min(a[_X + v] + by_x, highest), lowest) - a[_X + v]
        a[_AMPLITUDE + v] *= small_exp(by_a)
        a[_X + v] += by_x
        a[_RATE + v] = rate * small_exp(by_x)


@compiled
def _slopes(m: RealArray, magnitudes: Magnitudes, b: RealArray) -> None:
    """As `_rough_slopes` in double precision, and with it what the results are made of."""
    for v in range(_SLOPE_A, _ROWS * BLOCK):
        b[v] = 0.0
    for v in range(BLOCK):
        b[_PRODUCT + v] = 1.0
        b[_LEAST_PRODUCT + v] = 1.0
    for e in range(magnitudes.delays.size):
        t, weight, row = magnitudes.delays[e], magnitudes.weights[e], m[e]
        for v in range(BLOCK):
            magnitude = row[v]
            signal = b[_AMPLITUDE + v] * exp_of_negative(-b[_RATE + v] * t) * weight
            z = magnitude * signal
            above = _P0 + z * (_P1 + z * (_P2 + z * (_P3 + z * (_P4 + z * (_P5 + z * _P6)))))
            below = _Q0 + z * (_Q1 + z * (_Q2 + z * (_Q3 + z * (_Q4 + z * (_Q5 + z * (_Q6 + z * _Q7))))))
            over = above / below
            ratio = over * z
            first = (signal - magnitude * ratio) * signal
            second = (1 - magnitude * magnitude * (1 - over - ratio * ratio)) * signal * signal + first
            b[_SLOPE_A + v] += first
            b[_SLOPE_X + v] += first * t
            b[_BEND_AA + v] += second
            b[_BEND_AX + v] += second * t
            b[_BEND_XX + v] += second * t * t
            b[_SIGNAL + v] = signal
        _lay_out(row, b, float(magnitudes.log_bessel.shape[1]))
        _look_up(magnitudes, t, b)


@compiled
def _lay_out(row: RealArray, b: RealArray, intervals: float) -> None:
    """Add what one echo gives without a table, and find the places in the tables: all divisions are in this loop."""
    highest = intervals * (1 - 1e-15)
    for v in range(BLOCK):
        magnitude, signal = row[v], b[_SIGNAL + v]
        one_more, z_more = 1 + magnitude, 1 + magnitude * signal
        inverse = 1 / one_more
        b[_MISFIT + v] += (magnitude - signal) * (magnitude - signal)
        b[_ENERGY + v] += magnitude * magnitude
        b[_PRODUCT + v] *= z_more * inverse * inverse
        b[_LEAST_PRODUCT + v] *= one_more
        b[_AT_MAGNITUDE + v] = min(intervals * inverse, highest)
        b[_AT_BESSEL + v] = min(intervals / z_more, highest)
        b[_AT_SIGNAL + v] = min(intervals / (1 + signal), highest)


@compiled
def _look_up(magnitudes: Magnitudes, t: float, b: RealArray) -> None:
    """Add what the tables say of one echo."""
    width = 1 / magnitudes.log_bessel.shape[1]
    for v in range(BLOCK):
        signal = b[_SIGNAL + v]
        b[_BESSEL + v] += _lookup(magnitudes.log_bessel, b[_AT_BESSEL + v], width)
        b[_LEAST + v] += _lookup(magnitudes.least_loss, b[_AT_MAGNITUDE + v], width)
        information = signal * signal * _rough_lookup(magnitudes.information, b[_AT_SIGNAL + v], width)
        b[_I0 + v] += information
        b[_I1 + v] += information * t
        b[_I2 + v] += information * t * t


@compiled
def _write(
    b: RealArray,
    magnitudes: Magnitudes,
    here: tuple[int, int],
    first_echo: float,
    limits: Limits,
    status: Any,
    maps: RealArray,
) -> None:
    """Take the last step, judge each voxel and write what was found."""  # fmt: skip
    first, count = here
    for v in range(count):
        i = first + v
        if status[i] != _OK:
            write_voxel(maps, i, status[i], (np.nan, np.nan, np.nan, np.nan, np.nan, 0.0))
            continue
        rate = b[_RATE + v]
        slope_a, slope_x = b[_SLOPE_A + v], -rate * b[_SLOPE_X + v]
        aa, ax = b[_BEND_AA + v], -rate * b[_BEND_AX + v]
        xx = rate * (rate * b[_BEND_XX + v] - b[_SLOPE_X + v])
        determinant = aa * xx - ax * ax
        by_a, by_x = (ax * slope_x - xx * slope_a) / determinant, (ax * slope_a - aa * slope_x) / determinant
        near = abs(by_a) < _NEAR and abs(by_x) < _NEAR and aa > 0 and determinant > 0
        inside = limits.lowest < b[_X + v] + by_x < limits.highest
        if not (near and inside and b[_AMPLITUDE + v] > _FAINTEST):
            status[i] = AGAIN
            continue
        rate *= 1 + by_x
        information = rate * rate * (b[_I2 + v] - b[_I1 + v] ** 2 / b[_I0 + v])
        chi2 = b[_MISFIT + v] - 2 * (b[_BESSEL + v] + b[_LEAST + v]) + np.log(b[_PRODUCT + v])
        explained = b[_ENERGY + v] - chi2 - 2 * (b[_LEAST + v] + np.log(b[_LEAST_PRODUCT + v]))
        at_first = b[_AMPLITUDE + v] * (1 + by_a) * magnitudes.mean_noise
        amplitude = at_first / exp_of_negative(-rate * first_echo)
        if not explained > limits.explained:
            status[i] = _NO_SIGNAL
        write_voxel(maps, i, status[i], (1 / rate, 1 / (rate * np.sqrt(information)), amplitude, 0.0, chi2, explained))


@compiled
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
    n_echoes = decays.times.size
    m, freed = np.zeros((n_echoes, BLOCK)), np.zeros((n_echoes, BLOCK))
    y32, m32 = np.zeros((n_echoes, BLOCK), np.float32), np.zeros((n_echoes, BLOCK), np.float32)
    b, a = np.zeros(max(ROWS, _ROWS) * BLOCK), np.zeros(ROWS * BLOCK, np.float32)
    heights = np.zeros((rough.grid.size, BLOCK), np.float32)
    delays, weights = magnitudes.delays.astype(np.float32), magnitudes.weights.astype(np.float32)
    bounds = np.float32(limits.lowest + 1), np.float32(limits.highest - 1)
    for first in range(span[0], span[1], BLOCK):
        here = (first, min(BLOCK, span[1] - first))
        if any_to_fit(status, here):
            load(signal, here, decays.weights, decays.floor, m)
            _free(m, freed)
            climb_from_grid(freed, y32, rough, heights, b, a)
            for v in range(BLOCK):
                x = max(min(a[X_ROW + v], bounds[1]), bounds[0])
                a[_X + v], a[_RATE + v] = x, a[RATE_ROW + v] if x == a[X_ROW + v] else np.exp(x)
                a[_AMPLITUDE + v] = freed[0, v]
            for e in range(n_echoes):
                m32[e, :] = m[e]
            for _ in range(_STEPS_TOGETHER):
                _rough_slopes(m32, delays, weights, a)
                _rough_step(a, bounds)
            for v in range(BLOCK):
                b[_X + v], b[_RATE + v], b[_AMPLITUDE + v] = a[_X + v], a[_RATE + v], a[_AMPLITUDE + v]
            _slopes(m, magnitudes, b)
        _write(b, magnitudes, here, decays.times[0], limits, status, maps)
