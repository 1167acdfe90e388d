"""Numbers out of ``.npy`` and ``.mat`` files (MATLAB 5 to 7.3), their size checked before memory is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from knightshift.core.errors import DamagedDataError, InputError, UnsupportedDataError
from knightshift.reconstruction.readers._raw_files import file_size, parsed, read_start

_NPY = b"\x93NUMPY"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MATLAB = b"MATLAB 5.0"
_MATLAB_HEADER = 512
"""A MATLAB 7.3 file is HDF5 behind so many bytes of MATLAB's own."""
_MAX_GROWTH = 100
_FREE_BYTES = 64 * 1024**2
"""Compressed numbers may take this, or `_MAX_GROWTH` times the size of the file."""


def read_array(path: Path, variable: str | None) -> NDArray[Any]:
    """Read one numeric array.

    Parameters
    ----------
    path
        A ``.npy`` or ``.mat`` file; which of them is told by its first bytes.
    variable
        Name of the variable in a ``.mat`` file; None where it holds only one.

    Returns
    -------
    ndarray
        Real or complex, axes as numpy or MATLAB shows them.

    Raises
    ------
    DamagedDataError
        If the file is truncated, or claims more than it can hold.
    InputError
        If there is no such variable, or several and none is named.
    UnsupportedDataError
        If it is another kind of file, or the variable holds no numbers.
    """
    size = file_size(path)
    start = read_start(path, _MATLAB_HEADER + 8)
    if start.startswith(_NPY):
        array = parsed(path, "npy header", lambda: np.load(path, mmap_mode="r", allow_pickle=False))
    elif start.startswith(_HDF5) or start[_MATLAB_HEADER:].startswith(_HDF5):
        array = _from_hdf5(path, variable, size)
    elif start.startswith(_MATLAB):
        array = _from_matlab(path, variable, size)
    else:
        raise UnsupportedDataError(f"{path}: is neither .npy nor .mat (MATLAB 5 to 7.3)")
    if array.dtype.kind not in "iufc":
        raise UnsupportedDataError(f"{path}: {variable or 'the array'} holds {array.dtype}, no numbers")
    return np.asarray(array)


def _named(path: Path, names: list[str], variable: str | None) -> str:
    if variable is None and len(names) == 1:
        return names[0]
    if variable not in names:
        shown = ", ".join(names[:12]) or "nothing"
        wanted = "name one of its variables" if variable is None else f"there is no variable {variable!r}"
        raise InputError(f"{path}: {wanted}: it holds {shown}")
    return variable


def check_claim(path: Path, name: str, shape: tuple[int, ...], bytes_each: int, size: int) -> None:
    """Check that a compressed array of `shape` is believable in a file of `size` bytes. Raises `DamagedDataError`."""
    claimed = int(np.prod(shape, dtype=object)) * bytes_each
    if min(shape, default=1) < 1 or claimed > max(_FREE_BYTES, _MAX_GROWTH * size):
        raise DamagedDataError(path, name, f"an array of {shape} is not believable in a file of {size} bytes")


def _from_matlab(path: Path, variable: str | None, size: int) -> NDArray[Any]:
    from scipy.io import loadmat, whosmat

    listed = parsed(path, "variables", lambda: whosmat(str(path)))
    name = _named(path, [entry[0] for entry in listed], variable)
    shape, kind = next((entry[1], entry[2]) for entry in listed if entry[0] == name)
    if kind in ("cell", "struct", "object", "char", "sparse", "function", "opaque", "unknown"):
        raise UnsupportedDataError(f"{path}: variable {name} is a {kind}, no array of numbers")
    check_claim(path, name, tuple(int(n) for n in shape), 16, size)
    found: NDArray[Any] = parsed(path, name, lambda: loadmat(str(path), variable_names=[name])[name])
    return found


def _from_hdf5(path: Path, variable: str | None, size: int) -> NDArray[Any]:
    def read() -> NDArray[Any]:
        with h5py.File(path, "r") as file:
            links = {name: file.get(name, getlink=True) for name in file}
            own = [name for name, link in links.items() if isinstance(link, h5py.HardLink)]
            names = [name for name in own if isinstance(file[name], h5py.Dataset)]
            dataset = file[_named(path, names, variable)]
            if dataset.external or dataset.is_virtual:
                raise DamagedDataError(path, dataset.name, "its numbers lie in another file")
            check_claim(path, dataset.name, dataset.shape, dataset.dtype.itemsize, size)
            return np.asarray(dataset[()])

    array = parsed(path, variable or "variables", read)
    if array.dtype.names is not None and set(array.dtype.names) == {"real", "imag"}:
        array = array["real"] + 1j * array["imag"]
    return array.T  # MATLAB writes its first axis as the last of HDF5
