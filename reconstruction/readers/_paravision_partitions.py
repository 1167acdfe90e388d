"""The second phase encoding of a 3D ParaVision scan: where its partitions go, and where its slices lie in the slab."""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import IntArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.kspace import Partitions
from knightshift.reconstruction.readers._paravision_console import first_kept_point
from knightshift.reconstruction.readers._paravision_files import ScanFiles, dimensions
from knightshift.reconstruction.readers._paravision_geometry import MAX_LENGTH
from knightshift.reconstruction.readers._paravision_layout import onto_grid, partition_steps
from knightshift.reconstruction.readers._paravision_placement import (
    MAX_ZERO_FILL,
    SlicesOfSlab,
    rotations,
    third,
)

_MOST_OFF_CENTRE = 1.0
"""How far from the middle of the slices the slab may lie for the shift to be what brings it there [slices]."""


def read_slab(
    files: ScanFiles, n_partitions: int, n_slabs: int, n_images: int
) -> tuple[Partitions, SlicesOfSlab] | None:
    """Read the second phase encoding; None in 2D.

    Parameters
    ----------
    files
        Parameters of the scan.
    n_partitions
        Steps of the second phase encoding.
    n_slabs
        Slabs; only one is read.
    n_images
        Echo images and movie frames of the slab.

    Raises
    ------
    UnsupportedDataError
        If there are several slabs.
    DamagedDataError
        If the partitions do not fit the grid.
    """
    if dimensions(files) == 2:
        return None
    if n_slabs != 1:
        raise UnsupportedDataError(f"{files.folder}: a 3D scan of {n_slabs} slabs: only one slab is read")
    method = files.method
    matrix = round(third(files, "PVM_Matrix"))
    size = round(third(files, "PVM_Matrix") * third(files, "PVM_AntiAlias", 1.0))
    if files.reco is not None:
        size, matrix = (int(files.reco.integers(name)[2:3].sum()) for name in ("RECO_ft_size", "RECO_size"))
    steps = onto_grid(partition_steps(files, n_partitions), size)
    if not n_partitions <= size <= MAX_ZERO_FILL * n_partitions or not 1 <= matrix <= size:
        problem = f"{n_partitions} partitions do not fit a grid of {size} with {matrix} slices"
        raise DamagedDataError(method.path if files.reco is None else files.reco.path, "RECO_ft_size", problem)
    rows = steps + size // 2
    if steps.size != n_partitions or np.unique(steps).size != steps.size or rows.min() < 0 or rows.max() >= size:
        problem = f"steps {steps.min()} to {steps.max()} do not fit once each into {size} partitions"
        raise DamagedDataError(method.path, "PVM_EncSteps2", problem)
    return _placed(files, steps, (size, matrix), n_images)


def _placed(
    files: ScanFiles, steps: IntArray, counts: tuple[int, int], n_images: int
) -> tuple[Partitions, SlicesOfSlab]:
    """Find the shift of the slices, and which of them is in the middle of the slab.

    The transform puts the point at distance z from the isocentre, along the slice gradient, at ``size // 2 + shift +
    z / thickness``: the shift itself tells where the slices lie.
    """
    size, matrix = counts
    field = third(files, "PVM_Fov") * third(files, "PVM_AntiAlias", 1.0)
    offset = _slab_offset(files)
    thickness = field / size
    between = not files.is_before_6  # ParaVision 6 and later centre the slab between two slices
    shift = -(offset + thickness / 2 * between) / thickness
    if files.reco is not None and "RECO_rotate" in files.reco:
        shift = float(rotations(files, 1, n_images)[2, 0] - 0.5) * size
    elif "PVM_EffPhase2Offset" in files.method:
        along = float(files.method.bounded("PVM_EffPhase2Offset", MAX_LENGTH)[:1].sum())
        shift = (along - thickness / 2 * between) / thickness
    first = _first_kept(files, size, matrix, n_images)
    middle = size // 2 + shift - first + offset / thickness
    usual = matrix // 2 - 0.5 * between
    beside = (middle - usual + size / 2) % size - size / 2  # shifts are cyclic
    if abs(beside) > _MOST_OFF_CENTRE:  # the slab is brought to the middle in another way than by this shift
        beside = 0.0
    moved = first - (size // 2 - matrix // 2)
    return Partitions(steps, size, matrix, shift - moved), SlicesOfSlab(matrix, usual + beside, thickness * 1e-3)


def _slab_offset(files: ScanFiles) -> float:
    """Distance of the middle of the slab from the isocentre, along the slice gradient [mm]."""
    if "ACQ_slice_offset" not in files.acqp:
        return 0.0
    return float(files.acqp.bounded("ACQ_slice_offset", MAX_LENGTH)[:1].sum())


def _first_kept(files: ScanFiles, size: int, matrix: int, n_images: int) -> int:
    """First slice of the grid that the console keeps; of its own accord, those in the middle."""
    starts = None if files.reco is None else first_kept_point(files.reco, (3, 1, n_images))
    if files.reco is None or starts is None:
        return size // 2 - matrix // 2
    first = int(starts[2, 0])
    if not 0 <= first <= size - matrix:
        raise DamagedDataError(files.reco.path, "RECO_offset", f"{matrix} slices from {first} on do not fit {size}")
    return first
