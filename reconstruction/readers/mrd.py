"""MRD (ISMRMRD) files: Cartesian acquisitions in 2D and 3D, read by h5py alone.

Averages and segments are averaged; contrasts, slices, partitions, repetitions, phases and sets stay. Acquisitions that
are no image data (noise, navigators, calibration, dummies) are left out, see `_mrd_acquisitions`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from knightshift.core.arrays import BoolArray, IntArray, RealArray
from knightshift.core.errors import DamagedDataError, KnightshiftError, UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.kspace import KSpaceScan, PartialFourier, Partitions
from knightshift.reconstruction.readers._hdf5_records import VLEN_BYTES, Heap, own_dataset, raw_records
from knightshift.reconstruction.readers._mrd_acquisitions import Acquisitions, Lines, image_acquisitions, sum_lines
from knightshift.reconstruction.readers._mrd_header import (
    NUCLEUS,
    PARTIAL_FOURIER,
    REPETITIONS_DIFFER,
    TRANSPOSED,
    WORKING_FREQUENCY,
    MrdHeader,
    parse_header,
)
from knightshift.reconstruction.readers._raw_files import file_size, isotope, read_start

_HDF5 = b"\x89HDF\r\n\x1a\n"


def is_mrd(path: Path) -> bool:
    """Tell whether a file is HDF5 with acquisitions of MRD inside."""
    if read_start(path, 8) != _HDF5:
        return False
    try:
        with h5py.File(path, "r") as file:
            return bool(_group_names(file))
    except (OSError, RuntimeError, KeyError, ValueError):
        return False


def _group_names(file: Any) -> list[str]:
    """Names of the groups that hold acquisitions."""
    found = []
    for name in list(file)[:100]:
        link = file.get(name, getlink=True)
        if (
            isinstance(link, h5py.HardLink)
            and isinstance(file[name], h5py.Group)
            and {"xml", "data"} <= set(file[name])
        ):
            found.append(str(name))
    return found


def read_mrd(path: Path) -> KSpaceScan:
    """Read the k-space of one MRD file.

    Raises
    ------
    DamagedDataError
        If it is truncated, or its headers lie.
    UnsupportedDataError
        If it is not Cartesian, was accelerated, holds several measurements, or lines were read out in both directions.
    """
    size = file_size(path)
    try:
        with h5py.File(path, "r") as file:
            group = _group(file, path)
            text = _xml(group, path, size)
            acquisitions = image_acquisitions(own_dataset(group, "data", path), path, size)
            header = parse_header(path, text, acquisitions.reference)
            lines = sum_lines(acquisitions, path)
    except KnightshiftError:
        raise
    except Exception as error:
        raise DamagedDataError(path, "file", f"it is no readable HDF5 file ({error!r})") from error
    return _scan(path, header, acquisitions, lines)


def _group(file: Any, path: Path) -> Any:
    names = _group_names(file)
    if not names:
        raise DamagedDataError(path, "dataset", "no group holds both xml and data")
    if len(names) > 1:
        raise UnsupportedDataError(
            f"{path}: it holds {len(names)} measurements ({', '.join(names[:8])}): copy the one that you want into a "
            "file of its own (h5copy)"
        )
    return file[names[0]]


def _xml(group: Any, path: Path, size: int) -> bytes:
    dataset = own_dataset(group, "xml", path)
    if dataset.size != 1 or h5py.check_string_dtype(dataset.dtype) is None:
        raise DamagedDataError(path, "xml", f"{dataset.size} of {dataset.dtype} are not one text")
    if dataset.dtype.kind == "O":
        return bytes(Heap(path).element(raw_records(dataset, path, size, VLEN_BYTES)[0].tobytes(), 1))
    return bytes(raw_records(dataset, path, size)[0]).rstrip(b"\0")


def _scan(path: Path, header: MrdHeader, acquisitions: Acquisitions, lines: Lines) -> KSpaceScan:
    n_contrasts = lines.kspace.shape[1]
    grid, matrix = header.grid[1:], header.matrix[1:]
    steps = _steps(path, lines.lines, header.center_line, grid[0], header.acceleration)
    start = grid[1] // 2 - acquisitions.center
    if start < 0 or start + acquisitions.n_samples > grid[1]:
        raise DamagedDataError(path, "encodedSpace", f"{acquisitions.n_samples} samples do not fit {grid[1]}")
    partitions = _partitions(path, header, lines)
    n_slices = lines.n_slices if partitions is None else partitions.matrix
    inversion = _contrast_times(header.inversion_times, n_contrasts) if len(header.inversion_times) > 1 else None
    echo_times = _contrast_times(header.echo_times, n_contrasts)
    geometries, lost = _geometries(header, acquisitions, n_slices, in_volume=partitions is not None)
    dwell = float(acquisitions.heads["sample_time_us"][0]) * 1e-6
    return KSpaceScan(
        source=path,
        format=f"MRD ({header.system})" if header.system else "MRD",
        kspace=lines.kspace,
        line_steps=steps,
        center_sample=acquisitions.center,
        grid=(grid[0], grid[1]),
        matrix=(matrix[0], matrix[1]),
        shifts=np.zeros((n_slices, 2)),
        transposed=_transposed(header, n_slices),
        echo_times=np.zeros(n_contrasts) if echo_times is None else echo_times,
        inversion_times=inversion,
        slice_geometries=geometries,
        dwell_time=dwell if np.isfinite(dwell) and dwell > 0 else None,
        nucleus=isotope(header.user.get(NUCLEUS, "")),
        working_frequency=_frequency(header),
        partial_fourier=_partial_fourier(header, len(steps), acquisitions.n_samples),
        partitions=partitions,
        repetitions_differ=_why_different(header, lines),
        methods=_sentences(path, acquisitions),
        missing=(*lines.missing, *lost, *_missing(header, echo_times)),
        parameters={
            f"user parameter {name}": value
            for name, value in header.user.items()
            if name not in (NUCLEUS, WORKING_FREQUENCY, TRANSPOSED, PARTIAL_FOURIER, REPETITIONS_DIFFER)
        },
    )


def _why_different(header: MrdHeader, lines: Lines) -> str:
    stepped = f"they step the counters {' and '.join(lines.stepped)}" if lines.stepped else ""
    return header.user.get(REPETITIONS_DIFFER, "") or stepped


def _sentences(path: Path, acquisitions: Acquisitions) -> tuple[str, ...]:
    read = f"{len(acquisitions.heads)} acquisitions were read from {path.name} (MRD), averages averaged."
    return (read, "Readouts that ran backwards were turned round.") if acquisitions.reverse.any() else (read,)


def _steps(path: Path, lines: IntArray, center: int, grid: int, acceleration: str) -> IntArray:
    """Count steps from k = 0 along one phase encoding, which must be without gaps."""
    steps = lines - center
    if steps.min() < -(grid // 2) or steps.max() + grid // 2 >= grid:
        problem = f"lines {lines.min()} to {lines.max()} with k = 0 at {center} do not fit {grid}"
        raise DamagedDataError(path, "encodedSpace", problem)
    if lines.size > 1 and np.any(np.diff(lines) != 1):
        factor = f", acceleration {acceleration}" if acceleration else ""
        raise UnsupportedDataError(
            f"{path}: {lines[-1] - lines[0] + 1 - lines.size} lines between {lines[0]} and {lines[-1]} were not "
            f"acquired{factor}: parallel imaging and compressed sensing are not read"
        )
    return steps


def _partitions(path: Path, header: MrdHeader, lines: Lines) -> Partitions | None:
    if header.grid[0] == 1:
        if lines.partitions.size > 1:
            problem = f"{lines.partitions.size} partitions in an encoded space of one"
            raise DamagedDataError(path, "kspace_encode_step_2", problem)
        return None
    steps = _steps(path, lines.partitions, header.center_partition, header.grid[0], header.acceleration)
    return Partitions(steps, header.grid[0], header.matrix[0])


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
    if n_lines == header.grid[1] and n_samples == header.grid[2]:
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
    header: MrdHeader, acquisitions: Acquisitions, n_slices: int, *, in_volume: bool
) -> tuple[tuple[ImageGeometry, ...], tuple[str, ...]]:
    """Where the slices are; MRD gives positions [mm] and directions in (left, posterior, head), we in (right, …).

    The position is the centre of a slice, or of the volume in 3D.
    """
    heads, size = acquisitions.heads, header.voxel
    _, first = np.unique(heads["idx"]["slice"], return_index=True)
    to_ras = np.array([-1.0, -1.0, 1.0])
    corner = np.array([0.0, header.matrix[1] // 2 * size[1], header.matrix[2] // 2 * size[2]])
    geometries = []
    for index in range(n_slices):
        head = heads[first[0] if in_volume else first[index]]
        names = ("slice_dir", "phase_dir", "read_dir")
        directions = np.array([np.asarray(head[name], float) * to_ras for name in names])
        centre = np.asarray(head["position"], float) * to_ras * 1e-3
        sound = np.isfinite(directions).all() and np.isfinite(centre).all()
        if not sound or np.max(np.abs(directions @ directions.T - np.eye(3))) > 1e-3:
            lost = tuple(ImageGeometry(size, np.eye(3), -corner) for _ in range(n_slices))
            return lost, ("orientation and position of the slices (read_dir, phase_dir, slice_dir)",)
        along = (index - n_slices // 2) * size[0] if in_volume else 0.0
        geometries.append(ImageGeometry(size, directions, centre + along * directions[0] - corner @ directions))
    return tuple(geometries), ()
