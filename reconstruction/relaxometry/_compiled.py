"""Least squares of exponentials compiled by numba: the steps of `_least_squares`, a block of voxels at a time.

Intermediate values of a block have a row each in a small array that stays in the cache. Voxels climb in single
precision; the last step and all results are in double precision. Voxels that are not there then climb one by one with
bisection.
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
    exp,
    inlined,
    kept,
    load,
    write,
)
from knightshift.reconstruction.relaxometry.result import T2Status

_OK, _TOO_LONG, _TOO_SHORT = int(T2Status.OK), int(T2Status.TOO_LONG), int(T2Status.TOO_SHORT)
_NOT_CONVERGED = int(T2Status.NOT_CONVERGED)
_STEPS_TOGETHER = 3
_AT_BOUND = 1e-4  # of ln R; what is bisected towards a bound stops short of it
_NEAR = 3e-4  # the last step; it is taken, and leaves an error of its square
_TOLERANCE = 1e-5
_CANCELLED = 1e-9  # of the energy: less cannot be found as a difference

_ZERO, _ONE, _TWO, _THREE = (np.float32(value) for value in (0, 1, 2, 3))

# Rows of the array of a block, in either precision; the results are in the order of the maps.
_N0, _N1, _N2, _D0, _D1, _D2, RATE = (BLOCK * row for row in range(7))
_TOP, _BEST, X, _LOW, _HIGH = (BLOCK * row for row in range(7, 12))
_T2, _STD, _AMPLITUDE, _OFFSET, _CHI2, _EXPLAINED = (BLOCK * row for row in range(7, 13))
_ENERGY, _STEP = BLOCK * 14, BLOCK * 15
_RESULTS = slice(7, 14)
ROWS = 16


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
        b[_STEP + v] = 1.0 / np.sqrt(b[_ENERGY + v])
    for e in range(y.shape[0]):
        row, row32 = y[e], y32[e]
        for v in range(BLOCK):
            row32[v] = row[v] * b[_STEP + v]


@inlined
def _height(base: RealArray, basis: RealArray, k: int, y: RealArray, v: int) -> Any:
    """Projection of a voxel on one decay: of the first five echoes, above that of the others."""
    b = basis[k]
    return base[k, v] + b[0] * y[0, v] + b[1] * y[1, v] + b[2] * y[2, v] + b[3] * y[3, v] + b[4] * y[4, v]


@compiled
def _start(y: RealArray, rough: Rough, base: RealArray, a: RealArray) -> None:
    """Bracket the highest of a grid of projections, four at a time, and start at it."""
    for k in range(rough.grid.size):
        row = base[k]
        for e in range(5, y.shape[0]):
            more, share = y[e], rough.basis[k, e]
            for v in range(BLOCK):
                row[v] = share * more[v] + (row[v] if e > 5 else _ZERO)
    for v in range(BLOCK):
        a[_TOP + v] = -_TWO
        a[_BEST + v] = _ZERO
    basis = rough.basis
    for k in range(0, basis.shape[0], 4):
        number = np.float32(k)
        for v in range(BLOCK):
            top, best = a[_TOP + v], a[_BEST + v]
            height = _height(base, basis, k, y, v)
            best, top = number if height > top else best, max(height, top)
            height = _height(base, basis, k + 1, y, v)
            best, top = number + _ONE if height > top else best, max(height, top)
            height = _height(base, basis, k + 2, y, v)
            best, top = number + _TWO if height > top else best, max(height, top)
            height = _height(base, basis, k + 3, y, v)
            best, top = number + _THREE if height > top else best, max(height, top)
            a[_TOP + v], a[_BEST + v] = top, best
    lowest, step, last = rough.grid[0], rough.grid[1] - rough.grid[0], np.float32(rough.grid.size - 1)
    for v in range(BLOCK):
        best = a[_BEST + v]
        a[X + v] = lowest + step * best
        a[_LOW + v] = lowest + step * max(best - _ONE, _ZERO)
        a[_HIGH + v] = lowest + step * min(best + _ONE, last)
        a[RATE + v] = exp(a[X + v])


@compiled
def _moments(y: RealArray, times: RealArray, weights: RealArray, a: RealArray) -> None:
    """Products of the decays at the rates of the block with themselves (N) and with data (D), times ``t**n``."""
    a[_N0 : _N0 + 6 * BLOCK] = 0
    for e in range(times.size):
        t, weight, row = times[e], weights[e], y[e]
        for v in range(BLOCK):
            decay = exp(-a[RATE + v] * t) * weight
            norm, along = decay * decay, decay * row[v]
            a[_N0 + v] += norm
            a[_D0 + v] += along
            norm *= t
            along *= t
            a[_N1 + v] += norm
            a[_D1 + v] += along
            a[_N2 + v] += norm * t
            a[_D2 + v] += along * t


@inlined
def _derivatives(a: RealArray, v: int) -> tuple[Any, Any, Any]:
    """First derivative by ``ln R`` of ``ln(y.b)`` and of ``ln(b.b) / 2``; second derivative of their difference."""
    rate, norm, along = a[RATE + v], a[_N0 + v], a[_D0 + v]
    first, slant = -rate * a[_D1 + v] / along, -rate * a[_N1 + v] / norm
    second = rate * (rate * a[_D2 + v] - a[_D1 + v]) / along
    bent = rate * (rate * a[_N2 + v] + rate * a[_N2 + v] - a[_N1 + v]) / norm
    return first, slant, second - first * first - bent + slant * slant + slant * slant


@compiled
def climb_from_grid(
    y: RealArray, y32: RealArray, rough: Rough, base: RealArray, steps: int, b: RealArray, a: RealArray
) -> None:
    """From the data of a block to ``ln R`` and ``R`` near its optimum: Newton steps in single precision."""
    _scale(y, y32, b)
    _start(y32, rough, base, a)
    for _ in range(steps):
        _moments(y32, rough.times, rough.weights, a)
        for v in range(BLOCK):
            first, slant, curvature = _derivatives(a, v)
            moved = a[X + v] - (first - slant) / curvature
            moved = moved if moved < a[_HIGH + v] else a[_HIGH + v]
            moved = moved if moved > a[_LOW + v] else a[_LOW + v]
            a[X + v] = moved
            a[RATE + v] = exp(moved)


@inlined
def _take_last_step(b: RealArray, v: int) -> None:
    """From moments to results: the last Newton step in ``ln R``, and what is found after it."""
    rate, norm, along = b[RATE + v], b[_N0 + v], b[_D0 + v]
    first, slant, curvature = _derivatives(b, v)
    slope = first - slant
    step = slope / curvature
    b[_STEP + v] = step if curvature < 0 else np.inf
    step = step if abs(step) < 0.01 else 0.0
    amplitude = along / norm
    information = amplitude * amplitude * (rate * rate * b[_N2 + v] - slant * slant * norm)
    t2 = (1 + step * (1 + 0.5 * step)) / rate
    explained = amplitude * along * (1 - slope * step)
    b[_T2 + v] = t2
    b[_STD + v] = t2 / np.sqrt(information) if information > 0 else np.inf
    b[_AMPLITUDE + v] = amplitude * (1 - step * (first - slant - slant))
    b[_EXPLAINED + v] = explained
    b[_CHI2 + v] = b[_ENERGY + v] - explained


@compiled
def _moments_alone(y: RealArray, v: int, decays: Decays, b: RealArray) -> None:
    """As `_moments`, of one voxel."""
    n0, n1, n2, d0, d1, d2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for e in range(decays.times.size):
        t = decays.times[e]
        decay = exp(-b[RATE + v] * t) * decays.weights[e]
        norm, along = decay * decay, decay * y[e, v]
        n0, n1, n2 = n0 + norm, n1 + norm * t, n2 + norm * t * t
        d0, d1, d2 = d0 + along, d1 + along * t, d2 + along * t * t
    b[_N0 + v], b[_N1 + v], b[_N2 + v] = n0, n1, n2
    b[_D0 + v], b[_D1 + v], b[_D2 + v] = d0, d1, d2


@compiled
def _climb_alone(
    y: RealArray, v: int, decays: Decays, bracket: tuple[float, float, float], b: RealArray, limits: Limits
) -> int:
    """Newton steps of one voxel from ``bracket = (low, start, high)``, bisected where they leave it; its status."""
    low, x, high = bracket
    for _ in range(limits.max_iterations):
        b[RATE + v] = np.exp(x)
        _moments_alone(y, v, decays, b)
        first, slant, curvature = _derivatives(b, v)
        slope = first - slant
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
            b[RATE + v] = np.exp(x)
            _moments_alone(y, v, decays, b)
            if x - limits.lowest < _AT_BOUND:
                return _TOO_LONG
            return _TOO_SHORT if limits.highest - x < _AT_BOUND else _OK
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
def _square_residuals(y: RealArray, decays: Decays, b: RealArray) -> None:
    """chi2 as the sum of squares, where the difference of two large numbers is too small to be trusted."""
    cancelled = 0
    for v in range(BLOCK):
        b[_STEP + v] = 0.0
        cancelled += b[_CHI2 + v] < _CANCELLED * b[_ENERGY + v]
    if cancelled == 0:
        return
    for e in range(decays.times.size):
        t, weight, row = decays.times[e], decays.weights[e], y[e]
        for v in range(BLOCK):
            residual = row[v] - b[_AMPLITUDE + v] * exp(-t / b[_T2 + v]) * weight
            b[_STEP + v] += residual * residual
    for v in range(BLOCK):
        cancels = b[_CHI2 + v] < _CANCELLED * b[_ENERGY + v]
        b[_CHI2 + v] = b[_STEP + v] if cancels else b[_CHI2 + v]


@compiled
def _finish(
    y: RealArray, decays: Decays, rough: Rough, limits: Limits, status: Any, a: RealArray, b: RealArray
) -> None:
    """Take the last step of all voxels in double precision; those that are not near their optimum then climb alone."""
    for v in range(BLOCK):
        b[RATE + v] = a[RATE + v]
    _moments(y, decays.times, decays.weights, b)
    for v in range(BLOCK):
        _take_last_step(b, v)
    last = np.float32(rough.grid.size - 1)
    for v in range(status.size):
        near = abs(b[_STEP + v]) <= _NEAR and a[_LOW + v] < a[X + v] < a[_HIGH + v]
        if status[v] == _OK and not near:
            status[v] = _climb_alone(y, v, decays, _bracket_of(a, v, limits, last), b, limits)
            _take_last_step(b, v)
    _square_residuals(y, decays, b)


@kept
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
        As in `_kernel_tools.write`, shape ``(map, voxel)``; changed in place.
    """
    y, y32 = np.zeros((signal.shape[0], BLOCK)), np.zeros((rough.basis.shape[1], BLOCK), np.float32)
    b, a = np.zeros(ROWS * BLOCK), np.zeros(ROWS * BLOCK, np.float32)
    base = np.zeros((rough.basis.shape[0], BLOCK), np.float32)
    b[_OFFSET : _OFFSET + BLOCK] = limits.offset
    for first in range(span[0], span[1], BLOCK):
        end = min(first + BLOCK, span[1])
        here = status[first:end]
        if any_to_fit(here):
            load(signal[:, first:end], decays, y)
            climb_from_grid(y, y32, rough, base, _STEPS_TOGETHER, b, a)
            _finish(y, decays, rough, limits, here, a, b)
        write(b.reshape(ROWS, BLOCK)[_RESULTS], b[_ENERGY:], limits, here, maps[:, first:end])
