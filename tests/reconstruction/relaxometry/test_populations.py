"""Histogram, region statistics, and the dendrite as what its T2 sets apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import (
    PopulationOptions,
    find_populations,
    fit_series,
    fit_t2,
    region_statistics,
    t2_histogram,
)

SEEDS = range(10)


def test_width_of_normal_t2_is_2_355_sigma() -> None:
    values = np.random.default_rng(1).normal(8e-3, 1e-3, 20_000)
    histogram = t2_histogram(values)
    assert histogram.fwhm == pytest.approx(2.3548e-3, rel=0.03)
    assert histogram.fwhm_std < 0.1e-3
    assert histogram.median == pytest.approx(8e-3, rel=0.01)
    assert histogram.counts.sum() == 20_000
    assert np.trapezoid(histogram.density, histogram.times) == pytest.approx(20_000, rel=1e-3)


def test_error_of_the_width_is_its_spread_between_samples() -> None:
    random = np.random.default_rng(2)
    histograms = [t2_histogram(random.normal(8e-3, 1e-3, 300)) for _ in range(40)]
    spread = np.std([histogram.fwhm for histogram in histograms])
    assert np.median([histogram.fwhm_std for histogram in histograms]) == pytest.approx(spread, rel=0.4)


@pytest.mark.parametrize("n_voxels", [60, 500, 5000])
def test_width_of_two_gaussians_is_that_of_the_higher_one_within_its_error(n_voxels: int) -> None:
    random = np.random.default_rng(n_voxels)
    n_first = 2 * n_voxels // 5
    values = np.concatenate([random.normal(6e-3, 0.4e-3, n_first), random.normal(12e-3, 0.4e-3, n_voxels - n_first)])
    histogram = t2_histogram(values)
    assert histogram.peak == pytest.approx(12e-3, abs=0.3e-3)
    assert abs(histogram.fwhm - 2.3548 * 0.4e-3) < 2 * histogram.fwhm_std
    assert histogram.fwhm_std < 0.3 * histogram.fwhm
    # the smooth line is as high as the two bells: 60 % of the voxels in the higher one, kernel included
    width = np.hypot(0.4e-3, histogram.bandwidth)
    assert histogram.density.max() == pytest.approx(0.6 * n_voxels / (np.sqrt(2 * np.pi) * width), rel=0.35)
    assert histogram.bandwidth < 0.5 * 0.4e-3 * (1 + 60 / n_voxels)


def test_voxels_of_large_errors_do_not_widen_what_the_others_say() -> None:
    random = np.random.default_rng(11)
    errors = np.repeat([0.1e-3, 3e-3], 2000)
    values = random.normal(12e-3, 1e-3, 4000) + errors * random.normal(size=4000)
    assert t2_histogram(values).fwhm > 2.9e-3
    assert t2_histogram(values, errors).fwhm == pytest.approx(2.3548e-3, rel=0.12)


def test_alike_relative_errors_weigh_nothing_and_unknown_ones_have_no_weight() -> None:
    values = np.random.default_rng(12).normal(8e-3, 1e-3, 400)
    weighted = t2_histogram(np.append(values, 9e-3), np.append(0.1 * values, np.nan))
    np.testing.assert_allclose(weighted.fwhm, t2_histogram(values).fwhm, rtol=2e-2)
    assert weighted.counts.sum() == 401


def test_intervals_of_the_width_hold_what_they_promise() -> None:
    random = np.random.default_rng(7)
    inside = []
    for _ in range(100):
        histogram = t2_histogram(random.normal(8e-3, 1e-3, 200))
        inside.append(abs(histogram.fwhm - 2.3548e-3) < np.array([1.0, 1.96]) * histogram.fwhm_std)
    assert np.mean(inside, axis=0) == pytest.approx([0.68, 0.95], abs=0.12)


@pytest.mark.parametrize("values", [[8.0] * 9, [7.0, 7.5, 8.0, 8.2, 9.0], [*np.linspace(7, 9, 50), 100.0]])
def test_few_equal_or_scattered_voxels_still_have_a_density(values: list[float]) -> None:
    histogram = t2_histogram(1e-3 * np.array(values))
    assert histogram.bandwidth > 0
    assert np.isfinite([histogram.fwhm, histogram.fwhm_std]).all()
    assert np.trapezoid(histogram.density, histogram.times) == pytest.approx(histogram.counts.sum(), rel=1e-2)


def test_bars_lie_on_multiples_of_their_width_and_hold_every_voxel() -> None:
    histogram = t2_histogram(np.array([[5.0e-3, 7.2e-3], [np.nan, 6.9e-3]]), bar_width=1e-3)
    np.testing.assert_allclose(histogram.edges, [5e-3, 6e-3, 7e-3, 8e-3])
    assert histogram.counts.tolist() == [1, 1, 1]
    assert np.isnan(histogram.fwhm)


def test_histogram_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no voxel"):
        t2_histogram(np.array([np.nan]))


def test_region_is_described_in_voxels_and_metres(shorted) -> None:
    series = shorted(0)
    fit = fit_series(series)
    mask = np.zeros(fit.t2.shape, bool)
    mask[0, 17:19, 10:20] = True
    region = region_statistics("part", fit, mask, series.geometry)
    assert region.n_voxels == np.count_nonzero(fit.ok[0, 17:19, 10:20])
    assert region.bounding_box == ((0, 1), (17, 19), (10, 20))
    assert region.extent == pytest.approx((2e-3, 2 * 23e-6, 10 * 100e-6))
    x, y, z = region.centroid_position
    assert (x, y, z) == pytest.approx((0, region.centroid_index[2] * 100e-6, region.centroid_index[1] * 23e-6))
    assert region.t2_quartiles[0] < region.t2_median < region.t2_quartiles[1]
    assert (np.diff(region.snr) < 0).all()
    with pytest.raises(InputError, match="'empty'"):
        region_statistics("empty", fit, np.zeros_like(mask))


def test_pooled_t2_of_equal_voxels_has_the_error_of_their_mean(noisy_voxels) -> None:
    voxels = noisy_voxels(16e-3, 10, shape=(40, 40))
    fit = fit_t2(voxels.signal, voxels.echo_times, noise_std=voxels.noise_std)
    region = region_statistics("all", fit, np.ones((40, 40), bool))
    assert region.t2_pooled_std == pytest.approx(np.median(fit.t2_std) / 40, rel=0.2)


def test_dendrite_is_found_in_every_shorted_night(shorted) -> None:
    for seed in SEEDS:
        series = shorted(seed)
        populations = find_populations(fit_series(series), series.geometry)
        assert len(populations.isolated) == 1, f"seed {seed}"
        (dendrite,) = populations.isolated
        assert dendrite.centroid_index == pytest.approx((0, 56, 39), abs=1)
        assert 14.5e-3 < dendrite.t2_median < 17.5e-3
        assert 10 <= dendrite.n_voxels <= 25
        assert np.count_nonzero(populations.mask()) == dendrite.n_voxels
        assert len(populations.electrodes) >= 2


def test_no_dendrite_is_found_in_pristine_or_merely_disordered_nights(pristine, disordered) -> None:
    for seed in SEEDS:
        for night in (pristine(seed), disordered(seed)):
            populations = find_populations(fit_series(night), night.geometry)
            assert populations.isolated == (), f"seed {seed}"
            assert len(populations.electrodes) >= 2


def test_disorder_widens_the_histogram_of_the_bulk(pristine, disordered) -> None:
    for seed in range(3):
        narrow = find_populations(fit_series(pristine(seed))).bulk
        wide = find_populations(fit_series(disordered(seed))).bulk
        assert wide.fwhm > 1.1 * narrow.fwhm


@pytest.mark.parametrize("brightness", [0.3, 1.0, 3.0])
def test_a_dendrite_does_not_hide_itself_by_its_brightness(pristine, brightness: float) -> None:
    fit = fit_series(pristine(0))
    spot = (slice(0, 1), slice(46, 48), slice(20, 30))
    maps = {name: getattr(fit, name).copy() for name in ("t2", "t2_std", "amplitude", "status")}
    bright = brightness * np.quantile(fit.amplitude[fit.ok], 0.9)
    for name, value in (("t2", 16e-3), ("t2_std", 1e-3), ("amplitude", bright), ("status", 0)):
        maps[name][spot] = value
    populations = find_populations(replace(fit, **maps))
    assert [region.n_voxels for region in populations.isolated] == [20]
    assert populations.bulk_edge < 13e-3


def test_single_long_voxel_is_not_a_dendrite_however_sure(pristine) -> None:
    fit = fit_series(pristine(0))
    t2 = fit.t2.copy()
    t2[0, 17, 20] = 40e-3
    assert find_populations(replace(fit, t2=t2)).isolated == ()


def test_uncertain_long_voxels_are_not_a_dendrite(pristine) -> None:
    fit = fit_series(pristine(0))
    spot = (slice(0, 1), slice(46, 48), slice(20, 24))
    maps = {name: getattr(fit, name).copy() for name in ("t2", "t2_std", "amplitude", "status")}
    for name, value in (("t2", 16e-3), ("t2_std", 30e-3), ("amplitude", 40.0), ("status", 0)):
        maps[name][spot] = value
    assert find_populations(replace(fit, **maps)).isolated == ()
    maps["t2_std"][spot] = 1e-3
    assert len(find_populations(replace(fit, **maps)).isolated) == 1


def test_ringing_of_a_bright_voxel_is_no_dendrite(pristine) -> None:
    fit = fit_series(pristine(0))
    spot = (slice(0, 1), slice(46, 48), slice(20, 24))
    maps = {name: getattr(fit, name).copy() for name in ("t2", "t2_std", "amplitude", "status")}
    for name, value in (("t2", 16e-3), ("t2_std", 1e-3), ("amplitude", 1.0), ("status", 0)):
        maps[name][spot] = value
    assert find_populations(replace(fit, **maps)).isolated == ()
    assert len(find_populations(replace(fit, **maps), options=PopulationOptions(ringing=0)).isolated) == 1


def test_map_without_any_t2_is_refused() -> None:
    fit = fit_t2(np.zeros((5, 8, 8)), 4e-3 * np.arange(1, 6), noise_std=1.0)
    with pytest.raises(InputError, match="no voxel has a T2"):
        find_populations(fit)


def test_unknown_option_is_refused() -> None:
    with pytest.raises(ValueError, match="minimum_pixels"):
        PopulationOptions(minimum_pixels=3)
