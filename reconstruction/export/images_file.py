"""``images.h5``: an `ImageSeries` as one HDF5 file, complete and without pickle.

Data sets ``images`` (complex64), ``echo_times`` and ``noise_std`` (float64), ``inversion_times`` (float64, where these
step), and for each stack of slices the group ``stacks/<n>`` with ``slices``, ``voxel_size``, ``directions`` and
``origin``; everything that is text is JSON in the
attribute ``description``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from knightshift.core.durable import (
    move_durably,
    part_of,
    read_regular_file,
    storage_error,
    sync_file,
    write_durably,
)
from knightshift.core.errors import ConfigError, DamagedDataError, InputError, ShapeError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries, SharedExcitation, SliceStack

FILE_NAME = "images.h5"
"""Name of the file in an output folder."""
_FORMAT = "knightshift images 1"
_MAX_BYTES = 1 << 34
_IN_MEMORY_BYTES = 64 * 1024**2
"""Images up to this size are put together in memory and written in one go."""
_MAX_STACKS = 4096
_REMEDY = "reconstruct the raw data again"
_TEXT_FIELDS = ("axes", "nucleus", "working_frequency", "methods", "missing", "provenance")


def write_images_file(series: ImageSeries, path: Path) -> None:
    """Write `series` to one HDF5 file, durably; equal series give equal bytes.

    Images that are a data set of `disk_storage` are moved there with their file, and cannot be read from it any more.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    if isinstance(series.images, h5py.Dataset):
        _move_stored(series, path)
        return
    if series.images.nbytes > _IN_MEMORY_BYTES:
        _write_large(series, path)
        return
    content = io.BytesIO()
    with h5py.File(content, "w", libver=("v108", "v110")) as file:
        file.create_dataset("images", data=np.asarray(series.images, dtype=np.complex64))
        _describe(file, series)
    write_durably(path, content.getvalue())


def _move_stored(series: ImageSeries, path: Path) -> None:
    """Complete the file that the images are in, and give it its name."""
    file: Any = series.images.file  # type: ignore[attr-defined]
    part = Path(file.filename)
    try:
        _describe(file, series)
        file.close()
        sync_file(part)
        move_durably(part, path)
    except OSError as error:
        raise storage_error(path, "writing images", error) from error


def _write_large(series: ImageSeries, path: Path) -> None:
    """Write to the disk at once what would not be put together in memory first."""
    with part_of(path, "writing images") as part, h5py.File(part, "w", libver=("v108", "v110")) as file:
        file.create_dataset("images", data=np.asarray(series.images, dtype=np.complex64))
        _describe(file, series)


def write_images_in_slabs(slabs: Iterable[ImageSeries], n_slices: int, path: Path) -> None:
    """Write a series that is larger than memory, a few slices at a time; `load_slab` reads it back likewise.

    Parameters
    ----------
    slabs
        Consecutive slices of one series, one stack; the description is that of the first.
    n_slices
        Slices of all slabs together.
    path
        The file, which appears complete or not at all.

    Raises
    ------
    ShapeError
        If the slabs do not hold `n_slices` slices, or their shapes differ.
    StorageError
        If the disk is full or read-only.
    """
    with part_of(path, "writing images") as part, h5py.File(part, "w", libver=("v108", "v110")) as file:
        done = 0
        for slab in slabs:
            n_echoes, count, *plane = slab.images.shape
            if done == 0:
                shape = n_echoes, n_slices, *plane
                images = file.create_dataset("images", shape, np.complex64, chunks=(1, 1, *plane))
                _describe(file, slab, n_slices)
            if (n_echoes, *plane) != (shape[0], *shape[2:]) or done + count > n_slices:
                raise ShapeError(f"{path}: a slab of shape {slab.images.shape} at slice {done} of {shape}")
            images[:, done : done + count] = slab.images
            done += count
        if done != n_slices:
            raise ShapeError(f"{path}: the slabs hold {done} slices, {n_slices} were announced")


