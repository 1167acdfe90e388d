"""One T2 for a region, and the bootstrap beside the Fisher information."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import (
    EchoTrain,
    T2Options,
    bootstrap_t2_std,
    find_populations,
    fit_series,
    fit_t2,
    fit_t2_maps,
    pool_populations,
    pool_region,
    t2_interval,
)

TIMES = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])


def noisy(t2: np.ndarray, snr: float, seed: int) -> np.ndarray:
    decay = np.exp(-np.subtract.outer(TIMES, [TIMES[0]])[:, 0][:, None] / t2)
    random = np.random.default_rng(seed)
    noise = random.normal(size=(2, *decay.shape)) / snr
    return decay + noise[0] + 1j * noise[1]


def test_pooled_t2_of_one_voxel_is_that_of_the_voxel() -> None:
    fit = fit_t2(noisy(np.array([12e-3]), 20, 1).real, TIMES, noise_std=0.05)
    pooled = pool_region(fit, np.array([True]))
    low, high = t2_interval(fit)
    assert pooled.t2 == pytest.approx(fit.t2[0], rel=1e-5)
    assert pooled.interval == pytest.approx((low[0], high[0]), rel=1e-4)
    assert np.isnan(pooled.excess)


@pytest.mark.parametrize("estimator", ["gaussian", "rician"])
def test_pooled_interval_of_dendrite_voxels_at_snr_4_holds_what_it_promises(estimator: str) -> None:
    covered, found = [], []
    for seed in range(120 if estimator == "gaussian" else 30):
        signal = noisy(np.full(18, 16e-3), 4, seed)
        signal = np.abs(signal) if estimator == "rician" else signal.real
        pooled = pool_region(fit_t2(signal, TIMES, estimator=estimator, noise_std=0.25), np.ones(18, bool))
        covered.append(pooled.interval[0] < 16e-3 < pooled.interval[1])
        found.append(pooled.t2)
    assert np.mean(covered) > 0.85
    assert np.median(found) == pytest.approx(16e-3, rel=0.05)


def test_voxels_of_unequal_t2_are_called_so() -> None:
    even = pool_region(fit_t2(noisy(np.full(40, 8e-3), 30, 2).real, TIMES, noise_std=1 / 30), np.ones(40, bool))
    mixed = noisy(np.repeat([6e-3, 10e-3], 20), 30, 2).real
    uneven = pool_region(fit_t2(mixed, TIMES, noise_std=1 / 30), np.ones(40, bool))
    assert even.homogeneity > 0.01
    assert 0.4 < even.excess < 1.8
    assert uneven.homogeneity < 1e-6


def test_pooled_train_in_metal_gives_back_its_t2() -> None:
    train = EchoTrain(echo_spacing=6e-3, n_echoes=5, t1=17.1e-3, field="metal")
    random = np.random.default_rng(3)
    signal = train.decays(np.full(50, 12e-3)) + 0.02 * random.normal(size=(5, 50))
    fit = fit_t2_maps(signal, train.echo_times, T2Options(estimator="gaussian", train=train), noise_std=0.02)
    pooled = pool_region(fit, np.ones(50, bool))
    assert pooled.interval[0] < 12e-3 < pooled.interval[1]
    low, high = t2_interval(fit)
    assert np.mean((low < 12e-3) & (high > 12e-3)) > 0.85


@pytest.mark.parametrize("kind", ["parametric", "residual"])
def test_bootstrap_agrees_with_the_fisher_information_at_high_snr(kind: str) -> None:
    times = 2e-3 * np.arange(1, 25)
    random = np.random.default_rng(9)
    signal = np.exp(-times / 10e-3)[:, None] + 0.01 * random.normal(size=(24, 60))
    fit = fit_t2(signal, times, noise_std=0.01)
    std = bootstrap_t2_std(fit, kind=kind, rounds=150)
    assert np.median(std) == pytest.approx(np.median(fit.t2_std), rel=0.1)


def test_what_cannot_be_pooled_or_resampled_is_refused() -> None:
    fit = fit_t2(noisy(np.full(4, 8e-3), 30, 2).real, TIMES, noise_std=1 / 30)
    with pytest.raises(InputError, match="no voxel with a T2"):
        pool_region(fit, np.zeros(4, bool))
    with pytest.raises(InputError, match="between 0 and 1"):
        pool_region(fit, np.ones(4, bool), level=95)
    rician = fit_t2(np.abs(noisy(np.full(4, 8e-3), 30, 2)), TIMES, estimator="rician", noise_std=1 / 30)
    with pytest.raises(InputError, match="without an offset"):
        bootstrap_t2_std(rician)


def test_every_region_of_a_map_is_pooled_under_its_name(shorted) -> None:
    fit = fit_series(shorted(1))
    found = find_populations(fit)
    pooled = pool_populations(fit, found)
    assert list(pooled) == [region.name for region in (*found.electrodes, *found.isolated)]
    dendrite = pooled[found.isolated[0].name]
    assert dendrite.n_voxels == found.isolated[0].n_voxels
    assert dendrite.interval[0] < 16.2e-3 < dendrite.interval[1]
    assert max(one.t2 for name, one in pooled.items() if name != found.isolated[0].name) < 11e-3
