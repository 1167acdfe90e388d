"""T2 of a volume that is larger than memory: fitted a few slices at a time, written as HDF5 and as NIfTI.

``t2_maps.h5`` has the data sets ``t2``, ``t2_std``, ``amplitude`` and ``status``, each of shape ``(slice, phase_encode,
readout)`` with the attribute ``units``; the attribute ``methods`` of the file says how they were made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import ComplexArray
from knightshift.core.durable import make_folder, part_of
from knightshift.reconstruction.export.images_file import images_shape, load_slab
from knightshift.reconstruction.export.maps import T2_MAPS, write_sidecar
from knightshift.reconstruction.export.nifti import write_volume
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import T2Fit, T2Options, fit_series, with_train
from knightshift.reconstruction.relaxometry.phase import turns_of_slabs
from knightshift.reconstruction.relaxometry.result import has_t2

MAPS_FILE = "t2_maps.h5"
"""Name of the maps of a volume."""
_COPIES = 5
"""Memory that a fit takes at most, in units of the images that it is given; `benchmarks/batch.py` measures it."""


def fits_memory(image_bytes: int, memory: int) -> bool:
    """Whether images of so many bytes can be fitted whole."""
    return _COPIES * image_bytes <= memory


def slab_edges(shape: tuple[int, int, int, int], memory: int) -> tuple[int, ...]:
    """First slice of each slab, and one past the last slice; a slab holds one slice at least.

    Parameters
    ----------
    shape
        Of the images, ``(echo, slice, phase_encode, readout)``.
    memory
        Bytes that fitting one slab may take.
    """
    n_echoes, n_slices, n_lines, n_read = shape
    thick = max(1, memory // (_COPIES * n_echoes * n_lines * n_read * 8))
    return (*range(0, n_slices, thick), n_slices)


def turns_of_volume(path: Path, memory: int) -> ComplexArray:
    """Turn of each echo as a whole, over all voxels of an images file, shape ``(echo,)``.

    Raises
    ------
    InputError, DamagedDataError
        If the slices lie in several directions, or the file cannot be read.
    """
    edges = slab_edges(images_shape(path), memory)
    noise = load_slab(path, 0, 1).noise_std
    weights = np.where(np.isfinite(noise) & (noise > 0), noise, 1.0)
    return turns_of_slabs((load_slab(path, start, stop).images for start, stop in pairwise(edges)), weights)


def fit_slices(
    path: Path, slices: tuple[int, int], options: T2Options, turns: ComplexArray, noise_std: float | None = None
) -> tuple[ImageSeries, T2Fit]:
    """Fit T2 to some slices of an images file.

    As many voxels of pure noise pass as in the whole volume at once, and `turns`, of `turns_of_volume`, are those of
    all of it. Only the slope of the phase across the image, which the smoothing follows, is that of these slices.

    Raises
    ------
    InputError, DamagedDataError
        If the images cannot be fitted or read.
    """
    share = (slices[1] - slices[0]) / images_shape(path)[1]
    series = load_slab(path, *slices)
    if noise_std is not None:
        series = series.with_noise(noise_std)
    return series, fit_series(series, with_train(options, series), false_voxels=0.01 * share, turns=turns)


def map_arrays(fit: T2Fit) -> dict[str, NDArray[Any]]:
    """Take the maps of a fit in the precision in which they are stored."""
    stored = {one.quantity: np.asarray(getattr(fit, one.quantity)) for one in T2_MAPS}
    return {name: values.astype(np.int8 if name == "status" else np.float32) for name, values in stored.items()}


class MapsFile:
    """A file of maps that is filled slab by slab; see `new_maps_file`."""

    def __init__(self, file: Any, shape: tuple[int, ...]) -> None:
        self._file, self._shape = file, shape
        self.n_voxels = 0
        """Voxels with a T2 so far."""

    def add(self, start: int, maps: Mapping[str, NDArray[Any]], methods: str) -> None:
        """Put the maps of the slices from `start` on in their place."""
        self._file.attrs["methods"] = methods
        for one in T2_MAPS:
            values = maps[one.quantity]
            if one.quantity not in self._file:
                self._file.create_dataset(one.quantity, self._shape, values.dtype, chunks=(1, *self._shape[1:]))
                self._file[one.quantity].attrs["units"] = one.units
            self._file[one.quantity][start : start + len(values)] = values
        self.n_voxels += int(np.count_nonzero(has_t2(maps["status"])))


@contextmanager
def new_maps_file(folder: Path, shape: tuple[int, ...]) -> Iterator[MapsFile]:
    """Make ``t2_maps.h5`` for a volume of `shape` in `folder`; it appears complete or not at all.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    with part_of(folder / MAPS_FILE, "writing maps") as part, h5py.File(part, "w", libver=("v108", "v110")) as file:
        yield MapsFile(file, shape)