def _describe(file: Any, series: ImageSeries, n_slices: int | None = None) -> None:
    """Write all but the images; with `n_slices`, the one stack of `series` is that long."""
    file.create_dataset("echo_times", data=np.asarray(series.echo_times, dtype=np.float64))
    file.create_dataset("noise_std", data=np.asarray(series.noise_std, dtype=np.float64))
    if series.inversion_times is not None:
        file.create_dataset("inversion_times", data=np.asarray(series.inversion_times, dtype=np.float64))
    stacks = series.slice_stacks if n_slices is None else (SliceStack(tuple(range(n_slices)), series.geometry),)
    for number, stack in enumerate(stacks):
        group = file.create_group(f"stacks/{number}")
        group.create_dataset("slices", data=np.asarray(stack.slices, dtype=np.int64))
        group.create_dataset("voxel_size", data=np.asarray(stack.geometry.voxel_size, dtype=np.float64))
        group.create_dataset("directions", data=np.asarray(stack.geometry.directions, dtype=np.float64))
        group.create_dataset("origin", data=np.asarray(stack.geometry.origin, dtype=np.float64))
    description = {name: getattr(series, name) for name in _TEXT_FIELDS}
    if series.train is not None:
        description["train"] = asdict(series.train)
    file.attrs["format"] = _FORMAT
    file.create_dataset("description", data=np.frombuffer(json.dumps(description).encode(), dtype=np.uint8))


