"""Where a reconstruction keeps its arrays: in memory, or, where they are too large, in files beside its output."""

from __future__ import annotations

import logging
import math
import resource
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike

from knightshift.core.durable import PART_SUFFIX, make_folder, storage_error
from knightshift.core.errors import StorageError

logger = logging.getLogger(__name__)

_SLAB_BYTES = 32 * 1024**2
_SLABS = 8
"""So many slabs make up the memory, where that is small."""
_UNKNOWN = 4 << 30
"""Memory to count on where the system does not say what is free [bytes]."""
_CONTAINER, _MACHINE = Path("/sys/fs/cgroup/memory.max"), Path("/proc/meminfo")


def default_memory() -> int:
    """Half of the memory that is free now and allowed to this process [bytes]."""
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    free = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    with suppress(OSError, ValueError):
        free.append(int(_CONTAINER.read_text()))
    with suppress(OSError, ValueError, StopIteration):
        lines = _MACHINE.read_text().splitlines()
        free.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    return min(free, default=_UNKNOWN) // 2


class Storage:
    """Arrays in memory, whatever their size."""

    slab_bytes = _SLAB_BYTES
    """Size of the pieces in which large arrays are read and worked on [bytes]."""

    def images(self, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        """Array for the images, shape ``(echo, slice, *image)``."""
        return np.empty(shape, dtype)

    def scratch(self, shape: tuple[int, ...], chunk: tuple[int, ...], dtype: DTypeLike) -> Any:
        """Array for something in between, which is read and written in pieces of `chunk`."""
        return np.empty(shape, dtype)


IN_MEMORY = Storage()


class DiskStorage(Storage):
    """Arrays that fit into the memory there, larger ones as data sets of HDF5 files; made by `disk_storage`.

    Parameters
    ----------
    folder
        On the disk of the output.
    memory
        Bytes that a reconstruction may take.
    files
        Closes and removes what is opened.
    """

    def __init__(self, folder: Path, memory: int, files: ExitStack) -> None:
        self._folder, self._memory, self._files = folder, memory, files
        self._promised = 0
        self.slab_bytes = min(_SLAB_BYTES, max(1, memory // _SLABS))

    def images(self, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        """Array for the images: in a file if they take more than half of the memory."""
        if 2 * _bytes(shape, dtype) <= self._memory:
            return super().images(shape, dtype)
        return self._dataset("images", shape, (1, 1, *shape[2:]), dtype)

    def scratch(self, shape: tuple[int, ...], chunk: tuple[int, ...], dtype: DTypeLike) -> Any:
        """Array for something in between: in a file if it takes more than a quarter of the memory."""
        if 4 * _bytes(shape, dtype) <= self._memory:
            return super().scratch(shape, chunk, dtype)
        return self._dataset("scratch", shape, chunk, dtype)

    def _dataset(self, name: str, shape: tuple[int, ...], chunk: tuple[int, ...], dtype: DTypeLike) -> Any:
        needed = _bytes(shape, dtype)
        self._promised += needed
        free = shutil.disk_usage(self._folder).free
        if self._promised > free:
            raise StorageError(
                f"{self._folder}: {self._promised / 1e9:.2f} GB are needed for a reconstruction that does not fit the "
                f"memory, {free / 1e9:.2f} GB are free: free space on the disk, write to another one, or allow more "
                "memory with --memory-mb"
            )
        logger.info("%s of %.2f GB are kept in %s while they are made", name, needed / 1e9, self._folder)
        path = self._folder / f".{name}-{uuid.uuid4().hex[:12]}.h5{PART_SUFFIX}"
        self._files.callback(path.unlink, missing_ok=True)
        file = h5py.File(path, "x", libver=("v108", "v110"), rdcc_nbytes=0)
        self._files.callback(_close, file)
        if name == "scratch":
            path.unlink()  # gone with this process, however that ends
        return file.create_dataset(name, shape, dtype, chunks=chunk)


def _close(file: Any) -> None:
    """Close a file that nobody needs any more, also where its last bytes find no room."""
    try:
        file.close()
    except (OSError, RuntimeError) as error:
        logger.debug("a file to be removed did not close: %s", error)


def _bytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


@contextmanager
def disk_storage(folder: Path, memory: int | None = None) -> Iterator[DiskStorage]:
    """Storage beside the output, made if need be; what is left in it is removed at the end, also after an error.

    Parameters
    ----------
    folder
        Output folder.
    memory
        Bytes that a reconstruction may take; None: half of what is free now.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    make_folder(folder)
    try:
        with ExitStack() as files:
            yield DiskStorage(folder, default_memory() if memory is None else memory, files)
    except OSError as error:
        raise storage_error(folder, "writing images", error) from error
