"""A volume made plane by plane, so that it takes no memory; run as a program it is reconstructed with little memory."""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction import image_noise
from knightshift.reconstruction.export.folder import save_images
from knightshift.reconstruction.export.images_file import FILE_NAME
from knightshift.reconstruction.export.volume_maps import fit_volume_file
from knightshift.reconstruction.image_fit import T2Request
from knightshift.reconstruction.kspace import KSpaceScan, Partitions, StoredKSpace
from knightshift.reconstruction.reconstruct import images_of_scan
from knightshift.reconstruction.relaxometry import T2Options
from knightshift.reconstruction.storage import disk_storage

T2 = 20e-3
ECHO_TIMES = np.array([5e-3, 10e-3, 20e-3])
SHAPE = 3, 96, 1, 128, 128
"""38 MB: ``(echo, partition, channel, line, sample)``."""
_LIMIT = 19 << 20
_MEMORY = 6 << 20
_NOISE_VOXELS = 100_000
"""In so many the noise is measured, which takes the same memory however large the volume."""


class GrowingVolume(StoredKSpace):
    """A Gaussian ball in noise."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape

    @property
    def shape(self) -> tuple[int, ...]:
        return 1, *self._shape

    def read(self, repetition: int, echo: int, slices: range) -> np.ndarray:
        z, y, x = (np.exp(-(((np.arange(n) - n // 2) / 3) ** 2)) for n in (self._shape[1], *self._shape[3:]))
        plane = (np.outer(y, x) * np.exp(-ECHO_TIMES[echo] / T2)).astype(np.complex64)
        planes = np.empty((len(slices), *self._shape[2:]), np.complex64)
        for number, index in enumerate(slices):
            noise = np.random.default_rng((echo, index)).normal(size=2 * plane.size).astype(np.float32)
            planes[number, 0] = 100 * z[index] * plane + noise.view(np.complex64).reshape(plane.shape)
        return planes


def scan(shape: tuple[int, ...] = SHAPE) -> KSpaceScan:
    """Describe the volume."""
    _, n_slices, _, n_lines, n_samples = shape
    geometry = [ImageGeometry((1e-3,) * 3, np.eye(3), np.array([1e-3 * n, 0, 0])) for n in range(n_slices)]
    return KSpaceScan(
        source=Path("volume"), format="synthetic", kspace=GrowingVolume(shape),
        line_steps=np.arange(n_lines) - n_lines // 2,
        center_sample=n_samples // 2, grid=(n_lines, n_samples), matrix=(n_lines, n_samples),
        shifts=np.zeros((n_slices, 2)), transposed=np.zeros(n_slices, bool), echo_times=ECHO_TIMES,
        partitions=Partitions(np.arange(n_slices) - n_slices // 2, n_slices, n_slices),
        slice_geometries=tuple(geometry),
    )  # fmt: skip


def reconstruct_and_fit(volume: KSpaceScan, folder: Path) -> None:
    with disk_storage(folder, _MEMORY) as beside:
        save_images(images_of_scan(volume, storage=beside), folder, figures=False)
    fit_volume_file(folder / FILE_NAME, folder, T2Request(fit=T2Options(threads=1)), _MEMORY)


def main() -> None:
    """Take little memory beyond what the libraries have taken for a small volume."""
    image_noise._MOST_VOXELS = _NOISE_VOXELS
    with tempfile.TemporaryDirectory() as name:
        reconstruct_and_fit(scan((3, 8, 1, 32, 32)), Path(name))
    np.ones((256, 256), np.complex64) @ np.ones((256, 256), np.complex64)
    taken = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
    limit = 1024 * int(taken.split()[1]) + _LIMIT
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        np.empty(SHAPE, np.complex64)
    except MemoryError:
        sys.stdout.write("too large at once")
    reconstruct_and_fit(scan(), Path(sys.argv[1]))


if __name__ == "__main__":
    main()
