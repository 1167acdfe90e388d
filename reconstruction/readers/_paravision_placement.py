"""Where the lines of a ParaVision scan lie on the grid of the transform, and where its slices lie in the magnet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.readers._paravision_console import (
    first_kept_point,
    negates_every_other_point,
    of_each_slice,
)
from knightshift.reconstruction.readers._paravision_files import ScanFiles, dimensions
from knightshift.reconstruction.readers._paravision_geometry import MAX_LENGTH, partition_geometries, slice_geometries
from knightshift.reconstruction.readers._paravision_visu import agreed_geometries
from knightshift.reconstruction.stacks import transpose_geometry

_MAX_ROTATION = 1e3
"""Largest believable shift of an image [fields of view]."""
MAX_ZERO_FILL = 32
"""Largest believable ratio of transformed to acquired points along one axis."""


@dataclass(frozen=True)
class Grid:
    """Where the acquired lines sit on the grid of the Fourier transform; pairs are (phase_encode, readout)."""

    center_sample: int
    """Sample at k = 0."""
    size: tuple[int, int]
    """Points to transform."""
    matrix: tuple[int, int]
    """Voxels to keep."""
    voxel: tuple[float, float]
    """Size of a voxel [m]."""
    echo_is_centred: bool
    """Whether k = 0 lies where the samples fit the grid; else they were put in its middle."""


def pair(files: ScanFiles, name: str, default: float | None = None) -> tuple[float, float]:
    """First two values of a method parameter, in order (read, phase); positive."""
    if default is not None and name not in files.method:
        return default, default
    values = files.method.floats(name)
    if values.size < 2 or np.any(values[:2] < 1e-6) or np.any(values[:2] > 1e6):
        raise DamagedDataError(files.method.path, name, f"{values[:4].tolist()} are not two positive values")
    return float(values[0]), float(values[1])


def third(files: ScanFiles, name: str, default: float | None = None) -> float:
    """Third value of a method parameter; positive."""
    if default is not None and name not in files.method:
        return default
    values = files.method.floats(name)
    if values.size != 3 or not 0 < values[2] < 1e6:
        raise DamagedDataError(files.method.path, name, f"{values[:4].tolist()} are not three positive values")
    return float(values[2])


@dataclass(frozen=True)
class Placed:
    """Where the slices are, and what was left open about it."""

    shifts: RealArray
    """Cyclic shift along (phase_encode, readout) [voxels], shape ``(slice, 2)``."""
    transposed: BoolArray
    """Whether rows and columns are swapped, shape ``(slice,)``."""
    geometries: tuple[ImageGeometry, ...]
    """Of each slice, before any swap."""
    missing: tuple[str, ...]
    """What the files do not say."""


@dataclass(frozen=True)
class SlicesOfSlab:
    """How the slices of a 3D scan lie in their slab."""

    count: int
    """Slices of the image."""
    middle: float
    """Index, fractions included, of the slice in the middle of the slab."""
    thickness: float
    """Distance between slices [m]."""


def placement(files: ScanFiles, grid: Grid, counts: tuple[int, int], slab: SlicesOfSlab | None) -> Placed:
    """Place the slices: by the gradients, and as the console says where it says it.

    Parameters
    ----------
    files
        Parameters of the scan.
    grid
        Grid of one slice.
    counts
        Slices (in 3D: slabs), and images of each (its echoes or movie frames).
    slab
        Slices of a 3D scan; None in 2D.
    """
    n_slabs, n_images = counts
    shifts = _shifts(files, grid.size, n_slabs, n_images)
    moved = _kept_off_centre(files, grid, counts)
    transposed = _transposed(files, n_slabs, n_images, grid.matrix)
    geometries, unknown = slice_geometries(files, n_slabs, grid.voxel, grid.matrix)
    geometries = tuple(
        ImageGeometry(g.voxel_size, g.directions, g.origin + (np.array([0, *offset]) * g.voxel_size) @ g.directions)
        for g, offset in zip(geometries, moved, strict=True)
    )
    shifts = shifts - moved
    if slab is not None:
        geometries = partition_geometries(geometries[0], slab.count, slab.middle, slab.thickness)
        shifts, transposed = np.repeat(shifts, slab.count, axis=0), np.repeat(transposed, slab.count)
    shown = tuple(transpose_geometry(g) if t else g for g, t in zip(geometries, transposed, strict=True))
    agreed, open_points = agreed_geometries(files.visu, shown, is_volume=slab is not None)
    if not unknown:
        unknown = open_points
    elif agreed is not shown:
        unknown = ("the distance between slices (PVM_SPackArrSliceDistance): their thickness was taken",)
    geometries = tuple(transpose_geometry(g) if t else g for g, t in zip(agreed, transposed, strict=True))
    return Placed(shifts, transposed, geometries, unknown)


def _kept_off_centre(files: ScanFiles, grid: Grid, counts: tuple[int, int]) -> RealArray:
    """How far from the middle the console cuts its image out, ``(phase_encode, readout)`` [voxels] of each slice."""
    n_slabs, n_images = counts
    moved = np.zeros((n_slabs, 2))
    starts = None if files.reco is None else first_kept_point(files.reco, (dimensions(files), n_slabs, n_images))
    if files.reco is None or starts is None:
        return moved
    first = starts[:2].T[:, ::-1]
    size, matrix = np.asarray(grid.size), np.asarray(grid.matrix)
    if np.any(first < 0) or np.any(first > size - matrix):
        problem = f"{matrix.tolist()} voxels from {first.max(axis=0).tolist()} on do not fit {size.tolist()}"
        raise DamagedDataError(files.reco.path, "RECO_offset", problem)
    moved[:] = first - (size // 2 - matrix // 2)
    return moved


def _shifts(files: ScanFiles, size: tuple[int, int], n_slices: int, n_images: int) -> RealArray:
    """Cyclic shift along (phase_encode, readout) [voxels], shape ``(slice, 2)``; 0 for ``RECO_rotate`` = 0.5."""
    if files.reco is None or "RECO_rotate" not in files.reco:
        return _computed_shifts(files, size[0], n_slices)
    rotate = rotations(files, n_slices, n_images)[:2]
    shift = (rotate[::-1] - 0.5).T * np.asarray(size)
    return np.asarray(shift)


def rotations(files: ScanFiles, n_slices: int, n_images: int) -> RealArray:
    """``RECO_rotate`` with 0.5 for no shift, shape ``(dimension, slice)``; each slice has `n_images` images."""
    assert files.reco is not None
    n_dims = dimensions(files)
    rotate = of_each_slice(files.reco, "RECO_rotate", (n_dims, n_slices, n_images), _MAX_ROTATION).copy()
    for axis, negated in enumerate(negates_every_other_point(files.reco, n_dims, before_6=files.is_before_6)):
        rotate[axis] += 0.5 * negated  # a change of sign of every other point is the half-field shift
    return rotate


def _computed_shifts(files: ScanFiles, n_phase: int, n_slices: int) -> RealArray:
    """Shift by the phase offset; the read offset is already in the frequency of the receiver."""
    shifts = np.zeros((n_slices, 2))
    if "PVM_SPackArrPhase1Offset" in files.method and "PVM_SPackArrNSlices" in files.method:
        per_pack = files.method.integers("PVM_SPackArrNSlices")
        offsets = files.method.bounded("PVM_SPackArrPhase1Offset", MAX_LENGTH)
        if per_pack.size != offsets.size or np.any(per_pack < 1) or per_pack.sum() != n_slices:
            problem = f"{offsets.size} offsets for {per_pack.size} slice packages of {n_slices} slices"
            raise DamagedDataError(files.method.path, "PVM_SPackArrPhase1Offset", problem)
        fov = pair(files, "PVM_Fov")[1] * pair(files, "PVM_AntiAlias", 1.0)[1]
        shifts[:, 0] = np.repeat(offsets, per_pack) / fov * n_phase
    return shifts


def _transposed(files: ScanFiles, n_slices: int, n_images: int, matrix: tuple[int, int]) -> BoolArray:
    if files.reco is None or "RECO_transposition" not in files.reco:
        return np.zeros(n_slices, bool)
    codes = of_each_slice(files.reco, "RECO_transposition", (1, n_slices, n_images))[0]
    if dimensions(files) == 2:
        codes = np.where(codes == 2, 1, codes)  # the first and the last axis, which is the same swap
    if np.any((codes != 0) & (codes != 1)):
        raise UnsupportedDataError(
            f"{files.reco.path}: RECO_transposition {codes.max():g} is not a swap of the two axes"
        )
    swapped: BoolArray = codes.astype(bool)
    if matrix[0] != matrix[1] and swapped.any() and not swapped.all():
        problem = f"slices of {matrix} voxels, some of them transposed, cannot be one image"
        raise DamagedDataError(files.reco.path, "RECO_transposition", problem)
    return swapped
