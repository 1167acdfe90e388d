"""Regions that are not boxes: a mask from a file, or what an earlier measurement of the cell has shown."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from knightshift.acquisition.stop_rules.rules import MaskRegion
from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import DamagedDataError, InputError
from knightshift.core.run_folder import MANIFEST, open_run
from knightshift.reconstruction.export import load_images
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.reconstruct import images_of_run
from knightshift.reconstruction.region_words import RegionWords, region_words
from knightshift.reconstruction.relaxometry import Populations, find_populations, fit_series
from knightshift.reconstruction.relaxometry.populations import BULK_LABEL

_M_PER_MM = 1e-3
_MAX_BYTES = 64_000_000
_MAX_VOXELS = 100_000_000


def region_of_mask_file(path: Path) -> MaskRegion:
    """Read a mask: voxels that are not zero.

    Parameters
    ----------
    path
        NIfTI (``.nii``, ``.nii.gz``), which says where its voxels are; or ``.npy`` of shape
        ``(slice, phase_encode, readout)``, or without the slice, which must have the voxels of the images.

    Raises
    ------
    InputError
        If it is not there, of another kind, or holds no voxel.
    DamagedDataError
        If it cannot be read.
    """
    if not path.is_file():
        raise InputError(f"mask {path}: there is no such file")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"mask {path}: {path.stat().st_size / 1e6:.0f} MB is too large for a mask")
    name = path.name.lower()
    if name.endswith(".npy"):
        return _region(_read_npy(path), None, f"mask {path}")
    if name.endswith((".nii", ".nii.gz")):
        mask, affine = _read_nifti(path)
        return _region(mask, affine, f"mask {path}")
    raise InputError(f"mask {path}: give NIfTI (.nii, .nii.gz) or .npy")


def region_of_results(name: str, source: Path) -> MaskRegion:
    """Find a region in an earlier measurement of the cell.

    Parameters
    ----------
    name
        As in a report: ``electrodes``, ``electrode 1``, ``dendrite``, ``dendrite 2``; of no cell ``bulk``, ``part 1``,
        ``isolated region``.
    source
        A folder of results (a report, a fit, or reconstructed images), or a run.

    Raises
    ------
    InputError
        If no such region is found there; the message says which are.
    """
    series = _images(source)
    fit = fit_series(series)
    if not fit.ok.any():
        raise InputError(f"{source}: no voxel has a T2, so there are no regions: give a box or a mask")
    regions = _masks(find_populations(fit, series.geometry), region_words(series.nucleus))
    if name not in regions:
        raise InputError(f"{source}: there is no {name!r}: it has {', '.join(regions)}")
    return _region(regions[name], series.geometry.affine, f"{name} of {source}")


def _images(source: Path) -> ImageSeries:
    if (source / MANIFEST).is_file():
        return images_of_run(open_run(source))
    return load_images(source)


def _masks(found: Populations, words: RegionWords) -> dict[str, BoolArray]:
    masks: dict[str, BoolArray] = {words.bulk: np.asarray(found.labels == BULK_LABEL)}
    for rank, mask in enumerate(found.electrode_masks(), start=1):
        masks[words.part_number(rank)] = mask
    for number in range(len(found.isolated)):
        masks[words.isolated_number(number + 1)] = found.mask(number)
    return masks


def _read_npy(path: Path) -> BoolArray:
    try:
        values: Any = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedDataError(path, "array", f"cannot be read: {error}") from error
    return _truth(values[np.newaxis] if values.ndim == 2 else values, path)


def _read_nifti(path: Path) -> tuple[BoolArray, RealArray]:
    try:
        image: Any = nib.load(path)
        shape = tuple(image.shape)
        if math.prod(shape) > _MAX_VOXELS:
            raise InputError(f"mask {path}: claims {math.prod(shape)} voxels, too many for a mask")
        values = np.asanyarray(image.dataobj)
        affine = np.array(image.affine, float)
    except (OSError, EOFError, ImageFileError, zlib.error) as error:
        raise DamagedDataError(path, "image", f"cannot be read as NIfTI: {error}") from error
    affine[:3] *= _M_PER_MM
    return _truth(values.reshape(_without_series(shape)), path), affine


def _without_series(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Three axes where further ones have length 1; the slice is the last axis of a NIfTI."""
    three = (*shape, 1, 1)[:3]
    return three if math.prod(three) == math.prod(shape) else shape


def _truth(values: Any, path: Path) -> BoolArray:
    if values.ndim != 3:
        raise InputError(f"mask {path}: has shape {values.shape}, three axes were expected")
    if values.dtype.kind not in "biuf":
        raise InputError(f"mask {path}: holds {values.dtype}, numbers or truth values were expected")
    return np.asarray((values != 0) & ~np.isnan(values.astype(float)))


def _region(mask: BoolArray, affine: RealArray | None, source: str) -> MaskRegion:
    voxels = np.flatnonzero(mask)
    if voxels.size == 0:
        raise InputError(f"{source}: no voxel is in it")
    return MaskRegion(
        source=source,
        shape=(int(mask.shape[0]), int(mask.shape[1]), int(mask.shape[2])),
        affine=None if affine is None else tuple(float(number) for number in affine.ravel()),
        voxels=tuple(int(index) for index in voxels),
    )
