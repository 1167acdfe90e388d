"""T2 of a volume that is larger than memory: fitted a few slices at a time, written as HDF5 and as NIfTI.

``t2_maps.h5`` has the data sets ``t2``, ``t2_std``, ``amplitude`` and ``status``, each of shape ``(slice, phase_encode,
readout)`` with the attribute ``units``, and those of a richer decay or of an echo train by the names of their NIfTI
files; the attributes ``quantity`` (T2 or T2*), ``methods`` and ``richer_methods`` of the file say how they were made.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.durable import make_folder, part_of
from knightshift.reconstruction.export.images_file import images_shape, load_slab
from knightshift.reconstruction.export.maps import fit_maps, kind_of, richer_maps, write_sidecar
from knightshift.reconstruction.export.nifti import write_volume
from knightshift.reconstruction.image_fit import FittedImages, Slab, T2Request, VoxelInputs, fit_images
from knightshift.reconstruction.relaxometry import ModelVerdict, RicherModel, fit_series
from knightshift.reconstruction.relaxometry.model_comparison import richer_sentence
from knightshift.reconstruction.relaxometry.phase import turns_of_slabs
from knightshift.reconstruction.relaxometry.result import has_t2
from knightshift.reconstruction.t2_symbol import in_symbol, t2_name
from knightshift.reconstruction.voxel_file import Grid

MAPS_FILE = "t2_maps.h5"
"""Name of the maps of a volume."""
_COPIES = 5
"""Memory that a fit takes at most, in units of the images that it is given; `benchmarks/batch.py` measures it."""
_MEDIAN_COPIES = 3
_RICHER_BYTES, _TRAIN_BYTES = 1200, 900
"""What a richer decay, and an echo train with maps or its B1, take besides, measured [bytes a voxel]."""


def fits_memory(shape: tuple[int, ...], memory: int, request: T2Request | None = None) -> bool:
    """Whether images of a shape ``(echo, slice, phase_encode, readout)`` can be fitted whole."""
    return _bytes_of_voxel(shape[0], request) * math.prod(shape[1:]) <= memory


def _bytes_of_voxel(n_echoes: int, request: T2Request | None) -> int:
    needed = _COPIES * n_echoes * 8
    if request is not None:
        of_a_train = request.b1 is not None or request.t1 is not None
        needed += _RICHER_BYTES * (request.model is not None) + _TRAIN_BYTES * of_a_train
    return needed


def slab_edges(shape: tuple[int, int, int, int], memory: int, request: T2Request | None = None) -> tuple[int, ...]:
    """First slice of each slab, and one past the last slice; a slab holds one slice at least.

    Parameters
    ----------
    shape
        Of the images, ``(echo, slice, phase_encode, readout)``.
    memory
        Bytes that fitting one slab may take.
    request
        What is fitted, where that takes more.
    """
    n_echoes, n_slices, n_lines, n_read = shape
    thick = max(1, memory // (_bytes_of_voxel(n_echoes, request) * n_lines * n_read))
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
    path: Path, slices: tuple[int, int], request: T2Request, turns: ComplexArray, inputs: VoxelInputs | None = None
) -> FittedImages:
    """Fit T2, and a richer decay where one is asked for, to some slices of an images file.

    As many voxels of pure noise pass as in the whole volume at once, and `turns`, of `turns_of_volume`, are those of
    all of it. Only the slope of the phase across the image, which the smoothing follows, is that of these slices.

    Parameters
    ----------
    path
        The images file.
    slices
        First slice and one past the last.
    request
        How to fit.
    turns
        Of `turns_of_volume`.
    inputs
        Mask and maps of the whole volume, where they are open already.

    Raises
    ------
    InputError, ShapeError, DamagedDataError, UnsupportedDataError
        If the images cannot be fitted or read, or a mask or map is not what it should be.
    """
    slab = Slab(*slices, images_shape(path)[1], turns)
    return fit_images(load_slab(path, *slices), request, inputs or VoxelInputs(request, Grid.of_file(path)), slab)


@dataclass(frozen=True)
class SlabMaps:
    """Maps of some slices, in the precision in which they are stored, and how they were made."""

    arrays: Mapping[str, NDArray[Any]]
    """By the names of their data sets."""
    methods: str
    """What was chosen and assumed, and the fit."""
    quantity: str = "T2"
    """What was fitted."""
    model: RicherModel | None = None
    """Of a richer decay among the maps."""


def slab_maps(fitted: FittedImages) -> SlabMaps:
    """Take the maps of a fit."""
    fit, richer, of = fitted.fit, fitted.richer, t2_name(fitted.series)
    maps = fit_maps(fit) | ({} if richer is None else richer_maps(richer))
    arrays = {
        one.dataset: values.astype(np.int8 if values.dtype.kind == "i" else np.float32) for one, values in maps.items()
    }
    chosen = fitted.told.methods[len(fitted.series.methods) :]
    methods = " ".join((*chosen, in_symbol(fit.methods_sentence(), of)))
    return SlabMaps(arrays, methods, of, None if richer is None else richer.model)


class MapsFile:
    """A file of maps that is filled slab by slab; see `new_maps_file`."""

    def __init__(self, file: Any, shape: tuple[int, ...]) -> None:
        self._file, self._shape = file, shape
        self.n_voxels = 0
        """Voxels with a T2 so far."""
        self.richer = ""
        """What was found of a richer decay so far, in one sentence."""
        self._verdicts: Counter[ModelVerdict] = Counter()
        self._most = 0

    def add(self, start: int, slab: SlabMaps) -> None:
        """Put the maps of the slices from `start` on in their place."""
        n_voxels = int(np.count_nonzero(has_t2(slab.arrays["status"])))
        if n_voxels >= self._most:  # numbers in the sentence are those of the slab with most voxels
            self._most = n_voxels
            self._file.attrs.update({"methods": slab.methods, "quantity": slab.quantity})
        for name, values in slab.arrays.items():
            if name not in self._file:
                self._file.create_dataset(name, self._shape, values.dtype, chunks=(1, *self._shape[1:]))
                self._file[name].attrs["units"] = kind_of(name).units
            self._file[name][start : start + len(values)] = values
        self.n_voxels += n_voxels
        if slab.model is not None:
            found, counts = np.unique(slab.arrays["richer_verdict"], return_counts=True)
            self._verdicts.update(dict(zip(map(ModelVerdict, found.tolist()), counts.tolist(), strict=True)))
            self.richer = richer_sentence(slab.model, self._verdicts)
            self._file.attrs["richer_methods"] = self.richer


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
    first = load_slab(images, 0, 1)
    of, paths = t2_name(first), []
    with h5py.File(maps, "r") as file:
        for name in file:
            one = kind_of(name)
            path = folder / f"{one.name}.nii.gz"
            write_volume(path, file[name], first.geometry, one.description(of))
            methods = "richer_methods" if name.startswith("richer_") else "methods"
            write_sidecar(path, one, str(file.attrs[methods]), of)
            paths.append(path)
    return tuple(paths)


def known_t2(maps: Path, memory: int) -> RealArray | None:
    """T2 of all voxels of ``t2_maps.h5`` with one [s], shape ``(voxel,)``; None where larger than `memory` [bytes]."""
    with h5py.File(maps, "r") as file:
        t2 = file["t2"]
        if _MEDIAN_COPIES * t2.nbytes > memory:
            return None
        values = t2[...]
    return np.asarray(values[np.isfinite(values)])


@contextmanager
def each_warning_once() -> Iterator[None]:
    """Let the fits of slabs tell the log once what holds for all of them."""
    told: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = message not in told
        told.add(message)
        return new

    logger = logging.getLogger(fit_series.__module__)
    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)


@dataclass(frozen=True)
class VolumeFit:
    """What the fit of a volume left."""

    paths: tuple[Path, ...]
    """Files written."""
    n_voxels: int
    """Voxels with a T2."""
    richer: str
    """What was found of a richer decay, in one sentence; empty where none was asked for."""
    edges: tuple[int, ...]
    """First slice of each slab, and one past the last slice."""
    turns: ComplexArray
    """Of `turns_of_volume`."""


def fit_volume_file(images: Path, folder: Path, request: T2Request, memory: int) -> VolumeFit:
    """Fit an images file of any size slab by slab, and write its maps.

    Parameters
    ----------
    images
        ``images.h5``, its slices in one stack.
    folder
        Output folder, made if need be.
    request
        How to fit.
    memory
        Bytes that a fit may take.

    Raises
    ------
    InputError, ShapeError, DamagedDataError, UnsupportedDataError
        If the images cannot be fitted or read, or a mask or map is not what it should be.
    StorageError
        If the disk is full or read-only.
    """
    inputs = VoxelInputs(request, Grid.of_file(images))
    make_folder(folder)
    shape = images_shape(images)
    edges, turns = slab_edges(shape, memory, request), turns_of_volume(images, memory)
    with new_maps_file(folder, shape[1:]) as maps, each_warning_once():
        for start, stop in pairwise(edges):
            fitted = fit_slices(images, (start, stop), request, turns, inputs)
            maps.add(start, slab_maps(fitted))
    written = (folder / MAPS_FILE, *write_map_volumes(folder / MAPS_FILE, images, folder))
    return VolumeFit(written, maps.n_voxels, maps.richer, edges, turns)


def middle_slab(images: Path, volume: VolumeFit, request: T2Request) -> FittedImages:
    """Fit the slab in the middle again, for a report; the methods of its images say which slices it holds."""
    middle = (len(volume.edges) - 1) // 2
    start, stop = volume.edges[middle : middle + 2]
    fitted = fit_slices(images, (start, stop), request, volume.turns)
    which = f"This report is of slices {start + 1} to {stop} of {volume.edges[-1]}; the maps hold all of them."
    return replace(fitted, told=replace(fitted.told, methods=(*fitted.told.methods, which)))
