"""Least squares of exponentials compiled by numba: the steps of `_least_squares`, a block of voxels at a time.

Loops run over the voxels of a block innermost, so that the compiler turns them into vector instructions; intermediate
values have a row each in a small array that stays in the cache. Voxels climb in single precision; the last step and all
results are in double precision. Voxels that are not there then climb one by one with bisection.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from knightshift.core.arrays import RealArray
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
from knightshift.reconstruction.relaxometry.result import T2Status

_OK, _MASKED, _INVALID_INPUT = int(T2Status.OK), int(T2Status.MASKED), int(T2Status.INVALID_INPUT)
_NO_SIGNAL = int(T2Status.NO_SIGNAL)
_TOO_LONG, _TOO_SHORT, _NOT_CONVERGED = int(T2Status.TOO_LONG), int(T2Status.TOO_SHORT), int(T2Status.NOT_CONVERGED)
_STEPS_TOGETHER = 2
_NEAR = 3e-4  # the last step; it is taken, and leaves an error of its square
_TOLERANCE = 1e-5
_CANCELLED = 1e-9  # of the energy: less cannot be found as a difference

_ZERO, _ONE, _TWO = (np.float32(value) for value in (0, 1, 2))

# Rows of the array of a block.
_ENERGY, _SCALE, _TOP, _BEST, X, _LOW, _HIGH, RATE = (BLOCK * row for row in range(8))
_N0, _N1, _N2, _D0, _D1, _D2 = (BLOCK * row for row in range(8, 14))
_STEP, _T2, _STD, _AMPLITUDE, _EXPLAINED = (BLOCK * row for row in range(14, 19))
ROWS = 19


@compiled
def _scale(y: RealArray, y32: RealArray, b: RealArray) -> None:
    """Energy of each voxel, and its data divided by the root of it in single precision."""
    for v in range(BLOCK):
        b[_ENERGY + v] = 0.0
    for e in range(y.shape[0]):
        row = y[e]
        for v in range(BLOCK):
            b[_ENERGY + v] += row[v] * row[v]
    for v in range(BLOCK):
        b[_SCALE + v] = 1.0 / np.sqrt(b[_ENERGY + v])
    for e in range(y.shape[0]):
        row, row32 = y[e], y32[e]
        for v in range(BLOCK):
            row32[v] = row[v] * b[_SCALE + v]


@compiled
def _start(y32: RealArray, grid: RealArray, basis: RealArray, heights: RealArray, a: RealArray) -> None:
    """Bracket the highest of a grid of projections; start at the top of a parabola through it and its neighbours."""
    for v in range(BLOCK):
        a[_TOP + v] = -_TWO
        a[_BEST + v] = _ZERO
    for k in range(grid.size):
        here, number = heights[k], np.float32(k)
        for v in range(BLOCK):
            here[v] = _ZERO
        for e in range(y32.shape[0]):
            row, share = y32[e], basis[k, e]
            for v in range(BLOCK):
                here[v] += share * row[v]
        for v in range(BLOCK):
            better = here[v] > a[_TOP + v]
            a[_TOP + v] = here[v] if better else a[_TOP + v]
            a[_BEST + v] = number if better else a[_BEST + v]
    step, last = grid[1] - grid[0], grid.size - 1
    for v in range(BLOCK):
        best = int(a[_BEST + v])
        inside = min(max(best, 1), last - 1)
        before, top, after = heights[inside - 1, v], heights[inside, v], heights[inside + 1, v]
        shift = (after - before) / (_TWO * (_TWO * top - before - after))
        shift = max(-_ONE, min(shift, _ONE))
        a[X + v] = grid[inside] + step * shift if best == inside else grid[best]
        a[_LOW + v] = grid[max(best - 1, 0)]
        a[_HIGH + v] = grid[min(best + 1, last)]
    for v in range(BLOCK):
        a[RATE + v] = np.exp(a[X + v])


@compiled
def _climb_together(y32: RealArray, times: RealArray, weights: RealArray, a: RealArray) -> None:
    """One Newton step of all voxels of a block in single precision, as in `_least_squares.Exponentials`."""
    for v in range(_N0, _N0 + 6 * BLOCK):
        a[v] = _ZERO
    for e in range(times.size):
        t, weight, row = times[e], weights[e], y32[e]
        for v in range(BLOCK):
            decay = rough_exp(-a[RATE + v] * t) * weight
            norm, along = decay * decay, decay * row[v]
            a[_N0 + v] += norm
            a[_D0 + v] += along
            norm *= t
            along *= t
            a[_N1 + v] += norm
            a[_D1 + v] += along
            a[_N2 + v] += norm * t
            a[_D2 + v] += along * t
    for v in range(BLOCK):
        rate, x = a[RATE + v], a[X + v]
        data, norm = _ONE / a[_D0 + v], _ONE / a[_N0 + v]
        first, slant = -rate * a[_D1 + v] * data, -rate * a[_N1 + v] * norm
        second = rate * (rate * a[_D2 + v] - a[_D1 + v]) * data
        bent = rate * (_TWO * rate * a[_N2 + v] - a[_N1 + v]) * norm
        moved = x - (first - slant) / (second - first * first - bent + _TWO * slant * slant)
        moved = moved if moved < a[_HIGH + v] else a[_HIGH + v]
        moved = moved if moved > a[_LOW + v] else a[_LOW + v]
        a[X + v] = moved
        a[RATE + v] = rate * small_exp(moved - x)


@compiled
def climb_from_grid(y: RealArray, y32: RealArray, rough: Rough, heights: RealArray, b: RealArray, a: RealArray) -> None:
    """From the data of a block to ``ln R`` and ``R`` near its optimum, in single precision."""
    _scale(y, y32, b)
    _start(y32, rough.grid, rough.basis, heights, a)
    for _ in range(_STEPS_TOGETHER):
        _climb_together(y32, rough.times, rough.weights, a)


@compiled
def _moments(y: RealArray, times: RealArray, weights: RealArray, b: RealArray) -> None:
    """Products of decay, data and their derivatives in double precision, at the rates of the block."""
    for v in range(_N0, _N0 + 6 * BLOCK):
        b[v] = 0.0
    for e in range(times.size):
        t, weight, row = times[e], weights[e], y[e]
        for v in range(BLOCK):
            decay = exp_of_negative(-b[RATE + v] * t) * weight
            norm, along = decay * decay, decay * row[v]
            b[_N0 + v] += norm
            b[_D0 + v] += along
            norm *= t
            along *= t
            b[_N1 + v] += norm
            b[_D1 + v] += along
            b[_N2 + v] += norm * t
            b[_D2 + v] += along * t


@compiled
def _last_step(b: RealArray) -> None:
    """From moments to results: the last Newton step in ``ln R``, and what is found after it."""
    for v in range(BLOCK):
        rate, norm, along = b[RATE + v], b[_N0 + v], b[_D0 + v]
        first, slant = -rate * b[_D1 + v] / along, -rate * b[_N1 + v] / norm
        second = rate * (rate * b[_D2 + v] - b[_D1 + v]) / along
        bent = rate * (2 * rate * b[_N2 + v] - b[_N1 + v]) / norm
        slope = first - slant
        curvature = second - first * first - bent + 2 * slant * slant
        step = slope / curvature
        b[_STEP + v] = step if curvature < 0 else np.inf
        step = step if abs(step) < 0.01 else 0.0
        amplitude = along / norm
        information = amplitude * amplitude * (rate * rate * b[_N2 + v] - slant * slant * norm)
        t2 = (1 + step * (1 + 0.5 * step)) / rate
        b[_T2 + v] = t2
        b[_STD + v] = t2 / np.sqrt(information) if information > 0 else np.inf
        b[_AMPLITUDE + v] = amplitude * (1 - step * (first - 2 * slant))
        b[_EXPLAINED + v] = amplitude * along * (1 - slope * step)


@compiled
def _moments_alone(y: RealArray, v: int, rate: float, decays: Decays, b: RealArray) -> tuple[float, float]:
    """As `_moments`, of one voxel; the slope and the curvature of its projection."""
    n0, n1, n2, d0, d1, d2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for e in range(decays.times.size):
        t = decays.times[e]
        decay = np.exp(-rate * t) * decays.weights[e]
        norm, along = decay * decay, decay * y[e, v]
        n0, n1, n2 = n0 + norm, n1 + norm * t, n2 + norm * t * t
        d0, d1, d2 = d0 + along, d1 + along * t, d2 + along * t * t
    b[RATE + v], b[_N0 + v], b[_N1 + v], b[_N2 + v] = rate, n0, n1, n2
    b[_D0 + v], b[_D1 + v], b[_D2 + v] = d0, d1, d2
    first, slant = -rate * d1 / d0, -rate * n1 / n0
    curvature = rate * (rate * d2 - d1) / d0 - first**2 - rate * (2 * rate * n2 - n1) / n0 + 2 * slant**2
    return first - slant, curvature


@compiled
def _climb_alone(
    y: RealArray, v: int, decays: Decays, bracket: tuple[float, float, float], b: RealArray, limits: Limits
) -> int:
    """Newton steps of one voxel from ``bracket = (low, start, high)``, bisected where they leave it; its status."""
    low, x, high = bracket
    for _ in range(limits.max_iterations):
        slope, curvature = _moments_alone(y, v, np.exp(x), decays, b)
        if x <= limits.lowest and not slope > 0:
            return _TOO_LONG
        if x >= limits.highest and not slope < 0:
            return _TOO_SHORT
        low, high = x if slope > 0 else low, x if slope < 0 else high
        target = x - slope / curvature
        if not (curvature < 0 and low <= target <= high):
            target = 0.5 * (low + high)
        step, x = target - x, target
        if abs(step) <= _TOLERANCE:
            _moments_alone(y, v, np.exp(x), decays, b)
            return _OK
    return _NOT_CONVERGED


@compiled
def _bracket_of(a: RealArray, v: int, limits: Limits, last: Any) -> tuple[float, float, float]:
    """Lower end, start and upper end of ``ln R`` of one voxel."""
    low = max(np.float64(a[_LOW + v]), limits.lowest)
    high = min(np.float64(a[_HIGH + v]), limits.highest)
    if a[_BEST + v] == _ZERO:
        return low, limits.lowest, high
    if a[_BEST + v] == last:
        return low, limits.highest, high
    return low, 0.5 * (low + high), high


@compiled
def _squared_residuals(y: RealArray, v: int, decays: Decays, amplitude: float, t2: float) -> float:
    total = 0.0
    for e in range(decays.times.size):
        residual = y[e, v] - amplitude * np.exp(-decays.times[e] / t2) * decays.weights[e]
        total += residual * residual
    return total


@compiled
def _write(
    y: RealArray, decays: Decays, b: RealArray, here: tuple[int, int], limits: Limits, status: Any, maps: RealArray
) -> None:
    """Judge each voxel and write what was found."""
    first, count = here
    for v in range(count):
        i = first + v
        if status[i] != _MASKED and status[i] != _INVALID_INPUT:
            energy, explained, amplitude = b[_ENERGY + v], b[_EXPLAINED + v], b[_AMPLITUDE + v]
            chi2 = energy - explained
            if chi2 < _CANCELLED * energy:
                chi2 = _squared_residuals(y, v, decays, amplitude, b[_T2 + v])
            if not (amplitude > 0 and explained > limits.explained and energy > limits.energy):
                status[i] = _NO_SIGNAL
            write_voxel(maps, i, status[i], (b[_T2 + v], b[_STD + v], amplitude, limits.offset, chi2, explained))
        else:
            write_voxel(maps, i, status[i], (np.nan, np.nan, np.nan, np.nan, np.nan, 0.0))


@compiled
def fit_exponentials(
    signal: RealArray, span: tuple[int, int], decays: Decays, rough: Rough, limits: Limits, status: Any, maps: RealArray
) -> None:
    """Fit the voxels from ``span[0]`` to before ``span[1]`` whose status is OK.

    Parameters
    ----------
    signal
        Shape ``(echo, voxel)``.
    span
        First voxel, and the one after the last.
    decays, rough, limits
        What all voxels share.
    status
        `T2Status`, shape ``(voxel,)``; changed in place.
    maps
        T2, its standard deviation, amplitude, offset, chi2 (and what the decay explains), shape ``(map, voxel)``;
        changed in place. With six rows, voxels without a T2 keep their values.
    """
    n_echoes = decays.times.size
    y, y32 = np.zeros((n_echoes, BLOCK)), np.zeros((n_echoes, BLOCK), np.float32)
    b, a = np.zeros(ROWS * BLOCK), np.zeros(ROWS * BLOCK, np.float32)
    heights = np.zeros((rough.grid.size, BLOCK), np.float32)
    last = np.float32(rough.grid.size - 1)
    for first in range(span[0], span[1], BLOCK):
        here = (first, min(BLOCK, span[1] - first))
        if any_to_fit(status, here):
            load(signal, here, decays.weights, decays.floor, y)
            climb_from_grid(y, y32, rough, heights, b, a)
            for v in range(BLOCK):
                b[RATE + v] = a[RATE + v]
            _moments(y, decays.times, decays.weights, b)
            _last_step(b)
            alone = False
            for v in range(here[1]):
                near = abs(b[_STEP + v]) <= _NEAR and a[_LOW + v] < a[X + v] < a[_HIGH + v]
                if status[first + v] == _OK and not near:
                    bracket = _bracket_of(a, v, limits, last)
                    status[first + v] = _climb_alone(y, v, decays, bracket, b, limits)
                    alone = True
            if alone:
                _last_step(b)
        _write(y, decays, b, here, limits, status, maps)
