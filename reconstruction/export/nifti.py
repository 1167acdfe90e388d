"""NIfTI with an affine that is right: voxel index to millimetres.

Own runs are written in the laboratory frame of the magnet (x, y, z with z along B0); programs that label NIfTI axes
will call x "right", y "anterior" and z "superior". ParaVision scans are in the frame of the subject, RAS+.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import RealArray
from knightshift.core.durable import PART_SUFFIX, move_durably, storage_error, write_durably
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries

_MM_PER_M = 1e3
_VOXELS_FROM = 352
"""Where the voxels begin in a single NIfTI-1 file [bytes]."""


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
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=6, mtime=0) as file:
        file.write(_header(volume.shape, dtype, geometry, description))
        for one in volume:
            file.write(np.ascontiguousarray(one, np.dtype(dtype).newbyteorder("<")).tobytes())
    return packed.getvalue()


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


def _write_magnitudes(series: ImageSeries, path: Path) -> None:
    """Write the magnitudes slice by slice, so that they are never in memory as a whole."""
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        with part.open("wb") as raw:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as file:
                file.write(_header(series.images.shape, np.float32, series.geometry, "magnitude, arbitrary units"))
                for echo, index in np.ndindex(*series.images.shape[:2]):
                    file.write(np.abs(series.images[echo, index]).astype("<f4", copy=False).tobytes())
            raw.flush()
            os.fsync(raw.fileno())
        move_durably(part, path)
    except OSError as error:
        raise storage_error(path, "writing images", error) from error
    finally:
        part.unlink(missing_ok=True)


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
        _write_magnitudes(part, path)
        write_durably(folder / f"{name}.json", (json.dumps(sidecar(part), indent=2) + "\n").encode())
        paths.append(path)
    return tuple(paths)


def sidecar(series: ImageSeries) -> dict[str, object]:
    """Metadata in the words of BIDS; times in seconds, frequencies in MHz as BIDS has it."""
    fields: dict[str, object] = {
        "EchoTime": [float(time) for time in series.echo_times],
        "Units": "arbitrary",
        "ImageType": "magnitude",
        "NoiseStandardDeviation": [float(value) for value in series.noise_std],
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
