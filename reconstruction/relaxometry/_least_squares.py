"""Least-squares fit of an exponential to many voxels at once, by variable projection.

For a given rate ``R = 1/T2`` the best amplitude (and offset) of ``A exp(-R t) + B`` is linear, so only one number per
voxel is searched for [1]_. With ``b(R)`` the decay in units of the noise (made orthogonal to the constant where the
offset is free) the best rate maximises the projection ``F(R) = y.b / |b|`` of the data on the decay. A coarse grid
finds the right hill and brackets its top; Newton steps on ``ln F``, bisected where they leave the bracket, climb it.

References
----------
.. [1] Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973) 413.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import BoolArray, IntArray, RealArray

_TOLERANCE = 1e-5  # in ln R; the step that is smaller than this is still taken, and leaves an error of its square
_GRID_STEP = 0.35  # in ln R
_TABLE_STEP = 0.02  # in ln R
ONE_SIDED = 2
_STEPS_OF_ALL = 3  # Newton steps that all voxels take together, before those that need more are singled out


@dataclass(frozen=True)
class Problem:
    """What all voxels share."""

    echo_times: RealArray
    """[s], shape ``(echo,)``."""
    noise_std: RealArray
    """Shape ``(echo,)``."""
    log_rates: tuple[float, float]
    """Lowest and highest ``ln R`` looked for."""
    free_offset: bool
    """Whether a constant is fitted as well."""
    max_iterations: int
    """Steps before a voxel is given up."""


@dataclass
class Solution:
    """Fit of each voxel, arrays of shape ``(voxel,)``."""

    log_rate: RealArray
    """``ln R``."""
    amplitude: RealArray
    """``A``; not positive where no decay fits."""
    offset: RealArray
    """``B``."""
    chi2: RealArray
    """Squared residuals over noise variance."""
    explained: RealArray
    """By how much the decay lowers `chi2` against no decay at all."""
    log_rate_std: RealArray
    """Standard deviation of ``ln R`` from the Fisher information."""
    converged: BoolArray
    """Whether the optimum was reached."""
    side: IntArray
    """-1: the optimum lies at the lowest rate looked for or below, +1: at the highest or above, 0: inside;
    `ONE_SIDED`: at the highest, and the rate is that of a prior."""

    @classmethod
    def empty(cls, count: int) -> Solution:
        """Room for `count` voxels."""
        log_rate, amplitude, offset, chi2, explained, log_rate_std = np.empty((6, count))
        ends = np.empty(count, dtype=bool), np.empty(count, dtype=np.int8)
        return cls(log_rate, amplitude, offset, chi2, explained, log_rate_std, *ends)


def solve(signal: RealArray, problem: Problem, curves: Curves | None = None) -> Solution:
    """Fit every column of `signal`.

    Some plain Newton steps bring nearly all voxels to their optimum; the few that they lead out of their bracket, or
    that are not there yet, climb again with bisection.

    Parameters
    ----------
    signal
        Real and finite, shape ``(echo, voxel)``.
    problem
        Echo times, noise and bounds.
    curves
        The decays; exponentials by default.
    """
    curves = curves or Exponentials(problem)
    scaled = signal * curves.weights[:, None]
    projected = curves.without_offset(scaled)
    start, low, high = _bracket(projected, curves)
    log_rate, converged = _newton(projected, curves, start, (low, high))
    side = np.zeros(log_rate.size, dtype=np.int8)
    if not converged.all():
        rest = np.flatnonzero(~converged)
        bracket = low[rest], high[rest]
        log_rate[rest], converged[rest], side[rest] = _climb(projected[:, rest], curves, start[rest], bracket)
    return _finish(scaled, projected, curves, log_rate, (converged, side))


def _newton(
    projected: RealArray, curves: Curves, start: RealArray, bracket: tuple[RealArray, RealArray]
) -> tuple[RealArray, BoolArray]:
    """Take the same number of Newton steps for all voxels; ``ln R``, and whether it is the optimum."""
    now, (low, high) = start.copy(), bracket
    for _ in range(_STEPS_OF_ALL):
        step, curvature = curves.slope_and_curvature(projected, now)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            np.divide(step, curvature, out=step)
            now -= step
        np.fmin(now, high, out=now)
        np.fmax(now, low, out=now)
    return now, (np.abs(step) <= _TOLERANCE) & (curvature < 0) & (now > low) & (now < high)


def _climb(
    projected: RealArray, curves: Curves, start: RealArray, bracket: tuple[RealArray, RealArray]
) -> tuple[RealArray, BoolArray, IntArray]:
    """Newton steps, bisected where they leave the bracket: ``ln R``, whether converged, at which bound."""
    problem, (low, high) = curves.problem, bracket
    log_rate, count = start.copy(), start.size
    side, converged = np.zeros(count, dtype=np.int8), np.zeros(count, dtype=bool)
    active, columns, now = np.arange(count), projected, start
    for _ in range(problem.max_iterations):
        slope, curvature = curves.slope_and_curvature(columns, now)
        outward = _leaving(now, slope, problem.log_rates)
        low, high = np.where(slope > 0, now, low), np.where(slope < 0, now, high)
        step = np.where(outward == 0, _safe_target(now, slope, curvature, low, high) - now, 0.0)
        now = now + step
        open_ = np.abs(step) > _TOLERANCE
        log_rate[active], side[active], converged[active] = now, outward, ~open_
        active, columns = active[open_], columns[:, open_]
        now, low, high = now[open_], low[open_], high[open_]
        if active.size == 0:
            break
    return log_rate, converged, side


def profile(signal: RealArray, curves: Curves, log_rate: RealArray) -> RealArray:
    """Squared residuals over noise variance at given rates, with the best positive amplitude; shape ``(voxel,)``."""
    projected = curves.without_offset(signal / curves.problem.noise_std[:, None])
    decay = curves.without_offset(curves.at(log_rate))
    norm = np.maximum(np.einsum("ev,ev->v", decay, decay), np.finfo(float).tiny)
    along = np.maximum(np.einsum("ev,ev->v", projected, decay), 0.0)
    return np.asarray(np.einsum("ev,ev->v", projected, projected) - along**2 / norm)


class Curves(ABC):
    """A family of decays ``b(x)``, ``x = ln R``, of amplitude one and in units of the noise."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.weights = 1 / problem.noise_std
        self.constant = self.weights / np.linalg.norm(self.weights)

    def without_offset(self, columns: RealArray) -> RealArray:
        """Remove the part along the constant, where the offset is free; shape ``(echo, voxel)``."""
        if not self.problem.free_offset:
            return columns
        return np.asarray(columns - self.constant[:, None] * (self.constant @ columns))

    @abstractmethod
    def at(self, log_rate: RealArray) -> RealArray:
        """Decays, shape ``(echo, voxel)``."""

    @abstractmethod
    def moments(self, log_rate: RealArray) -> tuple[RealArray, RealArray, RealArray]:
        """``b.b``, ``b.b'`` and ``b'.b'`` with the offset removed; ``'`` is the derivative by ``ln R``."""

    @abstractmethod
    def slope_and_curvature(self, projected: RealArray, log_rate: RealArray) -> tuple[RealArray, RealArray]:
        """First and second derivative of ``ln F``."""


