"""Which slices of a scan lie in one stack, so that one affine holds for all of them."""

from __future__ import annotations

import numpy as np

from knightshift.core.geometry import ImageGeometry
from knightshift.reconstruction.images import SliceStack


def transpose_geometry(geometry: ImageGeometry) -> ImageGeometry:
    """Geometry after rows and columns of the image have been swapped."""
    slice_size, row, column = geometry.voxel_size
    return ImageGeometry((slice_size, column, row), geometry.directions[[0, 2, 1]], geometry.origin)


def find_stacks(geometries: tuple[ImageGeometry, ...]) -> tuple[SliceStack, ...]:
    """Group slices into stacks: runs of slices that are parallel and evenly spaced along their normal."""
    stacks: list[list[int]] = []
    for index in range(len(geometries)):
        if stacks and _continues(geometries, stacks[-1], index):
            stacks[-1].append(index)
        else:
            stacks.append([index])
    return tuple(SliceStack(tuple(stack), _stack_geometry([geometries[i] for i in stack])) for stack in stacks)


def _continues(geometries: tuple[ImageGeometry, ...], stack: list[int], index: int) -> bool:
    first, last, new = geometries[stack[0]], geometries[stack[-1]], geometries[index]
    if not np.allclose(first.directions, new.directions, atol=1e-6) or first.voxel_size != new.voxel_size:
        return False
    step = new.origin - last.origin
    across = step - (step @ new.directions[0]) * new.directions[0]
    if np.linalg.norm(across) > 1e-3 * min(new.voxel_size) or np.linalg.norm(step) == 0:
        return False
    if len(stack) == 1:
        return True
    return bool(np.allclose(step, last.origin - geometries[stack[-2]].origin, atol=1e-3 * new.voxel_size[0]))


def _stack_geometry(members: list[ImageGeometry]) -> ImageGeometry:
    first = members[0]
    if len(members) == 1:
        return first
    step = members[1].origin - first.origin
    spacing = float(np.linalg.norm(step))
    directions = np.vstack([step / spacing, first.directions[1:]])
    return ImageGeometry((spacing, *first.voxel_size[1:]), directions, first.origin)
