"""Which voxels of an image lie in a box of the laboratory, or in a mask on another grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from knightshift.core.arrays import BoolArray, RealArray
from knightshift.core.errors import InputError
from knightshift.core.geometry import ImageGeometry

_AXES = "xyz"


def voxels_in_box(
    geometry: ImageGeometry, shape: tuple[int, int, int], box: Mapping[str, tuple[float, float]]
) -> BoolArray:
    """Find the voxels whose centre lies in a box.

    Parameters
    ----------
    geometry
        Where the voxels are.
    shape
        Of the image, ``(slice, phase_encode, readout)``.
    box
        Lowest and highest position along ``x``, ``y`` and ``z`` [m]; an axis that is left out is not looked at, nor is
        one over which the image is a projection.

    Raises
    ------
    InputError
        If no voxel lies in it.
    """
    positions = _positions(geometry, shape)
    inside = np.ones(shape, bool)
    for axis, (low, high) in box.items():
        along = positions[_AXES.index(axis)]
        if np.ptp(along) > 0:
            inside &= (along >= low) & (along <= high)
    if not inside.any():
        spans = ", ".join(
            f"{axis} {1e3 * along.min():.3g} to {1e3 * along.max():.3g} mm"
            for axis, along in zip(_AXES, positions, strict=True)
            if np.ptp(along) > 0
        )
        raise InputError(f"no voxel has its centre in the box: the image spans {spans}: enlarge or move the box")
    return inside


def voxels_of_mask(
    geometry: ImageGeometry, shape: tuple[int, int, int], mask: BoolArray, affine: RealArray | None
) -> BoolArray:
    """Find the voxels whose centre lies in a voxel of a mask.

    Parameters
    ----------
    geometry
        Where the voxels of the image are.
    shape
        Of the image, ``(slice, phase_encode, readout)``.
    mask
        The mask; any three axes.
    affine
        From its index to the position ``(x, y, z)`` [m], shape ``(4, 4)``; None: the mask has the voxels of the image.

    Raises
    ------
    InputError
        If the two do not fit, or no voxel lies in the mask.
    """
    if affine is None:
        if mask.shape != shape:
            raise InputError(
                f"a mask of {mask.shape} voxels does not fit an image of {shape} (slice, phase_encode, readout): give "
                "it as NIfTI, which says where its voxels are"
            )
        inside = mask.copy()
    else:
        places = _homogeneous(_positions(geometry, shape).reshape(3, -1))
        index = np.rint(np.asarray(np.linalg.inv(affine) @ places)[:3]).astype(int)
        within = ((index >= 0) & (index < np.array(mask.shape)[:, None])).all(axis=0)
        inside = np.zeros(within.size, bool)
        inside[within] = mask[tuple(index[:, within])]
        inside = inside.reshape(shape)
    if not inside.any():
        raise InputError("no voxel of the image lies in the mask: is it of the same cell, and not empty?")
    return inside


def _positions(geometry: ImageGeometry, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Centres of all voxels, shape ``(3, *shape)``: x, y and z [m]."""
    indices = np.indices(shape).reshape(3, -1).astype(float)
    places = np.asarray(geometry.affine @ _homogeneous(indices))
    return places[:3].reshape(3, *shape)


def _homogeneous(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.vstack([points, np.ones(points.shape[1])])
