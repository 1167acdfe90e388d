"""Echo images that somebody else reconstructed and saved as NIfTI: one file of four axes, or one file an echo.

Echo times are in the JSON side-car beside each file, in the words of BIDS (``EchoTime`` [s]; a list for a file of
several images). Echoes in files of their own are found by their names, as BIDS and its converters give them:
``…_echo-1_MESE.nii.gz`` or ``…_e1.nii.gz``.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import ComplexArray, RealArray
from knightshift.core.errors import DamagedDataError, InputError, UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ECHO_FORMATION, GRADIENT_ECHO, SPIN_ECHO, ImageSeries
from knightshift.reconstruction.readers._array_files import check_claim
from knightshift.reconstruction.readers._raw_files import (
    check_samples,
    file_size,
    isotope,
    parsed,
    read_start,
    read_text,
)
from knightshift.reconstruction.readers._stored_images import StoredImages, series_of

_GZIP = b"\x1f\x8b"
_HEADER_BYTES = {1: 348, 2: 540}
_MOST_ECHOES = 4096
_MAX_OFFSET = 1 << 24
"""Header extensions of a file may take so much [bytes]."""
_METRES = {"mm": 1e-3, "meter": 1.0, "micron": 1e-6, "unknown": 1e-3}
_MAX_MM = 1e6
_ECHO_NUMBER = re.compile(r"(_echo-|_e)(\d{1,4})(?=[_.])")
_FORMATION = {"_MESE": SPIN_ECHO, "_MEGRE": GRADIENT_ECHO, "_T2starw": GRADIENT_ECHO}
_FRAME = "of the NIfTI file: right, anterior, superior (RAS+)"
_ENDINGS = (".nii.gz", ".nii")


def is_nifti(path: Path) -> bool:
    """Tell whether a file is NIfTI-1 or NIfTI-2, compressed or not, by its first bytes."""
    return _version(_beginning(path)) is not None


def _beginning(path: Path) -> bytes:
    """First bytes of a file, unpacked; empty where they cannot be."""
    start = read_start(path, 4096)
    if not start.startswith(_GZIP):
        return start
    try:
        return zlib.decompressobj(31).decompress(start, _HEADER_BYTES[2])
    except zlib.error:
        return b""


def _version(start: bytes) -> int | None:
    if start[344:348] in (b"n+1\0", b"ni1\0"):
        return 1
    return 2 if start[4:8] in (b"n+2\0", b"ni2\0") else None


@dataclass(frozen=True)
class _File:
    """One file and its side-car."""

    path: Path
    images: ComplexArray
    """Shape ``(image, slice, phase_encode, readout)``."""
    affine: RealArray
    """From ``(readout, phase_encode, slice)`` to (x, y, z) [m], shape ``(4, 4)``."""
    missing: tuple[str, ...]
    """What the header does not say."""
    sidecar: dict[str, Any]


def read_nifti(path: Path) -> ImageSeries:
    """Read a series of images.

    Parameters
    ----------
    path
        A file of four axes ``(readout, phase_encode, slice, image)``, or that of one echo.

    Raises
    ------
    DamagedDataError
        If a file is truncated, claims more than it can hold, or its side-car cannot be believed.
    UnsupportedDataError
        If it is no series of images.
    InputError
        If the files of the echoes do not belong together.
    """
    files = [_read(one) for one in _files_of_series(path)]
    first = files[0]
    for other in files[1:]:
        if other.images.shape != first.images.shape or not np.allclose(other.affine, first.affine, atol=1e-6):
            raise InputError(f"{other.path}: its voxels are not those of {first.path.name}: give a folder of its own")
    images = np.concatenate([one.images for one in files]) if len(files) > 1 else first.images
    nucleus, frequency = first.sidecar.get("ResonantNucleus"), first.sidecar.get("ImagingFrequency")
    formation = next((words for suffix, words in _FORMATION.items() if suffix in path.name), None)
    frame = first.sidecar.get("CoordinateSystem")
    names = first.path.name if len(files) == 1 else f"{first.path.name} and {len(files) - 1} more"
    stored = StoredImages(
        source=path,
        format="NIfTI",
        images=images,
        geometry=_geometry(first),
        frame=frame if isinstance(frame, str) else _FRAME,
        echo_times=_times(files, "EchoTime"),
        inversion_times=_times(files, "InversionTime") if len(files) == 1 and len(images) > 1 else None,
        nucleus=isotope(nucleus) if isinstance(nucleus, str) else None,
        working_frequency=1e6 * frequency if _is_number(frequency) and frequency > 0 else None,
        methods=(f"Images were read from {names}.",),
        missing=first.missing,
        provenance={} if formation is None else {ECHO_FORMATION: formation},
    )
    return series_of(stored)


def _files_of_series(path: Path) -> list[Path]:
    """Find the files of all echoes, by their numbers."""
    if "_part-phase" in path.name:
        raise UnsupportedDataError(f"{path}: these are images of the phase: give those of the magnitude (part-mag)")
    match = _ECHO_NUMBER.search(path.name)
    if match is None:
        return [path]
    pattern = re.compile(re.escape(path.name[: match.start(2)]) + r"(\d{1,4})" + re.escape(path.name[match.end(2) :]))
    beside = parsed(path.parent, "folder", lambda: [file.name for file in path.parent.iterdir()])
    found = {int(one[1]): path.parent / one[0] for name in beside if (one := pattern.fullmatch(name))}
    if len(found) > _MOST_ECHOES:
        raise InputError(f"{path}: there are {len(found)} files of echoes beside it: at most {_MOST_ECHOES} are read")
    return [found[number] for number in sorted(found)]


def _read(path: Path) -> _File:
    size, start = file_size(path), _beginning(path)
    version = _version(start)
    if version is None:
        raise DamagedDataError(path, "header", "it is not NIfTI")
    if b"ni" in (start[344:346], start[4:6]):
        raise UnsupportedDataError(f"{path}: is a header whose voxels are in another file: convert it to .nii.gz")
    header: Any = parsed(path, "header", lambda: _header(start, version))
    shape = tuple(int(n) for n in parsed(path, "dim", header.get_data_shape))
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    shape = shape + (1,) * (4 - len(shape))
    dtype: np.dtype[Any] = parsed(path, "datatype", header.get_data_dtype)
    if len(shape) > 4 or dtype.kind not in "iufc":
        raise UnsupportedDataError(f"{path}: {dtype} of shape {shape} is no series of images")
    offset = _offset(path, header, version)
    if read_start(path, 2) == _GZIP:
        check_claim(path, "dim", shape, dtype.itemsize, size)
    elif min(shape) < 1 or offset + math.prod(shape) * dtype.itemsize > size:
        problem = f"{size} bytes, but {dtype} of shape {shape} need {offset + math.prod(shape) * dtype.itemsize}"
        raise DamagedDataError(path, "dim", problem, "copy the file again")
    values = parsed(path, "voxels", lambda: _voxels(path, offset, shape, dtype))
    images = _scaled(path, values, parsed(path, "scl_slope", header.get_slope_inter))
    affine, missing = _affine(path, header)
    return _File(path, images, affine, missing, _sidecar(path))


def _header(start: bytes, version: int) -> Any:
    import nibabel as nib

    kind = nib.Nifti1Header if version == 1 else nib.Nifti2Header
    return kind(start[: _HEADER_BYTES[version]], check=False)


def _offset(path: Path, header: Any, version: int) -> int:
    """Where the voxels begin [bytes]."""
    offset = float(header["vox_offset"])
    if not (_HEADER_BYTES[version] <= offset <= _MAX_OFFSET and offset == math.floor(offset)):
        raise DamagedDataError(path, "vox_offset", f"voxels cannot begin at byte {offset:g}")
    return int(offset)


def _voxels(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read the voxels, axes reversed: shape ``(image, slice, phase_encode, readout)``."""
    needed = math.prod(shape) * dtype.itemsize
    with _opened(path) as file:
        file.read(offset)
        content = file.read(needed)
        if len(content) < needed:
            raise DamagedDataError(path, "voxels", f"the file ends after {len(content)} of {needed} bytes of voxels")
        file.read(1)  # at the end of a compressed file its checksum is compared
    return np.frombuffer(content, dtype).reshape(shape[::-1])


