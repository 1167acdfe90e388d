"""The quality of a region, from images with a known signal and noise."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.errors import InputError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.live import snr_of_region, t2_std_of_region
from knightshift.reconstruction.relaxometry import cramer_rao_t2

TIMES = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])
SHAPE = (1, 40, 50)
GEOMETRY = ImageGeometry((1e-3, 1e-4, 1e-4), np.eye(3), np.zeros(3))
ALL = np.ones(SHAPE, bool)


def series(amplitude: float, t2: float = 10e-3, noise: float = 1.0, seed: int = 1) -> ImageSeries:
    rng = np.random.default_rng(seed)
    random = rng.standard_normal((2, len(TIMES), *SHAPE)) * noise
    signal = (amplitude * np.exp(-TIMES / t2))[:, None, None, None] * np.exp(0.7j)
    images = (signal + random[0] + 1j * random[1]).astype(np.complex64)
    return ImageSeries(images, TIMES, GEOMETRY, np.full(len(TIMES), max(noise, 1e-30)))


@pytest.mark.parametrize("amplitude", [0.6, 2.0, 30.0])
def test_snr_is_without_bias_however_weak_the_signal(amplitude: float) -> None:
    found = [snr_of_region(series(amplitude, seed=seed), 0, ALL) for seed in range(8)]
    expected = amplitude * np.exp(-0.4)
    error = np.array([quality.value for quality in found]) - expected
    assert abs(error.mean()) < 3 * found[0].std / np.sqrt(8)
    assert np.std(error) == pytest.approx(found[0].std, rel=0.6)


def test_a_mean_of_magnitudes_would_be_biased_where_snr_is_not() -> None:
    weak = series(0.6)
    assert np.abs(weak.images[0]).mean() > 2 * 0.6 * np.exp(-0.4)


def test_pure_noise_has_no_snr_and_no_t2() -> None:
    empty = series(0.0, seed=5)
    assert snr_of_region(empty, 2, ALL).value < 0.3
    assert t2_std_of_region(empty, ALL).value == np.inf


@pytest.mark.parametrize("amplitude", [20.0, 60.0])
def test_the_uncertainty_of_t2_is_the_cramer_rao_bound_and_that_of_the_region_smaller_by_root_n(
    amplitude: float,
) -> None:
    bound = float(cramer_rao_t2(TIMES, 10e-3, noise_std=1.0, amplitude=amplitude))
    assert t2_std_of_region(series(amplitude), ALL).value == pytest.approx(bound, rel=0.03)
    pooled = t2_std_of_region(series(amplitude), ALL, "pooled").value
    assert pooled == pytest.approx(bound / np.sqrt(ALL.sum()), rel=0.03)


def test_voxels_without_signal_are_not_left_out() -> None:
    images = series(60.0)
    images.images[:, :, :30] = series(0.0, seed=9).images[:, :, :30]
    assert t2_std_of_region(images, ALL).value > 10e-3, "three quarters of the voxels have no T2"
    assert t2_std_of_region(images, ALL, "pooled").value < 0.1e-3


def test_without_a_known_noise_nothing_is_said() -> None:
    images = series(10.0)
    object.__setattr__(images, "noise_std", np.full(len(TIMES), np.nan))
    with pytest.raises(InputError, match="two good passes"):
        snr_of_region(images, 0, ALL)
