"""The compiled path beside the one of numpy: same data, same answers."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.errors import InputError
from knightshift.reconstruction.relaxometry import EchoTrain, T2Fit, T2Options, T2Status, _voxelwise, fit_t2_maps

pytest.importorskip("numba")

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
