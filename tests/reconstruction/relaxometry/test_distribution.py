"""Distributions of T2: what goes in comes out, the residuals are those of the noise, and published maps agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.relaxometry import DistributionOptions, EchoTrain, T2Status, t2_distribution

TIMES = 10e-3 * np.arange(1, 33)


def two_pools(snr: float, n_voxels: int = 12) -> tuple[np.ndarray, float]:
    clean = 0.3 * np.exp(-TIMES / 20e-3) + 0.7 * np.exp(-TIMES / 80e-3)
    sigma = float(clean[0] / snr)
    return clean[:, None] + sigma * np.random.default_rng(8).normal(size=(32, n_voxels)), sigma


@pytest.mark.parametrize("criterion", ["discrepancy", "l-curve"])
def test_two_pools_come_out_with_their_shares_and_t2(criterion: str) -> None:
    signal, sigma = two_pools(1000)
    found = t2_distribution(signal, TIMES, sigma, DistributionOptions(criterion=criterion))
    assert np.median(found.share(0, 40e-3)) == pytest.approx(0.3, abs=0.03)
    assert np.median(found.geometric_mean(40e-3)) == pytest.approx(80e-3, rel=0.05)
    assert np.median(found.geometric_mean(0, 40e-3)) == pytest.approx(20e-3, rel=0.1)


@pytest.mark.parametrize("snr", [50, 300])
def test_discrepancy_principle_leaves_residuals_as_large_as_the_noise(snr: float) -> None:
    signal, sigma = two_pools(snr)
    found = t2_distribution(signal, TIMES, sigma)
    least = t2_distribution(signal, TIMES, sigma, DistributionOptions(criterion="none"))
    expected = 1.02 * np.maximum(least.chi2, 32)
    np.testing.assert_allclose(found.chi2, expected, rtol=0.03)
    assert (np.sum(found.weight > 0, axis=0) > np.sum(least.weight > 0, axis=0)).all()


def test_sum_of_the_weights_is_the_signal_at_time_zero() -> None:
    signal, sigma = two_pools(1000)
    assert t2_distribution(5 * signal, TIMES, 5 * sigma).weight.sum(axis=0) == pytest.approx(5, rel=0.03)


def test_train_of_150_degrees_has_its_t2_only_with_a_model_of_the_train() -> None:
    train = EchoTrain(echo_spacing=10e-3, n_echoes=32, t1=1.0, refocusing=np.radians(140))
    signal = train.decays(np.array([60e-3]))
    modelled = t2_distribution(signal, TIMES, 1e-3, DistributionOptions(train=train))
    plain = t2_distribution(signal, TIMES, 1e-3)
    assert modelled.geometric_mean()[0] == pytest.approx(60e-3, rel=0.02)
    assert modelled.chi2[0] < 0.1 * plain.chi2[0]


def test_voxels_outside_the_mask_are_not_a_number_and_errors_say_what_is_wrong() -> None:
    signal, sigma = two_pools(100, 3)
    found = t2_distribution(signal, TIMES, sigma, mask=np.array([True, False, False]))
    assert np.isnan(found.weight[:, 1:]).all()
    assert np.isfinite(found.weight[:, 0]).all()
    with pytest.raises(ShapeError, match="do not fit"):
        t2_distribution(signal[:-1], TIMES, sigma)
    with pytest.raises(ShapeError, match="neither one number"):
        t2_distribution(signal, TIMES, np.ones(7))
    with pytest.raises(InputError, match="positive"):
        t2_distribution(signal, TIMES, 0.0)
    with pytest.raises(InputError, match="real signals"):
        t2_distribution(signal * 1j, TIMES, sigma)
    with pytest.raises(InputError, match="must increase"):
        t2_distribution(signal[::-1], TIMES[::-1], sigma)
    with pytest.raises(InputError, match="two or more"):
        t2_distribution(signal[:1], TIMES[:1], sigma)
    with pytest.raises(ValueError, match="is empty"):
        DistributionOptions(t2_range=(1.0, 0.1))


def test_voxels_without_a_distribution_say_why() -> None:
    signal, sigma = two_pools(100, 5)
    signal[3, 0], signal[:, 1], signal[:, 2] = np.nan, 0.0, -signal[:, 2]
    found = t2_distribution(signal.tolist(), TIMES, sigma, mask=np.array([True, True, True, False, True]))
    assert [T2Status(state).name for state in found.status] == [
        "INVALID_INPUT", "NO_SIGNAL", "NO_SIGNAL", "MASKED", "OK",
    ]  # fmt: skip
    assert (np.isfinite(found.weight).all(axis=0) == (found.status == T2Status.OK)).all()


def test_spinal_cord_agrees_with_published_maps_of_water_fractions(raw_data: Callable[[str], Path]) -> None:
    """Myelin water (T2 below 40 ms) and T2 of the other water, of another program with its own regularisation."""
    folder = raw_data("mese_cord")
    images = np.moveaxis(loadmat(folder / "MET2data.mat")["MET2data"][:, :, 0], -1, 0).astype(float)
    myelin, other = loadmat(folder / "MWF.mat")["MWF"], loadmat(folder / "T2IEW.mat")["T2IEW"]
    inside = np.zeros(myelin.shape, dtype=bool)
    inside[tuple(np.argwhere((loadmat(folder / "Mask.mat")["Mask"] > 0) & (other > 0))[::12].T)] = True
    options = DistributionOptions(t2_range=(15e-3, 0.4), n_t2=60)
    found = t2_distribution(images, TIMES, 100.0, options, mask=inside)
    ours = 100 * found.share(0, 40e-3)[inside], 1e3 * found.geometric_mean(40e-3, 0.2)[inside]
    for mine, theirs, limit in zip(ours, (myelin[inside], other[inside]), (0.97, 0.85), strict=True):
        assert np.median(mine) == pytest.approx(np.median(theirs), rel=0.15)
        finite = np.isfinite(mine)
        assert np.corrcoef(mine[finite], theirs[finite])[0, 1] > limit
    assert np.median(ours[1]) == pytest.approx(80, rel=0.1)
