"""Numbers of voxels that a user has: NIfTI on the grid of our images, ``.npy`` or HDF5, read whole or slice by slice.

A NIfTI has its axes and its affine as `nifti_bytes` writes them, so that what was drawn or measured over our images
lies on the same voxels.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from knightshift.core.arrays import RealArray
from knightshift.core.errors import DamagedDataError, InputError, ShapeError, UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.export.images_file import images_shape, load_slab
from knightshift.reconstruction.export.nifti import nifti_affine
from knightshift.reconstruction.images import ImageSeries

_NPY = b"\x93NUMPY"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_NIFTI_ENDINGS = (".nii", ".nii.gz")
_TOLERANCE = 0.1
"""Of a voxel: how far the affine of a file may put a corner of the image from where it is."""
_UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, RuntimeError),
    *(zlib.error, ImageFileError, HeaderDataError),
)
_AXES = "(slice, phase_encode, readout)"


@dataclass(frozen=True)
class Grid:
    """The voxels that numbers have to be of."""

    shape: tuple[int, int, int]
    """Counts along ``(slice, phase_encode, readout)``."""
    geometry: ImageGeometry
    """Where they are."""
    n_stacks: int = 1
    """Directions in which the slices lie."""

    @classmethod
    def of(cls, series: ImageSeries) -> Grid:
        """Return the grid of images in memory."""
        n_slices, n_lines, n_read = series.images.shape[1:]
        return cls((n_slices, n_lines, n_read), series.geometry, len(series.slice_stacks))

    @classmethod
    def of_file(cls, images: Path) -> Grid:
        """Return the grid of an images file of one stack. Raises `InputError` or `DamagedDataError`."""
        return cls(images_shape(images)[1:], load_slab(images, 0, 1).geometry)


@dataclass(frozen=True)
class VoxelFile:
    """A file with one number for every voxel of a grid; made by `open_voxel_file`."""

    path: Path
    """The file."""
    what: str
    """What the numbers are, for messages: ``mask`` or ``T1 map``."""
    grid: Grid
    """What they are of."""
    dataset: str | None
    """Of HDF5: the data set that is read."""
    description: str = ""
    """Of NIfTI: what its header says that it is."""

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read some slices, shape ``(slice, phase_encode, readout)``. Raises `DamagedDataError`."""
        n_slices, n_lines, n_read = self.grid.shape
        stop = n_slices if stop is None else stop
        with _opened(self.path, self.what) as stored:
            values = stored[self.dataset] if self.dataset is not None else stored
            if isinstance(values, nib.arrayproxy.ArrayProxy):
                slab = np.asarray(values[_slab_index(values.ndim, start, stop)[::-1]]).T
            else:
                slab = np.asarray(values[_slab_index(values.ndim, start, stop)])
        return slab.reshape(stop - start, n_lines, n_read)


