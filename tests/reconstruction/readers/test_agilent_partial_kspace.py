"""Agilent and Varian scans that acquired a part of k-space: zeros, completion, and where k = 0 must then be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import UnsupportedDataError
from knightshift.reconstruction.readers.agilent import read_agilent
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import images_of_scan

from .conftest import AGILENT_IMAGE, Agilent, labelled, read_agilent_scan


def object_kspace(n_lines: int, n_samples: int) -> np.ndarray:
    """K-space ``(line, sample)`` of a block with a smooth phase, k = 0 at ``N // 2``."""
    y, x = np.mgrid[-1 : 1 : n_lines * 1j, -1 : 1 : n_samples * 1j]
    image = ((abs(y - 0.1) < 0.4) & (abs(x + 0.1) < 0.5)) * np.exp(0.4j * x)
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image)))


@pytest.mark.parametrize(
    ("changed", "n_lines", "n_samples"),
    [({"fract_ky": [6]}, 22, 32), ({"fract_kx": [8]}, 32, 24), ({"fract_kx": [8], "fract_ky": [6]}, 22, 24)],
    ids=["lines", "samples", "both"],
)
def test_what_was_not_acquired_of_kspace_is_zero_or_completed(
    tmp_path: Path, changed: dict[str, list[str | float]], n_lines: int, n_samples: int
) -> None:
    """``nv / 2 + fract_ky`` lines and all samples but the last of the full readout, as the console counts them."""
    whole = object_kspace(32, 32)
    part = np.zeros((32, 32), complex)
    part[:n_lines, :n_samples] = whole[:n_lines, :n_samples]
    parameters = AGILENT_IMAGE | {"nv": [32], "ns": [1], "pss": [0.0]} | changed
    scan = read_agilent_scan(Agilent(part[:n_lines, np.newaxis, :n_samples], parameters).write(tmp_path))
    assert (scan.grid, scan.matrix) == ((32, 32), (32, 32))
    assert scan.slice_geometries[0].voxel_size == pytest.approx((1e-3, 0.5e-3, 1e-3))
    zeros = images_of_scan(scan)
    np.testing.assert_allclose(zeros.images[0, 0], np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(part))), atol=1e-6)
    assert any("filled with zeros" in sentence for sentence in zeros.methods)
    truth = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(whole))))
    left = np.linalg.norm(np.abs(zeros.images[0, 0]) - truth)
    completed = images_of_scan(scan, Recipe(partial_fourier={"method": "pocs"}))
    assert np.linalg.norm(np.abs(completed.images[0, 0]) - truth) < 0.5 * left
    assert any("POCS" in sentence for sentence in completed.methods)


def test_lines_that_are_all_in_the_file_were_all_acquired(tmp_path: Path) -> None:
    """``fract_ky`` may be left over from another sequence."""
    parameters = AGILENT_IMAGE | {"ns": [1], "pss": [0.0], "fract_ky": [2]}
    scan = read_agilent_scan(Agilent(labelled(8, 1, 16), parameters).write(tmp_path))
    np.testing.assert_array_equal(scan.line_steps, np.arange(-4, 4))
    assert scan.partial_fourier == "none"


@pytest.mark.parametrize(("name", "place"), [("fract_kx", "11 of 16"), ("fract_ky", "8 of 10")])
def test_a_signal_that_is_strongest_elsewhere_is_no_partial_kspace(tmp_path: Path, name: str, place: str) -> None:
    whole = object_kspace(10, 16)
    changed = {"fract_kx": {"nv": [10], "fract_kx": [5]}, "fract_ky": {"nv": [16], "fract_ky": [2]}}[name]
    parameters = AGILENT_IMAGE | {"ns": [1], "pss": [0.0]} | changed
    with pytest.raises(UnsupportedDataError, match=f"{name} .* puts k = 0 at point {place}, .* set {name} to 0"):
        read_agilent(Agilent(whole[:, np.newaxis], parameters).write(tmp_path))


def test_partial_lines_in_an_order_of_their_own(tmp_path: Path) -> None:
    whole = object_kspace(8, 16)
    order = np.array([1, 0, -1, -2, -3, -4])
    parameters = AGILENT_IMAGE | {"ns": [1], "pss": [0.0], "fract_ky": [2]}
    folder = Agilent(whole[order + 4][:, np.newaxis], parameters | {"pelist": list(order)}).write(tmp_path / "a")
    np.testing.assert_array_equal(read_agilent_scan(folder).line_steps, order)
    folder = Agilent(whole[order + 4][:, np.newaxis], parameters | {"pelist": list(order + 2)}).write(tmp_path / "b")
    with pytest.raises(UnsupportedDataError, match="begins at step -2, not at the edge of the 8 lines"):
        read_agilent(folder)
