"""NIfTI with an affine that is right: voxel index to millimetres.

Own runs are written in the laboratory frame of the magnet (x, y, z with z along B0); programs that label NIfTI axes
will call x "right", y "anterior" and z "superior". ParaVision scans are in the frame of the subject, RAS+.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import RealArray
from knightshift.core.durable import write_durably
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import ImageSeries

_MM_PER_M = 1e3


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
    image = nib.Nifti1Image(np.ascontiguousarray(np.asarray(volume, dtype).T), nifti_affine(geometry))
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1, strip_shears=True)
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=6, mtime=0) as file:
        file.write(image.to_bytes())
    return packed.getvalue()


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
        write_durably(path, nifti_bytes(np.abs(part.images), part.geometry, "magnitude, arbitrary units"))
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
