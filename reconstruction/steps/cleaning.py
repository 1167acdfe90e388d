"""Remove what the receiver adds to k-space: a constant offset, and spikes."""

from __future__ import annotations

import numpy as np

from knightshift.core.arrays import BoolArray, ComplexArray
from knightshift.core.errors import ShapeError

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


def remove_dc_offset(kspace: ComplexArray) -> tuple[ComplexArray, float]:
    """Subtract the constant that the receiver adds to every sample: it would be a bright point in the middle.

    Parameters
    ----------
    kspace
        Shape ``(..., channel, line, sample)``, lines in order of k. Each channel has an offset of its own, measured in
        the corners of k-space and common to all images.

    Returns
    -------
    kspace
        Without offset.
    largest
        Largest magnitude of an offset, in units of `kspace`.
    """
    if kspace.ndim < 3:
        raise ShapeError(f"k-space of shape {kspace.shape} needs the axes (channel, line, sample)")
    corner = outer_points(*kspace.shape[-2:])
    others = tuple(range(kspace.ndim - 3))
    offsets = kspace[..., corner].mean(axis=(*others, kspace.ndim - 2))
    cleaned: ComplexArray = (kspace - offsets[:, np.newaxis, np.newaxis]).astype(kspace.dtype)
    return cleaned, float(np.abs(offsets).max())


def remove_spikes(kspace: ComplexArray, *, threshold: float = 8.0) -> tuple[ComplexArray, int]:
    """Set samples to zero that stand out of their surroundings; one spike is a stripe pattern over the image.

    A sample is a spike if its magnitude exceeds `threshold` times the median magnitude of all samples at about the same
    distance from k = 0, over all images: signal there is common to many samples, a spike is alone.

    Parameters
    ----------
    kspace
        Shape ``(..., line, sample)``, lines in order of k.
    threshold
        In medians; that of noise alone is exceeded 8 times with probability 6e-20.

    Returns
    -------
    kspace
        Without spikes.
    n_spikes
        How many samples were set to zero.
    """
    n_lines, n_samples = kspace.shape[-2:]
    k_line, k_sample = ((np.arange(n) - n // 2) / n for n in (n_lines, n_samples))
    radius = np.hypot(k_line[:, np.newaxis], k_sample)
    n_rings = max(2, min(n_lines, n_samples) // 4)
    rings = np.minimum((radius / radius.max() * n_rings).astype(int), n_rings - 1)
    magnitude = np.abs(kspace)
    spikes = np.zeros(kspace.shape, bool)
    for ring in range(1, n_rings):  # around k = 0 the signal is as lonely as a spike
        inside = rings == ring
        values = magnitude[..., inside]
        level = np.median(values)
        spikes[..., inside] = values > threshold * level if level > 0 else False
    spikes &= ~_has_strong_neighbours(spikes)
    cleaned = np.where(spikes, 0, kspace).astype(kspace.dtype)
    return cleaned, int(np.count_nonzero(spikes))


def _has_strong_neighbours(spikes: BoolArray) -> BoolArray:
    """Whether more than two of the eight neighbours stand out as well: then it is signal."""
    count = np.zeros(spikes.shape, int)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            if (down, across) != (0, 0):
                count += np.roll(spikes, (down, across), axis=(-2, -1))
    return np.asarray(count > 2)
