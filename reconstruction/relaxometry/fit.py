"""T2 of every voxel of a series of images."""

from __future__ import annotations

import logging
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from scipy.special import chdtri

from knightshift.core.arrays import BoolArray, ComplexArray, RealArray
from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry._given_images import LARGEST, can_be_fitted, given_images
from knightshift.reconstruction.relaxometry._least_squares import Problem
from knightshift.reconstruction.relaxometry._threads import for_each, one_blas_thread
from knightshift.reconstruction.relaxometry._train_voxels import fit_image, leave_out_unknown_trains
from knightshift.reconstruction.relaxometry._voxelwise import (
    MAPS,
    Judgement,
    judge_by_residuals,
    magnitudes_only,
    path_of,
)
from knightshift.reconstruction.relaxometry.noise import estimate_noise
from knightshift.reconstruction.relaxometry.options import Estimator, Model, Offset, T2Options
from knightshift.reconstruction.relaxometry.phase import remove_phase
from knightshift.reconstruction.relaxometry.phase_evolution import refuse_phase_evolution
from knightshift.reconstruction.relaxometry.result import T2Fit, T2Status
from knightshift.reconstruction.relaxometry.train import TRAIN_CAUTION, train_of
from knightshift.reconstruction.relaxometry.voxel_trains import VoxelTrains

_LOGGER = logging.getLogger(__name__)
_SHORTEST, _LONGEST = 0.1, 50.0  # default range of T2, in units of the first gap or echo time, and of the last

_LATE_FIRST_ECHO, _LATE_LAST_ECHO, _EARLY_LAST_ECHO = 1.0, 10.0, 10e-6  # [s]

_NoiseSource: TypeAlias = Literal["given", "background", "residuals"]


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
        Maps of shape ``image``; NaN where ``status`` is neither ``OK`` nor ``ONE_SIDED`` (`T2Fit.ok` is False).

    Raises
    ------
    ShapeError
        If the shapes of `signal`, `echo_times`, `noise_std` and `mask` do not fit together.
    InputError
        If the echo times do not increase, the choices contradict each other, the noise is needed and unknown, or the
        phase of complex images changes from echo to echo (gradient echoes), which the real part cannot bear.

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
    fit = fit_t2_maps(signal, echo_times, options, noise_std=noise_std, mask=mask)
    _warn_of_times(fit.echo_times)
    return fit


