"""Is one exponential enough? Bi-exponential and stretched decays beside it, and which of them the data support."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry._levenberg import Model, Optimum, minimise
from knightshift.reconstruction.relaxometry._threads import one_blas_thread
from knightshift.reconstruction.relaxometry.result import T2Fit

RicherModel: TypeAlias = Literal["bi", "bi-60-40", "stretched"]

_FAST_SHARE = 0.6  # I = 3/2 in slow motion: outer transitions carry 60 % of the signal and relax faster
_SPREADS = ((1.5, 0.6), (3.0, 0.6), (8.0, 0.8))  # starts: fast and slow rate in units of the single one
_STRETCHES = (0.6, 0.9, 1.2)
_N_PARAMETERS = {"bi": 4, "bi-60-40": 3, "stretched": 3}
_LEVEL = 0.05
"""Of the F test: so many voxels of one exponential are taken for more by chance, at most."""
_EQUAL = 1e-3
"""Difference of chi-squared that says nothing: of two such ends the one that converged is taken."""
_PATIENCE = 500
"""Steps after which a voxel is given up."""
_SINGULAR = 1e-12
"""On the diagonal of a correlation matrix: what cannot be told gets an error a million times too large."""


class ModelVerdict(IntEnum):
    """Whether the data of a voxel ask for more than one exponential, or why they do not say."""

    PREFERRED = 0
    """AIC and the F test reject one exponential, and the parameters of the richer model are determined."""
    ONE_EXPONENTIAL = 1
    """Neither rejects it."""
    NO_T2 = 2
    """Not compared: the voxel has no T2 of one exponential, or lies outside the mask."""
    UNDECIDED = 3
    """AIC and the F test disagree, or there are as many parameters as echoes, so that nothing is left to judge by."""
    UNDETERMINED = 4
    """One exponential is rejected, but a parameter ends at the edge of its range, or less certain than its value."""
    NOT_CONVERGED = 5
    """The optimum of the richer model was not found."""

    @property
    def words(self) -> str:
        """The verdict as people read it."""
        return _WORDS[self]


_WORDS = {
    ModelVerdict.PREFERRED: "richer model preferred",
    ModelVerdict.ONE_EXPONENTIAL: "one exponential is enough",
    ModelVerdict.NO_T2: "not compared: no T2",
    ModelVerdict.UNDECIDED: "cannot be told: criteria disagree or too few echoes",
    ModelVerdict.UNDETERMINED: "not one exponential, parameters undetermined",
    ModelVerdict.NOT_CONVERGED: "richer model did not converge",
}


@dataclass(frozen=True)
class RicherFit:
    """A model with more parameters than one exponential, at every voxel that has a T2; maps of shape ``image``.

    NaN where it was not fitted or did not converge. Standard deviations come from the Fisher information.
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
    t2_std: RealArray
    """Standard deviation of `t2` [s]."""
    t2_fast_std: RealArray
    """Standard deviation of `t2_fast` [s]."""
    fast_share_std: RealArray
    """Standard deviation of `fast_share`; zero where the share is fixed."""
    stretch_std: RealArray
    """Standard deviation of `stretch`."""
    verdict: NDArray[np.int8]
    """`ModelVerdict` of each voxel, by AIC and the F test at 5 %."""

    def preferred(self, level: float = _LEVEL) -> BoolArray:
        """Voxels in which both AIC and the F test at `level` reject one exponential."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.aic < 0) & (self.f_probability < level))

    def count(self, verdict: ModelVerdict) -> int:
        """Count the voxels of one verdict."""
        return int(np.count_nonzero(self.verdict == verdict))

    @property
    def n_compared(self) -> int:
        """Voxels with a T2, in which the models were compared."""
        return self.verdict.size - self.count(ModelVerdict.NO_T2)

    def methods_sentence(self) -> str:
        """One sentence for the methods paragraph of a report, with what was found."""
        return richer_sentence(self.model, Counter({verdict: self.count(verdict) for verdict in ModelVerdict}))


def richer_sentence(model: RicherModel, counts: Counter[ModelVerdict]) -> str:
    """Tell of a comparison of models in one sentence.

    Parameters
    ----------
    model
        Which one was compared with one exponential.
    counts
        Voxels of each verdict.
    """
    what = {
        "bi": "a bi-exponential (share of the fast part free)",
        "bi-60-40": "a bi-exponential (60 % fast, as of a spin 3/2 in slow motion)",
        "stretched": "a stretched exponential",
    }[model]
    rejected = counts[ModelVerdict.PREFERRED] + counts[ModelVerdict.UNDETERMINED]
    unknown = {
        "its parameters are not determined": counts[ModelVerdict.UNDETERMINED],
        "the criteria disagree or too few echoes are left to tell": counts[ModelVerdict.UNDECIDED],
        "it did not converge": counts[ModelVerdict.NOT_CONVERGED],
    }
    others = "".join(f"; in {count} {words}" for words, count in unknown.items() if count)
    return (
        f"Beside one exponential {what} was fitted by least squares to each voxel with a T2; Akaike's criterion "
        f"and the F test (which rejects a true single exponential in {100 * _LEVEL:g} %) both prefer it in "
        f"{rejected} of {counts.total() - counts[ModelVerdict.NO_T2]} voxels{others}."
    )


@one_blas_thread()
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
    if options.train is not None:
        raise InputError("richer models are fitted to separate echoes, and these are fitted as the echoes of a train")
    if options.estimator == "rician" or options.offset != "none":
        raise InputError(
            f"richer models are fitted by least squares to separate echoes without an offset, not with estimator "
            f"{options.estimator!r}, offset {options.offset!r}: fit with estimator 'complex' first, or "
            "'gaussian' where only magnitudes far above the noise are left"
        )
    if not (fit.noise_std > 0).all():
        raise InputError("the noise of this fit is unknown: give noise_std to the fit")
    signal, starts = fit.signal[:, fit.ok], np.stack([np.log(fit.amplitude[fit.ok]), -np.log(fit.t2[fit.ok])])
    problem = _problem(model, fit)
    step = max(1, options.chunk_voxels * 8 // max(8, n_echoes))
    columns = [
        _columns(problem, signal[:, here] / fit.noise_std[:, None], starts[:, here])
        for here in (slice(first, first + step) for first in range(0, max(1, signal.shape[1]), step))
    ]
    return _maps(fit, model, np.concatenate(columns, axis=1))


@dataclass(frozen=True)
class _Problem:
    """The curve of a model, between which bounds it is looked for, and from where."""

    model: RicherModel
    curve: Model
    bounds: tuple[RealArray, RealArray]
    spreads: tuple[tuple[float, ...], ...]


def _problem(model: RicherModel, fit: T2Fit) -> _Problem:
    times = fit.echo_times
    rates = [np.log(0.02 / times[-1]), np.log(20 / times[times > 0][0])]
    if model == "stretched":
        low, high = np.array([[-np.inf, np.inf], rates, [0.1, 3.0]]).T
        return _Problem(model, _Stretched(times, fit.noise_std), (low, high), tuple((beta,) for beta in _STRETCHES))
    shares = [0.02, 0.98] if model == "bi" else [_FAST_SHARE, _FAST_SHARE]
    low, high = np.array([[-np.inf, np.inf], rates, rates, shares]).T
    return _Problem(model, _Biexponential(times, fit.noise_std), (low, high), _SPREADS)


def _starts(problem: _Problem, single: RealArray) -> list[RealArray]:
    log_amplitude, log_rate = single
    if problem.model == "stretched":
        return [np.stack([log_amplitude, log_rate, np.full_like(log_rate, beta)]) for (beta,) in problem.spreads]
    everywhere = np.full_like(log_rate, _FAST_SHARE)
    return [
        np.stack([log_amplitude, log_rate + np.log(fast), log_rate + np.log(slow), everywhere])
        for fast, slow in problem.spreads
    ]


def _columns(problem: _Problem, observed: RealArray, single: RealArray) -> RealArray:
    """Rows in the order of `_ROWS`, shape ``(row, voxel)``."""
    best = _best_of_starts(problem, observed, _starts(problem, single))
    found, std = best.parameters, _errors(problem, best.parameters)
    low, high = (bound[:, None] for bound in problem.bounds)
    free = (high > low)[:, 0]
    edge = ((found <= low) | (found >= high))[free].any(axis=0)
    nothing = np.full(found.shape[1], np.nan)
    if problem.model == "stretched":
        values = np.exp(found[0]), np.exp(-found[1]), nothing, nothing, found[2]
        errors = values[1] * std[1], nothing, nothing, std[2]
    else:
        swap = (found[1] < found[2]) & (problem.model == "bi")
        (fast, slow), (fast_std, slow_std) = (np.where(swap, row[[2, 1]], row[[1, 2]]) for row in (found, std))
        share = np.where(swap, 1 - found[3], found[3])
        values = np.exp(found[0]), np.exp(-slow), np.exp(-fast), share, nothing
        errors = values[1] * slow_std, values[2] * fast_std, std[3], nothing
    vague = edge | ~(errors[0] < values[1])
    if problem.model != "stretched":
        vague |= ~(errors[1] < values[2])
    rows = np.stack([*values, best.chi2, *errors])
    return np.concatenate([np.where(best.converged, rows, np.nan), [vague]])


def _errors(problem: _Problem, found: RealArray) -> RealArray:
    """Cramér-Rao standard deviation of each parameter, shape ``(parameter, voxel)``; zero for what is fixed."""
    free = problem.bounds[0] < problem.bounds[1]
    _, jacobian = problem.curve(found)
    slopes = jacobian[free].transpose(2, 0, 1)
    length = np.maximum(np.linalg.norm(slopes, axis=2), np.finfo(float).tiny)
    slopes = slopes / length[..., None]
    correlation = slopes @ slopes.transpose(0, 2, 1) + _SINGULAR * np.eye(int(free.sum()))
    variances = np.einsum("vpp->vp", np.linalg.inv(correlation))
    std = np.zeros_like(found)
    std[free] = (np.sqrt(np.maximum(variances, 0)) / length).T
    return std


def _best_of_starts(problem: _Problem, observed: RealArray, starts: list[RealArray]) -> Optimum:
    ends = [minimise(problem.curve, observed, start, problem.bounds) for start in starts]
    best = ends[0]
    for end in ends[1:]:
        gain = best.chi2 - end.chi2
        lower = np.where(end.converged == best.converged, gain > 0, gain > np.where(end.converged, -_EQUAL, _EQUAL))
        best = Optimum(
            np.where(lower, end.parameters, best.parameters),
            np.where(lower, end.chi2, best.chi2),
            np.where(lower, end.converged, best.converged),
        )
    if not best.converged.all():  # along a flat valley: only these go on
        left = ~best.converged
        end = minimise(problem.curve, observed[:, left], best.parameters[:, left], problem.bounds, _PATIENCE)
        best.parameters[:, left], best.chi2[left], best.converged[left] = end.parameters, end.chi2, end.converged
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


_ROWS = (
    *("amplitude", "t2", "t2_fast", "fast_share", "stretch", "chi2"),
    *("t2_std", "t2_fast_std", "fast_share_std", "stretch_std"),
)


def _maps(fit: T2Fit, model: RicherModel, columns: RealArray) -> RicherFit:
    n_echoes, n_parameters = len(fit.echo_times), _N_PARAMETERS[model]
    *rows, vague = columns
    found = dict(zip(_ROWS, rows, strict=True))
    gain = fit.chi2[fit.ok] - found["chi2"]
    found["aic"] = 2 * (n_parameters - 2) - gain
    found["aicc"] = found["aic"] + _correction(n_echoes, n_parameters)
    found["f_probability"] = _f_probability(gain, found["chi2"], n_parameters - 2, n_echoes - n_parameters)
    maps = {}
    for name, row in found.items():
        maps[name] = np.full(fit.t2.shape, np.nan)
        maps[name][fit.ok] = row
    verdict = np.full(fit.t2.shape, ModelVerdict.NO_T2, dtype=np.int8)
    verdict[fit.ok] = _verdict(found["aic"], found["f_probability"], vague > 0)
    return RicherFit(model=model, verdict=verdict, **maps)


def _verdict(aic: RealArray, probability: RealArray, vague: BoolArray) -> NDArray[np.int8]:
    verdict = np.full(aic.shape, ModelVerdict.UNDECIDED, dtype=np.int8)
    by_aic, by_test = aic < 0, probability < _LEVEL
    verdict[by_aic & by_test] = ModelVerdict.PREFERRED
    verdict[by_aic & by_test & vague] = ModelVerdict.UNDETERMINED
    verdict[~by_aic & (probability >= _LEVEL)] = ModelVerdict.ONE_EXPONENTIAL
    verdict[np.isnan(aic)] = ModelVerdict.NOT_CONVERGED
    return verdict


def _correction(n_echoes: int, n_parameters: int) -> float:
    """By how much more a model is corrected than one exponential of two parameters."""
    richer, single = ((n_echoes - count - 1, 2 * count * (count + 1)) for count in (n_parameters, 2))
    return richer[1] / richer[0] - single[1] / single[0] if richer[0] > 0 else np.inf


def _f_probability(gain: RealArray, chi2: RealArray, more: int, left: int) -> RealArray:
    if left < 1:
        return np.full_like(gain, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(gain, 0) / more / (chi2 / left)
    return np.asarray(fdtrc(more, left, ratio))