def _opened(path: Path) -> BinaryIO:
    if read_start(path, 2) == _GZIP:
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _scaled(path: Path, values: NDArray[Any], scaling: tuple[float | None, float | None]) -> ComplexArray:
    """Apply slope and intercept image by image."""
    slope, intercept = (1.0 if scaling[0] is None else scaling[0]), (scaling[1] or 0.0)
    images = np.empty(values.shape, np.complex64)
    for image, stored in zip(images, values, strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            image[...] = stored * slope + intercept if (slope, intercept) != (1.0, 0.0) else stored
    check_samples(path, "voxels", images)
    return images


def _affine(path: Path, header: Any) -> tuple[RealArray, tuple[str, ...]]:
    """Affine in metres, and what the header does not say of it."""
    unit = parsed(path, "xyzt_units", header.get_xyzt_units)[0]
    affine = np.array(parsed(path, "affine", header.get_best_affine), dtype=float)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or np.abs(affine).max() > _MAX_MM or not sizes.min() > 1e-9 * sizes.max():
        raise DamagedDataError(path, "affine", f"voxels of {sizes} mm at {affine[:3, 3]} cannot be")
    affine[:3] *= _METRES[unit]
    missing = ["the unit of its voxels: they count as millimetres"] if unit == "unknown" else []
    if header["sform_code"] <= 0 and header["qform_code"] <= 0:
        missing.append("orientation and position of the slices")
    return affine, tuple(missing)


def _geometry(file: _File) -> ImageGeometry:
    columns = file.affine[:3, [2, 1, 0]].T
    sizes = np.linalg.norm(columns, axis=1)
    voxel = float(sizes[0]), float(sizes[1]), float(sizes[2])
    return ImageGeometry(voxel, columns / sizes[:, np.newaxis], file.affine[:3, 3])


def _sidecar(path: Path) -> dict[str, Any]:
    """Read the JSON file beside an image; empty where there is none."""
    ending = next((ending for ending in _ENDINGS if path.name.endswith(ending)), path.suffix)
    place = path.with_name(path.name.removesuffix(ending) + ".json")
    if not place.is_file():
        return {}
    content = parsed(place, "side-car", lambda: json.loads(read_text(place)))
    if not isinstance(content, dict):
        raise DamagedDataError(place, "side-car", "it is no JSON object")
    return content


def _times(files: list[_File], name: str) -> RealArray | None:
    """Time of each image [s] as the side-cars have it; None where they have none of each image."""
    times: list[float] = []
    for file in files:
        given = file.sidecar.get(name)
        listed = given if isinstance(given, list) else [given]
        if isinstance(given, list) and len(given) != len(file.images):
            raise InputError(
                f"{file.path}: its side-car has {len(given)} values of {name} for {len(file.images)} images"
            )
        if given is None or len(listed) != len(file.images):
            return None
        for time in listed:
            if not (_is_number(time) and time >= 0):
                raise DamagedDataError(file.path, name, f"{str(time)[:80]} in its side-car is no time in seconds")
            times.append(float(time))
    return np.array(times)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
