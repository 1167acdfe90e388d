"""T1, T1rho, T2 and T2* of any signal against a delay: recoveries and decays by variable projection.

A recovery ``M - B exp(-t / T1)`` is a decay of amplitude ``B`` turned over, with a free constant: how well the
inversion or the saturation worked is fitted along and needs not be known. Signals without a sign (magnitudes) get
theirs back by trying every place where the recovery may cross zero; complex signals get a phase of their own for every
voxel [1]_.

References
----------
.. [1] Barral et al., Magn. Reson. Med. 64 (2010) 1057 (reduced-dimension non-linear least squares, with and without
   polarity restoration).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry._given_images import LARGEST, can_be_fitted, given_images
from knightshift.reconstruction.relaxometry._least_squares import Problem, Solution, solve
from knightshift.reconstruction.relaxometry.options import NOISE_RESEMBLANCE
from knightshift.reconstruction.relaxometry.result import T2Status

Curve: TypeAlias = Literal["recovery", "decay", "decay with offset"]
"""``recovery``: ``M - B exp(-t/T)`` (inversion or saturation); ``decay``: ``B exp(-t/T)``, or with a constant added."""

_SHORTEST, _LONGEST = 0.1, 50.0  # range of T, in units of the first and the last delay
_MAX_ITERATIONS = 80
_CHUNK = 16384


@dataclass(frozen=True)
class RelaxationFit:
    """Relaxation time of every voxel or peak; NaN where `status` is not OK."""

    time: RealArray
    """T1, T1rho, T2 or T2* [s], shape ``image``."""
    time_std: RealArray
    """Standard deviation of `time` [s], shape ``image``."""
    amplitude: RealArray
    """``B``, units of the signal, shape ``image``; positive."""
    offset: RealArray
    """``M`` of a recovery: the signal long after; the constant of a decay; zero without one. Shape ``image``."""
    chi2: RealArray
    """Squared residuals over noise variance, shape ``image``; where the noise comes from the residuals: squared
    residuals in units of the signal."""
    status: NDArray[np.int8]
    """`T2Status` of each voxel, shape ``image``."""
    signal: RealArray
    """The signed numbers that were fitted, shape ``(delay, *image)``."""
    delays: RealArray
    """Delays [s], shape ``(delay,)``."""
    curve: Curve
    """What was fitted."""
    noise_source: Literal["given", "residuals"]
    """Where the standard deviations come from."""

    @property
    def ok(self) -> BoolArray:
        """Voxels that have a relaxation time, shape ``image``."""
        return np.asarray(self.status == T2Status.OK)

    @property
    def rate(self) -> RealArray:
        """Relaxation rate [1/s], shape ``image``."""
        return np.asarray(1 / self.time)

    @property
    def rate_std(self) -> RealArray:
        """Standard deviation of `rate` [1/s], shape ``image``."""
        return np.asarray(self.time_std / self.time**2)

    def expected(self, voxel: tuple[int, ...], delays: RealArray) -> RealArray:
        """Evaluate the fitted curve of one voxel at some delays [s]; shape ``(delay,)``."""
        part = self.amplitude[voxel] * np.exp(-np.asarray(delays, dtype=float) / self.time[voxel])
        return np.asarray(self.offset[voxel] + (-part if self.curve == "recovery" else part))


def fit_relaxation(
    signal: RealArray | ComplexArray,
    delays: RealArray,
    curve: Curve,
    *,
    noise_std: ArrayLike | None = None,
    mask: BoolArray | None = None,
) -> RelaxationFit:
    """Fit a relaxation time to every voxel or peak.

    Parameters
    ----------
    signal
        Complex, signed or magnitude signal, shape ``(delay, *image)``, arbitrary but common units. Real signals without
        a negative value are taken for magnitudes.
    delays
        Delays [s], shape ``(delay,)``, in any order; the same delay may come twice.
    curve
        What the signal follows.
    noise_std
        Noise of the real part: one number, or shape ``(delay,)``. By default the residuals of each voxel tell.
    mask
        Voxels to fit, shape ``image``; by default all.

    Returns
    -------
    RelaxationFit
        Maps of shape ``image``.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    InputError
        If there are too few delays, or they or the noise are no sensible numbers.
    """
    delays, signal = np.asarray(delays, dtype=float), np.asanyarray(signal)
    _check(signal, delays, curve, mask)
    signal, mask = given_images(signal, mask)
    noise = _noise(noise_std, len(delays))
    status = np.full(signal.shape[1:], T2Status.OK, dtype=np.int8)
    status[~can_be_fitted(signal)] = T2Status.INVALID_INPUT
    if mask is not None:
        status[~np.asarray(mask, dtype=bool)] = T2Status.MASKED
    chosen = status == T2Status.OK
    order = np.argsort(delays, kind="stable")
    problem = _problem(delays[order], np.ones(len(delays)) if noise is None else noise[order], curve)
    solution, signed = _solve_chunks(signal[order][:, chosen], problem, curve)
    if noise is None:
        with np.errstate(invalid="ignore"):  # no signal at all: nothing is known of its rate
            solution.log_rate_std = solution.log_rate_std * np.sqrt(
                solution.chi2 / max(1, _freedom(len(delays), curve))
            )
        if _freedom(len(delays), curve) < 1:
            solution.log_rate_std = np.full_like(solution.log_rate, np.nan)
    status[chosen] = _status_of(solution)
    if noise is not None:
        status[chosen & _like_noise(signal, noise)] = T2Status.NO_SIGNAL
    real = np.full(signal.shape, np.nan)
    back = np.argsort(order)
    real[:, chosen] = signed[back]
    return _as_maps(solution, status, chosen, real, (delays, curve, "residuals" if noise is None else "given"))


def fit_inversion_series(series: ImageSeries, mask: BoolArray | None = None) -> RelaxationFit:
    """Fit T1 to images at several inversion times.

    Parameters
    ----------
    series
        Complex images with `inversion_times`.
    mask
        Voxels to fit, shape ``(slice, phase_encode, readout)``; by default the object, see `object_mask`.

    Raises
    ------
    InputError
        If the series has no inversion times.
    """
    if series.inversion_times is None:
        raise InputError("these images have no inversion times: T1 needs images at several of them")
    mask = object_mask(series.images) if mask is None else mask
    noise = series.noise_std if np.isfinite(series.noise_std).all() else None
    return fit_relaxation(series.images, series.inversion_times, "recovery", noise_std=noise, mask=mask)


def object_mask(images: RealArray | ComplexArray) -> BoolArray:
    """Voxels of the object: brighter than the threshold that best parts bright from dark voxels [1]_.

    Parameters
    ----------
    images
        Shape ``(delay, *image)``.

    Returns
    -------
    BoolArray
        Shape ``image``.

    References
    ----------
    .. [1] Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62.
    """
    brightness = np.sqrt(np.mean(np.abs(images) ** 2, axis=0))
    finite = brightness[np.isfinite(brightness)]
    if finite.size == 0 or finite.min() == finite.max():
        return np.asarray(np.isfinite(brightness))
    counts, edges = np.histogram(finite, bins=256)
    centres = (edges[1:] + edges[:-1]) / 2
    below, total = np.cumsum(counts), finite.size
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (sums[-1] * below / total - sums) ** 2 / (below * (total - below))
    return np.asarray(brightness > edges[1:][np.nanargmax(between[:-1])])


def _check(signal: RealArray | ComplexArray, delays: RealArray, curve: Curve, mask: BoolArray | None) -> None:
    if delays.ndim != 1 or signal.ndim < 1 or len(signal) != len(delays):
        raise ShapeError(f"signal of shape {signal.shape} does not have the {delays.size} delays along its first axis")
    if mask is not None and mask.shape != signal.shape[1:]:
        raise ShapeError(f"mask of shape {mask.shape} does not match images of shape {signal.shape[1:]}")
    if not np.isfinite(delays).all() or (delays < 0).any():
        raise InputError(f"delays must be zero or more, in seconds: got {delays.tolist()}")
    needed = len(delays) - _freedom(len(delays), curve)
    if np.unique(delays).size < needed:
        raise InputError(f"{np.unique(delays).size} different delays cannot determine {needed} parameters")


def _freedom(n_delays: int, curve: Curve) -> int:
    return n_delays - (2 if curve == "decay" else 3)


def _noise(noise_std: ArrayLike | None, n_delays: int) -> RealArray | None:
    if noise_std is None:
        return None
    noise = np.asarray(noise_std, dtype=float)
    if noise.shape not in {(), (n_delays,)}:
        raise ShapeError(
            f"noise_std of shape {noise.shape} is neither one number nor one for each of {n_delays} delays"
        )
    if not (np.isfinite(noise).all() and (noise > 0).all()):
        raise InputError(f"noise_std must be positive and finite, got {noise.tolist()}")
    return np.broadcast_to(noise, (n_delays,)).copy()


def _problem(delays: RealArray, noise: RealArray, curve: Curve) -> Problem:
    positive = delays[delays > 0]
    bounds = -float(np.log(_LONGEST * positive[-1])), -float(np.log(_SHORTEST * positive[0]))
    return Problem(delays, noise, bounds, curve != "decay", _MAX_ITERATIONS)


def _solve_chunks(columns: RealArray | ComplexArray, problem: Problem, curve: Curve) -> tuple[Solution, RealArray]:
    """Fit columns ``(delay, voxel)`` some thousand at a time; the solution, and the signed signal that it fits."""
    solutions, signals = [], []
    for start in range(0, max(1, columns.shape[1]), _CHUNK):
        solution, signed = _solve_best(columns[:, start : start + _CHUNK], problem, curve)
        solutions.append(solution)
        signals.append(signed)
    joined = {
        one.name: np.concatenate([getattr(solution, one.name) for solution in solutions]) for one in fields(Solution)
    }
    return Solution(**joined), np.concatenate(signals, axis=1)


def _solve_best(columns: RealArray | ComplexArray, problem: Problem, curve: Curve) -> tuple[Solution, RealArray]:
    """Try every way of giving the signal its signs and keep, for each voxel, the one that fits best."""
    best: Solution | None = None
    kept = np.empty(columns.shape)
    for signed in _candidates(columns, curve):
        # solve() looks for a positive decay: a recovery is one turned over
        solution = solve(-signed if curve == "recovery" else signed, problem)
        if best is None:
            best, kept = solution, np.array(signed, dtype=float)
            continue
        better = _loss(solution) < _loss(best)
        for one in fields(Solution):
            getattr(best, one.name)[better] = getattr(solution, one.name)[better]
        kept[:, better] = signed[:, better]
    assert best is not None
    if curve == "recovery":
        best.offset = -best.offset
    return best, kept


def _loss(solution: Solution) -> RealArray:
    """Squared residuals; infinite where no decay of positive amplitude fits."""
    return np.where(solution.amplitude > 0, solution.chi2, np.inf)


def _candidates(columns: RealArray | ComplexArray, curve: Curve) -> Iterator[RealArray]:
    """Signed signals that the data may stand for, in order of rising delay; shape ``(delay, voxel)`` each."""
    if np.iscomplexobj(columns):
        # the phase that puts most of the energy into the real part; its sign is open
        phase = np.angle(np.sum(columns.astype(complex) ** 2, axis=0)) / 2
        real = np.real(columns * np.exp(-1j * phase))
        yield real
        yield -real
    elif curve == "recovery" and not (columns < 0).any():
        for crossing in range(len(columns) + 1):
            yield np.concatenate([-columns[:crossing], columns[crossing:]]).astype(float)
    else:
        yield columns.astype(float)


def _like_noise(signal: RealArray | ComplexArray, noise: RealArray) -> BoolArray:
    """Voxels whose energy noise alone would reach more often than `NOISE_RESEMBLANCE`, shape ``image``."""
    size = np.abs(signal).astype(float)
    parts = 1 if np.isrealobj(signal) and (signal < 0).any() else 2  # magnitudes hold the noise of both
    energy = np.tensordot(1 / noise**2, np.where(size < LARGEST, size, 0.0) ** 2, axes=1)
    return np.asarray(energy <= chdtri(parts * len(noise), NOISE_RESEMBLANCE))


def _status_of(solution: Solution) -> NDArray[np.int8]:
    status = np.full(solution.log_rate.size, T2Status.OK, dtype=np.int8)
    status[solution.log_rate_std >= 1] = T2Status.OFFSET_UNIDENTIFIED
    status[~solution.converged] = T2Status.NOT_CONVERGED
    status[solution.side < 0] = T2Status.TOO_LONG
    status[solution.side > 0] = T2Status.TOO_SHORT
    status[~(solution.amplitude > 0)] = T2Status.NO_SIGNAL
    return status


def _as_maps(
    solution: Solution,
    status: NDArray[np.int8],
    chosen: BoolArray,
    signal: RealArray,
    how: tuple[RealArray, Curve, Literal["given", "residuals"]],
) -> RelaxationFit:
    time = np.exp(-solution.log_rate)
    columns = (time, time * solution.log_rate_std, solution.amplitude, solution.offset, solution.chi2)
    maps: list[RealArray] = [np.full(chosen.shape, np.nan) for _ in columns]
    for image, column in zip(maps, columns, strict=True):
        image[chosen] = column
        image[status != T2Status.OK] = np.nan
    values, std, amplitude, offset, chi2 = maps
    return RelaxationFit(values, std, amplitude, offset, chi2, status, signal, *how)