def fit_series(
    series: ImageSeries,
    options: T2Options | None = None,
    *,
    false_voxels: float = 0.01,
    turns: ComplexArray | None = None,
    mask: BoolArray | None = None,
    trains: VoxelTrains | None = None,
) -> T2Fit:
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
    turns
        Turn of each echo as a whole (`turns_of_slabs`), where these are some slices of a larger volume.
    mask
        Voxels of interest, shape ``(slice, phase_encode, readout)``; by default all. The phase and the noise are those
        of the whole images.
    trains
        B1 and T1 of the echo train of each voxel, where they differ; voxels in which they are not known are not fitted.

    Returns
    -------
    T2Fit
        Maps of shape ``(slice, phase_encode, readout)``; voxels without signal are MASKED. Where the noise of the
        series is not known, every voxel that is not zero is fitted, and the residuals tell the noise.

    Raises
    ------
    InputError
        As `fit_t2` says, if the inversion time steps and not the echo time, or if the complex estimator is asked for
        images of which only magnitudes are left.
    """
    if series.inversion_times is not None:
        raise InputError("these images step the inversion time: `knightshift fit` maps their T1 (fit_inversion_series)")
    options = options or T2Options(train=train_of(series))
    if series.train is not None and options.train is None:
        _LOGGER.warning("%s", TRAIN_CAUTION)
    if series.refocused is False:
        _LOGGER.warning("the echoes are gradient echoes: what is fitted is T2*, which is shorter than T2")
    if options.estimator == "complex" and series.are_magnitudes:
        raise InputError(
            "these images are magnitudes, without a phase, and estimator 'complex' needs one: use 'rician' "
            "(--estimator rician), or 'gaussian' where the signal is far above the noise"
        )
    noise = series.noise_std if np.isfinite(series.noise_std).all() and (series.noise_std > 0).all() else None
    if noise is None:
        chosen = np.asarray(np.any(series.images != 0, axis=0))
    else:
        chosen = signal_mask(series.images, noise, false_voxels)
    if mask is not None:
        if mask.shape != chosen.shape:
            raise ShapeError(f"mask of shape {mask.shape} does not match images of shape {chosen.shape}")
        chosen &= mask
    fit = fit_t2_maps(
        series.images, series.echo_times, options, noise_std=noise, mask=chosen, turns=turns, trains=trains
    )
    _warn_of_times(fit.echo_times)
    return fit


def with_train(options: T2Options, series: ImageSeries) -> T2Options:
    """Options that fit an echo train by the model of it, where there is one and no offset; else as they are."""
    if options.train is not None or options.offset != "none":
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
    threshold = chdtri(2 * len(images), level)
    energy = np.tensordot(1 / np.asarray(noise_std, dtype=float) ** 2, np.abs(images) ** 2, axes=1)
    return np.asarray(energy > threshold)


@one_blas_thread()
def fit_t2_maps(
    signal: RealArray | ComplexArray,
    echo_times: RealArray,
    options: T2Options,
    *,
    noise_std: ArrayLike | None = None,
    mask: BoolArray | None = None,
    turns: ComplexArray | None = None,
    trains: VoxelTrains | None = None,
) -> T2Fit:
    """Fit T2 with every option at hand; parameters, result and errors as in `fit_t2` and `fit_series`."""
    echo_times, signal = np.asarray(echo_times, dtype=float), np.asanyarray(signal)
    _check(signal, echo_times, options, mask)
    signal, mask = given_images(signal, mask)
    noise, source = _noise(signal, noise_std, options)
    status = _status_before(signal, mask, options.threads, trains).ravel()
    if options.estimator == "complex" and source != "residuals":
        refuse_phase_evolution(signal, noise, (status == T2Status.OK).reshape(signal.shape[1:]))
    real = _real_signal(signal, noise, options, turns)
    problem = _problem(echo_times, noise, options)
    positive = options.estimator == "gaussian" and magnitudes_only(real.reshape(len(real), -1), status == T2Status.OK)
    judgement = Judgement.of(options, len(real), is_magnitude=positive) if source != "residuals" else None
    maps, trains = fit_image(real, status, problem, options, judgement, trains)
    if judgement is None:
        maps, problem = judge_by_residuals(maps, status, problem, options, is_magnitude=positive)
        if options.estimator == "complex" and np.isfinite(problem.noise_std).all():
            refuse_phase_evolution(signal, problem.noise_std, (status == T2Status.OK).reshape(signal.shape[1:]))
    _warn_of_offset(status, options)
    shape = real.shape[1:]
    return T2Fit(
        **{name: row.reshape(shape) for name, row in zip(MAPS, maps, strict=True)},
        status=status.reshape(shape),
        signal=real,
        echo_times=echo_times,
        noise_std=problem.noise_std,
        noise_source=source,
        options=options,
        engine=path_of(options, status.size),
        trains=trains,
    )


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
        known = f"got {echo_times.tolist()}" if echo_times.any() else "they are not known: give them, e.g. by --delays"
        raise InputError(f"echo times must increase from zero or more, in seconds: {known}")
    if options.train is not None and not _same_times(options.train.echo_times, echo_times):
        raise ShapeError(
            f"echo times {echo_times.tolist()} s are not those of the train, {options.train.echo_times.tolist()} s: "
            "correct echo_spacing or n_echoes"
        )
    if options.fit_b1 and (options.train is None or len(echo_times) < 4):
        raise InputError(
            f"{len(echo_times)} echoes {'of no train ' if options.train is None else ''}cannot determine amplitude, T2 "
            "and B1: that needs an echo train of four or more"
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
                f"noise_std must be positive and finite, got {noise.tolist()}: leave it out where it is not known"
            )
        if noise.min() < 1 / LARGEST or noise.max() > LARGEST:
            raise InputError(f"noise_std {noise.tolist()} cannot be squared: state signals and noise in another unit")
        return np.broadcast_to(noise, (n_echoes,)).copy(), "given"
    try:
        return estimate_noise(signal), "background"
    except InputError as error:
        if options.needs_noise:
            raise InputError(
                f"estimator {options.estimator!r} with offset {options.offset!r} needs the noise, and {error}; "
                "estimator 'gaussian' without an offset does not need it"
            ) from None
        return np.ones(n_echoes), "residuals"


def _real_signal(
    signal: RealArray | ComplexArray, noise: RealArray, options: T2Options, turns: ComplexArray | None
) -> RealArray:
    """Return the real numbers that are fitted."""
    if options.estimator == "complex":
        precision = np.complex64 if signal.dtype == np.complex64 else np.complex128
        return remove_phase(np.asarray(signal, dtype=precision), noise, options.phase_window, options.threads, turns)
    if np.iscomplexobj(signal) or (options.needs_noise and not signal.min(initial=0.0) >= 0):
        signal = np.abs(signal)
    return np.asarray(signal, dtype=np.float32 if signal.dtype == np.float32 else np.float64)


def _status_before(
    signal: RealArray | ComplexArray, mask: BoolArray | None, threads: int, trains: VoxelTrains | None
) -> NDArray[np.int8]:
    status = np.full(signal.shape[1:], T2Status.OK, dtype=np.int8)
    if not np.isfinite(for_each(list(signal), threads, lambda image: np.vdot(image, image))).all():
        status[~can_be_fitted(signal)] = T2Status.INVALID_INPUT
    if mask is not None:
        status[~np.asarray(mask, dtype=bool)] = T2Status.MASKED
    if trains is not None:
        leave_out_unknown_trains(status, trains)
    return status


def _problem(echo_times: RealArray, noise: RealArray, options: T2Options) -> Problem:
    first = max(echo_times[echo_times > 0][0], echo_times[1] - echo_times[0])  # one echo alone tells no T2
    shortest, longest = options.t2_range or (_SHORTEST * first, _LONGEST * echo_times[-1])
    bounds = (-float(np.log(longest)), -float(np.log(shortest)))
    return Problem(echo_times, noise, bounds, options.offset == "free", options.max_iterations)


def _warn_of_times(echo_times: RealArray) -> None:
    """Tell the log where echo times seem to be in another unit than seconds."""
    first, last = echo_times[echo_times > 0][0], echo_times[-1]
    if first >= _LATE_FIRST_ECHO or last >= _LATE_LAST_ECHO:
        remedy = "if that was meant in ms, divide the echo times by 1000"
    elif last <= _EARLY_LAST_ECHO:
        remedy = "if that was meant in ms or us, multiply the echo times by 1000"
    else:
        return
    _LOGGER.warning("echoes run from %g s to %g s: %s (in a description: check their unit)", first, last, remedy)


def _warn_of_offset(status: NDArray[np.int8], options: T2Options) -> None:
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
