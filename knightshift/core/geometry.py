"""Where image voxels are in the laboratory frame of the magnet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import RealArray


@dataclass(frozen=True)
class ImageGeometry:
    """Position and orientation of an image array with axes ``(slice, phase_encode, readout)``.

    Laboratory frame, right-handed, ``z`` along B0, origin at the isocentre [m].
    """

    voxel_size: tuple[float, float, float]
    """Centre-to-centre distance along ``(slice, phase_encode, readout)`` [m]."""
    directions: RealArray
    """Unit vectors, shape ``(3, 3)``: row ``i`` is the direction in ``(x, y, z)`` of array axis ``i``."""
    origin: RealArray
    """Position in ``(x, y, z)`` of the centre of voxel ``[0, 0, 0]`` [m]."""

    @property
    def affine(self) -> RealArray:
        """From array index ``(slice, phase_encode, readout)`` to position ``(x, y, z)`` [m], shape ``(4, 4)``."""
        affine = np.eye(4)
        affine[:3, :3] = self.directions.T * np.asarray(self.voxel_size)
        affine[:3, 3] = self.origin
        return affine
