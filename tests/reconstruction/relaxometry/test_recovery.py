"""Recoveries and decays of known relaxation time come back, whatever their phase, sign, order and efficiency."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.relaxometry.recovery import Curve, fit_relaxation, object_mask
from knightshift.reconstruction.relaxometry.result import T2Status

DELAYS = np.geomspace(0.01, 8.0, 12)


def recovery(t1: float, efficiency: float) -> np.ndarray:
    """``M (1 - k exp(-t / T1))``: k = 2 after a perfect inversion, 1 after a saturation."""
    return 100.0 * (1 - efficiency * np.exp(-DELAYS / t1))


@settings(deadline=None, max_examples=40)
@given(
    t1=st.floats(0.05, 4.0),
    efficiency=st.floats(0.5, 2.0),
    phase=st.floats(-np.pi, np.pi),
    gain=st.floats(1e-6, 1e6),
)
def test_t1_does_not_depend_on_phase_gain_and_efficiency(
    t1: float, efficiency: float, phase: float, gain: float
) -> None:
    signal = gain * recovery(t1, efficiency) * np.exp(1j * phase)
    assert float(fit_relaxation(signal, DELAYS, "recovery").time) == pytest.approx(t1, rel=1e-4)


@pytest.mark.parametrize("t1", [0.1, 0.5, 1.26, 3.0])
def test_magnitudes_get_their_sign_back(t1: float) -> None:
    fit = fit_relaxation(np.abs(recovery(t1, 1.9)), DELAYS, "recovery")
    assert float(fit.time) == pytest.approx(t1, rel=1e-4)
    np.testing.assert_allclose(fit.signal, recovery(t1, 1.9), rtol=1e-12)


@pytest.mark.parametrize("curve", ["recovery", "decay", "decay with offset"])
def test_order_and_repetition_of_delays_do_not_matter(curve: Curve) -> None:
    decay = 50 * np.exp(-DELAYS / 0.7)
    signal = {"recovery": 80 - decay, "decay": decay, "decay with offset": decay + 20}[curve]
    order = np.random.default_rng(1).permutation(np.append(np.arange(DELAYS.size), [3, 3]))
    fit = fit_relaxation(signal[order] + 0j, DELAYS[order], curve)
    assert float(fit.time) == pytest.approx(0.7, rel=1e-4)
    np.testing.assert_allclose(np.abs(fit.signal), np.abs(signal[order]), rtol=1e-9)
    np.testing.assert_allclose(fit.expected((), DELAYS[order]), fit.signal, rtol=1e-3)


def test_standard_deviation_is_what_repetition_shows() -> None:
    random = np.random.default_rng(2)
    noise = 1.0
    signal = recovery(1.0, 1.9)[:, np.newaxis] + noise * random.normal(size=(DELAYS.size, 4000))
    given = fit_relaxation(signal, DELAYS, "recovery", noise_std=noise)
    spread = np.std(given.time[given.ok])
    assert np.median(given.time_std[given.ok]) == pytest.approx(spread, rel=0.05)
    residual = fit_relaxation(signal, DELAYS, "recovery")
    assert np.sqrt(np.mean(residual.time_std[residual.ok] ** 2)) == pytest.approx(spread, rel=0.05)


def test_voxels_that_cannot_be_fitted_say_why() -> None:
    signal = np.stack([recovery(0.5, 2.0), np.full(DELAYS.size, np.nan), recovery(0.5, 2.0)], axis=1)
    fit = fit_relaxation(signal, DELAYS, "recovery", mask=np.array([True, True, False]))
    assert fit.status.tolist() == [T2Status.OK, T2Status.INVALID_INPUT, T2Status.MASKED]
    assert np.isnan(fit.time[1:]).all()


def test_a_decay_that_is_over_or_never_begins_has_no_time() -> None:
    flat, gone = np.ones(DELAYS.size), np.append(1.0, np.zeros(DELAYS.size - 1))
    fit = fit_relaxation(np.stack([flat, gone], axis=1), DELAYS, "decay")
    assert fit.status.tolist() == [T2Status.TOO_LONG, T2Status.TOO_SHORT]


@pytest.mark.parametrize(
    ("delays", "error"),
    [(DELAYS[:-1], ShapeError), (-DELAYS, InputError), (np.full(12, np.nan), InputError), (np.ones(12), InputError)],
)
def test_delays_that_make_no_sense_are_refused(delays: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error):
        fit_relaxation(recovery(1.0, 2.0), delays, "recovery")


def test_object_is_told_from_the_background() -> None:
    random = np.random.default_rng(4)
    images = random.normal(size=(3, 1, 32, 32)) + 1j * random.normal(size=(3, 1, 32, 32))
    images[:, 0, 8:24, 10:20] += 40
    mask = object_mask(images)
    assert mask[0, 8:24, 10:20].all()
    assert mask.sum() == 160
