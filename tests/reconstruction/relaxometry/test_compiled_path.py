"""The compiled path beside the one of numpy: same data, same answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import i0e, i1e

from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import EchoTrain, T2Fit, T2Options, T2Status, _voxelwise, fit_t2_maps
from knightshift.reconstruction.relaxometry.rician import rician_information

from .test_low_snr import require_most_likely_t2

numba = pytest.importorskip("numba")

OVERNIGHT = np.array([4e-3, 8e-3, 13e-3, 20e-3, 30e-3])
ECHO_TIMES = {"uneven": OVERNIGHT, "sixteen": 2e-3 * np.arange(1, 17)}
SETTINGS = [("complex", "none"), ("gaussian", "none"), ("gaussian", "noise"), ("rician", "none")]


def noisy(times: np.ndarray, snr: float, n_voxels: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Complex voxels with T2 from 4 to 40 ms, some masked or broken, and the noise of each echo."""
    random = np.random.default_rng(17)
    noise = np.linspace(1, 1.6, times.size) / snr
    decay = np.exp(-(times - times[0])[:, None] / random.uniform(4e-3, 40e-3, n_voxels))
    parts = random.normal(size=(2, times.size, n_voxels)) * noise[:, None]
    signal = decay * np.exp(0.4j) + parts[0] + 1j * parts[1]
    signal[1, 7], signal[:, 8], signal[:, 9], signal[:, 10] = np.nan, 0, 1, -decay[:, 10]
    return signal, noise


def both(signal: np.ndarray, times: np.ndarray, noise: np.ndarray | None, **options: object) -> list[T2Fit]:
    mask = np.ones(signal.shape[1:], bool)
    mask[11:13] = False
    return [
        fit_t2_maps(signal, times, T2Options(engine=engine, **options), noise_std=noise, mask=mask)
        for engine in ("numpy", "numba")
    ]


@pytest.mark.parametrize("snr", [4, 30, 3000])
@pytest.mark.parametrize("times", ECHO_TIMES.values(), ids=ECHO_TIMES)
@pytest.mark.parametrize(("estimator", "offset"), SETTINGS)
def test_both_paths_find_the_same(estimator: str, offset: str, times: np.ndarray, snr: float) -> None:
    signal, noise = noisy(times, snr)
    signal = signal if estimator == "complex" else np.abs(signal)
    plain, compiled = both(signal, times, noise, estimator=estimator, offset=offset, phase_window=1)
    assert (plain.engine, compiled.engine) == ("numpy", "numba")
    assert np.count_nonzero(plain.status != compiled.status) <= 2
    assert plain.count(T2Status.INVALID_INPUT) == compiled.count(T2Status.INVALID_INPUT) == 1
    same = plain.ok & compiled.ok
    assert same.mean() > 0.75
    np.testing.assert_allclose(compiled.t2[same], plain.t2[same], rtol=1e-5)
    at_first = [(fit.amplitude * np.exp(-times[0] / fit.t2))[same] for fit in (compiled, plain)]
    np.testing.assert_allclose(*at_first, rtol=1e-5)
    np.testing.assert_allclose(compiled.t2_std[same], plain.t2_std[same], rtol=5e-3)
    np.testing.assert_allclose(compiled.chi2[same], plain.chi2[same], rtol=1e-4, atol=3e-5)
    np.testing.assert_allclose(compiled.offset[same], plain.offset[same], rtol=1e-12)
    for fit in (plain, compiled):
        assert np.isnan(fit.t2[~fit.ok]).all()
        assert np.isnan(fit.chi2[~fit.ok]).all()


def test_no_other_t2_is_more_likely_where_the_rician_likelihood_has_two_maxima(noisy_voxels) -> None:
    require_most_likely_t2(noisy_voxels(8e-3, 4, shape=(45, 45)), "numba")


