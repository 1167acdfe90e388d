"""Low-rank denoising: leaves clean images alone, narrows the T2 of a uniform region, and blends neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import denoise, denoise_series, fit_series, fit_t2

TIMES = 4e-3 * np.arange(1, 6)


def region(t2: np.ndarray, snr: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    decay = np.exp(-(TIMES - TIMES[0])[:, None, None] / t2)
    phase = np.exp(1j * random.uniform(-3, 3, t2.shape))
    noise = random.normal(size=(2, *decay.shape)) / snr
    return decay * phase + noise[0] + 1j * noise[1]


def test_noiseless_images_of_few_decays_are_unchanged() -> None:
    t2 = np.where(np.arange(30)[:, None] < 15, 7e-3, 16e-3) * np.ones((30, 20))
    clean = region(t2, np.inf)
    denoised, kept = denoise(clean, np.full(5, 1e-6))
    np.testing.assert_allclose(denoised, clean, atol=1e-5)
    assert kept[0, 0] == 1
    assert kept[15, 10] >= 2


def test_uniform_region_at_snr_4_has_its_t2_spread_narrowed_without_bias() -> None:
    noisy = region(np.full((40, 40), 16e-3), 4)
    denoised, _ = denoise(noisy, np.full(5, 0.25))
    spreads, middles = [], []
    for images in (noisy, denoised):
        fit = fit_t2(images.reshape(5, -1), TIMES, noise_std=0.25)  # a list of voxels: each has its own phase
        low, middle, high = np.quantile(fit.t2[fit.ok], [0.16, 0.5, 0.84])
        spreads.append(high - low)
        middles.append(middle)
    assert spreads[1] < 0.4 * spreads[0]
    assert middles[1] == pytest.approx(16e-3, rel=0.06)


def test_single_voxel_of_long_t2_is_pulled_towards_its_neighbours() -> None:
    t2 = np.full((15, 15), 7e-3)
    t2[7, 7] = 16e-3
    found = []
    for seed in range(20):
        denoised, _ = denoise(region(t2, 8, seed), np.full(5, 1 / 8))
        found.append(fit_t2(denoised[:, 7:8, 7:8].reshape(5, -1), TIMES, noise_std=1 / 8).t2[0])
    assert np.nanmedian(found) < 13e-3


def test_series_says_that_it_was_denoised(shorted) -> None:
    series = shorted(3)
    cleaner = denoise_series(series)
    assert "low-rank projection along the echoes in windows of 5 x 5" in cleaner.methods[-1]
    before, after = fit_series(series), fit_series(cleaner)
    faces = before.ok & after.ok & (before.snr[0] > 30)
    assert np.median(after.t2[faces]) == pytest.approx(np.median(before.t2[faces]), rel=0.03)


@pytest.mark.parametrize(
    ("window", "noise", "message"), [(4, 1.0, "odd"), (1, 1.0, "at least 3"), (5, 0.0, "positive")]
)
def test_senseless_settings_are_refused(window: int, noise: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        denoise(np.ones((5, 8, 8), complex), np.full(5, noise), window)
