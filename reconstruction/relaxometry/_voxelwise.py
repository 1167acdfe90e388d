"""From the signal of all voxels to maps: which path fits them, in chunks that bound the memory, and how each is judged.

The path of numpy fits whatever can be chosen. The path of numba (the optional extra ``fast``) does the same steps in
compiled code for exponentials without an offset or above the noise floor, and for the Rician likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from knightshift.core.arrays import BoolArray, IntArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import _least_squares, _likelihood, _train_likelihood
from knightshift.reconstruction.relaxometry._laws import QuadratureLaw, RicianLaw
from knightshift.reconstruction.relaxometry._least_squares import ONE_SIDED, Problem, Solution
from knightshift.reconstruction.relaxometry._threads import for_each, parts_of
from knightshift.reconstruction.relaxometry.noise import RAYLEIGH_MEAN
from knightshift.reconstruction.relaxometry.options import T2Options
from knightshift.reconstruction.relaxometry.result import T2Status, has_t2

Path: TypeAlias = Literal["numpy", "numba"]
StatusMap: TypeAlias = NDArray[np.int8]
_Solver: TypeAlias = Callable[[RealArray, Problem], Solution]

MAPS = ("t2", "t2_std", "amplitude", "offset", "chi2")
"""Rows of the maps; a sixth, what the decay explains, is kept where voxels are judged later."""


AGAIN = 100
"""Status of a voxel that the compiled path leaves to the one of numpy."""

_CHUNK_VALUES = 1 << 18  # two megabytes, about what the cache of a processor holds
_MANY_VOXELS = 200_000  # numpy fits fewer before numba is even imported


@dataclass(frozen=True)
class Judgement:
    """What a voxel needs for a T2."""

    explained: float
    """chi2 that the decay has to explain."""
    energy: float
    """Squared signal over noise variance that it has to have."""
    free_offset: bool
    """Whether the offset may leave T2 undetermined."""

    @classmethod
    def of(cls, options: T2Options, n_echoes: int, *, is_magnitude: bool) -> Judgement:
        """Return the thresholds at the chosen level.

        For noise, what the best decay explains stays below chi-squared of two degrees of freedom (amplitude and rate).
        Without an offset, magnitudes of noise look like a long decay: there the energy itself has to exceed noise.
        """
        level, free = options.detection_level, options.offset == "free"
        if level == 0:
            return cls(-np.inf, -np.inf, free)
        looks_like_decay = options.estimator == "gaussian" and options.offset == "none" and is_magnitude
        energy = float(chdtri(2 * n_echoes, level)) if looks_like_decay else -np.inf
        return cls(float(chdtri(2, level)), energy, free)

    def status(self, fitted: StatusMap, maps: RealArray) -> StatusMap:
        """Return the status from the one after the fit, and maps with six rows ``(map, voxel)``."""
        t2, t2_std, amplitude, _, chi2, explained = maps
        status = fitted.copy()
        with np.errstate(invalid="ignore"):
            if self.free_offset:
                status[~(t2_std < t2) & (status == T2Status.OK)] = T2Status.OFFSET_UNIDENTIFIED
            seen = (amplitude > 0) & ~(explained <= self.explained) & ~(chi2 + explained <= self.energy)
        seen |= (status == T2Status.MASKED) | (status == T2Status.INVALID_INPUT)
        status[~seen] = T2Status.NO_SIGNAL
        return status


def path_of(options: T2Options, n_voxels: int) -> Path:
    """Return the path that fits so many voxels; raises `InputError` if it was asked for and is not there."""
    compiled = options.train is None and options.offset in {"none", "noise"}
    worth_it = compiled and n_voxels >= _MANY_VOXELS
    if options.engine == "numpy" or (options.engine == "auto" and not (worth_it and _numba_is_installed())):
        return "numpy"
    if not compiled:
        raise InputError(
            f"engine 'numba' fits exponentials with offset 'none' or 'noise', not offset {options.offset!r}"
            f"{' of an echo train' if options.train else ''}: use engine 'auto' or 'numpy'"
        )
    if not _numba_is_installed():
        raise InputError("engine 'numba' needs numba: pip install 'knightshift[fast]', or use engine 'auto' or 'numpy'")
    return "numba"


@lru_cache(maxsize=1)
def _numba_is_installed() -> bool:
    return find_spec("numba") is not None


def fit_voxels(
    signal: RealArray, status: StatusMap, problem: Problem, options: T2Options, judgement: Judgement | None
) -> RealArray:
    """Fit every voxel whose status is OK, and change its status where it gets no T2.

    Parameters
    ----------
    signal
        Shape ``(echo, voxel)``.
    status
        `T2Status`, shape ``(voxel,)``; changed in place.
    problem
        Echo times, noise and bounds.
    options
        How to fit.
    judgement
        None: voxels keep all values and the status of the fit, to be judged when the noise is known.

    Returns
    -------
    RealArray
        `MAPS`, shape ``(map, voxel)`` and of the precision of the signal, NaN where there is no T2; without a
        judgement with a sixth row, what the decay explains.
    """
    rows = len(MAPS) + (judgement is None)
    maps = np.empty((rows, status.size), dtype=np.float32 if signal.dtype == np.float32 else float)
    fit_part = partial(_fit_part, signal, status, _solver_of(problem, options), problem, judgement, maps)
    if path_of(options, status.size) == "numba":
        from knightshift.reconstruction.relaxometry import _compiled_paths

        fit_compiled = _compiled_paths.prepare(signal, status, problem, options, judgement, maps)
        for_each(parts_of(status.size, options.chunk_voxels), options.threads, fit_compiled)
        chosen = status == AGAIN
    else:
        chosen = status == T2Status.OK
        maps[:, ~chosen] = np.nan
    for_each(_chunks(chosen, len(signal), options), options.threads, fit_part)
    return maps


def _chunks(chosen: BoolArray, n_echoes: int, options: T2Options) -> Sequence[slice | IntArray]:
    """Return the chosen voxels in chunks: as slices, which need no copy, where they are all."""
    size = min(options.chunk_voxels, 1 + _CHUNK_VALUES // n_echoes)
    if chosen.all():
        return parts_of(chosen.size, size)
    voxels = np.flatnonzero(chosen)
    return [voxels[part] for part in parts_of(voxels.size, min(size, 1 + voxels.size // options.threads))]


def _fit_part(
    signal: RealArray,
    status: StatusMap,
    solve: _Solver,
    problem: Problem,
    judgement: Judgement | None,
    maps: RealArray,
    part: slice | IntArray,
) -> None:
    """Fit the voxels of a chunk by numpy."""
    columns = signal[:, part] if isinstance(part, slice) else signal.take(part, axis=1)
    found, status[part] = _fit_columns(columns, solve, problem, judgement)
    maps[:, part] = found[: len(maps)]


def _fit_columns(
    columns: RealArray, solve: _Solver, problem: Problem, judgement: Judgement | None
) -> tuple[RealArray, StatusMap]:
    """Fit all columns by numpy: six rows of maps, and the status."""
    solution = solve(columns, problem)
    found, fitted = _found(solution), _status_of(solution)
    if judgement is not None:
        fitted = judgement.status(fitted, found)
        bad = np.flatnonzero(~has_t2(fitted))
        found[:, bad] = np.nan
    return found, fitted


def _found(solution: Solution) -> RealArray:
    """Six rows of maps."""
    found = np.empty((len(MAPS) + 1, solution.log_rate.size))
    np.exp(np.negative(solution.log_rate, out=found[0]), out=found[0])
    np.multiply(found[0], solution.log_rate_std, out=found[1])
    found[2:] = solution.amplitude, solution.offset, solution.chi2, solution.explained
    return found


def _status_of(solution: Solution) -> StatusMap:
    status = np.full(solution.log_rate.size, T2Status.OK, dtype=np.int8)
    if not solution.converged.all() or solution.side.any():
        status[~solution.converged] = T2Status.NOT_CONVERGED
        status[solution.side < 0] = T2Status.TOO_LONG
        status[solution.side > 0] = T2Status.TOO_SHORT
        status[solution.side == ONE_SIDED] = T2Status.ONE_SIDED
    return status


def _solver_of(problem: Problem, options: T2Options) -> _Solver:
    if options.train is not None and options.estimator == "rician":
        return partial(_train_likelihood.solve, decays=options.train.decays)
    if options.train is not None:
        return partial(_least_squares.solve, curves=_least_squares.Tabulated(problem, options.train.decays))
    if options.estimator == "rician":
        return partial(_likelihood.solve, law=RicianLaw())
    if options.offset == "noise-quadrature":
        return _solve_in_quadrature
    if options.offset == "noise":
        return _solve_above_floor
    return _least_squares.solve


def _solve_above_floor(signal: RealArray, problem: Problem) -> Solution:
    """Subtract the mean of the noise magnitude, then fit without an offset."""
    floor = RAYLEIGH_MEAN * problem.noise_std
    solution = _least_squares.solve(signal - floor[:, None], problem)
    solution.offset = np.full_like(solution.offset, floor.mean())
    return solution


def _solve_in_quadrature(signal: RealArray, problem: Problem) -> Solution:
    """Fit ``sqrt(S^2 + 2 sigma^2)``; the offset tells the floor."""
    solution = _likelihood.solve(signal, problem, QuadratureLaw())
    solution.offset = np.full_like(solution.amplitude, np.sqrt(2) * problem.noise_std.mean())
    return solution


def judge_by_residuals(
    maps: RealArray, status: StatusMap, problem: Problem, options: T2Options, *, is_magnitude: bool
) -> tuple[RealArray, Problem]:
    """Set the noise such that the median voxel has the residuals expected of it, and judge the voxels by it.

    Parameters
    ----------
    maps
        Six rows from `fit_voxels` for a noise of one, shape ``(map, voxel)``; changed in place.
    status
        After the fit, shape ``(voxel,)``; changed in place.
    problem, options
        As in the fit.
    is_magnitude
        Whether no voxel is negative anywhere.

    Returns
    -------
    tuple[RealArray, Problem]
        The five maps, and the problem with its noise.
    """
    n_echoes = len(problem.echo_times)
    freedom = n_echoes - (3 if problem.free_offset else 2)
    good = (status == T2Status.OK) & (maps[2] > 0)
    sigma = np.nan
    if freedom > 0 and good.any():
        sigma = float(np.sqrt(np.median(maps[4][good]) / chdtri(freedom, 0.5)))
    with np.errstate(divide="ignore", invalid="ignore"):
        maps[1] *= sigma
        maps[4:] /= sigma**2
    known = not (np.isnan(sigma) or options.detection_level == 0)
    judgement = Judgement.of(options, n_echoes, is_magnitude=is_magnitude) if known else _anything(options)
    status[:] = judgement.status(status, maps)
    maps[:, ~has_t2(status)] = np.nan
    noise = np.full_like(problem.noise_std, sigma)
    found = Problem(problem.echo_times, noise, problem.log_rates, problem.free_offset, problem.max_iterations)
    return maps[: len(MAPS)], found


def _anything(options: T2Options) -> Judgement:
    return Judgement(-np.inf, -np.inf, options.offset == "free")


def magnitudes_only(signal: RealArray, chosen: BoolArray) -> bool:
    """Whether no chosen voxel is negative; signal of shape ``(echo, voxel)``."""
    if chosen.all():
        return all(image.min(initial=0.0) >= 0 for image in signal)
    return not any((image[chosen] < 0).any() for image in signal)
