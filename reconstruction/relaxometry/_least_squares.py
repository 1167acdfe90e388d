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
from typing import Any

import numpy as np

from knightshift.core.arrays import BoolArray, IntArray, RealArray

_TOLERANCE = 1e-5  # in ln R; the step that is smaller than this is still taken, and leaves an error of its square
_GRID_STEP = 0.35  # in ln R
_TABLE_STEP = 0.02  # in ln R
ONE_SIDED = 2
_ROUGH_STEPS = 2  # Newton steps that all voxels take together, before those that need more are singled out
_NEAR = 1e-4  # the last step of those: it is taken, and leaves an error of its square


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

    def take(self, chosen: BoolArray) -> Solution:
        """Return those of some voxels."""
        return Solution(*(values[chosen] for values in vars(self).values()))

    def put(self, voxels: IntArray, other: Solution) -> None:
        """Replace those of some voxels."""
        for values, new in zip(vars(self).values(), vars(other).values(), strict=True):
            values[voxels] = new


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
    log_rate, converged = _newton(projected, curves)
    side = np.zeros(log_rate.size, dtype=np.int8)
    if not converged.all():
        rest = np.flatnonzero(~converged)
        log_rate[rest], converged[rest], side[rest] = _climb(projected.take(rest, axis=1), curves)
    return _finish(scaled, projected, curves, log_rate, (converged, side))


def _newton(projected: RealArray, curves: Curves) -> tuple[RealArray, BoolArray]:
    """Take the same number of Newton steps for all voxels; ``ln R``, and whether it is the optimum.

    All but the last step are in single precision, which is twice as fast; the last one tells how far they were off.
    """
    rough = curves.rough()
    columns = _in_single_precision(projected)
    now, low, high = _bracket(columns, rough)
    for _ in range(_ROUGH_STEPS):
        _step(columns, rough, now)
        np.fmin(now, high, out=now)
        np.fmax(now, low, out=now)
    log_rate = now.astype(float)
    step, curvature = _step(projected, curves, log_rate)
    lowest, highest = curves.problem.log_rates
    return log_rate, (np.abs(step) <= _NEAR) & (curvature < 0) & (log_rate > lowest) & (log_rate < highest)


def rough_start(columns: RealArray, problem: Problem) -> RealArray:
    """``ln R`` near the best, of the precision of `columns`, which are in units of the noise."""
    return _bracket(columns, Exponentials(problem).rough())[0]


def _in_single_precision(columns: RealArray) -> RealArray:
    """Columns with a common factor that keeps them in range."""
    highest = max(columns.max(initial=0.0), -columns.min(initial=0.0), np.finfo(float).tiny)
    single = np.empty(columns.shape, dtype=np.float32)
    np.multiply(columns, 1 / highest, out=single, casting="same_kind")
    return single


def _step(columns: RealArray, curves: Curves, now: RealArray) -> tuple[RealArray, RealArray]:
    """Take a Newton step in place; return it, and the curvature that there was."""
    step, curvature = curves.slope_and_curvature(columns, now)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        np.divide(step, curvature, out=step)
        now -= step
    return step, curvature


def _climb(projected: RealArray, curves: Curves) -> tuple[RealArray, BoolArray, IntArray]:
    """Newton steps, bisected where they leave the bracket: ``ln R``, whether converged, at which bound."""
    problem, (now, low, high) = curves.problem, _bracket(projected, curves)
    log_rate, count = now.copy(), now.size
    side, converged = np.zeros(count, dtype=np.int8), np.zeros(count, dtype=bool)
    active, columns = np.arange(count), projected
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

    def __init__(self, problem: Problem, precision: type[np.floating[Any]] = np.float64) -> None:
        self.problem = problem
        self.precision = precision
        self.weights = 1 / problem.noise_std
        self.constant = (self.weights / np.linalg.norm(self.weights)).astype(precision)

    def without_offset(self, columns: RealArray) -> RealArray:
        """Remove the part along the constant, where the offset is free; shape ``(echo, voxel)``."""
        if not self.problem.free_offset:
            return columns
        return np.asarray(columns - self.constant[:, None] * (self.constant @ columns))

    def rough(self) -> Curves:
        """Return the same of any amplitude, for first steps; in single precision where that saves time."""
        return self

    @abstractmethod
    def at(self, log_rate: RealArray) -> RealArray:
        """Decays, shape ``(echo, voxel)``."""

    @abstractmethod
    def moments(self, log_rate: RealArray) -> tuple[RealArray, RealArray, RealArray, RealArray]:
        """Decays, and ``b.b``, ``b.b'`` and ``b'.b'`` with the offset removed; ``'`` is the derivative by ``ln R``."""

    @abstractmethod
    def slope_and_curvature(self, projected: RealArray, log_rate: RealArray) -> tuple[RealArray, RealArray]:
        """First and second derivative of ``ln F``."""


