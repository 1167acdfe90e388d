"""MRD (ISMRMRD) files: Cartesian 2D acquisitions, read by h5py alone.

Sums go over averages, sets and segments; contrasts, slices and repetitions stay. Acquisitions that are no image data
(noise, navigators, calibration, dummies) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray, RealArray
from knightshift.core.errors import DamagedDataError, KnightshiftError, UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.kspace import KSpaceScan, PartialFourier
from knightshift.reconstruction.readers._hdf5_records import VLEN_BYTES, Heap, own_dataset, raw_records
from knightshift.reconstruction.readers._mrd_header import (
    NUCLEUS,
    PARTIAL_FOURIER,
    TRANSPOSED,
    WORKING_FREQUENCY,
    MrdHeader,
    parse_header,
)
from knightshift.reconstruction.readers._raw_files import check_samples, file_size, isotope, read_start

_HDF5 = b"\x89HDF\r\n\x1a\n"
_NO_IMAGE = (19, 20, 23, 24, 26, 27, 28, 29, 30, 31)  # noise, calibration, navigator, phase, feedback, dummy, coil
_REVERSE = 22
_CHUNK = 1024
_COUNTERS = ("repetition", "contrast", "slice", "kspace_encode_step_1")
_HEAD_FIELDS = (
    "flags", "number_of_samples", "active_channels", "center_sample", "sample_time_us", "idx",
    "position", "read_dir", "phase_dir", "slice_dir",
)  # fmt: skip


@dataclass(frozen=True)
class _Acquisitions:
    """The image acquisitions of one file."""

    heads: Any
    """Structured array of their headers, shape ``(acquisition,)``."""
    references: NDArray[np.uint8]
    """Where their samples lie in the heap, shape ``(acquisition, byte)``."""
    n_samples: int
    n_channels: int
    center: int


def is_mrd(path: Path) -> bool:
    """Tell whether a file is HDF5 with acquisitions of MRD inside."""
    if read_start(path, 8) != _HDF5:
        return False
    try:
        with h5py.File(path, "r") as file:
            return _group_name(file) is not None
    except (OSError, RuntimeError, KeyError, ValueError):
        return False


def _group_name(file: Any) -> str | None:
    for name in list(file)[:100]:
        link = file.get(name, getlink=True)
        if (
            isinstance(link, h5py.HardLink)
            and isinstance(file[name], h5py.Group)
            and {"xml", "data"} <= set(file[name])
        ):
            return str(name)
    return None


def read_mrd(path: Path) -> KSpaceScan:
    """Read the k-space of one MRD file.

    Raises
    ------
    DamagedDataError
        If it is truncated, or its headers lie.
    UnsupportedDataError
        If it is not Cartesian 2D, or lines were read out in both directions.
    """
    size = file_size(path)
    try:
        with h5py.File(path, "r") as file:
            group = _group(file, path)
            header = parse_header(path, _xml(group, path, size))
            data = own_dataset(group, "data", path)
            acquisitions = _image_acquisitions(data, path, size)
            kspace, lines = _sum_lines(acquisitions, path)
    except KnightshiftError:
        raise
    except Exception as error:
        raise DamagedDataError(path, "file", f"it is no readable HDF5 file ({error!r})") from error
    return _scan(path, header, acquisitions, kspace, lines)


def _group(file: Any, path: Path) -> Any:
    name = _group_name(file)
    if name is None:
        raise DamagedDataError(path, "dataset", "no group holds both xml and data")
    return file[name]


def _xml(group: Any, path: Path, size: int) -> bytes:
    dataset = own_dataset(group, "xml", path)
    if dataset.size != 1 or h5py.check_string_dtype(dataset.dtype) is None:
        raise DamagedDataError(path, "xml", f"{dataset.size} of {dataset.dtype} are not one text")
    if dataset.dtype.kind == "O":
        return bytes(Heap(path).element(raw_records(dataset, path, size, VLEN_BYTES)[0].tobytes(), 1))
    return bytes(raw_records(dataset, path, size)[0]).rstrip(b"\0")


def _read_records(data: Any, path: Path, size: int) -> tuple[Any, Any]:
    """Headers of all acquisitions, and the references to their samples."""
    names = data.dtype.names or ()
    if not {"head", "data"} <= set(names) or data.dtype["head"].names is None:
        raise DamagedDataError(path, "data", f"records of {names} are no acquisitions")
    head, offsets = data.dtype["head"], {name: int(data.dtype.fields[name][1]) for name in names}
    missing = set(_HEAD_FIELDS) - set(head.names)
    if missing or head.hasobject or h5py.check_vlen_dtype(data.dtype["data"]) != np.dtype(np.float32):
        raise DamagedDataError(path, "data", f"headers without {sorted(missing)}, or samples that are not float32")
    records = raw_records(data, path, size)
    ends = offsets["head"] + head.itemsize, offsets["data"] + VLEN_BYTES
    if max(ends) > records.shape[1]:
        raise DamagedDataError(path, "data", f"records of {records.shape[1]} bytes are too short")
    heads = np.ascontiguousarray(records[:, offsets["head"] : ends[0]]).view(head)[:, 0]
    return heads, records[:, offsets["data"] : ends[1]]


def _image_acquisitions(data: Any, path: Path, size: int) -> _Acquisitions:
    """Headers of the acquisitions that make up images, held against the size of the file."""
    heads, references = _read_records(data, path, size)
    skipped = np.bitwise_or.reduce([np.uint64(1 << (bit - 1)) for bit in _NO_IMAGE])
    rows = np.flatnonzero((heads["flags"] & skipped) == 0)
    heads = heads[rows]
    if rows.size == 0:
        raise DamagedDataError(path, "data", "no acquisition is image data")
    if np.any(heads["flags"] & np.uint64(1 << (_REVERSE - 1))):
        raise UnsupportedDataError(f"{path}: lines were read out in both directions (EPI): not read")
    shapes = {name: np.unique(heads[name]) for name in ("number_of_samples", "active_channels", "center_sample")}
    for name, values in shapes.items():
        if values.size != 1:
            raise UnsupportedDataError(f"{path}: {name} differs between acquisitions: {values[:5].tolist()}")
    n_samples, n_channels, center = (int(values[0]) for values in shapes.values())
    if n_samples < 1 or n_channels < 1 or center >= n_samples or 8 * n_samples * n_channels * rows.size > size:
        problem = f"{rows.size} acquisitions of {n_channels} x {n_samples} samples (k = 0 at {center}) in {size} bytes"
        raise DamagedDataError(path, "data", problem)
    return _Acquisitions(heads, references[rows], n_samples, n_channels, center)


def _sum_lines(acquisitions: _Acquisitions, path: Path) -> tuple[ComplexArray, IntArray]:
    """Mean of all acquisitions of a line: ``(repetition, echo, slice, channel, line, sample)``, and the lines."""
    idx = acquisitions.heads["idx"]
    values, places = zip(*(np.unique(idx[name], return_inverse=True) for name in _COUNTERS), strict=True)
    shape = tuple(len(value) for value in values)
    if int(np.prod(shape, dtype=object)) > len(acquisitions.heads):
        raise DamagedDataError(path, "data", f"{len(acquisitions.heads)} acquisitions do not fill {shape} lines")
    count = np.zeros(shape, np.int64)
    np.add.at(count, places, 1)
    if (count == 0).any():
        absent = int(np.count_nonzero(count == 0))
        raise DamagedDataError(path, "data", f"{absent} of {count.size} lines are missing: the scan was not finished")
    total = np.zeros((*shape, acquisitions.n_channels, acquisitions.n_samples), np.complex64)
    wanted = 2 * acquisitions.n_channels * acquisitions.n_samples
    heap = Heap(path)
    for start in range(0, len(acquisitions.heads), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        found = [heap.element(one.tobytes(), 4) for one in acquisitions.references[chunk]]
        if any(samples.size != 4 * wanted for samples in found):
            raise DamagedDataError(path, f"acquisitions from {start}", f"one does not hold {wanted} numbers")
        samples = np.stack(found).view("<f4").astype(np.float32).view(np.complex64)
        check_samples(path, f"acquisitions from {start}", samples)
        shape = (len(found), acquisitions.n_channels, acquisitions.n_samples)
        np.add.at(total, tuple(axis[chunk] for axis in places), samples.reshape(shape))
    mean = total / count[..., np.newaxis, np.newaxis].astype(np.float32)
    return np.moveaxis(mean, 3, 4), values[3].astype(np.int64)


def _scan(
    path: Path, header: MrdHeader, acquisitions: _Acquisitions, kspace: ComplexArray, lines: IntArray
) -> KSpaceScan:
    n_contrasts, n_slices = kspace.shape[1:3]
    steps = lines - header.center_line
    rows, start = steps + header.grid[0] // 2, header.grid[1] // 2 - acquisitions.center
    if rows.min() < 0 or rows.max() >= header.grid[0] or start < 0 or start + acquisitions.n_samples > header.grid[1]:
        problem = f"lines {lines.min()} to {lines.max()} of {acquisitions.n_samples} samples do not fit {header.grid}"
        raise DamagedDataError(path, "encodedSpace", problem)
    inversion = _contrast_times(header.inversion_times, n_contrasts) if len(header.inversion_times) > 1 else None
    echo_times = _contrast_times(header.echo_times, n_contrasts)
    geometries, lost = _geometries(header, acquisitions, n_slices)
    dwell = float(acquisitions.heads["sample_time_us"][0]) * 1e-6
    return KSpaceScan(
        source=path,
        format=f"MRD ({header.system})" if header.system else "MRD",
        kspace=kspace,
        line_steps=steps,
        center_sample=acquisitions.center,
        grid=header.grid,
        matrix=header.matrix,
        shifts=np.zeros((n_slices, 2)),
        transposed=_transposed(header, n_slices),
        echo_times=np.zeros(n_contrasts) if echo_times is None else echo_times,
        inversion_times=inversion,
        slice_geometries=geometries,
        dwell_time=dwell if np.isfinite(dwell) and dwell > 0 else None,
        nucleus=isotope(header.user.get(NUCLEUS, "")),
        working_frequency=_frequency(header),
        partial_fourier=_partial_fourier(header, len(steps), acquisitions.n_samples),
        methods=(
            f"{len(acquisitions.heads)} acquisitions were read from {path.name} (MRD), averages and sets averaged.",
        ),
        missing=(*lost, *_missing(header, echo_times)),
        parameters={
            f"user parameter {name}": value
            for name, value in header.user.items()
            if name not in (NUCLEUS, WORKING_FREQUENCY, TRANSPOSED, PARTIAL_FOURIER)
        },
    )


def _contrast_times(times: tuple[float, ...], n_contrasts: int) -> RealArray | None:
    """Time of each contrast; one time counts for all, and None means that they are not known."""
    if len(times) == 1:
        return np.full(n_contrasts, times[0])
    return np.array(times) if len(times) == n_contrasts else None


def _missing(header: MrdHeader, echo_times: RealArray | None) -> list[str]:
    words = {
        "the nucleus (user parameter)": header.user.get(NUCLEUS),
        "the working frequency (user parameter); H1resonanceFrequency_Hz is the protons'": _frequency(header),
        "the echo times: they count as zero": None if echo_times is None else True,
    }
    return [what for what, value in words.items() if not value]


def _partial_fourier(header: MrdHeader, n_lines: int, n_samples: int) -> PartialFourier:
    if n_lines == header.grid[0] and n_samples == header.grid[1]:
        return "none"
    words: dict[str, PartialFourier] = {"zero_filling": "zero_filling", "pocs": "pocs", "homodyne": "homodyne"}
    return words.get(header.user.get(PARTIAL_FOURIER, ""), "unknown")


def _frequency(header: MrdHeader) -> float | None:
    try:
        value = float(header.user[WORKING_FREQUENCY])
    except (KeyError, ValueError):
        return None
    return value if np.isfinite(value) and value > 0 else None


def _transposed(header: MrdHeader, n_slices: int) -> BoolArray:
    words = header.user.get(TRANSPOSED, "").split()
    if len(words) != n_slices or set(words) - {"0", "1"}:
        return np.zeros(n_slices, bool)
    return np.array([word == "1" for word in words])


def _geometries(
    header: MrdHeader, acquisitions: _Acquisitions, n_slices: int
) -> tuple[tuple[ImageGeometry, ...], tuple[str, ...]]:
    """Where the slices are; MRD gives positions [mm] and directions in (left, posterior, head), we in (right, …)."""
    heads = acquisitions.heads
    _, first = np.unique(heads["idx"]["slice"], return_index=True)
    to_ras = np.array([-1.0, -1.0, 1.0])
    size = header.voxel
    corner = np.array([0.0, header.matrix[0] // 2 * size[1], header.matrix[1] // 2 * size[2]])
    geometries = []
    for head in heads[first][:n_slices]:
        names = ("slice_dir", "phase_dir", "read_dir")
        directions = np.array([np.asarray(head[name], float) * to_ras for name in names])
        centre = np.asarray(head["position"], float) * to_ras * 1e-3
        sound = np.isfinite(directions).all() and np.isfinite(centre).all()
        if not sound or np.max(np.abs(directions @ directions.T - np.eye(3))) > 1e-3:
            lost = tuple(ImageGeometry(size, np.eye(3), -corner) for _ in range(n_slices))
            return lost, ("orientation and position of the slices (read_dir, phase_dir, slice_dir)",)
        geometries.append(ImageGeometry(size, directions, centre - corner @ directions))
    return tuple(geometries), ()
