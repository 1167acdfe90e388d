"""Where the signal and the noise of a prediction come from: a run that was measured, or a phantom that is simulated."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from knightshift.acquisition.night import acquire
from knightshift.acquisition.planner.expectation import (
    RegionSignal,
    SignalReference,
    listening_time,
    recovery_factors,
    voxel_volume,
)
from knightshift.core.arrays import RealArray
from knightshift.core.clock import Clock
from knightshift.core.errors import InputError
from knightshift.core.manifest import RunSetup
from knightshift.core.program import Measurement
from knightshift.core.run_folder import open_run
from knightshift.hardware.contract import Scanner
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import RegionStatistics, find_populations, fit_series

_FAITHFUL_SNR = 8.0
"""SNR of a typical voxel, all echoes together, from which the choice of voxels biases their signal by less than 3 %."""


def reference_of_run(path: Path) -> SignalReference:
    """Take signal and noise from a run of images at two or more echo times, a quick look for instance.

    Raises
    ------
    ConfigError
        If `path` is not a run.
    InputError
        If the run holds spectra, one echo time, too few passes to measure the noise, or no signal.
    DamagedDataError
        If a pass is damaged.
    """
    from knightshift.reconstruction.reconstruct import images_of_run

    run = open_run(path)
    series = images_of_run(run)
    measurement = replace(run.measurement(), n_passes=len(run.committed()))
    if not np.isfinite(series.noise_std).all():
        raise InputError(f"{path}: its noise is not known: let it run for at least two passes of each echo time")
    passes = np.array([int(count) for count in series.provenance["passes"].split()])
    per_second = series.noise_std * np.sqrt(listening_time(measurement.encoding) * passes)
    density = float(np.sqrt(np.mean(per_second**2)))
    return reference_of_images(series, density, measurement, f"the run {path.name}")


def reference_of_images(
    series: ImageSeries, noise_density: float, measurement: Measurement, origin: str
) -> SignalReference:
    """Find the regions of a series and the typical signal of each.

    Parameters
    ----------
    series
        Images; `noise_std` decides where there is signal.
    noise_density
        Noise of the real part of an image after 1 s of listening [signal·√s].
    measurement
        What the images were acquired with.
    origin
        What to call it.

    Raises
    ------
    InputError
        If there are fewer than two echo times, or no voxel has a T2.
    """
    if len(series.echo_times) < 2:
        raise InputError(f"{origin} has {len(series.echo_times)} echo: T2 needs at least two echo times")
    fit = fit_series(series)
    if not fit.ok.any():
        raise InputError(f"{origin} has no voxel with a T2: is the cell in place, the frequency right?")
    found = find_populations(fit, series.geometry)
    nucleus = measurement.programs[0].nucleus
    recovery = recovery_factors(str(measurement.protocol["kind"]), measurement.encoding, nucleus)
    regions = []
    for label, region in enumerate((found.bulk, *found.isolated), start=1):
        _check_faithful(region, origin)
        amplitude = float(np.median(fit.amplitude[found.labels == label]) / recovery.mean())
        regions.append(RegionSignal(region.name, amplitude, region.t2_median, region.n_voxels))
    return SignalReference(
        origin=origin,
        regions=tuple(regions),
        noise_density=noise_density,
        voxel_volume=voxel_volume(measurement.encoding),
        nucleus=nucleus,
    )


def _check_faithful(region: RegionStatistics, origin: str) -> None:
    """Refuse a signal so weak that only voxels with lucky noise were found: it would promise too much."""
    snr = float(np.linalg.norm(region.snr))
    if snr < _FAITHFUL_SNR:
        raise InputError(
            f"{origin} is too noisy to predict from: a voxel of {region.name} has SNR {snr:.1f} over all echoes "
            f"together, {_FAITHFUL_SNR:g} are needed: let it run {np.ceil((_FAITHFUL_SNR / snr) ** 2):.0f} times as "
            "long, or with larger voxels"
        )


def rehearse(measurement: Measurement, scanner: Scanner, clock: Clock) -> ImageSeries:
    """Play one pass of each step and reconstruct it. Meant for a simulated scanner without noise.

    Parameters
    ----------
    measurement
        What to play.
    scanner
        Disconnected.
    clock
        The one that the scanner uses.

    Returns
    -------
    ImageSeries
        Its noise is not known (NaN).

    Raises
    ------
    LimitError, ProtocolError
        If the scanner refuses a program.
    """
    from knightshift.reconstruction.reconstruct import images_of_run

    one = replace(measurement, n_passes=len(measurement.programs))
    with tempfile.TemporaryDirectory(prefix="knightshift-rehearsal-") as folder:
        result = acquire(one, scanner, Path(folder), setup=RunSetup(clock="virtual"), clock=clock)
        return images_of_run(open_run(result.path))


def reference_of_rehearsal(
    measurement: Measurement, series: ImageSeries, sample_noise_density: float, origin: str
) -> SignalReference:
    """Take the signal from images without noise, and the noise from what the receiver is known to have.

    Parameters
    ----------
    measurement
        What is planned; its averages decide which voxels will be told from noise.
    series
        What `rehearse` gave for it.
    sample_noise_density
        Noise of the real part of a sample per square root of the bandwidth [signal/√Hz].
    origin
        What to call it.
    """
    averages = measurement.n_passes / measurement.encoding.n_steps
    planned = sample_noise_density / np.sqrt(listening_time(measurement.encoding) * averages)
    noise: RealArray = np.full(len(series.echo_times), planned)
    return reference_of_images(replace(series, noise_std=noise), sample_noise_density, measurement, origin)
