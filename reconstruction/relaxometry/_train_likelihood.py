"""Rician likelihood of an echo train: one number per voxel is searched for, on the profile of the likelihood.

The decay of a train has no formula, and trains are regions or small maps: a grid of ``ln R`` finds the hill and a
golden section its top, with the best amplitude for each rate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from knightshift.core.arrays import IntArray, RealArray
from knightshift.reconstruction.relaxometry._laws import RicianLaw
from knightshift.reconstruction.relaxometry._least_squares import Problem, Solution, Tabulated, grid_of
from knightshift.reconstruction.relaxometry._profile import Profile, best_amplitude
from knightshift.reconstruction.relaxometry.golden_section import golden_section

_SECTIONS = 34  # narrow a bracket of two grid steps to 5e-8 in ln R
_STEP = 1e-4

Misfit = Callable[[RealArray], RealArray]


def solve(signal: RealArray, problem: Problem, decays: Callable[[RealArray], RealArray]) -> Solution:
    """Fit every column of magnitudes; parameters and result as in `_least_squares.solve`.

    Parameters
    ----------
    signal
        Magnitudes, shape ``(echo, voxel)``.
    problem
        Echo times, noise and bounds.
    decays
        Size of the echoes for each T2 and an amplitude of one, shape ``(echo, voxel)``.
    """
    curves, law = train_curves(problem, decays), RicianLaw()
    scaled = signal * curves.weights[:, None]
    log_rate, side = _lowest(Profile(scaled, curves, law), grid_of(curves)[0], scaled.shape[1])
    decay = curves.at(log_rate)
    amplitude = best_amplitude(scaled, decay, law)
    expected = amplitude * decay
    change = amplitude * (curves.at(log_rate + _STEP) - curves.at(log_rate - _STEP)) / (2 * _STEP)
    weight = law.information(expected)
    zero, one, two = ((weight * product).sum(axis=0) for product in (expected**2, expected * change, change**2))
    with np.errstate(divide="ignore", invalid="ignore"):
        information = two - one**2 / zero
        log_rate_std = np.where(information > 0, 1 / np.sqrt(np.abs(information)), np.inf)
    chi2, explained = law.misfits(scaled, expected)
    return Solution(
        log_rate=log_rate,
        amplitude=amplitude,
        offset=np.zeros_like(amplitude),
        chi2=chi2,
        explained=explained,
        log_rate_std=log_rate_std,
        converged=np.ones(log_rate.size, dtype=bool),
        side=side,
    )


def train_curves(problem: Problem, decays: Callable[[RealArray], RealArray]) -> Tabulated:
    """Return the decays of a train as magnitudes show them."""
    return Tabulated(problem, lambda t2: np.abs(decays(t2)))


def _lowest(misfit: Misfit, grid: RealArray, count: int) -> tuple[RealArray, IntArray]:
    """Where the misfit is lowest, and whether that is at an end of the grid (-1, +1)."""
    heights = np.stack([misfit(np.full(count, log_rate)) for log_rate in grid])
    best = heights.argmin(axis=0) if count else np.zeros(0, dtype=int)
    bracket = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, grid.size - 1)]
    found = golden_section(misfit, bracket, _SECTIONS)
    side = (found > grid[-1] - 1e-5).astype(np.int8) - (found < grid[0] + 1e-5).astype(np.int8)
    return found, side