def open_voxel_file(path: Path, grid: Grid, what: str, datasets: tuple[str, ...]) -> VoxelFile:
    """Check that a file holds one number for every voxel.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz`` with the axes ``(readout, phase_encode, slice)`` and the affine of our NIfTI; ``.npy``
        of shape ``(slice, phase_encode, readout)``, or without the slice where there is one; or HDF5 with such a data
        set.
    grid
        The voxels that the numbers belong to.
    what
        What the numbers are, for messages.
    datasets
        Names of the data set of an HDF5 file; the first that is there is read.

    Raises
    ------
    ShapeError
        If the numbers do not have the shape of the grid.
    InputError
        If there is no such file or data set, or the affine puts the numbers elsewhere.
    DamagedDataError
        If the file cannot be read.
    UnsupportedDataError
        If it is of another kind.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such {what}: give a NIfTI, .npy or HDF5 file")
    if _is_nifti(path) and grid.n_stacks > 1:
        raise InputError(
            f"{path}: these images lie in {grid.n_stacks} directions, and a NIfTI has one affine: give the {what} of "
            f"all slices as .npy of shape {_AXES}"
        )
    dataset, axes = None, _AXES
    with _opened(path, what) as stored:
        if isinstance(stored, h5py.File):
            dataset = next((name for name in datasets if isinstance(stored.get(name), h5py.Dataset)), None)
            if dataset is None:
                raise InputError(f"{path}: holds no data set {' or '.join(map(repr, datasets))}")
            shape = stored[dataset].shape
        else:
            shape = stored.shape
        if _is_nifti(path):
            shape, axes = shape[::-1], f"{_AXES}, in the file the other way round"
        _check_shape(f"{path}: the {what}", tuple(shape), grid.shape, axes)
    description = _check_place(path, grid, what) if _is_nifti(path) else ""
    return VoxelFile(path, what, grid, dataset, description)


def _is_nifti(path: Path) -> bool:
    return path.name.endswith(_NIFTI_ENDINGS)


@contextmanager
def _opened(path: Path, what: str) -> Iterator[Any]:
    """Open an array that is read when it is indexed, or an HDF5 file; errors of the libraries become ours."""
    try:
        if _is_nifti(path):
            image: Any = nib.load(path)
            yield image.dataobj
            return
        with path.open("rb") as file:
            start = file.read(len(_HDF5))
        if start.startswith(_NPY):
            yield np.load(path, mmap_mode="r", allow_pickle=False)
        elif start.startswith(_HDF5):
            with h5py.File(path, "r") as file:
                yield file
        else:
            raise UnsupportedDataError(f"{path}: is no {what} that can be read: give .nii, .nii.gz, .npy or HDF5")
    except _UNREADABLE as error:
        if isinstance(error, InputError | UnsupportedDataError):
            raise
        raise DamagedDataError(path, what, f"it cannot be read ({error})", f"save the {what} again") from error


def _slab_index(n_axes: int, start: int, stop: int) -> tuple[Any, ...]:
    """Index of some slices of an array whose last three axes are slice, phase_encode and readout."""
    if n_axes < 3:
        return (slice(None),) * n_axes
    return (*(0,) * (n_axes - 3), slice(start, stop), slice(None), slice(None))


def _check_shape(whose: str, found: tuple[int, ...], expected: tuple[int, ...], axes: str) -> None:
    """Compare shapes; axes of length one before the slice, or a single slice that is left out, make no difference."""
    core = tuple(found)
    while len(core) > len(expected) and core[0] == 1:
        core = core[1:]
    core = (1,) * (len(expected) - len(core)) + core
    if core != tuple(expected):
        raise ShapeError(
            f"{whose} has shape {tuple(found)}, the images {tuple(expected)}, {axes}: make it on the images.nii.gz "
            "that `knightshift reconstruct` writes of this source"
        )


def _check_place(path: Path, grid: Grid, what: str) -> str:
    """Compare affines, and return what the header says of the file."""
    with _opened(path, what):
        image: Any = nib.load(path)
        affine = np.asarray(image.affine, dtype=float)
        description = bytes(image.header.get("descrip", b"")).decode("ascii", "replace").rstrip("\0")
    expected, size = nifti_affine(grid.geometry), np.asarray(grid.geometry.voxel_size) * 1e3
    ends = [(0, n - 1) for n in grid.shape[::-1]]
    corners = np.array([(*corner, 1) for corner in product(*ends)], dtype=float)
    apart = np.linalg.norm((corners @ (affine - expected).T)[:, :3], axis=1)
    if not apart.max() <= _TOLERANCE * size.min():
        worst = int(np.argmax(np.nan_to_num(apart, nan=np.inf)))
        file_at, image_at = ((matrix @ corners[worst])[:3] for matrix in (affine, expected))
        voxels = " x ".join(f"{edge:.3g}" for edge in size)
        raise InputError(
            f"{path}: the {what} lies elsewhere than the images: its corner {corners[worst, :3].astype(int).tolist()} "
            f"is at ({_words(file_at)}) mm, that of the images at ({_words(image_at)}) mm, {apart[worst]:.3g} mm "
            f"apart, with voxels of {voxels} mm: save it with the affine of our images.nii.gz, or as .npy without any"
        )
    return description


def _words(position: RealArray) -> str:
    return ", ".join(f"{value:.4g}" for value in position)
