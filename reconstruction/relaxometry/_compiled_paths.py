"""The door to the compiled kernels: what a T2 fit has chosen, turned into what they need."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import RealArray
from knightshift.reconstruction.relaxometry import _compiled, _compiled_rician, _kernel_tools
from knightshift.reconstruction.relaxometry._least_squares import Exponentials, Problem, grid_of
from knightshift.reconstruction.relaxometry._voxelwise import Judgement
from knightshift.reconstruction.relaxometry.noise import RAYLEIGH_MEAN
from knightshift.reconstruction.relaxometry.options import T2Options


def prepare(
    signal: RealArray,
    status: NDArray[np.int8],
    problem: Problem,
    options: T2Options,
    judgement: Judgement | None,
    maps: RealArray,
) -> Callable[[slice], None]:
    """Return a function that fits the voxels of a slice; parameters as in `_voxelwise.fit_voxels`."""
    floor = RAYLEIGH_MEAN * problem.noise_std if options.offset == "noise" else np.zeros_like(problem.noise_std)
    decays = _kernel_tools.Decays(problem.echo_times, 1 / problem.noise_std, floor)
    rough = _rough(problem)
    explained, energy = (-np.inf, -np.inf) if judgement is None else (judgement.explained, judgement.energy)
    limits = _kernel_tools.Limits(*problem.log_rates, problem.max_iterations, explained, energy, float(floor.mean()))

    def fit_part(part: slice) -> None:
        _compiled.fit_exponentials(signal, (part.start, part.stop), decays, rough, limits, status, maps)

    if options.estimator != "rician":
        return fit_part

    model = (decays, rough, _magnitudes(problem))

    def fit_magnitudes(part: slice) -> None:
        _compiled_rician.fit_magnitudes(signal, (part.start, part.stop), model, limits, status, maps)

    return fit_magnitudes


def _magnitudes(problem: Problem) -> _compiled_rician.Magnitudes:
    times, noise = problem.echo_times, problem.noise_std
    delays = _compiled_rician.Delays(times - times[0], noise.mean() / noise)
    rough = _compiled_rician.Delays(*(row.astype(np.float32) for row in delays))
    return _compiled_rician.Magnitudes(delays, rough, float(times[0]), float(noise.mean()))


def _rough(problem: Problem) -> _kernel_tools.Rough:
    """Without weight where the kernel takes echoes by five, and with the last decay again where it takes four."""
    grid, basis = grid_of(Exponentials(problem))
    weights = problem.noise_std.min() / problem.noise_std
    padded = np.pad(basis, ((0, 0), (0, max(0, 5 - weights.size))))
    padded = np.pad(padded, ((0, -len(grid) % 4), (0, 0)), mode="edge")
    return _kernel_tools.Rough(
        *(np.ascontiguousarray(a, dtype=np.float32) for a in (problem.echo_times, weights, grid, padded))
    )
