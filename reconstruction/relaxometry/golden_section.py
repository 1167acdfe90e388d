"""Golden-section search: the minimum of many functions at once, one bracket each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from knightshift.core.arrays import RealArray

_GOLDEN = (np.sqrt(5) - 1) / 2


def golden_section(
    function: Callable[[RealArray], RealArray], bracket: tuple[RealArray, RealArray], sections: int
) -> RealArray:
    """Find where functions are lowest, each with one minimum in its bracket.

    Parameters
    ----------
    function
        Values at places of shape ``(voxel,)``.
    bracket
        Lower and upper ends, shape ``(voxel,)``.
    sections
        How often the brackets are narrowed, each time to 0.618 of what they were.

    Returns
    -------
    RealArray
        Middles of the last brackets, shape ``(voxel,)``.
    """
    low, high = bracket
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(sections):
        leftwards = at_left < at_right
        low, high = np.where(leftwards, low, left), np.where(leftwards, right, high)
        new = np.where(leftwards, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_new = function(new)
        left, right = np.where(leftwards, new, right), np.where(leftwards, left, new)
        at_left, at_right = np.where(leftwards, at_new, at_right), np.where(leftwards, at_left, at_new)
    return np.asarray((low + high) / 2)
