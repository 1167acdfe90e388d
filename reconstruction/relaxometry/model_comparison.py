"""Is one exponential enough? Bi-exponential and stretched decays beside it, and which of them the data support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import fdtrc

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry._levenberg import Model, Optimum, minimise
from knightshift.reconstruction.relaxometry.result import T2Fit

RicherModel: TypeAlias = Literal["bi", "bi-60-40", "stretched"]

_FAST_SHARE = 0.6  # I = 3/2 in slow motion: outer transitions carry 60 % of the signal and relax faster
_SPREADS = ((1.5, 0.6), (3.0, 0.6), (8.0, 0.8))  # starts: fast and slow rate in units of the single one
_STRETCHES = (0.6, 0.9, 1.2)
_N_PARAMETERS = {"bi": 4, "bi-60-40": 3, "stretched": 3}


@dataclass(frozen=True)
class RicherFit:
    """A model with more parameters than one exponential, at every voxel that has a T2; maps of shape ``image``.

    NaN where it was not fitted or did not converge.
    """

    model: RicherModel
    """``bi``: ``A (w exp(-t / T2fast) + (1 - w) exp(-t / T2slow))``; ``bi-60-40``: the same with ``w = 0.6``;
    ``stretched``: ``A exp(-(t / T2)**stretch)``."""
    amplitude: RealArray
    """Signal at echo time zero, units of the images."""
    t2: RealArray
    """T2 of the slow part, or of the stretched decay [s]."""
    t2_fast: RealArray
    """T2 of the fast part [s]; NaN for ``stretched``."""
    fast_share: RealArray
    """Share of the fast part in the signal at echo time zero; NaN for ``stretched``."""
    stretch: RealArray
    """Exponent; NaN for the bi-exponentials."""
    chi2: RealArray
    """Squared residuals over noise variance."""
    aic: RealArray
    """Akaike's criterion ``chi2 + 2 k`` (k parameters, known noise) minus that of one exponential: negative where this
    model is to be preferred."""
    aicc: RealArray
    """The same with the correction for few echoes, ``+ 2 k (k + 1) / (n - k - 1)``; infinite where the echoes are too
    few for it."""
    f_probability: RealArray
    """Probability that one exponential alone would give an improvement as large (F test; it needs no noise);
    NaN where no degree of freedom is left."""

    def preferred(self, level: float = 0.05) -> BoolArray:
        """Voxels in which both AIC and the F test at `level` reject one exponential."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.aic < 0) & (self.f_probability < level))


def fit_richer_model(fit: T2Fit, model: RicherModel) -> RicherFit:
    """Fit a richer model to the signal of a mono-exponential fit, voxel by voxel, by least squares.

    Parameters
    ----------
    fit
        A mono-exponential fit of separate echoes without an offset: complex images, or magnitudes well above the noise.
    model
        Which one.

    Returns
    -------
    RicherFit
        Maps.

    Raises
    ------
    InputError
        If there are fewer echoes than parameters, the fit is Rician, has an offset or is of a train, or its noise is
        unknown.
    """
    n_echoes, n_parameters = len(fit.echo_times), _N_PARAMETERS[model]
    if n_echoes < n_parameters:
        raise InputError(f"{n_echoes} echoes cannot determine the {n_parameters} parameters of {model!r}: acquire more")
    options = fit.options
    if options.estimator == "rician" or options.offset != "none" or options.train is not None:
        raise InputError(
            f"richer models are fitted by least squares to separate echoes without an offset, not with estimator "
            f"{options.estimator!r}, offset {options.offset!r}: fit with estimator 'complex' first"
        )
    if not (fit.noise_std > 0).all():
        raise InputError("the noise of this fit is unknown: give noise_std to the fit")
    chosen = fit.ok
    noise = fit.noise_std[:, None]
    observed = fit.signal[:, chosen] / noise
    single = np.stack([np.log(fit.amplitude[chosen]), -np.log(fit.t2[chosen])])
    best = _best_of_starts(observed, model, fit, single)
    return _maps(fit, model, best, n_parameters)


