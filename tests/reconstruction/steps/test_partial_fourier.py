"""POCS and homodyne on images whose k-space is known in full."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import ShapeError
from knightshift.reconstruction.fft import centered_ifft
from knightshift.reconstruction.reconstruct import reconstruct
from knightshift.reconstruction.steps.partial_fourier import AcquiredRange, console_pocs, homodyne, pocs

N = 64


def object_with_phase(turns: float) -> np.ndarray:
    """Boxes and a slope, with a phase that changes slowly, shape ``(1, x)``."""
    x = (np.arange(N) - N // 2) / N
    magnitude = (np.abs(x) < 0.3) * (1.0 + x) + (np.abs(x - 0.1) < 0.05)
    return (magnitude * np.exp(2j * np.pi * turns * x**2 + 0.4j))[np.newaxis]


def kspace_of(image: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(np.fft.fft(np.fft.ifftshift(image, axes=-1), axis=-1), axes=-1)


def acquired_part(image: np.ndarray, start: int, stop: int) -> np.ndarray:
    kspace = kspace_of(image)
    kspace[..., :start] = 0
    kspace[..., stop:] = 0
    return kspace


def error(image: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(np.abs(image) - np.abs(truth)) / np.linalg.norm(truth))


@pytest.mark.parametrize(("start", "stop"), [(20, 64), (1, 45)], ids=["late part", "early part"])
def test_pocs_and_homodyne_come_closer_to_the_object_than_zeros(start: int, stop: int) -> None:
    truth = object_with_phase(0.5)
    kspace = acquired_part(truth, start, stop)
    acquired = AcquiredRange(N, start, stop)
    zeros = error(centered_ifft(kspace, n_axes=1), truth)
    assert error(pocs(kspace, acquired), truth) < 0.6 * zeros
    assert error(homodyne(kspace, acquired), truth) < 0.6 * zeros


def test_homodyne_of_a_real_object_is_exact() -> None:
    truth = object_with_phase(0.0)
    full = kspace_of(truth)
    full[..., 0] = 0  # the point without a mirror
    expected = centered_ifft(full, n_axes=1)
    kspace = full.copy()
    kspace[..., :20] = 0
    np.testing.assert_allclose(homodyne(kspace, AcquiredRange(N, 20, N)), expected, atol=1e-12)


def test_pocs_comes_close_to_a_real_object() -> None:
    truth = object_with_phase(0.0)
    kspace = acquired_part(truth, 20, N)
    kspace_error = error(centered_ifft(kspace, n_axes=1), truth)
    assert error(pocs(kspace, AcquiredRange(N, 20, N), tolerance=1e-4, iterations=100), truth) < 0.4 * kspace_error


def test_rounds_of_pocs_change_less_and_less() -> None:
    """Filling no more than the mirror image makes the rounds a contraction."""
    kspace = acquired_part(object_with_phase(0.5), 24, N)
    rounds = [pocs(kspace, AcquiredRange(N, 24, N), iterations=n, tolerance=1e-12) for n in range(1, 8)]
    changes = [np.linalg.norm(new - old) for old, new in pairwise(rounds)]
    assert all(new < 0.8 * old for old, new in pairwise(changes))


def test_acquired_samples_are_kept_by_pocs_except_next_to_the_gap() -> None:
    kspace = acquired_part(object_with_phase(0.5), 20, N)
    completed = kspace_of(pocs(kspace, AcquiredRange(N, 20, N)))
    np.testing.assert_allclose(completed[..., 23:], kspace[..., 23:], atol=1e-12)
    assert np.all(np.abs(completed[..., 1:20]) > 0)
    np.testing.assert_allclose(completed[..., 0], 0, atol=1e-12)  # its mirror image was not acquired either


@pytest.mark.parametrize(("start", "stop"), [(24, 48), (16, 40), (24, 40)], ids=["late", "early", "symmetric"])
def test_console_pocs_fills_one_side_of_an_interpolated_k_space(start: int, stop: int) -> None:
    """The side with the shorter part, or the first; the zeros beyond the other side stay, as the samples do."""
    kspace = acquired_part(object_with_phase(0.5), start, stop)
    acquired = AcquiredRange(N, start, stop)
    completed = kspace_of(console_pocs(kspace, acquired))
    rise = acquired.half_width // 4
    if (start, stop) == (16, 40):
        np.testing.assert_allclose(completed[..., : stop - rise], kspace[..., : stop - rise], atol=1e-12)
        assert np.all(np.abs(completed[..., stop:]) > 0)
    else:
        np.testing.assert_allclose(completed[..., start + rise :], kspace[..., start + rise :], atol=1e-12)
        assert np.all(np.abs(completed[..., :start]) > 0)


def test_console_pocs_is_five_rounds_of_projection() -> None:
    """Against the rounds written out: phase from a Tukey window over 32 points, the last round rising over eight."""
    n, start = 128, 32
    x = (np.arange(n) - n // 2) / n
    image = ((np.abs(x) < 0.3) * (1 + x) * np.exp(3j * x**2 + 0.3j))[np.newaxis]
    kspace = acquired_part(image, start, n)
    k = np.abs(np.arange(n) - n // 2)
    window = np.where(k <= 16, 1.0, np.where(k < 32, 0.5 + 0.5 * np.cos(np.pi * (k - 16) / 16), 0.0))
    phase = np.exp(1j * np.angle(centered_ifft(kspace * window, n_axes=1)))
    completed = kspace
    for weights in [[1.0] * 8] * 4 + [[i / 8 for i in range(8)]]:
        known = np.r_[np.zeros(start), weights, np.ones(n - start - 8)]
        estimate = kspace_of(np.abs(centered_ifft(completed, n_axes=1)) * phase)
        completed = known * kspace + (1 - known) * estimate
    expected = centered_ifft(completed, n_axes=1)
    np.testing.assert_allclose(console_pocs(kspace, AcquiredRange(n, start, n)), expected, atol=1e-12)


def real_images(name: str, raw_data: Callable[[str], Path]) -> np.ndarray:
    """Images of a scan that was acquired in full, shape ``(slice, row, column)``."""
    if name == "agilent":
        series = reconstruct(raw_data("agilent_sems") / "sems_20190407_07.fid").images[-1]
    else:
        series = reconstruct(raw_data(name)).images[0]
    return np.asarray(series[:4].astype(np.complex128))


@pytest.mark.parametrize("share", [0.55, 0.6, 0.7])
@pytest.mark.parametrize("name", ["bruker_pv51_flash", "bruker_pv6_rare", "bruker_pv360/5", "agilent"])
def test_pocs_betters_zeros_on_real_scans_cut_short(name: str, share: float, raw_data: Callable[[str], Path]) -> None:
    """Full scans of three consoles with the first part of each line taken out; the whole image is the truth."""
    truth = real_images(name, raw_data)
    n = truth.shape[-1]
    start = n - round(share * n)
    kspace = acquired_part(truth, start, n)
    completed = error(pocs(kspace, AcquiredRange(n, start, n)), truth)
    assert completed < error(centered_ifft(kspace, n_axes=1), truth)


def test_a_range_without_the_centre_is_refused() -> None:
    with pytest.raises(ShapeError, match="do not hold k = 0"):
        AcquiredRange(N, 40, N)
