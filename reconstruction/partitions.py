"""The second phase encoding of a 3D scan: k-space is transformed along the slice axis, strip by strip."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from knightshift.core.arrays import ComplexArray
from knightshift.core.errors import ShapeError
from knightshift.reconstruction.fft import centered_ifft
from knightshift.reconstruction.kspace import Partitions
from knightshift.reconstruction.storage import Storage


def transform_partitions(kspace: Any, partitions: Partitions, images: Any, storage: Storage, *, to_grid: bool) -> Any:
    """Transform k-space along its slice axis.

    A volume of one receiver is transformed where its images will be. It lies at their end, so that images made slice by
    slice from the first on never reach slices that are still needed.

    Parameters
    ----------
    kspace
        Shape ``(echo, partition, channel, line, sample)``; read a few partitions at a time.
    partitions
        Where the partitions belong.
    images
        Array that will take the images, shape ``(echo, slice, phase_encode, readout)``; what it holds is lost.
    storage
        Where the volume goes if not there.
    to_grid
        Divide by the points of the grid rather than by those acquired.

    Returns
    -------
    array
        Shape ``(echo, slice, channel, line, sample)``; more slices may follow, which mean nothing.

    Raises
    ------
    ShapeError
        If the partitions do not fit their grid.
    StorageError
        If `storage` has no room.
    """
    n_echoes, n_partitions, *tail = kspace.shape
    rows = partitions.steps + partitions.grid // 2
    if len(rows) != n_partitions or rows.min() < 0 or rows.max() >= partitions.grid:
        raise ShapeError(f"{n_partitions} partitions do not fit a grid of {partitions.grid} points")
    n_kept = max(n_partitions, partitions.matrix)
    line_bytes = n_kept * tail[0] * tail[2] * kspace.dtype.itemsize
    n_lines = int(np.clip(storage.slab_bytes // line_bytes, 1, tail[1]))
    volume = _end_of_images(images, (n_kept, *tail))
    if volume is None:
        volume = storage.scratch((n_echoes, n_kept, *tail), (1, 1, tail[0], n_lines, tail[2]), images.dtype)
    step = max(1, storage.slab_bytes // (math.prod(tail) * kspace.dtype.itemsize))
    for echo in range(n_echoes):
        for start in range(0, n_partitions, step):
            stop = min(start + step, n_partitions)
            volume[echo, start:stop] = kspace[echo, start:stop]
        for line in range(0, tail[1], n_lines):
            strip = volume[echo, :, :, line : line + n_lines]  # of a file it is a copy
            _transform_strip(strip, rows, partitions, to_grid=to_grid)
            if not isinstance(volume, np.ndarray):
                volume[echo, :, :, line : line + n_lines] = strip
    return volume


def _end_of_images(images: Any, shape: tuple[int, ...]) -> ComplexArray | None:
    """View of the end of the memory of the images of each echo, if the volume is not larger; None otherwise."""
    n_images, n_volume = math.prod(images.shape[1:]), math.prod(shape)
    if not isinstance(images, np.ndarray) or n_volume > n_images or shape[0] > images.shape[1]:
        return None
    return images.reshape(len(images), n_images)[:, n_images - n_volume :].reshape(len(images), *shape)


def _transform_strip(strip: ComplexArray, rows: Any, partitions: Partitions, *, to_grid: bool) -> None:
    """Transform the first axis of some lines ``(partition, channel, line, sample)`` in place."""
    n_partitions = len(rows)
    scale = 1.0 if to_grid else partitions.grid / n_partitions
    shifts = (partitions.shift,) if partitions.shift else None
    first = int(rows[0])
    places = slice(first, first + n_partitions) if np.array_equal(rows, first + np.arange(n_partitions)) else rows
    start = partitions.grid // 2 - partitions.matrix // 2
    grid = np.zeros((strip.shape[1], strip.shape[3], partitions.grid), strip.dtype)
    for line in range(strip.shape[2]):
        grid[...] = 0
        grid[..., places] = np.moveaxis(strip[:n_partitions, :, line], 0, -1)
        if scale != 1:
            grid *= scale
        centered_ifft(grid, n_axes=1, shifts=shifts, out=grid)
        strip[: partitions.matrix, :, line] = np.moveaxis(grid[..., start : start + partitions.matrix], -1, 0)