def write_map_volumes(maps: Path, images: Path, folder: Path) -> tuple[Path, ...]:
    """Write the maps of ``t2_maps.h5`` as NIfTI with side-cars, slice by slice.

    Parameters
    ----------
    maps
        The file of maps.
    images
        The images they were fitted to: tells where the voxels are.
    folder
        Where the NIfTI files go; must exist.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    geometry = load_slab(images, 0, 1).geometry
    paths = tuple(folder / f"{one.name}.nii.gz" for one in T2_MAPS)
    with h5py.File(maps, "r") as file:
        methods = str(file.attrs["methods"])
        for path, one in zip(paths, T2_MAPS, strict=True):
            write_volume(path, file[one.quantity], geometry, one.description)
            write_sidecar(path, one, methods)
    return paths


@dataclass(frozen=True)
class VolumeFit:
    """What the fit of a volume left."""

    paths: tuple[Path, ...]
    """Files written."""
    n_voxels: int
    """Voxels with a T2."""
    edges: tuple[int, ...]
    """First slice of each slab, and one past the last slice."""
    turns: ComplexArray
    """Of `turns_of_volume`."""


def fit_volume_file(
    images: Path, folder: Path, options: T2Options, memory: int, noise_std: float | None = None
) -> VolumeFit:
    """Fit an images file of any size slab by slab, and write its maps.

    Parameters
    ----------
    images
        ``images.h5``, its slices in one stack.
    folder
        Output folder, made if need be.
    options
        How to fit.
    memory
        Bytes that a fit may take.
    noise_std
        Noise of the real part; None: as it stands in the file.

    Raises
    ------
    InputError, DamagedDataError
        If the images cannot be fitted or read.
    StorageError
        If the disk is full or read-only.
    """
    make_folder(folder)
    shape = images_shape(images)
    edges, turns = slab_edges(shape, memory), turns_of_volume(images, memory)
    with new_maps_file(folder, shape[1:]) as maps:
        for start, stop in pairwise(edges):
            _, fit = fit_slices(images, (start, stop), options, turns, noise_std)
            maps.add(start, map_arrays(fit), fit.methods_sentence())
    written = (folder / MAPS_FILE, *write_map_volumes(folder / MAPS_FILE, images, folder))
    return VolumeFit(written, maps.n_voxels, edges, turns)


def middle_slab(
    images: Path, volume: VolumeFit, options: T2Options, noise_std: float | None = None
) -> tuple[ImageSeries, T2Fit]:
    """Fit the slab in the middle again, for a report; the methods of its images say which slices it holds."""
    middle = (len(volume.edges) - 1) // 2
    start, stop = volume.edges[middle : middle + 2]
    series, fit = fit_slices(images, (start, stop), options, volume.turns, noise_std)
    told = f"This report is of slices {start + 1} to {stop} of {volume.edges[-1]}; the maps hold all of them."
    return replace(series, methods=(*series.methods, told)), fit
