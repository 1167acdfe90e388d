"""Trains whose refocusing angle or T1 differs from voxel to voxel."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.relaxometry import (
    EchoTrain,
    T2Status,
    VoxelTrains,
    bootstrap_t2_std,
    fit_train_and_b1,
    fit_train_with_maps,
    pool_region,
    t2_interval,
)

TRAIN = EchoTrain(echo_spacing=6e-3, n_echoes=12, t1=0.1)
T2 = np.array([8e-3, 16e-3, 30e-3])
B1 = np.array([0.95, 0.8, 0.655])


def echoes(b1: np.ndarray = B1, t1: np.ndarray | None = None) -> np.ndarray:
    """Magnitudes of one voxel for each B1."""
    times = np.full(b1.shape, TRAIN.t1) if t1 is None else t1
    columns = [
        TRAIN.model_copy(
            update={"refocusing": TRAIN.refocusing * scale, "excitation": TRAIN.excitation * scale, "t1": time}
        ).decays(np.array([t2]))[:, 0]
        for scale, time, t2 in zip(b1, times, T2, strict=True)
    ]
    return 2 * np.stack(columns, axis=1)


def test_known_b1_gives_back_t2_and_amplitude() -> None:
    found = fit_train_with_maps(echoes(), TRAIN, b1=B1, noise_std=1e-4)
    np.testing.assert_allclose(found.t2, T2, rtol=1e-4)
    np.testing.assert_allclose(found.amplitude, 2, rtol=1e-4)
    np.testing.assert_allclose(found.trains.b1, B1, atol=1e-9)
    curve = found.curve((1,), TRAIN.echo_times)
    np.testing.assert_allclose(curve, echoes()[:, 1], rtol=1e-3)


def test_voxels_of_a_train_without_maps_have_curves_too() -> None:
    found = fit_train_with_maps(echoes(np.ones(3)), TRAIN, noise_std=1e-4)
    np.testing.assert_allclose(found.curve((2,), TRAIN.echo_times), echoes(np.ones(3))[:, 2], rtol=1e-3)


def test_known_t1_gives_back_t2() -> None:
    t1 = np.array([0.02, 0.1, 0.6])
    found = fit_train_with_maps(echoes(t1=t1), TRAIN, b1=B1, t1=t1, noise_std=1e-4)
    np.testing.assert_allclose(found.t2, T2, rtol=2e-3)
    wrong = fit_train_with_maps(echoes(t1=t1), TRAIN, b1=B1, noise_std=1e-4)
    assert np.abs(wrong.t2 / T2 - 1).max() > 0.01


def test_fitted_b1_and_t2_are_those_of_the_voxel() -> None:
    found = fit_train_and_b1(echoes(), TRAIN, noise_std=1e-4)
    np.testing.assert_allclose(found.trains.b1, B1, atol=0.0051)
    np.testing.assert_allclose(found.t2, T2, rtol=0.005)


def test_standard_deviation_holds_the_price_of_not_knowing_b1() -> None:
    random = np.random.default_rng(5)
    clean = echoes()[:, [1]]
    noisy = clean + 0.02 * random.normal(size=(12, 1200))
    known = fit_train_with_maps(noisy, TRAIN, b1=np.full(1200, 0.8), noise_std=0.02)
    fitted = fit_train_and_b1(noisy, TRAIN, noise_std=0.02)
    assert np.std(known.t2) == pytest.approx(np.median(known.t2_std), rel=0.1)
    assert np.std(fitted.t2) == pytest.approx(np.median(fitted.t2_std), rel=0.15)
    assert np.median(fitted.t2_std) > 1.1 * np.median(known.t2_std)
    assert np.median(fitted.t2) == pytest.approx(16e-3, rel=0.02)


def test_voxels_without_b1_are_left_out_and_bad_maps_refused() -> None:
    found = fit_train_with_maps(echoes(), TRAIN, b1=np.array([0.95, np.nan, 0.655]), noise_std=1e-4)
    assert found.ok.tolist() == [True, False, True]
    assert found.status[1] == T2Status.MASKED
    with pytest.raises(ShapeError, match="do not match"):
        fit_train_with_maps(echoes(), TRAIN, b1=np.ones(2), noise_std=1e-4)
    with pytest.raises(InputError, match="B1 is 90 in 3 of the 3 voxels"):
        fit_train_with_maps(echoes(), TRAIN, b1=np.full(3, 90.0), noise_std=1e-4)
    with pytest.raises(InputError, match="3 echoes"):
        fit_train_and_b1(echoes()[:3], TRAIN.model_copy(update={"n_echoes": 3}), noise_std=1e-4)


@pytest.mark.parametrize("is_fitted", [False, True])
def test_interval_of_a_train_of_its_own_holds_what_it_promises(is_fitted: bool) -> None:
    """At SNR 50, B1 and T2 drawn for each voxel; 2500 voxels, so that 0.93 to 0.97 is five standard errors wide."""
    random = np.random.default_rng(11)
    b1, t2 = random.uniform(0.6, 0.95, 2500), random.uniform(8e-3, 30e-3, 2500)
    everywhere = np.ones(2500, dtype=bool)
    noisy = VoxelTrains(TRAIN, b1).decays(t2, everywhere) + 0.02 * random.normal(size=(12, 2500))
    if is_fitted:
        fit = fit_train_and_b1(noisy, TRAIN, noise_std=0.02)
    else:
        fit = fit_train_with_maps(noisy, TRAIN, b1=b1, noise_std=0.02)
    low, high = t2_interval(fit, 0.95)
    inside = (low <= t2) & (t2 <= high)
    assert 0.93 < inside[fit.ok].mean() < 0.97
    assert fit.ok.mean() > 0.98


def test_signal_over_noise_and_pooled_t2_are_those_of_the_train_of_each_voxel() -> None:
    fit = fit_train_with_maps(np.repeat(echoes()[:, [1]], 3, axis=1), TRAIN, b1=np.full(3, 0.8), noise_std=1e-3)
    np.testing.assert_allclose(fit.snr[:, 0] * 1e-3, echoes()[:, 1], rtol=1e-3)
    assert pool_region(fit, np.ones(3, dtype=bool)).t2 == pytest.approx(T2[1], rel=1e-3)
    std = bootstrap_t2_std(fit, rounds=60)
    assert np.median(std) == pytest.approx(np.median(fit.t2_std), rel=0.3)


def test_b1_that_may_be_lower_than_any_looked_for_leaves_no_t2() -> None:
    fit = fit_train_and_b1(echoes(np.array([0.3, 0.3, 0.655])), TRAIN, noise_std=1e-4)
    assert fit.status[0] == T2Status.NOT_CONVERGED
    assert fit.ok[2]


def test_nominal_angle_below_180_leaves_room_for_a_stronger_b1() -> None:
    """150 degrees at a B1 of 1.12 are 168: not to be taken for 0.88 of 180."""
    train = TRAIN.model_copy(update={"refocusing": np.radians(150.0)})
    strong = VoxelTrains(train, np.full(3, 1.12)).decays(T2, np.ones(3, dtype=bool))
    fit = fit_train_and_b1(strong, train, noise_std=1e-4)
    assert fit.trains is not None
    assert fit.trains.b1 == pytest.approx(1.12, abs=0.02)
    np.testing.assert_allclose(fit.t2, T2, rtol=0.01)


@pytest.mark.parametrize("is_fitted", [False, True])
def test_images_without_a_voxel_to_fit_are_no_error(is_fitted: bool) -> None:
    nothing = np.zeros(3, dtype=bool)
    if is_fitted:
        fit = fit_train_and_b1(echoes(), TRAIN, noise_std=1e-4, mask=nothing)
    else:
        fit = fit_train_with_maps(echoes(), TRAIN, b1=B1, noise_std=1e-4, mask=nothing)
    assert fit.count(T2Status.MASKED) == 3
    assert fit.snr.shape == (12, 3)
    assert "spin-echo train" in fit.methods_sentence()
