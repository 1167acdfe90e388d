"""Confidence intervals of T2 that hold what they promise at low signal-to-noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from scipy.special import chdtri

from knightshift.core.arrays import BoolArray, IntArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import _least_squares, _train_likelihood
from knightshift.reconstruction.relaxometry._laws import QuadratureLaw, RicianLaw
from knightshift.reconstruction.relaxometry._least_squares import Problem
from knightshift.reconstruction.relaxometry._profile import Profile
from knightshift.reconstruction.relaxometry._threads import for_each, parts_of
from knightshift.reconstruction.relaxometry.noise import RAYLEIGH_MEAN
from knightshift.reconstruction.relaxometry.result import T2Fit, T2Status
from knightshift.reconstruction.relaxometry.voxel_trains import VoxelTrains

_CHUNK = 4096  # voxels at a time, so that what is worked on stays in the cache
_LONGEST, _SHORTEST = 1e3, 40.0  # T2 over the last echo time, and rate times the first gap, that count as open ends
_LONG = (1e3, 1e2, 30.0, 12.0, 6.0, 3.5)  # T2 over the last echo time: a flat decay changes little with it
_FINE, _SHORT = 0.35, (3.0, 6.0, 12.0, 40.0)  # step of ln R in between; rates times the first gap
_SECANTS, _NEAR = 20, 1e-6

Misfit: TypeAlias = Callable[[RealArray], RealArray]


def t2_interval(fit: T2Fit, level: float = 0.95) -> tuple[RealArray, RealArray]:
    """Confidence interval of T2 from the profile of the likelihood.

    The interval holds all T2 for which twice the log-likelihood, with the best amplitude (and offset), is lower than at
    its maximum by less than the quantile of chi-squared with one degree of freedom [1]_, and what lies between them. It
    is longer to the side of long T2 and may be open there, which ``t2 +- t2_std`` cannot be. Voxels without a T2 have
    an interval too: decays too flat or too fast for the echoes still say how short, or how long, T2 is at least or at
    most, and where nothing is told from noise every T2 is possible, from 0 to infinity.

    Parameters
    ----------
    fit
        A fit with a known noise.
    level
        Probability that the interval holds the true T2.

    Returns
    -------
    tuple[RealArray, RealArray]
        Lower and upper end [s], shape ``image``; 0 or infinity where the interval is open, NaN where nothing was fitted
        (masked or not finite; where B1 was fitted as well, also voxels without a T2).

    Raises
    ------
    InputError
        If `level` is not between 0 and 1, or the noise of the fit is unknown.

    References
    ----------
    .. [1] Venzon & Moolgavkar, Appl. Statist. 37 (1988) 87.
    """
    maps = (np.full(fit.t2.shape, np.nan), np.full(fit.t2.shape, np.nan))
    needs_t2 = fit.trains is not None and fit.trains.b1_is_fitted
    measured = (fit.status != T2Status.MASKED) & (fit.status != T2Status.INVALID_INPUT)
    voxels = np.flatnonzero(fit.ok if needs_t2 else measured)

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

    `log_rate` is where the misfit is least, or not a number where that is not known; shape ``(voxel,)``.

    Raises
    ------
    InputError
        If `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise InputError(f"level {level} is not a probability between 0 and 1")
    grid = _grid(fit)
    heights = np.stack([misfit(np.full(log_rate.shape, place)) for place in grid])
    best = np.where(np.isfinite(log_rate), log_rate, _vertex(grid, heights))
    best = np.clip(best, grid[0], grid[-1])
    at_best = misfit(best)
    least = np.fmin(at_best, heights.min(axis=0))
    limit = least + float(chdtri(1, 1 - level))
    top, levels = (best, at_best), (least, limit)
    shortest = _outermost(misfit, (grid[::-1], heights[::-1]), top, levels)
    return shortest, _outermost(misfit, (grid, heights), top, levels)


def _grid(fit: T2Fit) -> RealArray:
    """Return ``ln R`` from where a decay is flat to where it is over before the second echo."""
    last, gap = fit.echo_times[-1], fit.echo_times[1] - fit.echo_times[0]
    flat, steep = -np.log(np.multiply(_LONG, last)), np.log(np.divide(_SHORT, gap))
    between = np.arange(flat[-1] + _FINE, steep[0], _FINE)
    return np.asarray(np.concatenate([flat, between, steep]))


def _vertex(grid: RealArray, heights: RealArray) -> RealArray:
    """Lowest point of the parabola through the lowest of the grid and its neighbours."""
    index = np.clip(heights.argmin(axis=0), 1, grid.size - 2)
    (x0, x1, x2), voxels = (grid[index + shift] for shift in (-1, 0, 1)), np.arange(index.size)
    y0, y1, y2 = (heights[index + shift, voxels] for shift in (-1, 0, 1))
    rise, fall = (y2 - y1) / (x2 - x1), (y1 - y0) / (x1 - x0)
    bend = (rise - fall) / (x2 - x0)
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = (x0 + x1) / 2 - fall / (2 * bend)
    return np.asarray(np.where((bend > 0) & (vertex > x0) & (vertex < x2), vertex, grid[heights.argmin(axis=0)]))


def _outermost(
    misfit: Misfit,
    profile: tuple[RealArray, RealArray],
    top: tuple[RealArray, RealArray],
    levels: tuple[RealArray, RealArray],
) -> RealArray:
    """Where the misfit, followed from the first point of a grid inwards, falls below its limit; infinite if at once.

    Between the last point outside and the first one inside the root of what the misfit exceeds its minimum by is nearly
    straight: secants with the weights of Anderson and Björck.
    """
    (grid, heights), (best, at_best), (least, limit) = profile, top, levels
    sign = np.sign(grid[0] - grid[-1])
    within = (heights <= limit) & (sign * (grid[:, None] - best) > 0)
    first = np.where(within.any(axis=0), within.argmax(axis=0), np.sum(sign * (grid[:, None] - best) > 0, axis=0))
    voxels, is_open = np.arange(best.size), heights[0] <= limit
    from_best = ~within.any(axis=0)
    before = np.clip(first - 1, 0, grid.size - 1)
    first = np.clip(first, 0, grid.size - 1)
    inside, outside = np.where(from_best, best, grid[first]), grid[before]
    target = np.sqrt(limit - least)

    def excess(height: RealArray) -> RealArray:
        return np.asarray(np.sqrt(np.maximum(height - least, 0)) - target)

    at_inside = excess(np.where(from_best, at_best, heights[first, voxels]))
    found = _root(lambda place: excess(misfit(place)), (inside, at_inside), (outside, excess(heights[before, voxels])))
    return np.where(is_open, np.copysign(np.inf, sign), found)


def _root(function: Misfit, inside: tuple[RealArray, RealArray], outside: tuple[RealArray, RealArray]) -> RealArray:
    """Root between a place where a function is not positive and one where it is."""
    (a, at_a), (b, at_b) = inside, outside
    middle = a
    for _ in range(_SECANTS):
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.nan_to_num(at_a / (at_a - at_b), nan=0.5)
        middle = a + np.clip(share, 1e-3, 1 - 1e-3) * (b - a)
        value = function(middle)
        same = value <= 0
        if np.all((np.abs(value) < _NEAR) | (np.abs(b - a) < _NEAR)):
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            for_a = np.nan_to_num(1 - value / at_b, nan=0.5)
            for_b = np.nan_to_num(1 - value / at_a, nan=0.5)
        weight_a, weight_b = (np.where(one > 0, np.minimum(one, 1), 0.5) for one in (for_a, for_b))
        at_a, at_b = np.where(same, value, at_a * weight_a), np.where(same, at_b * weight_b, value)
        a, b = np.where(same, middle, a), np.where(same, b, middle)
    return np.asarray(middle)


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
    ends = _grid(fit)[[0, -1]]
    delays = fit.echo_times - fit.echo_times[0]  # what comes before the first echo is in the amplitude
    problem = Problem(delays, fit.noise_std, (ends[0], ends[1]), options.offset == "free", 0)
    columns = fit.signal[:, chosen]
    is_rician, train = options.estimator == "rician", options.train
    curves: _least_squares.Curves = _least_squares.Exponentials(problem)
    if train is not None:
        of_train = _train_likelihood.train_curves if is_rician else _least_squares.Tabulated
        curves = of_train(problem, train.decays)
    if is_rician or options.offset == "noise-quadrature":
        law = RicianLaw() if is_rician else QuadratureLaw()
        return Profile(columns / fit.noise_std[:, None], curves, law)
    floor = RAYLEIGH_MEAN * fit.noise_std[:, None] if options.offset == "noise" else 0.0
    return lambda log_rate: _least_squares.profile(columns - floor, curves, log_rate)


def _misfit_of_trains(fit: T2Fit, trains: VoxelTrains, chosen: BoolArray) -> Misfit:
    """Return the misfit of voxels with a train of their own.

    Where B1 was fitted, the misfit grows about the optimum as much more slowly as not knowing B1 widens the error.
    """
    best, columns = -np.log(fit.t2[chosen]), fit.signal[:, chosen]
    parts: list[tuple[IntArray, Misfit]] = []
    for train, voxels in trains.part(chosen).groups(np.ones(best.size, dtype=bool)):
        options = fit.options.model_copy(update={"train": train, "fit_b1": False})
        alone = replace(fit, options=options, trains=None, signal=columns[:, voxels])
        parts.append((voxels, misfit_of(alone, np.ones(voxels.size, dtype=bool))))
    price = np.ones(best.size) if trains.price is None else trains.price[chosen]

    def misfit(log_rate: RealArray) -> RealArray:
        narrowed = best + (log_rate - best) / price
        found = np.empty_like(narrowed)
        for voxels, one in parts:
            found[voxels] = one(narrowed[voxels])
        return found

    return misfit
