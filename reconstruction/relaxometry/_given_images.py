"""Images as people hand them over: lists, masked arrays, numbers that are none or too large."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knightshift.core.arrays import BoolArray

LARGEST = 1e150
"""Signal and noise whose squares are numbers, with room to spare."""


def given_images(signal: ArrayLike, mask: BoolArray | None) -> tuple[NDArray[Any], BoolArray | None]:
    """Numbers, and a mask without the voxels that a numpy masked array hides in any echo or delay.

    Parameters
    ----------
    signal
        Shape ``(echo, *image)``.
    mask
        Voxels of interest, shape ``image``; None: all.
    """
    images = np.asanyarray(signal)
    if not isinstance(images, np.ma.MaskedArray):
        return images, mask
    shown = ~np.ma.getmaskarray(images).any(axis=0)
    chosen = shown if mask is None else shown & np.asarray(mask, dtype=bool)
    return np.asarray(images.filled(0)), np.asarray(chosen, dtype=bool)


def can_be_fitted(images: NDArray[Any]) -> BoolArray:
    """Voxels that are finite, and small enough to be squared, in all echoes, shape ``image``."""
    return np.asarray((np.abs(images) < np.float64(LARGEST)).all(axis=0))
