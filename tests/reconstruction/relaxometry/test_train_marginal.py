"""Trains whose T1 is known only within a range."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import EchoTrain, T2Options, fit_t2_maps, fit_train_marginal

TRAIN = EchoTrain(echo_spacing=6e-3, n_echoes=5, t1=17.1e-3, field="metal")


def echoes(t1: np.ndarray, t2: float) -> np.ndarray:
    """One voxel for each T1."""
    columns = [TRAIN.model_copy(update={"t1": value}).decays(np.array([t2]))[:, 0] for value in t1]
    return np.stack(columns, axis=1)


def test_narrow_range_is_a_fixed_t1() -> None:
    signal = echoes(np.full(3, 17.1e-3), 12e-3)
    marginal = fit_train_marginal(signal, TRAIN, t1_range=(17.0e-3, 17.2e-3), noise_std=0.01)
    fixed = fit_t2_maps(signal, TRAIN.echo_times, T2Options(estimator="gaussian", train=TRAIN), noise_std=0.01)
    np.testing.assert_allclose(marginal.fit.t2, fixed.t2, rtol=1e-3)
    np.testing.assert_allclose(marginal.fit.t2_std, fixed.t2_std, rtol=1e-3)
    np.testing.assert_allclose(marginal.t1, 17.1e-3, rtol=2e-3)


@pytest.mark.parametrize("t2", [7e-3, 16e-3])
def test_sensitivity_is_that_of_the_train(t2: float) -> None:
    marginal = fit_train_marginal(echoes(np.array([17.1e-3]), t2), TRAIN, t1_range=(15e-3, 19.5e-3), noise_std=0.01)
    assert marginal.sensitivity[0] == pytest.approx(TRAIN.t1_sensitivity(t2), rel=0.15)


def test_error_holds_what_not_knowing_t1_costs() -> None:
    """T1 from 10 to 29 ms, nearly no noise: T2 of a wrong T1 is off by more than its error, the marginal one is not."""
    random = np.random.default_rng(3)
    signal = echoes(np.exp(random.uniform(np.log(10e-3), np.log(29e-3), 300)), 12e-3)
    signal = signal + 3e-3 * random.normal(size=signal.shape)
    marginal = fit_train_marginal(signal, TRAIN, t1_range=(10e-3, 29e-3), noise_std=3e-3).fit
    fixed = fit_t2_maps(signal, TRAIN.echo_times, T2Options(estimator="gaussian", train=TRAIN), noise_std=3e-3)
    assert np.mean(np.abs(fixed.t2 - 12e-3) < 2 * fixed.t2_std) < 0.6
    assert np.mean(np.abs(marginal.t2 - 12e-3) < 2 * marginal.t2_std) > 0.9
    assert np.median(marginal.t2) == pytest.approx(12e-3, rel=0.02)


def test_masked_voxels_and_empty_ranges() -> None:
    signal = echoes(np.full(2, 17.1e-3), 12e-3)
    mask = np.array([True, False])
    found = fit_train_marginal(signal, TRAIN, t1_range=(10e-3, 30e-3), noise_std=0.01, mask=mask)
    assert found.fit.ok.tolist() == [True, False]
    assert np.isnan(found.fit.t2[1])
    with pytest.raises(InputError, match="shorter and a longer"):
        fit_train_marginal(signal, TRAIN, t1_range=(30e-3, 10e-3), noise_std=0.01)
