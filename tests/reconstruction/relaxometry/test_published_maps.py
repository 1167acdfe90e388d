"""Against maps that others have published of real images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
from scipy.io import loadmat

from knightshift.reconstruction.relaxometry import T2Options, fit_t2, fit_t2_maps


def test_prostate_map_equals_the_published_least_squares_fit(raw_data: Callable[[str], Path]) -> None:
    folder = raw_data("mese_prostate")
    images = nibabel.load(folder / "invivo_000198.nii.gz").get_fdata()
    published = nibabel.load(folder / "preds_000198.nii.gz").get_fdata()[..., 1] * 145.2e-3
    echo_times = (26.4 + 13.2 * np.arange(10)) * 1e-3
    options = T2Options(estimator="gaussian", detection_level=0, t2_range=(1e-3, 100.0))
    fit = fit_t2_maps(np.moveaxis(images, -1, 0), echo_times, options, noise_std=10.0)
    difference = np.abs(fit.t2 / published - 1)
    assert fit.ok.mean() > 0.99
    tissue = fit.ok & (images.max(axis=-1) > 200)
    assert np.count_nonzero(tissue) > 14_000
    assert np.quantile(difference[tissue], 0.99) < 1e-4
    assert np.quantile(difference[fit.ok], 0.98) < 1e-4


def test_spinal_cord_has_the_t2_of_the_literature(raw_data: Callable[[str], Path]) -> None:
    folder = raw_data("mese_cord")
    images = np.moveaxis(loadmat(folder / "MET2data.mat")["MET2data"][:, :, 0], -1, 0)
    cord = loadmat(folder / "Mask.mat")["Mask"] > 0
    echo_times = 10e-3 * np.arange(1, 33)
    fit = fit_t2(images, echo_times, estimator="gaussian", noise_std=float(images.max()) / 100, mask=cord)
    assert fit.ok[cord].mean() > 0.99
    assert 70e-3 < np.median(fit.t2[fit.ok]) < 100e-3
