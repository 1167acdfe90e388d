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

from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import BoolArray, IntArray, RealArray

_TOLERANCE = 1e-5  # in ln R; the step that is smaller than this is still taken, and leaves an error of its square
_GRID_STEP = 0.35  # in ln R


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
    """-1: the optimum lies at the lowest rate looked for or below, +1: at the highest or above, 0: inside."""


def solve(signal: RealArray, problem: Problem) -> Solution:
    """Fit every column of `signal`.

    Parameters
    ----------
    signal
        Real and finite, shape ``(echo, voxel)``.
    problem
        Echo times, noise and bounds.
    """
    decays = _Decays(problem)
    scaled = signal / problem.noise_std[:, None]
    projected = decays.without_offset(scaled)
    log_rate, low, high = _bracket(projected, decays)
    count = log_rate.size
    side, converged = np.zeros(count, dtype=np.int8), np.zeros(count, dtype=bool)
    active, columns, now = np.arange(count), projected, log_rate.copy()
    for _ in range(problem.max_iterations):
        slope, curvature = _slope_and_curvature(columns, decays, now)
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
    return _finish(scaled, projected, decays, log_rate, (converged, side))


def profile(signal: RealArray, problem: Problem, log_rate: RealArray) -> RealArray:
    """Squared residuals over noise variance at given rates, with the best positive amplitude; shape ``(voxel,)``."""
    decays = _Decays(problem)
    projected = decays.without_offset(signal / problem.noise_std[:, None])
    decay = decays.without_offset(decays.at(log_rate))
    norm = np.maximum(np.einsum("ev,ev->v", decay, decay), np.finfo(float).tiny)
    along = np.maximum(np.einsum("ev,ev->v", projected, decay), 0.0)
    return np.asarray(np.einsum("ev,ev->v", projected, projected) - along**2 / norm)


class _Decays:
    """The decay and its derivatives by ``ln R``, in units of the noise."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        times = problem.echo_times
        self.weights = 1 / problem.noise_std
        self.powers = np.stack([np.ones_like(times), times, times**2])
        self.constant = self.weights / np.linalg.norm(self.weights)

    def without_offset(self, columns: RealArray) -> RealArray:
        """Remove the part along the constant, where the offset is free; shape ``(echo, voxel)``."""
        if not self.problem.free_offset:
            return columns
        return np.asarray(columns - self.constant[:, None] * (self.constant @ columns))

    def at(self, log_rate: RealArray) -> RealArray:
        """Decay of amplitude one, shape ``(echo, voxel)``."""
        exponent = np.multiply.outer(-self.problem.echo_times, np.exp(log_rate))
        return np.asarray(np.exp(exponent, out=exponent) * self.weights[:, None])

    def moments(self, decay: RealArray, rate: RealArray) -> tuple[RealArray, RealArray, RealArray]:
        """``b.b``, ``b.b'`` and ``b'.b'`` with the offset removed; ``'`` is the derivative by ``ln R``.

        ``b' = -R t b`` and ``b'' = -R t b + R^2 t^2 b``.
        """
        zero, one, two = self.powers @ (decay * decay)
        if self.problem.free_offset:
            along = (self.powers * self.constant) @ decay
            zero, one, two = zero - along[0] ** 2, one - along[0] * along[1], two - along[1] ** 2
        return zero, -rate * one, rate**2 * two

    def second_moment(self, decay: RealArray, rate: RealArray, moments: tuple[RealArray, ...]) -> RealArray:
        """``b.b''`` with the offset removed."""
        if not self.problem.free_offset:
            return np.asarray(moments[1] + moments[2])
        two = self.powers[2] @ (decay * decay)
        along = (self.powers * self.constant) @ decay
        return np.asarray(moments[1] + rate**2 * (two - along[0] * along[2]))


def _bracket(projected: RealArray, decays: _Decays) -> tuple[RealArray, RealArray, RealArray]:
    """Start and bracket of ``ln R`` around the highest of a grid of projections."""
    lowest, highest = decays.problem.log_rates
    grid = np.linspace(lowest, highest, max(3, int(np.ceil((highest - lowest) / _GRID_STEP)) + 1))
    basis = decays.without_offset(decays.at(grid))
    heights = projected.T @ (basis / np.linalg.norm(basis, axis=0))
    best = heights.argmax(axis=1)
    step = grid[1] - grid[0]
    inside = np.clip(best, 1, grid.size - 2)
    rows = np.arange(best.size)
    before, top, after = heights[rows, inside - 1], heights[rows, inside], heights[rows, inside + 1]
    curvature = 2 * top - before - after
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(curvature > 0, (after - before) / (2 * curvature), 0.0)
    start = np.where(best == inside, grid[inside] + step * np.clip(shift, -0.9, 0.9), grid[best])
    return start, np.maximum(grid[best] - step, lowest), np.minimum(grid[best] + step, highest)


def _slope_and_curvature(projected: RealArray, decays: _Decays, log_rate: RealArray) -> tuple[RealArray, RealArray]:
    """First and second derivative of ``ln F`` by ``ln R``."""
    rate = np.exp(log_rate)
    decay = decays.at(log_rate)
    data = decays.powers @ (projected * decay)
    moments = decays.moments(decay, rate)
    norm, cross, square = moments
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = -rate * data[1] / data[0], rate * (rate * data[2] - data[1]) / data[0]
        slant = cross / norm
        bend = (square + decays.second_moment(decay, rate, moments)) / norm
    return first - slant, second - first**2 - bend + 2 * slant**2


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
    scaled: RealArray, projected: RealArray, decays: _Decays, log_rate: RealArray, ends: tuple[BoolArray, IntArray]
) -> Solution:
    """Amplitude, offset, residuals and errors at the optimum."""
    rate = np.exp(log_rate)
    decay = decays.at(log_rate)
    norm, cross, square = decays.moments(decay, rate)
    amplitude = np.einsum("ev,ev->v", projected, decay) / norm
    residuals = scaled - amplitude * decay
    offset = np.zeros_like(amplitude)
    if decays.problem.free_offset:
        along = decays.constant @ residuals
        offset = along / np.linalg.norm(decays.weights)
        residuals -= decays.constant[:, None] * along
    with np.errstate(divide="ignore", invalid="ignore"):
        information = amplitude**2 * (square - cross**2 / norm)
        log_rate_std = np.where(information > 0, 1 / np.sqrt(np.abs(information)), np.inf)
    chi2 = np.einsum("ev,ev->v", residuals, residuals)
    return Solution(log_rate, amplitude, offset, chi2, amplitude**2 * norm, log_rate_std, *ends)