def load_images(path: str | Path) -> ImageSeries:
    """Read an `ImageSeries` back, from ``images.h5`` or the folder that holds it.

    Raises
    ------
    InputError
        If there is no such file.
    DamagedDataError
        If it is not such a file, or its parts do not fit together.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    if not path.exists():
        raise InputError(f"{path}: there is no such file: run `knightshift reconstruct PATH -o DIR` first")
    content = read_regular_file(path, _MAX_BYTES)
    with _opened(io.BytesIO(content), path) as file:
        return _read_series(file, path, len(content))


def images_shape(path: Path) -> tuple[int, int, int, int]:
    """Shape ``(echo, slice, phase_encode, readout)`` of an images file, without reading the images.

    Raises
    ------
    DamagedDataError
        If it is no such file.
    """
    with _opened(path, path) as file:
        n_echoes, n_slices, n_lines, n_read = _checked(file, "images", np.complex64, 4, path, path.stat().st_size).shape
        return int(n_echoes), int(n_slices), int(n_lines), int(n_read)


def are_inversion_images(path: Path) -> bool:
    """Whether an images file steps the inversion time, without reading the images. Raises `DamagedDataError`."""
    with _opened(path, path) as file:
        return "inversion_times" in file


def load_slab(path: Path, start: int, stop: int) -> ImageSeries:
    """Read some slices of an images file, whatever its size.

    Parameters
    ----------
    path
        The file.
    start, stop
        First slice and one past the last.

    Raises
    ------
    InputError
        If the slices of the file lie in several directions.
    DamagedDataError
        If it is no such file, or its parts do not fit together.
    """
    with _opened(path, path) as file:
        series = _read_series(file, path, path.stat().st_size, slice(start, stop))
    if series.stacks:
        raise InputError(f"{path}: its slices lie in several directions: only one stack is read in slabs")
    geometry = series.geometry
    moved = geometry.origin + start * geometry.voxel_size[0] * geometry.directions[0]
    return replace(series, geometry=replace(geometry, origin=moved))


@contextmanager
def _opened(content: io.BytesIO | Path, path: Path) -> Iterator[Any]:
    """Open an images file; whatever HDF5 finds wrong in it is a `DamagedDataError`."""
    try:
        with h5py.File(content, "r") as file:
            if file.attrs.get("format") != _FORMAT:
                raise DamagedDataError(path, "format", f"it is not {_FORMAT!r}", _REMEDY)
            yield file
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, ConfigError | InputError):
            raise
        raise DamagedDataError(path, "file", f"it is not a readable images file ({error})", _REMEDY) from error


def _read_series(file: Any, path: Path, n_bytes: int, slab: slice = slice(None)) -> ImageSeries:
    stored = _checked(file, "images", np.complex64, 4, path, n_bytes)
    images = stored[:, slab]
    n_echoes, n_slices = stored.shape[:2]
    stacks = _read_stacks(file, path, n_bytes, n_slices)
    text = json.loads(_dataset(file, "description", np.uint8, 1, path, n_bytes).tobytes())
    series = ImageSeries(
        images=images,
        echo_times=_dataset(file, "echo_times", np.float64, 1, path, n_bytes),
        geometry=stacks[0].geometry,
        noise_std=_dataset(file, "noise_std", np.float64, 1, path, n_bytes),
        axes=_three(text["axes"]),
        nucleus=None if text["nucleus"] is None else str(text["nucleus"]),
        working_frequency=None if text["working_frequency"] is None else float(text["working_frequency"]),
        methods=tuple(map(str, text["methods"])),
        missing=tuple(map(str, text["missing"])),
        provenance={str(key): str(value) for key, value in text["provenance"].items()},
        inversion_times=(
            _dataset(file, "inversion_times", np.float64, 1, path, n_bytes) if "inversion_times" in file else None
        ),
        train=_train(text.get("train")),
        stacks=stacks if len(stacks) > 1 else (),
    )
    for name in ("echo_times", "noise_std", "inversion_times"):
        if (values := getattr(series, name)) is not None and values.shape != (n_echoes,):
            raise DamagedDataError(path, name, f"its shape does not fit {n_echoes} echoes", _REMEDY)
    return series


def _train(values: Any) -> SharedExcitation | None:
    return None if values is None else SharedExcitation(**{name: float(value) for name, value in values.items()})


def _three(values: Any) -> tuple[str, str, str]:
    slice_axis, phase_axis, read_axis = map(str, values)
    return slice_axis, phase_axis, read_axis


def _read_stacks(file: Any, path: Path, n_bytes: int, n_slices: int) -> tuple[SliceStack, ...]:
    group = file["stacks"]
    if not 1 <= len(group) <= _MAX_STACKS:
        raise DamagedDataError(path, "stacks", f"{len(group)} stacks", _REMEDY)
    stacks = []
    for number in range(len(group)):
        name = f"stacks/{number}"
        slices = tuple(int(i) for i in _dataset(file, f"{name}/slices", np.int64, 1, path, n_bytes))
        size = _dataset(file, f"{name}/voxel_size", np.float64, 1, path, n_bytes).tolist()
        directions = _dataset(file, f"{name}/directions", np.float64, 2, path, n_bytes)
        origin = _dataset(file, f"{name}/origin", np.float64, 1, path, n_bytes)
        if len(size) != 3 or directions.shape != (3, 3) or origin.shape != (3,):
            raise DamagedDataError(path, name, "the geometry is not three-dimensional", _REMEDY)
        stacks.append(SliceStack(slices, ImageGeometry((size[0], size[1], size[2]), directions, origin)))
    if sorted(i for stack in stacks for i in stack.slices) != list(range(n_slices)):
        raise DamagedDataError(path, "stacks", f"they do not hold each of {n_slices} slices once", _REMEDY)
    return tuple(stacks)


def _dataset(file: Any, name: str, dtype: Any, n_axes: int, path: Path, n_bytes: int) -> Any:
    """Read a data set whole."""
    return _checked(file, name, dtype, n_axes, path, n_bytes)[...]


def _checked(file: Any, name: str, dtype: Any, n_axes: int, path: Path, n_bytes: int) -> Any:
    """Find a data set that lies in the file itself, as large as it says, and nowhere else."""
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.file.id != file.id:
        raise DamagedDataError(path, name, "it is no data set of this file", _REMEDY)
    stored_whole = dataset.chunks is None or dataset.id.get_storage_size() == dataset.nbytes
    if dataset.external or dataset.is_virtual or not stored_whole or dataset.dtype != np.dtype(dtype):
        raise DamagedDataError(path, name, f"it is not stored as plain {np.dtype(dtype)}", _REMEDY)
    if dataset.ndim != n_axes or not 0 < dataset.nbytes <= n_bytes:
        raise DamagedDataError(path, name, f"shape {dataset.shape} is not believable in {n_bytes} bytes", _REMEDY)
    return dataset
