"""POCS and homodyne on images whose k-space is known in full."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.errors import ShapeError
from knightshift.reconstruction.fft import centered_ifft
from knightshift.reconstruction.steps.partial_fourier import AcquiredRange, homodyne, pocs

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
    assert error(pocs(kspace, acquired, iterations=10, trim=0.0), truth) < 0.6 * zeros
    assert error(homodyne(kspace, acquired), truth) < 0.6 * zeros


def test_homodyne_of_a_real_object_is_exact() -> None:
    truth = object_with_phase(0.0)
    full = kspace_of(truth)
    full[..., 0] = 0  # the point without a mirror
    expected = centered_ifft(full, n_axes=1)
    kspace = full.copy()
    kspace[..., :20] = 0
    np.testing.assert_allclose(homodyne(kspace, AcquiredRange(N, 20, N)), expected, atol=1e-12)


def test_pocs_converges_to_a_real_object() -> None:
    truth = object_with_phase(0.0)
    kspace = acquired_part(truth, 20, N)
    errors = [error(pocs(kspace, AcquiredRange(N, 20, N), iterations=n, trim=0.0), truth) for n in (1, 5, 40)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.03


def test_acquired_samples_are_kept_by_pocs() -> None:
    kspace = acquired_part(object_with_phase(0.5), 20, N)
    completed = kspace_of(pocs(kspace, AcquiredRange(N, 20, N), trim=0.1))
    np.testing.assert_allclose(completed[..., 24:], kspace[..., 24:], atol=1e-12)
    assert np.all(np.abs(completed[..., :24] - kspace[..., :24]) > 0)


def test_a_range_without_the_centre_is_refused() -> None:
    with pytest.raises(ShapeError, match="do not hold k = 0"):
        AcquiredRange(N, 40, N)
