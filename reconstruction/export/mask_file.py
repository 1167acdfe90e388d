"""Masks that a user has drawn: NIfTI on the grid of our images, ``.npy``, or the maps of an earlier fit.

A NIfTI mask has its axes and its affine as `nifti_bytes` writes them, so that one drawn over our images in napari or
3D Slicer lies on the same voxels.
"""

from __future__ import annotations

import zlib
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import DamagedDataError, InputError, ShapeError, UnsupportedDataError
from knightshift.reconstruction.export.nifti import nifti_affine
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry.result import has_t2

_NPY = b"\x93NUMPY"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_NIFTI_ENDINGS = (".nii", ".nii.gz")
_TOLERANCE = 0.1
"""Of a voxel: how far the affine of a mask may put a corner of the image from where it is."""
_UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, RuntimeError),
    *(zlib.error, ImageFileError, HeaderDataError),
)


def read_mask(path: Path, series: ImageSeries) -> BoolArray:
    """Read the voxels of interest of a series of images.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz`` with the axes ``(readout, phase_encode, slice)`` and the affine of our NIfTI; ``.npy``
        of shape ``(slice, phase_encode, readout)``, or without the slice where there is one; or HDF5 with such a data
        set ``mask``, or else ``status``, as in ``t2_maps.h5`` (voxels that have a T2). What is not zero is inside.
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
    if not path.is_file():
        raise InputError(f"{path}: there is no such mask: give a NIfTI, .npy or HDF5 file")
    with path.open("rb") as file:
        start = file.read(len(_HDF5))
    try:
        mask = _values(path, start, series)
    except _UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise DamagedDataError(path, "mask", f"it cannot be read ({error})", "save the mask again") from error
    if not mask.any():
        raise InputError(f"{path}: no voxel is inside this mask: every one of {mask.size} is 0")
    return mask


def _values(path: Path, start: bytes, series: ImageSeries) -> BoolArray:
    shape = series.images.shape[1:]
    if path.name.endswith(_NIFTI_ENDINGS):
        return _from_nifti(path, series)
    if start.startswith(_NPY):
        stored: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        _check_shape(path, stored.shape, shape, "(slice, phase_encode, readout)")
        return _inside(path, stored).reshape(shape)
    if not start.startswith(_HDF5):
        raise UnsupportedDataError(f"{path}: is no mask that can be read: give .nii, .nii.gz, .npy or HDF5")
    with h5py.File(path, "r") as file:
        name = next((name for name in ("mask", "status") if isinstance(file.get(name), h5py.Dataset)), None)
        if name is None:
            raise InputError(f"{path}: holds neither a data set 'mask' nor the 'status' of a fit")
        _check_shape(path, file[name].shape, shape, "(slice, phase_encode, readout)")
        values = np.asarray(file[name][()]).reshape(shape)
    return has_t2(values) if name == "status" else _inside(path, values)


def _from_nifti(path: Path, series: ImageSeries) -> BoolArray:
    if series.stacks:
        raise InputError(
            f"{path}: these images lie in {len(series.stacks)} directions, and a NIfTI has one affine: give the mask "
            "of all slices as .npy of shape (slice, phase_encode, readout)"
        )
    image: Any = nib.load(path)
    expected = series.images.shape[1:]
    _check_shape(path, image.shape[::-1], expected, "(slice, phase_encode, readout), in the file the other way round")
    _check_place(path, np.asarray(image.affine, dtype=float), series)
    return _inside(path, np.asarray(image.dataobj)).reshape(expected[::-1]).transpose()


def _check_shape(path: Path, found: tuple[int, ...], expected: tuple[int, ...], axes: str) -> None:
    """Compare shapes; axes of length one before the slice, or a single slice that is left out, make no difference."""
    core = tuple(found)
    while len(core) > len(expected) and core[0] == 1:
        core = core[1:]
    core = (1,) * (len(expected) - len(core)) + core
    if core != tuple(expected):
        raise ShapeError(
            f"{path}: the mask has shape {tuple(found)}, the images {tuple(expected)}, {axes}: draw the mask on the "
            "images.nii.gz that `knightshift reconstruct` writes of this source"
        )


def _check_place(path: Path, affine: RealArray, series: ImageSeries) -> None:
    expected, size = nifti_affine(series.geometry), np.asarray(series.geometry.voxel_size) * 1e3
    ends = [(0, n - 1) for n in series.images.shape[:0:-1]]
    corners = np.array([(*corner, 1) for corner in product(*ends)], dtype=float)
    apart = np.linalg.norm((corners @ (affine - expected).T)[:, :3], axis=1)
    if not apart.max() <= _TOLERANCE * size.min():
        worst = int(np.argmax(np.nan_to_num(apart, nan=np.inf)))
        mask_at, image_at = ((matrix @ corners[worst])[:3] for matrix in (affine, expected))
        voxels = " x ".join(f"{edge:.3g}" for edge in size)
        raise InputError(
            f"{path}: the mask lies elsewhere than the images: its corner {corners[worst, :3].astype(int).tolist()} is "
            f"at ({_words(mask_at)}) mm, that of the images at ({_words(image_at)}) mm, {apart[worst]:.3g} mm apart, "
            f"with voxels of {voxels} mm: save the mask with the affine of our images.nii.gz, or as .npy without any"
        )


def _words(position: RealArray) -> str:
    return ", ".join(f"{value:.4g}" for value in position)


def _inside(path: Path, values: NDArray[Any]) -> BoolArray:
    if values.dtype.kind not in "biuf" or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise InputError(
            f"{path}: a mask is made of finite numbers, 0 outside: these are {values.dtype}, or not finite"
        )
    return np.asarray(values != 0)
