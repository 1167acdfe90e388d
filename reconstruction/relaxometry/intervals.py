"""Confidence intervals of T2 that hold what they promise at low signal-to-noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from scipy.special import chdtri

from knightshift.core.arrays import BoolArray, IntArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import _least_squares, _likelihood, _train_likelihood
from knightshift.reconstruction.relaxometry._laws import QuadratureLaw, RicianLaw
from knightshift.reconstruction.relaxometry._least_squares import Problem
from knightshift.reconstruction.relaxometry._threads import for_each, parts_of
from knightshift.reconstruction.relaxometry.noise import RAYLEIGH_MEAN
from knightshift.reconstruction.relaxometry.result import T2Fit
from knightshift.reconstruction.relaxometry.voxel_trains import VoxelTrains

_BISECTIONS = 28
_CHUNK = 8192  # voxels at a time, so that what is worked on stays in the cache
_REACH = 1e3  # the rate is looked for up to so many times beyond the range of the fit

Misfit: TypeAlias = Callable[[RealArray], RealArray]


def t2_interval(fit: T2Fit, level: float = 0.95) -> tuple[RealArray, RealArray]:
    """Confidence interval of T2 from the profile of the likelihood.

    The interval holds all T2 for which twice the log-likelihood, with the best amplitude (and offset), is lower than at
    the fit by less than the quantile of chi-squared with one degree of freedom [1]_. It is longer to the side of long
    T2 and may be open there, which ``t2 +- t2_std`` cannot be.

    Parameters
    ----------
    fit
        A fit with a known noise.
    level
        Probability that the interval holds the true T2.

    Returns
    -------
    tuple[RealArray, RealArray]
        Lower and upper end [s], shape ``image``; 0 or infinity where the interval is open, NaN where there is no T2.

    Raises
    ------
    InputError
        If `level` is not between 0 and 1, or the noise of the fit is unknown.

    References
    ----------
    .. [1] Venzon & Moolgavkar, Appl. Statist. 37 (1988) 87.
    """
    maps = (np.full(fit.t2.shape, np.nan), np.full(fit.t2.shape, np.nan))
    voxels = np.flatnonzero(fit.ok)

    def find(part: slice) -> None:
        chosen = np.zeros(fit.t2.shape, dtype=bool)
        chosen.flat[voxels[part]] = True
        ends = interval_ends(misfit_of(fit, chosen), -np.log(fit.t2[chosen]), fit, level)
        for image, end in zip(maps, ends, strict=True):
            image[chosen] = np.exp(-end)

    for_each(parts_of(voxels.size, _CHUNK) or [slice(0)], fit.options.threads, find)
    return maps


def interval_ends(misfit: Misfit, log_rate: RealArray, fit: T2Fit, level: float) -> tuple[RealArray, RealArray]:
    """Rates at which the misfit is larger than at its minimum by the quantile: of the shortest and the longest T2.

    Raises
    ------
    InputError
        If `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise InputError(f"level {level} is not a probability between 0 and 1")
    lowest, highest = _reach(fit)
    least = np.fmin(misfit(log_rate), misfit(np.full_like(log_rate, highest)))  # one-sided: it is least at no T2
    limit = least + float(chdtri(1, 1 - level))
    return _crossing(misfit, log_rate, limit, highest), _crossing(misfit, log_rate, limit, lowest)


def _reach(fit: T2Fit) -> tuple[float, float]:
    """Lowest and highest ``ln R`` that an interval may reach before it counts as open."""
    last = float(fit.echo_times[-1])
    return -float(np.log(_REACH * last)), float(np.log(_REACH / last)) + 3


def _crossing(misfit: Misfit, start: RealArray, limit: RealArray, farthest: float) -> RealArray:
    """Where the misfit passes its limit between the optimum and the farthest rate; infinite where it does not."""
    inside, outside = start.copy(), np.full_like(start, farthest)
    open_ = ~(misfit(outside) > limit)
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        beyond = misfit(middle) > limit
        inside, outside = np.where(beyond, inside, middle), np.where(beyond, middle, outside)
    return np.where(open_, np.copysign(np.inf, farthest - start), (inside + outside) / 2)


def misfit_of(fit: T2Fit, chosen: BoolArray) -> Misfit:
    """Minus twice the log-likelihood of chosen voxels, up to a constant, by ``ln R`` with all else at its best.

    Raises
    ------
    InputError
        If the noise of the fit is unknown.
    """
    if not (fit.noise_std > 0).all():
        raise InputError("the noise of this fit is unknown: give noise_std to the fit")
    if fit.trains is not None:
        return _misfit_of_trains(fit, fit.trains, chosen)
    options = fit.options
    problem = Problem(fit.echo_times, fit.noise_std, _reach(fit), options.offset == "free", 0)
    columns = fit.signal[:, chosen]
    if options.train is not None and options.estimator == "rician":
        train = _train_likelihood.train_curves(problem, options.train.decays)
        scaled = columns * train.weights[:, None]
        return lambda log_rate: _train_likelihood.profile(scaled, train, log_rate)
    if options.estimator == "rician" or options.offset == "noise-quadrature":
        law = RicianLaw() if options.estimator == "rician" else QuadratureLaw()
        return lambda log_rate: _likelihood.profile(columns, problem, law, log_rate)
    floor = RAYLEIGH_MEAN * fit.noise_std[:, None] if options.offset == "noise" else 0.0
    if options.train is not None:
        curves: _least_squares.Curves = _least_squares.Tabulated(problem, options.train.decays)
    else:
        curves = _least_squares.Exponentials(problem)
    return lambda log_rate: _least_squares.profile(columns - floor, curves, log_rate)


def _misfit_of_trains(fit: T2Fit, trains: VoxelTrains, chosen: BoolArray) -> Misfit:
    """Return the misfit of voxels with a train of their own.

    Where B1 was fitted, the misfit grows about the optimum as much more slowly as not knowing B1 widens the error.
    """
    place = np.full(chosen.size, -1)
    place[chosen.ravel()] = np.arange(np.count_nonzero(chosen))
    parts: list[tuple[IntArray, Misfit]] = []
    for train, voxels in trains.groups(chosen):
        options = fit.options.model_copy(update={"train": train, "fit_b1": False})
        alone = replace(
            fit, options=options, trains=None, signal=fit.signal.reshape(len(fit.echo_times), -1)[:, voxels]
        )
        parts.append((place[voxels], misfit_of(alone, np.ones(voxels.size, dtype=bool))))
    best = -np.log(fit.t2[chosen])
    price = np.ones(best.size) if trains.price is None else trains.price[chosen]

    def misfit(log_rate: RealArray) -> RealArray:
        narrowed = best + (log_rate - best) / price
        found = np.empty_like(narrowed)
        for voxels, one in parts:
            found[voxels] = one(narrowed[voxels])
        return found

    return misfit
