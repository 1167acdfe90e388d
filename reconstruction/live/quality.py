"""How good a region of an image is: the numbers that a stop rule compares with its goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import T2Options, cramer_rao_t2, fit_t2_maps, signal_mask, train_of


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
    noise = _known_noise(series)[echo]
    power = np.abs(series.images[echo][region].astype(complex)) ** 2 / noise**2
    snr = float(np.sqrt(max(0.0, float(power.mean()) - 2.0)))
    # variance of |S + n|^2 is 4 S^2 + 4 in units of the noise
    std = float(np.sqrt((snr**2 + 1) / power.size) / snr) if snr else float("nan")
    return RegionQuality(snr, std, power.size)


def t2_std_of_region(
    series: ImageSeries, region: BoolArray, statistic: Literal["median", "pooled"] = "median"
) -> RegionQuality:
    """Tell the standard deviation of T2 in a region: the Cramér-Rao bound at the measured signal and noise.

    Parameters
    ----------
    series
        Complex images at two or more echo times, with a known noise.
    region
        Voxels, shape ``(slice, phase_encode, readout)``; at least one.
    statistic
        ``median``: of one voxel, the median over the region, in which a voxel without a T2 counts as infinitely
        uncertain. ``pooled``: of one T2 for the whole region, each voxel with its own amplitude; the information about
        it is that of one voxel with the amplitude ``sqrt(sum(A^2))``.

    Raises
    ------
    InputError
        If the noise is not known yet, or there are fewer than two echo times.
    """
    noise = _known_noise(series)
    train = train_of(series)
    seen = region & signal_mask(series.images, noise)
    n_voxels = int(np.count_nonzero(region))
    unknown = RegionQuality(float("inf"), float("nan"), n_voxels)
    if not seen.any():
        return unknown
    fit = fit_t2_maps(series.images, series.echo_times, T2Options(train=train), noise_std=noise, mask=seen)
    known = fit.ok & region
    if not known.any():
        return unknown
    t2, amplitude = fit.t2[known], fit.amplitude[known]
    each = cramer_rao_t2(series.echo_times, t2, amplitude=amplitude, noise_std=noise, train=train)
    if statistic == "median":
        spread = np.concatenate([each, np.full(n_voxels - each.size, np.inf)])
        return RegionQuality(float(np.median(spread)), float("nan"), n_voxels)
    weight = (t2**2 / each) ** 2  # of the rate 1 / T2
    pooled_t2 = float(weight.sum() / (weight @ (1 / t2)))
    energy = float(np.sqrt(np.sum(amplitude**2)))
    bound = cramer_rao_t2(series.echo_times, pooled_t2, amplitude=energy, noise_std=noise, train=train)
    return RegionQuality(float(bound), float("nan"), n_voxels)


def _known_noise(series: ImageSeries) -> RealArray:
    if not (np.isfinite(series.noise_std).all() and (series.noise_std > 0).all()):
        raise InputError("the noise is not known yet: it takes two good passes of each echo time")
    return np.asarray(series.noise_std, dtype=float)
