"""T2 of every voxel of a series of images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from scipy.stats import chi2 as chi_squared

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import _least_squares, _likelihood
from knightshift.reconstruction.relaxometry._least_squares import Problem, Solution
from knightshift.reconstruction.relaxometry.noise import RAYLEIGH_MEAN, estimate_noise
from knightshift.reconstruction.relaxometry.options import Estimator, Model, Offset, T2Options
from knightshift.reconstruction.relaxometry.phase import remove_phase
from knightshift.reconstruction.relaxometry.result import T2Fit, T2Status
from knightshift.reconstruction.relaxometry.train import TRAIN_CAUTION, train_of

_LOGGER = logging.getLogger(__name__)
_SHORTEST, _LONGEST = 0.1, 50.0  # default range of T2, in units of the first and the last echo time

_NoiseSource: TypeAlias = Literal["given", "background", "residuals"]
_Solver: TypeAlias = Callable[[RealArray, Problem], Solution]


def fit_t2(
    signal: RealArray | ComplexArray,
    echo_times: RealArray,
    *,
    model: Model = "mono",
    estimator: Estimator | None = None,
    offset: Offset = "none",
    noise_std: ArrayLike | None = None,
    mask: BoolArray | None = None,
) -> T2Fit:
    """Fit ``S(TE) = S0 exp(-TE / T2)`` to every voxel.

    Parameters
    ----------
    signal
        Complex images, magnitudes, or signed real images; shape ``(echo, *image)``, arbitrary but common units.
    echo_times
        Echo times [s], shape ``(echo,)``, strictly increasing.
    model
        ``mono``: one exponential.
    estimator
        ``complex`` (default for complex input): real part after a phase smooth in space is removed; ``rician``: maximum
        likelihood on magnitudes; ``gaussian`` (default for real input): least squares on magnitudes.
    offset
        ``none``; ``noise``: constant fixed at ``noise_std * sqrt(pi / 2)``; ``noise-quadrature``; ``free``.
    noise_std
        Noise of the real part of the images: one number, or shape ``(echo,)``. By default it is measured in the
        background; data without a background get it from the residuals of the fit where T2 does not depend on it.
    mask
        Voxels to fit, shape ``image``; by default all.

    Returns
    -------
    T2Fit
        Maps of shape ``image``; NaN where ``status`` is not OK.

    Raises
    ------
    ShapeError
        If the shapes of `signal`, `echo_times`, `noise_std` and `mask` do not fit together.
    InputError
        If the echo times do not increase, the choices contradict each other, or the noise is needed and unknown.

    See Also
    --------
    fit_t2_maps : the same with every option.
    """
    if estimator is None:
        estimator = "complex" if np.iscomplexobj(signal) else "gaussian"
    try:
        options = T2Options(model=model, estimator=estimator, offset=offset)
    except ValidationError as error:
        raise InputError("; ".join(str(problem["msg"]) for problem in error.errors())) from None
    return fit_t2_maps(signal, echo_times, options, noise_std=noise_std, mask=mask)


def fit_series(series: ImageSeries, options: T2Options | None = None, *, false_voxels: float = 0.01) -> T2Fit:
    """Fit T2 to an image series where there is signal.

    Parameters
    ----------
    series
        Complex images with their noise.
    options
        How to fit; by default the complex estimator, and the model of the echo train where the images are of one in a
        metal.
    false_voxels
        How many voxels of pure noise may be taken for signal in the whole map, on average.

    Returns
    -------
    T2Fit
        Maps of shape ``(slice, phase_encode, readout)``; voxels without signal are MASKED.
    """
    options = options or T2Options(train=train_of(series))
    if series.train is not None and options.train is None:
        _LOGGER.warning("%s", TRAIN_CAUTION)
    mask = signal_mask(series.images, series.noise_std, false_voxels)
    return fit_t2_maps(series.images, series.echo_times, options, noise_std=series.noise_std, mask=mask)


def with_train(options: T2Options, series: ImageSeries) -> T2Options:
    """Options that fit an echo train by the model of it, where there is one and the estimator can; else as they are."""
    if options.train is not None or options.estimator == "rician" or options.offset != "none":
        return options
    return options.model_copy(update={"train": train_of(series)})


def signal_mask(images: RealArray | ComplexArray, noise_std: RealArray, false_voxels: float = 0.01) -> BoolArray:
    """Voxels whose energy over all echoes noise alone would hardly ever have.

    Parameters
    ----------
    images
        Complex or magnitude images, shape ``(echo, *image)``.
    noise_std
        Noise of the real part, shape ``(echo,)``.
    false_voxels
        Voxels of pure noise that pass, per map, on average.

    Returns
    -------
    BoolArray
        Shape ``image``.
    """
    level = min(1.0, false_voxels / max(1, images[0].size))
    threshold = chi_squared.isf(level, 2 * len(images))
    energy = np.tensordot(1 / np.asarray(noise_std, dtype=float) ** 2, np.abs(images) ** 2, axes=1)
    return np.asarray(energy > threshold)


def fit_t2_maps(
    signal: RealArray | ComplexArray,
    echo_times: RealArray,
    options: T2Options,
    *,
    noise_std: ArrayLike | None = None,
    mask: BoolArray | None = None,
) -> T2Fit:
    """Fit T2 with every option at hand; parameters, result and errors as in `fit_t2`."""
    echo_times = np.asarray(echo_times, dtype=float)
    _check(signal, echo_times, options, mask)
    noise, source = _noise(signal, noise_std, options)
    real = _real_signal(signal, noise, options)
    status = _status_before(signal, mask)
    problem = _problem(echo_times, noise, options)
    chosen = status == T2Status.OK
    solution = _in_chunks(real, chosen, problem, options)
    if source == "residuals":
        problem, solution = _with_residual_noise(problem, solution)
    maps = _maps(solution, chosen)
    detected = _is_detected(solution, len(real), options, is_magnitude=not (real < 0).any())
    status[chosen] = _status_after(solution, detected, options)
    _warn(status, options)
    bad = status != T2Status.OK
    for values in maps:
        values[bad] = np.nan
    t2, t2_std, amplitude, offset, chi2 = maps
    return T2Fit(t2, t2_std, amplitude, offset, chi2, status, real, echo_times, problem.noise_std, source, options)


def _check(signal: RealArray | ComplexArray, echo_times: RealArray, options: T2Options, mask: BoolArray | None) -> None:
    if signal.ndim < 1 or echo_times.ndim != 1 or len(signal) != len(echo_times):
        raise ShapeError(
            f"signal of shape {signal.shape} does not have the {echo_times.size} echoes of echo_times along its first "
            "axis: give signal as (echo, *image)"
        )
    if mask is not None and mask.shape != signal.shape[1:]:
        raise ShapeError(f"mask of shape {mask.shape} does not match images of shape {signal.shape[1:]}")
    parameters = 3 if options.offset == "free" else 2
    if len(echo_times) < parameters:
        raise InputError(f"{len(echo_times)} echoes cannot determine {parameters} parameters: acquire more echo times")
    if not np.isfinite(echo_times).all() or echo_times[0] < 0 or (np.diff(echo_times) <= 0).any():
        raise InputError(f"echo times must increase from zero or more, in seconds: got {echo_times.tolist()}")
    if options.train is not None and not _same_times(options.train.echo_times, echo_times):
        raise ShapeError(
            f"echo times {echo_times.tolist()} s are not those of the train, {options.train.echo_times.tolist()} s: "
            "correct echo_spacing or n_echoes"
        )
    if options.estimator == "complex" and not np.iscomplexobj(signal):
        raise InputError("estimator 'complex' needs complex images, got real ones: use 'rician' or 'gaussian'")


def _same_times(expected: RealArray, given: RealArray) -> bool:
    return expected.shape == given.shape and bool(np.allclose(expected, given, rtol=1e-6, atol=0))


def _noise(
    signal: RealArray | ComplexArray, noise_std: ArrayLike | None, options: T2Options
) -> tuple[RealArray, _NoiseSource]:
    """Noise of each echo and where it comes from; ones where the residuals will tell."""
    n_echoes = len(signal)
    if noise_std is not None:
        noise = np.asarray(noise_std, dtype=float)
        if noise.shape not in {(), (n_echoes,)}:
            raise ShapeError(
                f"noise_std of shape {noise.shape} is neither one number nor one for each of {n_echoes} echoes"
            )
        if not (np.isfinite(noise).all() and (noise > 0).all()):
            raise InputError(
                f"noise_std must be positive and finite, got {noise.tolist()}: where one pass without a background "
                "left it unknown, acquire a second pass or give the noise"
            )
        return np.broadcast_to(noise, (n_echoes,)).copy(), "given"
    try:
        return estimate_noise(signal), "background"
    except InputError as error:
        if options.needs_noise:
            raise InputError(f"estimator {options.estimator!r} with offset {options.offset!r}: {error}") from None
        return np.ones(n_echoes), "residuals"


def _real_signal(signal: RealArray | ComplexArray, noise: RealArray, options: T2Options) -> RealArray:
    """Return the real numbers that are fitted."""
    if options.estimator == "complex":
        return remove_phase(np.asarray(signal, dtype=complex), noise, options.phase_window)
    if np.iscomplexobj(signal) or (options.needs_noise and (signal < 0).any()):
        return np.asarray(np.abs(signal), dtype=float)
    return np.asarray(signal, dtype=float)


def _status_before(signal: RealArray | ComplexArray, mask: BoolArray | None) -> NDArray[np.int8]:
    status = np.full(signal.shape[1:], T2Status.OK, dtype=np.int8)
    status[~np.isfinite(signal).all(axis=0)] = T2Status.INVALID_INPUT
    if mask is not None:
        status[~np.asarray(mask, dtype=bool)] = T2Status.MASKED
    return status


def _problem(echo_times: RealArray, noise: RealArray, options: T2Options) -> Problem:
    first = echo_times[echo_times > 0][0]
    shortest, longest = options.t2_range or (_SHORTEST * first, _LONGEST * echo_times[-1])
    bounds = (-float(np.log(longest)), -float(np.log(shortest)))
    return Problem(echo_times, noise, bounds, options.offset == "free", options.max_iterations)


def _solver(problem: Problem, options: T2Options) -> _Solver:
    if options.train is not None:
        return partial(_least_squares.solve, curves=_least_squares.Tabulated(problem, options.train.decays))
    if options.estimator == "rician":
        return partial(_likelihood.solve, law=_likelihood.RicianLaw())
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
    solution = _likelihood.solve(signal, problem, _likelihood.QuadratureLaw())
    solution.offset = np.full_like(solution.amplitude, np.sqrt(2) * problem.noise_std.mean())
    return solution


def _in_chunks(signal: RealArray, chosen: BoolArray, problem: Problem, options: T2Options) -> Solution:
    """Fit the chosen voxels, some thousand at a time, so that they stay in the cache and memory is bounded."""
    solve = _solver(problem, options)
    columns, voxels = signal.reshape(len(signal), -1), np.flatnonzero(chosen)
    whole = Solution.empty(voxels.size)

    def fit_part(start: int) -> None:
        part = slice(start, start + options.chunk_voxels)
        for values, solved in zip(
            vars(whole).values(), vars(solve(columns[:, voxels[part]], problem)).values(), strict=True
        ):
            values[part] = solved

    with ThreadPoolExecutor(options.threads) as pool:
        list(pool.map(fit_part, range(0, voxels.size, options.chunk_voxels)))
    return whole


def _with_residual_noise(problem: Problem, solution: Solution) -> tuple[Problem, Solution]:
    """Set the noise such that the median voxel has the residuals expected of it."""
    freedom = len(problem.echo_times) - (3 if problem.free_offset else 2)
    good = solution.converged & (solution.side == 0) & (solution.amplitude > 0)
    if freedom == 0 or not good.any():
        sigma = np.nan
    else:
        sigma = float(np.sqrt(np.median(solution.chi2[good]) / chi_squared.median(freedom)))
    solution.log_rate_std = solution.log_rate_std * sigma
    with np.errstate(divide="ignore", invalid="ignore"):
        solution.chi2 = solution.chi2 / sigma**2
        solution.explained = solution.explained / sigma**2
    noise = np.full_like(problem.noise_std, sigma)
    return Problem(problem.echo_times, noise, problem.log_rates, problem.free_offset, problem.max_iterations), solution


def _is_detected(solution: Solution, n_echoes: int, options: T2Options, *, is_magnitude: bool) -> BoolArray:
    """Whether the decay explains more of a voxel than of pure noise at the chosen level; shape ``(voxel,)``.

    For noise, what the best decay explains stays below chi-squared of two degrees of freedom (amplitude and rate).
    Without an offset, magnitudes of noise look like a long decay: there the energy itself has to exceed that of noise.
    """
    if options.detection_level == 0 or np.isnan(solution.chi2).all():
        return np.ones(solution.log_rate.size, dtype=bool)
    detected = solution.explained > chi_squared.isf(options.detection_level, 2)
    if options.estimator == "gaussian" and options.offset == "none" and is_magnitude:
        energy = solution.chi2 + solution.explained
        detected &= energy > chi_squared.isf(options.detection_level, 2 * n_echoes)
    return np.asarray(detected)


def _status_after(solution: Solution, detected: BoolArray, options: T2Options) -> NDArray[np.int8]:
    status = np.full(solution.log_rate.size, T2Status.OK, dtype=np.int8)
    if options.offset == "free":
        status[~(solution.log_rate_std < 1)] = T2Status.OFFSET_UNIDENTIFIED
    status[~solution.converged] = T2Status.NOT_CONVERGED
    status[solution.side < 0] = T2Status.TOO_LONG
    status[solution.side > 0] = T2Status.TOO_SHORT
    status[~((solution.amplitude > 0) & detected)] = T2Status.NO_SIGNAL
    return status


def _maps(solution: Solution, chosen: BoolArray) -> list[RealArray]:
    """T2, its standard deviation, amplitude, offset and chi2 as maps."""
    t2 = np.exp(-solution.log_rate)
    columns = (t2, t2 * solution.log_rate_std, solution.amplitude, solution.offset, solution.chi2)
    maps: list[RealArray] = [np.full(chosen.shape, np.nan) for _ in columns]
    for image, column in zip(maps, columns, strict=True):
        image[chosen] = column
    return maps


def _warn(status: NDArray[np.int8], options: T2Options) -> None:
    """Tell the log where a free offset cannot be told from the decay."""
    lost = int(np.count_nonzero(status == T2Status.OFFSET_UNIDENTIFIED))
    if options.offset == "free" and lost:
        fitted = int(np.count_nonzero((status != T2Status.MASKED) & (status != T2Status.INVALID_INPUT)))
        _LOGGER.warning(
            "a free offset cannot be told from the decay in %d of %d voxels: use offset 'none' with complex data, "
            "the Rician estimator, or longer echo times",
            lost,
            fitted,
        )
