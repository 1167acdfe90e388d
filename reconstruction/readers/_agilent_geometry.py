"""Where an Agilent or Varian scan put its slices: psi, phi, theta, and the offsets pro, ppe and pss.

The angles turn the readout, phase-encode and slice gradients into those of the magnet as the console's pulse sequences
do it. That the image has to be moved by ``ppe`` along the phase encoding, and which way, is proven on a real scan; the
offset along the readout is in the frequency of the receiver.
"""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import DamagedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.kspace import Partitions
from knightshift.reconstruction.readers._agilent_files import Procpar

FRAME = "magnet: X, Y, Z of the gradients, origin at the isocentre"
_CM = 1e-2
_MM = 1e-3
_MAX_OFFSET = 1e3
"""Largest believable offset [cm]."""


def gradient_directions(psi: float, phi: float, theta: float) -> RealArray:
    """Directions in (X, Y, Z) of the readout, phase-encode and slice gradients, shape ``(3, 3)``, angles in degrees."""
    s1, s2, s3 = np.sin(np.deg2rad([psi, phi, theta]))
    c1, c2, c3 = np.cos(np.deg2rad([psi, phi, theta]))
    return np.array([
        [s2 * c1 - c2 * c3 * s1, -c2 * c1 - s2 * c3 * s1, s1 * s3],
        [-s2 * s1 - c2 * c3 * c1, c2 * s1 - s2 * c3 * c1, c1 * s3],
        [s3 * c2, s3 * s2, c3],
    ])  # fmt: skip


def voxel_shifts(procpar: Procpar, matrix: tuple[int, int]) -> RealArray:
    """Cyclic shift along (phase_encode, readout) [voxels]."""
    return np.array([_offset(procpar, "ppe") / procpar.positive("lpe") * matrix[0], 0.0])


def image_geometries(
    procpar: Procpar, positions: RealArray, matrix: tuple[int, int], partitions: Partitions | None
) -> tuple[ImageGeometry, ...]:
    """Geometry of each slice with axes ``(slice, phase_encode, readout)``.

    Parameters
    ----------
    procpar
        Parameters of the scan.
    positions
        Of the slices along their normal [m], ascending.
    matrix
        Voxels along ``(phase_encode, readout)``.
    partitions
        The second phase encoding of a 3D scan; None in 2D.

    Raises
    ------
    DamagedDataError
        If a length or an angle cannot be believed.
    """
    readout, phase, normal = gradient_directions(*(_offset(procpar, name) for name in ("psi", "phi", "theta")))
    in_plane = procpar.positive("lpe") * _CM / matrix[0], procpar.positive("lro") * _CM / matrix[1]
    centre = (_offset(procpar, "pro") * readout + _offset(procpar, "ppe") * phase) * _CM
    directions = np.stack([normal, -phase, -readout])
    if partitions is None:
        size = _spacing(procpar, positions), *in_plane
    else:
        size = procpar.positive("lpe2") * _CM / partitions.matrix, *in_plane
        slab = _offset(procpar, "ppe2") * _CM
        positions = slab + (np.arange(partitions.matrix) - partitions.matrix // 2) * size[0]
    corner = np.array([0.0, matrix[0] // 2, matrix[1] // 2]) * size
    return tuple(
        ImageGeometry(size, directions, centre + position * normal - corner @ directions) for position in positions
    )


def _spacing(procpar: Procpar, positions: RealArray) -> float:
    return spacing_of(positions, procpar.positive("thk") * _MM if "thk" in procpar else 1e-3)


def spacing_of(positions: RealArray, thickness: float) -> float:
    """Distance between slices [m]; of one slice, or of uneven ones, the thickness."""
    gaps = np.diff(positions)
    return float(gaps[0]) if gaps.size and gaps[0] > 0 and np.allclose(gaps, gaps[0]) else thickness


def _offset(procpar: Procpar, name: str) -> float:
    """First value of a parameter that may be zero or missing."""
    value = float(procpar.numbers(name)[0]) if name in procpar else 0.0
    if abs(value) > _MAX_OFFSET:
        raise DamagedDataError(procpar.path, name, f"{value:g} is not within ±{_MAX_OFFSET:g}")
    return value
