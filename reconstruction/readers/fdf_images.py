"""Images that an Agilent or Varian console reconstructed: the FDF files of an ``.img`` folder, one an image.

A file is a header of C declarations, a zero byte, and floats. In 2D the phase encoding runs fastest, in 3D the readout.
The console transforms forwards, turns both axes of a 2D image round and none of a volume. So index ``m`` of a 2D image,
or of a volume turned round, is index ``m + 1`` of ours, and the voxel at ``N // 2 - 1`` lies at ``location``: so the
images lie where those of the ``fid`` do.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import DamagedDataError, InputError, UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.readers._agilent_files import Procpar
from knightshift.reconstruction.readers._agilent_geometry import FRAME, spacing_of
from knightshift.reconstruction.readers._agilent_spectra import megahertz
from knightshift.reconstruction.readers._raw_files import check_samples, file_size, isotope, parsed, read_start
from knightshift.reconstruction.readers._stored_images import StoredImages, series_of

_MAGIC = b"#!/usr/local/fdf/startup"
_MAX_HEADER = 64 * 1024
_MAX_PADDING = 16
"""Bytes that may lie between the end of the header and the voxels."""
_MAX_POINTS = 1 << 16
_MOST_FILES = 1 << 14
_LOOKED_AT = 64
_CM, _MS = 1e-2, 1e-3
_DECLARATION = re.compile(
    r"(?:float|int|char)\s*\*?\s*([A-Za-z_]\w*)\s*(?:\[\])?\s*=\s*(\{[^{}]*\}|\"[^\"]*\"|[^;{}\"]*);"
)
_OPEN = "which way the readout runs along its gradient, and how the subject lay: axes are X, Y and Z of the magnet"


@dataclass(frozen=True)
class _File:
    """One file."""

    header: Procpar
    """Declarations by name."""
    matrix: tuple[int, ...]
    """Points, the fastest first."""
    begin: int
    """Where the voxels begin [bytes]."""

    @property
    def place(self) -> tuple[int, int, int]:
        """Array index, echo and slice, each from 1."""
        array, echo, part = (self.header.count(name, 1) for name in ("array_index", "echo_no", "slice_no"))
        return array, echo, part

    def read(self) -> ComplexArray:
        """Read the voxels, shape ``(slice, phase_encode, readout)``. Raises `DamagedDataError`."""
        word = "f8" if self.header.number("bits") == 64 else "f4"
        order = "<" if self.header.text("bigendian", "1") == "0" else ">"
        with self.header.path.open("rb") as file:
            file.seek(self.begin)
            content = file.read(math.prod(self.matrix) * np.dtype(word).itemsize)
        values = np.frombuffer(content, order + word).reshape(self.matrix[::-1])
        check_samples(self.header.path, "voxels", values)
        turned = values.T[np.newaxis] if len(self.matrix) == 2 else values[::-1, ::-1, ::-1]
        return turned.astype(np.complex64)


def is_fdf(path: Path) -> bool:
    """Tell whether a file is FDF, or a folder holds such files and no ``fid``, by their first bytes."""
    if not path.is_dir():
        return read_start(path, len(_MAGIC)) == _MAGIC
    if (path / "fid").is_file():
        return False
    return any(read_start(file, len(_MAGIC)) == _MAGIC for file in sorted(path.iterdir())[:_LOOKED_AT])


def read_fdf(path: Path) -> ImageSeries:
    """Read the images of an ``.img`` folder.

    Parameters
    ----------
    path
        The folder or a file in it.

    Raises
    ------
    DamagedDataError
        If a file is truncated or contradicts itself, or some images of the series are missing.
    UnsupportedDataError
        If these are no magnitudes, or volumes of several slabs.
    InputError
        If the files are not of one scan.
    """
    folder = path if path.is_dir() else path.parent
    found = parsed(folder, "folder", lambda: sorted(folder.iterdir()))
    names = [file for file in found if read_start(file, len(_MAGIC)) == _MAGIC]
    if len(names) > _MOST_FILES:
        raise InputError(f"{folder}: {len(names)} images are more than the {_MOST_FILES} that are read")
    files = [_file(name) for name in names]
    first = files[0]
    for other in files[1:]:
        _check_alike(first, other)
    contrasts, slices = _sorted(folder, files)
    parts = 1 if len(first.matrix) == 2 else first.matrix[2]
    images = np.empty((len(contrasts), len(slices) * parts, *_plane(first)), np.complex64)
    for image, one in zip(images, contrasts, strict=True):
        for number, file in enumerate(one):
            image[number * parts : (number + 1) * parts] = file.read()
    stack = contrasts[0]
    ascending = np.argsort([_location(file)[2] for file in stack], kind="stable")
    if parts == 1:
        images, stack = images[:, ascending], [stack[index] for index in ascending]
    echo_times, inversion_times, missing = _times([one[0].header for one in contrasts])
    header = first.header
    stored = StoredImages(
        source=folder,
        format="Agilent/Varian FDF",
        images=images,
        geometry=_geometry(stack),
        frame=FRAME,
        echo_times=echo_times,
        inversion_times=inversion_times,
        nucleus=isotope(header.text("nucleus")),
        working_frequency=megahertz(header, "nucfreq"),
        methods=(f"{len(files)} FDF images of the console were read (sequence {header.text('sequence', '?')}).",),
        missing=(*missing, _OPEN),
    )
    return series_of(stored)


def _file(path: Path) -> _File:
    """Parse the header of a file, and hold its size against it."""
    size, start = file_size(path), read_start(path, _MAX_HEADER)
    end = start.find(b"\0")
    if end < 0:
        raise DamagedDataError(path, "header", f"it does not end within {_MAX_HEADER} bytes")
    values = {}
    for name, value in _DECLARATION.findall(start[:end].decode("latin-1")):
        values[name] = [word.strip(' "') for word in value.strip("{} ").split(",")]
    header = Procpar(path, values)
    kind, rank = header.text("type"), header.count("rank")
    if kind != "absval" or header.text("spatial_rank") not in ("2dfov", "3dfov") or rank not in (2, 3):
        raise UnsupportedDataError(
            f"{path}: type {kind!r} of rank {rank} ({header.text('spatial_rank')}): only magnitudes (absval) in 2D and "
            "3D are read"
        )
    if (header.text("storage"), header.number("bits")) not in (("float", 32), ("double", 64), ("float", 64)):
        raise UnsupportedDataError(
            f"{path}: storage {header.text('storage')} of {header.text('bits')} bits is not read"
        )
    if header.count("slabs", 1) > 1:
        raise UnsupportedDataError(f"{path}: a volume of {header.count('slabs')} slabs: only one slab is read")
    matrix = tuple(int(n) if n == math.floor(n) else 0 for n in header.numbers("matrix"))
    if len(matrix) != rank or not all(1 <= n <= _MAX_POINTS for n in matrix):
        raise DamagedDataError(path, "matrix", f"{matrix} is no matrix of {rank} axes")
    begin = size - math.prod(matrix) * int(header.number("bits")) // 8
    if not end < begin <= end + 1 + _MAX_PADDING:
        problem = f"{size} bytes with a header of {end + 1} do not hold {' x '.join(map(str, matrix))} voxels"
        raise DamagedDataError(path, "matrix", problem, "copy the file again from the console")
    return _File(header, matrix, begin)


def _check_alike(first: _File, other: _File) -> None:
    """Check that two images have the same voxels, but for the position of their slices."""
    if other.matrix != first.matrix:
        raise InputError(
            f"{other.header.path}: its {other.matrix} voxels are not the {first.matrix} of {first.header.path.name}"
        )
    for name, count in (("span", len(first.matrix)), ("orientation", 9)):
        if not np.allclose(_vector(other.header, name, count), _vector(first.header, name, count), atol=1e-3):
            raise InputError(
                f"{other.header.path}: its {name} is not that of {first.header.path.name}: images of one direction and "
                "size make a series, put the others into a folder of their own"
            )
    if other.place[2] == first.place[2] and not np.allclose(_location(other), _location(first), atol=1e-3):
        raise InputError(f"{other.header.path}: its location is not that of the same slice in {first.header.path.name}")


def _location(file: _File) -> RealArray:
    return _vector(file.header, "location", 3)


def _plane(file: _File) -> tuple[int, int]:
    """Voxels along ``(phase_encode, readout)``."""
    return (file.matrix[0], file.matrix[1]) if len(file.matrix) == 2 else (file.matrix[1], file.matrix[0])


def _sorted(folder: Path, files: list[_File]) -> tuple[list[list[_File]], list[int]]:
    """Files of each contrast, slice by slice; contrasts are steps of the array and echoes."""
    by_place = {file.place: file for file in files}
    arrays, echoes, slices = (sorted({place[axis] for place in by_place}) for axis in range(3))
    if len(by_place) != len(files) or len(files) != len(arrays) * len(echoes) * len(slices):
        problem = f"{len(files)} files are not {len(arrays)} steps x {len(echoes)} echoes x {len(slices)} slices"
        raise DamagedDataError(folder, "array_index, echo_no, slice_no", problem, "copy all images of the scan")
    return [[by_place[array, echo, part] for part in slices] for array in arrays for echo in echoes], slices


def _times(headers: list[Procpar]) -> tuple[RealArray | None, RealArray | None, tuple[str, ...]]:
    """Echo times and inversion times of the contrasts [s], whichever of them step, and what is missing."""
    echo_times, inversion_times = (
        np.array([header.number(name) if name in header else _MS * header.number(name.upper()) for header in headers])
        for name in ("te", "ti")
    )
    if len(headers) == 1 or len(set(echo_times)) == len(headers):
        return echo_times, None, ()
    if len(set(inversion_times)) == len(headers):
        return echo_times, inversion_times, ()
    return None, None, (f"what distinguishes its {len(headers)} images: neither te nor ti steps from each to the next",)


def _geometry(stack: list[_File]) -> ImageGeometry:
    """Where the voxels are, from the first slice of a stack on; see the module for the offset of one voxel."""
    file = stack[0]
    header, is_volume = file.header, len(file.matrix) == 3
    span, location = _vector(header, "span", len(file.matrix)) * _CM, _location(file) * _CM
    if span.min() <= 0:
        raise DamagedDataError(header.path, "span", f"{span} m is no field of view")
    readout, phase, normal = _gradients(header, is_volume=is_volume)
    n_phase, n_read = _plane(file)
    if is_volume:
        size = np.array([span[2] / file.matrix[2], span[1] / n_phase, span[0] / n_read])
        centre = location[0] * readout - location[1] * phase - location[2] * normal
        first = (file.matrix[2] // 2 - 1) * size[0]
    else:
        size = np.array([_spacing(stack), span[0] / n_phase, span[1] / n_read])
        centre = location[1] * readout - location[0] * phase + location[2] * normal
        first = 0.0
    directions = np.stack([normal, -phase, -readout])
    corner = np.array([first, (n_phase // 2 - 1) * size[1], (n_read // 2 - 1) * size[2]])
    return ImageGeometry((float(size[0]), float(size[1]), float(size[2])), directions, centre - corner @ directions)


def _gradients(header: Procpar, *, is_volume: bool) -> RealArray:
    """Directions of the readout, phase-encode and slice gradients, shape ``(3, 3)``, in the frame of the ``fid``.

    The columns of ``orientation`` are those of phase, readout and slice in 3D. In 2D they are those of -readout, phase
    and slice, turned by 90 degrees about Z.
    """
    matrix = _vector(header, "orientation", 9).reshape(3, 3)
    if not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-2):
        raise DamagedDataError(header.path, "orientation", f"{header.values['orientation']} are no directions")
    columns = matrix.T
    if is_volume:
        return np.asarray(columns[[1, 0, 2]])
    turned = np.stack([columns[:, 1], -columns[:, 0], columns[:, 2]], axis=1)
    return np.asarray(turned * np.array([[-1.0], [1.0], [1.0]]))


def _vector(header: Procpar, name: str, count: int) -> RealArray:
    values = header.numbers(name)
    if values.size != count or np.abs(values).max() > 1e3:
        raise DamagedDataError(header.path, name, f"{header.values[name][:9]} are not {count} believable numbers")
    return values


def _spacing(stack: list[_File]) -> float:
    thickness = float(stack[0].header.numbers("roi")[-1]) if "roi" in stack[0].header else 0.0
    positions = np.array([_location(file)[2] for file in stack]) * _CM
    return spacing_of(positions, thickness * _CM if thickness > 0 else 1e-3)