class Exponentials(Curves):
    """``exp(-R t)``, with ``b' = -R t b`` and ``b'' = -R t b + R^2 t^2 b``."""

    def __init__(self, problem: Problem, precision: type[np.floating[Any]] = np.float64) -> None:
        super().__init__(problem, precision)
        times = problem.echo_times
        weights = self.weights if precision is np.float64 else self.constant
        self.powers = np.asarray([weights * times**power for power in range(3)], dtype=precision)
        self.squares = np.asarray([weights**2 * times**power for power in range(3)], dtype=precision)
        self.alongs = np.asarray(self.powers * self.constant, dtype=precision)
        self.minus_times = -times.astype(precision)

    def rough(self) -> Curves:
        """Return the same in single precision, with weights of norm one."""
        return Exponentials(self.problem, np.float32)

    def _unweighted(self, rate: RealArray) -> RealArray:
        exponent = np.multiply.outer(self.minus_times, rate)
        return np.asarray(np.exp(exponent, out=exponent))

    def at(self, log_rate: RealArray) -> RealArray:
        """Decays, shape ``(echo, voxel)``."""
        decay = self._unweighted(np.exp(log_rate))
        decay *= self.weights[:, None]
        return decay

    def moments(self, log_rate: RealArray) -> tuple[RealArray, RealArray, RealArray, RealArray]:
        """Decays, and the products of the decay and its derivative."""
        rate = np.exp(log_rate)
        decay = self._unweighted(rate)
        norm, cross, square, _ = self._moments(decay.copy(), rate)
        decay *= self.weights[:, None]
        return decay, norm, cross, square

    def _moments(self, decay: RealArray, rate: RealArray) -> tuple[RealArray, RealArray, RealArray, RealArray]:
        """``b.b``, ``b.b'``, ``b'.b'`` and ``b'.b' + b.b''`` from unweighted decays, which are lost."""
        along = self.alongs @ decay if self.problem.free_offset else None
        decay *= decay
        zero, one, two = self.squares @ decay
        other_two = two
        if along is not None:
            zero, one, two = zero - along[0] ** 2, one - along[0] * along[1], two - along[1] ** 2
            other_two = other_two - along[0] * along[2]
        return zero, -rate * one, rate**2 * two, rate * (rate * (two + other_two) - one)

    def slope_and_curvature(self, projected: RealArray, log_rate: RealArray) -> tuple[RealArray, RealArray]:
        """First and second derivative of ``ln F``."""
        rate = np.exp(log_rate)
        decay = self._unweighted(rate)
        zero, one, two = self.powers @ (projected * decay)
        norm, cross, _, bent = self._moments(decay, rate)
        return _log_derivatives((zero, -rate * one, rate * (rate * two - one)), norm, cross, bent)


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

    def moments(self, log_rate: RealArray) -> tuple[RealArray, RealArray, RealArray, RealArray]:
        """Decays, and the products of the decay and its derivative."""
        curve = self.at(log_rate)
        decay, slope = self.without_offset(curve), self.without_offset(self.slope(log_rate).T)
        return curve, _dot(decay, decay), _dot(decay, slope), _dot(slope, slope)

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
    """Start and bracket of ``ln R`` around the highest of a grid of projections, of the precision of those."""
    grid, basis = (values.astype(projected.dtype) for values in grid_of(curves))
    heights = basis @ projected
    best = _highest(heights)
    step = grid[1] - grid[0]
    inside = np.clip(best, 1, grid.size - 2)
    place = inside * best.size + np.arange(best.size)
    before, top, after = (heights.take(place + shift * best.size) for shift in (-1, 0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = (after - before) / (2 * (2 * top - before - after))
    np.fmin(np.fmax(shift, -0.9, out=shift), 0.9, out=shift)
    start = grid.take(inside) + step * shift
    at_end = np.flatnonzero(best != inside)
    start[at_end] = grid[best[at_end]]
    middle = grid.take(best)
    return start, np.maximum(middle - step, grid[0]), np.minimum(middle + step, grid[-1])


def _highest(heights: RealArray) -> IntArray:
    """Row of the highest value of each column, several times as fast as `argmax` along the first axis.

    The row takes the place of the last bits of each value, where it comes along with the highest.
    """
    rows = len(heights)
    mask = (1 << rows.bit_length()) - 1
    bits = heights.view(f"i{heights.itemsize}")
    bits &= ~mask
    bits |= np.arange(rows, dtype=bits.dtype)[:, None]
    highest = heights.max(axis=0).view(bits.dtype) & mask
    return np.asarray(np.minimum(highest, rows - 1), dtype=np.intp)  # not a number has other bits


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
    decay, norm, cross, square = curves.moments(log_rate)
    amplitude = _dot(projected, decay) / norm
    decay *= amplitude
    residuals = np.subtract(scaled, decay, out=decay)
    offset = np.zeros_like(amplitude)
    if curves.problem.free_offset:
        along = curves.constant @ residuals
        offset = along / np.linalg.norm(curves.weights)
        residuals -= curves.constant[:, None] * along
    with np.errstate(divide="ignore", invalid="ignore"):
        information = amplitude**2 * (square - cross * (cross / norm))
        log_rate_std = np.where(information > 0, 1 / np.sqrt(np.abs(information)), np.inf)
    chi2 = _dot(residuals, residuals)
    return Solution(log_rate, amplitude, offset, chi2, amplitude**2 * norm, log_rate_std, *ends)
