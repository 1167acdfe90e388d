"""Real echo series, transformed and written as ParaVision 6 would: synthetic from real, not real scans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from scipy.io import loadmat

from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.reconstruct import reconstruct
from knightshift.reconstruction.relaxometry import T2Options, fit_t2_maps

RawData = Callable[[str], Path]
FULL_SCALE = 2.0**30


def written_and_read(magnitudes: np.ndarray, echo_times: np.ndarray, synthetic_scan: Any, folder: Path) -> ImageSeries:
    """Write images of shape ``(echo, row, column)`` with a smooth phase as a multi-echo scan, and reconstruct it."""
    n_echoes, rows, columns = magnitudes.shape
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    images = magnitudes * np.exp(1j * (0.5 + x - 0.7 * y**2))
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, axes=(1, 2))), axes=(1, 2))
    times = " ".join(f"{1e3 * time:.6g}" for time in echo_times)
    scale = FULL_SCALE / np.abs(kspace).max()
    scan = synthetic_scan(
        (scale * kspace)[np.newaxis, :, np.newaxis],
        n_echoes=n_echoes,
        acqp={"ACQ_echo_time": f"( {n_echoes} )\n{times}"},
        method={"EffectiveTE": f"( {n_echoes} )\n{times}"},
    )
    series = reconstruct(scan.write(folder / "synthetic-from-real"))
    np.testing.assert_allclose(np.abs(series.images[:, 0]) / scale, magnitudes, atol=1e-6 * magnitudes.max())
    np.testing.assert_allclose(series.echo_times, echo_times, rtol=1e-6)
    return series


def test_prostate_series_reads_back_and_its_t2_is_the_published_map(
    raw_data: RawData, synthetic_scan: Any, tmp_path: Path
) -> None:
    folder = raw_data("mese_prostate")
    magnitudes = np.moveaxis(nibabel.load(folder / "invivo_000198.nii.gz").get_fdata()[:, :, 0], -1, 0)
    published = nibabel.load(folder / "preds_000198.nii.gz").get_fdata()[:, :, 0, 1] * 145.2e-3
    echo_times = (26.4 + 13.2 * np.arange(10)) * 1e-3
    series = written_and_read(magnitudes, echo_times, synthetic_scan, tmp_path)
    options = T2Options(estimator="gaussian", detection_level=0, t2_range=(1e-3, 100.0))
    signal = np.abs(series.images[:, 0]).astype(float)
    signal *= magnitudes.max() / signal.max()
    fit = fit_t2_maps(signal, series.echo_times, options, noise_std=10.0)
    tissue = fit.ok & (magnitudes.max(axis=0) > 200)
    assert np.count_nonzero(tissue) > 14_000
    assert np.quantile(np.abs(fit.t2 / published - 1)[tissue], 0.99) < 1e-4


def test_spinal_cord_series_reads_back_with_the_t2_of_the_literature(
    raw_data: RawData, synthetic_scan: Any, tmp_path: Path
) -> None:
    folder = raw_data("mese_cord")
    magnitudes = np.moveaxis(loadmat(folder / "MET2data.mat")["MET2data"][:, :, 0], -1, 0).astype(float)
    cord = loadmat(folder / "Mask.mat")["Mask"] > 0
    series = written_and_read(magnitudes, 10e-3 * np.arange(1, 33), synthetic_scan, tmp_path)
    noise = float(np.abs(series.images).max()) / 100
    options = T2Options(estimator="gaussian")
    fit = fit_t2_maps(np.abs(series.images[:, 0]), series.echo_times, options, noise_std=noise, mask=cord)
    assert np.median(fit.t2[fit.ok]) == pytest.approx(85e-3, abs=15e-3)