def _best_of_starts(observed: RealArray, model: RicherModel, fit: T2Fit, single: RealArray) -> Optimum:
    log_amplitude, log_rate = single
    times = fit.echo_times
    lowest, highest = np.log(0.02 / times[-1]), np.log(20 / times[times > 0][0])
    everywhere = np.full_like(log_rate, _FAST_SHARE)
    if model == "stretched":
        curve: Model = _Stretched(times, fit.noise_std)
        bounds = np.array([[-np.inf, np.inf], [lowest, highest], [0.1, 3.0]]).T
        starts = [np.stack([log_amplitude, log_rate, np.full_like(log_rate, beta)]) for beta in _STRETCHES]
    else:
        curve = _Biexponential(times, fit.noise_std)
        shares = [0.02, 0.98] if model == "bi" else [_FAST_SHARE, _FAST_SHARE]
        bounds = np.array([[-np.inf, np.inf], [lowest, highest], [lowest, highest], shares]).T
        starts = [
            np.stack([log_amplitude, log_rate + np.log(fast), log_rate + np.log(slow), everywhere])
            for fast, slow in _SPREADS
        ]
    ends = [minimise(curve, observed, start, (bounds[0], bounds[1])) for start in starts]
    best = ends[0]
    for end in ends[1:]:
        lower = end.chi2 < best.chi2
        best = Optimum(
            np.where(lower, end.parameters, best.parameters),
            np.where(lower, end.chi2, best.chi2),
            np.where(lower, end.converged, best.converged),
        )
    return best


class _Stretched:
    """``A exp(-(R t)**b)`` in units of the noise; parameters ``ln A, ln R, b``."""

    def __init__(self, echo_times: RealArray, noise_std: RealArray) -> None:
        self.log_times, self.weights = np.log(np.maximum(echo_times, 1e-12))[:, None], 1 / noise_std[:, None]

    def __call__(self, parameters: RealArray) -> tuple[RealArray, RealArray]:
        log_amplitude, log_rate, stretch = parameters
        logarithm = self.log_times + log_rate
        exponent = np.exp(np.clip(stretch * logarithm, -700, 6.5))
        value = np.exp(np.clip(log_amplitude - exponent, -700, 700)) * self.weights
        return value, np.stack([value, -value * exponent * stretch, -value * exponent * logarithm])


class _Biexponential:
    """``A (w exp(-R1 t) + (1 - w) exp(-R2 t))`` in units of the noise; parameters ``ln A, ln R1, ln R2, w``."""

    def __init__(self, echo_times: RealArray, noise_std: RealArray) -> None:
        self.times, self.weights = echo_times[:, None], 1 / noise_std[:, None]

    def __call__(self, parameters: RealArray) -> tuple[RealArray, RealArray]:
        log_amplitude, log_fast, log_slow, share = parameters
        fast, slow = self.times * np.exp(log_fast), self.times * np.exp(log_slow)
        amplitude = np.exp(np.clip(log_amplitude, -700, 700)) * self.weights
        first, second = amplitude * np.exp(-fast), amplitude * np.exp(-slow)
        value = share * first + (1 - share) * second
        return value, np.stack([value, -share * first * fast, -(1 - share) * second * slow, first - second])


def _maps(fit: T2Fit, model: RicherModel, best: Optimum, n_parameters: int) -> RicherFit:
    n_echoes = len(fit.echo_times)
    found = best.parameters.copy()
    nothing = np.full(found.shape[1], np.nan)
    if model == "stretched":
        amplitude, t2, t2_fast, share, stretch = np.exp(found[0]), np.exp(-found[1]), nothing, nothing, found[2]
    else:
        swap = (found[1] < found[2]) & (model == "bi")
        fast, slow = np.where(swap, found[[2, 1]], found[[1, 2]])
        share = np.where(swap, 1 - found[3], found[3])
        amplitude, t2, t2_fast, stretch = np.exp(found[0]), np.exp(-slow), np.exp(-fast), nothing
    single = fit.chi2[fit.ok]
    gain = single - best.chi2
    aic = 2 * (n_parameters - 2) - gain
    correction = _correction(n_echoes, n_parameters) - _correction(n_echoes, 2)
    columns = (amplitude, t2, t2_fast, share, stretch, best.chi2, aic, aic + correction)
    probability = _f_probability(gain, best.chi2, n_parameters - 2, n_echoes - n_parameters)
    maps = []
    for column in (*columns, probability):
        image = np.full(fit.t2.shape, np.nan)
        image[fit.ok] = np.where(best.converged, column, np.nan)
        maps.append(image)
    return RicherFit(model, *maps)


def _correction(n_echoes: int, n_parameters: int) -> float:
    left = n_echoes - n_parameters - 1
    return 2 * n_parameters * (n_parameters + 1) / left if left > 0 else np.inf


def _f_probability(gain: RealArray, chi2: RealArray, more: int, left: int) -> RealArray:
    if left < 1:
        return np.full_like(gain, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(gain, 0) / more / (chi2 / left)
    return np.asarray(fdtrc(more, left, ratio))