class Exponentials(Curves):
    """``exp(-R t)``, with ``b' = -R t b`` and ``b'' = -R t b + R^2 t^2 b``."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        times = problem.echo_times
        self.powers = np.stack([np.ones_like(times), times, times**2])

    def at(self, log_rate: RealArray) -> RealArray:
        """Decays, shape ``(echo, voxel)``."""
        exponent = np.multiply.outer(-self.problem.echo_times, np.exp(log_rate))
        return np.asarray(np.exp(exponent, out=exponent) * self.weights[:, None])

    def moments(self, log_rate: RealArray) -> tuple[RealArray, RealArray, RealArray]:
        """Products of the decay and its derivative."""
        return self._moments(self.at(log_rate), np.exp(log_rate))[:3]

    def _moments(self, decay: RealArray, rate: RealArray) -> tuple[RealArray, RealArray, RealArray, RealArray]:
        """``b.b``, ``b.b'``, ``b'.b'`` and ``b.b''``."""
        zero, one, two = self.powers @ (decay * decay)
        other_two = two
        if self.problem.free_offset:
            along = (self.powers * self.constant) @ decay
            zero, one, two = zero - along[0] ** 2, one - along[0] * along[1], two - along[1] ** 2
            other_two = other_two - along[0] * along[2]
        return zero, -rate * one, rate**2 * two, rate * (rate * other_two - one)

    def slope_and_curvature(self, projected: RealArray, log_rate: RealArray) -> tuple[RealArray, RealArray]:
        """First and second derivative of ``ln F``."""
        rate = np.exp(log_rate)
        decay = self.at(log_rate)
        data = self.powers @ (projected * decay)
        norm, cross, square, bent = self._moments(decay, rate)
        return _log_derivatives(
            (data[0], -rate * data[1], rate * (rate * data[2] - data[1])), norm, cross, square + bent
        )


class Tabulated(Curves):
    """Decays without a formula: computed on a fine grid of ``ln R`` and interpolated by cubic splines."""

    def __init__(self, problem: Problem, decays: Callable[[RealArray], RealArray]) -> None:
        from scipy.interpolate import CubicSpline

        super().__init__(problem)
        lowest, highest = problem.log_rates
        grid = np.linspace(lowest, highest, int(np.ceil((highest - lowest) / _TABLE_STEP)) + 4)
        self.spline = CubicSpline(grid, (decays(np.exp(-grid)) * self.weights[:, None]).T)
        self.slope, self.bend = self.spline.derivative(), self.spline.derivative(2)

    def at(self, log_rate: RealArray) -> RealArray:
        """Decays, shape ``(echo, voxel)``."""
        return np.asarray(self.spline(log_rate).T)

    def moments(self, log_rate: RealArray) -> tuple[RealArray, RealArray, RealArray]:
        """Products of the decay and its derivative."""
        decay, slope = (self.without_offset(curve(log_rate).T) for curve in (self.spline, self.slope))
        return _dot(decay, decay), _dot(decay, slope), _dot(slope, slope)

    def slope_and_curvature(self, projected: RealArray, log_rate: RealArray) -> tuple[RealArray, RealArray]:
        """First and second derivative of ``ln F``."""
        curves = (self.spline, self.slope, self.bend)
        decay, slope, bend = (self.without_offset(curve(log_rate).T) for curve in curves)
        data = (_dot(projected, decay), _dot(projected, slope), _dot(projected, bend))
        return _log_derivatives(data, _dot(decay, decay), _dot(decay, slope), _dot(slope, slope) + _dot(decay, bend))


