"""The centred inverse FFT against its definition and against numpy."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.errors import ShapeError
from knightshift.reconstruction.fft import centered_ifft, centered_ifft2, centered_ifft_magnitude


def noise(shape: tuple[int, ...], dtype: type = np.complex128, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def by_numpy(kspace: np.ndarray, axes: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace, axes=axes), axes=axes), axes=axes)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13)),
    dtype=st.sampled_from([np.complex64, np.complex128]),
)
def test_transform_equals_numpy_with_shifts_for_even_and_odd_sizes(shape: tuple[int, ...], dtype: type) -> None:
    kspace = noise(shape, dtype)
    expected = by_numpy(kspace)
    got = centered_ifft2(kspace)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_three_dimensions_and_a_strided_view() -> None:
    kspace = noise((4, 6, 5, 8))[::2]
    np.testing.assert_allclose(centered_ifft(kspace, n_axes=3), by_numpy(kspace, (-3, -2, -1)), atol=1e-14)


def test_large_array_with_measured_plan_and_threads() -> None:
    kspace = noise((5, 512, 512), np.complex64)
    expected = by_numpy(kspace)
    got = centered_ifft2(kspace, measure=True)
    np.testing.assert_allclose(got, expected, atol=1e-6 * np.abs(expected).max())
    again = centered_ifft2(noise((5, 512, 512), np.complex64, seed=1))
    assert not np.array_equal(again, got)  # the buffer of the first result was not reused under it


@pytest.mark.parametrize("buffer", [1 << 10, 1 << 21], ids=["large images", "small images"])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128, np.float32])
def test_magnitude_is_that_of_the_image(buffer: int, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knightshift.reconstruction.fft._BUFFER_BYTES", buffer)
    kspace = noise((3, 9, 16, 10)).real.astype(dtype) if dtype is np.float32 else noise((3, 9, 16, 10), dtype)
    for n_axes in (1, 2, 3):
        got = centered_ifft_magnitude(kspace[::2], n_axes=n_axes, shifts=(0.5,) * n_axes)
        expected = np.abs(centered_ifft(kspace[::2], n_axes=n_axes, shifts=(0.5,) * n_axes))
        assert got.dtype == (np.float64 if dtype is np.complex128 else np.float32)
        np.testing.assert_allclose(got, expected, atol=1e-6 * expected.max())


def test_input_is_not_changed_and_results_do_not_share_memory() -> None:
    kspace = noise((1, 8, 8))
    before = kspace.copy()
    first = centered_ifft2(kspace)
    kept = first.copy()
    centered_ifft2(2 * kspace)
    np.testing.assert_array_equal(kspace, before)
    np.testing.assert_array_equal(first, kept)


@given(scale=st.floats(-10, 10), seed=st.integers(0, 100))
def test_transform_is_linear(scale: float, seed: int) -> None:
    one, two = noise((8, 6), seed=seed), noise((8, 6), seed=seed + 1)
    together = centered_ifft2(one + scale * two)
    np.testing.assert_allclose(together, centered_ifft2(one) + scale * centered_ifft2(two), atol=1e-13)


@given(rows=st.integers(1, 20), columns=st.integers(1, 20))
def test_energy_is_conserved_by_parseval(rows: int, columns: int) -> None:
    kspace = noise((rows, columns))
    image_energy = np.sum(np.abs(centered_ifft2(kspace)) ** 2)
    np.testing.assert_allclose(image_energy, np.sum(np.abs(kspace) ** 2) / (rows * columns), rtol=1e-12)


@pytest.mark.parametrize(("shape", "shift"), [((8, 8), (2, -3)), ((7, 10), (1, 4))])
def test_whole_shifts_roll_the_image(shape: tuple[int, int], shift: tuple[int, int]) -> None:
    kspace = noise(shape)
    rolled = np.roll(by_numpy(kspace), shift, axis=(0, 1))
    np.testing.assert_allclose(centered_ifft2(kspace, shifts=shift), rolled, atol=1e-14)


def test_window_multiplies_kspace() -> None:
    kspace = noise((3, 6, 8))
    rows, columns = np.linspace(0, 1, 6), np.linspace(1, 2, 8)
    expected = by_numpy(kspace * rows[:, np.newaxis] * columns)
    np.testing.assert_allclose(centered_ifft2(kspace, windows=(rows, columns)), expected, atol=1e-15)


def test_wrong_window_and_empty_axis_are_refused() -> None:
    with pytest.raises(ShapeError, match="5"):
        centered_ifft2(noise((4, 4)), windows=(np.ones(5), None))
    with pytest.raises(ShapeError):
        centered_ifft2(np.zeros((0, 4), complex))
    with pytest.raises(ShapeError):
        centered_ifft2(np.zeros(4, complex))


@pytest.mark.parametrize(
    ("shape", "n_axes"),
    [((2, 40, 64, 128), 3), ((3, 33, 65, 127), 3), ((2, 600, 601), 2), ((9, 64, 64), 2), ((300_001,), 1)],
)
@pytest.mark.parametrize("in_place", [False, True], ids=["into another array", "in place"])
def test_slabs_and_large_volumes_equal_numpy(
    shape: tuple[int, ...], n_axes: int, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knightshift.reconstruction.fft._BUFFER_BYTES", 1 << 16)
    monkeypatch.setattr("knightshift.reconstruction.fft._SLAB_BYTES", 1 << 15)
    monkeypatch.setattr("knightshift.reconstruction.fft_plans._THREADS_FROM", 1000)
    kspace = noise(shape)
    expected = by_numpy(kspace, tuple(range(-n_axes, 0)))
    shifts = [0.0] * n_axes
    out = kspace if in_place else np.empty_like(kspace)
    assert centered_ifft(kspace, n_axes=n_axes, shifts=shifts, out=out) is out
    np.testing.assert_allclose(out, expected, atol=1e-12 * np.abs(expected).max() * np.log2(out.size))


def test_out_that_does_not_fit_is_refused() -> None:
    kspace = noise((4, 8, 8), np.complex64)
    for out in (np.empty((4, 8, 9), np.complex64), np.empty((4, 8, 8)), np.empty((4, 8, 16), np.complex64)[..., ::2]):
        with pytest.raises(ShapeError, match="out must be"):
            centered_ifft2(kspace, out=out)


def test_transform_in_place_takes_a_fraction_of_the_data() -> None:
    kspace = noise((12, 64, 64, 64), np.complex64)
    centered_ifft(kspace, n_axes=3, out=kspace)
    tracemalloc.start()
    centered_ifft(kspace, n_axes=3, out=kspace)
    in_place = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    centered_ifft(kspace, n_axes=3)
    new_array = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    centered_ifft_magnitude(kspace, n_axes=3)
    magnitude = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert in_place < 0.2 * kspace.nbytes
    assert new_array < 1.2 * kspace.nbytes
    assert magnitude < 0.7 * kspace.nbytes


def test_windows_and_shifts_of_large_volumes_are_those_of_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    kspace = noise((2, 12, 18, 20))
    windows = tuple(np.linspace(0.5, 1, n) for n in kspace.shape[1:])
    shifts = (1.5, -2.25, 3.0)
    whole = centered_ifft(kspace, n_axes=3, windows=windows, shifts=shifts)
    for name in ("_BUFFER_BYTES", "_SLAB_BYTES", "_STRIP_BYTES"):
        monkeypatch.setattr(f"knightshift.reconstruction.fft.{name}", 1 << 10)
    by_parts = centered_ifft(kspace, n_axes=3, windows=windows, shifts=shifts)
    np.testing.assert_allclose(by_parts, whole, atol=1e-14)
