"""T2 where the likelihood has no maximum: it is highest for no signal in any echo but the first.

Such magnitudes say how long T2 is at most, and no more; at SNR 4 seven voxels in a hundred are such where T2 is two
echo spacings. Leaving them out would take the shortest T2 out of every distribution. Jeffreys' prior, the root of the
determinant of the Fisher information, vanishes where the echoes cannot tell one rate from another; the likelihood times
it always has a maximum, and that is reported [1]_.

References
----------
.. [1] Firth, Biometrika 80 (1993) 27.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.relaxometry._least_squares import Problem

_STEP = 0.1  # in ln R
_SCORING_STEPS = 4
_FIRST_SCORING_STEPS = 30

Loss = Callable[[RealArray, RealArray], RealArray]
"""From magnitudes and signals to the loss, all of shape ``(echo, voxel)``."""


def most_likely(
    scaled: RealArray,
    problem: Problem,
    loss: Loss,
    slope: Loss,
    information: Callable[[RealArray], RealArray],
) -> tuple[RealArray, RealArray]:
    """Return the logarithms of the signal at the first echo and of ``R`` where likelihood times prior is highest.

    Parameters
    ----------
    scaled
        Magnitudes in units of the noise, shape ``(echo, voxel)``.
    problem
        Echo times, noise and bounds.
    loss, slope, information
        Minus the log-likelihood of an echo, its derivative by the signal, and the Fisher information.
    """
    delays = (problem.echo_times - problem.echo_times[0])[:, None]
    relative = (problem.noise_std.mean() / problem.noise_std)[:, None]
    grid = np.arange(max(problem.log_rates[0], -np.log(problem.echo_times[-1])), problem.log_rates[1], _STEP)[::-1]
    heights, amplitudes = np.empty((2, grid.size, scaled.shape[1]))
    amplitude, steps = np.maximum(scaled[0] / relative[0], 1.0), _FIRST_SCORING_STEPS
    for row, log_rate in enumerate(grid):
        rate = np.exp(log_rate)
        shape = relative * np.exp(-rate * delays)
        for _ in range(steps):
            signal = amplitude * shape
            weight = np.maximum(information(signal), 0.05)
            change = (slope(scaled, signal) * shape).sum(axis=0) / (weight * shape**2).sum(axis=0)
            amplitude = np.maximum(amplitude - change, amplitude / 4)
        signal, steps = amplitude * shape, _SCORING_STEPS
        weight = information(signal) * signal**2
        zero, one, two = (
            weight.sum(axis=0),
            (weight * rate * delays).sum(axis=0),
            (weight * (rate * delays) ** 2).sum(axis=0),
        )
        determinant = np.maximum(zero * two - one**2, np.finfo(float).tiny)
        heights[row], amplitudes[row] = 0.5 * np.log(determinant) - loss(scaled, signal).sum(axis=0), amplitude
    return _top(grid, heights, amplitudes)


def _top(grid: RealArray, heights: RealArray, amplitudes: RealArray) -> tuple[RealArray, RealArray]:
    """Top of the parabola through the highest point of the grid and its neighbours."""
    voxels = np.arange(heights.shape[1])
    best = np.clip(heights.argmax(axis=0), 1, grid.size - 2)
    before, top, after = (heights[best + shift, voxels] for shift in (-1, 0, 1))
    shift = np.clip((after - before) / np.maximum(2 * (2 * top - before - after), 1e-12), -1, 1)
    towards = best + np.where(shift > 0, 1, -1)
    logarithms = np.log(amplitudes)
    log_amplitude = logarithms[best, voxels] + np.abs(shift) * (logarithms[towards, voxels] - logarithms[best, voxels])
    return log_amplitude, grid[best] + shift * (grid[1] - grid[0])