def _dot(left: RealArray, right: RealArray) -> RealArray:
    return np.asarray(np.einsum("ev,ev->v", left, right))


def _log_derivatives(
    data: tuple[RealArray, RealArray, RealArray], norm: RealArray, cross: RealArray, bent: RealArray
) -> tuple[RealArray, RealArray]:
    """First and second derivative of ``ln(y.b) - ln(b.b) / 2`` from ``y.b``, ``b.b`` and their derivatives."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = data[1] / data[0], data[2] / data[0]
        slant = cross / norm
        return first - slant, second - first**2 - bent / norm + 2 * slant**2


def grid_of(curves: Curves) -> tuple[RealArray, RealArray]:
    """Coarse grid of ``ln R``, shape ``(rate,)``, and the decays of norm one there, shape ``(rate, echo)``."""
    lowest, highest = curves.problem.log_rates
    grid = np.linspace(lowest, highest, max(3, int(np.ceil((highest - lowest) / _GRID_STEP)) + 1))
    basis = curves.without_offset(curves.at(grid))
    return grid, (basis / np.linalg.norm(basis, axis=0)).T


def _bracket(projected: RealArray, curves: Curves) -> tuple[RealArray, RealArray, RealArray]:
    """Start and bracket of ``ln R`` around the highest of a grid of projections."""
    lowest, highest = curves.problem.log_rates
    grid, basis = grid_of(curves)
    heights = basis @ projected
    best = _highest(heights)
    step = grid[1] - grid[0]
    inside = np.clip(best, 1, grid.size - 2)
    place = inside * projected.shape[1] + np.arange(projected.shape[1])
    before, top, after = (heights.take(place + shift * projected.shape[1]) for shift in (-1, 0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = (after - before) / (2 * (2 * top - before - after))
    np.fmin(np.fmax(shift, -0.9, out=shift), 0.9, out=shift)
    start = grid.take(inside) + step * shift
    at_end = np.flatnonzero(best != inside)
    start[at_end] = grid[best[at_end]]
    middle = grid.take(best)
    return start, np.maximum(middle - step, lowest), np.minimum(middle + step, highest)


def _highest(heights: RealArray) -> IntArray:
    """Row of the highest value of each column; several times as fast as `argmax` along the first axis."""
    highest = heights.max(axis=0)
    best, row_here = np.zeros(highest.size, dtype=np.uint8), np.empty(highest.size, dtype=np.uint8)
    is_here = np.empty(highest.size, dtype=bool)
    for row, values in enumerate(heights):
        np.equal(values, highest, out=is_here)
        np.multiply(is_here, np.uint8(row), out=row_here)
        np.maximum(best, row_here, out=best)
    return best.astype(np.intp)


def _leaving(log_rate: RealArray, slope: RealArray, bounds: tuple[float, float]) -> IntArray:
    """-1 or +1 where the projection still rises at the lower or upper bound, else 0."""
    below = (log_rate <= bounds[0]) & ~(slope > 0)
    above = (log_rate >= bounds[1]) & ~(slope < 0)
    return above.astype(np.int8) - below.astype(np.int8)


def _safe_target(now: RealArray, slope: RealArray, curvature: RealArray, low: RealArray, high: RealArray) -> RealArray:
    """Where Newton leads, or the middle of the bracket where he leads out of it."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        target = now - slope / curvature
        sound = (curvature < 0) & (target >= low) & (target <= high)
    return np.where(sound, target, (low + high) / 2)


def _finish(
    scaled: RealArray, projected: RealArray, curves: Curves, log_rate: RealArray, ends: tuple[BoolArray, IntArray]
) -> Solution:
    """Amplitude, offset, residuals and errors at the optimum."""
    decay = curves.at(log_rate)
    norm, cross, square = curves.moments(log_rate)
    amplitude = np.einsum("ev,ev->v", projected, decay) / norm
    residuals = scaled - amplitude * decay
    offset = np.zeros_like(amplitude)
    if curves.problem.free_offset:
        along = curves.constant @ residuals
        offset = along / np.linalg.norm(curves.weights)
        residuals -= curves.constant[:, None] * along
    with np.errstate(divide="ignore", invalid="ignore"):
        information = amplitude**2 * (square - cross**2 / norm)
        log_rate_std = np.where(information > 0, 1 / np.sqrt(np.abs(information)), np.inf)
    chi2 = np.einsum("ev,ev->v", residuals, residuals)
    return Solution(log_rate, amplitude, offset, chi2, amplitude**2 * norm, log_rate_std, *ends)
