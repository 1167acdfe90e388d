"""Images as people hand them over: one decay, lists, masked arrays, any number type, scale and order in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from knightshift.core.errors import InputError, ShapeError
from knightshift.reconstruction.relaxometry import T2Options, T2Status, fit_t2, fit_t2_maps

TIMES = 4e-3 * np.arange(1, 6)
SNR = 200.0
ESTIMATORS = ("complex", "rician", "gaussian")


def _images(estimator: str, shape: tuple[int, ...] = (6, 7)) -> np.ndarray:
    random = np.random.default_rng(3)
    decay = np.exp(-TIMES / 16e-3).reshape((-1,) + (1,) * len(shape))
    noise = random.normal(size=(2, TIMES.size, *shape)) / SNR
    images = (decay + noise[0] + 1j * noise[1]) * np.exp(0.4j)
    return images if estimator == "complex" else np.abs(images)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_one_decay_is_an_image_without_axes(estimator: str) -> None:
    fit = fit_t2(_images(estimator, ()), TIMES, estimator=estimator, noise_std=1 / SNR)
    assert fit.t2.shape == fit.status.shape == ()
    assert float(fit.t2) == pytest.approx(16e-3, abs=5 * float(fit.t2_std))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e19, 1e30])
def test_t2_does_not_depend_on_the_unit_of_signals_in_single_precision(estimator: str, scale: float) -> None:
    images = _images(estimator)
    expected = fit_t2(images, TIMES, estimator=estimator, noise_std=1 / SNR)
    single = (images * scale).astype(np.complex64 if estimator == "complex" else np.float32)
    fit = fit_t2(single, TIMES, estimator=estimator, noise_std=scale / SNR)
    assert fit.ok.all()
    np.testing.assert_allclose(fit.t2, expected.t2, rtol=1e-4)


LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "Fortran order": np.asfortranarray,
    "echoes last in memory": lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1, 0),
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "lists": lambda a: a.tolist(),
    "extended precision": lambda a: a.astype(np.result_type(a, np.longdouble)),
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_t2_does_not_depend_on_how_images_lie_in_memory(estimator: str, layout: str) -> None:
    images = _images(estimator)
    images.setflags(write=False)
    expected = fit_t2(images, TIMES, estimator=estimator, noise_std=1 / SNR)
    fit = fit_t2(LAYOUTS[layout](images), TIMES, estimator=estimator, noise_std=1 / SNR)
    np.testing.assert_allclose(fit.t2, expected.t2, rtol=1e-9)


@pytest.mark.parametrize("kind", ["i2", "u2", "f2"])
@pytest.mark.parametrize("estimator", ["rician", "gaussian"])
def test_magnitudes_of_small_number_types_are_fitted(estimator: str, kind: str) -> None:
    images = 2e4 * _images(estimator)
    expected = fit_t2(images, TIMES, estimator=estimator, noise_std=2e4 / SNR)
    fit = fit_t2(np.round(images).astype(kind), TIMES, estimator=estimator, noise_std=2e4 / SNR)
    np.testing.assert_allclose(fit.t2, expected.t2, rtol=5e-3)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_voxels_hidden_by_a_masked_array_are_masked(estimator: str) -> None:
    images = _images(estimator)
    hidden = np.zeros(images.shape, bool)
    hidden[2, 1, 3] = hidden[0, 4, 4] = True
    chosen = np.ones(images.shape[1:], bool)
    chosen[0, 0] = False
    fit = fit_t2(np.ma.array(images, mask=hidden), TIMES, estimator=estimator, noise_std=1 / SNR, mask=chosen)
    assert set(zip(*np.nonzero(fit.status == T2Status.MASKED), strict=True)) == {(0, 0), (1, 3), (4, 4)}
    with pytest.raises(ShapeError, match="mask of shape"):
        fit_t2(np.ma.array(images, mask=hidden), TIMES, noise_std=1 / SNR, mask=chosen[1:])


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_signals_that_cannot_be_squared_have_no_t2(estimator: str, engine: str) -> None:
    if engine == "numba":
        pytest.importorskip("numba")
    images = _images(estimator)
    images[:, 2, 3] *= 1e200
    fit = fit_t2_maps(images, TIMES, T2Options(estimator=estimator, engine=engine), noise_std=1 / SNR)
    assert fit.status[2, 3] == T2Status.INVALID_INPUT
    assert fit.ok.sum() == fit.status.size - 1
    with pytest.raises(InputError, match="another unit"):
        fit_t2(images, TIMES, estimator=estimator, noise_std=1e-200)


def test_echo_times_in_milliseconds_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fit_t2(_images("gaussian"), TIMES, noise_std=1 / SNR)
        assert not caplog.records
        fit_t2(_images("gaussian"), 1e3 * TIMES, noise_std=1 / SNR)
        assert "divide the echo times by 1000" in caplog.text
        caplog.clear()
        fit_t2(_images("gaussian"), 1e-6 * TIMES, noise_std=1 / SNR)
        assert "multiply the echo times by 1000" in caplog.text
        caplog.clear()
        fit_t2(_images("gaussian"), np.append(TIMES[:-1], 10.0), noise_std=1 / SNR)
    assert "to 10 s" in caplog.text


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("gap", [1e-3, 16e-3])
def test_exponential_goes_through_two_echoes_or_there_is_none(engine: str, gap: float) -> None:
    if engine == "numba":
        pytest.importorskip("numba")
    times = np.array([4e-3, 4e-3 + gap])
    random = np.random.default_rng(7)
    signal = np.array([[1.0], [0.2]]) + random.normal(size=(2, 2000)) / 10
    fit = fit_t2_maps(signal.astype(complex), times, T2Options(phase_window=1, engine=engine), noise_std=0.1)
    real = fit.signal
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = gap / np.log(real[0] / real[1])
    clear = np.abs(real) > 0.02
    inside = (clear.all(axis=0)) & (exact > 0.11 * max(gap, 4e-3)) & (exact < 49 * times[-1])
    assert fit.ok[inside].all()
    np.testing.assert_allclose(fit.t2[inside], exact[inside], rtol=1e-6)
    assert (fit.status[clear.all(axis=0) & (real[0] > 0) & (real[1] < 0)] == T2Status.TOO_SHORT).all()


def test_both_paths_say_alike_which_t2_are_out_of_range() -> None:
    pytest.importorskip("numba")
    times = 26.4e-3 + 13.2e-3 * np.arange(10)
    noise = np.random.default_rng(1).normal(size=(2, 10, 4000))
    noise[:, 0, ::2] *= 10
    noise[:, 1, ::2] = 0
    options = {"estimator": "gaussian", "detection_level": 0, "t2_range": (1e-3, 100.0)}
    plain, compiled = (
        fit_t2_maps(np.hypot(*noise), times, T2Options(engine=engine, **options), noise_std=1.0)
        for engine in ("numpy", "numba")
    )
    assert {T2Status.TOO_SHORT, T2Status.TOO_LONG} <= set(plain.status)
    np.testing.assert_array_equal(compiled.status, plain.status)
