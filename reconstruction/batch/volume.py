"""T2 of a volume that is larger than memory: fitted in slabs of slices on the workers, joined slab by slab.

The input is an ``images.h5``, the result ``t2_maps.h5`` with the data sets ``t2``, ``t2_std``, ``amplitude`` and
``status``, each of shape ``(slice, phase_encode, readout)``. Slabs that are done are kept until the whole is joined, so
that an interrupted batch goes on where it was.
"""

from __future__ import annotations

import io
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from knightshift.core.durable import (
    PART_SUFFIX,
    make_folder,
    move_durably,
    read_regular_file,
    storage_error,
    write_durably,
)
from knightshift.core.errors import KnightshiftError, StorageError
from knightshift.reconstruction.batch.cluster import run_tasks
from knightshift.reconstruction.batch.content_digest import content_digest
from knightshift.reconstruction.batch.discovery import BatchItem
from knightshift.reconstruction.batch.item import put_in_place
from knightshift.reconstruction.batch.records import BatchOptions, ItemError, ItemRecord, read_record, write_record
from knightshift.reconstruction.export.images_file import FILE_NAME, images_shape, load_slab
from knightshift.reconstruction.loading import is_images
from knightshift.reconstruction.relaxometry import T2Status, fit_series, with_train

if TYPE_CHECKING:
    from distributed import Client

MAPS_FILE = "t2_maps.h5"
"""Name of the joined maps."""
_MAPS: tuple[tuple[str, Any, str], ...] = (
    ("t2", np.float32, "s"),
    ("t2_std", np.float32, "s"),
    ("amplitude", np.float32, "arbitrary"),
    ("status", np.int8, "1"),
)
_COPIES = 8
"""Memory that a fit takes at most, in units of the images that it is given; `benchmarks/batch.py` measures it."""
_MAX_SLAB_BYTES = 1 << 34


def is_large_volume(source: Path, options: BatchOptions) -> bool:
    """Whether a source is an images file whose fit would take more memory than allowed."""
    path = _images_path(source)
    return path is not None and path.is_file() and _COPIES * path.stat().st_size > options.memory


def _images_path(source: Path) -> Path | None:
    if not is_images(source):
        return None
    return source / FILE_NAME if source.is_dir() else source


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


def fit_slab(path: str, start: int, stop: int, target: str, options: str) -> str:
    """Fit T2 to some slices of an images file, and write the maps; runs in the process of a worker.

    As many voxels of pure noise pass as in the whole volume at once, and the phase is smoothed within slices only. The
    phase that is common to all voxels of an echo is found in each slab by itself, which moves T2 by a small part of its
    standard deviation against a fit of the whole.

    Returns
    -------
    str
        Path of the file written.

    Raises
    ------
    InputError, DamagedDataError
        If the images cannot be fitted or read.
    """
    chosen = BatchOptions.model_validate_json(options)
    n_slices = images_shape(Path(path))[1]
    series = load_slab(Path(path), start, stop)
    share = (stop - start) / n_slices
    fit = fit_series(series, with_train(chosen.fit, series), false_voxels=0.01 * share)
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, dtype, _ in _MAPS:
            file.create_dataset(name, data=np.asarray(getattr(fit, name), dtype))
    write_durably(Path(target), content.getvalue())
    return target


def fit_volume(client: Client, item: BatchItem, output: Path, options: BatchOptions) -> ItemRecord:
    """Fit a large volume on the workers of a cluster, unless it was done before.

    Raises
    ------
    StorageError
        If the disk refuses.
    HardwareError
        If the cluster is lost.
    """
    started = time.perf_counter()
    place, record = output / item.name, ItemRecord(name=item.name, source=str(item.source), status="done")
    try:
        key = options.key(content_digest(item.source))
        if (earlier := read_record(place)) is not None and earlier.key == key:
            return earlier.model_copy(update={"repeated": False, "source": str(item.source)})
        part = place.with_name(f".{place.name}.{key[:12]}.part")
        make_folder(part)
        record = _join(_fit_slabs(client, item, part, options), part, record.model_copy(update={"key": key}))
    except StorageError:
        raise
    except KnightshiftError as error:
        why = ItemError(kind=type(error).__name__, message=str(error))
        return record.model_copy(update={"status": "failed", "error": why})
    record = record.model_copy(update={"seconds": round(time.perf_counter() - started, 3)})
    write_record(record, part)
    put_in_place(part, place, key)
    return record


def _fit_slabs(client: Client, item: BatchItem, part: Path, options: BatchOptions) -> list[tuple[int, int, Path]]:
    """Fit the slabs that are not there yet; raises the first error of a slab."""
    path = _images_path(item.source)
    assert path is not None
    edges = slab_edges(images_shape(path), options.memory)
    slabs = [(start, stop, part / f"slab_{start}_{stop}.h5") for start, stop in pairwise(edges)]
    missing = [slab for slab in slabs if not slab[2].is_file()]
    as_json = options.model_dump_json()
    tasks = [(str(path), start, stop, str(target), as_json) for start, stop, target in missing]
    for finished in run_tasks(client, fit_slab, tasks):
        if finished.error is not None:
            raise finished.error
    return slabs


def _join(slabs: list[tuple[int, int, Path]], part: Path, record: ItemRecord) -> ItemRecord:
    """Put the slabs into one file, one at a time, and remove them; count what they hold."""
    joined, n_slices, n_voxels = part / (MAPS_FILE + PART_SUFFIX), slabs[-1][1], 0
    try:
        with h5py.File(joined, "w", libver=("v108", "v110")) as file:
            for start, stop, path in slabs:
                with h5py.File(io.BytesIO(read_regular_file(path, _MAX_SLAB_BYTES)), "r") as slab:
                    for name, dtype, units in _MAPS:
                        values = slab[name][...]
                        if name not in file:
                            chunks = (1, *values.shape[1:])
                            file.create_dataset(name, (n_slices, *values.shape[1:]), dtype, chunks=chunks)
                            file[name].attrs["units"] = units
                        file[name][start:stop] = values
                    n_voxels += int(np.count_nonzero(slab["status"][...] == T2Status.OK))
        move_durably(joined, part / MAPS_FILE)
        for _, _, path in slabs:
            path.unlink()
    except OSError as error:
        raise storage_error(part / MAPS_FILE, "joining slabs", error) from error
    return record.model_copy(update={"result": "T2 map", "n_voxels": n_voxels})
