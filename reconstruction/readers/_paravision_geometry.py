"""Where ParaVision put its slices.

The method gives the gradient directions of each slice package (``PVM_SPackArrGradOrient``, rows read, phase, slice) and
offsets along them. Compared with ``visu_pars`` of scans of ParaVision 5.1, 6.0.1 and 360 (axial, sagittal, coronal and
oblique): with the images as an inverse FFT gives them, readout and phase-encode indices run *against* their gradient
directions and the slices along theirs, in the frame (right, anterior, head) that NIfTI calls RAS+.
"""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import IntArray, RealArray
from knightshift.core.errors import DamagedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.readers._paravision_files import ScanFiles

_MM = 1e-3
MAX_LENGTH = 1e5
"""Largest believable length or offset [mm]."""


def slice_geometries(
    files: ScanFiles, n_slices: int, grid_voxel: tuple[float, float], matrix: tuple[int, int]
) -> tuple[tuple[ImageGeometry, ...], tuple[str, ...]]:
    """Geometry of each slice with axes ``(slice, phase_encode, readout)``, and what had to be assumed.

    Parameters
    ----------
    files
        Parameters of the scan.
    n_slices
        Slices, all packages together.
    grid_voxel
        Voxel size along ``(phase_encode, readout)`` [m].
    matrix
        Voxels along ``(phase_encode, readout)``.
    """
    method, acqp = files.method, files.acqp
    needed = ("PVM_SPackArrGradOrient", "PVM_SPackArrNSlices")
    if not all(name in method for name in needed) or "ACQ_slice_offset" not in acqp:
        missing = "orientation and position of the slices (PVM_SPackArrGradOrient, ACQ_slice_offset)"
        size = (_thickness(files), *grid_voxel)
        beside = np.outer(np.arange(n_slices), [0, 0, size[0]])  # one stack, side by side
        return tuple(_geometry(np.eye(3), centre, size, matrix) for centre in beside), (missing,)
    per_pack = [int(n) for n in method.integers("PVM_SPackArrNSlices")]
    if sum(per_pack) != n_slices or min(per_pack, default=0) < 1:
        raise DamagedDataError(method.path, "PVM_SPackArrNSlices", f"{per_pack} do not sum to {n_slices} slices")
    pack = np.repeat(np.arange(len(per_pack)), per_pack)
    directions = _orientations(files, len(per_pack))
    offsets = _offsets(files, pack, n_slices)
    distance = _spacings(files, len(per_pack))
    geometries = []
    for index in range(n_slices):
        rows = directions[pack[index]]
        size = (float(distance[pack[index]]), *grid_voxel)
        geometries.append(_geometry(rows, offsets[index] @ rows, size, matrix))
    return tuple(geometries), ()


def partition_geometries(
    slab: ImageGeometry, n_slices: int, middle: float, thickness: float
) -> tuple[ImageGeometry, ...]:
    """Geometry of each slice of a 3D scan.

    Parameters
    ----------
    slab
        Geometry of the slab as if it were one slice: through its middle.
    n_slices
        How many slices there are.
    middle
        Index, fractions included, of the slice in the middle of the slab: ``n_slices // 2`` in ParaVision 5.1, half a
        slice less later.
    thickness
        Distance between slices [m].
    """
    return tuple(
        ImageGeometry(
            voxel_size=(thickness, *slab.voxel_size[1:]),
            directions=slab.directions,
            origin=slab.origin + (index - middle) * thickness * slab.directions[0],
        )
        for index in range(n_slices)
    )


def _orientations(files: ScanFiles, n_packs: int) -> RealArray:
    """Rows read, phase, slice of each package, shape ``(pack, 3, 3)``."""
    values = files.method.floats("PVM_SPackArrGradOrient")
    if values.size != 9 * n_packs:
        problem = f"{values.size} numbers are not {n_packs} rotation matrices"
        raise DamagedDataError(files.method.path, "PVM_SPackArrGradOrient", problem)
    rows = values.reshape(n_packs, 3, 3)
    if np.max(np.abs(rows @ rows.transpose(0, 2, 1) - np.eye(3))) > 1e-3:
        raise DamagedDataError(
            files.method.path, "PVM_SPackArrGradOrient", "the gradient directions are not orthogonal"
        )
    return rows


def _offsets(files: ScanFiles, pack: IntArray, n_slices: int) -> RealArray:
    """Offset of each slice along its ``(read, phase, slice)`` gradients [m], shape ``(slice, 3)``."""
    offsets = np.zeros((n_slices, 3))
    n_packs = int(pack.max()) + 1
    for axis, name in enumerate(("PVM_SPackArrReadOffset", "PVM_SPackArrPhase1Offset")):
        if name in files.method:
            values = files.method.bounded(name, MAX_LENGTH)
            if values.size != n_packs:
                raise DamagedDataError(files.method.path, name, f"{values.size} values for {n_packs} slice packages")
            offsets[:, axis] = values[pack]
    along_slice = files.acqp.bounded("ACQ_slice_offset", MAX_LENGTH)
    if along_slice.size != n_slices:
        raise DamagedDataError(files.acqp.path, "ACQ_slice_offset", f"{along_slice.size} values for {n_slices} slices")
    offsets[:, 2] = along_slice
    return offsets * _MM


def _spacings(files: ScanFiles, n_packs: int) -> RealArray:
    """Distance between slices of each package [m]; of a single slice, its thickness."""
    thickness = _thickness(files)
    per_pack = files.method.integers("PVM_SPackArrNSlices")
    if "PVM_SPackArrSliceDistance" in files.method:
        distance = files.method.bounded("PVM_SPackArrSliceDistance", MAX_LENGTH) * _MM
        if distance.size == n_packs and np.all(distance > 0):
            return np.where(per_pack > 1, distance, thickness)
    return np.full(n_packs, thickness)


def _thickness(files: ScanFiles) -> float:
    """Thickness of a slice [m]."""
    thickness = float(files.acqp.bounded("ACQ_slice_thick", MAX_LENGTH)[:1].sum()) * _MM
    if thickness <= 0:
        raise DamagedDataError(files.acqp.path, "ACQ_slice_thick", f"{thickness / _MM:g} mm is no thickness")
    return thickness


def _geometry(
    rows: RealArray, centre: RealArray, size: tuple[float, float, float], matrix: tuple[int, int]
) -> ImageGeometry:
    """Geometry of one slice from its gradient directions (read, phase, slice) and the centre of its field of view."""
    directions = np.stack([rows[2], -rows[1], -rows[0]])
    half = np.array([0, matrix[0] // 2, matrix[1] // 2]) * np.asarray(size)
    return ImageGeometry(voxel_size=size, directions=directions, origin=centre - half @ directions)
