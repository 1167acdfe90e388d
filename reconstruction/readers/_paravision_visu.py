"""Where the console itself says that its images are: ``visu_pars``.

``VisuCoreOrientation`` and ``VisuCorePosition`` are in the frame (left, posterior, head). What we compute from the
gradients is held against them; where the two disagree, the console is believed, since its image is the one shown.
"""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import RealArray
from knightshift.core.errors import DamagedDataError
from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.readers.jcamp import ParameterFile

_TO_RAS = np.array([-1.0, -1.0, 1.0])
_MM = 1e-3
_MAX_LENGTH = 1e5
_SAME_DIRECTION = 1e-4
_SAME_PLACE = 2e-6
"""Difference of position that rounding explains [m]."""


def agreed_geometries(
    visu: ParameterFile | None, shown: tuple[ImageGeometry, ...], *, is_volume: bool
) -> tuple[tuple[ImageGeometry, ...], tuple[str, ...]]:
    """Hold the geometry of each slice against what the console says, and take the console's where they differ.

    Parameters
    ----------
    visu
        Parameters of the images of the console; None where there are none.
    shown
        Geometry of each slice with axes ``(slice, row, column)`` as the console shows it.
    is_volume
        Whether the slices are the partitions of a 3D scan, which the console places as one frame.

    Returns
    -------
    geometries
        One for each slice.
    missing
        What could not be compared, or did not agree.

    Raises
    ------
    DamagedDataError
        If an orientation is no rotation.
    """
    needed = ("VisuCoreOrientation", "VisuCorePosition")
    if visu is None or not all(name in visu for name in needed):
        return shown, ()
    rows = visu.floats("VisuCoreOrientation")
    corners = visu.bounded("VisuCorePosition", _MAX_LENGTH)
    n_slices = 1 if is_volume else len(shown)
    if rows.size not in (9, 9 * n_slices) or corners.size != 3 * n_slices:
        return shown, ("whether slices lie where the console says: visu_pars describes other frames",)
    orientations = _orientations(visu, rows, n_slices)
    positions = corners.reshape(n_slices, 3) * _TO_RAS * _MM
    if "reverse" in _slice_order(visu):  # the corner is that of the last slice
        if is_volume and _placed(shown[-1], orientations[0], positions[0]) is shown[-1]:
            return shown, ()
        return shown, ("whether slices lie where the console says: visu_pars counts them in reverse",)
    if is_volume:
        geometries = _volume(shown, orientations[0], positions[0])
    else:
        geometries = tuple(
            _placed(geometry, rotation, position)
            for geometry, rotation, position in zip(shown, orientations, positions, strict=True)
        )
    if all(one is other for one, other in zip(geometries, shown, strict=True)):
        return shown, ()
    return geometries, (
        "why the console places these slices elsewhere than the gradients do (VisuCorePosition, VisuCoreOrientation): "
        "its own word was taken",
    )


def _slice_order(visu: ParameterFile) -> str:
    return visu.text("VisuCoreDiskSliceOrder") if "VisuCoreDiskSliceOrder" in visu else ""


def _orientations(visu: ParameterFile, values: RealArray, n_slices: int) -> RealArray:
    """Rows column direction, row direction, normal of each slice in (right, anterior, head), ``(slice, 3, 3)``."""
    rows = values.reshape(-1, 3, 3)
    if np.max(np.abs(rows @ rows.transpose(0, 2, 1) - np.eye(3))) > 1e-3:
        raise DamagedDataError(visu.path, "VisuCoreOrientation", "its rows are not orthogonal")
    return np.broadcast_to(rows * _TO_RAS, (n_slices, 3, 3))


def _placed(geometry: ImageGeometry, rotation: RealArray, corner: RealArray) -> ImageGeometry:
    """`geometry` itself where it agrees, else with the in-plane directions and the corner of the console."""
    in_plane = np.stack([rotation[1], rotation[0]])
    same_directions = np.max(np.abs(geometry.directions[1:] - in_plane)) < _SAME_DIRECTION
    if same_directions and np.max(np.abs(geometry.origin - corner)) < _SAME_PLACE:
        return geometry
    normal = rotation[2] * np.copysign(1.0, rotation[2] @ geometry.directions[0])
    return ImageGeometry(geometry.voxel_size, np.vstack([normal, in_plane]), corner)


def _volume(shown: tuple[ImageGeometry, ...], rotation: RealArray, corner: RealArray) -> tuple[ImageGeometry, ...]:
    """Slices of a 3D scan from the corner of the whole; of the two ways from there, the one to where the slab is."""
    first = _placed(shown[0], rotation, corner)
    if first is shown[0]:
        return shown
    middle = (shown[0].origin + shown[-1].origin) / 2
    step = first.voxel_size[0] * first.directions[0]
    half = step * (len(shown) - 1) / 2
    if np.linalg.norm(corner - half - middle) < np.linalg.norm(corner + half - middle):
        step = -step
    directions = np.vstack([step / first.voxel_size[0], first.directions[1:]])
    return tuple(ImageGeometry(first.voxel_size, directions, corner + index * step) for index in range(len(shown)))