@settings(max_examples=20, deadline=None)
@given(
    gaps=st.lists(st.floats(1e-3, 20e-3), min_size=3, max_size=8),
    log_snr=st.floats(0.5, 3.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_both_paths_agree_whatever_the_echoes_and_the_noise(gaps: list[float], log_snr: float, seed: int) -> None:
    random, times, n_voxels = np.random.default_rng(seed), np.cumsum(gaps), 300
    noise = random.uniform(0.5, 2, times.size) / 10**log_snr
    decay = np.exp((times[0] - times[:, None]) / (times[-1] * 10 ** random.uniform(-1.2, 0.6, n_voxels)))
    parts = random.normal(size=(2, times.size, n_voxels)) * noise[:, None]
    signal = decay * random.uniform(0.2, 3, n_voxels) + parts[0] + 1j * parts[1]
    for estimator, offset in SETTINGS:
        images = signal if estimator == "complex" else np.abs(signal)
        plain, compiled = both(images, times, noise, estimator=estimator, offset=offset, phase_window=1)
        assert np.count_nonzero(plain.status != compiled.status) <= 3
        same = plain.ok & compiled.ok
        assert np.count_nonzero(np.abs(compiled.t2[same] / plain.t2[same] - 1) > 1e-3) <= 3  # two optima as good


def test_both_paths_find_the_same_noise_in_the_residuals() -> None:
    signal, _ = noisy(ECHO_TIMES["sixteen"], 30)
    voxels = np.abs(signal[:, 13:])
    plain, compiled = both(voxels, ECHO_TIMES["sixteen"], None, estimator="gaussian")
    assert compiled.noise_source == "residuals"
    np.testing.assert_allclose(compiled.noise_std, plain.noise_std, rtol=1e-6)
    np.testing.assert_array_equal(compiled.status, plain.status)
    np.testing.assert_allclose(compiled.t2_std[plain.ok], plain.t2_std[plain.ok], rtol=5e-3)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_noiseless_decay_gives_back_its_t2_on_either_path(engine: str) -> None:
    t2 = np.array([2e-3, 5e-3, 8e-3, 16e-3, 60e-3, 0.3])
    signal = 3.0 * np.exp(-np.multiply.outer(OVERNIGHT, 1 / t2))
    for estimator in ("gaussian", "rician"):
        fit = fit_t2_maps(signal, OVERNIGHT, T2Options(estimator=estimator, engine=engine), noise_std=1e-9)
        np.testing.assert_allclose(fit.t2, t2, rtol=1e-6)
        np.testing.assert_allclose(fit.amplitude, 3.0, rtol=1e-5)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_single_precision_stays_single(engine: str) -> None:
    signal, noise = noisy(OVERNIGHT, 100)
    single = fit_t2_maps(signal.astype(np.complex64), OVERNIGHT, T2Options(engine=engine), noise_std=noise)
    double = fit_t2_maps(signal, OVERNIGHT, T2Options(engine=engine), noise_std=noise)
    assert single.t2.dtype == single.signal.dtype == np.float32
    assert double.t2.dtype == np.float64
    same = single.ok & double.ok
    assert same.mean() > 0.9
    np.testing.assert_allclose(single.t2[same], double.t2[same], rtol=1e-4)


def test_small_maps_and_what_is_not_compiled_go_to_numpy_by_default() -> None:
    many = 10**6
    assert _voxelwise.path_of(T2Options(estimator="gaussian"), 4096) == "numpy"
    assert _voxelwise.path_of(T2Options(estimator="gaussian"), many) == "numba"
    assert _voxelwise.path_of(T2Options(estimator="gaussian", engine="numpy"), many) == "numpy"
    assert _voxelwise.path_of(T2Options(estimator="gaussian", offset="free"), many) == "numpy"


def test_engine_that_cannot_fit_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    train = EchoTrain(echo_spacing=6e-3, n_echoes=5, t1=0.1)
    for options in (T2Options(engine="numba", offset="free"), T2Options(engine="numba", train=train)):
        with pytest.raises(InputError, match="use engine 'auto' or 'numpy'"):
            _voxelwise.path_of(options, 10)
    monkeypatch.setattr(_voxelwise, "_numba_is_installed", lambda: False)
    with pytest.raises(InputError, match=r"pip install 'knightshift\[fast\]'"):
        _voxelwise.path_of(T2Options(engine="numba"), 10)
    assert _voxelwise.path_of(T2Options(), 10**6) == "numpy"


def on_all(function: Callable[[Any], Any]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Run a function of a number for compiled code on many, in single precision."""

    @numba.njit
    def loop(values: np.ndarray) -> list[Any]:
        return [function(value) for value in values]

    return lambda values: list(np.transpose(np.array(loop(values.astype(np.float32)), dtype=float)))


def test_functions_of_the_rician_likelihood_are_those_of_scipy_where_they_count() -> None:
    from knightshift.reconstruction.relaxometry import _compiled_functions as functions

    z = np.concatenate([[0.0], np.geomspace(1e-3, 9e3, 400)])
    ratio, over = i1e(z) / i0e(z), np.divide(i1e(z), z * i0e(z), out=np.full_like(z, 0.5), where=z > 0)
    short, bent = on_all(functions.ratio)(z)
    np.testing.assert_allclose(short, 1 - ratio, atol=3e-7)
    np.testing.assert_allclose(bent, 1 - ratio**2 - over, atol=1e-6)
    far, _ = on_all(functions.ratio)(np.geomspace(1e4, 1e12, 9))
    np.testing.assert_allclose(far, 0.5 / np.geomspace(1e4, 1e12, 9), rtol=2e-4)
    smooth = np.log(i0e(z)) + 0.5 * np.log1p(z)
    np.testing.assert_allclose(on_all(functions.log_bessel)(1 / (1 + z)), smooth, atol=1.5e-6)
    np.testing.assert_allclose(on_all(functions.information)(z[z < 1e3]), rician_information(z[z < 1e3]), atol=2e-4)


@pytest.mark.parametrize("magnitude", [0.0, 0.5, 1.0, 1.5, 2.0, 5.0, 50.0])
def test_least_loss_is_the_minimum_over_all_signals(magnitude: float) -> None:
    from knightshift.reconstruction.relaxometry import _compiled_functions as functions

    signal = np.linspace(0, magnitude + 1, 200_001)
    lowest = (0.5 * (magnitude - signal) ** 2 - np.log(i0e(magnitude * signal))).min()
    square, bounded = np.float32(magnitude**2), np.float32(max(magnitude**2, 2))
    found = functions.least_loss(square, np.float32(2) / bounded)
    assert found + 0.5 * np.log(bounded) == pytest.approx(lowest, abs=2e-6)


def test_exponentials_and_logarithms_of_compiled_loops() -> None:
    from knightshift.reconstruction.relaxometry._kernel_tools import exp, rough_log

    @numba.njit
    def exponentials(values: np.ndarray) -> np.ndarray:
        return np.array([exp(value) for value in values])

    exponents = np.linspace(-600, 20, 2001)
    np.testing.assert_allclose(exponentials(exponents), np.exp(exponents), rtol=1e-13)
    single = np.linspace(-70, 20, 2001).astype(np.float32)
    np.testing.assert_allclose(exponentials(single), np.exp(single.astype(float)), rtol=1e-6)
    positive = np.geomspace(1e-30, 1e30, 2001).astype(np.float32)
    np.testing.assert_allclose(on_all(rough_log)(positive), np.log(positive.astype(float)), rtol=3e-7, atol=3e-7)


def test_a_change_of_any_kernel_compiles_anew() -> None:
    from knightshift.reconstruction.relaxometry import _compiled, _compiled_rician

    folder = Path(_compiled.__file__).parent
    kernels = {*(path.name for path in folder.glob("_compiled*.py")), "_kernel_tools.py", "rician.py"}
    if not hasattr(_compiled.fit_exponentials._cache, "_cache_file"):
        pytest.skip("neither the tree nor the home of the user can be written: nothing is kept")
    for kernel in (_compiled.fit_exponentials, _compiled_rician.fit_magnitudes):
        assert {name for name, _, _ in kernel._cache._cache_file._source_stamp} == kernels
