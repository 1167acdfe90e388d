"""Confidence intervals of T2 that hold what they promise at low signal-to-noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import chi2 as chi_squared

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import _least_squares, _likelihood
from knightshift.reconstruction.relaxometry._least_squares import Problem
from knightshift.reconstruction.relaxometry.noise import RAYLEIGH_MEAN
from knightshift.reconstruction.relaxometry.result import T2Fit

_BISECTIONS = 28
_REACH = 1e3  # the rate is looked for up to so many times beyond the range of the fit

_Misfit = Callable[[RealArray], RealArray]


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
        If `level` is not between 0 and 1, the noise of the fit is unknown, or it is of a train.

    References
    ----------
    .. [1] Venzon & Moolgavkar, Appl. Statist. 37 (1988) 87.
    """
    if not 0 < level < 1:
        raise InputError(f"level {level} is not a probability between 0 and 1")
    if not (fit.noise_std > 0).all():
        raise InputError("the noise of this fit is unknown: give noise_std to the fit")
    if fit.options.train is not None:
        raise InputError("intervals are for separate echoes; for an echo train use t2_std")
    chosen = fit.ok
    log_rate = -np.log(fit.t2[chosen])
    misfit = _misfit(fit, chosen)
    limit = misfit(log_rate) + float(chi_squared.ppf(level, 1))
    ends = []
    for farthest in (np.log(_REACH / fit.echo_times[-1]) + 3, -np.log(_REACH * fit.echo_times[-1])):
        ends.append(_crossing(misfit, log_rate, limit, float(farthest)))
    maps = (np.full(fit.t2.shape, np.nan), np.full(fit.t2.shape, np.nan))
    for image, end in zip(maps, ends, strict=True):
        image[chosen] = np.exp(-end)
    return maps


def _crossing(misfit: _Misfit, start: RealArray, limit: RealArray, farthest: float) -> RealArray:
    """Where the misfit passes its limit between the optimum and the farthest rate; infinite where it does not."""
    inside, outside = start.copy(), np.full_like(start, farthest)
    open_ = ~(misfit(outside) > limit)
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        beyond = misfit(middle) > limit
        inside, outside = np.where(beyond, inside, middle), np.where(beyond, middle, outside)
    return np.where(open_, np.copysign(np.inf, farthest - start), (inside + outside) / 2)


def _misfit(fit: T2Fit, chosen: BoolArray) -> _Misfit:
    """Minus twice the log-likelihood, up to a constant, as a function of ``ln R`` with all else at its best."""
    options = fit.options
    problem = Problem(fit.echo_times, fit.noise_std, (0.0, 0.0), options.offset == "free", 0)
    columns = fit.signal[:, chosen]
    if options.estimator == "rician" or options.offset == "noise-quadrature":
        law = _likelihood.RicianLaw() if options.estimator == "rician" else _likelihood.QuadratureLaw()
        return lambda log_rate: _likelihood.profile(columns, problem, law, log_rate)
    floor = RAYLEIGH_MEAN * fit.noise_std[:, None] if options.offset == "noise" else 0.0
    curves = _least_squares.Exponentials(problem)
    return lambda log_rate: _least_squares.profile(columns - floor, curves, log_rate)
