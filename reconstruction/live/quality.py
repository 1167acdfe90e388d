"""How good a region of an image is: the numbers that a stop rule compares with its goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import T2Options, cramer_rao_t2, fit_t2_maps, train_of
from knightshift.reconstruction.relaxometry.phase import remove_phase


@dataclass(frozen=True)
class RegionQuality:
    """One number and how far it can be trusted."""

    value: float
    """SNR, or standard deviation of T2 [s]; infinite where there is no T2 yet."""
    std: float
    """Standard deviation of `value` from the noise of these images; NaN where it is not known."""
    n_voxels: int
    """Voxels of the region."""


def snr_of_region(series: ImageSeries, echo: int, region: BoolArray) -> RegionQuality:
    """Tell the signal of a typical voxel of a region over the noise of the real part.

    The signal is the root of the mean power less that of the noise, which is without bias however weak the signal is,
    unlike a mean of magnitudes (Gudbjartsson and Patz, Magn. Reson. Med. 34 (1995) 910).

    Parameters
    ----------
    series
        Complex images with a known noise.
    echo
        Which, from 0.
    region
        Voxels, shape ``(slice, phase_encode, readout)``; at least one.

    Raises
    ------
    InputError
        If the noise is not known yet.
    """
    snr, std = (float(values[echo]) for values in _root_mean_square(series, region))
    return RegionQuality(snr, std if snr else float("nan"), int(np.count_nonzero(region)))


def t2_std_of_region(
    series: ImageSeries, region: BoolArray, statistic: Literal["median", "pooled"] = "median"
) -> RegionQuality:
    """Tell the standard deviation of T2 in a region: the Cramér-Rao bound at the measured signal and noise.

    T2 is taken from the decay of the root-mean-square signal of the region: unlike the T2 of single voxels it is
    without bias however weak they are.

    Parameters
    ----------
    series
        Complex images at two or more echo times, with a known noise.
    region
        Voxels, shape ``(slice, phase_encode, readout)``; at least one.
    statistic
        ``median``: of one voxel with the median amplitude of the region, in which a voxel without signal counts as
        zero. ``pooled``: of one T2 for the whole region, each voxel with its own amplitude ``A``; the information about
        it is that of one voxel with the amplitude ``sqrt(sum(A²))``.

    Raises
    ------
    InputError
        If the noise is not known yet, or there are fewer than two echo times.
    """
    noise, train, n_voxels = _known_noise(series), train_of(series), int(np.count_nonzero(region))
    decay, decay_std = _root_mean_square(series, region)
    options = T2Options(estimator="gaussian", train=train)
    fit = fit_t2_maps(decay * noise, series.echo_times, options, noise_std=decay_std * noise)
    amplitude = 0.0
    if fit.ok:
        whole = float(fit.amplitude) * np.sqrt(n_voxels)
        amplitude = whole if statistic == "pooled" else _median_amplitude(series, region, float(fit.t2))
    if amplitude <= 0:
        return RegionQuality(float("inf"), float("nan"), n_voxels)
    bound = cramer_rao_t2(series.echo_times, fit.t2, amplitude=amplitude, noise_std=noise, train=train)
    return RegionQuality(float(bound), float("nan"), n_voxels)


def _root_mean_square(series: ImageSeries, region: BoolArray) -> tuple[RealArray, RealArray]:
    """Signal of each echo over its noise, and its standard deviation, both of shape ``(echo,)``.

    The variance of ``|S + n|²`` is ``4 S² + 4`` in units of the noise of the real part.
    """
    noise = _known_noise(series)
    power = np.mean(np.abs(series.images[:, region].astype(complex)) ** 2, axis=1) / noise**2 - 2
    n_voxels = np.count_nonzero(region)
    snr = np.sqrt(np.maximum(power, 0.0))
    std = np.sqrt((snr**2 + 1) / n_voxels) / np.maximum(snr, n_voxels**-0.25)
    return snr, std


def _median_amplitude(series: ImageSeries, region: BoolArray, t2: float) -> float:
    """Median over a region of the amplitude at echo time zero, for one T2."""
    noise, train = _known_noise(series), train_of(series)
    decay = np.exp(-series.echo_times / t2) if train is None else train.decays(np.array([t2]))[:, 0]
    real = remove_phase(np.asarray(series.images, dtype=complex), noise, T2Options().phase_window)[:, region]
    weight = decay / noise**2
    return float(np.median(weight @ real) / (weight @ decay))


def _known_noise(series: ImageSeries) -> RealArray:
    if not (np.isfinite(series.noise_std).all() and (series.noise_std > 0).all()):
        raise InputError("the noise is not known yet: it takes two good passes of each echo time")
    return np.asarray(series.noise_std, dtype=float)
