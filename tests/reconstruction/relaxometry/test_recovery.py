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


@pytest.mark.parametrize(("curve", "needed"), [("decay", 2), ("recovery", 3), ("decay with offset", 3)])
def test_too_few_delays_are_refused(curve: Curve, needed: int) -> None:
    delays = DELAYS[: needed - 1]
    with pytest.raises(InputError, match=f"cannot determine {needed} parameters"):
        fit_relaxation(np.exp(-delays)[:, np.newaxis], delays, curve)


@pytest.mark.parametrize("curve", ["decay", "recovery"])
def test_lists_and_masked_arrays_are_taken(curve: Curve) -> None:
    signal = np.repeat(recovery(0.7, 1.9) if curve == "recovery" else np.exp(-DELAYS / 0.7), 3).reshape(-1, 3)
    hidden = np.zeros(signal.shape, bool)
    hidden[4, 1] = True
    np.testing.assert_allclose(fit_relaxation(signal.tolist(), DELAYS.tolist(), curve).time, 0.7, rtol=1e-6)
    fit = fit_relaxation(np.ma.array(signal, mask=hidden), DELAYS, curve)
    assert fit.status.tolist() == [T2Status.OK, T2Status.MASKED, T2Status.OK]
    np.testing.assert_allclose(fit.time[[0, 2]], 0.7, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_recoveries_of_any_scale_say_what_they_cannot_tell(scale: float, kind: str) -> None:
    """Far faster than the first delay or far slower than the last one, no signal, and what is not finite."""
    times = np.array([1e-4, 0.05, 0.7, 1e5])
    signal = np.zeros((DELAYS.size, 6))
    signal[:, :4] = np.exp(-DELAYS[:, np.newaxis] / times)
    signal[3, 5] = np.nan
    fit = fit_relaxation((scale * signal).astype(kind), DELAYS, "decay")
    np.testing.assert_allclose(fit.time[1:3], times[1:3], rtol=1e-5)
    assert (fit.status[[3, 5]] == [T2Status.TOO_LONG, T2Status.INVALID_INPUT]).all()
    assert set(fit.status[[0, 4]]) <= {T2Status.NO_SIGNAL, T2Status.TOO_SHORT}
    assert np.isnan(fit.time[[0, 3, 4, 5]]).all()


@pytest.mark.parametrize("kind", ["signed", "magnitude", "complex"])
def test_noise_of_known_size_hardly_ever_has_a_t1(kind: str) -> None:
    """A magnitude of noise, with the signs that suit a recovery best, looks like one in half of the voxels."""
    random = np.random.default_rng(5)
    noise = random.normal(size=(DELAYS.size, 1500)) + 1j * random.normal(size=(DELAYS.size, 1500))
    signal = {"signed": noise.real, "magnitude": np.abs(noise), "complex": noise}[kind]
    fit = fit_relaxation(signal, DELAYS, "recovery", noise_std=1.0)
    assert np.mean(fit.status == T2Status.NO_SIGNAL) == pytest.approx(0.8, abs=0.1)
    assert fit.ok.mean() < 0.1
