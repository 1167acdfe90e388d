"""Transform a k-space that is larger than memory: from one HDF5 data set to another, a few images at a time.

Of an image that is larger than memory itself, planes are transformed first, and then strips along its first axis.
"""

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
        HDF5 file to write, with the data set ``images`` of the same shape and type, chunked by image or strip. It must
        not exist, and is removed again if the transform fails.
    n_axes
        How many of the last axes to transform.
    name
        Data set to read.
    memory
        Bytes of k-space to hold at a time; one plane of an image, and one line of all planes, are held in any case.

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
    image_bytes = math.prod(dataset.shape[n_outer:]) * dataset.dtype.itemsize
    is_large = n_axes > 1 and image_bytes > memory
    try:
        with h5py.File(target, "x", libver=("v108", "v110"), rdcc_nbytes=0) as out:
            chunks = _chunks(dataset, n_axes, memory // 3 if is_large else 2**31)
            images = out.create_dataset("images", dataset.shape, dataset.dtype, chunks=chunks)
            outer = dataset.shape[: n_outer + is_large]
            for place in _slabs(outer, image_bytes // (dataset.shape[n_outer] if is_large else 1), memory):
                slab = dataset[place]
                images[place] = centered_ifft(slab, n_axes=n_axes - is_large, out=slab)
            if is_large:
                _transform_first_axis(images, n_outer)
    except OSError as error:
        target.unlink(missing_ok=True)
        if getattr(error, "errno", None) is None:  # HDF5 could not read the source
            raise
        raise storage_error(target, "writing images", error) from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _chunks(dataset: Any, n_axes: int, memory: int) -> tuple[int, ...]:
    """Chunk of the images: one image, or of a larger one as many points along the second axis as fit a strip."""
    shape = dataset.shape
    n_outer, lengths = dataset.ndim - n_axes, shape[dataset.ndim - n_axes :]
    if math.prod(lengths) * dataset.dtype.itemsize <= memory:
        return (*(1,) * n_outer, *lengths)
    if n_axes == 1:
        return (*(1,) * n_outer, min(lengths[0], 2**24))
    row_bytes = lengths[0] * math.prod(lengths[2:]) * dataset.dtype.itemsize
    return (*(1,) * (n_outer + 1), int(np.clip(memory // row_bytes, 1, lengths[1])), *lengths[2:])


def _transform_first_axis(images: Any, n_outer: int) -> None:
    """Transform the first axis of each image in place, strip by strip of chunks."""
    n_columns, step = images.shape[n_outer + 1], images.chunks[n_outer + 1]
    for index in np.ndindex(*images.shape[:n_outer]):
        for start in range(0, n_columns, step):
            place = (*index, slice(None), slice(start, start + step))
            strip = np.ascontiguousarray(np.moveaxis(images[place], 0, -1))
            images[place] = np.moveaxis(centered_ifft(strip, n_axes=1, out=strip), -1, 0)


def _slabs(outer: tuple[int, ...], image_bytes: int, memory: int) -> list[tuple[int | slice, ...]]:
    """Index of each slab: as many images along the last outer axis as fit `memory`."""
    if not outer:
        return [(...,)]  # type: ignore[list-item]
    step = max(1, memory // image_bytes)
    places: list[tuple[int | slice, ...]] = []
    for index in np.ndindex(*outer[:-1]):
        places += [(*index, slice(start, start + step)) for start in range(0, outer[-1], step)]
    return places
