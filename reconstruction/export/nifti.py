"""NIfTI with an affine that is right: voxel index to millimetres.

Own runs are written in the laboratory frame of the magnet (x, y, z with z along B0); programs that label NIfTI axes
will call x "right", y "anterior" and z "superior". ParaVision scans are in the frame of the subject, RAS+.
"""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path
from typing import Any, Protocol

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import RealArray
from knightshift.core.durable import part_of, write_durably
from knightshift.core.geometry import ImageGeometry
from knightshift.core.json_numbers import number_or_none
from knightshift.reconstruction.images import ImageSeries

_MM_PER_M = 1e3
_VOXELS_FROM = 352
"""Where the voxels begin in a single NIfTI-1 file [bytes]."""
_LEVEL, _GZIP = 6, 31
"""Of the compression, and what makes it a gzip file."""


class StackOfSlices(Protocol):
    """A volume in memory, or one that reads a slice of a file when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Counts along the axes."""

    def __getitem__(self, key: Any, /) -> Any:
        """Read one slice."""


def nifti_affine(geometry: ImageGeometry) -> RealArray:
    """From NIfTI index ``(readout, phase_encode, slice)`` to ``(x, y, z)`` in millimetres, shape ``(4, 4)``."""
    affine = geometry.affine.copy()
    affine[:3] *= _MM_PER_M
    affine[:, :3] = affine[:, [2, 1, 0]]
    return affine


def nifti_bytes(volume: RealArray | NDArray[np.uint8], geometry: ImageGeometry, description: str = "") -> bytes:
    """Encode one volume or series as a gzipped NIfTI-1 file; equal volumes give equal bytes.

    Parameters
    ----------
    volume
        Shape ``(slice, phase_encode, readout)`` or ``(echo, slice, phase_encode, readout)``; in the file the axes are
        ``(readout, phase_encode, slice, echo)``. Stored as uint8 where it is such, else as float32.
    geometry
        Where the voxels are.
    description
        At most 79 characters of ASCII.
    """
    dtype = np.uint8 if volume.dtype == np.uint8 else np.float32
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    pieces = [packer.compress(_header(volume.shape, dtype, geometry, description))]
    pieces += [packer.compress(_voxels(one, dtype)) for one in volume]
    return b"".join((*pieces, packer.flush()))


def write_volume(
    path: Path, volume: StackOfSlices, geometry: ImageGeometry, description: str = "", *, is_noisy: bool = False
) -> None:
    """Write a gzipped NIfTI-1 file of float32 slice by slice, durably; the voxels are never in memory as a whole.

    Parameters
    ----------
    path
        The file, which appears complete or not at all.
    volume
        Shape ``(slice, phase_encode, readout)`` or ``(echo, slice, phase_encode, readout)``, indexed by all but the
        last two axes; of complex numbers the magnitude is written.
    geometry, description
        As in `nifti_bytes`.
    is_noisy
        Whether no voxel equals another, so that looking for repetitions takes four times as long for nothing.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP, strategy=zlib.Z_RLE if is_noisy else zlib.Z_DEFAULT_STRATEGY)
    with part_of(path, "writing images") as part, part.open("wb") as file:
        file.write(packer.compress(_header(volume.shape, np.float32, geometry, description)))
        for index in np.ndindex(*volume.shape[:-2]):
            one = volume[index]
            file.write(packer.compress(_voxels(np.abs(one) if np.iscomplexobj(one) else one, np.float32)))
        file.write(packer.flush())


def _voxels(one: NDArray[Any], dtype: type[np.generic]) -> bytes:
    return np.ascontiguousarray(one, np.dtype(dtype).newbyteorder("<")).tobytes()


def _header(shape: tuple[int, ...], dtype: type[np.generic], geometry: ImageGeometry, description: str) -> bytes:
    """Everything before the voxels of a NIfTI-1 file; the last axis of `shape` runs fastest, there as here."""
    header = nib.Nifti1Header(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(shape[::-1])
    header.set_data_offset(_VOXELS_FROM)
    header.set_xyzt_units("mm")
    header["descrip"] = description.encode("ascii", "replace")[:79]
    affine = nifti_affine(geometry)
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1, strip_shears=True)
    written = io.BytesIO()
    header.write_to(written)
    return written.getvalue().ljust(_VOXELS_FROM, b"\0")


def write_nifti(series: ImageSeries, folder: Path, stem: str = "images") -> tuple[Path, ...]:
    """Write magnitudes and a JSON side-car for each stack of slices.

    ``<stem>.nii.gz``, or ``<stem>_stack1.nii.gz`` and so on where the slices lie in several directions, since one file
    has one affine.

    Returns
    -------
    tuple of Path
        The NIfTI files.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    parts = series.split()
    paths = []
    for number, part in enumerate(parts, start=1):
        name = stem if len(parts) == 1 else f"{stem}_stack{number}"
        path = folder / f"{name}.nii.gz"
        write_volume(path, part.images, part.geometry, "magnitude, arbitrary units", is_noisy=True)
        write_durably(folder / f"{name}.json", (json.dumps(sidecar(part), indent=2) + "\n").encode())
        paths.append(path)
    return tuple(paths)


def sidecar(series: ImageSeries) -> dict[str, object]:
    """Metadata in the words of BIDS; times in seconds, frequencies in MHz as BIDS has it."""
    fields: dict[str, object] = {
        "EchoTime": [float(time) for time in series.echo_times],
        "Units": "arbitrary",
        "ImageType": "magnitude",
        "NoiseStandardDeviation": [number_or_none(value) for value in series.noise_std],
        "CoordinateSystem": series.provenance.get("frame", "unknown"),
        "Methods": " ".join(series.methods),
    }
    if series.working_frequency is not None:
        fields["ImagingFrequency"] = series.working_frequency / 1e6
    if series.nucleus is not None:
        fields["ResonantNucleus"] = series.nucleus
    if series.missing:
        fields["Missing"] = list(series.missing)
    return fields
