"""Transform a k-space that is larger than memory: from one HDF5 data set to another, a few images at a time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from knightshift.core.durable import storage_error
from knightshift.core.errors import DamagedDataError, InputError, StorageError
from knightshift.reconstruction.fft import centered_ifft

_MEMORY = 256 * 1024**2
"""Bytes of k-space in memory at a time, unless told otherwise."""


_MOST_COMPRESSION = 1000
"""A data set that claims to be larger than its storage by more than this is not believed."""


def transform_file(
    source: Path, target: Path, *, n_axes: int, name: str = "kspace", memory: int = _MEMORY
) -> tuple[int, ...]:
    """Transform the last axes of an HDF5 data set from k-space to the image, streaming.

    Parameters
    ----------
    source
        HDF5 file with the data set `name`: complex64 or complex128, shape ``(..., k_1, .., k_n)``, k = 0 at ``N // 2``.
    target
        HDF5 file to write, with the data set ``images`` of the same shape and type, chunked by image. It must not
        exist, and is removed again if the transform fails.
    n_axes
        How many of the last axes to transform.
    name
        Data set to read.
    memory
        Bytes of k-space to hold at a time; one image is held in any case.

    Returns
    -------
    tuple of int
        Shape of the images.

    Raises
    ------
    InputError
        If `source` is not there, or `target` is.
    DamagedDataError
        If `source` is no HDF5 file, or has no such data set of complex numbers inside itself.
    StorageError
        If the disk is full or read-only.
    """
    if not source.is_file():
        raise InputError(f"{source}: there is no such file")
    if target.exists():
        raise InputError(f"{target}: it exists already: remove it, or give another name")
    try:
        with h5py.File(source, "r") as file:
            dataset = _checked(file, name, source, n_axes)
            _write(dataset, source, target, (n_axes, memory))
            return tuple(int(n) for n in dataset.shape)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, InputError | StorageError):
            raise
        raise DamagedDataError(source, name, f"it is not readable HDF5 ({error})", "copy the file again") from error


def _checked(file: Any, name: str, source: Path, n_axes: int) -> Any:
    """Find the data set of complex numbers, which must lie in the file itself."""
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.file.id != file.id or dataset.external or dataset.is_virtual:
        raise DamagedDataError(source, name, "it is no data set of this file")
    if dataset.dtype not in (np.complex64, np.complex128) or not 1 <= n_axes <= dataset.ndim or 0 in dataset.shape:
        problem = f"{dataset.dtype} of shape {dataset.shape} cannot be transformed along {n_axes} axes"
        raise DamagedDataError(source, name, problem)
    stored = dataset.id.get_storage_size()
    if stored * _MOST_COMPRESSION < dataset.nbytes:
        raise DamagedDataError(source, name, f"it claims {dataset.nbytes} bytes, {stored} are stored: it was cut short")
    return dataset


def _write(dataset: Any, source: Path, target: Path, how: tuple[int, int]) -> None:
    """Write the images; what was begun is removed if the disk fails."""
    n_axes, memory = how
    n_outer = dataset.ndim - n_axes
    lengths = dataset.shape[n_outer:]
    try:
        with h5py.File(target, "x", libver=("v108", "v110")) as out:
            chunks = (*(1,) * n_outer, *lengths) if math.prod(lengths) * dataset.dtype.itemsize < 2**31 else True
            images = out.create_dataset("images", dataset.shape, dataset.dtype, chunks=chunks)
            for place in _slabs(dataset.shape[:n_outer], math.prod(lengths) * dataset.dtype.itemsize, memory):
                slab = dataset[place]
                images[place] = centered_ifft(slab, n_axes=n_axes, out=slab)
    except OSError as error:
        target.unlink(missing_ok=True)
        if getattr(error, "errno", None) is None:  # HDF5 could not read the source
            raise
        raise storage_error(target, "writing images", error) from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _slabs(outer: tuple[int, ...], image_bytes: int, memory: int) -> list[tuple[int | slice, ...]]:
    """Index of each slab: as many images along the last outer axis as fit `memory`."""
    if not outer:
        return [(...,)]  # type: ignore[list-item]
    step = max(1, memory // image_bytes)
    places: list[tuple[int | slice, ...]] = []
    for index in np.ndindex(*outer[:-1]):
        places += [(*index, slice(start, start + step)) for start in range(0, outer[-1], step)]
    return places
