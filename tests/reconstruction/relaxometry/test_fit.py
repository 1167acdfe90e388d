"""The fit as a function of arrays: exactness, invariance, what it refuses and how it says why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit, minimize
from scipy.special import i0e

from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.relaxometry import T2Fit, T2Options, T2Status, fit_series, fit_t2, fit_t2_maps
from knightshift.reconstruction.relaxometry._least_squares import _highest

ECHO_TIMES = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])
T2_VALUES = np.array([2e-3, 5e-3, 8e-3, 16e-3, 60e-3, 0.3])
SETTINGS = [
    ("complex", "none"),
    ("complex", "free"),
    ("gaussian", "none"),
    ("gaussian", "noise"),
    ("gaussian", "noise-quadrature"),
    ("gaussian", "free"),
    ("rician", "none"),
]


def decay(t2: np.ndarray, amplitude: float = 1.0) -> np.ndarray:
    return amplitude * np.exp(-np.multiply.outer(ECHO_TIMES, 1 / t2))


@pytest.mark.parametrize(("estimator", "offset"), SETTINGS)
def test_noiseless_decay_gives_back_its_t2(estimator: str, offset: str) -> None:
    signal = decay(T2_VALUES, 3.0)
    fit = fit_t2(
        signal * np.exp(0.3j) if estimator == "complex" else signal,
        ECHO_TIMES,
        estimator=estimator,
        offset=offset,
        noise_std=1e-9,
    )
    np.testing.assert_array_equal(fit.status, T2Status.OK)
    np.testing.assert_allclose(fit.t2, T2_VALUES, rtol=1e-6)
    np.testing.assert_allclose(fit.amplitude, 3.0, rtol=1e-5)


def test_constant_under_a_decay_is_found_by_a_free_offset() -> None:
    fit = fit_t2(decay(T2_VALUES[:4]) + 0.2, ECHO_TIMES, offset="free", noise_std=1e-6)
    np.testing.assert_allclose(fit.offset, 0.2, rtol=1e-6)
    np.testing.assert_allclose(fit.t2, T2_VALUES[:4], rtol=1e-6)


def test_paper_model_adds_the_mean_of_rayleigh_noise() -> None:
    sigma = 0.01
    signal = decay(T2_VALUES[:4]) + sigma * np.sqrt(np.pi / 2)
    fit = fit_t2(signal, ECHO_TIMES, estimator="gaussian", offset="noise", noise_std=sigma)
    np.testing.assert_allclose(fit.t2, T2_VALUES[:4], rtol=1e-6)
    np.testing.assert_allclose(fit.offset, sigma * np.sqrt(np.pi / 2))


def test_quadrature_model_adds_twice_the_variance_to_the_squared_signal() -> None:
    sigma = 0.01
    signal = np.hypot(decay(T2_VALUES[:4]), np.sqrt(2) * sigma)
    fit = fit_t2(signal, ECHO_TIMES, estimator="gaussian", offset="noise-quadrature", noise_std=sigma)
    np.testing.assert_allclose(fit.t2, T2_VALUES[:4], rtol=1e-6)
    np.testing.assert_allclose(fit.curve((1,), ECHO_TIMES), signal[:, 1], rtol=1e-6)


def test_least_squares_agrees_with_curve_fit_voxel_by_voxel() -> None:
    random = np.random.default_rng(5)
    noise_std = np.array([0.02, 0.02, 0.04, 0.02, 0.01])
    signal = decay(random.uniform(5e-3, 25e-3, 60)) + noise_std[:, None] * random.normal(size=(5, 60))
    fit = fit_t2(signal, ECHO_TIMES, estimator="gaussian", noise_std=noise_std)
    for voxel in range(60):
        best, covariance = curve_fit(
            lambda t, a, t2: a * np.exp(-t / t2), ECHO_TIMES, signal[:, voxel], (1.0, 1e-2), noise_std,
            absolute_sigma=True, xtol=1e-12, ftol=1e-12, gtol=1e-12,
        )  # fmt: skip
        np.testing.assert_allclose([fit.amplitude[voxel], fit.t2[voxel]], best, rtol=1e-4)
        np.testing.assert_allclose(fit.t2_std[voxel], np.sqrt(covariance[1, 1]), rtol=1e-3)


@pytest.mark.parametrize("snr", [4, 10])
def test_every_voxel_at_low_snr_is_at_the_optimum_of_curve_fit_or_flagged(snr: float) -> None:
    random = np.random.default_rng(11)
    times = 4e-3 * np.arange(1, 6)
    signal = np.exp(-(times - times[0]) / 16e-3)[:, None] + random.normal(size=(5, 250)) / snr
    fit = fit_t2(signal, times, estimator="gaussian", noise_std=1 / snr)

    def misfit(column: np.ndarray, amplitude: float, t2: float) -> float:
        return float(np.sum((column - amplitude * np.exp(-times / t2)) ** 2))

    compared = 0
    for voxel in np.flatnonzero(fit.ok):
        column = signal[:, voxel]
        ours = misfit(column, fit.amplitude[voxel], fit.t2[voxel])
        best, _ = curve_fit(
            lambda t, a, t2: a * np.exp(-t / t2), times, column, (fit.amplitude[voxel], fit.t2[voxel]),
            xtol=1e-12, ftol=1e-12, gtol=1e-12, maxfev=5000,
        )  # fmt: skip
        assert ours <= misfit(column, *best) * (1 + 1e-8)
        if 0 < best[1] < 1.0:
            np.testing.assert_allclose(fit.t2[voxel], best[1], rtol=1e-3)
            compared += 1
        for t2 in (2e-3, 8e-3, 20e-3, 60e-3):  # and no other start leads lower
            decay = np.exp(-times / t2)
            assert ours <= misfit(column, float(column @ decay / (decay @ decay)), t2) + 1e-12
    assert compared > 220


def test_rician_fit_maximises_the_likelihood() -> None:
    random = np.random.default_rng(6)
    sigma = 0.2
    noise = random.normal(size=(2, 5, 40)) * sigma
    magnitude = np.hypot(decay(random.uniform(6e-3, 20e-3, 40), 1.3) + noise[0], noise[1])
    fit = fit_t2(magnitude, ECHO_TIMES, estimator="rician", noise_std=sigma)

    def minus_log_likelihood(parameters: np.ndarray, m: np.ndarray) -> float:
        s = np.exp(parameters[0] - ECHO_TIMES * np.exp(parameters[1]))
        return float(np.sum((m - s) ** 2 / (2 * sigma**2) - np.log(i0e(m * s / sigma**2))))

    assert np.count_nonzero(fit.ok) > 30
    for voxel in np.flatnonzero(fit.ok):
        m = magnitude[:, voxel]
        ours = np.array([np.log(fit.amplitude[voxel]), -np.log(fit.t2[voxel])])
        starts = [(np.log(m[0] * 1.5), np.log(rate)) for rate in (40.0, 100.0, 300.0)]
        theirs = min(
            (minimize(minus_log_likelihood, start, (m,), "Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10})
             for start in starts), key=lambda result: result.fun,
        )  # fmt: skip
        assert minus_log_likelihood(ours, m) <= theirs.fun + 1e-7
        np.testing.assert_allclose(ours[1], theirs.x[1], atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(1e-6, 1e6), angle=st.floats(-3, 3), seed=st.integers(0, 2**16))
def test_t2_does_not_depend_on_receiver_gain_phase_or_voxel_order(gain: float, angle: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    noise = random.normal(size=(2, 5, 30)) * 0.05
    signal = decay(random.uniform(5e-3, 20e-3, 30)) + noise[0] + 1j * noise[1]
    order = random.permutation(30)
    fit = fit_t2(signal, ECHO_TIMES, noise_std=0.05)
    other = fit_t2(signal[:, order] * gain * np.exp(1j * angle), ECHO_TIMES, noise_std=0.05 * gain)
    np.testing.assert_array_equal(other.status, fit.status[order])
    np.testing.assert_allclose(other.t2, fit.t2[order], rtol=1e-6)
    np.testing.assert_allclose(other.t2_std, fit.t2_std[order], rtol=1e-6)
    np.testing.assert_allclose(other.amplitude, fit.amplitude[order] * gain, rtol=1e-6)


@pytest.mark.parametrize("estimator", ["complex", "gaussian"])
@pytest.mark.parametrize("unit", [1e-60, 1.0, 1e60])
def test_voxels_of_any_brightness_in_one_image_are_at_their_optimum(estimator: str, unit: float) -> None:
    """First steps are in single precision, which holds a smaller range of numbers."""
    brightness = np.geomspace(1e-70, 1, 71) * unit
    signal = decay(np.linspace(4e-3, 40e-3, 71)) * brightness
    options = T2Options(estimator=estimator, detection_level=0, phase_window=1)
    fit = fit_t2_maps(signal + 0j if estimator == "complex" else signal, ECHO_TIMES, options, noise_std=unit)
    bright = brightness > 1e-30 * unit
    np.testing.assert_array_equal(fit.status[bright], T2Status.OK)
    np.testing.assert_allclose(fit.t2[bright], np.linspace(4e-3, 40e-3, 71)[bright], rtol=1e-6)
    np.testing.assert_allclose(fit.amplitude[bright], brightness[bright], rtol=1e-5)
    faint = fit.ok & ~bright
    np.testing.assert_allclose(fit.t2[faint], np.linspace(4e-3, 40e-3, 71)[faint], rtol=1e-3)


@pytest.mark.parametrize(("estimator", "offset"), [("rician", "none"), ("gaussian", "noise-quadrature")])
@pytest.mark.parametrize("noise_std", [1e-4, 1e-12, 1e-25])
def test_magnitudes_far_above_the_noise_keep_their_t2(estimator: str, offset: str, noise_std: float) -> None:
    fit = fit_t2(decay(T2_VALUES), ECHO_TIMES, estimator=estimator, offset=offset, noise_std=noise_std)
    np.testing.assert_array_equal(fit.status, T2Status.OK)
    np.testing.assert_allclose(fit.t2[1:], T2_VALUES[1:], rtol=1e-5)  # the last echo of the first is below the noise
    assert (fit.t2_std < 1e2 * noise_std).all()


def test_row_of_the_highest_is_found_in_its_last_bits() -> None:
    random = np.random.default_rng(3)
    for precision in (np.float32, np.float64):
        heights = random.normal(size=(23, 4000)).astype(precision) * 10.0 ** random.uniform(-20, 20, 4000).astype(
            precision
        )
        expected = heights.argmax(axis=0)
        np.testing.assert_array_equal(_highest(heights), expected)
    assert _highest(np.full((5, 1), np.nan)) < 5


def test_chunks_and_threads_do_not_change_the_map() -> None:
    random = np.random.default_rng(7)
    signal = decay(random.uniform(5e-3, 20e-3, 500)) + 0.05 * random.normal(size=(5, 500))
    whole = fit_t2_maps(signal, ECHO_TIMES, T2Options(estimator="gaussian", threads=1), noise_std=0.05)
    parts = fit_t2_maps(signal, ECHO_TIMES, T2Options(estimator="gaussian", chunk_voxels=7), noise_std=0.05)
    np.testing.assert_allclose(parts.t2, whole.t2, rtol=1e-7)


@pytest.mark.parametrize(("estimator", "offset"), SETTINGS)
def test_hopeless_voxels_get_a_status_and_nan(estimator: str, offset: str) -> None:
    columns = {
        T2Status.OK: decay(np.array([8e-3]))[:, 0] * 100,
        T2Status.NO_SIGNAL: np.zeros(5),
        T2Status.TOO_LONG: np.full(5, 100.0),
        T2Status.INVALID_INPUT: np.array([1.0, np.nan, 1, 1, 1]),
    }
    signal = np.stack(list(columns.values()), axis=1)
    signal = signal.astype(complex) if estimator == "complex" else signal
    fit = fit_t2(signal, ECHO_TIMES, estimator=estimator, offset=offset, noise_std=0.5)
    expected = list(columns)
    if offset == "free":  # a constant has no decay beside it
        expected[2] = T2Status(int(fit.status[2]))
        assert expected[2] is not T2Status.OK
    assert fit.status.tolist() == expected
    for image in (fit.t2, fit.t2_std, fit.amplitude, fit.chi2):
        np.testing.assert_array_equal(np.isnan(image), [False, True, True, True])


def test_decay_that_is_over_before_the_second_echo_is_too_short() -> None:
    signal = np.array([100.0, 0, 0, 0, 0])[:, None]
    assert fit_t2(signal, ECHO_TIMES, estimator="gaussian", noise_std=0.5).status[0] == T2Status.TOO_SHORT


def test_growing_signal_is_too_long_and_inverted_decay_no_signal() -> None:
    signal = np.stack([np.arange(1.0, 6), -decay(np.array([8e-3]))[:, 0]], axis=1)
    fit = fit_t2(signal, ECHO_TIMES, estimator="gaussian", noise_std=0.01)
    assert fit.status.tolist() == [T2Status.TOO_LONG, T2Status.NO_SIGNAL]


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.floats(-1e3, 1e3), st.just(0.0), st.just(float("nan")), st.just(float("inf"))),
        min_size=5,
        max_size=5,
    ),
    setting=st.sampled_from(SETTINGS),
)
def test_no_input_crashes_or_warns(values: list[float], setting: tuple[str, str]) -> None:
    signal = np.array(values)[:, None]
    estimator, offset = setting
    signal = signal.astype(complex) if estimator == "complex" else signal
    fit = fit_t2(signal, ECHO_TIMES, estimator=estimator, offset=offset, noise_std=0.1)
    assert np.isfinite(fit.t2[0]) == bool(fit.ok[0])


@pytest.mark.parametrize(("estimator", "offset"), SETTINGS)
def test_all_masked_or_empty_images_give_empty_maps(estimator: str, offset: str) -> None:
    signal = np.ones((5, 3, 4), dtype=complex if estimator == "complex" else float)
    masked = fit_t2(signal, ECHO_TIMES, estimator=estimator, offset=offset, noise_std=1.0, mask=np.zeros((3, 4), bool))
    assert masked.count(T2Status.MASKED) == 12
    assert fit_t2(signal[:, :0], ECHO_TIMES, estimator=estimator, offset=offset, noise_std=1.0).t2.shape == (0, 4)


def test_mask_leaves_the_other_voxels_unchanged() -> None:
    signal = decay(T2_VALUES)
    mask = np.array([True, False, True, True, False, True])
    fit = fit_t2(signal, ECHO_TIMES, noise_std=1e-6, mask=mask)
    np.testing.assert_allclose(fit.t2[mask], T2_VALUES[mask], rtol=1e-6)
    assert (fit.status[~mask] == T2Status.MASKED).all()
    assert np.isnan(fit.t2[~mask]).all()


def test_shapes_that_do_not_fit_are_refused_with_their_numbers() -> None:
    with pytest.raises(ShapeError, match=r"\(4, 3\).*5 echoes"):
        fit_t2(np.ones((4, 3)), ECHO_TIMES)
    with pytest.raises(ShapeError, match=r"mask of shape \(2,\)"):
        fit_t2(np.ones((5, 3)), ECHO_TIMES, mask=np.ones(2, bool))
    with pytest.raises(ShapeError, match="noise_std of shape"):
        fit_t2(np.ones((5, 3)), ECHO_TIMES, noise_std=[1.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": "complex"}, "needs complex images"),
        ({"estimator": "rician", "offset": "free"}, "already holds the noise floor"),
        ({"estimator": "complex", "offset": "noise"}, "belongs to magnitudes"),
        ({"estimator": "rician"}, "background"),
        ({"noise_std": -1.0}, "positive"),
        ({"model": "quadratic"}, "mono"),
    ],
)
def test_contradictions_are_refused_with_a_remedy(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_t2(decay(T2_VALUES), ECHO_TIMES, **arguments)


@pytest.mark.parametrize("times", [ECHO_TIMES[::-1], ECHO_TIMES * 0, ECHO_TIMES - 1, ECHO_TIMES * np.nan])
def test_echo_times_must_increase(times: np.ndarray) -> None:
    with pytest.raises(InputError, match="must increase"):
        fit_t2(decay(T2_VALUES), times)


def test_two_echoes_cannot_hold_a_free_offset() -> None:
    with pytest.raises(InputError, match="2 echoes cannot determine 3 parameters"):
        fit_t2(decay(T2_VALUES)[:2], ECHO_TIMES[:2], offset="free")


def test_noise_of_voxels_without_background_comes_from_the_residuals() -> None:
    random = np.random.default_rng(8)
    fit = fit_t2(decay(np.full(4000, 12e-3)) + 0.02 * random.normal(size=(5, 4000)), ECHO_TIMES)
    assert fit.noise_source == "residuals"
    np.testing.assert_allclose(fit.noise_std, 0.02, rtol=0.03)
    np.testing.assert_allclose(np.median(fit.t2_std), fit.t2.std(), rtol=0.05)


def test_series_is_fitted_where_there_is_signal(shorted: object) -> None:
    series = shorted(1)
    fit = fit_series(series)
    assert isinstance(fit, T2Fit)
    assert fit.t2.shape == (1, 96, 48)
    assert fit.count(T2Status.MASKED) > 3000
    assert fit.ok[0, 17:19, 20].any()
    assert fit.ok[0, 40:50].mean() < 0.05
    residuals = (fit.snr - fit.signal / fit.noise_std[:, None, None, None])[:, fit.ok]
    assert np.std(residuals) < 1.5
    assert "mono-exponential by least squares on the real part" in fit.methods_sentence()


@pytest.mark.parametrize(("estimator", "offset"), SETTINGS)
def test_only_fits_that_are_linear_in_the_amplitude_are_said_to_project_it(estimator: str, offset: str) -> None:
    signal = decay(T2_VALUES) * (1j if estimator == "complex" else 1)
    fit = fit_t2(signal, ECHO_TIMES, estimator=estimator, offset=offset, noise_std=1e-3)
    newton = estimator == "rician" or offset == "noise-quadrature"
    assert ("variable projection" in fit.methods_sentence()) is not newton
    assert ("Newton steps" in fit.methods_sentence()) is newton
