"""Real images, transformed and written in layouts that no real scan at hand has: synthetic from real, not real scans.

3D, interlaced slices with several echoes, several receivers, repetitions, ParaVision 7, odd sizes: all read back to the
images and places that went in.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.reconstruct import reconstruct

RawData = Callable[[str], Path]
FULL_SCALE = 2.0**29
OBLIQUE = np.linalg.qr(np.array([[1.0, 0.3, 0.2], [-0.2, 1.0, 0.4], [0.1, -0.5, 1.0]]))[0]


@pytest.fixture(scope="module")
def head(request: pytest.FixtureRequest) -> np.ndarray:
    """Complex images of a real RARE scan, cut to odd sizes, shape ``(slice, row, column)``."""
    raw_data: RawData = request.getfixturevalue("raw_data")
    images = reconstruct(raw_data("bruker_pv360/5")).images[0]
    return np.ascontiguousarray(images[4:10, :77, 10:141])


def to_kspace(images: np.ndarray, axes: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    kspace = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(images, axes=axes), axes=axes), axes=axes)
    return kspace * (FULL_SCALE / np.abs(kspace).max())


def scaled(images: np.ndarray, like: np.ndarray) -> np.ndarray:
    return images * (np.vdot(images, like) / np.vdot(images, images)).real


def oblique_headers(n_slices: int) -> dict[str, dict[str, str]]:
    rows = " ".join(str(value) for value in OBLIQUE.ravel())
    return {
        "acqp": {"ACQ_sw_version": "<PV-7.0.0>"},
        "method": {"PVM_SPackArrGradOrient": f"( 1, 3, 3 )\n{rows}", "PVM_SPackArrReadOffset": "( 1 )\n4",
                   "PVM_SPackArrPhase1Offset": "( 1 )\n-3", "PVM_SPackArrNSlices": f"( 1 )\n{n_slices}"},
    }  # fmt: skip


def centre_of(series: ImageSeries) -> np.ndarray:
    """Position of voxel ``N // 2`` of the first slice."""
    rows, columns = series.images.shape[-2:]
    return np.asarray(series.geometry.affine @ [0, rows // 2, columns // 2, 1])[:3]


def test_interlaced_slices_with_several_echoes_receivers_and_repetitions(
    head: np.ndarray, synthetic_scan: Any, tmp_path: Path
) -> None:
    n_slices, rows, columns = head.shape
    decay = np.array([1.0, 0.6, 0.3])
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    coils = np.stack([np.exp(-((x - 0.8) ** 2) + 0.4j * y), np.exp(-((x + 0.8) ** 2) - 0.9j * x)])
    series = head[:, None, None] * decay[:, None, None, None] * coils  # slice, echo, channel, row, column
    twice = np.stack([0.9 * series, 1.1 * series])  # repetitions, mean 1
    kspace = to_kspace(twice).reshape(2, 3 * n_slices, 2, rows, columns)
    interlaced = [0, 2, 4, 1, 3, 5]
    order = [3 * one + echo for one in interlaced for echo in range(3)]
    scan = synthetic_scan(kspace, n_echoes=3, object_order=order, **oblique_headers(n_slices)).write(tmp_path)
    read = reconstruct(scan)
    assert read.images.shape == (3, n_slices, rows, columns)
    expected = decay[:, None, None, None] * np.abs(head) * np.sqrt(np.sum(np.abs(coils) ** 2, axis=0))
    np.testing.assert_allclose(scaled(np.abs(read.images), expected), expected, atol=1e-5 * expected.max())
    np.testing.assert_allclose(read.geometry.directions[0], OBLIQUE[2], atol=1e-9)
    np.testing.assert_allclose(centre_of(read), np.array([4e-3, -3e-3, 0]) @ OBLIQUE, atol=1e-9)
    assert read.provenance["format"] == "ParaVision 7.0.0"
    assert read.missing == ()


def test_repetitions_and_odd_sizes_without_a_reconstruction_file(
    head: np.ndarray, synthetic_scan: Any, tmp_path: Path
) -> None:
    kspace = to_kspace(np.stack([head, head, head]))[:, :, None]
    read = reconstruct(synthetic_scan(kspace, reco=None, big_endian=True).write(tmp_path))
    np.testing.assert_allclose(scaled(read.images[0], head), head, atol=1e-5 * np.abs(head).max())


def test_volume_with_two_echoes(head: np.ndarray, synthetic_scan: Any, tmp_path: Path) -> None:
    n_part, rows, columns = head.shape
    volume = np.stack([head, 0.5 * head])
    half_a_slice = np.exp(-1j * np.pi * (np.arange(n_part) - n_part // 2) / n_part)[:, None, None]
    kspace = to_kspace(volume, axes=(-3, -2, -1)) * half_a_slice  # slices lie on either side of the isocentre
    kspace = kspace.reshape(1, 2, 1, n_part * rows, columns)
    sizes = f"( 3 )\n{columns} {rows} {n_part}"
    steps1, steps2 = (" ".join(str(k - n // 2) for k in range(n)) for n in (rows, n_part))
    headers = oblique_headers(1)
    headers["acqp"] |= {"ACQ_dim": "3", "ACQ_dim_desc": "( 3 )\nSpatial Spatial Spatial",
                        "ACQ_size": f"( 3 )\n{2 * columns} {rows} {n_part}", "ACQ_slice_thick": "6",
                        "ACQ_slice_offset": "( 1 )\n0"}  # fmt: skip
    headers["method"] |= {"PVM_Matrix": sizes, "PVM_EncMatrix": sizes, "PVM_Fov": f"( 3 )\n{columns} {rows} 6",
                          "PVM_EncSteps1": f"( {rows} )\n{steps1}", "PVM_EncSteps2": f"( {n_part} )\n{steps2}",
                          "PVM_SPackArrReadOffset": "( 1 )\n0", "PVM_SPackArrPhase1Offset": "( 1 )\n0"}  # fmt: skip
    read = reconstruct(synthetic_scan(kspace, n_echoes=2, reco=None, **headers).write(tmp_path))
    np.testing.assert_allclose(scaled(read.images, volume), volume, atol=1e-5 * np.abs(volume).max())
    first, last = (read.geometry.affine @ [n, rows // 2, columns // 2, 1] for n in (0, n_part - 1))
    np.testing.assert_allclose((first + last)[:3], 0, atol=1e-12)  # the slab is centred between its slices
    np.testing.assert_allclose((last - first)[:3], 5e-3 * OBLIQUE[2], atol=1e-12)
