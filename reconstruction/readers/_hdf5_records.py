"""The records of an HDF5 data set as they lie in the file: lengths in them are checked before HDF5 believes them.

HDF5 takes the memory that a variable-length element claims (up to 16 GB) before it looks whether the file has as much.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from knightshift.core.errors import DamagedDataError, UnsupportedDataError

_MAX_RECORDS = 1 << 24
VLEN_BYTES = 16
"""A variable-length element in the file: 4 bytes of length, 8 of address, 4 of index."""
_HEAP_HEADER = 16
"""Of a collection, and of each object in it."""


def own_dataset(group: Any, name: str, path: Path) -> Any:
    """Find a plain data set of this very file, one-dimensional; links, filters and storage elsewhere are refused.

    Raises
    ------
    DamagedDataError
        If there is none, or its size is not believable.
    UnsupportedDataError
        If it is compressed.
    """
    dataset = group.get(name) if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise DamagedDataError(path, name, "it is no data set of this file")
    if dataset.ndim != 1 or not 1 <= dataset.size <= _MAX_RECORDS:
        raise DamagedDataError(path, name, f"a shape of {dataset.shape} is not believable")
    if dataset.id.get_create_plist().get_nfilters():
        raise UnsupportedDataError(f"{path}: {name} is compressed: such MRD files are not read")
    sizes, before = dataset.file.id.get_create_plist().get_sizes(), dataset.file.userblock_size
    if sizes != (8, 8) or before:
        raise UnsupportedDataError(f"{path}: addresses of {sizes} bytes, {before} bytes before the file: not read")
    return dataset


def raw_records(dataset: Any, path: Path, file_bytes: int, width: int | None = None) -> NDArray[np.uint8]:
    """Bytes of every record, shape ``(record, byte)``; `width` where HDF5 shows its own, not that in the file.

    Raises
    ------
    DamagedDataError
        If the file cannot hold them.
    """
    width, count = width or int(dataset.id.get_type().get_size()), int(dataset.size)
    name = str(dataset.name)
    if width < 1 or count * width > file_bytes:
        raise DamagedDataError(path, name, f"{count} records of {width} bytes in a file of {file_bytes}")
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        if offset is None or offset + count * width > file_bytes:
            raise DamagedDataError(path, name, "its records do not lie in the file")
        return np.fromfile(path, np.uint8, count * width, offset=offset).reshape(count, width)
    rows = int(dataset.chunks[0])
    if rows * width > max(file_bytes, 1 << 20):
        raise DamagedDataError(path, name, f"chunks of {rows} records of {width} bytes in a file of {file_bytes}")
    content, file = np.empty((count, width), np.uint8), np.memmap(path, np.uint8, "r")
    for start in range(0, count, rows):
        info = dataset.id.get_chunk_info_by_coord((start,))
        if info.byte_offset is None or info.size != rows * width or info.byte_offset + info.size > file_bytes:
            raise DamagedDataError(path, name, f"the chunk of record {start} does not lie in the file")
        chunk = file[info.byte_offset : info.byte_offset + info.size].reshape(rows, width)
        content[start : start + rows] = chunk[: count - start]
    return content


class Heap:
    """The global heap of an HDF5 file, where variable-length elements lie: every size in it is checked.

    HDF5 itself runs in circles on some damaged heaps.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = np.memmap(path, np.uint8, "r")
        self.collections: dict[int, dict[int, tuple[int, int]]] = {}

    def element(self, reference: bytes, element_bytes: int) -> NDArray[np.uint8]:
        """Bytes of one element.

        Parameters
        ----------
        reference
            The `VLEN_BYTES` of its record: length, address of a collection, index in it.
        element_bytes
            Size of one number in it.

        Raises
        ------
        DamagedDataError
            If the element does not lie in the file, or is shorter than it claims.
        """
        length, address, index = struct.unpack("<IQI", reference)
        if length == 0:
            return np.zeros(0, np.uint8)
        if address not in self.collections:
            self.collections[address] = self._collection(address)
        offset, size = self.collections[address].get(index, (0, 0))
        if length * element_bytes > size:
            problem = f"an element claims {length * element_bytes} bytes, its heap holds {size}"
            raise DamagedDataError(self.path, f"heap at {address}", problem)
        return np.asarray(self.content[offset : offset + length * element_bytes])

    def _collection(self, address: int) -> dict[int, tuple[int, int]]:
        """Offset and size of the objects of one collection, by index."""
        total = self.content.size
        if address + _HEAP_HEADER > total or bytes(self.content[address : address + 5]) != b"GCOL\x01":
            raise DamagedDataError(self.path, f"heap at {address}", "there is no heap")
        end = address + struct.unpack("<Q", bytes(self.content[address + 8 : address + 16]))[0]
        if end > total:
            raise DamagedDataError(self.path, f"heap at {address}", f"it ends at {end} in a file of {total} bytes")
        objects, place = {}, address + _HEAP_HEADER
        while place + _HEAP_HEADER <= end:
            index, size = struct.unpack("<H6xQ", bytes(self.content[place : place + _HEAP_HEADER]))
            start = place + _HEAP_HEADER
            if index == 0:  # the rest is free
                break
            if start + size > end:
                raise DamagedDataError(self.path, f"heap at {address}", f"object {index} of {size} bytes leaves it")
            objects[index] = start, size
            place = start + -(-size // 8) * 8
        return objects
