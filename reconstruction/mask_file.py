"""Masks that a user has drawn, and maps of B1 and T1: NIfTI on the grid of our images, ``.npy``, or HDF5."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry.result import has_t2
from knightshift.reconstruction.voxel_file import Grid, VoxelFile, open_voxel_file

_VOXELS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class MaskFile:
    """Voxels of interest in a file; made by `open_mask`."""

    file: VoxelFile
    """What is not zero is inside; of a data set ``status``, or our ``t2_status.nii.gz``, what has a T2."""

    @property
    def is_status(self) -> bool:
        """Whether the numbers are `T2Status`, where zero is a voxel with a T2."""
        return self.file.dataset == "status" or self.file.description.startswith("t2_status")

    def read(self, start: int = 0, stop: int | None = None) -> BoolArray:
        """Read some slices, shape ``(slice, phase_encode, readout)``. Raises `InputError` or `DamagedDataError`."""
        values = self.file.read(start, stop)
        return has_t2(values) if self.is_status else _inside(self.file.path, values)

    def count(self) -> int:
        """Count the voxels inside, slice by slice. Raises `InputError` where there are none."""
        n_slices, *plane = self.file.grid.shape
        thick = max(1, _VOXELS_AT_ONCE // int(np.prod(plane)))
        starts = range(0, n_slices, thick)
        found = sum(int(np.count_nonzero(self.read(start, min(start + thick, n_slices)))) for start in starts)
        if not found:
            size = int(np.prod(self.file.grid.shape))
            raise InputError(f"{self.file.path}: no voxel is inside this mask: every one of {size} is 0")
        return found


def open_mask(path: Path, grid: Grid) -> MaskFile:
    """Find the voxels of interest of images; errors as of `open_voxel_file`.

    Parameters
    ----------
    path
        As of `open_voxel_file`; the data set of HDF5 is ``mask``, or else ``status``, as in ``t2_maps.h5``. Of that and
        of ``t2_status.nii.gz`` the voxels with a T2 are taken.
    grid
        That of the images.
    """
    return MaskFile(open_voxel_file(path, grid, "mask", ("mask", "status")))


def read_mask(path: Path, series: ImageSeries) -> BoolArray:
    """Read the voxels of interest of a series of images.

    Parameters
    ----------
    path
        As of `open_mask`.
    series
        The images that the mask belongs to.

    Returns
    -------
    BoolArray
        Shape ``(slice, phase_encode, readout)``.

    Raises
    ------
    ShapeError
        If the mask does not have the shape of the images.
    InputError
        If there is no such file, nothing is inside, or its affine puts the mask elsewhere.
    DamagedDataError
        If the file cannot be read.
    UnsupportedDataError
        If it is of another kind.
    """
    mask = open_mask(path, Grid.of(series))
    mask.count()
    return mask.read()


def open_map(path: Path, grid: Grid, quantity: str) -> VoxelFile:
    """Find the B1 or T1 of every voxel; errors as of `open_voxel_file`.

    Parameters
    ----------
    path
        As of `open_voxel_file`; the data set of HDF5 is named as the quantity: ``b1`` or ``t1``.
    grid
        That of the images.
    quantity
        ``B1`` or ``T1``.
    """
    return open_voxel_file(path, grid, f"{quantity} map", (quantity.lower(),))


def read_map(file: VoxelFile, start: int = 0, stop: int | None = None) -> RealArray:
    """Read some slices of a map, shape ``(slice, phase_encode, readout)``; NaN where nothing is known.

    Raises
    ------
    InputError
        If these are no real numbers.
    DamagedDataError
        If the file cannot be read.
    """
    values = file.read(start, stop)
    if values.dtype.kind not in "iuf":
        raise InputError(f"{file.path}: a {file.what} is made of real numbers, these are {values.dtype}")
    return np.asarray(values, dtype=float)


def _inside(path: Path, values: NDArray[Any]) -> BoolArray:
    if values.dtype.kind not in "biuf":
        raise InputError(f"{path}: a mask is made of finite numbers, 0 outside: these are {values.dtype}")
    if n_wrong := int(np.count_nonzero(~np.isfinite(values))):
        raise InputError(
            f"{path}: a mask is made of finite numbers, 0 outside: {n_wrong} of {values.size} are NaN or infinite (of "
            "a map with gaps, such as t2_map, give the t2_status that lies beside it)"
        )
    return np.asarray(values != 0)
