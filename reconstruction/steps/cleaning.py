"""Remove what the receiver adds to k-space: a constant offset, and spikes.

What is measured on all of k-space goes through it plane by plane, so that it is never in memory as a whole, and the
result does not depend on how many planes are read at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray, IntArray, RealArray
from knightshift.core.errors import ShapeError
from knightshift.reconstruction.steps.group_medians import group_medians

_EDGE = 0.125
"""Share of each axis, at each end, that counts as the outer k-space."""


def outer_points(n_lines: int, n_samples: int) -> BoolArray:
    """Corners of k-space, where there is least signal, shape ``(line, sample)``.

    Lines and samples must be in order of k.
    """
    lines, samples = (
        np.minimum(np.arange(n), np.arange(n)[::-1]) < max(1, round(_EDGE * n)) for n in (n_lines, n_samples)
    )
    return np.asarray(lines[:, np.newaxis] & samples)


def dc_offsets(planes: Iterable[ComplexArray]) -> ComplexArray:
    """Measure the constant that each receiver adds to every sample: it would be a bright point in the middle.

    Parameters
    ----------
    planes
        Each of shape ``(channel, line, sample)``, lines in order of k. The offset is measured in the corners of k-space
        and common to all planes.

    Returns
    -------
    ComplexArray
        Shape ``(channel,)``; subtract it from every plane.

    Raises
    ------
    ShapeError
        If a plane has other axes, or there is none.
    """
    total, count = None, 0
    for plane in planes:
        if plane.ndim != 3:
            raise ShapeError(f"k-space of shape {plane.shape} needs the axes (channel, line, sample)")
        corners = plane[:, outer_points(*plane.shape[-2:])]
        one = corners.sum(axis=-1, dtype=np.complex128)
        total, count = one if total is None else total + one, count + corners.shape[-1]
    if total is None:
        raise ShapeError("k-space without planes has no offset")
    offsets: ComplexArray = total / count
    return offsets


def without_offset(plane: ComplexArray, offsets: ComplexArray) -> ComplexArray:
    """Subtract the offset of each receiver from a plane of shape ``(channel, line, sample)``."""
    cleaned: ComplexArray = (plane - offsets[:, np.newaxis, np.newaxis]).astype(plane.dtype)
    return cleaned


def ring_levels(planes: Iterable[ComplexArray]) -> RealArray:
    """Median magnitude of all samples at about the same distance from k = 0, over all planes.

    Parameters
    ----------
    planes
        Each of shape ``(channel, line, sample)``, all alike, lines in order of k; gone through several times.

    Returns
    -------
    RealArray
        Shape ``(ring,)``, from the middle of k-space outwards.
    """
    first = next(iter(planes))
    rings, n_rings = _rings(*first.shape[-2:])
    return group_medians(_Magnitudes(planes), rings, n_rings)


class _Magnitudes:
    """Magnitudes of planes, plane by plane, as often as they are asked for."""

    def __init__(self, planes: Iterable[ComplexArray]) -> None:
        self._planes = planes

    def __iter__(self) -> Iterator[RealArray]:
        return (np.abs(plane) for plane in self._planes)


def find_spikes(plane: ComplexArray, levels: RealArray, *, threshold: float = 8.0) -> BoolArray:
    """Find samples that stand out of their surroundings; one spike is a stripe pattern over the image.

    A sample is a spike if its magnitude exceeds `threshold` times the median magnitude of all samples at about the same
    distance from k = 0, over all images: signal there is common to many samples, a spike is alone.

    Parameters
    ----------
    plane
        Shape ``(..., line, sample)``, lines in order of k.
    levels
        Those of `ring_levels`.
    threshold
        In medians; that of noise alone is exceeded 8 times with probability 6e-20.

    Returns
    -------
    BoolArray
        Same shape as `plane`.
    """
    rings, _ = _rings(*plane.shape[-2:])
    limits = threshold * levels
    limits = np.where(levels > 0, limits, np.inf).astype(levels.dtype)
    limits[0] = np.inf  # around k = 0 the signal is as lonely as a spike
    spikes = np.abs(plane) > limits[rings]
    return np.asarray(spikes & ~_has_strong_neighbours(spikes)) if spikes.any() else spikes


@lru_cache(maxsize=4)
def _rings(n_lines: int, n_samples: int) -> tuple[IntArray, int]:
    """Tell in which ring about k = 0 each sample lies, shape ``(line, sample)``, and how many rings there are."""
    k_line, k_sample = ((np.arange(n) - n // 2) / n for n in (n_lines, n_samples))
    radius = np.hypot(k_line[:, np.newaxis], k_sample)
    n_rings = max(2, min(n_lines, n_samples) // 4)
    return np.minimum((radius / radius.max() * n_rings).astype(int), n_rings - 1), n_rings


def _has_strong_neighbours(spikes: BoolArray) -> BoolArray:
    """Whether more than two of the eight neighbours stand out as well: then it is signal."""
    count = np.zeros(spikes.shape, int)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            if (down, across) != (0, 0):
                count += np.roll(spikes, (down, across), axis=(-2, -1))
    return np.asarray(count > 2)
