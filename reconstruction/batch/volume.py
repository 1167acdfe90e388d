"""T2 of a volume that is larger than memory: fitted in slabs of slices on the workers, joined slab by slab.

The input is an ``images.h5``, the result what `knightshift.reconstruction.export.volume_maps` writes. Slabs that are
done are kept until the whole is joined, so that an interrupted batch goes on where it was.
"""

from __future__ import annotations

import io
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from knightshift.core.durable import make_folder, read_regular_file, write_durably
from knightshift.core.errors import DamagedDataError, KnightshiftError, StorageError
from knightshift.reconstruction.batch.cluster import run_tasks
from knightshift.reconstruction.batch.content_digest import digest_with_files
from knightshift.reconstruction.batch.discovery import BatchItem
from knightshift.reconstruction.batch.found_times import time_of_voxels
from knightshift.reconstruction.batch.item import put_in_place
from knightshift.reconstruction.batch.item_log import named_by_item
from knightshift.reconstruction.batch.records import BatchOptions, ItemError, ItemRecord, read_record, write_record
from knightshift.reconstruction.export.images_file import images_shape, load_slab
from knightshift.reconstruction.export.volume_maps import (
    MAPS_FILE,
    SlabMaps,
    fit_slices,
    fits_memory,
    known_t2,
    new_maps_file,
    slab_edges,
    slab_maps,
    turns_of_volume,
    write_map_volumes,
)
from knightshift.reconstruction.image_fit import VoxelInputs, applicable
from knightshift.reconstruction.loading import images_path
from knightshift.reconstruction.t2_symbol import t2_name
from knightshift.reconstruction.voxel_file import Grid

if TYPE_CHECKING:
    from distributed import Client

_MAX_SLAB_BYTES = 1 << 34


def is_large_volume(source: Path, options: BatchOptions) -> bool:
    """Whether a source is an images file whose fit would take more memory than allowed."""
    path = images_path(source)
    if path is None or not path.is_file():
        return False
    try:
        return not fits_memory(images_shape(path), options.memory, options)
    except DamagedDataError:
        return False  # the item tells why


@named_by_item
def fit_slab(path: str, start: int, stop: int, angles: str, target: str, options: str) -> str:
    """Fit T2 to some slices of an images file, and write the maps; runs in the process of a worker.

    Parameters
    ----------
    path
        The images file.
    start, stop
        First slice and one past the last.
    angles
        Of the turns of `turns_of_volume` [rad], as JSON.
    target
        File for the maps.
    options
        `BatchOptions` as JSON.

    Returns
    -------
    str
        Path of the file written.

    Raises
    ------
    InputError, DamagedDataError
        If the images cannot be fitted or read.
    """
    turns = np.exp(1j * np.array(json.loads(angles)))
    chosen = BatchOptions.model_validate_json(options)
    slab = slab_maps(fit_slices(Path(path), (start, stop), chosen, turns))
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs.update({"methods": slab.methods, "quantity": slab.quantity})
        for name, values in slab.arrays.items():
            file.create_dataset(name, data=values)
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
    started, options = time.perf_counter(), options.of_item(item.name)
    place, record = output / item.name, ItemRecord(name=item.name, source=str(item.source), status="done")
    try:
        key = options.key(digest_with_files(item.source, options.files.values()))
        if (earlier := read_record(place)) is not None and earlier.key == key:
            return earlier.model_copy(update={"repeated": False, "source": str(item.source)})
        part = place.with_name(f".{place.name}.{key[:12]}.part")
        make_folder(part)
        images = images_path(item.source)
        assert images is not None
        first = load_slab(images, 0, 1)
        options = applicable(first, options)
        record = record.model_copy(update={"key": key})
        n_voxels = _join(_fit_slabs(client, images, part, options), images, part, options)
        name, known = t2_name(first), known_t2(part / MAPS_FILE, options.memory)
        times = time_of_voxels(name, known, n_voxels)
        record = record.model_copy(update={"result": f"{name} map", "times": times})
    except StorageError:
        raise
    except KnightshiftError as error:
        why = ItemError(kind=type(error).__name__, message=str(error))
        return record.model_copy(update={"status": "failed", "error": why})
    record = record.model_copy(update={"seconds": round(time.perf_counter() - started, 3)})
    write_record(record, part)
    put_in_place(part, place, key)
    return record


def _fit_slabs(client: Client, path: Path, part: Path, options: BatchOptions) -> list[tuple[int, int, Path]]:
    """Fit the slabs that are not there yet; raises the first error of a slab."""
    VoxelInputs(options, Grid.of_file(path))
    edges = slab_edges(images_shape(path), options.memory, options)
    slabs = [(start, stop, part / f"slab_{start}_{stop}.h5") for start, stop in pairwise(edges)]
    missing = [slab for slab in slabs if not slab[2].is_file()]
    as_json = options.model_dump_json()
    angles = json.dumps(np.angle(turns_of_volume(path, options.memory)).tolist()) if missing else ""
    tasks = [(str(path), start, stop, angles, str(target), as_json) for start, stop, target in missing]
    for finished in run_tasks(client, fit_slab, tasks):
        if finished.error is not None:
            raise finished.error
    return slabs


def _join(slabs: list[tuple[int, int, Path]], images: Path, part: Path, options: BatchOptions) -> int:
    """Put the slabs into one file, one at a time, write it as NIfTI too, and remove them; count voxels with a T2."""
    with new_maps_file(part, images_shape(images)[1:]) as maps:
        for start, _, path in slabs:
            with h5py.File(io.BytesIO(read_regular_file(path, _MAX_SLAB_BYTES)), "r") as slab:
                arrays = {name: slab[name][...] for name in slab}
                told = str(slab.attrs["methods"]), str(slab.attrs["quantity"])
                maps.add(start, SlabMaps(arrays, *told, options.model))
    write_map_volumes(part / MAPS_FILE, images, part)
    for _, _, path in slabs:
        path.unlink()
    return maps.n_voxels
